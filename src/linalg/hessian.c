#include "hessian.h"

#include "kernels/ops.h"

#include <stdlib.h>

bool hessian_open(struct hessian *h, size_t cols, struct error *error)
{
    size_t side = tiled_stride(cols);
    *h = (struct hessian){.cols = cols};
    h->h = calloc(side * side, sizeof *h->h);
    h->panels = malloc(panels_floats(cols, HESSIAN_CHUNK) * sizeof *h->panels);
    return (h->h && h->panels) ||
           error_set(error, "not enough memory for a Hessian of %zu columns", cols);
}

void hessian_free(struct hessian *h)
{
    free(h->h);
    free(h->panels);
    *h = (struct hessian){0};
}

/* Takes token t out of panels of n. */
static void drop_token(struct hessian *h, size_t n, size_t t)
{
    for (size_t c = 0; c < tiled_stride(h->cols); c++)
        h->panels[c / TILE_F32 * TILE_F32 * n + t * TILE_F32 + c % TILE_F32] = 0;
}

void hessian_add(struct hessian *h, struct pool *pool, const float *x, size_t stride, size_t n)
{
    panels_pack(pool, x, stride, h->cols, n, h->panels);
    h->tokens += n;
    for (size_t t = 0; t < n; t++)
        if (!all_finite(x + t * stride, h->cols)) {
            drop_token(h, n, t);
            h->tokens--;
        }
    gram_add(pool, h->panels, h->cols, n, h->h);
}

/* ---- the factor ------------------------------------------------------------------------------ */

static double element(const struct hessian *h, const float *scale, size_t i, size_t j)
{
    double value = h->h[(i > j ? i : j) * tiled_stride(h->cols) + (i > j ? j : i)];
    return scale ? value / ((double)scale[i] * (double)scale[j]) : value;
}

struct ranked {
    double size;
    uint32_t column; /* the first */
};

/* Larger first, then in their order. */
static int compare(const void *a, const void *b)
{
    const struct ranked *p = a, *q = b;
    if (p->size != q->size)
        return p->size > q->size ? -1 : 1;
    return p->column < q->column ? -1 : 1;
}

static bool choose_order(struct factor *f, const struct hessian *h, const float *scale, struct column_order order)
{
    size_t runs = f->cols / order.run;
    struct ranked *ranked = calloc(runs, sizeof *ranked);
    for (size_t i = 0; ranked && i < f->cols; i++) {
        struct ranked *run = &ranked[i / order.run];
        run->size += order.by_activation ? element(h, scale, i, i) : 0;
        run->column = (uint32_t)(i / order.run * order.run);
    }
    if (ranked)
        qsort(ranked, runs, sizeof *ranked, compare);
    for (size_t i = 0; ranked && i < f->cols; i++)
        f->order[i] = ranked[i / order.run].column + (uint32_t)(i % order.run);
    free(ranked);
    return ranked;
}

static void choose_lambda(struct factor *f)
{
    double sum = 0;
    for (size_t i = 0; i < f->cols; i++) {
        double size = element(f->h, f->scale, i, i);
        sum += size > 0 ? size : 1;
    }
    f->lambda = f->damp * sum / (double)f->cols;
}

/* A row of -(H + lambda I), its columns in reverse order; a dead column has 1 on the diagonal. */
static void fill_row(struct factor *f, size_t i)
{
    size_t last = f->cols - 1;
    uint32_t row = f->order[last - i];
    double *a = f->l.a + i * tiled_stride(f->cols);
    f->dead[last - i] = !(element(f->h, f->scale, row, row) > 0);
    for (size_t j = 0; j <= i; j++)
        a[j] = -element(f->h, f->scale, row, f->order[last - j]);
    a[i] -= f->lambda + (f->dead[last - i] ? 1 : 0);
}

static void fill_rows(void *arg, size_t begin, size_t end, int thread)
{
    struct factor *f = arg;
    (void)thread;
    for (size_t i = f->filled + begin; i < f->filled + end; i++)
        fill_row(f, i);
}

/* Elements that are filled in one step: they lie far apart. */
enum { FILLED = 1 << 18 };

static void fill_some(struct factor *f, struct pool *pool)
{
    size_t left = f->cols - f->filled, most = FILLED / f->cols + 1, n = left < most ? left : most;
    pool_run(pool, n, fill_rows, f);
    f->filled += n;
}

bool factor_open(struct factor *f, const struct hessian *h, const float *scale, double damp,
                 struct column_order order, struct error *error)
{
    size_t n = h->cols, stride = tiled_stride(n);
    *f = (struct factor){.cols = n, .damp = damp, .h = h, .scale = scale};
    f->order = malloc(n * sizeof *f->order);
    f->dead = malloc(n * sizeof *f->dead);
    f->l.n = n;
    f->l.a = calloc(stride * stride, sizeof *f->l.a);
    f->l.panels = malloc(cholesky_scratch(n) * sizeof *f->l.panels);
    if (!f->order || !f->dead || !f->l.a || !f->l.panels || !choose_order(f, h, scale, order)) {
        factor_free(f);
        return error_set(error, "not enough memory to factor a Hessian of %zu columns", n);
    }
    choose_lambda(f);
    return true;
}

void factor_free(struct factor *f)
{
    free(f->order);
    free(f->dead);
    free(f->l.a);
    free(f->l.panels);
    *f = (struct factor){0};
}

bool factor_step(struct factor *f, struct pool *pool)
{
    if (f->filled == f->cols)
        return cholesky_step(&f->l, pool);
    fill_some(f, pool);
    return false;
}

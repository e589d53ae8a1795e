#include "gram.h"

#include "kernels/ops.h"

#include <float.h>
#include <math.h>
#include <string.h>

bool all_finite(const float *x, size_t n)
{
    float others = 0;
    for (size_t c = 0; c < n; c++)
        others += fabsf(x[c]) <= FLT_MAX ? 0.0f : 1.0f;
    return others == 0;
}

static size_t panels_of(size_t n, size_t width)
{
    return (n + width - 1) / width;
}

/* ---- float32 --------------------------------------------------------------------------------- */

size_t panels_floats(size_t n, size_t depth)
{
    return panels_of(n, TILE_F32) * TILE_F32 * depth;
}

void panel_pack(const float *x, size_t stride, size_t n, size_t depth, size_t panel, float *out)
{
    size_t left = n - panel * TILE_F32, width = left < TILE_F32 ? left : TILE_F32;
    x += panel * TILE_F32;
    for (size_t k = 0; k < depth; k++, out += TILE_F32) {
        memcpy(out, x + k * stride, width * sizeof *out);
        memset(out + width, 0, (TILE_F32 - width) * sizeof *out);
    }
}

struct packing {
    const float *x;
    size_t stride, n, depth;
    float *out;
};

static void pack_panels(void *arg, size_t begin, size_t end, int thread)
{
    const struct packing *p = arg;
    (void)thread;
    for (size_t panel = begin; panel < end; panel++)
        panel_pack(p->x, p->stride, p->n, p->depth, panel, p->out + panel * TILE_F32 * p->depth);
}

void panels_pack(struct pool *pool, const float *x, size_t stride, size_t n, size_t depth, float *out)
{
    struct packing p = {x, stride, n, depth, out};
    pool_run(pool, panels_of(n, TILE_F32), pack_panels, &p);
}

size_t tiled_stride(size_t n)
{
    return panels_of(n, TILE_F32) * TILE_F32;
}

/* Panels of rows whose tiles are computed with one panel of columns while that is in the nearest cache. */
enum { TOGETHER = 4 };

struct gram {
    const float *panels;
    size_t depth, count, stride;
    float *h;
};

static void gram_rows(void *arg, size_t begin, size_t end, int thread)
{
    const struct gram *g = arg;
    const struct operators *ops = operators_current();
    size_t panel = TILE_F32 * g->depth;
    (void)thread;
    for (size_t block = begin; block < end; block++) {
        size_t first = block * TOGETHER, last = first + TOGETHER < g->count ? first + TOGETHER : g->count;
        for (size_t j = 0; j < last; j++)
            for (size_t i = first > j ? first : j; i < last; i++)
                ops->tile_add_f32(g->panels + i * panel, g->panels + j * panel, g->depth,
                                  g->h + (i * g->stride + j) * TILE_F32, g->stride);
    }
}

void gram_add(struct pool *pool, const float *panels, size_t n, size_t depth, float *h)
{
    struct gram g = {panels, depth, panels_of(n, TILE_F32), tiled_stride(n), h};
    pool_run(pool, panels_of(g.count, TOGETHER), gram_rows, &g);
}

/* ---- Cholesky -------------------------------------------------------------------------------- */

enum { BLOCK = 128 }; /* columns of a step */

size_t cholesky_scratch(size_t n)
{
    return tiled_stride(n) * BLOCK;
}

/* The block on the diagonal, of n columns: a becomes L. */
static bool factor_block(double *a, size_t n, size_t stride)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = -a[i * stride + j];
            for (size_t k = 0; k < j; k++)
                sum -= a[i * stride + k] * a[j * stride + k];
            if (i == j && !(sum > 0 && sum < HUGE_VAL))
                return false;
            a[i * stride + j] = i == j ? sqrt(sum) : sum / a[j * stride + j];
        }
    return true;
}

struct step {
    struct cholesky *c;
    size_t width;  /* columns of the block */
    size_t first;  /* row below it */
    size_t stride, count; /* panels of rows below */
};

/* Solves the rows below, eight at a time, and leaves them in panels, too. */
static void solve_rows(void *arg, size_t begin, size_t end, int thread)
{
    const struct step *s = arg;
    const double *l = s->c->a + s->c->done * s->stride + s->c->done;
    (void)thread;
    for (size_t panel = begin; panel < end; panel++) {
        double *x = s->c->panels + panel * TILE_F64 * s->width;
        double *rows = s->c->a + (s->first + panel * TILE_F64) * s->stride + s->c->done;
        for (size_t k = 0; k < s->width; k++) {
            double at[TILE_F64];
            for (size_t r = 0; r < TILE_F64; r++)
                at[r] = -rows[r * s->stride + k];
            for (size_t j = 0; j < k; j++)
                for (size_t r = 0; r < TILE_F64; r++)
                    at[r] -= x[j * TILE_F64 + r] * l[k * s->stride + j];
            for (size_t r = 0; r < TILE_F64; r++)
                rows[r * s->stride + k] = x[k * TILE_F64 + r] = at[r] / l[k * s->stride + k];
        }
    }
}

static void update_rows(void *arg, size_t begin, size_t end, int thread)
{
    const struct step *s = arg;
    const struct operators *ops = operators_current();
    size_t panel = TILE_F64 * s->width;
    double *a = s->c->a + s->first * s->stride + s->first;
    (void)thread;
    for (size_t block = begin; block < end; block++) {
        size_t first = block * TOGETHER, last = first + TOGETHER < s->count ? first + TOGETHER : s->count;
        for (size_t j = 0; j < last; j++)
            for (size_t i = first > j ? first : j; i < last; i++)
                ops->tile_add_f64(s->c->panels + i * panel, s->c->panels + j * panel, s->width,
                                  a + (i * s->stride + j) * TILE_F64, s->stride);
    }
}

bool cholesky_step(struct cholesky *c, struct pool *pool)
{
    size_t left = c->n - c->done, width = left < BLOCK ? left : BLOCK, stride = tiled_stride(c->n);
    if (left == 0 || c->failed)
        return true;
    struct step s = {c, width, c->done + width, stride, 0};
    if (!factor_block(c->a + c->done * (stride + 1), width, stride)) {
        c->failed = true;
        return true;
    }
    if (s.first < c->n) {
        s.count = panels_of(c->n - s.first, TILE_F64);
        pool_run(pool, s.count, solve_rows, &s);
        pool_run(pool, panels_of(s.count, TOGETHER), update_rows, &s);
    }
    c->done += width;
    return c->done == c->n;
}

#include "product.h"

#include "kernels/dispatch.h"

#include <string.h>

/* Multiply-adds that one thread does in a nanosecond when nothing waits for memory: what decides
 * whether a product is worth the pool. */
static const double PRODUCT_RATE = 8;

struct products {
    const struct qmatrix *const *m;
    float *const *y;
    size_t count;
    size_t chunk;                /* panels */
    size_t ends[MAX_TOGETHER];  /* of each matrix's chunks, counted from the first matrix on */
    struct activations prepared;
};

static bool same_input_transform(const struct qmatrix *a, const struct qmatrix *b)
{
    const struct input_transform *p = a->input_transform, *q = b->input_transform;
    if (!p || !q)
        return p == q;
    return !p->outliers && !q->outliers && p->act_scale == q->act_scale && p->act_zero == q->act_zero &&
           !p->scale == !q->scale && (!p->scale || memcmp(p->scale, q->scale, a->cols * sizeof(float)) == 0);
}

/* Stored formats are equal whatever they store, but each block type takes activations in its own order. */
bool product_alike(const struct qmatrix *a, const struct qmatrix *b)
{
    return a->cols == b->cols && a->group == b->group && a->packed == b->packed &&
           a->has_nan == b->has_nan && qformat_equal(&a->format, &b->format) && same_input_transform(a, b) &&
           (a->format.weight == b->format.weight || !(qmatrix_is_blocks(a) || qmatrix_is_blocks(b)));
}

static void prepare_tiles(void *arg, size_t begin, size_t end, int thread)
{
    struct products *p = arg;
    (void)thread;
    isa_current()->prepare(p->m[0], &p->prepared, begin, end);
}

/* Items are the chunks of all matrices. */
static void multiply_chunks(void *arg, size_t begin, size_t end, int thread)
{
    const struct products *p = arg;
    (void)thread;
    for (size_t i = 0, first = 0; i < p->count && begin < end; first = p->ends[i++]) {
        if (begin >= p->ends[i])
            continue;
        size_t stop = end < p->ends[i] ? end : p->ends[i], panels = qmatrix_panels(p->m[i]);
        size_t last = (stop - first) * p->chunk;
        isa_current()->matmul(p->m[i], &p->prepared, (begin - first) * p->chunk,
                              last < panels ? last : panels, p->y[i]);
        begin = stop;
    }
}

/* Chunks of as many panels as are fastest, unless some thread would have none. */
static void choose_chunks(struct products *p, int threads)
{
    size_t panels = 0, end = 0;
    for (size_t i = 0; i < p->count; i++)
        panels += qmatrix_panels(p->m[i]);
    p->chunk = panels / NR_PANELS >= (size_t)threads ? NR_PANELS : 1;
    for (size_t i = 0; i < p->count; i++)
        p->ends[i] = end += (qmatrix_panels(p->m[i]) + p->chunk - 1) / p->chunk;
}

/* ---- outlier columns ------------------------------------------------------------------------- */

/* Tokens whose outliers are multiplied at a time: as many as there is room for beside a panel's rows. */
enum { OUTLIER_TOKENS = 32 };

struct outlier_product {
    const struct qmatrix *weights;
    struct activations prepared;
    float *y;
};

/* y += the product of one panel after the other. */
static void add_panels(void *arg, size_t begin, size_t end, int thread)
{
    const struct outlier_product *p = arg;
    const struct qmatrix *w = p->weights;
    float part[OUTLIER_TOKENS * PANEL_ROWS];
    (void)thread;
    for (size_t panel = begin; panel < end; panel++) {
        struct qmatrix one = *w;
        size_t first = panel * PANEL_ROWS, left = w->rows - first;
        one.codes += panel * w->lines * LINE_BYTES;
        one.rows = left < PANEL_ROWS ? left : PANEL_ROWS;
        isa_current()->matmul(&one, &p->prepared, 0, 1, part);
        for (size_t t = 0; t < p->prepared.tokens; t++)
            for (size_t r = 0; r < one.rows; r++)
                p->y[t * w->rows + first + r] += part[t * one.rows + r];
    }
}

static void gather(const struct input_transform *in, const float *x, size_t cols, size_t n, float *out)
{
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < in->outliers; i++)
            out[t * in->outliers + i] = x[t * cols + in->columns[i]];
}

static void add_outliers(struct pool *pool, void *scratch, const struct qmatrix *m, const float *x,
                         size_t n, float *y)
{
    const struct input_transform *in = m->input_transform;
    for (size_t t = 0; t < n; t += OUTLIER_TOKENS) {
        size_t part = n - t < OUTLIER_TOKENS ? n - t : OUTLIER_TOKENS;
        struct outlier_product p = {.weights = in->weights, .y = y + t * m->rows};
        uint8_t *rest = (uint8_t *)scratch + padded_bytes(in->outliers * part * sizeof(float));
        gather(in, x + t * m->cols, m->cols, part, scratch);
        activations_prepare(isa_current(), in->weights, scratch, part, rest, &p.prepared);
        double work = (double)m->rows * (double)in->outliers * (double)part;
        if (pool_worthwhile(pool, work / PRODUCT_RATE))
            pool_run(pool, qmatrix_panels(m), add_panels, &p);
        else
            add_panels(&p, 0, qmatrix_panels(m), 0);
    }
}

size_t products_scratch(size_t cols, size_t tokens)
{
    size_t together = tokens < OUTLIER_TOKENS ? tokens : OUTLIER_TOKENS;
    return activations_scratch(cols, tokens) + padded_bytes(cols * together * sizeof(float));
}

void products_run(struct pool *pool, void *scratch, const struct qmatrix *const m[], size_t count,
                  const float *x, size_t n, float *const y[])
{
    struct products p = {.m = m, .y = y, .count = count};
    double work = 0;
    for (size_t i = 0; i < count; i++)
        work += (double)m[i]->rows * (double)m[i]->cols * (double)n;
    choose_chunks(&p, pool_threads(pool));
    activations_begin(isa_current(), m[0], x, n, scratch, &p.prepared);
    size_t tiles = activations_tiles(&p.prepared), chunks = p.ends[count - 1];
    bool shared = pool_worthwhile(pool, work / PRODUCT_RATE);
    if (shared && tiles > 1)
        pool_run(pool, tiles, prepare_tiles, &p);
    else
        prepare_tiles(&p, 0, tiles, 0);
    if (shared)
        pool_run(pool, chunks, multiply_chunks, &p);
    else
        multiply_chunks(&p, 0, chunks, 0);
    for (size_t i = 0; i < count; i++)
        if (m[i]->input_transform && m[i]->input_transform->outliers)
            add_outliers(pool, scratch, m[i], x, n, y[i]);
}

#include "product.h"

#include "../../kernels/dispatch.h"

/* Multiply-adds that one thread does in a nanosecond when nothing waits for memory: what decides
 * whether a product is worth the pool. */
static const double PRODUCT_RATE = 8;

struct products {
    const struct qmatrix *const *m;
    float *const *y;
    size_t count;
    size_t strip;                /* panels */
    size_t ends[MOST_TOGETHER];  /* of each matrix's strips, counted from the first matrix on */
    struct activations prepared;
};

static bool is_blocks(const struct qmatrix *m)
{
    return dtypes[m->scheme.weight].kind == DTYPE_KIND_BLOCK;
}

/* Stored schemes are equal whatever they store, but blocks may want activations in their own order. */
bool product_alike(const struct qmatrix *a, const struct qmatrix *b)
{
    return a->cols == b->cols && a->group == b->group && a->panels == b->panels &&
           a->odd == b->odd && is_blocks(a) == is_blocks(b) && scheme_equal(&a->scheme, &b->scheme);
}

static void prepare_tiles(void *arg, size_t begin, size_t end, int thread)
{
    struct products *p = arg;
    (void)thread;
    isa_current()->prepare(p->m[0], &p->prepared, begin, end);
}

/* Items are the strips of all matrices. */
static void multiply_strips(void *arg, size_t begin, size_t end, int thread)
{
    const struct products *p = arg;
    (void)thread;
    for (size_t i = 0, first = 0; i < p->count && begin < end; first = p->ends[i++]) {
        if (begin >= p->ends[i])
            continue;
        size_t stop = end < p->ends[i] ? end : p->ends[i], panels = qmatrix_panels(p->m[i]);
        size_t last = (stop - first) * p->strip;
        isa_current()->matmul(p->m[i], &p->prepared, (begin - first) * p->strip,
                              last < panels ? last : panels, p->y[i]);
        begin = stop;
    }
}

/* Strips as wide as kernels like them, unless some thread would have none. */
static void cut_strips(struct products *p, int threads)
{
    size_t panels = 0, end = 0;
    for (size_t i = 0; i < p->count; i++)
        panels += qmatrix_panels(p->m[i]);
    p->strip = panels / STRIP_PANELS >= (size_t)threads ? STRIP_PANELS : 1;
    for (size_t i = 0; i < p->count; i++)
        p->ends[i] = end += (qmatrix_panels(p->m[i]) + p->strip - 1) / p->strip;
}

void products_run(struct pool *pool, void *scratch, const struct qmatrix *const m[], size_t count,
                  const float *x, size_t n, float *const y[])
{
    struct products p = {.m = m, .y = y, .count = count};
    double work = 0;
    for (size_t i = 0; i < count; i++)
        work += (double)m[i]->rows * (double)m[i]->cols * (double)n;
    cut_strips(&p, pool_threads(pool));
    activations_begin(isa_current(), m[0], x, n, scratch, &p.prepared);
    size_t tiles = activations_tiles(&p.prepared), strips = p.ends[count - 1];
    bool shared = pool_worthwhile(pool, work / PRODUCT_RATE);
    if (shared && tiles > 1)
        pool_run(pool, tiles, prepare_tiles, &p);
    else
        prepare_tiles(&p, 0, tiles, 0);
    if (shared)
        pool_run(pool, strips, multiply_strips, &p);
    else
        multiply_strips(&p, 0, strips, 0);
}

#include "sliced_product.h"

#include "kernels/dispatch.h"

/* Multiply-adds that one thread does in a nanosecond when nothing waits for memory, and values that it prepares. */
static const double PRODUCT_RATE = 8, PREPARE_RATE = 1;

void sliced_product_begin(struct sliced_product *p, const struct qmatrix *m, size_t stride, const float *x,
                          size_t tokens, void *scratch, float *y)
{
    *p = (struct sliced_product){.m = m, .stride = stride, .y = y};
    activations_begin(isa_current(), m, x, tokens, scratch, &p->prepared);
    p->tiles = activations_tiles(&p->prepared);
    p->panels = (qmatrix_panels(m) + stride - 1) / stride;
}

struct slice {
    struct sliced_product *p;
    size_t first;
};

static void prepare_tiles(void *arg, size_t begin, size_t end, int thread)
{
    const struct slice *s = arg;
    (void)thread;
    isa_current()->prepare(s->p->m, &s->p->prepared, s->first + begin, s->first + end);
}

static void multiply_panels(void *arg, size_t begin, size_t end, int thread)
{
    const struct slice *s = arg;
    const struct sliced_product *p = s->p;
    size_t first = s->first + begin, last = s->first + end;
    (void)thread;
    if (p->stride == 1) {
        isa_current()->matmul(p->m, &p->prepared, first, last, p->y);
        return;
    }
    for (size_t i = first; i < last; i++)
        isa_current()->matmul(p->m, &p->prepared, i * p->stride, i * p->stride + 1, p->y);
}

/* The next items, of so much work each; returns where they end. */
static size_t run(struct sliced_product *p, struct pool *pool, pool_fn *fn, size_t first, size_t all, size_t work,
                  double rate)
{
    size_t each = SLICE_MACS / work > 1 ? SLICE_MACS / work : 1;
    size_t max = each * (size_t)pool_threads(pool), n = all - first < max ? all - first : max;
    struct slice slice = {p, first};
    if (n > 1 && pool_worthwhile(pool, (double)(n * work) / rate))
        pool_run(pool, n, fn, &slice);
    else
        fn(&slice, 0, n, 0);
    p->macs = n * work;
    return first + n;
}

bool sliced_product_step(struct sliced_product *p, struct pool *pool)
{
    size_t cols = p->m->cols, tokens = p->prepared.tokens;
    if (p->tile < p->tiles)
        p->tile = run(p, pool, prepare_tiles, p->tile, p->tiles, p->prepared.tile_tokens * cols, PREPARE_RATE);
    else
        p->panel = run(p, pool, multiply_panels, p->panel, p->panels, PANEL_ROWS * cols * tokens, PRODUCT_RATE);
    return p->panel == p->panels;
}

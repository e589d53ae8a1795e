#include "multiply.h"

#include "base/clock.h"
#include "kernels/dispatch.h"
#include "product.h"

void context_multiply(struct context *c, const struct qtensor *w, const float *x, size_t n, float *y)
{
    double begin = c->tensor_seconds ? clock_seconds() : 0;
    products_run(c->pool, c->activations, (const struct qmatrix *[]){&w->matrix}, 1, x, n, &y);
    if (c->tensor_seconds)
        c->tensor_seconds[w->tensor] += clock_seconds() - begin;
    if (c->hook.tensor == w->tensor || c->hook.tensor == HOOK_ALL)
        c->hook.see(c->hook.arg, w, x, y, n);
}

void context_multiply_together(struct context *c, const struct qtensor *const w[], size_t count, const float *x,
                               size_t n, float *const y[])
{
    const struct qmatrix *m[MAX_TOGETHER];
    bool together = !c->tensor_seconds && c->hook.tensor == HOOK_NONE;
    for (size_t i = 0; i < count; i++) {
        m[i] = &w[i]->matrix;
        together &= product_alike(m[0], m[i]);
    }
    if (together)
        products_run(c->pool, c->activations, m, count, x, n, y);
    else
        for (size_t i = 0; i < count; i++)
            context_multiply(c, w[i], x, n, y[i]);
}

void context_add_bias(const struct context *c, const struct qtensor *bias, float *row, float *x, size_t n)
{
    size_t rows = bias ? bias->matrix.cols : 0;
    if (!bias)
        return;
    isa_current()->decode_row(&bias->matrix, 0, row);
    for (size_t t = 0; t < n; t++)
        c->ops->add(x + t * rows, row, rows);
}

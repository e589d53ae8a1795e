#include "attention.h"

#include "linalg/dense.h"
#include "gradients.h"

#include <math.h>
#include <string.h>

/* What one thread works on: a query head of a window. Panels as dense.h has them, transposed (for products over the
 * head's elements) and direct (for those over positions). */
struct head {
    const struct causal *a;
    const struct operators *ops;
    size_t length, padded, size; /* positions, in whole tiles; the head's elements */
    size_t q_stride, kv_stride;
    const float *q, *k, *v, *dout;
    float *q_transposed, *k_transposed, *v_transposed, *dout_transposed;
    float *q_direct, *k_direct, *v_direct, *dout_direct;
    float *p, *d, *capped;       /* padded x padded: probabilities, their gradient, capped scores */
    float *panel;
};

size_t causal_floats(size_t head_size, size_t length)
{
    size_t padded = tiled_stride(length);
    return 4 * panels_floats(length, head_size) + 4 * panels_floats(head_size, length) + 3 * padded * padded +
           TILE_F32 * padded;
}

static void place(struct head *w, float *at)
{
    float **transposed[] = {&w->q_transposed, &w->k_transposed, &w->v_transposed, &w->dout_transposed};
    float **direct[] = {&w->q_direct, &w->k_direct, &w->v_direct, &w->dout_direct};
    float **square[] = {&w->p, &w->d, &w->capped};
    for (size_t i = 0; i < 4; i++, at += panels_floats(w->length, w->size))
        *transposed[i] = at;
    for (size_t i = 0; i < 4; i++, at += panels_floats(w->size, w->length))
        *direct[i] = at;
    for (size_t i = 0; i < 3; i++, at += w->padded * w->padded)
        *square[i] = at;
    w->panel = at;
}

static struct head head_at(const struct causal *a, size_t window, size_t head, float *scratch)
{
    const struct layer *l = a->layer;
    size_t size = l->head_size, kv = head / (l->heads / l->kv_heads);
    struct head w = {.a = a, .ops = operators_current(), .length = a->length, .padded = tiled_stride(a->length),
                     .size = size, .q_stride = l->heads * size, .kv_stride = l->kv_heads * size};
    w.q = a->q + window * a->length * w.q_stride + head * size;
    w.k = a->k + window * a->length * w.kv_stride + kv * size;
    w.v = a->v + window * a->length * w.kv_stride + kv * size;
    w.dout = a->dout ? a->dout + window * a->length * w.q_stride + head * size : NULL;
    place(&w, scratch);
    return w;
}

static void turn(const struct head *w, const float *x, size_t stride, float *out)
{
    for (size_t i = 0; i * TILE_F32 < w->length; i++)
        panel_pack_transposed(x, stride, w->length, w->size, i, out + i * TILE_F32 * w->size);
}

static void lay(const struct head *w, const float *x, size_t stride, float *out)
{
    for (size_t i = 0; i * TILE_F32 < w->size; i++)
        panel_pack(x, stride, w->size, w->length, i, out + i * TILE_F32 * w->length);
}

/* out = A B^T on and below the diagonal, of transposed panels. */
static void square(const struct head *w, const float *a, const float *b, float *out)
{
    memset(out, 0, w->padded * w->padded * sizeof *out);
    for (size_t i = 0; i < w->padded; i += TILE_F32)
        for (size_t j = 0; j <= i; j += TILE_F32)
            dense_tile(w->ops, a + i * w->size, b + j * w->size, 0, w->size, out, w->padded, w->padded, w->padded,
                       i, j);
}

/* y += S x, S lower triangular, x in direct panels, y length rows `stride` apart. */
static void mix(const struct head *w, const float *s, const float *x, float *y, size_t stride)
{
    for (size_t i = 0; i < w->padded; i += TILE_F32) {
        size_t depth = i + TILE_F32 < w->length ? i + TILE_F32 : w->length;
        panel_pack_transposed(s, w->padded, w->padded, depth, i / TILE_F32, w->panel);
        for (size_t j = 0; j < w->size; j += TILE_F32)
            dense_tile(w->ops, w->panel, x + j * w->length, 0, depth, y, stride, w->length, w->size, i, j);
    }
}

/* y += S^T x. */
static void mix_back(const struct head *w, const float *s, const float *x, float *y, size_t stride)
{
    for (size_t i = 0; i < w->padded; i += TILE_F32) {
        panel_pack(s, w->padded, w->padded, w->length, i / TILE_F32, w->panel);
        for (size_t j = 0; j < w->size; j += TILE_F32)
            dense_tile(w->ops, w->panel, x + j * w->length, i, w->length, y, stride, w->length, w->size, i, j);
    }
}

/* The first position that row i sees. */
static size_t first_of(const struct head *w, size_t i)
{
    size_t window = w->a->layer->window;
    return window && i + 1 > window ? i + 1 - window : 0;
}

/* w->p: probabilities of every row, 0 where nothing is seen; w->capped where scores are capped. */
static void attend(const struct head *w)
{
    float scale = w->a->layer->attention_scale, cap = w->a->cap;
    turn(w, w->q, w->q_stride, w->q_transposed);
    turn(w, w->k, w->kv_stride, w->k_transposed);
    square(w, w->q_transposed, w->k_transposed, w->p);
    for (size_t i = 0; i < w->length; i++) {
        float *row = w->p + i * w->padded;
        size_t first = first_of(w, i), n = i + 1 - first;
        for (size_t k = first; k <= i; k++)
            row[k] *= scale;
        if (cap > 0) {
            w->ops->soft_cap(row + first, n, cap);
            memcpy(w->capped + i * w->padded + first, row + first, n * sizeof *row);
        }
        w->ops->softmax(row + first, n);
        memset(row, 0, first * sizeof *row);
        memset(row + i + 1, 0, (w->padded - i - 1) * sizeof *row);
    }
}

static void clear_rows(float *x, size_t stride, size_t size, size_t n)
{
    for (size_t i = 0; i < n; i++)
        memset(x + i * stride, 0, size * sizeof *x);
}

/* Items are (window, query head). */
static void forward_heads(void *arg, size_t begin, size_t end, int thread)
{
    const struct causal *a = arg;
    const struct layer *l = a->layer;
    float *scratch = a->scratch + (size_t)thread * causal_floats(l->head_size, a->length);
    for (size_t item = begin; item < end; item++) {
        struct head w = head_at(a, item / l->heads, item % l->heads, scratch);
        float *out = a->out + (w.q - a->q);
        attend(&w);
        lay(&w, w.v, w.kv_stride, w.v_direct);
        clear_rows(out, w.q_stride, w.size, w.length);
        mix(&w, w.p, w.v_direct, out, w.q_stride);
    }
}

void causal_forward(const struct causal *a, struct pool *pool)
{
    pool_run(pool, a->windows * a->layer->heads, forward_heads, (void *)(uintptr_t)a);
}

/* w->d: gradients by the products of queries and keys. */
static void score_gradients(const struct head *w)
{
    float scale = w->a->layer->attention_scale, cap = w->a->cap;
    for (size_t i = 0; i < w->length; i++) {
        float *row = w->d + i * w->padded;
        size_t first = first_of(w, i), n = i + 1 - first;
        softmax_gradient(w->p + i * w->padded + first, row + first, n);
        if (cap > 0)
            soft_cap_gradient(w->capped + i * w->padded + first, row + first, n, cap);
        for (size_t k = first; k <= i; k++)
            row[k] *= scale;
        memset(row, 0, first * sizeof *row);
        memset(row + i + 1, 0, (w->padded - i - 1) * sizeof *row);
    }
}

static void backward_head(const struct head *w, float *dq, float *dk, float *dv)
{
    attend(w);
    turn(w, w->v, w->kv_stride, w->v_transposed);
    turn(w, w->dout, w->q_stride, w->dout_transposed);
    lay(w, w->dout, w->q_stride, w->dout_direct);
    lay(w, w->q, w->q_stride, w->q_direct);
    lay(w, w->k, w->kv_stride, w->k_direct);
    mix_back(w, w->p, w->dout_direct, dv, w->kv_stride);
    square(w, w->dout_transposed, w->v_transposed, w->d);
    score_gradients(w);
    clear_rows(dq, w->q_stride, w->size, w->length);
    mix(w, w->d, w->k_direct, dq, w->q_stride);
    mix_back(w, w->d, w->q_direct, dk, w->kv_stride);
}

/* Items are (window, head of keys and values): one thread adds up what the query heads that share it give. */
static void backward_heads(void *arg, size_t begin, size_t end, int thread)
{
    const struct causal *a = arg;
    const struct layer *l = a->layer;
    size_t shared = l->heads / l->kv_heads;
    float *scratch = a->scratch + (size_t)thread * causal_floats(l->head_size, a->length);
    for (size_t item = begin; item < end; item++) {
        size_t window = item / l->kv_heads, kv = item % l->kv_heads;
        for (size_t i = 0; i < shared; i++) {
            struct head w = head_at(a, window, kv * shared + i, scratch);
            float *dk = a->dk + (w.k - a->k), *dv = a->dv + (w.v - a->v);
            if (i == 0) {
                clear_rows(dk, w.kv_stride, w.size, w.length);
                clear_rows(dv, w.kv_stride, w.size, w.length);
            }
            backward_head(&w, a->dq + (w.q - a->q), dk, dv);
        }
    }
}

void causal_backward(const struct causal *a, struct pool *pool)
{
    pool_run(pool, a->windows * a->layer->kv_heads, backward_heads, (void *)(uintptr_t)a);
}

#include "context.h"

#include "../../kernels/dispatch.h"
#include "../../kernels/ops.h"
#include "../../kernels/pages.h"
#include "../measure/clock.h"
#include "memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Multiply-adds that one thread does in a nanosecond when nothing waits for memory: what decides
 * whether a product is worth the pool. */
static const double PRODUCT_RATE = 8, ATTENTION_RATE = 2;

/* ---- opening --------------------------------------------------------------------------------- */

static void make_rotations(struct context *c)
{
    size_t half = c->model->hyper.head_size / 2;
    for (size_t i = 0; i < half; i++) {
        double rate = pow(c->model->hyper.rope_base, -(double)i / (double)half);
        for (size_t p = 0; p < c->capacity; p++) {
            c->cosines[p * half + i] = (float)cos((double)p * rate);
            c->sines[p * half + i] = (float)sin((double)p * rate);
        }
    }
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Gives each scratch vector its place; with memory null it only adds up. Every one begins on a cache
 * line. */
static size_t place_scratch(struct context *c, float *memory)
{
    const struct hyper *h = &c->model->hyper;
    size_t q = h->heads * h->head_size, kv = h->kv_heads * h->head_size, used = 0;
    size_t wide = larger(h->hidden, larger(h->dim, q));
    const struct {
        float **at;
        size_t floats;
    } parts[] = {
        {&c->x, CONTEXT_CHUNK * h->dim},
        {&c->normed, CONTEXT_CHUNK * h->dim},
        {&c->q, CONTEXT_CHUNK * q},
        {&c->attended, CONTEXT_CHUNK * q},
        {&c->gate, CONTEXT_CHUNK * larger(h->hidden, kv)},
        {&c->up, CONTEXT_CHUNK * larger(h->hidden, kv)},
        {&c->projected, CONTEXT_CHUNK * h->dim},
        {&c->norm, h->dim},
        {&c->scores, (size_t)pool_threads(c->pool) * c->capacity},
        {(float **)&c->activations, activations_scratch(wide, CONTEXT_CHUNK) / sizeof(float)},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (memory)
            *parts[i].at = memory + used;
        used += (parts[i].floats + 15) / 16 * 16;
    }
    return used;
}

struct context *context_open(const struct model *model, struct pool *pool, size_t capacity,
                             struct error *error)
{
    const struct hyper *h = &model->hyper;
    struct context *c = calloc(1, sizeof *c);
    if (!c) {
        error_set(error, "not enough memory for a context");
        return NULL;
    }
    *c = (struct context){.model = model, .pool = pool, .capacity = capacity, .tap.tensor = TAP_NONE};
    size_t cache, rotations, kv = h->kv_heads * h->head_size;
    char what[64];
    snprintf(what, sizeof what, "a KV cache of %zu positions", capacity);
    if (__builtin_mul_overflow(kv * h->layers * sizeof(float), capacity, &cache) ||
        __builtin_mul_overflow(h->head_size / 2 * sizeof(float), capacity, &rotations) ||
        cache > SIZE_MAX / 4) {
        error_set(error, "%s is too large to address", what);
        context_close(c);
        return NULL;
    }
    size_t scratch = place_scratch(c, NULL) * sizeof(float);
    if (!memory_check(what, 2 * cache + 2 * rotations + scratch, error)) {
        context_close(c);
        return NULL;
    }
    c->keys = pages_alloc(cache);
    c->values = pages_alloc(cache);
    c->cosines = malloc(rotations);
    c->sines = malloc(rotations);
    c->scratch = aligned_alloc(64, scratch);
    if (!c->keys || !c->values || !c->cosines || !c->sines || !c->scratch) {
        error_set(error, "not enough memory for %s", what);
        context_close(c);
        return NULL;
    }
    place_scratch(c, c->scratch);
    make_rotations(c);
    return c;
}

void context_close(struct context *c)
{
    if (!c)
        return;
    pages_free(c->keys);
    pages_free(c->values);
    free(c->cosines);
    free(c->sines);
    free(c->scratch);
    free(c);
}

/* ---- the forward pass ------------------------------------------------------------------------ */

/* The tensors of a block follow each other in the order of their roles, after the embedding. */
enum { BLOCK_TENSORS = ROLE_FFN_DOWN - ROLE_ATTN_NORM + 1 };

static const struct packed *in_block(const struct weights *w, size_t layer, enum role role)
{
    return w->layer[1 + layer * BLOCK_TENSORS + (size_t)role - ROLE_ATTN_NORM];
}

struct product {
    const struct qmatrix *m;
    const struct activations *x;
    float *y;
};

static void multiply_rows(void *arg, size_t begin, size_t end, int thread)
{
    const struct product *p = arg;
    (void)thread;
    isa_current()->matmul(p->m, p->x, begin, end, p->y);
}

/* y = W x for n tokens, on the packed codes. */
static void multiply(struct context *c, const struct packed *w, const float *x, size_t n, float *y)
{
    double begin = c->tensor_seconds ? clock_seconds() : 0;
    struct activations prepared;
    activations_prepare(&w->matrix, x, n, c->activations, &prepared);
    struct product product = {&w->matrix, &prepared, y};
    if (pool_worthwhile(c->pool, (double)(w->matrix.rows * w->matrix.cols * n) / PRODUCT_RATE))
        pool_run(c->pool, w->matrix.rows, multiply_rows, &product);
    else
        multiply_rows(&product, 0, w->matrix.rows, 0);
    if (c->tensor_seconds)
        c->tensor_seconds[w->tensor] += clock_seconds() - begin;
    if (c->tap.tensor == w->tensor || c->tap.tensor == TAP_ALL)
        c->tap.see(c->tap.arg, w, x, y, n);
}

static void normalize(struct context *c, const struct packed *w, size_t n)
{
    size_t dim = c->model->hyper.dim;
    qmatrix_decode_row(&w->matrix, 0, c->norm);
    for (size_t t = 0; t < n; t++)
        op_rmsnorm(c->normed + t * dim, c->x + t * dim, c->norm, dim, c->model->hyper.norm_eps);
}

struct attention {
    struct context *c;
    size_t layer, n;
};

/* Items are (token, head) pairs. */
static void attend_heads(void *arg, size_t begin, size_t end, int thread)
{
    const struct attention *a = arg;
    struct context *c = a->c;
    const struct hyper *h = &c->model->hyper;
    size_t kv = h->kv_heads * h->head_size, shared = h->heads / h->kv_heads;
    const float *keys = c->keys + a->layer * c->capacity * kv;
    const float *values = c->values + a->layer * c->capacity * kv;
    for (size_t i = begin; i < end; i++) {
        size_t token = i / h->heads, head = i % h->heads;
        size_t offset = token * h->heads * h->head_size + head * h->head_size;
        size_t from = head / shared * h->head_size;
        op_attention(c->attended + offset, c->q + offset, keys + from, values + from, h->head_size,
                     kv, c->length + token + 1, c->scores + (size_t)thread * c->capacity);
    }
}

/* Turns queries and the new keys, and puts keys and values into the cache. */
static void append_positions(struct context *c, size_t layer, const float *k, const float *v,
                             size_t n)
{
    const struct hyper *h = &c->model->hyper;
    size_t kv = h->kv_heads * h->head_size, half = h->head_size / 2;
    for (size_t t = 0; t < n; t++) {
        size_t at = c->length + t;
        const float *cosines = c->cosines + at * half, *sines = c->sines + at * half;
        float *key = c->keys + (layer * c->capacity + at) * kv;
        memcpy(key, k + t * kv, kv * sizeof *key);
        memcpy(c->values + (layer * c->capacity + at) * kv, v + t * kv, kv * sizeof *key);
        for (size_t head = 0; head < h->kv_heads; head++)
            op_rope(key + head * h->head_size, cosines, sines, h->head_size);
        for (size_t head = 0; head < h->heads; head++)
            op_rope(c->q + (t * h->heads + head) * h->head_size, cosines, sines, h->head_size);
    }
}

static void attend(struct context *c, const struct weights *w, size_t layer, size_t n)
{
    const struct hyper *h = &c->model->hyper;
    /* Keys and values pass through scratch that is free until they are in the cache. */
    float *k = c->gate, *v = c->up;
    multiply(c, in_block(w, layer, ROLE_ATTN_Q), c->normed, n, c->q);
    multiply(c, in_block(w, layer, ROLE_ATTN_K), c->normed, n, k);
    multiply(c, in_block(w, layer, ROLE_ATTN_V), c->normed, n, v);
    append_positions(c, layer, k, v, n);
    struct attention a = {c, layer, n};
    size_t items = n * h->heads;
    double work = (double)(items * h->head_size * 2 * (c->length + n));
    if (pool_worthwhile(c->pool, work / ATTENTION_RATE))
        pool_run(c->pool, items, attend_heads, &a);
    else
        attend_heads(&a, 0, items, 0);
    multiply(c, in_block(w, layer, ROLE_ATTN_OUT), c->attended, n, c->projected);
    op_add(c->x, c->projected, n * h->dim);
}

static void feed_forward(struct context *c, const struct weights *w, size_t layer, size_t n)
{
    const struct hyper *h = &c->model->hyper;
    multiply(c, in_block(w, layer, ROLE_FFN_GATE), c->normed, n, c->gate);
    multiply(c, in_block(w, layer, ROLE_FFN_UP), c->normed, n, c->up);
    op_swiglu(c->gate, c->up, n * h->hidden);
    multiply(c, in_block(w, layer, ROLE_FFN_DOWN), c->gate, n, c->projected);
    op_add(c->x, c->projected, n * h->dim);
}

void context_run(struct context *c, const struct weights *w, const int32_t *tokens, size_t n,
                 enum logits which, float *logits)
{
    const struct model *m = c->model;
    size_t dim = m->hyper.dim;
    for (size_t t = 0; t < n; t++)
        qmatrix_decode_row(&w->layer[0]->matrix, (size_t)tokens[t], c->x + t * dim);
    for (size_t layer = 0; layer < m->hyper.layers; layer++) {
        normalize(c, in_block(w, layer, ROLE_ATTN_NORM), n);
        attend(c, w, layer, n);
        normalize(c, in_block(w, layer, ROLE_FFN_NORM), n);
        feed_forward(c, w, layer, n);
    }
    c->length += n;
    if (which == LOGITS_NONE)
        return;
    size_t norm = 1 + m->hyper.layers * BLOCK_TENSORS;
    normalize(c, w->layer[norm], n);
    const struct packed *head = w->layer[m->tied ? 0 : norm + 1];
    size_t skip = which == LOGITS_LAST ? n - 1 : 0;
    multiply(c, head, c->normed + skip * dim, n - skip, logits);
}

void context_prefill(struct context *c, const struct weights *w, const int32_t *tokens, size_t n,
                     float *logits)
{
    for (size_t done = 0; done < n; done += CONTEXT_CHUNK) {
        size_t part = n - done < CONTEXT_CHUNK ? n - done : CONTEXT_CHUNK;
        bool last = done + part == n;
        context_run(c, w, tokens + done, part, last && logits ? LOGITS_LAST : LOGITS_NONE, logits);
    }
}

#include "context.h"

#include "../../kernels/dispatch.h"
#include "../measure/clock.h"
#include "memory.h"
#include "product.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Multiply-adds that one thread does in a nanosecond: what decides whether attention is worth the
 * pool. */
static const double ATTENTION_RATE = 5;

/* Tokens of a prefill whose queries share one pass over a head's keys and values. */
enum { ATTENTION_TOKENS = 8 };

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
        {&c->x, c->chunk * h->dim},
        {&c->normed, c->chunk * h->dim},
        {&c->q, c->chunk * q},
        {&c->attended, c->chunk * q},
        {&c->gate, c->chunk * larger(h->hidden, kv)},
        {&c->up, c->chunk * larger(h->hidden, kv)},
        {&c->projected, c->chunk * h->dim},
        {&c->norm, h->dim},
        {&c->attention, (size_t)pool_threads(c->pool) * c->attention_floats},
        {(float **)&c->activations, activations_scratch(wide, c->chunk) / sizeof(float)},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (memory)
            *parts[i].at = memory + used;
        used += (parts[i].floats + 15) / 16 * 16;
    }
    return used;
}

/* Bytes that a context of this capacity takes; false when they cannot be addressed. */
static bool count_bytes(struct context *c, const struct kv_shape *shape, size_t *rotations,
                        size_t *scratch, size_t *all)
{
    size_t cache, tables;
    *scratch = place_scratch(c, NULL) * sizeof(float);
    return kv_cache_bytes(shape, &cache) && cache <= SIZE_MAX / 4 &&
           !__builtin_mul_overflow(shape->head_size / 2 * sizeof(float), c->capacity, rotations) &&
           !__builtin_mul_overflow(*rotations, 2, &tables) &&
           !__builtin_add_overflow(cache, tables, all) &&
           !__builtin_add_overflow(*all, *scratch, all);
}

static bool take_memory(struct context *c, enum dtype kv, struct error *error)
{
    size_t rotations, scratch, all;
    struct kv_shape shape = kv_shape_of(c->model, kv, c->capacity);
    char what[64];
    snprintf(what, sizeof what, "a KV cache of %zu positions", c->capacity);
    if (!count_bytes(c, &shape, &rotations, &scratch, &all))
        return error_set(error, "%s is too large to address", what);
    if (!memory_check(what, all, error) || !kv_open(&c->cache, &shape, error))
        return false;
    c->cosines = malloc(rotations);
    c->sines = malloc(rotations);
    c->scratch = aligned_alloc(64, scratch);
    return (c->cosines && c->sines && c->scratch) ||
           error_set(error, "not enough memory for %s", what);
}

struct context *context_open_kv(const struct model *model, struct pool *pool, enum dtype kv,
                                size_t capacity, struct error *error)
{
    const struct hyper *h = &model->hyper;
    struct context *c = calloc(1, sizeof *c);
    if (!c) {
        error_set(error, "not enough memory for a context");
        return NULL;
    }
    *c = (struct context){.model = model, .pool = pool, .capacity = capacity, .tap.tensor = TAP_NONE};
    c->chunk = capacity < CONTEXT_CHUNK ? larger(capacity, MOST_SEQUENCES) : CONTEXT_CHUNK;
    c->sequences = 1;
    size_t floats = attention_scratch(ATTENTION_TOKENS, h->heads / h->kv_heads, h->head_size);
    c->attention_floats = (floats + 15) / 16 * 16; /* every thread's begins on a cache line */
    if (!take_memory(c, kv, error)) {
        context_close(c);
        return NULL;
    }
    place_scratch(c, c->scratch);
    make_rotations(c);
    return c;
}

struct context *context_open(const struct model *model, struct pool *pool, size_t capacity,
                             struct error *error)
{
    return context_open_kv(model, pool, DTYPE_FP32, capacity, error);
}

bool context_change_kv(struct context *c, enum dtype kv, struct error *error)
{
    struct kv_shape shape = kv_shape_of(c->model, kv, c->capacity);
    struct kv_cache cache;
    size_t bytes;
    if (!kv_cache_bytes(&shape, &bytes) || !memory_check("the KV cache", bytes, error) ||
        !kv_open(&cache, &shape, error))
        return false;
    kv_close(&c->cache);
    c->cache = cache;
    c->length = 0;
    return true;
}

static void drop_others(struct context *c)
{
    for (size_t i = 0; i + 1 < c->sequences; i++)
        kv_close(&c->others[i]);
    free(c->others);
    c->others = NULL;
    c->sequences = 1;
}

bool context_sequences(struct context *c, size_t n, struct error *error)
{
    size_t bytes;
    char what[64];
    drop_others(c);
    snprintf(what, sizeof what, "KV caches of %zu sequences", n);
    if (!kv_cache_bytes(&c->cache.shape, &bytes) || __builtin_mul_overflow(bytes, n - 1, &bytes))
        return error_set(error, "%s are too large to address", what);
    if (!memory_check(what, bytes, error))
        return false;
    c->others = calloc(n, sizeof *c->others);
    if (!c->others)
        return error_set(error, "not enough memory for %s", what);
    for (; c->sequences < n; c->sequences++) {
        struct kv_cache *next = &c->others[c->sequences - 1];
        if (!kv_open(next, &c->cache.shape, error)) {
            drop_others(c);
            return false;
        }
        kv_copy(next, &c->cache);
    }
    return true;
}

void context_close(struct context *c)
{
    if (!c)
        return;
    drop_others(c);
    kv_close(&c->cache);
    free(c->cosines);
    free(c->sines);
    free(c->scratch);
    free(c);
}

/* ---- where a token stands --------------------------------------------------------------------- */

static struct kv_cache *cache_of(struct context *c, size_t token)
{
    return c->side_by_side && token > 0 ? &c->others[token - 1] : &c->cache;
}

static size_t position_of(const struct context *c, size_t token)
{
    return c->side_by_side ? c->length : c->length + token;
}

/* Tokens whose queries share a pass over one cache. */
static size_t attention_tokens(const struct context *c)
{
    return c->side_by_side ? 1 : ATTENTION_TOKENS;
}

/* ---- the forward pass ------------------------------------------------------------------------ */

/* The tensors of a block follow each other in the order of their roles, after the embedding. */
enum { BLOCK_TENSORS = ROLE_FFN_DOWN - ROLE_ATTN_NORM + 1 };

static const struct packed *in_block(const struct weights *w, size_t layer, enum role role)
{
    return w->layer[1 + layer * BLOCK_TENSORS + (size_t)role - ROLE_ATTN_NORM];
}

/* y = W x for n tokens, on the packed codes. */
static void multiply(struct context *c, const struct packed *w, const float *x, size_t n, float *y)
{
    double begin = c->tensor_seconds ? clock_seconds() : 0;
    products_run(c->pool, c->activations, (const struct qmatrix *[]){&w->matrix}, 1, x, n, &y);
    if (c->tensor_seconds)
        c->tensor_seconds[w->tensor] += clock_seconds() - begin;
    if (c->tap.tensor == w->tensor || c->tap.tensor == TAP_ALL)
        c->tap.see(c->tap.arg, w, x, y, n);
}

/* The same for tensors of a block that follow each other, which together are one task where they are
 * alike and nobody looks at each. */
static void multiply_block(struct context *c, const struct weights *w, size_t layer,
                           enum role first, size_t count, const float *x, size_t n,
                           float *const y[])
{
    const struct packed *packed[MOST_TOGETHER];
    const struct qmatrix *m[MOST_TOGETHER];
    bool together = !c->tensor_seconds && c->tap.tensor == TAP_NONE;
    for (size_t i = 0; i < count; i++) {
        packed[i] = in_block(w, layer, first + i);
        m[i] = &packed[i]->matrix;
        together &= product_alike(m[0], m[i]);
    }
    if (together)
        products_run(c->pool, c->activations, m, count, x, n, y);
    for (size_t i = 0; i < count && !together; i++)
        multiply(c, packed[i], x, n, y[i]);
}

static void normalize(struct context *c, const struct packed *w, size_t n)
{
    size_t dim = c->model->hyper.dim;
    isa_current()->decode_row(&w->matrix, 0, c->norm);
    for (size_t t = 0; t < n; t++)
        c->ops->rmsnorm(c->normed + t * dim, c->x + t * dim, c->norm, dim,
                        c->model->hyper.norm_eps);
}

struct attend {
    struct context *c;
    size_t layer, n;
};

/* Items are (token group, head of the cache) pairs: each reads one stream of keys and one of values,
 * once for all query heads that share them. */
static void attend_heads(void *arg, size_t begin, size_t end, int thread)
{
    const struct attend *a = arg;
    struct context *c = a->c;
    const struct hyper *h = &c->model->hyper;
    size_t shared = h->heads / h->kv_heads, most = attention_tokens(c);
    for (size_t i = begin; i < end; i++) {
        size_t token = i / h->kv_heads * most, head = i % h->kv_heads;
        size_t left = a->n - token, offset = (token * h->heads + head * shared) * h->head_size;
        struct attention one = {.kv = kv_head(cache_of(c, token), a->layer, head),
                                .q = c->q + offset,
                                .out = c->attended + offset,
                                .tokens = left < most ? left : most,
                                .heads = shared,
                                .stride = h->heads * h->head_size,
                                .length = position_of(c, token) + 1,
                                .scratch = c->attention + (size_t)thread * c->attention_floats};
        c->ops->attention(&one);
    }
}

/* Turns queries and the new keys, and puts keys and values into the cache. */
static void append_positions(struct context *c, size_t layer, float *k, const float *v, size_t n)
{
    const struct hyper *h = &c->model->hyper;
    size_t kv = h->kv_heads * h->head_size, half = h->head_size / 2;
    for (size_t t = 0; t < n; t++) {
        size_t at = position_of(c, t);
        const float *cosines = c->cosines + at * half, *sines = c->sines + at * half;
        for (size_t head = 0; head < h->kv_heads; head++)
            c->ops->rope(k + t * kv + head * h->head_size, cosines, sines, h->head_size);
        for (size_t head = 0; head < h->heads; head++)
            c->ops->rope(c->q + (t * h->heads + head) * h->head_size, cosines, sines, h->head_size);
        kv_put(cache_of(c, t), layer, at, k + t * kv, v + t * kv);
    }
}

static void run_attention(struct context *c, size_t layer, size_t n)
{
    const struct hyper *h = &c->model->hyper;
    double begin = c->tensor_seconds ? clock_seconds() : 0;
    struct attend a = {c, layer, n};
    size_t most = attention_tokens(c), items = (n + most - 1) / most * h->kv_heads;
    double work = (double)(n * h->heads * h->head_size * 2 * (c->length + n));
    if (pool_worthwhile(c->pool, work / ATTENTION_RATE))
        pool_run(c->pool, items, attend_heads, &a);
    else
        attend_heads(&a, 0, items, 0);
    if (c->tensor_seconds)
        c->tensor_seconds[kv_index(c->model)] += clock_seconds() - begin;
}

static void attend(struct context *c, const struct weights *w, size_t layer, size_t n)
{
    /* Keys and values pass through scratch that is free until they are in the cache. */
    float *k = c->gate, *v = c->up;
    multiply_block(c, w, layer, ROLE_ATTN_Q, 3, c->normed, n, (float *[]){c->q, k, v});
    append_positions(c, layer, k, v, n);
    run_attention(c, layer, n);
    multiply(c, in_block(w, layer, ROLE_ATTN_OUT), c->attended, n, c->projected);
    c->ops->add(c->x, c->projected, n * c->model->hyper.dim);
}

static void feed_forward(struct context *c, const struct weights *w, size_t layer, size_t n)
{
    const struct hyper *h = &c->model->hyper;
    multiply_block(c, w, layer, ROLE_FFN_GATE, 2, c->normed, n, (float *[]){c->gate, c->up});
    c->ops->swiglu(c->gate, c->up, n * h->hidden);
    multiply(c, in_block(w, layer, ROLE_FFN_DOWN), c->gate, n, c->projected);
    c->ops->add(c->x, c->projected, n * h->dim);
}

void context_run(struct context *c, const struct weights *w, const int32_t *tokens, size_t n,
                 enum logits which, float *logits)
{
    const struct model *m = c->model;
    size_t dim = m->hyper.dim;
    c->ops = operators_current();
    for (size_t t = 0; t < n; t++)
        isa_current()->decode_row(&w->layer[0]->matrix, (size_t)tokens[t], c->x + t * dim);
    for (size_t layer = 0; layer < m->hyper.layers; layer++) {
        normalize(c, in_block(w, layer, ROLE_ATTN_NORM), n);
        attend(c, w, layer, n);
        normalize(c, in_block(w, layer, ROLE_FFN_NORM), n);
        feed_forward(c, w, layer, n);
    }
    c->length += c->side_by_side ? 1 : n;
    if (which == LOGITS_NONE)
        return;
    size_t norm = 1 + m->hyper.layers * BLOCK_TENSORS;
    normalize(c, w->layer[norm], n);
    const struct packed *head = w->layer[m->tied ? 0 : norm + 1];
    size_t skip = which == LOGITS_LAST ? n - 1 : 0;
    multiply(c, head, c->normed + skip * dim, n - skip, logits);
}

void context_step(struct context *c, const struct weights *w, const int32_t *tokens, float *logits)
{
    c->side_by_side = c->sequences > 1;
    context_run(c, w, tokens, c->sequences, LOGITS_ALL, logits);
    c->side_by_side = false;
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

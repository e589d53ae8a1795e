#include "context.h"

#include "kernels/dispatch.h"
#include "sys/memory.h"
#include "product.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- opening --------------------------------------------------------------------------------- */

void rope_table_init(const struct model *model, size_t positions, float *cosines, float *sines)
{
    const struct hyper *h = &model->hyper;
    size_t half = rotary_dims(h) / 2;
    double magnitude = h->rope_magnitude > 0 ? (double)h->rope_magnitude : 1;
    for (size_t i = 0; i < half; i++) {
        double rate = pow(h->rope_base, -(double)i / (double)half);
        if (model->rope_factors)
            rate /= (double)model->rope_factors[i];
        for (size_t p = 0; p < positions; p++) {
            cosines[p * half + i] = (float)(magnitude * cos((double)p * rate));
            sines[p * half + i] = (float)(magnitude * sin((double)p * rate));
        }
    }
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Points each scratch vector into memory and returns the floats of all; with memory null it only adds up. Every
 * one begins on a cache line. */
static size_t lay_out_scratch(struct context *c, float *memory)
{
    const struct hyper *h = &c->model->hyper;
    size_t q = h->heads * h->head_size, kv = h->kv_heads * h->head_size, used = 0;
    size_t wide = larger(h->hidden, larger(h->dim, q));
    size_t fused = larger(c->model->has & ROLE_BIT(ROLE_ATTN_QKV) ? q + 2 * kv : 0,
                          c->model->has & ROLE_BIT(ROLE_FFN_GATE_UP) ? 2 * h->hidden : 0);
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
        {&c->fused, c->chunk * fused},
        {&c->norm, larger(2 * wide, fused)},
        {&c->attention, (size_t)pool_threads(c->pool) * c->attention_floats},
        {(float **)&c->activations, products_scratch(wide, c->chunk) / sizeof(float)},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (memory)
            *parts[i].at = memory + used;
        used += (parts[i].floats + 15) / 16 * 16;
    }
    return used;
}

/* Bytes that a context of this capacity takes; false when they cannot be addressed. */
static bool count_bytes(struct context *c, const struct kv_shape *shape, size_t *table,
                        size_t *scratch, size_t *all)
{
    size_t cache, both;
    *scratch = lay_out_scratch(c, NULL) * sizeof(float);
    return kv_cache_bytes(shape, &cache) && cache <= SIZE_MAX / 4 &&
           !__builtin_mul_overflow(rotary_dims(&c->model->hyper) / 2 * sizeof(float), c->capacity,
                                   table) &&
           !__builtin_mul_overflow(*table, 2, &both) &&
           !__builtin_add_overflow(cache, both, all) &&
           !__builtin_add_overflow(*all, *scratch, all);
}

static bool take_memory(struct context *c, enum dtype kv, struct error *error)
{
    size_t table, scratch, all;
    struct kv_shape shape = kv_shape_of(c->model, kv, c->capacity);
    char what[64];
    snprintf(what, sizeof what, "a KV cache of %zu positions", c->capacity);
    if (!count_bytes(c, &shape, &table, &scratch, &all))
        return error_set(error, "%s is too large to address", what);
    if (!memory_check(what, all, error) || !kv_open(&c->cache, &shape, error))
        return false;
    c->cosines = malloc(table);
    c->sines = malloc(table);
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
    *c = (struct context){.model = model, .pool = pool, .capacity = capacity, .hook.tensor = HOOK_NONE};
    c->chunk = capacity < CONTEXT_CHUNK ? larger(capacity, MAX_SEQUENCES) : CONTEXT_CHUNK;
    c->sequences = 1;
    size_t floats = attention_scratch(ATTENTION_TOKENS, h->heads / h->kv_heads, h->head_size);
    c->attention_floats = (floats + 15) / 16 * 16; /* every thread's begins on a cache line */
    if (!take_memory(c, kv, error)) {
        context_close(c);
        return NULL;
    }
    lay_out_scratch(c, c->scratch);
    rope_table_init(model, capacity, c->cosines, c->sines);
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

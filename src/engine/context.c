#include "context.h"

#include "kernels/dispatch.h"
#include "sys/memory.h"
#include "experts.h"
#include "product.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- opening --------------------------------------------------------------------------------- */

static void fill_rope(const struct rotary *r, size_t positions, struct rope_tables *out)
{
    size_t half = r->dims / 2;
    double magnitude = r->magnitude > 0 ? (double)r->magnitude : 1;
    for (size_t i = 0; i < half; i++) {
        double rate = rotary_rate(r, i, positions);
        for (size_t p = 0; p < positions; p++) {
            out->cosines[p * half + i] = (float)(magnitude * cos((double)p * rate));
            out->sines[p * half + i] = (float)(magnitude * sin((double)p * rate));
        }
    }
}

static bool has_rotary(const struct model *m, int rotary)
{
    bool any = false;
    for (size_t b = 0; b < m->hyper.layers; b++)
        any |= m->layers[b].rotary == rotary;
    return any;
}

/* Bytes of all tables; false when they cannot be addressed. */
static bool rope_bytes(const struct model *m, size_t positions, size_t *bytes)
{
    size_t halves = 0;
    for (int r = 0; r < ROTARY_TABLES; r++)
        halves += has_rotary(m, r) ? m->rotary[r].dims : 0; /* cosines and sines of half as many */
    return !__builtin_mul_overflow(halves * sizeof(float), positions, bytes);
}

bool rope_tables_open(struct rope_tables tables[ROTARY_TABLES], const struct model *m, size_t positions)
{
    bool ok = true;
    memset(tables, 0, ROTARY_TABLES * sizeof *tables);
    for (int r = 0; ok && r < ROTARY_TABLES; r++) {
        if (!has_rotary(m, r))
            continue;
        size_t floats = positions * (m->rotary[r].dims / 2) + 1;
        tables[r].cosines = malloc(floats * sizeof(float));
        tables[r].sines = malloc(floats * sizeof(float));
        ok = tables[r].cosines && tables[r].sines;
        if (ok)
            fill_rope(&m->rotary[r], positions, &tables[r]);
    }
    return ok;
}

void rope_tables_close(struct rope_tables tables[ROTARY_TABLES])
{
    for (int r = 0; r < ROTARY_TABLES; r++) {
        free(tables[r].cosines);
        free(tables[r].sines);
        tables[r] = (struct rope_tables){0};
    }
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* The widest input of any matrix, and the widest row of a norm, a bias or anything else that is decoded. */
static void measure_rows(const struct model *m, size_t *input, size_t *row)
{
    *input = *row = m->hyper.dim;
    for (size_t t = 0; t < m->tensor_count; t++) {
        size_t cols = m->tensors[t].stored.cols;
        *row = larger(*row, cols);
        *input = larger(*input, roles[m->tensors[t].role].vector ? 0 : cols);
    }
}

/* Points each scratch vector into memory and returns the floats of all; with memory null it only adds up. Every
 * one begins on a cache line. */
static size_t lay_out_scratch(struct context *c, float *memory)
{
    const struct model *m = c->model;
    size_t used = 0, input, row;
    measure_rows(m, &input, &row);
    struct {
        float **at;
        size_t floats;
    } parts[REG_COUNT + 5] = {
        {&c->norm, 2 * row},
        {&c->attention, (size_t)pool_threads(c->pool) * c->attention_floats},
        {(float **)&c->activations, products_scratch(input, c->chunk) / sizeof(float)},
        {&c->experts, experts_floats(m, pool_threads(c->pool), c->chunk)},
        {(float **)&c->order, 2 * c->chunk * model_width(m, REG_CHOSEN)},
    };
    for (enum reg reg = 0; reg < REG_COUNT; reg++) {
        parts[5 + reg].at = &c->reg[reg];
        parts[5 + reg].floats = c->chunk * model_width(m, reg);
    }
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (memory)
            *parts[i].at = memory + used;
        used += (parts[i].floats + 15) / 16 * 16;
    }
    return used;
}

/* Bytes that a context of this capacity takes; false when they cannot be addressed. */
static bool count_bytes(const struct context *c, const struct kv_shape *shape, size_t scratch, size_t *all)
{
    size_t cache, tables;
    return kv_cache_bytes(shape, &cache) && cache <= SIZE_MAX / 4 && rope_bytes(c->model, c->capacity, &tables) &&
           !__builtin_add_overflow(cache, tables, all) && !__builtin_add_overflow(*all, scratch, all);
}

static bool take_memory(struct context *c, enum dtype kv, struct error *error)
{
    size_t all, scratch = lay_out_scratch(c, NULL) * sizeof(float);
    struct kv_shape shape = kv_shape_of(c->model, kv, c->capacity);
    char what[64];
    snprintf(what, sizeof what, "a KV cache of %zu positions", c->capacity);
    if (!count_bytes(c, &shape, scratch, &all))
        return error_set(error, "%s is too large to address", what);
    if (!memory_check(what, all, error) || !kv_open(&c->cache, &shape, error))
        return false;
    c->scratch = aligned_alloc(64, scratch);
    return (rope_tables_open(c->rope, c->model, c->capacity) && c->scratch) ||
           error_set(error, "not enough memory for %s", what);
}

/* Floats of attention's scratch that the layer that needs most of it needs. */
static size_t attention_floats(const struct model *m)
{
    size_t floats = 0;
    for (size_t b = 0; b < m->hyper.layers; b++) {
        const struct layer *l = &m->layers[b];
        floats = larger(floats, attention_scratch(ATTENTION_TOKENS, l->heads / l->kv_heads, l->head_size));
    }
    return (floats + 15) / 16 * 16; /* every thread's begins on a cache line */
}

struct context *context_open_kv(const struct model *model, struct pool *pool, enum dtype kv,
                                size_t capacity, struct error *error)
{
    struct context *c = calloc(1, sizeof *c);
    if (!c) {
        error_set(error, "not enough memory for a context");
        return NULL;
    }
    *c = (struct context){.model = model, .pool = pool, .capacity = capacity, .hook.tensor = HOOK_NONE};
    c->chunk = capacity < CONTEXT_CHUNK ? larger(capacity, MAX_SEQUENCES) : CONTEXT_CHUNK;
    c->sequences = 1;
    c->attention_floats = attention_floats(model);
    if (!take_memory(c, kv, error)) {
        context_close(c);
        return NULL;
    }
    lay_out_scratch(c, c->scratch);
    if (experts_floats(model, 1, 1) > 0 && !(c->expert_uses = calloc(model->tensor_count, sizeof *c->expert_uses))) {
        error_set(error, "not enough memory for a context");
        context_close(c);
        return NULL;
    }
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
    rope_tables_close(c->rope);
    free(c->scratch);
    free(c->expert_uses);
    free(c);
}

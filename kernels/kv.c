#include "kv.h"

#include "out_of_range.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

const enum dtype kv_dtypes[] = {DTYPE_FP32,    DTYPE_FP16,    DTYPE_INT8,
                                DTYPE_FP8E4M3, DTYPE_FP8E5M2, DTYPE_COUNT};

bool kv_takes(enum dtype dtype)
{
    size_t i = 0;
    while (kv_dtypes[i] != DTYPE_COUNT && kv_dtypes[i] != dtype)
        i++;
    return kv_dtypes[i] != DTYPE_COUNT;
}

bool kv_dtype_parse(const char *name, enum dtype *out, struct error *error)
{
    enum dtype dtype = dtype_by_name(name, strlen(name));
    if (dtype == DTYPE_COUNT || !kv_takes(dtype))
        return error_set(error, "KV cache '%.32s': expected " KV_EXPECTED, name);
    *out = dtype;
    return true;
}

static bool has_scales(enum dtype dtype)
{
    return dtypes[dtype].kind != DTYPE_KIND_FLOAT;
}

static size_t code_bytes(enum dtype dtype)
{
    return dtypes[dtype].bits / 8;
}

/* ---- room ------------------------------------------------------------------------------------ */

struct kv_layer kv_layer(const struct kv_shape *s, size_t layer)
{
    return s->each ? s->each[layer] : (struct kv_layer){s->heads, s->head_size};
}

/* Heads of all layers, and the elements of their rows. */
static void count_heads(const struct kv_shape *s, size_t *heads, size_t *elements)
{
    *heads = *elements = 0;
    for (size_t l = 0; l < s->layers; l++) {
        struct kv_layer layer = kv_layer(s, l);
        *heads += layer.heads;
        *elements += layer.heads * layer.head_size;
    }
}

size_t kv_position_bytes(const struct kv_shape *s)
{
    size_t heads, elements;
    count_heads(s, &heads, &elements);
    return 2 * (elements * code_bytes(s->dtype) + (has_scales(s->dtype) ? heads * sizeof(float) : 0));
}

static size_t blocks_of(const struct kv_shape *s)
{
    return s->capacity / KV_BLOCK + (s->capacity % KV_BLOCK != 0);
}

bool kv_cache_bytes(const struct kv_shape *s, size_t *bytes)
{
    return !__builtin_mul_overflow(kv_position_bytes(s) * KV_BLOCK, blocks_of(s), bytes);
}

static bool place_layers(struct kv_cache *c)
{
    c->first_head = calloc(c->shape.layers + 1, sizeof *c->first_head);
    c->first_row = calloc(c->shape.layers + 1, sizeof *c->first_row);
    for (size_t l = 0; c->first_head && c->first_row && l < c->shape.layers; l++) {
        struct kv_layer layer = kv_layer(&c->shape, l);
        c->first_head[l + 1] = c->first_head[l] + layer.heads;
        c->first_row[l + 1] = c->first_row[l] + layer.heads * layer.head_size;
    }
    return c->first_head && c->first_row;
}

/* Elements of keys, and of values. */
static size_t elements_of(const struct kv_cache *c)
{
    return c->first_row[c->shape.layers] * c->blocks * KV_BLOCK;
}

static size_t scales_of(const struct kv_cache *c)
{
    return c->first_head[c->shape.layers] * c->blocks * 2 * KV_BLOCK;
}

bool kv_open(struct kv_cache *c, const struct kv_shape *s, struct error *error)
{
    size_t bytes;
    *c = (struct kv_cache){.shape = *s, .blocks = blocks_of(s)};
    if (!kv_cache_bytes(s, &bytes))
        return error_set(error, "a KV cache of %zu positions is too large to address", s->capacity);
    if (place_layers(c)) {
        /* Zeros: attention reads whole blocks and masks positions past the last. */
        c->keys = calloc(elements_of(c) + 1, code_bytes(s->dtype));
        c->values = calloc(elements_of(c) + 1, code_bytes(s->dtype));
        c->scales = has_scales(s->dtype) ? calloc(scales_of(c) + 1, sizeof *c->scales) : NULL;
    }
    if (c->keys && c->values && (c->scales || !has_scales(s->dtype)))
        return true;
    kv_close(c);
    return error_set(error, "not enough memory for a KV cache of %zu positions", s->capacity);
}

void kv_close(struct kv_cache *c)
{
    free(c->first_head);
    free(c->first_row);
    free(c->keys);
    free(c->values);
    free(c->scales);
    *c = (struct kv_cache){0};
}

void kv_copy(struct kv_cache *c, const struct kv_cache *from)
{
    size_t codes = elements_of(c) * code_bytes(c->shape.dtype);
    memcpy(c->keys, from->keys, codes);
    memcpy(c->values, from->values, codes);
    if (c->scales)
        memcpy(c->scales, from->scales, scales_of(c) * sizeof *c->scales);
}

/* ---- one position ---------------------------------------------------------------------------- */

static float scale_of(enum dtype dtype, const float *x, size_t n)
{
    float largest = 0, nonfinite = 0;
    for (size_t i = 0; i < n; i++) {
        float magnitude = fabsf(x[i]);
        largest = magnitude > largest ? magnitude : largest;
        nonfinite += x[i] - x[i]; /* 0, or NaN once a value is not finite */
    }
    float scale = largest / dtypes[dtype].largest;
    return nonfinite != 0 ? NAN : largest == 0 ? 1.0f : scale < FLT_MIN ? FLT_MIN : scale;
}

/* |q| is at most 127 and a rounding error, or NaN. */
static int8_t int8_code(float q)
{
    return q == q ? (int8_t)round_even(q) : 0;
}

/* Writes n codes, `step` codes apart. scale null: the datatype has none. */
static void encode(enum dtype dtype, const float *x, size_t n, uint8_t *codes, size_t step,
                   float *scale)
{
    const struct dtype_info *type = &dtypes[dtype];
    size_t bytes = code_bytes(dtype);
    if (scale)
        *scale = scale_of(dtype, x, n);
    for (size_t i = 0; i < n; i++) {
        float q = scale ? x[i] / *scale : x[i];
        uint32_t code = type->encode ? type->encode(q) : (uint32_t)(uint8_t)int8_code(q);
        memcpy(codes + i * step * bytes, &code, bytes); /* the low bytes: little-endian */
    }
}

/* Where a head's codes begin, keys and values alike, and its scales. */
static size_t first_code(const struct kv_cache *c, size_t layer, size_t head)
{
    size_t row = c->first_row[layer] + head * kv_layer(&c->shape, layer).head_size;
    return row * c->blocks * KV_BLOCK;
}

static float *first_scale(const struct kv_cache *c, size_t layer, size_t head)
{
    return c->scales ? c->scales + (c->first_head[layer] + head) * c->blocks * 2 * KV_BLOCK : NULL;
}

void kv_put(struct kv_cache *c, size_t layer, size_t position, const float *keys,
            const float *values)
{
    struct kv_layer shape = kv_layer(&c->shape, layer);
    size_t n = shape.head_size, bytes = code_bytes(c->shape.dtype), at = position % KV_BLOCK;
    size_t block = position / KV_BLOCK;
    for (size_t head = 0; head < shape.heads; head++) {
        size_t first = first_code(c, layer, head);
        float *scales = first_scale(c, layer, head);
        scales = scales ? scales + block * 2 * KV_BLOCK + at : NULL;
        uint8_t *k = c->keys + (first + block * KV_BLOCK * n + at) * bytes;
        uint8_t *v = c->values + (first + (block * KV_BLOCK + at) * n) * bytes;
        encode(c->shape.dtype, keys + head * n, n, k, KV_BLOCK, scales);
        encode(c->shape.dtype, values + head * n, n, v, 1, scales ? scales + KV_BLOCK : NULL);
    }
    if (c->shape.dtype == DTYPE_FP16)
        c->overflowed += count_overflow(DTYPE_FP16, keys, shape.heads * n) +
                         count_overflow(DTYPE_FP16, values, shape.heads * n);
}

struct kv_head kv_head(const struct kv_cache *c, size_t layer, size_t head)
{
    size_t at = first_code(c, layer, head) * code_bytes(c->shape.dtype);
    return (struct kv_head){c->shape.dtype, kv_layer(&c->shape, layer).head_size, c->keys + at, c->values + at,
                            first_scale(c, layer, head)};
}

static float decode(enum dtype dtype, const uint8_t *code)
{
    uint32_t bits = 0;
    memcpy(&bits, code, code_bytes(dtype));
    return dtypes[dtype].decode ? dtypes[dtype].decode(bits) : (float)(int8_t)bits;
}

void kv_get(const struct kv_cache *c, size_t layer, size_t head, size_t position, float *keys,
            float *values)
{
    struct kv_head h = kv_head(c, layer, head);
    size_t n = h.head_size, bytes = code_bytes(h.dtype), at = position % KV_BLOCK;
    size_t block = position / KV_BLOCK;
    const float *scales = h.scales ? h.scales + block * 2 * KV_BLOCK + at : NULL;
    for (size_t i = 0; i < n; i++) {
        keys[i] = decode(h.dtype, h.keys + ((block * n + i) * KV_BLOCK + at) * bytes);
        values[i] = decode(h.dtype, h.values + ((block * KV_BLOCK + at) * n + i) * bytes);
        keys[i] *= scales ? scales[0] : 1.0f;
        values[i] *= scales ? scales[KV_BLOCK] : 1.0f;
    }
}

/* kv.h - the KV cache in fp32, fp16, int8 or fp8.
 *
 * For each layer and each KV head, positions follow each other in KV blocks of KV_BLOCK: one head's keys are
 * one stream, and so are its values. In a block, keys are stored dimension by dimension (head_size x KV_BLOCK),
 * so that the scores of its positions need no sums across lanes; values are stored position by position
 * (KV_BLOCK x head_size).
 *
 * int8 (symmetric) and fp8 have one fp32 scale for each head and position, of the keys and of the
 * values: scale = max|x| / 127, / 448 or / 57344, or 1 where all are 0. A head with a NaN or an infinity has
 * scale NaN, so everything computed from it is NaN, too. */
#ifndef QTOP_KV_H
#define QTOP_KV_H

#include "dtype.h"
#include "base/error.h"

enum { KV_BLOCK = 32 };

/* What one layer keeps. */
struct kv_layer {
    size_t heads;           /* 0: it reads another layer's */
    size_t head_size;
};

struct kv_shape {
    enum dtype dtype;
    size_t layers, heads, head_size, capacity; /* capacity: positions */
    const struct kv_layer *each; /* of the layers, where they differ, instead of heads and head_size; borrowed */
};

struct kv_cache {
    struct kv_shape shape;
    size_t blocks;          /* KV blocks of each head */
    size_t *first_head;     /* of each layer: heads of the layers before it */
    size_t *first_row;      /* and their elements, heads x head_size (layers + 1) */
    uint8_t *keys, *values; /* codes: of each layer heads x blocks x KV_BLOCK x head_size each */
    size_t overflowed;      /* finite numbers that were put and that fp16 has no room for, since it was opened */
    float *scales;          /* heads of all layers x blocks x 2 (keys, values) x KV_BLOCK; null without scales */
};

/* One head of one layer. Block b begins b * KV_BLOCK * head_size codes after keys and values, and its scales
 * b * 2 * KV_BLOCK after scales, those of the keys first. */
struct kv_head {
    enum dtype dtype;
    size_t head_size;
    const uint8_t *keys, *values;
    const float *scales;
};

/* The datatypes that a cache can have, in the order that a screen cycles through; ends with DTYPE_COUNT. */
extern const enum dtype kv_dtypes[];
#define KV_EXPECTED "fp32, fp16, int8, fp8e4m3 or fp8e5m2"

bool kv_takes(enum dtype dtype);

/* The datatype of that name. An error where a cache cannot have it. */
bool kv_dtype_parse(const char *name, enum dtype *out, struct error *error);

/* Bytes of codes and scales that one position takes, over all layers and heads. */
size_t kv_position_bytes(const struct kv_shape *shape);

/* Bytes that a cache takes, its last blocks padded. False when they do not fit in a size_t. */
bool kv_cache_bytes(const struct kv_shape *shape, size_t *bytes);

/* An empty cache. The error says when memory is short; free with kv_close, which takes an all-zero
 * one, too. */
bool kv_open(struct kv_cache *cache, const struct kv_shape *shape, struct error *error);
void kv_close(struct kv_cache *cache);

/* Gives a cache what another of the same shape holds. */
void kv_copy(struct kv_cache *cache, const struct kv_cache *from);

/* What a layer of the shape keeps. */
struct kv_layer kv_layer(const struct kv_shape *shape, size_t layer);

/* Encodes keys and values (heads x head_size each, RoPE applied) at a position. */
void kv_put(struct kv_cache *cache, size_t layer, size_t position, const float *keys,
            const float *values);

struct kv_head kv_head(const struct kv_cache *cache, size_t layer, size_t head);

/* Decodes one head's keys and values (head_size each) of a position: for tests and views. */
void kv_get(const struct kv_cache *cache, size_t layer, size_t head, size_t position, float *keys,
            float *values);

#endif

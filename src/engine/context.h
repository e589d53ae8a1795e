/* context.h - a KV cache with scratch, and the forward pass that runs a weight set in it. */
#ifndef QTOP_CONTEXT_H
#define QTOP_CONTEXT_H

#include "kernels/ops.h"
#include "sys/pool.h"
#include "weights.h"

/* Tokens in one pass at most; and in one that must end soon, or whose every logit is kept. */
enum { CONTEXT_CHUNK = 256, CONTEXT_SLICE = 32 };

/* Tokens of a prefill whose queries share one pass over a head's keys and values. */
enum { ATTENTION_TOKENS = 8 };

enum { MAX_SEQUENCES = 64 };

enum { HOOK_NONE = -1, HOOK_ALL = -2 };

/* Sees the product of a tensor as it is computed: y = W x, x (tokens x cols), y (tokens x rows). */
struct hook {
    int tensor; /* or HOOK_NONE, HOOK_ALL */
    void (*see)(void *arg, const struct qtensor *w, const float *x, const float *y, size_t tokens);
    void *arg;
};

/* Cosines and sines of rotary embeddings: (positions, dims / 2) each. */
struct rope_tables {
    float *cosines, *sines;
};

struct context {
    const struct model *model;
    struct pool *pool;
    size_t capacity;         /* positions that the cache has room for */
    size_t chunk;            /* tokens that scratch has room for: CONTEXT_CHUNK, or fewer in a small cache */
    size_t length;           /* positions in the cache */
    struct kv_cache cache;
    struct kv_cache *others; /* of sequences beyond the first (context_sequences) */
    size_t sequences;
    bool batched;            /* each token of the pass belongs to a sequence of its own */
    const struct operators *ops;
    struct rope_tables rope[ROTARY_TABLES]; /* of model->rotary; empty where no layer has it */
    float *scratch;          /* what all pointers below point into */
    float *reg[REG_COUNT];   /* registers of the steps (layer.h): (chunk, model_width) */
    float *norm;             /* a norm or a bias, decoded */
    float *experts;          /* scratch of experts_multiply */
    uint32_t *order;         /* of the pairs of token and expert, by expert (chunk x experts used) */
    float *attention;        /* scratch of attention (threads, attention_floats) */
    size_t attention_floats;
    void *activations;       /* scratch of products_run */
    uint64_t *expert_uses;   /* of each tensor of an expert's last matrix: tokens that used it; null: no experts */
    uint64_t routed;         /* tokens that went through a router, of the first block that has one */
    struct hook hook;
    double *tensor_seconds;  /* each tensor's time is added, and last attention's (tensors + 1); or null */
};

/* Room for `capacity` positions in an fp32 cache. The error says what does not fit in memory. */
struct context *context_open(const struct model *model, struct pool *pool, size_t capacity,
                             struct error *error);

/* The same with a cache of another datatype. */
struct context *context_open_kv(const struct model *model, struct pool *pool, enum dtype kv,
                                size_t capacity, struct error *error);

/* Replaces the cache by an empty one of another datatype; on failure nothing changes. */
bool context_change_kv(struct context *context, enum dtype kv, struct error *error);

void context_close(struct context *context);

/* The tables of model->rotary for the first `positions` positions. False when memory is short, and then, too, free with
 * rope_tables_close. */
bool rope_tables_open(struct rope_tables tables[ROTARY_TABLES], const struct model *model, size_t positions);
void rope_tables_close(struct rope_tables tables[ROTARY_TABLES]);

enum logits { LOGITS_NONE, LOGITS_LAST, LOGITS_ALL };

/* Runs n tokens (1..CONTEXT_CHUNK, ids within the vocabulary, context->length + n <= capacity) and
 * appends them to the cache. logits receives vocab floats for the last token or for each.
 * A transformer's decoder (Vaswani et al. 2017), whose blocks are the steps of the model's layers (layer.h). */
void context_run(struct context *context, const struct weights *weights, const int32_t *tokens,
                 size_t n, enum logits which, float *logits);

/* Makes n (1..MAX_SEQUENCES) independent sequences, each with a cache of its own that begins as a copy of
 * the first one's. On failure there is one. */
bool context_sequences(struct context *context, size_t n, struct error *error);

/* One decode step of every sequence: tokens and logits (sequences x vocab) of each. Weights are read once
 * for all of them. */
void context_step(struct context *context, const struct weights *weights, const int32_t *tokens,
                  float *logits);

/* The same as context_run for any n, in chunks; only the last token's logits. */
void context_prefill(struct context *context, const struct weights *weights, const int32_t *tokens,
                     size_t n, float *logits);

#endif

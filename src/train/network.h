/* network.h - a model's forward pass over whole windows that saves the activations its backward pass needs, in
 * float32: the steps of the model's blocks (model/layer.h), with any weights (fake-quantized ones among them) and
 * activations that linear layers round as their format says.
 *
 * Rounding has no useful derivative: gradients go through it as if it were not there, the straight-through
 * estimator (Bengio et al. 2013; Jacob et al. 2018). What is computed does not depend on the number of threads. */
#ifndef QTOP_NETWORK_H
#define QTOP_NETWORK_H

#include "sys/pool.h"
#include "model/model.h"
#include "attention.h"
#include "engine/context.h"
#include "linalg/dense.h"

/* One tensor of the model as the passes see it. */
struct network_tensor {
    const float *weights;       /* rows x cols */
    float *gradient;            /* rows x cols, added to; null: not wanted */
    const struct qmatrix *acts; /* whose scheme its activations take; null: untouched */
};

/* The values of a block, rows of all tokens. */
struct network_block {
    float *x;                      /* what goes in (n x dim) */
    float **value;                 /* what each step wrote: a place of its own where the backward pass reads it, else the
                                    * register's, which others overwrite */
};

struct network {
    const struct model *model;
    struct pool *pool;
    struct network_tensor *tensors;   /* one a tensor of the model */
    size_t windows, length, n;     /* n = windows x length tokens */
    const int32_t *tokens;         /* of the pass under way */
    const struct rope_tables *rope; /* of `length` positions, the caller's */
    struct network_block *blocks;
    float *reg[REG_COUNT];         /* values that no backward pass reads: n x model_width */
    float *gradient[REG_COUNT];    /* by registers, the same */
    bool there[REG_COUNT];         /* whether anything was added to it yet */
    float *x, *normed;             /* the last block's output, the head's input: n x dim */
    float *logits;                 /* n x vocab; capped where the model does that */
    float *scratch;                /* n x widest */
    float *rounded;                /* n x widest: activations as a scheme takes them */
    float *attention;
    uint8_t *activations;          /* activations_bytes for each thread */
    size_t widest, activations_bytes;
    struct dense dense;
    float *memory;                 /* what the pointers above point into */
};

/* Whether every step of the model has a backward pass; the error names the first block and what it does not. */
bool network_trains(const struct model *model, struct error *error);

/* Bytes that passes over windows x length tokens take; false when they cannot be addressed. */
bool network_bytes(const struct model *model, size_t windows, size_t length, int threads, size_t *bytes);

/* The caller fills tensors. False when memory is short; network_close after that, too. */
bool network_open(struct network *net, const struct model *model, struct pool *pool, size_t windows,
                  size_t length, const struct rope_tables *rope, struct error *error);
void network_close(struct network *net);

/* A pass: embed, the blocks in order, head; then net->logits are there. */
void network_embed(struct network *net, const int32_t *tokens);
void network_block(struct network *net, size_t block);
void network_head(struct network *net);

/* Backward: net->logits holds the loss's gradient by the logits (by the capped ones where `capped`, n x vocab,
 * holds those; else null); then the blocks from the last to the first, then the embedding. */
void network_head_back(struct network *net, const float *capped);
void network_block_back(struct network *net, size_t block);
void network_embed_back(struct network *net);

/* What linear layer m makes of n rows x (m's columns) of activations before it multiplies, as the kernels do it:
 * out. scratch: activations_scratch of 32 tokens for each thread, `bytes` apart. */
void round_activations(const struct qmatrix *m, const float *x, size_t n, float *out, struct pool *pool,
                       uint8_t *scratch, size_t bytes);

#endif

/* network.h - a model's forward pass over whole windows that saves the activations its backward pass needs, in
 * float32: the operators and architectures of engine/forward.h, with any weights (fake-quantized ones among them)
 * and activations that linear layers round as their format says.
 *
 * Rounding has no useful derivative: gradients go through it as if it were not there, the straight-through
 * estimator (Bengio et al. 2013; Jacob et al. 2018). What is computed does not depend on the number of threads. */
#ifndef QTOP_NETWORK_H
#define QTOP_NETWORK_H

#include "sys/pool.h"
#include "model/model.h"
#include "attention.h"
#include "linalg/dense.h"

/* One tensor of the model as the passes see it. */
struct network_tensor {
    const float *weights;       /* rows x cols */
    float *gradient;            /* rows x cols, added to; null: not wanted */
    const struct qmatrix *acts; /* whose scheme its activations take; null: untouched */
};

/* A block's activations that its backward pass needs, rows of all tokens; null where the model has none. */
struct saved_activations {
    float *x, *normed, *q_raw, *k_raw, *q, *k, *v, *attended, *projected;
    float *mid, *normed_mid, *gate, *up, *active, *added;
};

struct network {
    const struct model *model;
    struct pool *pool;
    struct network_tensor *tensors;   /* one a tensor of the model */
    size_t windows, length, n;     /* n = windows x length tokens */
    const int32_t *tokens;         /* of the pass under way */
    float *cosines, *sines;        /* length x rope_dims / 2, the caller's */
    struct saved_activations *blocks;
    float *x, *normed;             /* the last block's output, the head's input: n x dim */
    float *logits;                 /* n x vocab; capped where the model does that */
    float *dx;                     /* n x dim: the gradient on its way down */
    float *scratch[4];             /* n x widest */
    float *rounded;                /* n x widest: activations as a scheme takes them */
    float *attention;
    uint8_t *activations;          /* activations_bytes for each thread */
    size_t widest, activations_bytes;
    struct dense dense;
    float *memory;                 /* what the pointers above point into */
};

/* Bytes that passes over windows x length tokens take; false when they cannot be addressed. */
bool network_bytes(const struct model *model, size_t windows, size_t length, int threads, size_t *bytes);

/* The caller fills tensors. False when memory is short; network_close after that, too. */
bool network_open(struct network *net, const struct model *model, struct pool *pool, size_t windows,
                  size_t length, float *cosines, float *sines, struct error *error);
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

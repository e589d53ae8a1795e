/* attention.h - causal attention over whole windows and its gradient, for training: grouped-query heads, windowed
 * layers and capped scores as in kernels/ops.h. Probabilities are not saved: the backward pass computes them
 * again from queries and keys. The same bits with any number of threads. */
#ifndef QTOP_TRAIN_ATTENTION_H
#define QTOP_TRAIN_ATTENTION_H

#include "sys/pool.h"
#include "model/model.h"

/* Rows of all windows, one after another: q, out and their gradients (windows x length) x (heads x head_size);
 * k, v and theirs x (kv_heads x head_size). */
struct causal {
    const struct layer *layer;
    float cap;                     /* of scores; 0: none */
    size_t windows, length;
    const float *q, *k, *v;
    float *out;                    /* of the forward pass */
    const float *dout;             /* gradient by out, which the backward pass reads */
    float *dq, *dk, *dv;           /* gradients that the backward pass writes */
    float *scratch;                /* causal_floats for each thread */
};

/* Floats of scratch that a thread needs for windows of a length and heads of a size. */
size_t causal_floats(size_t head_size, size_t length);

void causal_forward(const struct causal *a, struct pool *pool);
void causal_backward(const struct causal *a, struct pool *pool);

#endif

/* steps.h - the interpreter of a block's steps (model/layer.h) on a context's registers. */
#ifndef QTOP_STEPS_H
#define QTOP_STEPS_H

#include "context.h"

/* Runs steps begin .. end - 1 of a block for n tokens at positions context->length on. */
void steps_run(struct context *context, const struct weights *weights, size_t block, size_t begin, size_t end, size_t n);

/* What the steps and the parts outside the blocks share: y = W x for n tokens and the bias, whose role follows that of
 * W; and out = the norm of `count` vectors of n elements, without weights where no tensor has the role. block -1:
 * outside. */
void steps_linear(struct context *context, const struct weights *weights, enum role role, int block, const float *x,
                  size_t n, float *y);
void steps_norm(struct context *context, const struct weights *weights, enum role role, int block, const float *x,
                size_t count, size_t n, float *out);

/* x (n) *= factor. */
static inline void steps_scale(float *x, size_t n, float factor)
{
    for (size_t i = 0; i < n; i++)
        x[i] *= factor;
}

/* The position of a token of the pass, and the cache that it belongs to. */
static inline size_t context_position(const struct context *c, size_t token)
{
    return c->batched ? c->length : c->length + token;
}

static inline struct kv_cache *context_cache(struct context *c, size_t token)
{
    return c->batched && token > 0 ? &c->others[token - 1] : &c->cache;
}

#endif

/* multiply.h - products of a set's tensors on a context. */
#ifndef QTOP_MULTIPLY_H
#define QTOP_MULTIPLY_H

#include "context.h"

/* y = W x for n tokens, on the quantized codes: timed and shown to the context's hook where it wants that. */
void context_multiply(struct context *context, const struct qtensor *w, const float *x, size_t n, float *y);

/* The same for `count` tensors, 1 to MAX_TOGETHER, with one input: one task where they are alike and nobody looks at
 * each. */
void context_multiply_together(struct context *context, const struct qtensor *const w[], size_t count, const float *x,
                               size_t n, float *const y[]);

/* x += a row of biases (null: none), for n tokens; it is decoded into `row`, such as context->norm. */
void context_add_bias(const struct context *context, const struct qtensor *bias, float *row, float *x, size_t n);

#endif

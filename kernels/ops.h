/* ops.h - the transformer's other operators, on fp32. Vectors have n elements; in and out may be the
 * same unless stated. */
#ifndef QTOP_OPS_H
#define QTOP_OPS_H

#include <stddef.h>

/* Root-mean-square normalization (Zhang and Sennrich 2019): out = weight * x / sqrt(mean x^2 + eps). */
void op_rmsnorm(float *out, const float *x, const float *weight, size_t n, float eps);

/* x becomes exp(x - max) / sum: probabilities. */
void op_softmax(float *x, size_t n);

/* Rotary position embedding (Su et al. 2021) of one head: pairs (2i, 2i+1) turn by angle i, whose
 * cosines and sines (n/2 of each) belong to the position. */
void op_rope(float *x, const float *cosines, const float *sines, size_t n);

/* SwiGLU (Shazeer 2020): gate becomes silu(gate) * up. */
void op_swiglu(float *gate, const float *up, size_t n);

void op_add(float *x, const float *y, size_t n);

/* Attention of one query head over positions 0..length-1: keys and values of position p begin
 * p * stride floats after k and v. scores is scratch of length floats; out receives n. */
void op_attention(float *out, const float *q, const float *k, const float *v, size_t n,
                  size_t stride, size_t length, float *scores);

#endif

/* gradients.h - the derivatives of the operators of kernels/ops.h: from dy, the loss's gradient by an
 * operator's output, those by what went in. Vectors have n elements. Results are added to where a name
 * says += and written otherwise; a null weight or bias gradient is not wanted. */
#ifndef QTOP_GRADIENTS_H
#define QTOP_GRADIENTS_H

#include <stddef.h>
#include <stdint.h>

/* y = w x / sqrt(mean x^2 + eps): dx +=, dw +=. */
void rmsnorm_gradient(const float *x, const float *w, const float *dy, size_t n, float eps, float *dx, float *dw);
/* y = w (x - mean) / sqrt(variance + eps) + b: dx +=, dw +=, db +=. */
void layernorm_gradient(const float *x, const float *w, const float *dy, size_t n, float eps, float *dx,
                        float *dw, float *db);
/* In place: turns gradients back by the angles that the elements were turned by. */
void rope_gradient(float *dx, const float *cosines, const float *sines, size_t n);
void rope_halves_gradient(float *dx, const float *cosines, const float *sines, size_t n);
/* d, the gradient by probabilities p = softmax(x), becomes that by x. */
void softmax_gradient(const float *p, float *d, size_t n);
/* y = silu(gate) up: both written. */
void swiglu_gradient(const float *gate, const float *up, const float *dy, size_t n, float *dgate, float *dup);
/* d, the gradient by y = an activation of x, becomes that by x. */
void silu_gradient(const float *x, float *d, size_t n);
void relu_gradient(const float *x, float *d, size_t n);
void relu_squared_gradient(const float *x, float *d, size_t n);
void gelu_gradient(const float *x, float *d, size_t n);
void gelu_tanh_gradient(const float *x, float *d, size_t n);
/* d, the gradient by y = cap tanh(x / cap), becomes that by x. */
void soft_cap_gradient(const float *y, float *d, size_t n, float cap);

/* The loss of one prediction, and its gradient by the logits: share times the KL divergence of the model's
 * distribution Q from the teacher's P, KL(P || Q), and 1 - share times the cross entropy with the next token
 * (Hinton et al. 2015, with temperature 1). d becomes factor times the gradient; a null d is not wanted.
 * scratch: 2 n floats. */
struct loss {
    double share, factor;
};
double loss_gradient(const struct loss *loss, const float *teacher, const float *logits, int32_t next, size_t n,
                     float *d, float *scratch);

#endif

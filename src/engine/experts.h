/* experts.h - mixtures of experts (Shazeer et al. 2017; Fedus et al. 2021): which experts a token uses, their products
 * on the rows of the tokens that use them, and the sum of what they give. */
#ifndef QTOP_EXPERTS_H
#define QTOP_EXPERTS_H

#include "context.h"

/* The experts of n tokens from the router's logits (n x experts, overwritten): REG_CHOSEN and REG_SHARE; counts them.
 * bias: added to what experts are chosen by; or null. */
void experts_route(struct context *context, const struct layer *layer, const float *bias, float *logits, size_t n);

/* A STEP_EXPERTS of a layer: of each token the products of its experts, one after another. Each expert is read once. */
void experts_multiply(struct context *context, const struct weights *weights, const struct layer *layer,
                      const struct step *step, size_t n);

/* Floats of scratch that a pool of so many threads needs for that, for at most so many tokens; 0: nothing is an
 * expert. */
size_t experts_floats(const struct model *model, int threads, size_t tokens);

/* out (n x dim) = the sum of x (n x experts used x dim), times REG_SHARE. */
void experts_combine(struct context *context, const struct mixture *mixture, const float *x, size_t n, float *out);

#endif

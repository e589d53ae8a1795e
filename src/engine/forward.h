/* forward.h - the parts of the forward pass on a context's scratch, for n tokens at positions
 * context->length on: what context_run is made of, cut where linear layers take their input. */
#ifndef QTOP_FORWARD_H
#define QTOP_FORWARD_H

#include "context.h"

/* The embeddings of the tokens: the hidden state. Comes first; it chooses the operators. */
void forward_embed(struct context *c, const struct weights *w, const int32_t *tokens, size_t n);

/* One segment of a block (layer.h), which reads and writes the hidden state. */
void forward_segment(struct context *c, const struct weights *w, struct segment segment, size_t n);

/* All of them up to the head, in order, each on the hidden states that the one before left: part 0 embeds, every
 * segment is one. What takes turns with a pass waits for one part. */
size_t forward_parts(const struct model *model);
void forward_part(struct context *c, const struct weights *w, size_t part, const int32_t *tokens, size_t n);

/* Weights that a token is multiplied by in the part that has the most; on average, where experts are chosen. */
double forward_largest_part(const struct model *model);

/* Tokens that run together through so many weights in some 10 ms, a multiple of 16 from 16 to FORWARD_MOST. */
enum { FORWARD_MOST = 128 };
size_t forward_tokens(double weights);

/* The hidden states of n tokens from the `skip`-th on to REG_NORMED, the input of the head. */
void forward_output_input(struct context *c, const struct weights *w, size_t skip, size_t n);

/* Logits (count x vocab) of the tokens from the `skip`-th on; the hidden state stays. */
void forward_logits(struct context *c, const struct weights *w, size_t skip, size_t count, float *logits);

/* Comes last: the tokens are in the cache now, and logits of the last or of all as for context_run. */
void forward_finish(struct context *c, const struct weights *w, size_t n, enum logits which, float *logits);

#endif

/* forward.h - the parts of the forward pass on a context's scratch, for n tokens at positions
 * context->length on: what context_run is made of, cut where linear layers take their input. */
#ifndef QTOP_FORWARD_H
#define QTOP_FORWARD_H

#include "context.h"

/* The embeddings of the tokens: the hidden state. Comes first; it chooses the operators. */
void forward_embed(struct context *c, const struct weights *w, const int32_t *tokens, size_t n);

/* One segment of a block (layer.h), which reads and writes the hidden state. */
void forward_segment(struct context *c, const struct weights *w, struct segment segment, size_t n);

/* The hidden states of n tokens from the `skip`-th on to REG_NORMED, the input of the head. */
void forward_output_input(struct context *c, const struct weights *w, size_t skip, size_t n);

/* Comes last: the tokens are in the cache now, and logits of the last or of all as for context_run. */
void forward_finish(struct context *c, const struct weights *w, size_t n, enum logits which, float *logits);

#endif

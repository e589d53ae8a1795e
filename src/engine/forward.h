/* forward.h - the parts of the forward pass on a context's scratch, for n tokens at positions
 * context->length on: what context_run is made of, cut where linear layers take their input. */
#ifndef QTOP_FORWARD_H
#define QTOP_FORWARD_H

#include "context.h"

/* The embeddings of the tokens: c->x. Comes first; it chooses the operators. */
void forward_embed(struct context *c, const struct weights *w, const int32_t *tokens, size_t n);

/* c->x to c->normed, the input of queries, keys and values; that to c->attended, the input of the
 * projection behind attention, with keys and values in the cache; that added to c->x. */
void forward_heads_input(struct context *c, const struct weights *w, int block, size_t n);
void forward_heads(struct context *c, const struct weights *w, int block, size_t n);
void forward_attn_out(struct context *c, const struct weights *w, int block, size_t n);

/* c->x to c->normed, the input of gate and up; that to c->gate, the input of down; that added to c->x. */
void forward_ffn_input(struct context *c, const struct weights *w, int block, size_t n);
void forward_ffn(struct context *c, const struct weights *w, int block, size_t n);
void forward_ffn_down(struct context *c, const struct weights *w, int block, size_t n);

/* c->x of n tokens from the `skip`-th on to c->normed, the input of the head. */
void forward_output_input(struct context *c, const struct weights *w, size_t skip, size_t n);

/* Half h of the blocks, h = 0 .. 2 layers - 1, all of it: attention of block h / 2 where h is even, its
 * feed-forward layers where h is odd. */
void forward_half(struct context *c, const struct weights *w, size_t half, size_t n);

/* Comes last: the tokens are in the cache now, and logits of the last or of all as for context_run. */
void forward_finish(struct context *c, const struct weights *w, size_t n, enum logits which, float *logits);

#endif

/* generation.h - one text being generated: its tokens, its KV cache and what was probable at each token.
 *
 * The KV cache holds what is before the newest token. A decode step of the newest one can be repeated: the same
 * bytes and the same arithmetic, with the same result. */
#ifndef QTOP_LAB_GENERATION_H
#define QTOP_LAB_GENERATION_H

#include "engine/context.h"
#include "engine/sampler.h"
#include "frame.h"
#include "session/session.h"

struct generation {
    const struct session *session;
    struct context *context;            /* null: closed */
    struct sampler sampler;
    struct tokens tokens;               /* BOS and prompt first */
    struct candidate_token *candidates; /* tokens x CANDIDATES, the most probable first */
    size_t candidate_room;              /* tokens */
    float *logits, *probabilities;      /* vocab, of the newest token */
    int32_t *order;                     /* vocab: the sampler's scratch */
    bool ended;                         /* the text is over, or the context is full */
};

/* False with an error; generation_close may follow, or {0}. */
bool generation_open(struct generation *g, const struct session *session, const struct model *model, enum dtype kv,
                     struct error *error);
void generation_close(struct generation *g);

/* Back to the first `prompt` tokens of g->tokens. */
void generation_rewind(struct generation *g, size_t prompt, float temperature, float top_p, uint64_t seed);

/* Runs what is before the newest token: chunks for about `seconds`. Returns the tokens run. */
size_t generation_prefill(struct generation *g, const struct weights *weights, double seconds);

/* Whether a decode step would stand at the newest token. */
bool generation_ready(const struct generation *g);

/* The decode step of the newest token or, where some before it have not run, of the first of those. The cache stays as
 * long as it is. */
void generation_decode(struct generation *g, const struct weights *weights);

/* Chooses the next token from the logits of the newest, which the KV cache then keeps, and appends it. */
void generation_advance(struct generation *g);

#endif

/* timed_prompt.h - how long a prompt takes, measured in pieces between which other work may run. */
#ifndef QTOP_TIMED_PROMPT_H
#define QTOP_TIMED_PROMPT_H

#include "engine/context.h"

/* A prompt in parts (forward.h), whose times are added: what takes turns with it is in none. {0} begins one. */
struct timed_prompt {
    size_t done;    /* tokens, of whole passes */
    size_t part;    /* of the next pass */
    double seconds; /* so far */
};

/* The next part of n tokens in a context that was empty before; true when logits (vocab) of the last are there. */
bool timed_prompt_step(struct timed_prompt *prompt, struct context *context, const struct weights *weights,
                       const int32_t *tokens, size_t n, float *logits);

#endif

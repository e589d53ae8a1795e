/* speed_sample.h - one sample of decode and prefill speed: a prompt and some decode steps after it, in pieces between
 * which a job may pause. Any tokens do: speed does not depend on which. */
#ifndef QTOP_SPEED_SAMPLE_H
#define QTOP_SPEED_SAMPLE_H

#include "measure/timed_prompt.h"
#include "session.h"

enum { SAMPLE_PROMPT = 64 };

struct speed_sample {
    struct context *context;
    float *logits;          /* vocab */
    int32_t ids[SAMPLE_PROMPT];
    size_t prompt, decoded; /* tokens of a sample, from 1; a caller may take fewer */
    struct timed_prompt timed; /* the prompt so far */
    size_t steps;           /* decode steps so far */
    double decode_seconds;  /* so far */
};

/* A prompt of up to half of the context, and up to `decoded` tokens of the rest. False with an error. */
bool speed_sample_open(struct speed_sample *sample, const struct session *session, enum dtype kv, size_t decoded,
                       struct error *error);
void speed_sample_close(struct speed_sample *sample); /* {0} is fine */

/* Runs a part of the prompt's pass, or one decode step, with a set. True when that was the last: the sample's tokens/s, and
 * the next step begins another. */
bool speed_sample_step(struct speed_sample *sample, struct weights *set, double *prefill, double *decode);

#endif

/* speed.h - decode and prefill speed of a weight set, and the share of the read roof it reaches. */
#ifndef QTOP_SPEED_H
#define QTOP_SPEED_H

#include "../session.h"
#include "bandwidth.h"

struct speed_plan {
    size_t prompt_tokens; /* prefilled in one pass */
    size_t decode_tokens; /* generated and timed a sample */
    size_t samples;       /* at least 1; the figures are medians */
    size_t batch;         /* sequences decoded side by side, 1..MOST_SEQUENCES */
};

struct speed {
    struct spread decode, prefill; /* tokens per second */
    size_t batch;
    size_t bytes_per_token;  /* at the middle of the timed stretch; a step's over its sequences */
    double bandwidth;        /* bytes per second, computed: bytes/token x decode tokens/s */
    struct spread peak_read; /* bytes per second */
    struct spread fraction;  /* of adjacent pairs: bandwidth / the sweep just before */
    const char *fraction_reason; /* why there is none, or null */
    size_t samples;
};

/* Runs the plan, clamped to the context. probe null: no roof is measured. */
bool speed_measure(const struct session *session, const struct weights *weights,
                   const struct speed_plan *plan, const struct bandwidth_probe *probe,
                   struct speed *out, struct error *error);

#endif

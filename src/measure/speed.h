/* speed.h - decode and prefill speed of a weight set, and the share of the read roof it reaches. */
#ifndef QTOP_SPEED_H
#define QTOP_SPEED_H

#include "base/stats.h"
#include "engine/context.h"
#include "bandwidth.h"

struct speed_plan {
    const struct model *model;
    struct pool *pool;
    size_t context;       /* positions that may be used */
    int32_t start;        /* the token that a prompt begins with */
    size_t depth;         /* positions in the cache before the prompt, whose time does not count */
    size_t prompt_tokens; /* prefilled in one pass */
    size_t prompts;       /* prefilled one after the other a sample; 0: one */
    size_t decode_tokens; /* generated and timed a sample */
    size_t samples;       /* rounds, at least 1; the figures are medians */
    size_t max_samples;   /* of a comparison, which continues up to here while ratios are uncertain; 0: samples */
    size_t batch;         /* sequences decoded side by side, 1..MAX_SEQUENCES */
    bool decode_at_depth; /* decoding begins at the depth, too, and not after the prompt */
    bool (*cancelled)(void *arg); /* asked after every round, whether it was the last; or null */
    void *cancelled_arg;
};

/* Of rounds in which both were timed one after the other: the median of x / base, and the interval of its order
 * statistics that holds the true median with a probability of at least 0.95 (where there are fewer than 6 rounds,
 * their minimum and maximum). */
struct ratio {
    double median, low, high;
};

enum { RATES_KEPT = 64 };

struct speed {
    struct stats decode, prefill; /* tokens per second */
    double decode_rates[RATES_KEPT], prefill_rates[RATES_KEPT]; /* of the first rounds, in their order */
    size_t batch;
    size_t bytes_per_token;  /* at the middle of the timed tokens; a step's over its sequences */
    double bandwidth;        /* bytes per second, computed: bytes/token x decode tokens/s */
    struct stats peak_read;  /* bytes per second */
    struct stats fraction;   /* of adjacent pairs: bandwidth / the sweep just before */
    const char *fraction_reason; /* why there is none, or null */
    bool roof_disturbed;     /* the sweeps lie far apart, or decoding exceeds them: they are too low (roofs.h) */
    size_t samples; /* rounds; 0: cancelled before the first was finished, and no other figure is there */
    struct ratio decode_ratio, prefill_ratio; /* to the first set of a comparison */
};

enum { MAX_COMPARED = 16 };

/* The ratio of n pairs, n > 0. */
struct ratio ratio_of(const double *x, const double *base, size_t n);

/* Runs the plan, clamped to the context, of which the depth must leave two positions. probe null: no roof is measured. */
bool speed_measure(const struct weights *weights, const struct speed_plan *plan, const struct bandwidth_probe *probe,
                   struct speed *out, struct error *error);

/* The same for some sets (1..MAX_COMPARED) in interleaved rounds, each of which times every set once and begins with
 * another one, so that other load on the machine affects all alike. Continues while the interval of some
 * ratio is wider than 2 %, up to max_samples. out: one a set. */
bool speed_compare(const struct weights *const sets[], size_t count, const struct speed_plan *plan,
                   const struct bandwidth_probe *probe, struct speed *out, struct error *error);

#endif

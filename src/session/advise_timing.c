/* How fast a set decodes and processes a prompt, in samples between which a job may pause. */
#include "advise_internal.h"

#include "base/clock.h"
#include "speed_sample.h"

#include <stdlib.h>

enum { DECODED = 8, SAMPLES = 5 };

struct advise_timing {
    struct weights *set;
    struct speed_sample sample;
    size_t samples;      /* taken; the first of all warms the caches and does not count */
    bool warm;
    double prefill[SAMPLES], decode[SAMPLES];
};

struct advise_timing *advise_timing_open(const struct session *s, struct weights *set, struct error *error)
{
    struct advise_timing *t = calloc(1, sizeof *t);
    if (!t) {
        error_set(error, "not enough memory to measure speed");
        return NULL;
    }
    t->set = set;
    if (speed_sample_open(&t->sample, s, set->kv, DECODED, error))
        return t;
    advise_timing_close(t);
    return NULL;
}

void advise_timing_close(struct advise_timing *t)
{
    if (t)
        speed_sample_close(&t->sample);
    free(t);
}

static void run_some(struct advise_timing *t)
{
    if (!speed_sample_step(&t->sample, t->set, &t->prefill[t->samples], &t->decode[t->samples]))
        return;
    t->samples += t->warm;
    t->warm = true;
}

bool advise_timing_step(struct advise_timing *t, double seconds)
{
    double begin = clock_seconds();
    do
        run_some(t);
    while (t->samples < SAMPLES && clock_seconds() - begin < seconds);
    return t->samples == SAMPLES;
}

bool advise_disturbed(const struct advise_row *row)
{
    return row->decode.max > 1.25 * row->decode.median;
}

void advise_timing_result(struct advise_timing *t, struct stats *decode, struct stats *prefill)
{
    *decode = stats_of(t->decode, SAMPLES);
    *prefill = stats_of(t->prefill, SAMPLES);
}

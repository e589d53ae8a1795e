/* Decode and prefill speed of two sets of weights of one shape, in interleaved rounds. Both run in one context: two
 * would lie elsewhere in the caches, and make equal sets differ by some per cent. */
#include "against_internal.h"

#include "base/clock.h"
#include "speed_sample.h"

#include <stdlib.h>

enum { DECODED = 64, LEAST_PROMPT = 8 };
static const double SAMPLE_SECONDS = 0.15; /* of decoding in a sample, about; of a prompt at most as much */

struct against_timing {
    struct weights *sets[2];
    struct against_speed *out;
    struct speed_sample sample;
    bool chosen;         /* how long a sample is */
    size_t round, next;  /* next: set of the round, in its order */
    bool warm[2];        /* a first sample warms up, and does not count */
};

void against_timing_close(struct against_timing *t)
{
    if (t)
        speed_sample_close(&t->sample);
    free(t);
}

struct against_timing *against_timing_open(const struct session *s, struct against_speed *out, struct error *error)
{
    struct against_timing *t = calloc(1, sizeof *t);
    if (!t) {
        error_set(error, "not enough memory to measure speed");
        return NULL;
    }
    *t = (struct against_timing){.sets = {s->stored, s->other}, .out = out};
    if (speed_sample_open(&t->sample, s, DTYPE_FP32, DECODED, error))
        return t;
    against_timing_close(t);
    return NULL;
}

/* How long samples are, from one decode step of the first set. */
static void choose_lengths(struct against_timing *t)
{
    struct speed_sample *s = &t->sample;
    double begin = clock_seconds();
    context_run(s->context, t->sets[0], s->ids, 1, LOGITS_LAST, s->logits);
    double token = clock_seconds() - begin, steps = SAMPLE_SECONDS / token + 1;
    size_t room = s->prompt + s->decoded;
    while (s->prompt > LEAST_PROMPT && (double)s->prompt * token > 2 * SAMPLE_SECONDS)
        s->prompt /= 2;
    s->decoded = steps < (double)(room - s->prompt) ? (size_t)steps : room - s->prompt;
    t->out->prompt = s->prompt;
    t->chosen = true;
    s->context->length = 0;
}

static void run_some(struct against_timing *t)
{
    size_t set = (t->round + t->next) % 2;
    double prefill, decode;
    if (!speed_sample_step(&t->sample, t->sets[set], &prefill, &decode))
        return;
    if (!t->warm[set]) {
        t->warm[set] = true;
        return;
    }
    t->out->prefill[set][t->round] = prefill;
    t->out->decode[set][t->round] = decode;
    t->next = !t->next;
    t->round += t->next == 0;
    t->out->rounds = t->round;
}

bool against_timing_step(struct against_timing *t, double seconds)
{
    double begin = clock_seconds();
    if (!t->chosen)
        choose_lengths(t);
    do
        run_some(t);
    while (t->round < AGAINST_ROUNDS && clock_seconds() - begin < seconds);
    return t->round == AGAINST_ROUNDS;
}

struct stats against_rate(const double rates[AGAINST_ROUNDS], size_t rounds)
{
    double sorted[AGAINST_ROUNDS];
    for (size_t i = 0; i < rounds; i++)
        sorted[i] = rates[i];
    return rounds > 0 ? stats_of(sorted, rounds) : (struct stats){0, 0, 0};
}

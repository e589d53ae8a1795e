#include "speed.h"

#include "../engine/hold.h"
#include "../engine/sampler.h"
#include "clock.h"
#include "topology.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct run {
    const struct session *session;
    const struct weights *weights;
    struct hold hold; /* of the set's weights */
    struct context *context;
    int32_t *prompt;
    int32_t *next;   /* of each sequence */
    float *logits;   /* sequences x vocab */
    size_t sequences;
    double *decode, *prefill, *peak, *fraction; /* samples each */
};

static bool run_open(struct run *r, size_t prompt, size_t samples, size_t positions,
                     struct error *error)
{
    size_t vocab = r->session->model->hyper.vocab;
    r->context = context_open_kv(r->session->model, r->session->pool, r->weights->kv, positions,
                                 error);
    r->prompt = calloc(prompt, sizeof *r->prompt);
    r->next = calloc(r->sequences, sizeof *r->next);
    r->logits = calloc(r->sequences * vocab, sizeof *r->logits);
    r->decode = calloc(4 * samples, sizeof *r->decode);
    if (!r->context || !hold_open(&r->hold, r->session->model, error) ||
        !hold_set(&r->hold, r->weights, r->session->pool, error))
        return false;
    if (!r->prompt || !r->next || !r->logits || !r->decode)
        return error_set(error, "not enough memory to measure speed");
    r->prefill = r->decode + samples;
    r->peak = r->prefill + samples;
    r->fraction = r->peak + samples;
    for (size_t i = 1; i < prompt; i++) /* any tokens do: speed does not depend on which */
        r->prompt[i] = (int32_t)(i * 7919 % vocab);
    r->prompt[0] = session_start(r->session);
    return true;
}

static void run_close(struct run *r)
{
    hold_close(&r->hold);
    context_close(r->context);
    free(r->prompt);
    free(r->next);
    free(r->logits);
    free(r->decode);
}

/* Seconds that a prompt takes; every sequence then stands behind it. */
static bool time_prefill(struct run *r, size_t prompt, double *seconds, struct error *error)
{
    size_t vocab = r->session->model->hyper.vocab;
    r->context->length = 0;
    double begin = clock_seconds();
    context_prefill(r->context, r->weights, r->prompt, prompt, r->logits);
    *seconds = clock_seconds() - begin;
    for (size_t i = 1; i < r->sequences; i++)
        memcpy(r->logits + i * vocab, r->logits, vocab * sizeof *r->logits);
    return r->sequences == 1 || context_sequences(r->context, r->sequences, error);
}

/* Seconds that n decode steps take. */
static double time_decode(struct run *r, size_t n)
{
    size_t vocab = r->session->model->hyper.vocab;
    double begin = clock_seconds();
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < r->sequences; k++)
            r->next[k] = (int32_t)sampler_argmax(r->logits + k * vocab, vocab);
        context_step(r->context, r->weights, r->next, r->logits);
    }
    return clock_seconds() - begin;
}

/* What one step of all sequences reads, for each of them. */
static size_t bytes_per_token(const struct run *r, size_t position)
{
    const struct model *m = r->session->model;
    size_t one = weights_bytes_per_token(m, r->weights, position);
    size_t cache = one - weights_bytes_per_token(m, r->weights, 0);
    return (one + (r->sequences - 1) * cache) / r->sequences;
}

/* ---- ratios ---------------------------------------------------------------------------------- */

/* The k-th smallest and k-th largest of n hold the median between them with probability 1 - 2 P(B < k), B
 * binomial of n fair coins: the largest k from 1 on for which that is at least 0.95, or 1. */
static size_t interval_rank(size_t n)
{
    double below = 0, term = pow(0.5, (double)n); /* P(B = 0) */
    size_t k = 0;
    while (k < n / 2 && below + term <= 0.025) {
        below += term;
        k++;
        term *= (double)(n - k + 1) / (double)k;
    }
    return k > 0 ? k : 1;
}

struct ratio ratio_of(const double *x, const double *base, size_t n)
{
    double *q = malloc(n * sizeof *q);
    struct ratio r = {NAN, NAN, NAN};
    if (!q)
        return r;
    for (size_t i = 0; i < n; i++)
        q[i] = x[i] / base[i];
    size_t k = interval_rank(n);
    r.median = spread_of(q, n).median;
    r.low = q[k - 1];
    r.high = q[n - k];
    free(q);
    return r;
}

/* ---- rounds ---------------------------------------------------------------------------------- */

struct comparing {
    const struct speed_plan *plan;
    const struct bandwidth_probe *probe;
    struct run *runs;
    struct speed *out;
    size_t count, prompt, tokens; /* sets; of the prompt; decoded a sample */
};

/* One set, once. `at` SIZE_MAX: only to warm up. */
static bool time_set(struct comparing *c, size_t set, size_t at, struct error *error)
{
    struct run *r = &c->runs[set];
    double prefill;
    if (!time_prefill(r, c->prompt, &prefill, error))
        return false;
    double peak = c->probe ? bandwidth_sweep(c->probe) : NAN, decode = time_decode(r, c->tokens);
    if (at == SIZE_MAX)
        return true;
    r->peak[at] = c->probe ? peak : 0;
    r->decode[at] = (double)(c->tokens * r->sequences) / decode;
    r->prefill[at] = (double)c->prompt / prefill;
    r->fraction[at] = r->decode[at] * (double)c->out[set].bytes_per_token / peak;
    return true;
}

static bool time_round(struct comparing *c, size_t at, struct error *error)
{
    for (size_t i = 0; i < c->count; i++)
        if (!time_set(c, at % 2 ? c->count - 1 - i : i, at, error))
            return false;
    return true;
}

static bool is_certain(struct ratio r)
{
    return r.high - r.low <= 0.02 * r.median;
}

/* Ratios to the first set after n rounds; whether all are certain. */
static bool find_ratios(struct comparing *c, size_t n)
{
    bool certain = true;
    for (size_t i = 0; i < c->count; i++) {
        c->out[i].decode_ratio = ratio_of(c->runs[i].decode, c->runs[0].decode, n);
        c->out[i].prefill_ratio = ratio_of(c->runs[i].prefill, c->runs[0].prefill, n);
        certain &= is_certain(c->out[i].decode_ratio) && is_certain(c->out[i].prefill_ratio);
    }
    return certain;
}

static size_t most_samples(const struct speed_plan *plan)
{
    return plan->most_samples > plan->samples ? plan->most_samples : plan->samples;
}

/* A first round warms up. */
static bool time_rounds(struct comparing *c, size_t *rounds, struct error *error)
{
    if (!time_round(c, SIZE_MAX, error))
        return false;
    for (*rounds = 0; *rounds < most_samples(c->plan);) {
        if (!time_round(c, *rounds, error))
            return false;
        ++*rounds;
        if (*rounds >= c->plan->samples && find_ratios(c, *rounds))
            break;
    }
    return true;
}

static void finish(struct comparing *c, size_t set, size_t rounds)
{
    struct run *r = &c->runs[set];
    struct speed *out = &c->out[set];
    out->samples = rounds;
    out->decode = spread_of(r->decode, rounds);
    out->prefill = spread_of(r->prefill, rounds);
    out->peak_read = spread_of(r->peak, rounds);
    out->fraction = spread_of(r->fraction, rounds);
    out->bandwidth = out->decode.median * (double)out->bytes_per_token;
    if (!c->probe)
        out->fraction_reason = "the read roof was not measured";
    else if (out->bytes_per_token * out->batch < topology()->last_level_cache)
        out->fraction_reason = "the weights fit in the last-level cache, so memory is not read";
}

static bool open_runs(struct comparing *c, const struct session *s, const struct weights *const sets[],
                      struct error *error)
{
    for (size_t i = 0; i < c->count; i++) {
        struct run *r = &c->runs[i];
        *r = (struct run){.session = s, .weights = sets[i], .sequences = c->plan->batch};
        if (!run_open(r, c->prompt, most_samples(c->plan), c->prompt + c->tokens, error))
            return false;
        c->out[i] = (struct speed){.batch = c->plan->batch,
                                   .bytes_per_token = bytes_per_token(r, c->prompt + c->tokens / 2)};
    }
    return true;
}

bool speed_compare(const struct session *s, const struct weights *const sets[], size_t count,
                   const struct speed_plan *plan, const struct bandwidth_probe *probe, struct speed *out,
                   struct error *error)
{
    size_t prompt = plan->prompt_tokens < s->context ? plan->prompt_tokens : s->context - 1, rounds = 0;
    if (s->context < 2)
        return error_set(error, "a context of %zu is too short to measure speed; expected 2", s->context);
    size_t room = s->context - prompt, n = plan->decode_tokens < room ? plan->decode_tokens : room;
    struct comparing c = {plan, probe, calloc(count, sizeof *c.runs), out, count, prompt, n};
    bool ok = (c.runs || error_set(error, "not enough memory to measure speed")) &&
              open_runs(&c, s, sets, error) && time_rounds(&c, &rounds, error);
    for (size_t i = 0; ok && i < count; i++)
        finish(&c, i, rounds);
    for (size_t i = 0; c.runs && i < count; i++)
        run_close(&c.runs[i]);
    free(c.runs);
    return ok;
}

bool speed_measure(const struct session *s, const struct weights *w, const struct speed_plan *plan,
                   const struct bandwidth_probe *probe, struct speed *out, struct error *error)
{
    struct speed_plan alone = *plan;
    alone.most_samples = 0;
    return speed_compare(s, &w, 1, &alone, probe, out, error);
}

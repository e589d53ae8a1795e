#include "speed.h"

#include "roofline.h"

#include "engine/pin.h"
#include "engine/sampler.h"
#include "base/clock.h"
#include "roofs.h"
#include "sys/topology.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Sets with the same KV datatype share a context, and all share the rest: a copy for each would lie elsewhere in
 * the caches and make equal sets differ by some per cent. */
struct kv_context {
    struct context *context;
    enum dtype kv;
    size_t filled; /* positions of the plan's depth that are there */
};

struct timed_set {
    const struct weights *weights;
    struct pin pin;          /* of the set's weights */
    struct kv_context *kv;   /* one of contexts[], and what is in it */
    struct context *context;
    double *decode;          /* tokens a second (samples) */
    double *prefill;         /* tokens a second (samples) */
    double *peak;            /* bytes a second of the sweep before (samples) */
    double *fraction;        /* of it, that decoding reads (samples) */
};

struct interleaved {
    const struct speed_plan *plan;
    const struct bandwidth_probe *probe;
    struct timed_set *sets;
    struct speed *out;
    size_t count;           /* sets */
    size_t prompt;          /* tokens of the prompt */
    size_t tokens;          /* decoded a sample */
    struct kv_context contexts[DTYPE_COUNT];
    size_t context_count;
    int32_t *prompt_tokens; /* (prompt) */
    int32_t *next;          /* of each sequence (batch) */
    float *logits;          /* (batch, vocab) */
};

/* Speed does not depend on which tokens run. */
static int32_t any_token(const struct interleaved *c, size_t position)
{
    return position == 0 ? c->plan->start : (int32_t)(position * 7919 % c->plan->model->hyper.vocab);
}

static struct kv_context *context_for(struct interleaved *c, enum dtype kv, struct error *error)
{
    size_t positions = c->plan->depth + c->prompt + c->tokens;
    for (size_t i = 0; i < c->context_count; i++)
        if (c->contexts[i].kv == kv)
            return &c->contexts[i];
    struct context *context = context_open_kv(c->plan->model, c->plan->pool, kv, positions, error);
    if (!context)
        return NULL;
    c->contexts[c->context_count] = (struct kv_context){context, kv, 0};
    return &c->contexts[c->context_count++];
}

static bool timed_set_open(struct interleaved *c, struct timed_set *r, size_t samples, struct error *error)
{
    r->decode = calloc(4 * samples, sizeof *r->decode);
    if (!r->decode)
        return error_set(error, "not enough memory to measure speed");
    r->prefill = r->decode + samples;
    r->peak = r->prefill + samples;
    r->fraction = r->peak + samples;
    r->kv = context_for(c, r->weights->kv, error);
    r->context = r->kv ? r->kv->context : NULL;
    return r->context && pin_open(&r->pin, c->plan->model, error) &&
           pin_set(&r->pin, r->weights, c->plan->pool, error);
}

static void timed_set_close(struct timed_set *r)
{
    pin_close(&r->pin);
    free(r->decode);
}

static bool is_cancelled(const struct speed_plan *plan)
{
    return plan->cancelled && plan->cancelled(plan->cancelled_arg);
}

/* Brings the cache to the plan's depth, once for all sets that share it: speed does not depend on what is there. */
static void fill_depth(struct interleaved *c, struct timed_set *r)
{
    size_t *filled = &r->kv->filled;
    r->context->length = *filled;
    while (*filled < c->plan->depth && !is_cancelled(c->plan)) {
        int32_t tokens[CONTEXT_CHUNK];
        size_t left = c->plan->depth - *filled, n = left < CONTEXT_CHUNK ? left : CONTEXT_CHUNK;
        for (size_t i = 0; i < n; i++)
            tokens[i] = any_token(c, *filled + i);
        context_run(r->context, r->weights, tokens, n, LOGITS_NONE, NULL);
        *filled += n;
    }
}

/* Mean seconds of a prompt, over the prompts of a sample; every sequence is then where decoding begins. */
static bool time_prefill(struct interleaved *c, struct timed_set *r, double *seconds, struct error *error)
{
    size_t vocab = c->plan->model->hyper.vocab;
    size_t prompts = c->plan->prompts > 1 ? c->plan->prompts : 1;
    double begin = clock_seconds();
    for (size_t i = 0; i < prompts; i++) {
        r->context->length = r->kv->filled;
        context_prefill(r->context, r->weights, c->prompt_tokens, c->prompt, c->logits);
    }
    *seconds = (clock_seconds() - begin) / (double)prompts;
    if (c->plan->decode_at_depth)
        r->context->length = r->kv->filled;
    for (size_t i = 1; i < c->plan->batch; i++)
        memcpy(c->logits + i * vocab, c->logits, vocab * sizeof *c->logits);
    return c->plan->batch == 1 || context_sequences(r->context, c->plan->batch, error);
}

/* Seconds that the decode steps of a sample take. */
static double time_decode(struct interleaved *c, struct timed_set *r)
{
    size_t vocab = c->plan->model->hyper.vocab;
    double begin = clock_seconds();
    for (size_t i = 0; i < c->tokens; i++) {
        for (size_t k = 0; k < c->plan->batch; k++)
            c->next[k] = (int32_t)sampler_argmax(c->logits + k * vocab, vocab);
        context_step(r->context, r->weights, c->next, c->logits);
    }
    return clock_seconds() - begin;
}

/* What one step of all sequences reads, for each of them. */
static size_t bytes_per_token(const struct interleaved *c, const struct timed_set *r)
{
    size_t batch = c->plan->batch, prompt = c->plan->decode_at_depth ? 0 : c->prompt;
    size_t position = c->plan->depth + prompt + c->tokens / 2;
    struct work step = work_of_step(c->plan->model, r->weights, batch, position);
    return (size_t)(step.bytes / (double)batch);
}

/* ---- ratios ---------------------------------------------------------------------------------- */

/* The k-th smallest and k-th largest of n hold the median between them with probability 1 - 2 P(B < k), B
 * binomial of n fair coins: the largest k from 1 on for which that is at least 0.95, or 1. */
static size_t interval_rank(size_t n)
{
    double below = 0, log_term = (double)n * log(0.5); /* of P(B = 0), which may be too small a number */
    size_t k = 0;
    while (k < n / 2 && below + exp(log_term) <= 0.025) {
        below += exp(log_term);
        k++;
        log_term += log((double)(n - k + 1) / (double)k);
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
    r.median = stats_of(q, n).median;
    r.low = q[k - 1];
    r.high = q[n - k];
    free(q);
    return r;
}

/* ---- rounds ---------------------------------------------------------------------------------- */

/* One set, once. `at` SIZE_MAX: only to warm up. */
static bool time_set(struct interleaved *c, size_t set, size_t at, struct error *error)
{
    struct timed_set *r = &c->sets[set];
    double prefill;
    fill_depth(c, r);
    if (!time_prefill(c, r, &prefill, error))
        return false;
    double peak = c->probe ? bandwidth_sweep(c->probe) : NAN, decode = time_decode(c, r);
    if (at == SIZE_MAX)
        return true;
    r->peak[at] = c->probe ? peak : 0;
    r->decode[at] = (double)(c->tokens * c->plan->batch) / decode;
    r->prefill[at] = (double)c->prompt / prefill;
    r->fraction[at] = r->decode[at] * (double)c->out[set].bytes_per_token / peak;
    return true;
}

/* Each begins with another set: all of them come after each other alike. */
static bool time_round(struct interleaved *c, size_t at, struct error *error)
{
    for (size_t i = 0; i < c->count; i++)
        if (!time_set(c, (at + i) % c->count, at, error))
            return false;
    return true;
}

static bool is_certain(struct ratio r)
{
    return r.high - r.low <= 0.02 * r.median;
}

/* Ratios to the first set after n rounds; whether all are certain. */
static bool find_ratios(struct interleaved *c, size_t n)
{
    bool certain = true;
    for (size_t i = 0; i < c->count; i++) {
        c->out[i].decode_ratio = ratio_of(c->sets[i].decode, c->sets[0].decode, n);
        c->out[i].prefill_ratio = ratio_of(c->sets[i].prefill, c->sets[0].prefill, n);
        certain &= is_certain(c->out[i].decode_ratio) && is_certain(c->out[i].prefill_ratio);
    }
    return certain;
}

static size_t max_samples(const struct speed_plan *plan)
{
    return plan->max_samples > plan->samples ? plan->max_samples : plan->samples;
}

/* A first round warms up. */
static bool time_rounds(struct interleaved *c, size_t *rounds, struct error *error)
{
    if (!time_round(c, SIZE_MAX, error))
        return false;
    for (*rounds = 0; *rounds < max_samples(c->plan) && !is_cancelled(c->plan);) {
        if (!time_round(c, *rounds, error))
            return false;
        ++*rounds;
        if (find_ratios(c, *rounds) && *rounds >= c->plan->samples)
            break;
    }
    return true;
}

static void finish(struct interleaved *c, size_t set, size_t rounds)
{
    struct timed_set *r = &c->sets[set];
    struct speed *out = &c->out[set];
    size_t kept = rounds < RATES_KEPT ? rounds : RATES_KEPT;
    out->samples = rounds;
    memcpy(out->decode_rates, r->decode, kept * sizeof *r->decode);
    memcpy(out->prefill_rates, r->prefill, kept * sizeof *r->prefill);
    out->decode = stats_of(r->decode, rounds);
    out->prefill = stats_of(r->prefill, rounds);
    out->peak_read = stats_of(r->peak, rounds);
    out->fraction = stats_of(r->fraction, rounds);
    out->bandwidth = out->decode.median * (double)out->bytes_per_token;
    if (!c->probe)
        out->fraction_reason = "the read roof was not measured";
    else if (out->bytes_per_token * out->batch < topology()->last_level_cache)
        out->fraction_reason = "the weights fit in the last-level cache, so memory is not read";
    struct roof sweeps = {out->peak_read, rounds};
    out->roof_disturbed = c->probe && (roof_was_disturbed(&sweeps) ||
                                       (!out->fraction_reason && out->fraction.median > ROOF_EXCEEDED));
}

static bool open_sets(struct interleaved *c, const struct weights *const sets[], struct error *error)
{
    size_t vocab = c->plan->model->hyper.vocab;
    c->sets = calloc(c->count, sizeof *c->sets);
    c->prompt_tokens = calloc(c->prompt, sizeof *c->prompt_tokens);
    c->next = calloc(c->plan->batch, sizeof *c->next);
    c->logits = calloc(c->plan->batch * vocab, sizeof *c->logits);
    if (!c->sets || !c->prompt_tokens || !c->next || !c->logits)
        return error_set(error, "not enough memory to measure speed");
    for (size_t i = 0; i < c->prompt; i++)
        c->prompt_tokens[i] = any_token(c, c->plan->depth + i);
    for (size_t i = 0; i < c->count; i++) {
        c->sets[i].weights = sets[i];
        if (!timed_set_open(c, &c->sets[i], max_samples(c->plan), error))
            return false;
        c->out[i] = (struct speed){.batch = c->plan->batch, .bytes_per_token = bytes_per_token(c, &c->sets[i])};
    }
    return true;
}

static void close_sets(struct interleaved *c)
{
    for (size_t i = 0; c->sets && i < c->count; i++)
        timed_set_close(&c->sets[i]);
    for (size_t i = 0; i < c->context_count; i++)
        context_close(c->contexts[i].context);
    free(c->sets);
    free(c->prompt_tokens);
    free(c->next);
    free(c->logits);
}

bool speed_compare(const struct weights *const sets[], size_t count, const struct speed_plan *plan,
                   const struct bandwidth_probe *probe, struct speed *out, struct error *error)
{
    size_t context = plan->context - (plan->depth < plan->context ? plan->depth : plan->context);
    size_t prompt = plan->prompt_tokens < context ? plan->prompt_tokens : context - 1, rounds = 0;
    if (context < 2)
        return error_set(error, "a context of %zu is too short to measure speed at depth %zu; expected %zu", plan->context,
                         plan->depth, plan->depth + 2);
    size_t room = context - prompt, n = plan->decode_tokens < room ? plan->decode_tokens : room;
    struct interleaved c = {plan, probe, .out = out, .count = count, .prompt = prompt, .tokens = n};
    bool ok = open_sets(&c, sets, error) && time_rounds(&c, &rounds, error);
    for (size_t i = 0; ok && rounds > 0 && i < count; i++)
        finish(&c, i, rounds);
    close_sets(&c);
    return ok;
}

bool speed_measure(const struct weights *w, const struct speed_plan *plan, const struct bandwidth_probe *probe,
                   struct speed *out, struct error *error)
{
    struct speed_plan single = *plan;
    single.max_samples = 0;
    return speed_compare(&w, 1, &single, probe, out, error);
}

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

bool speed_measure(const struct session *s, const struct weights *w, const struct speed_plan *plan,
                   const struct bandwidth_probe *probe, struct speed *out, struct error *error)
{
    struct run r = {.session = s, .weights = w, .sequences = plan->batch};
    size_t prompt = plan->prompt_tokens < s->context ? plan->prompt_tokens : s->context - 1;
    if (s->context < 2)
        return error_set(error, "a context of %zu is too short to measure speed; expected 2",
                         s->context);
    size_t room = s->context - prompt, n = plan->decode_tokens < room ? plan->decode_tokens : room;
    *out = (struct speed){.samples = plan->samples, .batch = plan->batch};
    if (!run_open(&r, prompt, plan->samples, prompt + n, error)) {
        run_close(&r);
        return false;
    }
    out->bytes_per_token = bytes_per_token(&r, prompt + n / 2);
    for (size_t i = 0; i <= plan->samples; i++) { /* the first is for warming up */
        double prefill, decode, peak;
        if (!time_prefill(&r, prompt, &prefill, error)) {
            run_close(&r);
            return false;
        }
        peak = probe ? bandwidth_sweep(probe) : NAN;
        decode = time_decode(&r, n);
        if (i == 0)
            continue;
        r.peak[i - 1] = probe ? peak : 0;
        r.decode[i - 1] = (double)(n * r.sequences) / decode;
        r.prefill[i - 1] = (double)prompt / prefill;
        r.fraction[i - 1] = r.decode[i - 1] * (double)out->bytes_per_token / peak;
    }
    out->decode = spread_of(r.decode, plan->samples);
    out->prefill = spread_of(r.prefill, plan->samples);
    out->peak_read = spread_of(r.peak, plan->samples);
    out->fraction = spread_of(r.fraction, plan->samples);
    out->bandwidth = out->decode.median * (double)out->bytes_per_token;
    if (!probe)
        out->fraction_reason = "the read roof was not measured";
    else if (out->bytes_per_token * plan->batch < topology()->last_level_cache)
        out->fraction_reason = "the weights fit in the last-level cache, so memory is not read";
    run_close(&r);
    return true;
}

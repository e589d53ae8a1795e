#include "speed.h"

#include "../engine/hold.h"
#include "../engine/sampler.h"
#include "clock.h"
#include "topology.h"

#include <math.h>
#include <stdlib.h>

struct run {
    const struct session *session;
    const struct weights *weights;
    struct hold hold; /* of the set's weights */
    struct context *context;
    int32_t *prompt;
    float *logits;
    double *decode, *prefill, *peak, *fraction; /* samples each */
};

static bool run_open(struct run *r, size_t prompt, size_t samples, size_t positions,
                     struct error *error)
{
    size_t vocab = r->session->model->hyper.vocab;
    r->context = context_open_kv(r->session->model, r->session->pool, r->weights->kv, positions,
                                 error);
    r->prompt = calloc(prompt, sizeof *r->prompt);
    r->logits = calloc(vocab, sizeof *r->logits);
    r->decode = calloc(4 * samples, sizeof *r->decode);
    if (!r->context || !hold_open(&r->hold, r->session->model, error) ||
        !hold_set(&r->hold, r->weights, r->session->pool, error))
        return false;
    if (!r->prompt || !r->logits || !r->decode)
        return error_set(error, "not enough memory to measure speed");
    r->prefill = r->decode + samples;
    r->peak = r->prefill + samples;
    r->fraction = r->peak + samples;
    for (size_t i = 1; i < prompt; i++) /* any tokens do: speed does not depend on which */
        r->prompt[i] = (int32_t)(i * 7919 % vocab);
    r->prompt[0] = session_bos(r->session);
    return true;
}

static void run_close(struct run *r)
{
    hold_close(&r->hold);
    context_close(r->context);
    free(r->prompt);
    free(r->logits);
    free(r->decode);
}

/* Seconds that `n` decode steps take after a prompt of `prompt` tokens, whose prefill is timed too. */
static double time_decode(struct run *r, size_t prompt, size_t n, double *prefill_seconds)
{
    size_t vocab = r->session->model->hyper.vocab;
    r->context->length = 0;
    double begin = clock_seconds();
    context_prefill(r->context, r->weights, r->prompt, prompt, r->logits);
    double middle = clock_seconds();
    *prefill_seconds = middle - begin;
    for (size_t i = 0; i < n; i++) {
        int32_t next = (int32_t)sampler_argmax(r->logits, vocab);
        context_run(r->context, r->weights, &next, 1, LOGITS_LAST, r->logits);
    }
    return clock_seconds() - middle;
}

bool speed_measure(const struct session *s, const struct weights *w, const struct speed_plan *plan,
                   const struct bandwidth_probe *probe, struct speed *out, struct error *error)
{
    struct run r = {.session = s, .weights = w};
    size_t prompt = plan->prompt_tokens < s->context ? plan->prompt_tokens : s->context - 1;
    if (s->context < 2)
        return error_set(error, "a context of %zu is too short to measure speed; expected 2",
                         s->context);
    size_t room = s->context - prompt, n = plan->decode_tokens < room ? plan->decode_tokens : room;
    *out = (struct speed){.samples = plan->samples};
    if (!run_open(&r, prompt, plan->samples, prompt + n, error)) {
        run_close(&r);
        return false;
    }
    out->bytes_per_token = weights_bytes_per_token(s->model, w, prompt + n / 2);
    double prefill;
    time_decode(&r, prompt, n, &prefill); /* warm-up */
    for (size_t i = 0; i < plan->samples; i++) {
        r.peak[i] = probe ? bandwidth_sweep(probe) : 0;
        double decode = time_decode(&r, prompt, n, &prefill);
        r.decode[i] = (double)n / decode;
        r.prefill[i] = (double)prompt / prefill;
        r.fraction[i] = probe ? r.decode[i] * (double)out->bytes_per_token / r.peak[i] : NAN;
    }
    out->decode = spread_of(r.decode, plan->samples);
    out->prefill = spread_of(r.prefill, plan->samples);
    out->peak_read = spread_of(r.peak, plan->samples);
    out->fraction = spread_of(r.fraction, plan->samples);
    out->bandwidth = out->decode.median * (double)out->bytes_per_token;
    if (!probe)
        out->fraction_reason = "the read roof was not measured";
    else if (out->bytes_per_token < topology()->last_level_cache)
        out->fraction_reason = "the weights fit in the last-level cache, so memory is not read";
    run_close(&r);
    return true;
}

#include "quality.h"

#include "../engine/hold.h"
#include "../engine/sampler.h"
#include "clock.h"

#include <math.h>
#include <stdlib.h>

struct quality {
    const struct model *model;
    struct quality_plan plan;
    struct weights *reference, *scheme;
    struct hold reference_hold, scheme_hold;
    struct context *reference_context, *scheme_context;
    float *reference_logits, *logits; /* CONTEXT_SLICE x vocab */
    int32_t *window;    /* the window's tokens, BOS included */
    size_t window_size; /* tokens in it */
    size_t window_at;   /* tokens of it that have run */
    size_t text_at;     /* tokens of the text that are in earlier windows */
    size_t planned;
    /* sums over the predictions scored so far */
    size_t scored, agreed;
    double nll, nll_reference, kl, kl_squared;
};

static const char *const names[PROTOCOL_COUNT] = {[PROTOCOL_FULL] = "full",
                                                  [PROTOCOL_LLAMACPP] = "llamacpp"};

const char *protocol_name(enum protocol protocol)
{
    return names[protocol];
}

enum protocol protocol_by_name(const char *name)
{
    int p = PROTOCOL_FULL;
    while (name && p < PROTOCOL_COUNT && strcmp(names[p], name) != 0)
        p++;
    return (enum protocol)p;
}

size_t quality_default_window(size_t context)
{
    return context < 512 ? context : 512;
}

/* ---- windows --------------------------------------------------------------------------------- */

/* Puts the next window into q->window; false when there is none. */
static bool full_window(struct quality *q)
{
    const struct quality_plan *p = &q->plan;
    size_t begin = p->bos >= 0 ? 1 : 0, room = p->window - begin;
    size_t left = p->count - q->text_at, n = left < room ? left : room;
    if (begin + n < 2)
        return false;
    if (begin)
        q->window[0] = p->bos;
    memcpy(q->window + begin, p->tokens + q->text_at, n * sizeof *q->window);
    q->window_size = begin + n;
    q->text_at += n;
    return true;
}

/* BOS + text in windows of N; of each the first token is replaced by BOS. */
static bool llamacpp_window(struct quality *q)
{
    const struct quality_plan *p = &q->plan;
    size_t bos = p->bos >= 0 ? 1 : 0;
    if (p->count + bos - q->text_at < p->window)
        return false;
    for (size_t i = 0; i < p->window; i++) {
        size_t at = q->text_at + i; /* in BOS + text */
        q->window[i] = at < bos ? p->bos : p->tokens[at - bos];
    }
    if (bos)
        q->window[0] = p->bos;
    q->window_size = p->window;
    q->text_at += p->window;
    return true;
}

static bool next_window(struct quality *q)
{
    q->window_at = 0;
    return q->plan.protocol == PROTOCOL_FULL ? full_window(q) : llamacpp_window(q);
}

/* Whether the prediction made at position i of a window counts. */
static bool counts(const struct quality *q, size_t i)
{
    return i + 1 < q->window_size &&
           (q->plan.protocol == PROTOCOL_FULL || i >= q->plan.window / 2);
}

size_t quality_predictions(const struct quality_plan *p, struct error *error)
{
    size_t bos = p->bos >= 0 ? 1 : 0, n = 0;
    if (p->protocol == PROTOCOL_LLAMACPP) {
        n = (p->count + bos) / p->window * (p->window - p->window / 2 - 1);
        if (p->window < 3)
            error_set(error, "a window of %zu scores nothing under protocol llamacpp; expected 3",
                      p->window);
        else if (n == 0)
            error_set(error, "the text has %zu tokens; protocol llamacpp needs a whole window of %zu",
                      p->count + bos, p->window);
        return n;
    }
    size_t room = p->window - bos, whole = p->count / room, rest = p->count % room;
    n = whole * (p->window - 1) + (rest + bos > 1 ? rest + bos - 1 : 0);
    if (n == 0)
        error_set(error, "the text has %zu tokens; expected at least %zu", p->count, 2 - bos);
    return n;
}

/* ---- the job --------------------------------------------------------------------------------- */

struct quality *quality_open(const struct model *model, struct pool *pool,
                             const struct quality_plan *plan, struct weights *reference,
                             struct weights *scheme, struct error *error)
{
    size_t planned = quality_predictions(plan, error), vocab = model->hyper.vocab;
    const struct model *truth = model_reference(model);
    if (planned == 0)
        return NULL;
    struct quality *q = calloc(1, sizeof *q);
    if (!q) {
        error_set(error, "not enough memory to measure quality");
        return NULL;
    }
    q->model = model;
    q->plan = *plan;
    q->planned = planned;
    q->reference = weights_ref(reference);
    q->scheme = weights_ref(scheme);
    q->reference_logits = malloc(CONTEXT_SLICE * vocab * sizeof(float));
    q->logits = malloc(CONTEXT_SLICE * vocab * sizeof(float));
    q->window = malloc(plan->window * sizeof *q->window);
    bool ok = q->reference_logits && q->logits && q->window;
    if (!ok)
        error_set(error, "not enough memory to measure quality");
    ok = ok && hold_open(&q->reference_hold, truth, error) &&
         hold_open(&q->scheme_hold, model, error) &&
         hold_set(&q->reference_hold, reference, pool, error) &&
         hold_set(&q->scheme_hold, scheme, pool, error);
    ok = ok && (q->reference_context = context_open(truth, pool, plan->window, error)) &&
         (q->scheme_context = context_open_kv(model, pool, scheme->kv, plan->window, error));
    if (!ok) {
        quality_close(q);
        return NULL;
    }
    return q;
}

void quality_close(struct quality *q)
{
    if (!q)
        return;
    hold_close(&q->reference_hold);
    hold_close(&q->scheme_hold);
    weights_unref(q->reference);
    weights_unref(q->scheme);
    context_close(q->reference_context);
    context_close(q->scheme_context);
    free(q->reference_logits);
    free(q->logits);
    free(q->window);
    free(q);
}

/* The largest logit and log sum exp(logit - largest), in double. */
static double log_partition(const float *logits, size_t n)
{
    double largest = logits[0], sum = 0;
    for (size_t i = 1; i < n; i++)
        largest = logits[i] > largest ? logits[i] : largest;
    for (size_t i = 0; i < n; i++)
        sum += exp(logits[i] - largest);
    return largest + log(sum);
}

static void score(struct quality *q, const float *reference, const float *scheme, int32_t next)
{
    size_t n = q->model->hyper.vocab;
    double zr = log_partition(reference, n), zs = log_partition(scheme, n), kl = 0;
    for (size_t i = 0; reference != scheme && i < n; i++)
        kl += exp(reference[i] - zr) * ((reference[i] - zr) - (scheme[i] - zs));
    q->nll += zs - scheme[next];
    q->nll_reference += zr - reference[next];
    q->kl += kl;
    q->kl_squared += kl * kl;
    q->agreed += sampler_argmax(reference, n) == sampler_argmax(scheme, n);
    q->scored++;
}

/* Runs one chunk of the window through both; a set compared with itself runs once. */
static void run_chunk(struct quality *q)
{
    size_t left = q->window_size - q->window_at, vocab = q->model->hyper.vocab;
    size_t n = left < CONTEXT_SLICE ? left : CONTEXT_SLICE;
    const int32_t *tokens = q->window + q->window_at;
    const float *scheme = q->reference_logits;
    bool wanted = false;
    for (size_t t = 0; t < n; t++)
        wanted |= counts(q, q->window_at + t);
    enum logits which = wanted ? LOGITS_ALL : LOGITS_NONE;
    context_run(q->reference_context, q->reference, tokens, n, which, q->reference_logits);
    if (q->scheme != q->reference) {
        context_run(q->scheme_context, q->scheme, tokens, n, which, q->logits);
        scheme = q->logits;
    }
    for (size_t t = 0; t < n; t++)
        if (counts(q, q->window_at + t))
            score(q, q->reference_logits + t * vocab, scheme + t * vocab, tokens[t + 1]);
    q->window_at += n;
}

bool quality_step(struct quality *q, double seconds)
{
    double begin = clock_seconds();
    do {
        if (q->window_at == q->window_size) {
            if (!next_window(q))
                return true;
            q->reference_context->length = q->scheme_context->length = 0;
        }
        run_chunk(q);
    } while (clock_seconds() - begin < seconds);
    return false;
}

struct quality_result quality_result(const struct quality *q)
{
    double n = (double)q->scored;
    struct quality_result r = {.scored = q->scored, .planned = q->planned};
    if (q->scored == 0)
        return r;
    r.perplexity = exp(q->nll / n);
    r.perplexity_reference = exp(q->nll_reference / n);
    r.kl = q->kl / n;
    double variance = n > 1 ? (q->kl_squared - q->kl * q->kl / n) / (n - 1) : 0;
    r.kl_stderr = sqrt(fmax(variance, 0) / n);
    r.top1 = (double)q->agreed / n;
    return r;
}

#include "quality.h"

#include "engine/pin.h"
#include "engine/sampler.h"
#include "base/clock.h"
#include "base/quantile.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* What one thread takes to score a token of the vocabulary: decides whether the pool is worth it. */
static const double SCORE_NANOSECONDS = 2;

/* One prediction: negative log-likelihoods of the next token, and KL divergence, in nats. */
struct score {
    double nll, nll_reference, kl;
    bool agree;
};

struct quality {
    const struct model *model;
    struct pool *pool;
    struct quality_plan plan;
    struct quality_basis basis;
    struct weights *reference, *scheme;
    struct pin reference_pin, scheme_pin;
    struct context *reference_context, *scheme_context;
    float *reference_logits;  /* (plan.chunk, vocab) */
    float *logits;            /* of the scheme (plan.chunk, vocab) */
    int32_t *window;          /* the window's tokens, BOS included (plan.window) */
    size_t window_size;       /* tokens in it */
    size_t window_at;         /* tokens of it that have run */
    size_t text_at;           /* tokens of the text that are in earlier windows */
    size_t planned;           /* predictions */
    struct score scores[CONTEXT_CHUNK]; /* of the current chunk */
    double *divergences;      /* KL of each prediction, in no order (planned) */
    size_t ordered;           /* predictions that the quantiles are of */
    double kl_median, kl_p99; /* nats */
    size_t scored;            /* predictions so far */
    size_t agreed;            /* predictions on which both pick the same token */
    double nll, nll_reference; /* sums over the predictions, in their order; nats */
    double kl, kl_squared;    /* sums likewise */
    double kl_max;            /* nats */
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
            error_set(error, "the text has %zu tokens%s; protocol llamacpp needs a whole window of %zu",
                      p->count + bos, bos ? ", BOS included" : "", p->window);
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
    const struct model *reference_model = model_reference(model);
    if (planned == 0)
        return NULL;
    struct quality *q = calloc(1, sizeof *q);
    if (!q) {
        error_set(error, "not enough memory to measure quality");
        return NULL;
    }
    q->model = model;
    q->pool = pool;
    q->plan = *plan;
    q->basis = (struct quality_basis){.tokens = plan->count, .protocol = plan->protocol, .window = plan->window};
    snprintf(q->basis.text, sizeof q->basis.text, "%s", plan->text ? plan->text : "");
    q->plan.chunk = plan->chunk ? plan->chunk : CONTEXT_SLICE;
    q->planned = planned;
    q->reference = weights_ref(reference);
    q->scheme = weights_ref(scheme);
    q->reference_logits = malloc(q->plan.chunk * vocab * sizeof(float));
    q->logits = malloc(q->plan.chunk * vocab * sizeof(float));
    q->window = malloc(plan->window * sizeof *q->window);
    q->divergences = planned < SIZE_MAX / sizeof(double) ? malloc(planned * sizeof(double)) : NULL;
    bool ok = q->reference_logits && q->logits && q->window && q->divergences;
    if (!ok)
        error_set(error, "not enough memory to measure quality");
    ok = ok && pin_open(&q->reference_pin, reference_model, error) &&
         pin_open(&q->scheme_pin, model, error) &&
         pin_set(&q->reference_pin, reference, pool, error) &&
         pin_set(&q->scheme_pin, scheme, pool, error);
    ok = ok && (q->reference_context = context_open(reference_model, pool, plan->window, error)) &&
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
    pin_close(&q->reference_pin);
    pin_close(&q->scheme_pin);
    weights_unref(q->reference);
    weights_unref(q->scheme);
    context_close(q->reference_context);
    context_close(q->scheme_context);
    free(q->reference_logits);
    free(q->logits);
    free(q->window);
    free(q->divergences);
    free(q);
}

/* ---- scoring --------------------------------------------------------------------------------- */

/* The predictions at some positions of a chunk. */
struct scoring {
    struct quality *q;
    const float *scheme; /* logits of the scheme, those of the reference where it is the same set */
    size_t first;        /* position in the chunk of prediction 0 */
};

static void score_some(void *arg, size_t begin, size_t end, int thread)
{
    const struct scoring *s = arg;
    struct quality *q = s->q;
    size_t vocab = q->model->hyper.vocab;
    (void)thread;
    for (size_t i = begin; i < end; i++) {
        size_t t = s->first + i, next = (size_t)q->window[q->window_at + t + 1];
        const float *reference = q->reference_logits + t * vocab, *scheme = s->scheme + t * vocab;
        struct divergence d;
        operators_current()->divergence(reference, scheme, vocab, &d);
        q->scores[i] = (struct score){
            .nll = d.log_sum_q - scheme[next],
            .nll_reference = d.log_sum_p - reference[next],
            .kl = d.kl,
            .agree = sampler_argmax(reference, vocab) == sampler_argmax(scheme, vocab),
        };
    }
}

/* Scores `count` predictions from position `first` of the chunk on: on any threads, and summed in their
 * order on this one. */
static void score(struct quality *q, const float *scheme, size_t first, size_t count)
{
    struct scoring s = {q, scheme, first};
    double work = (double)count * (double)q->model->hyper.vocab;
    if (pool_worthwhile(q->pool, work * SCORE_NANOSECONDS))
        pool_run(q->pool, count, score_some, &s);
    else
        score_some(&s, 0, count, 0);
    for (size_t i = 0; i < count; i++) {
        const struct score *one = &q->scores[i];
        q->nll += one->nll;
        q->nll_reference += one->nll_reference;
        q->kl += one->kl;
        q->kl_squared += one->kl * one->kl;
        q->kl_max = one->kl > q->kl_max ? one->kl : q->kl_max;
        q->agreed += one->agree;
        q->divergences[q->scored++] = one->kl;
    }
}

/* Quantiles cost time for every prediction so far: while the job runs they are computed again when an eighth has
 * come to those they are of. */
static void order_divergences(struct quality *q, bool done)
{
    bool due = done ? q->ordered < q->scored : q->scored - q->ordered > q->ordered / 8;
    if (!due || !isfinite(q->kl))
        return;
    q->kl_median = quantile(q->divergences, q->scored, 0.5);
    q->kl_p99 = quantile(q->divergences, q->scored, 0.99);
    q->ordered = q->scored;
}

/* ---- working --------------------------------------------------------------------------------- */

/* Runs one chunk of the window through both; a set compared with itself runs once. */
static void run_chunk(struct quality *q)
{
    size_t left = q->window_size - q->window_at;
    size_t n = left < q->plan.chunk ? left : q->plan.chunk;
    const int32_t *tokens = q->window + q->window_at;
    const float *scheme = q->reference_logits;
    size_t first = 0, end = n; /* the positions of a window that count are adjacent */
    while (first < n && !counts(q, q->window_at + first))
        first++;
    while (end > first && !counts(q, q->window_at + end - 1))
        end--;
    enum logits which = first < end ? LOGITS_ALL : LOGITS_NONE;
    context_run(q->reference_context, q->reference, tokens, n, which, q->reference_logits);
    if (q->scheme != q->reference) {
        context_run(q->scheme_context, q->scheme, tokens, n, which, q->logits);
        scheme = q->logits;
    }
    if (first < end)
        score(q, scheme, first, end - first);
    q->window_at += n;
}

bool quality_step(struct quality *q, double seconds)
{
    double begin = clock_seconds();
    bool done = false;
    do {
        if (q->window_at == q->window_size) {
            done = !next_window(q);
            q->reference_context->length = q->scheme_context->length = 0;
        }
        if (!done)
            run_chunk(q);
    } while (!done && clock_seconds() - begin < seconds);
    order_divergences(q, done);
    return done;
}

bool quality_is_complete(const struct quality_result *r)
{
    return r->scored > 0 && r->scored == r->planned;
}

const char *quality_differs(const struct quality_result *a, const struct quality_result *b)
{
    const struct quality_basis *x = &a->basis, *y = &b->basis;
    if (strcmp(x->text, y->text) != 0)
        return "another text";
    if (x->protocol != y->protocol)
        return "another protocol";
    if (x->window != y->window)
        return "another window";
    if (x->tokens != y->tokens || a->scored != b->scored)
        return "another number of tokens";
    return NULL;
}

const char *quality_reason(double figure)
{
    return isnan(figure) ? "a logit is not finite" : isinf(figure) ? "it is infinite" : NULL;
}

struct quality_result quality_result(const struct quality *q)
{
    double n = (double)q->scored;
    struct quality_result r = {.basis = q->basis, .scored = q->scored, .planned = q->planned,
                                .kv_overflowed = q->scheme_context->cache.overflowed};
    if (q->scored == 0)
        return r;
    r.perplexity = exp(q->nll / n);
    r.perplexity_reference = exp(q->nll_reference / n);
    if (!isfinite(q->kl)) { /* which token is the most probable is then not known either */
        r.kl = r.kl_stderr = r.kl_median = r.kl_p99 = r.kl_max = r.top1 = NAN;
        return r;
    }
    double variance = n > 1 ? (q->kl_squared - q->kl * q->kl / n) / (n - 1) : 0;
    r.kl = q->kl / n;
    r.kl_stderr = sqrt(fmax(variance, 0) / n);
    r.kl_median = q->kl_median;
    r.kl_p99 = q->kl_p99;
    r.kl_max = q->kl_max;
    r.top1 = (double)q->agreed / n;
    return r;
}

double quality_fraction(const struct quality *q)
{
    struct quality_result r = quality_result(q);
    return r.planned ? (double)r.scored / (double)r.planned : 1;
}

/* ---- as a job ---------------------------------------------------------------------------------- */

static bool step_job(void *job, double seconds, bool *done, struct error *error)
{
    (void)error; /* nothing fails once it is open */
    *done = quality_step(job, seconds);
    return true;
}

static double job_fraction(const void *job)
{
    return quality_fraction(job);
}

static void close_job(void *job)
{
    quality_close(job);
}

const struct job_class quality_class = {
    .name = "evaluating",
    .step = step_job,
    .fraction = job_fraction,
    .close = close_job,
};

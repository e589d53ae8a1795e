#include "quality.h"

#include "engine/forward.h"
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

/* One of the two that are compared. */
struct side {
    struct weights *set;
    struct pin pin;
    struct context *context;
    float *logits; /* (heads, vocab) */
    size_t part;   /* of the chunk's pass, that comes next */
};

struct quality {
    const struct model *model;
    struct pool *pool;
    struct quality_plan plan;
    struct quality_basis basis;
    struct side reference, scheme;
    size_t heads;             /* tokens whose logits are there together */
    size_t headed;            /* tokens of the chunk whose logits have been */
    bool reference_headed;    /* the reference's logits of the next ones are there, the scheme's are not */
    int32_t *window;          /* the window's tokens, BOS included (plan.window) */
    size_t window_size;       /* tokens in it */
    size_t window_at;         /* tokens of it that have run */
    size_t text_at;           /* tokens of the text that are in earlier windows */
    size_t planned;           /* predictions */
    struct score scores[FORWARD_MOST]; /* of those whose logits are there */
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
    bool more = q->plan.protocol == PROTOCOL_FULL ? full_window(q) : llamacpp_window(q);
    q->window_at = more ? 0 : q->window_size;
    return more;
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

static bool open_side(struct quality *q, struct side *side, const struct model *model, struct weights *set,
                      enum dtype kv, struct error *error)
{
    side->set = weights_ref(set);
    side->logits = malloc(q->heads * model->hyper.vocab * sizeof *side->logits);
    return (side->logits || error_set(error, "not enough memory to measure quality")) &&
           pin_open(&side->pin, model, error) && pin_set(&side->pin, set, q->pool, error) &&
           (side->context = context_open_kv(model, q->pool, kv, q->plan.window, error));
}

static void close_side(struct side *side)
{
    pin_close(&side->pin);
    weights_unref(side->set);
    context_close(side->context);
    free(side->logits);
}

struct quality *quality_open_against(const struct model *model, struct weights *scheme,
                                     const struct model *reference_model, struct weights *reference, struct pool *pool,
                                     const struct quality_plan *plan, struct error *error)
{
    size_t planned = quality_predictions(plan, error), vocab = model->hyper.vocab;
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
    size_t chunk = forward_tokens(forward_largest_part(model));
    q->plan.chunk = plan->chunk ? plan->chunk : chunk > CONTEXT_SLICE ? chunk : CONTEXT_SLICE;
    q->heads = forward_tokens((double)vocab * (double)model->hyper.dim);
    q->planned = planned;
    q->window = malloc(plan->window * sizeof *q->window);
    q->divergences = planned < SIZE_MAX / sizeof(double) ? malloc(planned * sizeof(double)) : NULL;
    bool ok = q->window && q->divergences;
    if (!ok)
        error_set(error, "not enough memory to measure quality");
    ok = ok && open_side(q, &q->reference, reference_model, reference, DTYPE_FP32, error) &&
         open_side(q, &q->scheme, model, scheme, scheme->kv, error);
    if (!ok) {
        quality_close(q);
        return NULL;
    }
    return q;
}

struct quality *quality_open(const struct model *model, struct pool *pool,
                             const struct quality_plan *plan, struct weights *reference,
                             struct weights *scheme, struct error *error)
{
    return quality_open_against(model, scheme, model_reference(model), reference, pool, plan, error);
}

void quality_close(struct quality *q)
{
    if (!q)
        return;
    close_side(&q->reference);
    close_side(&q->scheme);
    free(q->window);
    free(q->divergences);
    free(q);
}

/* ---- scoring --------------------------------------------------------------------------------- */

/* Predictions of a chunk whose logits are there. */
struct scoring {
    struct quality *q;
    const float *reference, *scheme; /* (count, vocab) */
    size_t first;                    /* position in the window of the first */
};

static void score_some(void *arg, size_t begin, size_t end, int thread)
{
    const struct scoring *s = arg;
    struct quality *q = s->q;
    size_t vocab = q->model->hyper.vocab;
    (void)thread;
    for (size_t i = begin; i < end; i++) {
        size_t next = (size_t)q->window[s->first + i + 1];
        const float *reference = s->reference + i * vocab, *scheme = s->scheme + i * vocab;
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

/* On any threads, and summed in their order on this one. */
static void score(struct quality *q, struct scoring *s, size_t count)
{
    double work = (double)count * (double)q->model->hyper.vocab;
    if (pool_worthwhile(q->pool, work * SCORE_NANOSECONDS))
        pool_run(q->pool, count, score_some, s);
    else
        score_some(s, 0, count, 0);
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

/* Quantiles cost time for every prediction so far: until the last they are computed again when an eighth has come to
 * those they are of. */
static void order_divergences(struct quality *q)
{
    bool due = q->scored == q->planned ? q->ordered < q->scored : q->scored - q->ordered > q->ordered / 8;
    if (!due || !isfinite(q->kl))
        return;
    q->kl_median = quantile(q->divergences, q->scored, 0.5);
    q->kl_p99 = quantile(q->divergences, q->scored, 0.99);
    q->ordered = q->scored;
}

/* ---- working --------------------------------------------------------------------------------- */

/* A set that is compared with itself runs once. */
static bool runs_once(const struct quality *q)
{
    return q->scheme.set == q->reference.set;
}

/* Tokens of the window that run together now. */
static size_t chunk_size(const struct quality *q)
{
    size_t left = q->window_size - q->window_at;
    return left < q->plan.chunk ? left : q->plan.chunk;
}

/* One part of one side's pass over the chunk; false when the pass is over. */
static bool run_part(struct quality *q, struct side *side)
{
    if (side->part == forward_parts(side->context->model))
        return false;
    size_t n = chunk_size(q);
    forward_part(side->context, side->set, side->part++, q->window + q->window_at, n);
    if (side->part == forward_parts(side->context->model))
        forward_finish(side->context, side->set, n, LOGITS_NONE, NULL);
    return true;
}

/* Predictions of the chunk from q->headed on that count and whose logits fit: those that count are adjacent. */
static size_t next_heads(struct quality *q, size_t n)
{
    size_t count = 0;
    while (q->headed < n && !counts(q, q->window_at + q->headed))
        q->headed++;
    while (count < q->heads && q->headed + count < n && counts(q, q->window_at + q->headed + count))
        count++;
    return count;
}

/* The head of one side for `count` predictions: the reference's, then the scheme's, which scores them. */
static void run_heads(struct quality *q, size_t count)
{
    struct side *side = q->reference_headed ? &q->scheme : &q->reference;
    forward_logits(side->context, side->set, q->headed, count, side->logits);
    q->reference_headed = !q->reference_headed && !runs_once(q);
    if (q->reference_headed)
        return;
    struct scoring s = {q, q->reference.logits, side->logits, q->window_at + q->headed};
    score(q, &s, count);
    q->headed += count;
}

/* One piece of the work on a chunk. Its last prediction ends it: who has them all sees that all has run. */
static void advance(struct quality *q)
{
    if (run_part(q, &q->reference) || (!runs_once(q) && run_part(q, &q->scheme)))
        return;
    size_t n = chunk_size(q), count = next_heads(q, n);
    if (count > 0)
        run_heads(q, count);
    if (q->reference_headed || next_heads(q, n) > 0)
        return;
    q->window_at += n;
    if (q->window_at + 1 == q->window_size) /* the last token of a window predicts nothing: it needs no pass of its own */
        q->window_at = q->window_size;
    q->headed = q->reference.part = q->scheme.part = 0;
}

bool quality_step(struct quality *q, double seconds)
{
    double begin = clock_seconds();
    bool done = false;
    do {
        if (q->window_at == q->window_size) {
            done = !next_window(q);
            q->reference.context->length = q->scheme.context->length = 0;
        }
        if (!done)
            advance(q);
    } while (!done && clock_seconds() - begin < seconds);
    order_divergences(q);
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

double quality_top1_stderr(const struct quality_result *r)
{
    return r->scored > 0 ? sqrt(r->top1 * (1 - r->top1) / (double)r->scored) : NAN;
}

const char *quality_reason(double figure)
{
    return isnan(figure) ? "a logit is not finite" : isinf(figure) ? "it is infinite" : NULL;
}

/* Tokens of the text in earlier windows, and in this one as far as it has run: a first token that is BOS is none. */
static size_t text_run(const struct quality *q)
{
    size_t bos = q->plan.bos >= 0 ? 1 : 0, left = q->window_size - q->window_at;
    size_t ahead = q->plan.protocol == PROTOCOL_FULL ? 0 : bos; /* text_at counts it there */
    size_t done = q->text_at > left + ahead ? q->text_at - left - ahead : 0;
    return done < q->plan.count ? done : q->plan.count;
}

struct quality_result quality_result(const struct quality *q)
{
    double n = (double)q->scored;
    struct quality_result r = {.basis = q->basis, .scored = q->scored, .planned = q->planned, .ran = text_run(q),
                                .kv_overflowed = q->scheme.context->cache.overflowed};
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

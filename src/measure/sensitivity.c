#include "sensitivity.h"

#include "engine/forward.h"
#include "engine/pin.h"
#include "base/clock.h"

#include <math.h>
#include <stdlib.h>

/* Sums over the predictions of one tensor. */
struct sums {
    size_t scored;
    double kl, kl_squared;
};

/* A pass has parts: the embedding (0), every segment of a block (1 + segment), the head (1 + segments). */
struct sensitivity_job {
    const struct model *model;
    struct context *context;
    struct pin pin;        /* of the stored weights */
    struct weights *stored, *scheme;
    struct weights *variant; /* what runs now: stored, or stored but for one tensor; null between passes */
    struct sums *sums;       /* one a tensor: of those that change together, of the first */
    int *together;           /* of each tensor: the first of those that change with it; -1: it is not measured */
    int *tensors;            /* the first of each that are measured, in order */
    size_t count;
    float *states;           /* the stored weights' hidden states before part 1, 2, ...: window x dim each */
    float *reference, *logits; /* of the stored weights, of the variant: (window, vocab) */
    double kl[SENSITIVITY_WINDOW];
    int32_t text[SENSITIVITY_TOKENS], window[SENSITIVITY_WINDOW];
    int32_t bos;
    size_t text_size;        /* tokens */
    size_t text_at;          /* of them in this window and those before it */
    size_t room;             /* tokens that a window has room for */
    size_t n;                /* tokens of this one; 0: none yet */
    size_t pass;             /* under way: 0 of the stored weights, 1 + i of tensors[i] */
    size_t part;             /* of the pass, the next */
    size_t headed;           /* tokens whose logits are there, in the last part */
    double work, all_work;   /* parts done and to do */
};

static size_t parts_of(const struct model *m)
{
    return forward_parts(m) + 1;
}

/* The first part of a pass that uses a tensor. */
static size_t first_part(const struct model *m, int tensor)
{
    const struct tensor *t = &m->tensors[tensor];
    if (t->block >= 0)
        return 1 + model_segment_of(m, tensor);
    return t->role == ROLE_EMBEDDING || t->role == ROLE_POSITIONS ? 0 : parts_of(m) - 1;
}

static size_t windows_of(const struct sensitivity_job *job)
{
    size_t room = job->room - (job->bos >= 0);
    return (job->text_size + room - 1) / room;
}

/* The first tensor that changes together with one, which changes. */
static int first_together(const struct sensitivity_job *job, const int *together, int tensor)
{
    for (int t = 0; together && t < tensor; t++)
        if (together[t] == together[tensor] && job->together[t] >= 0)
            return t;
    return tensor;
}

/* Where the pass of the tensors that change with one, the first of them, begins. */
static size_t first_part_together(const struct sensitivity_job *job, int first)
{
    size_t part = first_part(job->model, first);
    for (int t = first + 1; t < (int)job->model->tensor_count; t++)
        if (job->together[t] == first && first_part(job->model, t) < part)
            part = first_part(job->model, t);
    return part;
}

static void choose_tensors(struct sensitivity_job *job, const int *together)
{
    size_t parts = parts_of(job->model), all = parts;
    for (int t = 0; t < (int)job->model->tensor_count; t++) {
        bool changes = !qformat_as_stored(&job->scheme->layer[t]->matrix.format) && (!together || together[t] >= 0);
        job->together[t] = changes ? first_together(job, together, t) : -1;
        if (job->together[t] == t)
            job->tensors[job->count++] = t;
    }
    for (size_t i = 0; i < job->count; i++)
        all += parts - first_part_together(job, job->tensors[i]);
    job->all_work = job->count > 0 ? (double)(all * windows_of(job)) : 0;
}

static size_t state_size(const struct sensitivity_job *job)
{
    return job->room * job->model->hyper.dim;
}

static bool allocate(struct sensitivity_job *job, struct error *error)
{
    size_t logits = job->room * job->model->hyper.vocab;
    job->sums = calloc(job->model->tensor_count, sizeof *job->sums);
    job->tensors = calloc(job->model->tensor_count, sizeof *job->tensors);
    job->together = calloc(job->model->tensor_count, sizeof *job->together);
    job->states = malloc(parts_of(job->model) * state_size(job) * sizeof *job->states);
    job->reference = malloc(logits * sizeof *job->reference);
    job->logits = malloc(logits * sizeof *job->logits);
    return (job->sums && job->tensors && job->together && job->states && job->reference && job->logits) ||
           error_set(error, "not enough memory to measure sensitivity");
}

struct sensitivity_job *sensitivity_open(const struct model *model, struct pool *pool,
                                         const struct sensitivity_plan *plan, struct weights *stored,
                                         struct weights *scheme, struct error *error)
{
    if (plan->context < 2) {
        error_set(error, "a context of %zu has nothing to predict; expected at least 2", plan->context);
        return NULL;
    }
    struct sensitivity_job *job = calloc(1, sizeof *job);
    if (!job) {
        error_set(error, "not enough memory to measure sensitivity");
        return NULL;
    }
    job->model = model;
    job->bos = plan->bos;
    job->room = plan->context < SENSITIVITY_WINDOW ? plan->context : SENSITIVITY_WINDOW;
    job->text_size = plan->count < SENSITIVITY_TOKENS ? plan->count : SENSITIVITY_TOKENS;
    memcpy(job->text, plan->tokens, job->text_size * sizeof *job->text);
    job->stored = weights_ref(stored);
    job->scheme = weights_ref(scheme);
    bool ok = allocate(job, error) && pin_open(&job->pin, model, error) &&
              pin_set(&job->pin, stored, pool, error) &&
              (job->context = context_open(model, pool, job->room, error));
    if (ok) {
        choose_tensors(job, plan->together);
        return job;
    }
    sensitivity_close(job);
    return NULL;
}

void sensitivity_close(struct sensitivity_job *job)
{
    if (!job)
        return;
    pin_close(&job->pin);
    context_close(job->context);
    weights_unref(job->stored);
    weights_unref(job->scheme);
    weights_unref(job->variant);
    free(job->sums);
    free(job->tensors);
    free(job->together);
    free(job->states);
    free(job->reference);
    free(job->logits);
    free(job);
}

/* ---- passes ---------------------------------------------------------------------------------- */

static bool next_window(struct sensitivity_job *job)
{
    size_t begin = job->bos >= 0, room = job->room - begin, left = job->text_size - job->text_at;
    size_t n = left < room ? left : room;
    if (job->count == 0 || begin + n < 2)
        return false;
    if (begin)
        job->window[0] = job->bos;
    memcpy(job->window + begin, job->text + job->text_at, n * sizeof *job->window);
    job->n = begin + n;
    job->text_at += n;
    job->pass = 0;
    return true;
}

/* The stored weights but for the tensors that change with one. Null where memory is short. */
static struct weights *variant_of(const struct sensitivity_job *job, int first)
{
    struct weights *variant = weights_ref(job->stored);
    for (int t = first; variant && t >= 0 && t < (int)job->model->tensor_count; t++)
        if (job->together[t] == first) {
            struct weights *next = weights_replace(variant, job->scheme->layer[t]);
            weights_unref(variant);
            variant = next;
        }
    return variant;
}

/* A variant begins with the hidden states of the stored weights before the first part in which it differs. */
static bool begin_pass(struct sensitivity_job *job)
{
    int tensor = job->pass > 0 ? job->tensors[job->pass - 1] : -1;
    job->variant = variant_of(job, tensor);
    job->part = tensor < 0 ? 0 : first_part_together(job, tensor);
    job->context->length = job->headed = 0;
    if (job->part > 0)
        memcpy(job->context->reg[REG_X], job->states + job->part * state_size(job),
               job->n * job->model->hyper.dim * sizeof *job->states);
    return job->variant != NULL;
}

/* Logits of the next tokens; true when all are there. */
static bool run_head(struct sensitivity_job *job)
{
    const struct hyper *h = &job->model->hyper;
    size_t left = job->n - job->headed, most = forward_tokens((double)h->vocab * (double)h->dim);
    size_t n = left < most ? left : most;
    float *logits = job->pass == 0 ? job->reference : job->logits;
    forward_logits(job->context, job->variant, job->headed, n, logits + job->headed * h->vocab);
    job->headed += n;
    return job->headed == job->n;
}

static void run_part(struct sensitivity_job *job)
{
    struct context *c = job->context;
    size_t last = parts_of(job->model) - 1;
    if (job->pass == 0 && job->part > 0)
        memcpy(job->states + job->part * state_size(job), c->reg[REG_X],
               job->n * job->model->hyper.dim * sizeof *job->states);
    if (job->part < last)
        forward_part(c, job->variant, job->part, job->window, job->n);
    else if (!run_head(job))
        return;
    job->part++;
    job->work++;
}

static void score_tokens(void *arg, size_t begin, size_t end, int thread)
{
    struct sensitivity_job *job = arg;
    size_t vocab = job->model->hyper.vocab;
    (void)thread;
    for (size_t t = begin; t < end; t++) {
        struct divergence d;
        operators_current()->divergence(job->reference + t * vocab, job->logits + t * vocab, vocab, &d);
        job->kl[t] = d.kl;
    }
}

/* Summed in the order of the text, whoever scored what. */
static void score(struct sensitivity_job *job)
{
    struct sums *sums = &job->sums[job->tensors[job->pass - 1]];
    pool_run(job->context->pool, job->n - 1, score_tokens, job);
    for (size_t t = 0; t + 1 < job->n; t++) {
        sums->kl += job->kl[t];
        sums->kl_squared += job->kl[t] * job->kl[t];
        sums->scored++;
    }
}

/* The next part of the window, unless all windows are done. False when memory is short. */
static bool advance(struct sensitivity_job *job, bool *done)
{
    *done = (job->n == 0 || job->pass > job->count) && !next_window(job);
    if (*done)
        return true;
    if (!job->variant && !begin_pass(job))
        return false;
    run_part(job);
    if (job->part < parts_of(job->model))
        return true;
    if (job->pass > 0)
        score(job);
    weights_unref(job->variant);
    job->variant = NULL;
    job->pass++;
    return true;
}

bool sensitivity_step(struct sensitivity_job *job, double seconds, bool *done, struct error *error)
{
    double begin = clock_seconds();
    do
        if (!advance(job, done))
            return error_set(error, "not enough memory to measure sensitivity");
    while (!*done && clock_seconds() - begin <= seconds);
    return true;
}

double sensitivity_fraction(const struct sensitivity_job *job)
{
    return job->all_work > 0 ? job->work / job->all_work : 1;
}

const struct weights *sensitivity_set(const struct sensitivity_job *job)
{
    return job->scheme;
}

struct sensitivity sensitivity_of(const struct sensitivity_job *job, int tensor)
{
    const struct sums *sums = &job->sums[job->together[tensor] < 0 ? tensor : job->together[tensor]];
    double n = (double)sums->scored, mean = sums->scored > 0 ? sums->kl / n : 0;
    double variance = sums->scored > 1 ? (sums->kl_squared - sums->kl * mean) / (n - 1) : 0;
    struct sensitivity s = {.kl = mean, .scored = sums->scored};
    s.kl_stderr = sums->scored > 0 ? sqrt(fmax(variance, 0) / n) : 0;
    return s;
}

/* ---- as a job ---------------------------------------------------------------------------------- */

static bool step_job(void *job, double seconds, bool *done, struct error *error)
{
    return sensitivity_step(job, seconds, done, error);
}

static double job_fraction(const void *job)
{
    return sensitivity_fraction(job);
}

static void close_job(void *job)
{
    sensitivity_close(job);
}

const struct job_class sensitivity_class = {
    .name = "measuring sensitivity",
    .step = step_job,
    .fraction = job_fraction,
    .close = close_job,
};

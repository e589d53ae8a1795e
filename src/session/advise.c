#include "advise_internal.h"

#include "base/clock.h"
#include "engine/pin.h"
#include "model/reference.h"
#include "quant/quantization.h"
#include "sys/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A row's evaluation, and that of the reference beside it, is to take no longer than this. */
static const double EVALUATION_SECONDS = 6;
enum { FEWEST_TOKENS = 128 };

struct advise {
    struct advise_plan plan;
    struct advise_row *rows;
    size_t count, at;             /* rows; the one that is being measured */
    size_t tokens;                /* that quality is measured on; 0: not known yet */
    struct pin reference, pin;    /* of the reference's weights, and of the set's */
    struct quantization *making;
    struct weights *set;          /* of the row */
    struct advise_timing *timing;
    struct quality *quality;
};

/* What was measured of a row before; all rows are then of as many tokens. */
static void take_known(struct advise *a, const struct advise_row *known)
{
    for (size_t i = 0; i < a->count; i++) {
        struct advise_row *row = &a->rows[i];
        if (known->state != ADVISE_MEASURED || strcmp(row->scheme, known->scheme) != 0)
            continue;
        row->decode = known->decode;
        row->prefill = known->prefill;
        row->quality = known->quality;
        row->seconds = known->seconds;
        row->state = ADVISE_MEASURED;
        a->tokens = known->quality.basis.tokens;
    }
}

struct advise *advise_open(const struct advise_plan *plan, struct error *error)
{
    struct session *s = plan->session;
    struct advise *a = calloc(1, sizeof *a);
    if (!a) {
        error_set(error, "not enough memory");
        return NULL;
    }
    *a = (struct advise){.plan = *plan, .tokens = plan->tokens};
    a->rows = advise_candidates(plan, &a->count, error);
    for (size_t i = 0; a->rows && i < plan->known_count; i++)
        take_known(a, &plan->known[i]);
    if (a->rows && pin_open(&a->reference, model_reference(s->model), error) && pin_open(&a->pin, s->model, error))
        return a;
    advise_close(a);
    return NULL;
}

/* What a row is measured with. */
static void close_row(struct advise *a)
{
    quality_close(a->quality);
    advise_timing_close(a->timing);
    quantization_close(a->making);
    weights_unref(a->set);
    a->quality = NULL;
    a->timing = NULL;
    a->making = NULL;
    a->set = NULL;
}

void advise_close(struct advise *a)
{
    if (!a)
        return;
    close_row(a);
    pin_close(&a->pin);
    pin_close(&a->reference);
    advise_candidates_free(a->rows, a->count);
    free(a);
}

const struct advise_row *advise_rows(const struct advise *a, size_t *count)
{
    *count = a->count;
    return a->rows;
}

const struct advise_row *advise_choice(const struct advise *a)
{
    size_t best = advise_pick(&a->plan.limits, a->plan.goal, a->rows, a->count);
    return best < a->count ? &a->rows[best] : NULL;
}

void advise_limit(struct advise *a, const struct advise_limits *limits)
{
    a->plan.limits = *limits;
    advise_judge(&a->plan.limits, a->rows, a->count);
}

size_t advise_tokens(const struct advise *a)
{
    return a->tokens;
}

/* ---- a row ------------------------------------------------------------------------------------- */

static bool begin_making(struct advise *a, struct advise_row *row)
{
    struct session *s = a->plan.session;
    struct quantization_plan plan = {.model = s->model, .pool = s->pool, .from = s->stored, .stored = s->stored,
                                     .schemes = row->schemes, .text = a->plan.text, .importance = s->importance};
    return memory_check(row->scheme, row->memory, &row->reason) &&
           (a->making = quantization_open(&plan, &row->reason)) != NULL;
}

static bool begin_timing(struct advise *a, struct advise_row *row)
{
    struct session *s = a->plan.session;
    struct weights *made = quantization_take(a->making);
    quantization_close(a->making);
    a->making = NULL;
    a->set = weights_take_kv(made, a->plan.kv);
    if (!a->set)
        return error_set(&row->reason, "not enough memory");
    return pin_set(&a->pin, a->set, s->pool, &row->reason) &&
           (a->timing = advise_timing_open(s, a->set, &row->reason)) != NULL;
}

/* As many tokens as the first row's speed allows, of a prompt's pieces and of the reference's beside them. */
static void choose_tokens(struct advise *a, const struct advise_row *row)
{
    double most = EVALUATION_SECONDS * row->prefill.median / 2;
    size_t n = a->plan.quality.count < ADVISE_TOKENS ? a->plan.quality.count : ADVISE_TOKENS;
    if (a->tokens > 0)
        return;
    while (n / 2 >= FEWEST_TOKENS && (double)n > most)
        n /= 2;
    a->tokens = n;
}

static bool begin_evaluating(struct advise *a, struct advise_row *row)
{
    struct session *s = a->plan.session;
    advise_timing_result(a->timing, &row->decode, &row->prefill);
    advise_timing_close(a->timing);
    a->timing = NULL;
    choose_tokens(a, row);
    struct quality_plan plan = a->plan.quality;
    plan.count = plan.count < a->tokens ? plan.count : a->tokens;
    return pin_set(&a->reference, s->reference, s->pool, &row->reason) &&
           (a->quality = quality_open(s->model, s->pool, &plan, s->reference, a->set, &row->reason)) != NULL;
}

/* Goes from a state before ADVISE_EVALUATING to the next. */
static bool begin_row(struct advise *a, struct advise_row *row)
{
    bool (*const begin[])(struct advise *, struct advise_row *) = {
        [ADVISE_WAITING] = begin_making, [ADVISE_MAKING] = begin_timing, [ADVISE_TIMING] = begin_evaluating};
    if (!begin[row->state](a, row))
        return false;
    row->state++;
    return true;
}

/* A slice of what a row's state is about. False: it is left out. */
static bool step_row(struct advise *a, struct advise_row *row, double seconds, bool *done)
{
    *done = false;
    switch (row->state) {
    case ADVISE_MAKING:
        return quantization_step(a->making, seconds, done, &row->reason);
    case ADVISE_TIMING:
        *done = advise_timing_step(a->timing, seconds);
        return true;
    default:
        *done = quality_step(a->quality, seconds);
        row->quality = quality_result(a->quality);
        return true;
    }
}

static void end_row(struct advise *a, struct advise_row *row, enum advise_state state)
{
    row->state = state;
    close_row(a);
    memory_give_back();
    a->at++;
    advise_judge(&a->plan.limits, a->rows, a->count);
}

static bool step(void *job, double seconds, bool *done, struct error *error)
{
    struct advise *a = job;
    struct advise_row *row = &a->rows[a->at];
    double begin = clock_seconds();
    bool over = row->state == ADVISE_WAITING, ok = true, known = row->state == ADVISE_MEASURED;
    (void)error;
    if (known) {
        end_row(a, row, ADVISE_MEASURED);
        *done = a->at == a->count;
        return true;
    }
    if (!over)
        ok = step_row(a, row, seconds, &over);
    bool measured = ok && over && row->state == ADVISE_EVALUATING;
    if (ok && over && !measured)
        ok = begin_row(a, row);
    row->seconds += clock_seconds() - begin;
    if (!ok || measured)
        end_row(a, row, ok ? ADVISE_MEASURED : ADVISE_LEFT_OUT);
    *done = a->at == a->count;
    return true;
}

static double row_fraction(const struct advise *a)
{
    const struct advise_row *row = &a->rows[a->at];
    return row->state == ADVISE_MAKING       ? 0.6 * quantization_fraction(a->making)
           : row->state == ADVISE_TIMING     ? 0.6
           : row->state == ADVISE_EVALUATING ? 0.7 + 0.3 * quality_fraction(a->quality)
                                             : 0;
}

static double fraction(const void *job)
{
    const struct advise *a = job;
    return a->at == a->count ? 1 : ((double)a->at + row_fraction(a)) / (double)a->count;
}

static const char *phase(const void *job)
{
    const struct advise *a = job;
    return a->at < a->count ? a->rows[a->at].scheme : advise_class.name;
}

static void close_job(void *job)
{
    advise_close(job);
}

const struct job_class advise_class = {
    .name = "advising", .step = step, .fraction = fraction, .phase = phase, .close = close_job};

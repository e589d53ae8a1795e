#include "tune_internal.h"

#include "base/clock.h"
#include "recipe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VERIFICATIONS = 8, TIMED_STEPS = 12, TIMED_POSITIONS = 16 };

/* ---- opening --------------------------------------------------------------------------------- */

/* Linear matrices inside blocks and, unless the budget is for those alone, embedding and head. */
static bool may_change(const struct tune *t, int tensor)
{
    const struct tensor *x = &t->plan.model->tensors[tensor];
    bool linear = role_takes_schemes(x->role);
    return linear || (t->plan.budget.max_bits == 0 && x->stored.rows > 1 && x->block < 0);
}

static bool list_items(struct tune *t, struct error *error)
{
    size_t count = t->plan.model->tensor_count;
    t->tensors = calloc(count, sizeof *t->tensors);
    for (int i = 0; t->tensors && i < (int)count; i++)
        if (may_change(t, i))
            t->tensors[t->items++] = i;
    if (!t->tensors)
        return error_set(error, "not enough memory to search");
    return t->items > 0 || error_set(error, "the model has no matrix to choose a scheme for");
}

static bool allocate(struct tune *t, struct error *error)
{
    size_t n = t->items * t->candidates, all = schemes_count(t->plan.model);
    t->schemes = calloc(all, sizeof *t->schemes);
    t->best_schemes = calloc(all, sizeof *t->best_schemes);
    t->cost = calloc(5 * n, sizeof *t->cost);
    t->total_seconds = calloc(t->candidates, sizeof *t->total_seconds);
    t->choice = calloc(t->items + 1, 1);
    if (!t->schemes || !t->best_schemes || !t->cost || !t->total_seconds || !t->choice)
        return error_set(error, "not enough memory to search");
    t->bytes = t->cost + n;
    t->seconds = t->bytes + n;
    t->loss = t->seconds + n;
    t->joint_loss = t->loss + n;
    return true;
}

struct tune *tune_open(const struct tune_plan *plan, struct error *error)
{
    struct tune *t = budget_check(&plan->budget, error) ? calloc(1, sizeof *t) : NULL;
    if (!t)
        return NULL;
    t->plan = *plan;
    if (list_items(t, error)) {
        tune_list_candidates(t);
        if (allocate(t, error) && tune_find_other_bytes(t, error))
            return t;
    }
    tune_close(t);
    return NULL;
}

void tune_close(struct tune *t)
{
    if (!t)
        return;
    quantization_close(t->making);
    sensitivity_close(t->sensing);
    quality_close(t->verifying);
    if (t->solved)
        knapsack_free(&t->knapsack);
    weights_unref(t->set);
    weights_unref(t->best_set);
    free(t->tensors);
    free(t->schemes);
    free(t->best_schemes);
    free(t->cost);
    free(t->total_seconds);
    free(t->choice);
    free(t);
}

/* ---- measuring the candidates ---------------------------------------------------------------- */

static bool begin_making(struct tune *t, struct error *error)
{
    struct quantization_plan plan = {.model = t->plan.model, .pool = t->plan.pool, .from = t->plan.stored,
                                     .stored = t->plan.stored, .schemes = t->schemes, .text = t->plan.text,
                                     .importance = t->plan.importance};
    t->making = quantization_open(&plan, error);
    return t->making != NULL;
}

/* Makes the set of t->schemes; *done when it is in t->set. */
static bool make(struct tune *t, double seconds, bool *done, struct error *error)
{
    *done = false;
    if (!t->making && !begin_making(t, error))
        return false;
    if (!quantization_step(t->making, seconds, done, error))
        return false;
    if (!*done)
        return true;
    weights_unref(t->set);
    t->set = weights_take_kv(quantization_take(t->making), t->plan.kv);
    quantization_close(t->making);
    t->making = NULL;
    return t->set || error_set(error, "not enough memory to search");
}

static bool make_candidate(struct tune *t, double seconds, struct error *error)
{
    bool done;
    if (!t->making) {
        tune_all_stored(t);
        for (size_t i = 0; i < t->items; i++)
            if (tune_item_bytes(t, t->candidate, t->tensors[i]) > 0)
                t->schemes[t->tensors[i]] = tune_candidate(t, t->candidate, t->tensors[i]);
    }
    if (!make(t, seconds, &done, error))
        return false;
    if (done)
        t->stage = STAGE_SENSE;
    return true;
}

static bool sense(struct tune *t, double seconds, struct error *error)
{
    struct sensitivity_plan plan = {t->plan.search, t->plan.search_count, t->plan.verify.bos, t->plan.context};
    if (!t->sensing)
        t->sensing = sensitivity_open(t->plan.model, t->plan.pool, &plan, t->plan.stored, t->set, error);
    bool done;
    if (!t->sensing || !sensitivity_step(t->sensing, seconds, &done, error))
        return false;
    if (!done)
        return true;
    for (size_t i = 0; i < t->items; i++) {
        size_t at = i * t->candidates + t->candidate;
        size_t in_file = tune_item_bytes(t, t->candidate, t->tensors[i]);
        t->bytes[at] = t->plan.file ? (double)in_file : (double)t->set->layer[t->tensors[i]]->matrix.bytes;
        t->loss[at] = sensitivity_of(t->sensing, t->tensors[i]).kl;
        if (!isfinite(t->loss[at]) || in_file == 0)
            t->loss[at] = NAN;
    }
    sensitivity_close(t->sensing);
    t->sensing = NULL;
    t->stage = STAGE_TIME;
    return true;
}

/* The shortest time of each tensor over some decode steps: whatever else runs can only add to it. */
static bool time_candidate(struct tune *t, struct error *error)
{
    const struct model *m = t->plan.model;
    size_t n = schemes_count(m), positions = t->plan.context < TIMED_POSITIONS ? t->plan.context : TIMED_POSITIONS;
    double *seconds = calloc(n, sizeof *seconds), *min = calloc(n, sizeof *min), total = INFINITY;
    float *logits = malloc(m->hyper.vocab * sizeof *logits);
    struct context *c = context_open_kv(m, t->plan.pool, t->plan.kv, positions, error);
    bool ok = c && seconds && min && logits;
    for (size_t step = 0; ok && step < TIMED_STEPS; step++) {
        int32_t token = 0;
        memset(seconds, 0, n * sizeof *seconds);
        c->length = positions > 1 ? 1 : 0;
        c->tensor_seconds = seconds;
        double begin = clock_seconds();
        context_run(c, t->set, &token, 1, LOGITS_LAST, logits);
        total = fmin(total, clock_seconds() - begin);
        for (size_t i = 0; i < n; i++)
            min[i] = step == 0 ? seconds[i] : fmin(min[i], seconds[i]);
    }
    for (size_t i = 0; ok && i < t->items; i++)
        t->seconds[i * t->candidates + t->candidate] = min[t->tensors[i]];
    t->total_seconds[t->candidate] = total;
    context_close(c);
    free(seconds);
    free(min);
    free(logits);
    if (!ok && c)
        error_set(error, "not enough memory to time a step");
    return ok;
}

bool tune_check(const struct tune_plan *plan, struct error *error)
{
    struct tune *t = tune_open(plan, error);
    bool ok = t && tune_check_bytes(t, error);
    tune_close(t);
    return ok;
}

/* ---- verifying ------------------------------------------------------------------------------- */

static bool only_kl(const struct tune *t)
{
    const struct budget *b = &t->plan.budget;
    return b->max_size == 0 && b->max_bits == 0 && b->min_rate == 0;
}

static void keep(struct tune *t, const struct quality_result *r)
{
    t->found = true;
    memcpy(t->best_schemes, t->schemes, schemes_count(t->plan.model) * sizeof *t->schemes);
    weights_unref(t->best_set);
    t->best_set = weights_ref(t->set);
    t->best_quality = *r;
    t->best_predicted = t->predicted;
    t->best_rate = t->rate;
    t->best_size = t->size;
}

/* What an evaluation says of the choice, and where to look next: between what was too lossy and what was good enough,
 * guided by the ratio of measured to predicted KL. */
static bool judge(struct tune *t, const struct quality_result *r, struct error *error)
{
    const struct budget *b = &t->plan.budget;
    if (!t->plan.file)
        t->size = weights_size(t->set);
    bool good = b->max_kl == 0 || r->kl <= b->max_kl;
    t->verifications++;
    if (!only_kl(t)) {
        keep(t, r);
        t->stage = STAGE_DONE;
        return good || error_set(error, "kl %g cannot be reached within the other budget: the nearest is %.3g",
                                 b->max_kl, r->kl);
    }
    if (good && (!t->found || t->size < t->best_size))
        keep(t, r);
    if (good)
        t->high = t->step;
    else
        t->low = t->step;
    if (!t->found && t->step == KNAPSACK_STEPS)
        return error_set(error, "kl %g cannot be reached: the best choice on offer has %.3g", b->max_kl, r->kl);
    if (t->high - t->low <= KNAPSACK_STEPS / 256 || t->verifications >= VERIFICATIONS) {
        t->step = t->found ? t->step : KNAPSACK_STEPS; /* the best there is, before it is said to be impossible */
        t->stage = t->found ? STAGE_DONE : STAGE_BUILD;
        return t->found || tune_apply_step(t, error);
    }
    double wanted = r->kl > 0 ? b->max_kl * t->predicted / r->kl : 0;
    size_t next = t->low + 1;
    while (next < t->high && t->knapsack.best[next] > wanted)
        next++;
    if (next <= t->low || next >= t->high)
        next = (t->low + t->high) / 2;
    t->step = next;
    t->stage = STAGE_BUILD;
    return tune_apply_step(t, error);
}

static bool verify(struct tune *t, double seconds, struct error *error)
{
    if (!t->verifying)
        t->verifying = quality_open(t->plan.model, t->plan.pool, &t->plan.verify, t->plan.reference, t->set, error);
    if (!t->verifying)
        return false;
    if (!quality_step(t->verifying, seconds))
        return true;
    struct quality_result r = quality_result(t->verifying);
    quality_close(t->verifying);
    t->verifying = NULL;
    return judge(t, &r, error);
}

/* ---- the job --------------------------------------------------------------------------------- */

static bool stage_step(struct tune *t, double seconds, struct error *error)
{
    bool done;
    switch (t->stage) {
    case STAGE_MAKE:
        return make_candidate(t, seconds, error);
    case STAGE_SENSE:
        return sense(t, seconds, error);
    case STAGE_TIME:
        if (!time_candidate(t, error))
            return false;
        t->stage = ++t->candidate < t->candidates ? STAGE_MAKE : STAGE_CHOOSE;
        return true;
    case STAGE_CHOOSE:
        if (!tune_choose_first(t, error) || !tune_apply_step(t, error))
            return false;
        t->stage = STAGE_BUILD;
        return true;
    case STAGE_BUILD:
        if (!make(t, seconds, &done, error))
            return false;
        if (done)
            t->stage = STAGE_VERIFY;
        return true;
    case STAGE_VERIFY:
        return verify(t, seconds, error);
    case STAGE_DONE:
        break;
    }
    return true;
}

bool tune_step(struct tune *t, double seconds, bool *done, struct error *error)
{
    double begin = clock_seconds(), left = seconds;
    while (t->stage != STAGE_DONE && left >= 0) {
        if (!stage_step(t, left, error))
            return false;
        left = seconds - (clock_seconds() - begin);
    }
    *done = t->stage == STAGE_DONE;
    return true;
}

double tune_fraction(const struct tune *t)
{
    double part = t->making ? quantization_fraction(t->making) / 2
                  : t->sensing ? 0.5 + sensitivity_fraction(t->sensing) / 2
                               : 0;
    if (t->stage == STAGE_DONE)
        return 1;
    if (t->stage < STAGE_CHOOSE)
        return 0.8 * ((double)t->candidate + part) / (double)t->candidates;
    double all = only_kl(t) ? VERIFICATIONS : 1;
    return 0.8 + 0.2 * ((double)t->verifications + part) / all;
}

const char *tune_work(const struct tune *t)
{
    return t->stage < STAGE_CHOOSE ? "measuring every layer in every scheme" : "verifying the best choice";
}

/* 8 x bytes / weights over the linear layers in blocks, and over everything. */
static void find_bits(const struct tune *t, struct tuned *out)
{
    const struct model *m = t->plan.model;
    struct weights_totals totals = weights_totals(m, t->best_set, 0);
    double linear = 0, weights = 0;
    for (int i = 0; t->plan.file && i < (int)m->tensor_count; i++) {
        const struct tensor *x = &m->tensors[i];
        bool counts = roles[x->role].linear && roles[x->role].in_block;
        linear += counts ? (double)t->plan.file->tensor_bytes(t->plan.file->context, i, &t->best_schemes[i]) : 0;
        weights += counts ? (double)x->stored.rows * (double)x->stored.cols : 0;
    }
    out->bits_per_weight = t->plan.file ? 8 * linear / weights : totals.bits_per_weight;
    out->bits_per_weight_all = totals.bits_per_weight_all * (double)t->best_size / (double)totals.size;
}

size_t tune_candidates(const struct tune *t, size_t *measured)
{
    *measured = t->candidate;
    return t->candidates;
}

struct tune_table tune_table(struct tune *t)
{
    return (struct tune_table){.items = t->items, .candidates = t->candidates, .measured = t->candidate,
                               .bytes = t->bytes, .seconds = t->seconds, .loss = t->loss,
                               .total_seconds = t->total_seconds};
}

void tune_resume(struct tune *t, size_t measured)
{
    t->candidate = measured;
    t->stage = measured < t->candidates ? STAGE_MAKE : STAGE_CHOOSE;
}

bool tune_best(const struct tune *t, struct tuned *out)
{
    if (!t->found)
        return false;
    *out = (struct tuned){.schemes = t->best_schemes,
                          .set = t->best_set,
                          .size = t->best_size,
                          .rate = t->best_rate,
                          .quality = t->best_quality,
                          .predicted_kl = t->best_predicted};
    find_bits(t, out);
    return true;
}

size_t tune_curve(const struct tune *t, struct tune_point *out, size_t max)
{
    double other = tune_by_rate(t) ? tune_other_seconds(t) : t->other_bytes;
    size_t n = 0;
    for (size_t i = 0; t->solved && n < max && max > 1; i++, n++) {
        size_t step = i * KNAPSACK_STEPS / (max - 1);
        out[n] = (struct tune_point){t->knapsack.min_cost + (double)step * t->knapsack.step + other,
                                     t->knapsack.best[step]};
    }
    return n;
}

/* ---- as a job ---------------------------------------------------------------------------------- */

static bool step_job(void *job, double seconds, bool *done, struct error *error)
{
    return tune_step(job, seconds, done, error);
}

static double job_fraction(const void *job)
{
    return tune_fraction(job);
}

static const char *job_phase_now(const void *job)
{
    return tune_work(job);
}

static void close_job(void *job)
{
    tune_close(job);
}

const struct job_class tune_class = {
    .name = "searching",
    .step = step_job,
    .fraction = job_fraction,
    .phase = job_phase_now,
    .close = close_job,
};

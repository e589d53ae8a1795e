#include "tune.h"

#include "base/clock.h"
#include "measure/sensitivity.h"
#include "knapsack.h"
#include "recipe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The schemes that are tried, small first. Matrices that are looked up have no use for methods that look at
 * activations: scheme_for_tensor leaves those out. A GGUF file has types for groups of 32 alone, and input scales
 * only where all matrices behind a norm share one. */
static const struct {
    const char *scheme;
    bool any, gguf;
} candidates[] = {
    {"int4:g128:asym:awq+gptq", true, false}, {"int4:g64:asym:awq+gptq", true, false},
    {"int4:g32:asym:awq+gptq", true, false},  {"int4:g16:asym:awq+gptq", true, false},
    {"int4:g32:clip+gptq", false, true},           {"int4:g32:asym:clip+gptq", false, true},
    {"int8:channel:gptq", true, false},            {"int8:g32:gptq", true, true},
    {"fp16", true, true},
};

enum { GGUF_BLOCK = 32 }; /* columns */
enum { CANDIDATES = sizeof candidates / sizeof *candidates, VERIFICATIONS = 8, TIMED_STEPS = 12, TIMED_POSITIONS = 16 };

enum stage { STAGE_MAKE, STAGE_SENSE, STAGE_TIME, STAGE_CHOOSE, STAGE_BUILD, STAGE_VERIFY, STAGE_DONE };

struct tune {
    struct tune_plan plan;
    enum stage stage;
    int *tensors;               /* items: those that may change */
    size_t items;
    size_t rows[CANDIDATES], candidates; /* rows of the table */
    size_t candidate;               /* the one under way */
    struct scheme *schemes;     /* schemes_count: of what is being made */
    double *cost, *bytes, *seconds, *loss; /* items x candidates */
    double *total_seconds;      /* of a decode step, one a candidate */
    struct weights *set;        /* of the candidate, or of what was chosen */
    struct quantization *making;
    struct sensitivity_job *sensing;
    struct knapsack knapsack;
    bool solved;
    uint8_t *choice;            /* items */
    size_t step, low, high;     /* of the knapsack: chosen, too lossy, good enough */
    size_t verifications;
    double predicted, rate;
    struct quality *verifying;
    bool found;                 /* the best so far: */
    struct scheme *best_schemes;
    struct weights *best_set;
    struct quality_result best_quality;
    double best_predicted, best_rate;
};

static bool by_rate(const struct tune *t)
{
    return t->plan.budget.min_rate > 0;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Linear matrices inside blocks and, unless the budget is for those alone, embedding and head. */
static bool may_change(const struct tune *t, int tensor)
{
    const struct tensor *x = &t->plan.model->tensors[tensor];
    bool linear = roles[x->role].linear && x->block >= 0;
    return linear || (t->plan.budget.max_bits == 0 && x->stored.rows > 1 && x->block < 0);
}

static bool allocate(struct tune *t, struct error *error)
{
    size_t count = t->plan.model->tensor_count, all = schemes_count(t->plan.model);
    t->tensors = calloc(count, sizeof *t->tensors);
    for (int i = 0; t->tensors && i < (int)count; i++)
        if (may_change(t, i))
            t->tensors[t->items++] = i;
    size_t n = t->items * t->candidates;
    t->schemes = calloc(all, sizeof *t->schemes);
    t->best_schemes = calloc(all, sizeof *t->best_schemes);
    t->cost = calloc(4 * n, sizeof *t->cost);
    t->total_seconds = calloc(t->candidates, sizeof *t->total_seconds);
    t->choice = calloc(t->items + 1, 1);
    if (!t->tensors || !t->schemes || !t->best_schemes || !t->cost || !t->total_seconds || !t->choice)
        return error_set(error, "not enough memory to search");
    t->bytes = t->cost + n;
    t->seconds = t->bytes + n;
    t->loss = t->seconds + n;
    return t->items > 0 || error_set(error, "the model has no matrix to choose a scheme for");
}

struct tune *tune_open(const struct tune_plan *plan, struct error *error)
{
    struct tune *t = budget_check(&plan->budget, error) ? calloc(1, sizeof *t) : NULL;
    if (!t)
        return NULL;
    t->plan = *plan;
    for (size_t i = 0; i < CANDIDATES; i++)
        if (plan->budget.gguf ? candidates[i].gguf : candidates[i].any)
            t->rows[t->candidates++] = i;
    if (allocate(t, error))
        return t;
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

/* The candidate as a tensor can have it: activations stay as they are, groups are no wider than rows. */
static struct scheme candidate_for(const struct tune *t, size_t candidate, int tensor)
{
    struct scheme s;
    const struct qmatrix *stored = &t->plan.model->tensors[tensor].stored;
    scheme_parse(candidates[t->rows[candidate]].scheme, &s, NULL);
    if (t->plan.budget.gguf && stored->cols % GGUF_BLOCK != 0) /* would be written as fp32 */
        s = scheme_default(DTYPE_FP16);
    if (s.format.granularity == GRANULARITY_GROUP && s.format.group >= stored->cols) {
        s.format.granularity = GRANULARITY_CHANNEL;
        s.format.group = 0;
    }
    return scheme_for_tensor(t->plan.model, tensor, s);
}

static void all_stored(struct tune *t)
{
    for (size_t i = 0; i < t->plan.model->tensor_count; i++)
        t->schemes[i] = scheme_stored(&t->plan.model->tensors[i].stored);
    t->schemes[kv_index(t->plan.model)] = scheme_default(t->plan.kv);
}

static bool begin_making(struct tune *t, struct error *error)
{
    struct quantization_plan plan = {.model = t->plan.model, .pool = t->plan.pool, .from = t->plan.stored,
                                     .stored = t->plan.stored, .schemes = t->schemes, .text = t->plan.text};
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
        all_stored(t);
        for (size_t i = 0; i < t->items; i++)
            t->schemes[t->tensors[i]] = candidate_for(t, t->candidate, t->tensors[i]);
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
        const struct qtensor *p = t->set->layer[t->tensors[i]];
        t->bytes[at] = (double)p->matrix.bytes;
        t->loss[at] = sensitivity_of(t->sensing, t->tensors[i]).kl;
        if (!isfinite(t->loss[at]))
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

/* ---- choosing -------------------------------------------------------------------------------- */

/* Seconds of a step that no choice changes. */
static double other_seconds(const struct tune *t)
{
    double min = INFINITY;
    for (size_t c = 0; c < t->candidates; c++) {
        double rest = t->total_seconds[c];
        for (size_t i = 0; i < t->items; i++)
            rest -= t->seconds[i * t->candidates + c];
        min = fmin(min, rest);
    }
    return fmax(min, 0);
}

/* Bytes that no choice changes, of those that the budget counts. */
static double other_bytes(const struct tune *t)
{
    double rest = t->plan.budget.max_bits > 0 ? 0 : (double)weights_size(t->plan.stored);
    for (size_t i = 0; i < t->items && t->plan.budget.max_bits == 0; i++)
        rest -= (double)t->plan.model->tensors[t->tensors[i]].stored.bytes;
    return rest;
}

static double linear_weights(const struct tune *t)
{
    double n = 0;
    for (size_t i = 0; i < t->items; i++) {
        const struct qmatrix *m = &t->plan.model->tensors[t->tensors[i]].stored;
        n += (double)m->rows * (double)m->cols;
    }
    return n;
}

/* What the items may cost together. */
static double cost_budget(const struct tune *t)
{
    const struct budget *b = &t->plan.budget;
    if (b->min_rate > 0)
        return 1 / b->min_rate - other_seconds(t);
    if (b->max_bits > 0)
        return b->max_bits * linear_weights(t) / 8;
    return b->max_size > 0 ? b->max_size - other_bytes(t) : INFINITY;
}

/* `min` is the least that the items cost together. */
static bool refuse_budget(const struct tune *t, double min, struct error *error)
{
    const struct budget *b = &t->plan.budget;
    if (b->min_rate > 0)
        return error_set(error, "--min-tokens-per-second %g cannot be reached: the fastest choice is predicted to "
                                "reach %.1f", b->min_rate, 1 / (min + other_seconds(t)));
    if (b->max_bits > 0)
        return error_set(error, "--max-bits %g cannot be reached: the smallest choice has %.3f bits a weight",
                         b->max_bits, 8 * min / linear_weights(t));
    return error_set(error, "--max-size %.0f cannot be reached: the smallest choice has %.0f bytes", b->max_size,
                     min + other_bytes(t));
}

/* The smallest candidates: a budget below that need not be searched. */
static bool check_bytes(const struct tune *t, struct error *error)
{
    double min = 0;
    for (size_t i = 0; i < t->items; i++) {
        const struct qmatrix *m = &t->plan.model->tensors[t->tensors[i]].stored;
        double smallest = INFINITY;
        for (size_t c = 0; c < t->candidates; c++) {
            struct scheme s = candidate_for(t, c, t->tensors[i]);
            size_t bytes;
            if (scheme_bytes(&s, m->rows, m->cols, &bytes))
                smallest = fmin(smallest, (double)bytes);
        }
        min += smallest;
    }
    return by_rate(t) || cost_budget(t) >= min || refuse_budget(t, min, error);
}

bool tune_check(const struct tune_plan *plan, struct error *error)
{
    struct tune *t = tune_open(plan, error);
    bool ok = t && check_bytes(t, error);
    tune_close(t);
    return ok;
}

static bool choose_first(struct tune *t, struct error *error)
{
    memcpy(t->cost, by_rate(t) ? t->seconds : t->bytes, t->items * t->candidates * sizeof *t->cost);
    t->solved = knapsack_solve(&t->knapsack, t->items, t->candidates, t->cost, t->loss, error);
    if (!t->solved)
        return false;
    double budget = cost_budget(t);
    if (budget < t->knapsack.min_cost)
        return refuse_budget(t, t->knapsack.min_cost, error);
    t->low = 0;
    t->high = KNAPSACK_STEPS;
    if (isfinite(budget)) {
        t->step = knapsack_step(&t->knapsack, budget);
        return true;
    }
    /* For a budget of KL: where the layers' own add up to it. */
    for (t->step = 0; t->step < KNAPSACK_STEPS && t->knapsack.best[t->step] > t->plan.budget.max_kl;)
        t->step++;
    return true;
}

static void apply_choice(struct tune *t)
{
    double seconds = other_seconds(t);
    t->predicted = knapsack_choose(&t->knapsack, t->step, t->choice);
    all_stored(t);
    for (size_t i = 0; i < t->items; i++) {
        t->schemes[t->tensors[i]] = candidate_for(t, t->choice[i], t->tensors[i]);
        seconds += t->seconds[i * t->candidates + t->choice[i]];
    }
    t->rate = 1 / seconds;
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
}

/* What an evaluation says of the choice, and where to look next: between what was too lossy and what was good enough,
 * guided by the ratio of measured to predicted KL. */
static bool judge(struct tune *t, const struct quality_result *r, struct error *error)
{
    const struct budget *b = &t->plan.budget;
    bool good = b->max_kl == 0 || r->kl <= b->max_kl;
    t->verifications++;
    if (!only_kl(t)) {
        keep(t, r);
        t->stage = STAGE_DONE;
        return good || error_set(error, "--max-kl %g cannot be reached within the other budget: the nearest is %.3g",
                                 b->max_kl, r->kl);
    }
    if (good && (!t->found || weights_size(t->set) < weights_size(t->best_set)))
        keep(t, r);
    if (good)
        t->high = t->step;
    else
        t->low = t->step;
    if (!t->found && t->step == KNAPSACK_STEPS)
        return error_set(error, "--max-kl %g cannot be reached: the best choice on offer has %.3g", b->max_kl, r->kl);
    if (t->high - t->low <= KNAPSACK_STEPS / 256 || t->verifications >= VERIFICATIONS) {
        t->step = t->found ? t->step : KNAPSACK_STEPS; /* the best there is, before it is said to be impossible */
        t->stage = t->found ? STAGE_DONE : STAGE_BUILD;
        if (!t->found)
            apply_choice(t);
        return true;
    }
    double wanted = r->kl > 0 ? b->max_kl * t->predicted / r->kl : 0;
    size_t next = t->low + 1;
    while (next < t->high && t->knapsack.best[next] > wanted)
        next++;
    if (next <= t->low || next >= t->high)
        next = (t->low + t->high) / 2;
    t->step = next;
    apply_choice(t);
    t->stage = STAGE_BUILD;
    return true;
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
        if (!choose_first(t, error))
            return false;
        apply_choice(t);
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
                          .size = weights_size(t->best_set),
                          .bits_per_weight = weights_bits_per_weight(t->plan.model, t->best_set),
                          .rate = t->best_rate,
                          .quality = t->best_quality,
                          .predicted_kl = t->best_predicted};
    return true;
}

size_t tune_curve(const struct tune *t, struct tune_point *out, size_t max)
{
    double other = by_rate(t) ? other_seconds(t) : other_bytes(t);
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

#include "tune_internal.h"

#include "base/clock.h"
#include "recipe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VERIFICATIONS = 8, ROUNDS = 2, ROUNDS_MAX = 12 };

/* ---- opening --------------------------------------------------------------------------------- */

/* Linear matrices inside blocks and, unless the budget is for those alone, embedding and head. */
static bool may_change(const struct tune *t, int tensor)
{
    const struct tensor *x = &t->plan.model->tensors[tensor];
    const struct budget *b = &t->plan.budget;
    bool all = b->max_bits == 0 || b->max_size > 0;
    return role_takes_schemes(x->role) || (all && x->stored.rows > 1 && x->block < 0);
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

/* Room for what there is of each item, and of each with each candidate. */
static bool allocate(struct tune *t, struct error *error)
{
    size_t n = t->items * t->candidates, all = schemes_count(t->plan.model), next = 0;
    double **of_each[] = {&t->cost, &t->bytes, &t->seconds, &t->error, &t->loss, &t->joint_loss,
                          &t->limits[0].cost, &t->limits[1].cost, &t->limits[2].cost};
    t->schemes = calloc(all, sizeof *t->schemes);
    t->best_schemes = calloc(all, sizeof *t->best_schemes);
    t->numbers = calloc(sizeof of_each / sizeof *of_each * n, sizeof *t->numbers);
    t->total_seconds = calloc(t->candidates, sizeof *t->total_seconds);
    t->together = calloc(t->plan.model->tensor_count, sizeof *t->together);
    t->choice = calloc(3 * t->items + 3, 1);
    t->probed = calloc(2 * t->items, sizeof *t->probed);
    if (!t->schemes || !t->best_schemes || !t->numbers || !t->total_seconds || !t->together || !t->choice || !t->probed)
        return error_set(error, "not enough memory to search");
    for (size_t i = 0; i < sizeof of_each / sizeof *of_each; i++, next += n)
        *of_each[i] = t->numbers + next;
    t->probe = t->choice + t->items + 1;
    t->best_choice = t->probe + t->items + 1;
    t->sensed = t->probed + t->items;
    return true;
}

static void forget_sensed(struct tune *t)
{
    for (size_t i = 0; i < t->items; i++)
        t->sensed[i] = (struct tune_point_of){NAN, 0};
}

struct tune *tune_open(const struct tune_plan *plan, struct error *error)
{
    struct tune *t = budget_check(&plan->budget, error) ? calloc(1, sizeof *t) : NULL;
    if (!t)
        return NULL;
    t->plan = *plan;
    if (list_items(t, error)) {
        tune_list_candidates(t);
        if (allocate(t, error) && tune_find_bytes(t, error)) {
            tune_put_together(t);
            forget_sensed(t);
            return t;
        }
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
    tune_errors_close(t);
    if (t->solved)
        knapsack_free(&t->knapsack);
    weights_unref(t->set);
    weights_unref(t->timed);
    weights_unref(t->best_set);
    free(t->tensors);
    free(t->schemes);
    free(t->best_schemes);
    free(t->numbers);
    free(t->total_seconds);
    free(t->together);
    free(t->choice);
    free(t->probed);
    free(t);
}

/* ---- making and measuring -------------------------------------------------------------------- */

static bool begin_making(struct tune *t, struct error *error)
{
    struct quantization_plan plan = {.model = t->plan.model, .pool = t->plan.pool, .from = t->plan.stored,
                                     .stored = t->plan.stored, .schemes = t->schemes, .text = t->plan.text,
                                     .importance = t->plan.importance,
                                     .on_stored = t->stage == STAGE_PROBE}; /* as other layers are when it is measured */
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

static bool make_probe(struct tune *t, double seconds, bool *done, struct error *error)
{
    if (!t->making) {
        tune_all_stored(t);
        tune_choose_probe(t);
    }
    return make(t, seconds, done, error);
}

/* The sensitivity of what is measured together in t->set. */
static bool sense(struct tune *t, double seconds, bool *done, struct error *error)
{
    struct sensitivity_plan plan = {t->plan.search, t->plan.search_count, t->plan.verify.bos, t->plan.context,
                                    t->together};
    if (!t->sensing)
        t->sensing = sensitivity_open(t->plan.model, t->plan.pool, &plan, t->plan.stored, t->set, error);
    *done = false;
    if (!t->sensing || !sensitivity_step(t->sensing, seconds, done, error))
        return false;
    if (!*done)
        return true;
    tune_take_sensitivity(t, t->stage == STAGE_SENSE_CHOICE);
    sensitivity_close(t->sensing);
    t->sensing = NULL;
    return true;
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
    memcpy(t->best_choice, t->choice, t->items);
    weights_unref(t->best_set);
    t->best_set = weights_ref(t->set);
    t->best_quality = *r;
    t->best_predicted = t->predicted;
    t->best_rate = t->rate;
    t->best_size = t->size;
}

/* What comes when the search is over: a mix that has a name is measured, too. */
static bool finish(struct tune *t, struct error *error)
{
    const struct budget *b = &t->plan.budget;
    bool good = b->max_kl == 0 || t->best_quality.kl <= b->max_kl;
    t->stage = tune_choose_rival(t) ? STAGE_RIVAL_BUILD : STAGE_DONE;
    return good || error_set(error, "kl %g cannot be reached within the other budget: the nearest is %.3g", b->max_kl,
                             t->best_quality.kl);
}

/* Whether there is time, or leave, to look again at where the search has come to. */
static bool may_go_on(const struct tune *t)
{
    if (t->plan.seconds > 0)
        return t->rounds < ROUNDS_MAX && clock_seconds() - t->begun < t->plan.seconds;
    return t->rounds < ROUNDS;
}

/* Of budgets that bind: as long as the choice gets better, its layers are measured and it is made again. */
static bool judge_choice(struct tune *t, const struct quality_result *r, struct error *error)
{
    bool better = !t->found || r->kl < t->best_quality.kl;
    if (better)
        keep(t, r);
    if (!better || !may_go_on(t))
        return finish(t, error);
    t->rounds++;
    t->stage = STAGE_SENSE_CHOICE;
    return true;
}

/* Of a budget of KL alone, where to look next: between what was too lossy and what was good enough, guided by the ratio
 * of measured to predicted KL. */
static bool judge_step(struct tune *t, const struct quality_result *r, struct error *error)
{
    const struct budget *b = &t->plan.budget;
    bool good = r->kl <= b->max_kl, close = good && r->kl >= 0.97 * b->max_kl;
    if (good && (!t->found || t->size < t->best_size))
        keep(t, r);
    if (good)
        t->high = t->step;
    else
        t->low = t->step;
    if (!t->found && t->step == KNAPSACK_STEPS)
        return error_set(error, "kl %g cannot be reached: the best choice on offer has %.3g", b->max_kl, r->kl);
    if (close || t->high - t->low <= KNAPSACK_STEPS / 256 || t->verifications >= VERIFICATIONS) {
        t->step = t->found ? t->step : KNAPSACK_STEPS; /* the best there is, before it is said to be impossible */
        t->stage = STAGE_BUILD;
        return t->found ? finish(t, error) : tune_apply_step(t, error);
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

static bool judge(struct tune *t, const struct quality_result *r, struct error *error)
{
    if (!t->plan.file)
        t->size = weights_size(t->set);
    t->verifications++;
    return only_kl(t) ? judge_step(t, r, error) : judge_choice(t, r, error);
}

/* Evaluates t->set; *done: *result is there. */
static bool evaluate(struct tune *t, double seconds, bool *done, struct quality_result *result, struct error *error)
{
    if (!t->verifying)
        t->verifying = quality_open(t->plan.model, t->plan.pool, &t->plan.verify, t->plan.reference, t->set, error);
    *done = false;
    if (!t->verifying)
        return false;
    *done = quality_step(t->verifying, seconds);
    if (!*done)
        return true;
    *result = quality_result(t->verifying);
    quality_close(t->verifying);
    t->verifying = NULL;
    return true;
}

/* ---- the stages ------------------------------------------------------------------------------ */

static bool errors_stage(struct tune *t, double seconds, struct error *error)
{
    bool done;
    if (!tune_errors_step(t, seconds, &done, error))
        return false;
    t->stage = done ? STAGE_TIME : STAGE_ERRORS;
    return true;
}

static bool time_stage(struct tune *t, double seconds, struct error *error)
{
    bool done;
    if (!tune_time_step(t, seconds, &done, error))
        return false;
    t->candidate += done;
    t->stage = t->candidate < t->candidates ? STAGE_TIME : STAGE_PROBE;
    return true;
}

static bool probe_stage(struct tune *t, double seconds, struct error *error)
{
    bool done;
    if (!make_probe(t, seconds, &done, error))
        return false;
    t->stage = done ? STAGE_SENSE : STAGE_PROBE;
    return true;
}

static bool sense_stage(struct tune *t, double seconds, struct error *error)
{
    bool done;
    if (!sense(t, seconds, &done, error))
        return false;
    t->stage = done ? STAGE_CHOOSE : t->stage;
    return true;
}

/* A choice that was made and measured before need not be again. */
static bool choose_stage(struct tune *t, double seconds, struct error *error)
{
    (void)seconds;
    tune_predict(t);
    if (!tune_choose_first(t, error) || !tune_apply_step(t, error))
        return false;
    t->stage = STAGE_BUILD;
    return !t->found || memcmp(t->choice, t->best_choice, t->items) != 0 || finish(t, error);
}

static bool build_stage(struct tune *t, double seconds, struct error *error)
{
    bool done;
    if (!make(t, seconds, &done, error))
        return false;
    t->stage = !done ? t->stage : t->stage == STAGE_BUILD ? STAGE_VERIFY : STAGE_RIVAL_VERIFY;
    return true;
}

static bool verify_stage(struct tune *t, double seconds, struct error *error)
{
    struct quality_result r;
    bool done;
    return evaluate(t, seconds, &done, &r, error) && (!done || judge(t, &r, error));
}

static bool verify_rival_stage(struct tune *t, double seconds, struct error *error)
{
    bool done;
    if (!evaluate(t, seconds, &done, &t->rival_quality, error))
        return false;
    t->rival_found = done;
    t->stage = done ? STAGE_DONE : t->stage;
    return true;
}

/* What is done in each, what it is called, and about what share of the time it takes, with what runs in it. */
static const struct {
    bool (*step)(struct tune *t, double seconds, struct error *error);
    const char *work;
    double share;
} stages[] = {
    [STAGE_ERRORS] = {errors_stage, "measuring every layer in every scheme", 2},
    [STAGE_TIME] = {time_stage, "timing every scheme", 1},
    [STAGE_PROBE] = {probe_stage, "quantizing to measure sensitivity", 2},
    [STAGE_SENSE] = {sense_stage, "measuring the sensitivity of layers", 3},
    [STAGE_CHOOSE] = {choose_stage, "choosing", 0},
    [STAGE_BUILD] = {build_stage, "making the best choice", 2},
    [STAGE_VERIFY] = {verify_stage, "verifying the best choice", 1},
    [STAGE_SENSE_CHOICE] = {sense_stage, "measuring the choice's layers", 3},
    [STAGE_RIVAL_BUILD] = {build_stage, "making a mix to compare with", 1},
    [STAGE_RIVAL_VERIFY] = {verify_rival_stage, "verifying the mix", 1},
};

bool tune_step(struct tune *t, double seconds, bool *done, struct error *error)
{
    double begin = clock_seconds(), left = seconds;
    if (t->begun == 0)
        t->begun = begin;
    while (t->stage != STAGE_DONE && left >= 0) {
        if (!stages[t->stage].step(t, left, error))
            return false;
        left = seconds - (clock_seconds() - begin);
    }
    *done = t->stage == STAGE_DONE;
    return true;
}

/* ---- progress -------------------------------------------------------------------------------- */

/* Of the stage under way. */
static double part_done(const struct tune *t)
{
    if (t->making)
        return quantization_fraction(t->making);
    if (t->sensing)
        return sensitivity_fraction(t->sensing);
    if (t->verifying)
        return quality_fraction(t->verifying);
    if (t->stage == STAGE_TIME)
        return ((double)t->candidate + (double)t->timed_items / (double)(t->items + 1)) / (double)t->candidates;
    return t->stage == STAGE_ERRORS ? tune_errors_fraction(t) : 0;
}

/* The shares of stages from one to the one before another. */
static double shares(enum stage from, enum stage to)
{
    double sum = 0;
    for (; from < to; from++)
        sum += stages[from].share;
    return sum;
}

/* The rounds of a choice: it is made, verified, and measured. A choice that no budget binds is made several times. */
double tune_fraction(const struct tune *t)
{
    const double round = shares(STAGE_BUILD, STAGE_RIVAL_BUILD);
    double rounds = only_kl(t) ? VERIFICATIONS / 2 : ROUNDS;
    double before = shares(STAGE_ERRORS, STAGE_BUILD), rival = shares(STAGE_RIVAL_BUILD, STAGE_DONE);
    double all = before + rounds * round + stages[STAGE_BUILD].share + stages[STAGE_VERIFY].share +
                 (t->plan.rivals > 0 ? rival : 0);
    if (t->stage == STAGE_DONE)
        return 1;
    double done = part_done(t) * stages[t->stage].share;
    if (t->stage < STAGE_BUILD)
        done += shares(STAGE_ERRORS, t->stage);
    else if (t->stage < STAGE_RIVAL_BUILD)
        done += before + shares(STAGE_BUILD, t->stage) + round * (double)(only_kl(t) ? t->verifications : t->rounds);
    else
        done += all - rival + shares(STAGE_RIVAL_BUILD, t->stage);
    if (t->stage <= STAGE_CHOOSE && t->found)
        done = before + round * (double)t->rounds;
    return fmin(done / all, 0.99);
}

const char *tune_work(const struct tune *t)
{
    return t->stage < STAGE_DONE ? stages[t->stage].work : "searching";
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
    bool probed = t->stage > STAGE_SENSE;
    size_t parts = (t->stage > STAGE_ERRORS) + t->candidate + probed;
    return (struct tune_table){.items = t->items, .candidates = t->candidates, .parts = parts,
                               .all_parts = t->candidates + 2, .error = t->error, .seconds = t->seconds,
                               .total_seconds = t->total_seconds, .probed = t->probed, .probe = t->probe};
}

void tune_resume(struct tune *t, size_t parts)
{
    t->candidate = parts == 0 ? 0 : parts - 1 < t->candidates ? parts - 1 : t->candidates;
    t->stage = parts == 0                    ? STAGE_ERRORS
               : t->candidate < t->candidates ? STAGE_TIME
               : parts < t->candidates + 2    ? STAGE_PROBE
                                              : STAGE_CHOOSE;
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
                          .predicted_kl = t->best_predicted,
                          .rival = t->rival_found ? t->rival->name : NULL,
                          .rival_size = t->rival_size,
                          .rival_quality = t->rival_quality};
    find_bits(t, out);
    return true;
}

/* Of several budgets, bytes are the cost that is shown. */
static double cost_at(const struct tune *t, size_t step)
{
    double cost = t->limits[0].resource == TUNE_RATE ? tune_other_seconds(t) : t->other_bytes;
    if (t->limit_count == 1)
        return cost + t->knapsack.min_cost + (double)step * t->knapsack.step;
    uint8_t *choice = malloc(t->joint + 1);
    if (!choice)
        return NAN;
    knapsack_choose(&t->knapsack, step, choice);
    for (size_t i = 0; i < t->joint; i++)
        cost += t->limits[0].cost[i * t->candidates + choice[i]];
    free(choice);
    return cost;
}

size_t tune_curve(const struct tune *t, struct tune_point *out, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; t->solved && n < max && max > 1; i++, n++) {
        size_t step = i * KNAPSACK_STEPS / (max - 1);
        out[n] = (struct tune_point){cost_at(t, step), t->knapsack.best[step]};
    }
    return n;
}

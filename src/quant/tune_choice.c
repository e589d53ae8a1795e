/* The knapsack of a search: its budgets, and the schemes of a step. */
#include "recipe.h"
#include "tune_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double tune_other_seconds(const struct tune *t)
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

/* ---- what is counted ------------------------------------------------------------------------- */

static bool is_linear(const struct tune *t, size_t item)
{
    return role_takes_schemes(t->plan.model->tensors[t->tensors[item]].role);
}

static double linear_weights(const struct tune *t)
{
    double n = 0;
    for (size_t i = 0; i < t->items; i++) {
        const struct qmatrix *m = &t->plan.model->tensors[t->tensors[i]].stored;
        n += is_linear(t, i) ? (double)m->rows * (double)m->cols : 0;
    }
    return n;
}

/* What a budget counts of an item with a candidate, and what all items may have of it. */
static double size_cost(const struct tune *t, size_t item, size_t candidate)
{
    return t->bytes[item * t->candidates + candidate];
}

static double size_budget(const struct tune *t)
{
    return t->plan.budget.max_size - t->other_bytes;
}

static double bits_cost(const struct tune *t, size_t item, size_t candidate)
{
    return is_linear(t, item) ? size_cost(t, item, candidate) : 0;
}

static double bits_budget(const struct tune *t)
{
    return t->plan.budget.max_bits * linear_weights(t) / 8;
}

static double rate_cost(const struct tune *t, size_t item, size_t candidate)
{
    return t->seconds[item * t->candidates + candidate];
}

static double rate_budget(const struct tune *t)
{
    return 1 / t->plan.budget.min_rate - tune_other_seconds(t);
}

/* ---- impossible budgets ---------------------------------------------------------------------- */

/* To four digits or whole bytes, so that what is said can be asked for. */
static double rounded_up(double bytes)
{
    double step = fmax(1, pow(10, floor(log10(bytes)) - 3));
    return step * ceil(bytes / step);
}

/* In the words and units of a budget in writing. `min` is the least that the items cost together. */
static bool refuse_size(const struct tune *t, double min, struct error *error)
{
    const struct budget *b = &t->plan.budget;
    char asked[32], smallest[32];
    return error_set(error, "size %s cannot be reached: the smallest choice%s%s has %s bytes",
                     size_print(asked, b->max_size), *b->format ? " for " : "", b->format, size_print(smallest, rounded_up(min + t->other_bytes)));
}

static bool refuse_bits(const struct tune *t, double min, struct error *error)
{
    return error_set(error, "bits %g cannot be reached: the smallest choice has %.3f bits a weight",
                     t->plan.budget.max_bits, ceil(8000 * min / linear_weights(t)) / 1000);
}

static bool refuse_rate(const struct tune *t, double min, struct error *error)
{
    return error_set(error, "rate %g cannot be reached: the fastest choice is predicted to reach %.1f tokens/s",
                     t->plan.budget.min_rate, 1 / (min + tune_other_seconds(t)));
}

/* The budgets of which some are asked for. */
static const struct resource {
    double (*cost)(const struct tune *t, size_t item, size_t candidate);
    double (*budget)(const struct tune *t);
    bool (*refuse)(const struct tune *t, double min, struct error *error);
} resources[TUNE_RESOURCES] = {
    [TUNE_SIZE] = {size_cost, size_budget, refuse_size},
    [TUNE_BITS] = {bits_cost, bits_budget, refuse_bits},
    [TUNE_RATE] = {rate_cost, rate_budget, refuse_rate},
};

static bool is_asked_for(const struct tune *t, size_t resource)
{
    const struct budget *b = &t->plan.budget;
    const double asked[TUNE_RESOURCES] = {b->max_size, b->max_bits, b->min_rate};
    return asked[resource] > 0;
}

/* The least that the items can have of a resource together. */
static double least_of(const struct tune *t, const struct resource *r)
{
    double sum = 0;
    for (size_t i = 0; i < t->items; i++) {
        double least = INFINITY;
        for (size_t c = 0; c < t->candidates; c++)
            if (t->bytes[i * t->candidates + c] > 0)
                least = fmin(least, r->cost(t, i, c));
        sum += least;
    }
    return sum;
}

bool tune_check_bytes(const struct tune *t, struct error *error)
{
    for (size_t r = 0; r < TUNE_RATE; r++) {
        double least = is_asked_for(t, r) ? least_of(t, &resources[r]) : 0;
        if (is_asked_for(t, r) && !(least <= resources[r].budget(t)))
            return resources[r].refuse(t, least, error);
    }
    return true;
}

/* ---- what is chosen together ------------------------------------------------------------------- */

/* Whether a file holds an item in one tensor with the item before it: the experts of a block. They take one choice. */
static bool is_joined(const struct tune *t, size_t item)
{
    const struct tensor *all = t->plan.model->tensors;
    if (!t->plan.file || item == 0 || all[t->tensors[item]].expert < 1)
        return false;
    return t->tensors[item - 1] == t->tensors[item] - 1;
}

/* Adds up what is chosen together: from one value an item and candidate to one a joint choice. */
static size_t join(const struct tune *t, const struct resource *r, double *out)
{
    size_t count = 0;
    for (size_t i = 0; i < t->items; i++) {
        bool joined = is_joined(t, i);
        count += !joined;
        for (size_t c = 0; c < t->candidates; c++) {
            double *to = &out[(count - 1) * t->candidates + c];
            double value = r ? r->cost(t, i, c) : t->loss[i * t->candidates + c];
            *to = (joined ? *to : 0) + value;
        }
    }
    return count;
}

/* From choices of what is chosen together to one of each item. */
static void spread_choice(struct tune *t, size_t count)
{
    for (size_t i = t->items; i-- > 0;) {
        t->choice[i] = t->choice[count - 1];
        count -= !is_joined(t, i);
    }
}

/* Joint costs of the budgets that are asked for; without any, of bytes, which may be as many as there are. */
static bool list_limits(struct tune *t, struct error *error)
{
    t->limit_count = 0;
    for (size_t r = 0; r < TUNE_RESOURCES; r++) {
        bool asked = is_asked_for(t, r), none = r == TUNE_SIZE && t->plan.budget.max_kl > 0;
        for (size_t other = 0; other < TUNE_RESOURCES; other++)
            none &= !is_asked_for(t, other);
        if (!asked && !none)
            continue;
        struct tune_limit *limit = &t->limits[t->limit_count++];
        limit->resource = r;
        limit->budget = asked ? resources[r].budget(t) : INFINITY;
        t->joint = join(t, &resources[r], limit->cost);
        double least = least_of(t, &resources[r]);
        if (!(least <= limit->budget))
            return resources[r].refuse(t, least, error);
    }
    join(t, NULL, t->joint_loss);
    return true;
}

/* ---- within the budgets ------------------------------------------------------------------------ */

static double spent(const struct tune *t, const struct tune_limit *limit)
{
    double sum = 0;
    for (size_t i = 0; i < t->joint; i++)
        sum += limit->cost[i * t->candidates + t->choice[i]];
    return sum;
}

static bool fits(const struct tune *t)
{
    bool ok = true;
    for (size_t l = 0; l < t->limit_count; l++)
        ok &= spent(t, &t->limits[l]) <= t->limits[l].budget * (1 + 1e-12);
    return ok;
}

/* By how much a change would help, for each share of what is left that it takes; 0: it does not fit. */
static double worth(const struct tune *t, const double *left, size_t i, size_t c)
{
    size_t now = i * t->candidates + t->choice[i], then = i * t->candidates + c;
    double gain = t->joint_loss[now] - t->joint_loss[then], share = 1e-9;
    for (size_t l = 0; l < t->limit_count; l++) {
        double more = t->limits[l].cost[then] - t->limits[l].cost[now];
        if (!(more <= left[l]))
            return 0;
        share += more > 0 ? more / left[l] : 0;
    }
    return gain > 0 ? gain / share : 0; /* NaN: it cannot have it */
}

/* Spends what steps left over, on the change that is worth most, again and again. */
static void spend_rest(struct tune *t)
{
    for (;;) {
        double left[TUNE_RESOURCES], best = 0;
        size_t item = 0, candidate = 0;
        for (size_t l = 0; l < t->limit_count; l++)
            left[l] = t->limits[l].budget - spent(t, &t->limits[l]);
        for (size_t i = 0; i < t->joint; i++)
            for (size_t c = 0; c < t->candidates; c++) {
                double w = worth(t, left, i, c);
                if (w > best) {
                    best = w;
                    item = i;
                    candidate = c;
                }
            }
        if (!(best > 0))
            return;
        t->choice[item] = (uint8_t)candidate;
    }
}

static bool has_budget(const struct tune *t)
{
    return t->limit_count > 0 && isfinite(t->limits[0].budget);
}

/* The choice at t->step into t->choice, one a joint item. */
static void choose_step(struct tune *t)
{
    knapsack_choose(&t->knapsack, t->step, t->choice);
    if (has_budget(t))
        spend_rest(t);
}

/* ---- the knapsack ------------------------------------------------------------------------------ */

/* Several budgets become one cost, each with a weight (surrogate constraints; Glover 1965). */
static bool solve(struct tune *t, const double *weight, struct error *error)
{
    for (size_t at = 0; at < t->joint * t->candidates; at++) {
        t->cost[at] = 0;
        for (size_t l = 0; l < t->limit_count; l++)
            t->cost[at] += t->limit_count == 1 ? t->limits[l].cost[at]
                                               : weight[l] * t->limits[l].cost[at] / t->limits[l].budget;
    }
    if (t->solved)
        knapsack_free(&t->knapsack);
    t->solved = knapsack_solve(&t->knapsack, t->joint, t->candidates, t->cost, t->joint_loss, error);
    return t->solved;
}

/* The largest step, of some, whose choice fits. */
static bool last_that_fits(struct tune *t)
{
    enum { SOME = 256 };
    for (size_t step = SOME + 1; step-- > 0;) {
        t->step = step * (KNAPSACK_STEPS / SOME);
        knapsack_choose(&t->knapsack, t->step, t->choice);
        if (fits(t))
            return true;
    }
    return false;
}

static double loss_of_choice(const struct tune *t)
{
    double sum = 0;
    for (size_t i = 0; i < t->joint; i++)
        sum += t->joint_loss[i * t->candidates + t->choice[i]];
    return sum;
}

/* Tries weights of several budgets for the one whose choice loses least. */
static bool weigh_budgets(struct tune *t, struct error *error)
{
    enum { PARTS = 6 };
    double best = INFINITY, weight[TUNE_RESOURCES] = {1}, w[TUNE_RESOURCES];
    for (size_t a = 0; a <= PARTS; a++)
        for (size_t b = 0; b + a <= PARTS; b++) {
            w[0] = (double)a / PARTS + 1e-3;
            w[1] = (t->limit_count > 2 ? (double)b : (double)(PARTS - a)) / PARTS + 1e-3;
            w[2] = (double)(PARTS - a - b) / PARTS + 1e-3;
            if (t->limit_count < 3 && b > 0)
                break;
            if (!solve(t, w, error))
                return false;
            if (!last_that_fits(t))
                continue;
            spend_rest(t);
            if (loss_of_choice(t) < best) {
                best = loss_of_choice(t);
                memcpy(weight, w, sizeof w);
            }
        }
    if (!isfinite(best))
        return error_set(error, "no choice is within all of these budgets; each alone can be reached");
    return solve(t, weight, error) && last_that_fits(t);
}

bool tune_choose_first(struct tune *t, struct error *error)
{
    if (!list_limits(t, error))
        return false;
    t->low = 0;
    t->high = KNAPSACK_STEPS;
    if (t->limit_count > 1)
        return weigh_budgets(t, error);
    if (!solve(t, NULL, error))
        return false;
    if (has_budget(t)) {
        t->step = knapsack_step(&t->knapsack, t->limits[0].budget);
        return true;
    }
    /* For a budget of KL: where the layers' own add up to it. */
    for (t->step = 0; t->step < KNAPSACK_STEPS && t->knapsack.best[t->step] > t->plan.budget.max_kl;)
        t->step++;
    return true;
}

static void apply_choice(struct tune *t)
{
    double seconds = tune_other_seconds(t);
    choose_step(t);
    t->predicted = loss_of_choice(t);
    spread_choice(t, t->joint);
    tune_all_stored(t);
    for (size_t i = 0; i < t->items; i++) {
        t->schemes[t->tensors[i]] = tune_candidate(t, t->choice[i], t->tensors[i]);
        seconds += t->seconds[i * t->candidates + t->choice[i]];
    }
    t->rate = 1 / seconds;
}

/* A file has a few bytes more than was planned: as many fewer are left. */
static bool shrink(struct tune *t, double over, struct error *error)
{
    struct tune_limit *limit = &t->limits[0]; /* of sizes, which come first */
    if (t->step == 0)
        return refuse_size(t, (double)t->size - t->other_bytes, error);
    limit->budget -= over;
    t->step--;
    return true;
}

bool tune_apply_step(struct tune *t, struct error *error)
{
    double max = t->plan.budget.max_size;
    for (;;) {
        apply_choice(t);
        if (!t->plan.file)
            return true;
        t->size = tune_file_bytes(t, error);
        if (t->size == 0 || max == 0 || (double)t->size <= max)
            return t->size > 0;
        if (!shrink(t, (double)t->size - max, error))
            return false;
    }
}

/* ---- a mix to compare with ----------------------------------------------------------------------- */

/* Bytes of the mix in t->schemes; 0: the format does not hold it, or there is no memory. */
static size_t bytes_of_schemes(const struct tune *t)
{
    struct weights_totals totals;
    if (t->plan.file)
        return tune_file_bytes(t, NULL);
    return schemes_totals(t->plan.model, t->schemes, 0, &totals) ? totals.size : 0;
}

bool tune_choose_rival(struct tune *t)
{
    size_t n = schemes_count(t->plan.model);
    double max = t->plan.budget.max_size > 0 ? t->plan.budget.max_size : (double)t->best_size;
    t->rival = NULL;
    for (size_t i = 0; i < t->plan.rivals; i++) {
        memcpy(t->schemes, t->plan.rival[i].schemes, n * sizeof *t->schemes);
        size_t bytes = bytes_of_schemes(t);
        if (bytes == 0 || (double)bytes > max || (t->rival && bytes <= t->rival_size))
            continue;
        t->rival = &t->plan.rival[i];
        t->rival_size = bytes;
    }
    if (t->rival)
        memcpy(t->schemes, t->rival->schemes, n * sizeof *t->schemes);
    return t->rival != NULL;
}

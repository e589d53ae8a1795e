/* The knapsack of a search: its budget, and the schemes of a step. */
#include "tune_internal.h"

#include <math.h>
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
        return 1 / b->min_rate - tune_other_seconds(t);
    if (b->max_bits > 0)
        return b->max_bits * linear_weights(t) / 8;
    return b->max_size > 0 ? b->max_size - t->other_bytes : INFINITY;
}

/* To four digits or whole bytes, so that what is said can be asked for. */
static double rounded_up(double bytes)
{
    double step = fmax(1, pow(10, floor(log10(bytes)) - 3));
    return step * ceil(bytes / step);
}

/* In the words and units of a budget in writing. `min` is the least that the items cost together. */
static bool refuse_budget(const struct tune *t, double min, struct error *error)
{
    const struct budget *b = &t->plan.budget;
    char asked[32], smallest[32];
    if (b->min_rate > 0)
        return error_set(error, "rate %g cannot be reached: the fastest choice is predicted to reach %.1f tokens/s",
                         b->min_rate, 1 / (min + tune_other_seconds(t)));
    if (b->max_bits > 0)
        return error_set(error, "bits %g cannot be reached: the smallest choice has %.3f bits a weight", b->max_bits,
                         ceil(8000 * min / linear_weights(t)) / 1000);
    return error_set(error, "size %s cannot be reached: the smallest choice%s%s has %s", size_print(asked, b->max_size),
                     *b->format ? " for " : "", b->format, size_print(smallest, rounded_up(min + t->other_bytes)));
}

bool tune_check_bytes(const struct tune *t, struct error *error)
{
    double min = 0;
    for (size_t i = 0; i < t->items; i++) {
        double smallest = INFINITY;
        for (size_t c = 0; c < t->candidates; c++) {
            size_t bytes = tune_item_bytes(t, c, t->tensors[i]);
            smallest = bytes > 0 ? fmin(smallest, (double)bytes) : smallest;
        }
        min += smallest;
    }
    return tune_by_rate(t) || cost_budget(t) >= min || refuse_budget(t, min, error);
}

/* Whether a file holds an item in one tensor with the item before it: the experts of a block. They take one choice. */
static bool is_joined(const struct tune *t, size_t item)
{
    const struct tensor *all = t->plan.model->tensors;
    if (!t->plan.file || item == 0 || all[t->tensors[item]].expert < 1)
        return false;
    return t->tensors[item - 1] == t->tensors[item] - 1;
}

/* Costs and losses of what is chosen together: rows 0 .. the number returned - 1. */
static size_t join_items(struct tune *t)
{
    const double *cost = tune_by_rate(t) ? t->seconds : t->bytes;
    size_t count = 0;
    for (size_t i = 0; i < t->items; i++) {
        bool joined = is_joined(t, i);
        count += !joined;
        for (size_t c = 0; c < t->candidates; c++) {
            size_t from = i * t->candidates + c, to = (count - 1) * t->candidates + c;
            t->cost[to] = (joined ? t->cost[to] : 0) + cost[from];
            t->joint_loss[to] = (joined ? t->joint_loss[to] : 0) + t->loss[from];
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

bool tune_choose_first(struct tune *t, struct error *error)
{
    size_t count = join_items(t);
    t->solved = knapsack_solve(&t->knapsack, count, t->candidates, t->cost, t->joint_loss, error);
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
    double seconds = tune_other_seconds(t);
    t->predicted = knapsack_choose(&t->knapsack, t->step, t->choice);
    spread_choice(t, t->knapsack.items);
    tune_all_stored(t);
    for (size_t i = 0; i < t->items; i++) {
        t->schemes[t->tensors[i]] = tune_candidate(t, t->choice[i], t->tensors[i]);
        seconds += t->seconds[i * t->candidates + t->choice[i]];
    }
    t->rate = 1 / seconds;
}

bool tune_apply_step(struct tune *t, struct error *error)
{
    double max = t->plan.budget.max_size;
    for (;; t->step--) {
        apply_choice(t);
        if (!t->plan.file)
            return true;
        t->size = tune_file_bytes(t, error);
        if (t->size == 0 || max == 0 || (double)t->size <= max)
            return t->size > 0;
        if (t->step == 0)
            return refuse_budget(t, (double)t->size - t->other_bytes, error);
    }
}

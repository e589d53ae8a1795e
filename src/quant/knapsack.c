#include "knapsack.h"

#include <math.h>
#include <stdlib.h>

static bool has(const struct knapsack *k, size_t item, size_t choice)
{
    return !isnan(k->loss[item * k->choices + choice]);
}

/* The cheapest and the dearest of an item's choices. */
static void range(const struct knapsack *k, size_t item, double *min, double *max)
{
    *min = INFINITY;
    *max = 0;
    for (size_t c = 0; c < k->choices; c++)
        if (has(k, item, c)) {
            *min = fmin(*min, k->cost[item * k->choices + c]);
            *max = fmax(*max, k->cost[item * k->choices + c]);
        }
}

static size_t steps_of(const struct knapsack *k, size_t item, size_t choice, double min)
{
    double extra = k->cost[item * k->choices + choice] - min;
    return k->step > 0 ? (size_t)ceil(extra / k->step * (1 - 1e-12)) : 0;
}

/* Adds an item: best becomes the least loss of all items so far, for every budget. */
static void add_item(struct knapsack *k, size_t item, double *next)
{
    uint8_t *taken = k->taken + item * (KNAPSACK_STEPS + 1);
    double min, max;
    range(k, item, &min, &max);
    for (size_t b = 0; b <= KNAPSACK_STEPS; b++)
        next[b] = INFINITY;
    for (size_t c = 0; c < k->choices; c++) {
        if (!has(k, item, c))
            continue;
        size_t steps = steps_of(k, item, c, min);
        for (size_t b = steps; b <= KNAPSACK_STEPS; b++) {
            double loss = k->best[b - steps] + k->loss[item * k->choices + c];
            if (loss < next[b]) {
                next[b] = loss;
                taken[b] = (uint8_t)c;
            }
        }
    }
    for (size_t b = 0; b <= KNAPSACK_STEPS; b++)
        k->best[b] = next[b];
}

bool knapsack_solve(struct knapsack *k, size_t items, size_t choices, const double *cost, const double *loss,
                    struct error *error)
{
    double *next = malloc((KNAPSACK_STEPS + 1) * sizeof *next);
    *k = (struct knapsack){.items = items, .choices = choices, .cost = cost, .loss = loss};
    k->best = calloc(KNAPSACK_STEPS + 1, sizeof *k->best);
    k->taken = calloc(items * (KNAPSACK_STEPS + 1), 1);
    if (!next || !k->best || !k->taken) {
        free(next);
        knapsack_free(k);
        return error_set(error, "not enough memory to search");
    }
    for (size_t i = 0; i < items; i++) {
        double min, max;
        range(k, i, &min, &max);
        k->min_cost += min;
        k->max_cost += max;
    }
    /* Rounding up costs less than a step an item. */
    k->step = (k->max_cost - k->min_cost) / (KNAPSACK_STEPS - (double)items > 1 ? KNAPSACK_STEPS - (double)items : 1);
    for (size_t i = 0; i < items; i++)
        add_item(k, i, next);
    free(next);
    return true;
}

void knapsack_free(struct knapsack *k)
{
    free(k->best);
    free(k->taken);
    k->best = NULL;
    k->taken = NULL;
}

size_t knapsack_step(const struct knapsack *k, double budget)
{
    double steps = k->step > 0 ? floor((budget - k->min_cost) / k->step) : 0;
    return steps >= KNAPSACK_STEPS ? KNAPSACK_STEPS : steps > 0 ? (size_t)steps : 0;
}

double knapsack_choose(const struct knapsack *k, size_t step, uint8_t *out)
{
    double loss = k->best[step];
    for (size_t i = k->items; i-- > 0;) {
        double min, max;
        range(k, i, &min, &max);
        out[i] = k->taken[i * (KNAPSACK_STEPS + 1) + step];
        step -= steps_of(k, i, out[i], min);
    }
    return loss;
}

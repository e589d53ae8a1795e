/* knapsack.h - one choice for each item so that the costs stay within a budget and the losses add up to the least
 * (the multiple-choice knapsack; Kellerer, Pferschy, Pisinger: Knapsack Problems, 2004, section 11.5, by dynamic
 * programming over costs in steps). */
#ifndef QTOP_KNAPSACK_H
#define QTOP_KNAPSACK_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

enum { KNAPSACK_STEPS = 4096, KNAPSACK_CHOICES = 32 };

/* items x choices, row after row; a loss that is not a number is a choice that the item does not have. */
struct knapsack {
    size_t items, choices; /* at most KNAPSACK_CHOICES */
    const double *cost, *loss;
    double min_cost;       /* of all items with their cheapest choices */
    double max_cost;       /* of all items with their most expensive choices */
    double step;           /* cost beyond min_cost, a step */
    double *best;          /* KNAPSACK_STEPS + 1: the least loss within min_cost + i steps */
    uint8_t *taken;        /* items x (KNAPSACK_STEPS + 1) */
};

/* Solves for every budget up to max_cost at once. Costs are rounded up to steps: a solution never costs more than its
 * budget. Every item must have a choice. False when memory is short. The arrays must outlive it. */
bool knapsack_solve(struct knapsack *k, size_t items, size_t choices, const double *cost, const double *loss,
                    struct error *error);
void knapsack_free(struct knapsack *k);

/* The step of a budget, which must be at least k->min_cost; its choices into out (items). Returns their loss. */
size_t knapsack_step(const struct knapsack *k, double budget);
double knapsack_choose(const struct knapsack *k, size_t step, uint8_t *out);

#endif

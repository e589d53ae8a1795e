/* select.h - the k-th smallest of many floats without sorting them, some values at a time: two passes over all
 * values, each counting one half of their bits. Values are not NaN. */
#ifndef QTOP_SELECT_H
#define QTOP_SELECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SELECT_RANKS = 2 };

struct selection {
    size_t ranks;                 /* asked for */
    size_t rank[SELECT_RANKS];    /* from 0; in the second pass, among those with the same upper half */
    uint32_t upper[SELECT_RANKS]; /* the upper half of the bits, once the first pass is over */
    uint32_t *counts;             /* ranks x 65536 */
    bool second;                  /* which pass */
};

/* Begins to select the values of some ranks, which are below the number of values. False when memory is short. */
bool select_open(struct selection *s, const size_t *rank, size_t ranks);
void select_close(struct selection *s);

/* Counts n values of the pass under way. */
void select_add(struct selection *s, const float *values, size_t n);

/* After all values of the first pass: begins the second, over the same values. */
void select_begin_second(struct selection *s);

/* After all values of the second pass: the value of rank[i]. */
float select_value(const struct selection *s, size_t i);

#endif

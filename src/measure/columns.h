/* columns.h - how large the activations of each column of a layer get: what input scales, outlier columns and
 * protected weights depend on. */
#ifndef QTOP_COLUMNS_H
#define QTOP_COLUMNS_H

#include "engine/weights.h"

struct column_size {
    float largest; /* max |x| */
    double sum;    /* of |x| */
};

struct columns {
    atomic_int refs;
    struct qtensor *q;       /* whose inputs they are */
    size_t count, tokens;
    struct column_size of[]; /* count */
};

/* Nothing seen yet; null when memory is short. A copy, likewise. */
struct columns *columns_new(struct qtensor *q);
struct columns *columns_copy(const struct columns *columns);
struct columns *columns_ref(struct columns *columns);
void columns_unref(struct columns *columns);

/* Adds the inputs of some tokens (tokens x count), as a hook sees them; those that are not finite count nothing.
 * For the only owner. */
void columns_add(struct columns *columns, const float *x, size_t tokens);

/* The n columns of the largest mean |x|, largest first, into out; returns how many there are. */
size_t columns_salient(const struct columns *columns, size_t n, size_t *out);

#endif

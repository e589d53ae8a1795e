/* stats.h - what repeated measurements of one quantity are summed up by. */
#ifndef QTOP_STATS_H
#define QTOP_STATS_H

#include <stddef.h>

struct stats {
    double median, min, max;
};

/* Median, minimum and maximum of n > 0 values, which are sorted in place. */
struct stats stats_of(double *values, size_t n);

#endif

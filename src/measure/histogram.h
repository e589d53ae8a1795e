/* histogram.h - counts of values in equal bins. */
#ifndef QTOP_HISTOGRAM_H
#define QTOP_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum { HISTOGRAM_BINS = 96 };

/* Every value is counted once: those outside low..high in the first or last bin, those that are not a
 * number in `unordered`. */
struct histogram {
    double low, high;
    uint64_t count[HISTOGRAM_BINS];
    uint64_t total;     /* sum of count */
    uint64_t unordered;
};

/* An empty histogram over low..high; an empty range is widened so that it has a width, one that is not
 * finite becomes -1..1. */
struct histogram histogram_over(double low, double high);
void histogram_add(struct histogram *h, double value);

#endif

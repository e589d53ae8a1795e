/* calibration.h - what the inputs of an input group's layers look like on a calibration text: the statistics that
 * methods choose scales by.
 *
 * Tokens with an activation that is not finite are counted and take no part. */
#ifndef QTOP_CALIBRATION_H
#define QTOP_CALIBRATION_H

#include "sys/pool.h"

#include <stdbool.h>
#include <stdint.h>

/* Tokens of the text that are kept whole, for searches that run the real product. */
enum { CALIBRATION_SAMPLES = 256 };

struct input_stats {
    size_t cols;
    size_t total;         /* tokens that there will be */
    size_t tokens;        /* that took part */
    size_t nonfinite_tokens; /* that did not: an activation is not finite */
    float *min, *max;     /* of each column (cols); 0 is among the values */
    double *sum_abs, *sum_squares; /* of each column */
    float *sample;        /* samples x cols, evenly spread over the text */
    size_t samples;
};

/* Of `total` tokens, which are added in their order, up to STATS_CHUNK at a time. False when memory is short. Free with
 * input_stats_free, also after a failure. */
enum { STATS_CHUNK = 256 };
bool input_stats_open(struct input_stats *s, size_t cols, size_t total, struct error *error);
void input_stats_add(struct input_stats *s, struct pool *pool, const float *x, size_t stride, size_t n);

/* The statistics of n tokens whose inputs lie `stride` floats apart. Fails and is freed as input_stats_open. */
bool input_stats_make(struct input_stats *s, struct pool *pool, const float *x, size_t stride, size_t cols,
                     size_t n, struct error *error);
void input_stats_free(struct input_stats *s);

/* max |x| and mean |x| of a column; of a column that a text never reached both are 0. */
float input_largest(const struct input_stats *s, size_t c);
double input_mean(const struct input_stats *s, size_t c);

#endif

/* calibration.h - what the inputs of a site's layers look like on a calibration text: the statistics that
 * methods choose scales by.
 *
 * Tokens with an activation that is not finite are counted and take no part. */
#ifndef QTOP_CALIBRATION_H
#define QTOP_CALIBRATION_H

#include "../engine/pool.h"

#include <stdbool.h>
#include <stdint.h>

/* Tokens of the text that are kept whole, for searches that run the real product. */
enum { CALIBRATION_SAMPLES = 256 };

struct site_stats {
    size_t cols;
    size_t tokens;        /* that took part */
    size_t odd;           /* that did not */
    float *least, *most;  /* of each column (cols); 0 is among them */
    double *sum_abs, *sum_squares; /* of each column */
    float *sample;        /* samples x cols, evenly spread over the text */
    size_t samples;
};

/* The statistics of n tokens whose inputs lie `stride` floats apart. False when memory is short. Free with
 * site_stats_free, also after a failure. */
bool site_stats_make(struct site_stats *s, struct pool *pool, const float *x, size_t stride, size_t cols,
                     size_t n, struct error *error);
void site_stats_free(struct site_stats *s);

/* max |x| and mean |x| of a column; of a column that a text never reached both are 0. */
float site_largest(const struct site_stats *s, size_t c);
double site_mean(const struct site_stats *s, size_t c);

/* Whether every one of cols activations is finite. */
bool all_finite(const float *x, size_t cols);

#endif

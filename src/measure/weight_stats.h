/* weight_stats.h - what a scheme did to a matrix's weights, beside SQNR and the largest error (struct
 * weight_error), and the scales that it chose. */
#ifndef QTOP_WEIGHT_STATS_H
#define QTOP_WEIGHT_STATS_H

#include "sys/pool.h"
#include "engine/weights.h"

#include <math.h>

/* Over the weights w of the reference and w' of the scheme whose difference is finite. What does not apply is
 * NaN. */
struct weight_stats {
    size_t weights;
    double mse;     /* mean (w' - w)^2; without any weight NaN */
    double cosine;  /* sum w w' / sqrt(sum w^2 sum w'^2); 1 where w' is w; NaN where either is all 0 */
    double clipped; /* share of weights beyond the ends of their grid (struct weight_error); NaN where codes are not
                     * integers */
    double scale_min, scale_max, scale_mean; /* NaN without scales, or where blocks hold their own */
};

/* Reads every row of both, shared out over the pool, with the same figures for any number of threads; of what
 * is exact (weight_error) scales only. Fails when memory is short. */
bool weight_stats_measure(const struct model *model, const struct qtensor *q, struct pool *pool,
                          struct weight_stats *out, struct error *error);

/* Scales to count at row r: a scale of the whole tensor counts at the first row. */
static inline size_t scales_of_row(const struct qmatrix *m, size_t r)
{
    bool whole = m->format.granularity == GRANULARITY_TENSOR;
    return m->scale_type == SCALE_NONE || (whole && r > 0) ? 0 : m->groups;
}

#endif

/* adamw.h - the optimizer: AdamW (Loshchilov and Hutter 2019), clipping by the norm of all gradients
 * (Pascanu et al. 2013), and a learning rate that warms up and then falls as a cosine (Loshchilov and Hutter
 * 2017). */
#ifndef QTOP_ADAMW_H
#define QTOP_ADAMW_H

#include <stddef.h>

struct adamw {
    double beta1, beta2, epsilon, decay;
};

/* Defaults: 0.9, 0.999, 1e-8, no decay. */
struct adamw adamw_defaults(void);

/* Step `step` (from 1) of n values w with their gradient g, which counts `factor` times, and their moments m
 * and v (0 at first): w -= rate (decay w + m' / (sqrt(v') + epsilon)), m' and v' corrected for their start. */
void adamw_update(const struct adamw *a, float *w, const float *g, double factor, float *m, float *v, size_t n,
                  double rate, size_t step);

/* The sum of squares, in fixed lanes. */
double squares_sum(const float *x, size_t n);

/* What gradients of this norm are multiplied by, so that it is at most `max`. */
double clip_factor(double norm, double max);

/* The rate of step `step` (from 0) of `steps`: from peak / warmup up to peak in `warmup` steps, then down to a
 * hundredth of it. */
double cosine_rate(double peak, size_t step, size_t steps, size_t warmup);

#endif

/* clip.h - scales of the least squared error: ranges that clip a few large weights so that all others lie on
 * finer steps (Nagel et al., A White Paper on Neural Network Quantization, 2021, section 3.1; searched as in
 * AWQ, Lin et al. 2023, section 5.1). */
#ifndef QTOP_CLIP_H
#define QTOP_CLIP_H

#include "quantize.h"

enum { CLIP_TRIALS = 21 };

/* The range of a trial of the search: from 0, the whole, to the last, `least` times it. */
struct value_range clip_range(struct value_range whole, size_t trial, double min_share);

/* The sum of importance * (w' - w)^2 over n weights on a grid; importance (n) is 1 where it is null. */
double clip_error(const struct qmatrix *m, struct quant_params params, const float *w, size_t n, const float *importance);

/* The grid of n weights of a group that has the least error. Never worse than the whole range. */
struct quant_params clip_params(const struct qmatrix *m, const float *w, size_t n, const float *importance,
                      double min_share);

#endif

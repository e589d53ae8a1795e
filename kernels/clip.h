/* clip.h - scales that minimize the squared error, by clipping a few large weights so that all others have finer
 * steps (Nagel et al., A White Paper on Neural Network Quantization, 2021, section 3.1; searched as in
 * AWQ, Lin et al. 2023, section 5.1). */
#ifndef QTOP_CLIP_H
#define QTOP_CLIP_H

#include "quantize.h"

enum { CLIP_TRIALS = 21 };

/* The range of a trial of the search, 0 .. CLIP_TRIALS - 1: from the whole range down to min_share times it. */
struct value_range clip_range(struct value_range whole, size_t trial, double min_share);

/* The sum of importance * (w' - w)^2 over n weights quantized with params; importance (n) may be null: all 1. */
double clip_error(const struct qmatrix *m, struct quant_params params, const float *w, size_t n,
                  const float *importance);

/* The parameters of least error for the n weights of a group. Never worse than those of the whole range. */
struct quant_params clip_params(const struct qmatrix *m, const float *w, size_t n, const float *importance,
                                double min_share);

#endif

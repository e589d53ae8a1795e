/* clip.h - scales of the least squared error: ranges that clip a few large weights so that all others lie on
 * finer steps (Nagel et al., A White Paper on Neural Network Quantization, 2021, section 3.1; searched as in
 * AWQ, Lin et al. 2023, section 5.1). */
#ifndef QTOP_CLIP_H
#define QTOP_CLIP_H

#include "../../kernels/quantize.h"

/* The grid of n weights of a group whose range, shrunk by a factor of `least` to 1, gives the least sum of
 * importance * (w' - w)^2; importance (n) is 1 where it is null. Never worse than the whole range. */
struct grid clip_grid(const struct qmatrix *m, const float *w, size_t n, const float *importance,
                      double least);

#endif

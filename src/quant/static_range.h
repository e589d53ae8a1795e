/* static_range.h - one scale for all activations of a matrix, chosen from a calibration text (Nagel et al., A
 * White Paper on Neural Network Quantization, 2021, section 3.1): the whole range; the range without the
 * largest 0.1 %; the one of the least squared error; the one whose clipped and rounded distribution has the
 * least KL divergence from the original (Migacz, 8-bit Inference with TensorRT, 2017). */
#ifndef QTOP_STATIC_RANGE_H
#define QTOP_STATIC_RANGE_H

#include "scheme.h"
#include "calibration.h"

struct act_params {
    float scale; /* positive and finite */
    int zero;    /* a stored code; 0 where activations are symmetric */
};

/* The grid of a scheme with static activations, for inputs divided by input_scale (cols; null: as they are).
 * Ranges other than the whole one are chosen on the sample. False when memory is short. */
bool static_range_choose(const struct scheme *scheme, const struct input_stats *stats,
                         const float *input_scale, struct act_params *out, struct error *error);

#endif

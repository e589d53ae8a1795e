/* training_curve.h - what the training curve shows of a run of quantization-aware training, while it runs and
 * afterwards. */
#ifndef QTOP_LAB_TRAINING_CURVE_H
#define QTOP_LAB_TRAINING_CURVE_H

#include "frame.h"

/* Adds the figures of a step. A frame that was published does not change: another takes its place in *curve. */
void training_curve_add(struct training_frame **curve, const struct training_figures *now);

/* The run is over; the curve stays. */
void training_curve_end(struct training_frame **curve);

static inline bool training_curve_runs(const struct training_frame *curve)
{
    return curve && curve->running;
}

#endif

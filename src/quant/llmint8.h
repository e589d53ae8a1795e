/* llmint8.h - LLM.int8() (Dettmers et al. 2022, section 3): the few columns whose activations are outliers are
 * multiplied in fp16, all others vector-wise in int8, with a scale for each row and each token. The paper
 * (section 3.2, threshold 6.0) picks columns for every batch as it runs; here they are those that reach the
 * threshold anywhere in the calibration text, so that their weights can be kept in fp16. */
#ifndef QTOP_LLMINT8_H
#define QTOP_LLMINT8_H

#include "calibration.h"

/* Columns in which an activation's magnitude is at least the threshold, in ascending order, into out (cols);
 * returns how many. */
size_t outlier_columns(const struct input_stats *stats, double threshold, uint32_t *out);

#endif

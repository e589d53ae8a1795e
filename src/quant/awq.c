/* AWQ (Lin et al. 2023, section 3.2): a weight matters as much as the activations it multiplies, so columns
 * of large mean |x| are scaled up before rounding, s = mean|x|^alpha, and lose less. Alpha is searched in
 * steps of 1/20 (section 3.2, equation 5); scales are normalized to lie around 1. The range of every group is
 * then clipped where that makes the error less (requant.c), as the section's end has it. */
#include "calibrated.h"
#include "calibration.h"
#include "engine/weights.h"
#include "imatrix.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { ALPHA, CLIP };

static const struct parameter parameters[] = {
    [ALPHA] = {"alpha", PARAMETER_SEARCH, 0, 1, false, true, "input scale = mean |x| to this power"},
    [CLIP] = {"clip", 1, 0, 1, true, false,
              "1: then scales of the least squared error, as the method clip finds them"},
};

static void scale(const struct input_stats *s, const float *weight_max, double alpha, float *out)
{
    double largest = 0, min = INFINITY, max = 0;
    (void)weight_max;
    for (size_t c = 0; c < s->cols; c++)
        largest = fmax(largest, input_mean(s, c));
    for (size_t c = 0; c < s->cols; c++) {
        double mean = fmax(input_mean(s, c), 1e-4 * largest); /* a column may never have been reached */
        double value = largest > 0 ? pow(mean, alpha) : 1;
        out[c] = (float)value;
        min = fmin(min, value);
        max = fmax(max, value);
    }
    for (size_t c = 0; c < s->cols; c++)
        out[c] = (float)((double)out[c] / sqrt(min * max));
}

static double range_min(const float *values)
{
    return values[CLIP] > 0 ? (double)RANGE_MIN_DEFAULT : 1;
}

static int describe(const struct calibration_info *found, char *out, size_t size)
{
    return snprintf(out, size, "alpha %.3g", found->alpha);
}

static const struct input_scaling scaling = {.alpha = ALPHA, .scale = scale};

const struct method awq_method = {
    .name = "awq",
    .summary = "input scale that protects the weights of large activations",
    .phase = PHASE_INPUT_SCALE,
    .composes = PHASE_BIT(PHASE_RANGE) | PHASE_BIT(PHASE_CODES),
    .needs = {.activations = true},
    .parameters = parameters,
    .parameter_count = sizeof parameters / sizeof *parameters,
    .prepare = imatrix_prepare,
    .describe = describe,
    .range_min = range_min,
    .input_scaling = &scaling,
};

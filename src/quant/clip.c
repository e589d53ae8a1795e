/* Clipping: scales of the least squared error, found by searching ranges (kernels/clip.h), which needs no
 * activations. */
#include "method.h"

enum { LEAST };

static const struct parameter parameters[] = {
    [LEAST] = {"least", RANGE_MIN_DEFAULT, 0.1f, 1, false, false,
               "share of the range that the search goes down to"},
};

static double range_min(const float *values)
{
    return (double)values[LEAST];
}

const struct method clip_method = {
    .name = "clip",
    .summary = "scales of the least squared error instead of the whole range",
    .phase = PHASE_RANGE,
    .composes = PHASE_BIT(PHASE_INPUT_SCALE) | PHASE_BIT(PHASE_CODES),
    .needs = {.weights = WEIGHTS_INTEGER},
    .parameters = parameters,
    .parameter_count = sizeof parameters / sizeof *parameters,
    .range_min = range_min,
};

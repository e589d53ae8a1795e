/* SmoothQuant (Xiao et al. 2022, section 4, equation 4): s = max|X|^alpha / max|W|^(1 - alpha) for each input
 * channel takes from outlier activations what weights can still bear. Here s divides the activations of the
 * matrix itself instead of the norm before it. */
#include "calibration.h"
#include "engine/weights.h"
#include "method.h"

#include <math.h>
#include <stdio.h>

enum { ALPHA };

static const struct parameter parameters[] = {
    [ALPHA] = {"alpha", 0.5f, 0, 1, false, true, "0 leaves outliers to activations, 1 moves them into the weights"},
};

static void scale(const struct input_stats *s, const float *weight_max, double alpha, float *out)
{
    double floor = 0;
    for (size_t c = 0; c < s->cols; c++)
        floor = fmax(floor, 1e-5 * (double)input_largest(s, c));
    for (size_t c = 0; c < s->cols; c++) {
        double x = fmax((double)input_largest(s, c), floor), w = (double)weight_max[c];
        out[c] = x > 0 && w > 0 ? (float)(pow(x, alpha) / pow(w, 1 - alpha)) : 1;
    }
}

static int describe(const struct calibration_info *found, char *out, size_t size)
{
    return snprintf(out, size, "alpha %.3g", found->alpha);
}

static const struct input_scaling scaling = {.alpha = ALPHA, .weight_max = true, .scale = scale};

const struct method smoothquant_method = {
    .name = "smoothquant",
    .summary = "input scale that moves outliers from activations to weights",
    .phase = PHASE_INPUT_SCALE,
    .composes = PHASE_BIT(PHASE_RANGE) | PHASE_BIT(PHASE_CODES),
    .needs = {.activations = true},
    .parameters = parameters,
    .parameter_count = sizeof parameters / sizeof *parameters,
    .describe = describe,
    .input_scaling = &scaling,
};

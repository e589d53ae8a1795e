/* imatrix: scales of the least squared error, each column's weighed by the activations that it multiplies. */
#include "imatrix.h"

#include "calibrated.h"
#include "calibration.h"

#include <stdlib.h>

bool imatrix_prepare(const struct calibration_inputs *in, const float *values, struct calibrated *out,
                     struct error *error)
{
    const struct input_stats *s = in->stats;
    (void)values;
    out->importance = malloc(s->cols * sizeof *out->importance);
    if (!out->importance)
        return error_set(error, "not enough memory for calibration");
    for (size_t c = 0; c < s->cols; c++) {
        double divisor = in->input_scale ? (double)in->input_scale[c] : 1;
        out->importance[c] = (float)(s->sum_squares[c] / (double)s->tokens / (divisor * divisor));
    }
    return true;
}

static double range_min(const float *values)
{
    (void)values;
    return (double)RANGE_MIN_DEFAULT;
}

const struct method imatrix_method = {
    .name = "imatrix",
    .summary = "scales of the least squared error, weighed by the columns' mean squared activations",
    .phase = PHASE_RANGE,
    .composes = PHASE_BIT(PHASE_INPUT_SCALE) | PHASE_BIT(PHASE_CODES),
    .needs = {.activations = true, .weights = WEIGHTS_SEARCHED},
    .prepare = imatrix_prepare,
    .range_min = range_min,
};

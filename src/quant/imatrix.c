/* imatrix: scales of the least squared error, each column's weighed by the activations that it multiplies. */
#include "imatrix.h"

#include "calibrated.h"
#include "calibration.h"
#include "engine/weights.h"

#include <stdio.h>
#include <stdlib.h>

bool imatrix_prepare(const struct calibration_inputs *in, const float *values, struct calibrated *out,
                     struct error *error)
{
    const struct input_stats *s = in->stats;
    (void)values;
    if (in->from_imatrix ? !in->importance : s->tokens == 0)
        return true; /* unweighted */
    free(out->importance); /* of a method before it */
    out->importance = malloc(in->cols * sizeof *out->importance);
    if (!out->importance)
        return error_set(error, "not enough memory for calibration");
    for (size_t c = 0; c < in->cols; c++) {
        double mean = in->from_imatrix ? (double)in->importance[c] : s->sum_squares[c] / (double)s->tokens;
        double divisor = in->input_scale ? (double)in->input_scale[c] : 1;
        out->importance[c] = (float)(mean / (divisor * divisor));
    }
    return true;
}

static int describe(const struct calibration_info *found, char *out, size_t size)
{
    static const char *const texts[] = {[WEIGHED_BY_TEXT] = "weighed by the calibration text",
                                        [WEIGHED_BY_IMATRIX] = "weighed by the imatrix",
                                        [WEIGHED_BY_NOTHING] = "unweighted: no activations of it are known"};
    return snprintf(out, size, "%s", texts[found->weighed_by]);
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
    .needs = {.activations = true, .importance = true, .weights = WEIGHTS_SEARCHED},
    .prepare = imatrix_prepare,
    .describe = describe,
    .range_min = range_min,
};

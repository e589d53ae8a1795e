#include "calibrated.h"
#include "engine/weights.h"
#include "llmint8.h"
#include "method.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { THRESHOLD };

static const struct parameter parameters[] = {
    [THRESHOLD] = {"threshold", 6, 0, INFINITY, false, false,
                   "a column with an activation of this magnitude is an outlier"},
};

size_t outlier_columns(const struct input_stats *s, double threshold, uint32_t *out)
{
    size_t n = 0;
    for (size_t c = 0; c < s->cols; c++)
        if ((double)input_largest(s, c) >= threshold)
            out[n++] = (uint32_t)c;
    return n;
}

static bool prepare(const struct calibration_inputs *in, const float *values, struct calibrated *out,
                    struct error *error)
{
    out->outliers = malloc(in->stats->cols * sizeof *out->outliers);
    if (!out->outliers)
        return error_set(error, "not enough memory for outlier columns");
    out->outlier_count = outlier_columns(in->stats, (double)values[THRESHOLD], out->outliers);
    return true;
}

static int describe(const struct calibration_info *found, char *out, size_t size)
{
    return snprintf(out, size, "%zu columns in fp16", found->outliers);
}

const struct method llmint8_method = {
    .name = "llmint8",
    .summary = "columns of outlier activations in fp16, the others in int8",
    .phase = PHASE_SPLIT,
    .needs = {.activations = true, .weights = WEIGHTS_W8A8},
    .parameters = parameters,
    .parameter_count = sizeof parameters / sizeof *parameters,
    .prepare = prepare,
    .describe = describe,
};

/* AWQ (Lin et al. 2023, section 3.2): a weight matters as much as the activations it multiplies, so columns
 * of large mean |x| are scaled up before rounding, s = mean|x|^alpha, and lose less. Alpha is searched in
 * steps of 1/20 (section 3.2, equation 5); scales are normalized to lie around 1. The range of every group is
 * then clipped where that makes the error less (requant.c), as the section's end has it. */
#include "scaling.h"

#include <math.h>

static void scale(const struct scaling_site *input_group, double alpha, float *out)
{
    const struct input_stats *s = input_group->stats;
    double largest = 0, least = INFINITY, most = 0;
    for (size_t c = 0; c < s->cols; c++)
        largest = fmax(largest, input_mean(s, c));
    for (size_t c = 0; c < s->cols; c++) {
        double mean = fmax(input_mean(s, c), 1e-4 * largest); /* a column may never have been reached */
        double value = largest > 0 ? pow(mean, alpha) : 1;
        out[c] = (float)value;
        least = fmin(least, value);
        most = fmax(most, value);
    }
    for (size_t c = 0; c < s->cols; c++)
        out[c] = (float)((double)out[c] / sqrt(least * most));
}

const struct scaling_method awq_scaling = {METHOD_AWQ, PARAMETER_AWQ_ALPHA, false, scale};

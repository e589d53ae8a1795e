/* SmoothQuant (Xiao et al. 2022, section 4, equation 4): s = max|X|^alpha / max|W|^(1 - alpha) for each input
 * channel takes from outlier activations what weights can still bear. Here s divides the activations of the
 * matrix itself instead of the norm before it. */
#include "scaling.h"

#include <math.h>

static void scale(const struct scaling_site *input_group, double alpha, float *out)
{
    const struct input_stats *s = input_group->stats;
    double floor = 0;
    for (size_t c = 0; c < s->cols; c++)
        floor = fmax(floor, 1e-5 * (double)input_largest(s, c));
    for (size_t c = 0; c < s->cols; c++) {
        double x = fmax((double)input_largest(s, c), floor), w = (double)input_group->weight_most[c];
        out[c] = x > 0 && w > 0 ? (float)(pow(x, alpha) / pow(w, 1 - alpha)) : 1;
    }
}

const struct scaling_method smoothquant_scaling = {METHOD_SMOOTHQUANT, PARAMETER_SMOOTH_ALPHA, true, scale};

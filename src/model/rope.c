#include "rope.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* By what a frequency is divided, Llama 3.1 (2024): long waves by the whole factor, short ones not at all,
 * and in between by a mixture. */
static double llama3_factor(const struct rope_scale *s, double rate)
{
    double wave = 2 * acos(-1.0) / rate, original = (double)s->original;
    if (wave < original / (double)s->high)
        return 1;
    if (wave > original / (double)s->low)
        return (double)s->factor;
    double smooth = (original / wave - (double)s->low) / (double)(s->high - s->low);
    return 1 / ((1 - smooth) / (double)s->factor + smooth);
}

/* Where there are none, all 1. */
static bool begin_factors(struct model *m, size_t half)
{
    if (m->rope_factors)
        return true;
    m->rope_factors = malloc((half + 1) * sizeof *m->rope_factors);
    for (size_t i = 0; m->rope_factors && i < half; i++)
        m->rope_factors[i] = 1;
    return m->rope_factors != NULL;
}

bool rope_scale(struct model *m, const struct rope_scale *s, struct error *error)
{
    const struct hyper *h = &m->hyper;
    size_t half = rotary_dims(h) / 2;
    if (!(s->factor >= 1 && s->factor < 1e6f))
        return error_set(error, "rope scaling: factor = %g; expected at least 1", (double)s->factor);
    if (s->type == SCALING_LLAMA3 && !(s->low > 0 && s->high > s->low && s->original > 0))
        return error_set(error, "rope scaling: low_freq_factor = %g, high_freq_factor = %g, "
                                "original context %zu; expected 0 < low < high and a context",
                         (double)s->low, (double)s->high, s->original);
    if (!begin_factors(m, half))
        return error_set(error, "not enough memory");
    for (size_t i = 0; i < half; i++) {
        double rate = pow((double)h->rope_base, -(double)i / (double)half);
        m->rope_factors[i] *= s->type == SCALING_LINEAR ? s->factor : (float)llama3_factor(s, rate);
    }
    return true;
}

static bool all_positive(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(x[i] > 0 && x[i] < INFINITY))
            return false;
    return true;
}

bool rope_set_factors(struct model *m, const float *factors, size_t count, const char *what,
                      struct error *error)
{
    size_t half = rotary_dims(&m->hyper) / 2;
    if (count != half)
        return error_set(error, "%s: %zu factors; expected %zu, one per two dimensions of a head",
                         what, count, half);
    if (!all_positive(factors, count))
        return error_set(error, "%s: a factor that is not a number above 0", what);
    free(m->rope_factors);
    m->rope_factors = malloc(count * sizeof *factors + 1);
    if (!m->rope_factors)
        return error_set(error, "not enough memory");
    memcpy(m->rope_factors, factors, count * sizeof *factors);
    return true;
}

bool rope_short(struct model *m, const float *factors, size_t count, const char *what, size_t original,
                float magnitude, struct error *error)
{
    if (!rope_set_factors(m, factors, count, what, error))
        return false;
    if (!(magnitude > 0 && magnitude < 100))
        return error_set(error, "LongRoPE: attention factor = %g; expected a number above 0",
                         (double)magnitude);
    m->hyper.rope_magnitude = magnitude;
    if (original > 0 && original < m->hyper.trained_context) {
        model_add_note(m, "context of %zu: LongRoPE's long factors, for up to %zu, are not used", original,
                       m->hyper.trained_context);
        m->hyper.trained_context = original;
    }
    return true;
}

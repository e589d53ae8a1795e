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

/* ---- YaRN ------------------------------------------------------------------------------------ */

float yarn_magnitude(float factor, float m)
{
    return factor > 1 ? (float)(0.1 * (double)m * log((double)factor) + 1) : 1;
}

/* The pair that makes so many rotations within the original context; between pairs, too. */
static double pair_of(const struct hyper *h, size_t original, float rotations)
{
    double wave = (double)original / ((double)rotations * 2 * acos(-1.0));
    return (double)rotary_dims(h) * log(wave) / (2 * log((double)h->rope_base));
}

static bool check_yarn(const struct hyper *h, const struct yarn *y, size_t original, float magnitude,
                       struct error *error)
{
    if (!(y->factor >= 1 && y->factor < 1e6f))
        return error_set(error, "YaRN: factor = %g; expected at least 1", (double)y->factor);
    if (!(y->slow > 0 && y->fast > y->slow && y->fast < INFINITY && original > 0 && h->rope_base > 1))
        return error_set(error, "YaRN: beta_fast = %g, beta_slow = %g, original context %zu, rope base %g; expected 0 < "
                                "beta_slow < beta_fast, a context and a base above 1",
                         (double)y->fast, (double)y->slow, original, (double)h->rope_base);
    return (magnitude > 0 && magnitude < 100) ||
           error_set(error, "YaRN: attention factor = %g; expected a number above 0", (double)magnitude);
}

bool rope_yarn(struct model *m, const struct yarn *y, size_t original, float magnitude, struct error *error)
{
    struct hyper *h = &m->hyper;
    size_t half = rotary_dims(h) / 2;
    if (!check_yarn(h, y, original, magnitude, error))
        return false;
    if (!begin_factors(m, half))
        return error_set(error, "not enough memory");
    double low = pair_of(h, original, y->fast), high = pair_of(h, original, y->slow);
    low = fmax(y->exact ? low : floor(low), 0);
    high = fmin(y->exact ? high : ceil(high), (double)rotary_dims(h) - 1);
    for (size_t i = 0; i < half; i++) {
        double slow = fmin(fmax(((double)i - low) / fmax(high - low, 0.001), 0), 1);
        m->rope_factors[i] *= (float)(1 / (slow / (double)y->factor + (1 - slow)));
    }
    h->yarn = *y;
    h->rope_original = original;
    h->rope_magnitude = magnitude;
    return true;
}

/* ---- dynamic NTK ----------------------------------------------------------------------------- */

bool rope_dynamic(struct model *m, float factor, struct error *error)
{
    struct hyper *h = &m->hyper;
    if (!(factor >= 1 && factor < 1e6f))
        return error_set(error, "dynamic NTK: factor = %g; expected at least 1", (double)factor);
    if (rotary_dims(h) < 4)
        return error_set(error, "dynamic NTK: %zu rotary dimensions; expected at least 4", rotary_dims(h));
    h->rope_growth = factor;
    h->rope_original = h->trained_context;
    return true;
}

double rotary_rate(const struct rotary *r, size_t i, size_t positions)
{
    double base = (double)r->base, growth = (double)r->growth, dims = (double)r->dims;
    bool is_beyond = positions > r->original;
    const float *factors = r->beyond && is_beyond ? r->beyond : r->factors;
    if (growth > 0 && is_beyond)
        base *= pow(growth * (double)positions / (double)r->original - (growth - 1), dims / (dims - 2));
    double rate = pow(base, -2 * (double)i / dims);
    return factors ? rate / (double)factors[i] : rate;
}

/* ---- factors of files ------------------------------------------------------------------------ */

static bool all_positive(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(x[i] > 0 && x[i] < INFINITY))
            return false;
    return true;
}

/* A copy of factors that a file holds, in the place of others. */
static bool set_factors(struct model *m, float **to, const float *factors, size_t count, const char *what,
                        struct error *error)
{
    size_t half = rotary_dims(&m->hyper) / 2;
    if (count != half)
        return error_set(error, "%s: %zu factors; expected %zu, one per two dimensions of a head",
                         what, count, half);
    if (!all_positive(factors, count))
        return error_set(error, "%s: a factor that is not a number above 0", what);
    free(*to);
    *to = malloc(count * sizeof *factors + 1);
    if (!*to)
        return error_set(error, "not enough memory");
    memcpy(*to, factors, count * sizeof *factors);
    return true;
}

bool rope_proportional(struct model *m, float part, float factor, struct error *error)
{
    static const float still = 1e30f; /* as in GGUF files */
    m->hyper.rope_dims = 0;
    size_t half = rotary_dims(&m->hyper) / 2, turning = (size_t)(part * (float)m->hyper.head_size / 2);
    float *factors = malloc((half + 1) * sizeof *factors);
    if (!factors)
        return error_set(error, "not enough memory");
    for (size_t i = 0; i < half; i++)
        factors[i] = i < turning ? factor : still;
    bool ok = set_factors(m, &m->rope_factors, factors, half, "proportional rotary embedding", error);
    free(factors);
    return ok;
}

bool rope_set_factors(struct model *m, const float *factors, size_t count, const char *what, struct error *error)
{
    return set_factors(m, &m->rope_factors, factors, count, what, error);
}

bool rope_long(struct model *m, const struct longrope *r, struct error *error)
{
    if (!set_factors(m, &m->rope_factors, r->factors, r->count, r->what, error) ||
        (r->beyond && !set_factors(m, &m->rope_beyond, r->beyond, r->beyond_count, r->what_beyond, error)))
        return false;
    if (!(r->magnitude > 0 && r->magnitude < 100))
        return error_set(error, "LongRoPE: attention factor = %g; expected a number above 0",
                         (double)r->magnitude);
    m->hyper.rope_magnitude = r->magnitude;
    m->hyper.rope_original = r->original;
    return true;
}

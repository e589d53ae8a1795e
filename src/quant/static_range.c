#include "static_range.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double BEYOND = 0.001; /* of the values, those that a percentile leaves outside */

enum { SHARES = 100 }; /* of the whole range, that are tried */

struct choice {
    const struct scheme *scheme;
    float *values; /* the sample, scaled */
    size_t count;
    double low, high; /* the whole range, 0 inside */
};

/* The grid of a range, as dynamic activations have it. */
static struct act_params params_of(const struct scheme *s, double low, double high)
{
    bool integer = dtypes[s->format.act].kind == DTYPE_KIND_INTEGER;
    double largest = fmax(-low, high), steps = integer ? 127 : (double)dtypes[s->format.act].largest;
    double scale = s->format.act_asym ? (high - low) / 255 : largest / steps;
    if (!(scale > 0))
        return (struct act_params){1, s->format.act_asym ? -128 : 0};
    scale = fmin(fmax(scale, FLT_MIN), FLT_MAX);
    int zero = s->format.act_asym ? -128 + (int)fmin(rint(-low / scale), 255) : 0;
    return (struct act_params){(float)scale, zero};
}

static double rounded(const struct scheme *s, struct act_params g, double x)
{
    if (dtypes[s->format.act].kind != DTYPE_KIND_INTEGER) {
        const struct dtype_info *type = &dtypes[s->format.act];
        return (double)type->decode(type->encode((float)(x / (double)g.scale))) * (double)g.scale;
    }
    double q = rint(x / (double)g.scale) + g.zero, lowest = s->format.act_asym ? -128 : -127;
    return (fmin(fmax(q, lowest), 127) - g.zero) * (double)g.scale;
}

static double squared_error(const struct choice *c, double share)
{
    struct act_params g = params_of(c->scheme, c->low * share, c->high * share);
    double sum = 0;
    for (size_t i = 0; i < c->count; i++) {
        double e = rounded(c->scheme, g, (double)c->values[i]) - (double)c->values[i];
        sum += e * e;
    }
    return sum;
}

/* ---- KL divergence --------------------------------------------------------------------------- */

enum { BINS = 2048, LEVELS = 128 };

/* The share of the range of |x|, in BINS bins, at which the first `n` bins (what is beyond counted into the
 * last) differ least from the same in LEVELS levels: each level's count spread evenly over its bins that are
 * not empty. */
static double level_divergence(const double bins[BINS], size_t n)
{
    double p[BINS], q[BINS] = {0}, all = 0, q_all = 0, kl = 0;
    memcpy(p, bins, n * sizeof *p);
    for (size_t i = n; i < BINS; i++)
        p[n - 1] += bins[i];
    for (size_t level = 0; level < LEVELS; level++) {
        size_t begin = level * n / LEVELS, end = (level + 1) * n / LEVELS, filled = 0;
        double sum = 0;
        for (size_t i = begin; i < end; i++) {
            sum += bins[i];
            filled += bins[i] > 0;
        }
        for (size_t i = begin; i < end; i++)
            q[i] = bins[i] > 0 ? sum / (double)filled : 0;
    }
    for (size_t i = 0; i < n; i++) {
        all += p[i];
        q_all += q[i];
    }
    for (size_t i = 0; i < n; i++)
        if (p[i] > 0)
            kl += p[i] / all * log(p[i] / all / fmax(q[i] / q_all, 1e-12));
    return kl;
}

static double share_of_least_divergence(const struct choice *c)
{
    double bins[BINS] = {0}, largest = fmax(-c->low, c->high), best = INFINITY;
    size_t at = BINS;
    for (size_t i = 0; i < c->count; i++) {
        double x = fabs((double)c->values[i]) / largest * BINS;
        if (x > 0)
            bins[x < BINS ? (size_t)x : BINS - 1]++;
    }
    for (size_t n = LEVELS; n <= BINS; n += 8) {
        double kl = level_divergence(bins, n);
        if (kl < best) {
            best = kl;
            at = n;
        }
    }
    return (double)at / BINS;
}

/* ---- the ranges ------------------------------------------------------------------------------ */

static int ascending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Cuts both ends so that together BEYOND of the values are outside; symmetric ones by magnitude. */
static void cut_tails(struct choice *c)
{
    for (size_t i = 0; i < c->count && !c->scheme->format.act_asym; i++)
        c->values[i] = fabsf(c->values[i]);
    qsort(c->values, c->count, sizeof *c->values, ascending);
    double outside = BEYOND * (double)c->count / (c->scheme->format.act_asym ? 2 : 1);
    size_t skip = (size_t)fmin(outside, (double)(c->count - 1));
    double high = (double)c->values[c->count - 1 - skip];
    c->high = fmax(high, 0);
    c->low = c->scheme->format.act_asym ? fmin((double)c->values[skip], 0) : -c->high;
}

static void shrink(struct choice *c, double share)
{
    c->low *= share;
    c->high *= share;
}

static void narrow(struct choice *c)
{
    double best = INFINITY, at = 1;
    switch (c->scheme->act_range) {
    case ACT_PERCENTILE:
        cut_tails(c);
        return;
    case ACT_MSE:
        for (int i = 1; i <= SHARES; i++) {
            double error = squared_error(c, (double)i / SHARES);
            if (error < best) {
                best = error;
                at = (double)i / SHARES;
            }
        }
        shrink(c, at);
        return;
    case ACT_KL:
        shrink(c, share_of_least_divergence(c));
        return;
    default:
        return;
    }
}

bool static_range_choose(const struct scheme *scheme, const struct input_stats *s, const float *input_scale,
                         struct act_params *out, struct error *error)
{
    struct choice c = {.scheme = scheme, .count = s->samples * s->cols};
    c.values = malloc((c.count + 1) * sizeof *c.values);
    if (!c.values)
        return error_set(error, "not enough memory to choose a range of activations");
    for (size_t i = 0; i < c.count; i++)
        c.values[i] = s->sample[i] / (input_scale ? input_scale[i % s->cols] : 1);
    for (size_t i = 0; i < s->cols; i++) {
        double scale = input_scale ? (double)input_scale[i] : 1;
        c.low = fmin(c.low, (double)s->least[i] / scale);
        c.high = fmax(c.high, (double)s->most[i] / scale);
    }
    if (c.count > 0 && c.high - c.low > 0)
        narrow(&c);
    *out = params_of(scheme, c.low, c.high);
    free(c.values);
    return true;
}

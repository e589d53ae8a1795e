#include "static_range.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double TAIL_FRACTION = 0.001; /* of the values, those that a percentile leaves outside */

/* The grid of a range, as dynamic activations have it. */
static struct act_params params_of(const struct qformat *s, double low, double high)
{
    bool integer = dtypes[s->act].kind == DTYPE_KIND_INTEGER;
    double largest = fmax(-low, high), steps = integer ? 127 : (double)dtypes[s->act].largest;
    double scale = s->act_asym ? (high - low) / 255 : largest / steps;
    if (!(scale > 0))
        return (struct act_params){1, s->act_asym ? -128 : 0};
    scale = fmin(fmax(scale, FLT_MIN), FLT_MAX);
    int zero = s->act_asym ? -128 + (int)fmin(rint(-low / scale), 255) : 0;
    return (struct act_params){(float)scale, zero};
}

static double rounded(const struct qformat *s, struct act_params g, double x)
{
    if (dtypes[s->act].kind != DTYPE_KIND_INTEGER) {
        const struct dtype_info *type = &dtypes[s->act];
        return (double)type->decode(type->encode((float)(x / (double)g.scale))) * (double)g.scale;
    }
    double q = rint(x / (double)g.scale) + g.zero, lowest = s->act_asym ? -128 : -127;
    return (fmin(fmax(q, lowest), 127) - g.zero) * (double)g.scale;
}

/* ---- passes over the values ------------------------------------------------------------------ */

/* The next values of a pass, at most `max`; *over: there are no more behind them. */
struct run {
    size_t begin, end;
    bool over;
};

static struct run next_run(struct static_range *r, size_t max)
{
    size_t left = r->count - r->at, n = left < max ? left : max;
    struct run run = {r->at, r->at + n, n == left};
    r->at = run.over ? 0 : run.end;
    r->pass += run.over;
    r->looked_at = n;
    return run;
}

/* The first pass of every rule. */
static void scale_values(struct static_range *r)
{
    const struct input_stats *s = r->stats;
    struct run run = next_run(r, STATIC_RANGE_WORK);
    for (size_t i = run.begin; i < run.end; i++)
        r->values[i] = s->sample[i] / (r->input_scale ? r->input_scale[i % s->cols] : 1);
}

/* ---- the percentile -------------------------------------------------------------------------- */

/* The ranks of both ends, so that together TAIL_FRACTION of the values are outside; symmetric ones by magnitude. */
static bool open_percentile(struct static_range *r)
{
    double outside = TAIL_FRACTION * (double)r->count / (r->format.act_asym ? 2 : 1);
    size_t skip = (size_t)fmin(outside, (double)(r->count - 1));
    return select_open(&r->tails, (size_t[]){r->count - 1 - skip, skip}, r->format.act_asym ? 2 : 1);
}

static bool percentile_step(struct static_range *r, struct pool *pool)
{
    struct run run = next_run(r, STATIC_RANGE_WORK);
    (void)pool;
    for (size_t i = run.begin; i < run.end && !r->format.act_asym && !r->tails.second; i++)
        r->values[i] = fabsf(r->values[i]);
    select_add(&r->tails, r->values + run.begin, run.end - run.begin);
    if (!run.over)
        return false;
    if (!r->tails.second) {
        select_begin_second(&r->tails);
        return false;
    }
    r->high = fmax((double)select_value(&r->tails, 0), 0);
    r->low = r->format.act_asym ? fmin((double)select_value(&r->tails, 1), 0) : -r->high;
    return true;
}

/* ---- the squared error ----------------------------------------------------------------------- */

static void shrink(struct static_range *r, double share)
{
    r->low *= share;
    r->high *= share;
}

static bool open_mse(struct static_range *r)
{
    r->errors = calloc(STATIC_RANGE_SHARES, sizeof *r->errors);
    return r->errors;
}

struct trials {
    struct static_range *r;
    struct run run;
};

/* Item i is a share of the range; its sum goes through the values in their order, whatever the threads. */
static void add_errors(void *arg, size_t begin, size_t end, int thread)
{
    const struct trials *t = arg;
    struct static_range *r = t->r;
    (void)thread;
    for (size_t trial = begin; trial < end; trial++) {
        double share = (double)(trial + 1) / STATIC_RANGE_SHARES, sum = r->errors[trial];
        struct act_params g = params_of(&r->format, r->low * share, r->high * share);
        for (size_t i = t->run.begin; i < t->run.end; i++) {
            double e = rounded(&r->format, g, (double)r->values[i]) - (double)r->values[i];
            sum += e * e;
        }
        r->errors[trial] = sum;
    }
}

static bool mse_step(struct static_range *r, struct pool *pool)
{
    struct trials t = {r, next_run(r, STATIC_RANGE_WORK / STATIC_RANGE_SHARES)};
    double best = INFINITY, at = 1;
    pool_run(pool, STATIC_RANGE_SHARES, add_errors, &t);
    r->looked_at *= STATIC_RANGE_SHARES;
    if (!t.run.over)
        return false;
    for (size_t i = 0; i < STATIC_RANGE_SHARES; i++) {
        if (!(r->errors[i] < best))
            continue;
        best = r->errors[i];
        at = (double)(i + 1) / STATIC_RANGE_SHARES;
    }
    shrink(r, at);
    return true;
}

/* ---- KL divergence --------------------------------------------------------------------------- */

enum {
    BINS = 2048,
    LEVELS = 128,
    BINS_STEP = 8,
    TRIES = STATIC_RANGE_WORK / 16 / BINS, /* numbers of bins a step: each bin costs logarithms */
};

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

static bool open_kl(struct static_range *r)
{
    r->bins = calloc(BINS, sizeof *r->bins);
    r->bins_tried = LEVELS - BINS_STEP;
    r->bins_best = BINS;
    r->kl_best = INFINITY;
    return r->bins;
}

static void fill_bins(struct static_range *r)
{
    struct run run = next_run(r, STATIC_RANGE_WORK);
    double largest = fmax(-r->low, r->high);
    for (size_t i = run.begin; i < run.end; i++) {
        double x = fabs((double)r->values[i]) / largest * BINS;
        if (x > 0)
            r->bins[x < BINS ? (size_t)x : BINS - 1]++;
    }
}

static bool kl_step(struct static_range *r, struct pool *pool)
{
    (void)pool;
    if (r->pass == 1) {
        fill_bins(r);
        return false;
    }
    r->looked_at = 0;
    for (size_t i = 0; i < TRIES && r->bins_tried < BINS; i++) {
        double kl = level_divergence(r->bins, r->bins_tried += BINS_STEP);
        r->looked_at += BINS;
        if (kl < r->kl_best) {
            r->kl_best = kl;
            r->bins_best = r->bins_tried;
        }
    }
    if (r->bins_tried < BINS)
        return false;
    shrink(r, (double)r->bins_best / BINS);
    return true;
}

/* ---- the rules ------------------------------------------------------------------------------- */

/* After the values are scaled; of the whole range there is nothing more to do. */
static const struct {
    bool (*open)(struct static_range *);
    bool (*step)(struct static_range *, struct pool *); /* true when r->low and r->high are chosen */
} rules[ACT_RANGES] = {
    [ACT_PERCENTILE] = {open_percentile, percentile_step},
    [ACT_MSE] = {open_mse, mse_step},
    [ACT_KL] = {open_kl, kl_step},
};

static void find_whole_range(struct static_range *r)
{
    const struct input_stats *s = r->stats;
    for (size_t i = 0; i < s->cols; i++) {
        double scale = r->input_scale ? (double)r->input_scale[i] : 1;
        r->low = fmin(r->low, (double)s->min[i] / scale);
        r->high = fmax(r->high, (double)s->max[i] / scale);
    }
}

bool static_range_open(struct static_range *r, const struct scheme *scheme, const struct input_stats *s,
                       const float *input_scale, struct error *error)
{
    *r = (struct static_range){.format = scheme->format, .rule = scheme->act_range, .stats = s,
                               .input_scale = input_scale};
    find_whole_range(r);
    if (!rules[r->rule].step || !(r->high - r->low > 0) || s->samples == 0)
        return true;
    r->count = s->samples * s->cols;
    r->values = malloc(r->count * sizeof *r->values);
    return (r->values && rules[r->rule].open(r)) ||
           error_set(error, "not enough memory to choose a range of activations");
}

void static_range_close(struct static_range *r)
{
    free(r->values);
    free(r->errors);
    free(r->bins);
    select_close(&r->tails);
    *r = (struct static_range){0};
}

bool static_range_step(struct static_range *r, struct pool *pool)
{
    if (!r->values)
        return true;
    if (r->pass > 0)
        return rules[r->rule].step(r, pool);
    scale_values(r);
    return false;
}

struct act_params static_range_result(const struct static_range *r)
{
    return params_of(&r->format, r->low, r->high);
}

#include "encode_blocks.h"
#include "encode_grids.h"

#include "dispatch.h"
#include "quantize.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Rounds in which a block's factor and its groups' integers follow each other, or trials surround the best; codes of
 * which many trials win little. */
enum { ROUNDS = 3, MANY_CODES = 31 };

/* One group. */
struct group {
    const float *x, *w;   /* values and importances */
    size_t n;
    double w_sum, wx_sum, wxx_sum;
};

/* Weights scale * q + offset for codes q of the group, the squared error that is left, and the sum of w q^2. */
struct fit {
    double scale, offset, error, qq;
};

static struct group group_of(const float *x, const float *w, size_t n)
{
    struct group g = {x, w, n, 0, 0, 0};
    for (size_t i = 0; i < n; i++) {
        double weighted = (double)w[i] * (double)x[i];
        g.w_sum += (double)w[i];
        g.wx_sum += weighted;
        g.wxx_sum += weighted * (double)x[i];
    }
    return g;
}

/* The sums of trials at the codes that are nearest. */
static void try_all(const struct encoding *e, const struct group *g, struct trials *t)
{
    const struct quantize_ops *ops = isa_current()->quantize_ops;
    if (e->table)
        ops->try_values(g->x, g->w, g->n, e->table->values, e->table->count, t);
    else
        ops->try_codes(g->x, g->w, g->n, (float)e->low, (float)e->high, t);
}

/* The best of trials, each moved to the least-squares fit of its codes, if it is better than the one there is. */
static void keep_best_refit(const struct encoding *e, const struct group *g, struct trials *t, struct fit *best)
{
    static const enum refit refits[] = {
        [MIN_NONE] = REFIT_SCALE, [MIN_ANY] = REFIT_BOTH, [MIN_BELOW] = REFIT_BELOW};
    const struct quantize_ops *ops = isa_current()->quantize_ops;
    try_all(e, g, t);
    ops->refit_trials(g->w_sum, refits[e->min], t);
    size_t k = ops->best_trial(t);
    if ((double)t->rr[k] < best->error)
        *best = (struct fit){(double)t->scale[k], (double)t->offset[k], (double)t->rr[k], (double)t->qq[k]};
}

/* Trials that have the same magnitude of scale: with another offset, or of the other sign where the codes' ends
 * differ. */
static size_t trials_a_scale(const struct encoding *e)
{
    return e->min != MIN_NONE || -e->low != e->high ? 2 : 1;
}

/* Sets trial k's scale to 1 / (the largest magnitude over the scale): from about the end of the codes on, the more
 * beyond it the fewer codes there are. */
static void first_scales(const struct encoding *e, float scale[TRIALS])
{
    size_t same = trials_a_scale(e);
    double levels = -e->low > e->high ? -e->low : e->high;
    double first = levels - 0.6, last = levels + (levels < 16 ? 1.2 : 0.25) * sqrt(levels);
    first = first < 0.6 * levels ? 0.6 * levels : first;
    if (levels == 16) { /* few trials of a wide range, which the columns' importance may need */
        first = 15;
        last = 18;
    }
    if (e->table) {
        first = 0.9 * levels;
        last = 1.3 * levels;
    }
    for (size_t k = 0; k < TRIALS; k++)
        scale[k] = (float)(1 / (first + (last - first) * (double)(k / same) / (double)(TRIALS / same - 1)));
}

/* Of positive and negative scales, where the codes' ends differ. */
static struct fit fit_symmetric(const struct encoding *e, const struct group *g, const float *first, float largest)
{
    struct fit best = {0, 0, g->wxx_sum, 0};
    float codes = e->table ? (float)e->table->count / 2 : (float)e->high;
    bool sides = trials_a_scale(e) == 2;
    struct trials t = {0};
    for (size_t k = 0; k < TRIALS; k++)
        t.scale[k] = (sides && k % 2 ? -largest : largest) * first[k];
    keep_best_refit(e, g, &t, &best);
    float step = 0.4f / codes / TRIALS, around = (float)best.scale;
    if (e->scale_high > 0 || codes >= MANY_CODES) /* integers are searched widely; or what is left to win is little */
        return best;
    for (size_t k = 0; k < TRIALS; k++)
        t.scale[k] = around * (1 + step * ((float)k - TRIALS / 2));
    keep_best_refit(e, g, &t, &best);
    return best;
}

static struct fit fit_affine(const struct encoding *e, const struct group *g, const float *first, float min, float max)
{
    bool below = e->min == MIN_BELOW;
    min = below && min > 0 ? 0 : min;
    double low = (double)min;
    struct fit best = {0, low, g->wxx_sum - 2 * low * g->wx_sum + low * low * g->w_sum, 0};
    struct trials t;
    for (size_t k = 0; k < TRIALS; k++) {
        float scale = (max - min) * first[k];
        float offset = k % 2 ? min + (max - min - scale * (float)e->high) / 2 : min; /* the same spared at either end */
        t.scale[k] = scale;
        t.offset[k] = below && offset > 0 ? 0 : offset;
    }
    keep_best_refit(e, g, &t, &best);
    for (int round = 0; round < ROUNDS; round++) {
        float scale = (float)best.scale, around = (float)best.offset, step = 0.3f / (float)e->high;
        for (size_t k = 0; k < TRIALS; k++) {
            float offset = around - ((float)(k / 4) - 1.5f) * 0.3f * scale;
            t.scale[k] = scale * (1 - ((float)(k % 4) - 1.5f) * step);
            t.offset[k] = below && offset > 0 ? 0 : offset;
        }
        keep_best_refit(e, g, &t, &best);
    }
    return best;
}

static struct fit fit_group(const struct encoding *e, const struct group *g, const float *first)
{
    float min = INFINITY, max = -INFINITY;
    for (size_t i = 0; i < g->n; i++) {
        min = g->x[i] < min ? g->x[i] : min;
        max = g->x[i] > max ? g->x[i] : max;
    }
    if (min == 0 && max == 0)
        return (struct fit){0, 0, 0, 0};
    return e->min != MIN_NONE ? fit_affine(e, g, first, min, max) : fit_symmetric(e, g, first, -min > max ? -min : max);
}

/* ---- numbers that a file can hold ------------------------------------------------------------ */

static const float half_max = 65504;

static float as_half(double value)
{
    return fp16_decode(fp16_encode((float)fmin(fmax(value, -(double)half_max), (double)half_max)));
}

/* The nearest integer of low .. high, without a call. */
static inline int clamp(double value, int low, int high)
{
    const double magic = 0x1.8p52;
    return value <= low ? low : value >= high ? high : (int)((value + magic) - magic);
}

/* ---- any magnitude --------------------------------------------------------------------------- */

static float largest_of(const struct group *g)
{
    float largest = 0;
    for (size_t i = 0; i < g->n; i++)
        largest = fabsf(g->x[i]) > largest ? fabsf(g->x[i]) : largest;
    return largest;
}

/* A group's values times the power of two that is returned, lest squares overflow or vanish. */
static float divide(const struct group *g, float largest, float *x)
{
    int exponent;
    frexpf(largest, &exponent);
    float unit = ldexpf(1, exponent < -120 ? 120 : -exponent);
    for (size_t i = 0; i < g->n; i++)
        x[i] = g->x[i] * unit;
    return unit;
}

/* ---- groups whose scales are of a set -------------------------------------------------------- */

/* The first scale of a set that reaches a magnitude, or the last. */
static int scale_that_reaches(const struct encoding *e, float largest)
{
    int low = 0, high = e->scale_high;
    while (low < high) {
        int middle = (low + high) / 2;
        if (e->scale_at((uint8_t)middle) * (float)e->high < largest)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The number of the scale that leaves the least error: of the set's, ascending, some around the one that reaches the
 * largest magnitude. */
static int choose_of_set(const struct encoding *e, const struct group *g)
{
    float x[BLOCK_MAX], largest = largest_of(g), unit = divide(g, largest, x);
    if (largest == 0)
        return 0;
    struct group divided = {x, g->w, g->n, 0, 0, 0};
    struct trials t = {0};
    int first = scale_that_reaches(e, largest) - (TRIALS - 4);
    first = first < 0 ? 0 : first;
    for (int k = 0; k < TRIALS; k++)
        t.scale[k] = e->scale_at((uint8_t)clamp(first + k, 0, e->scale_high)) * unit;
    try_all(e, &divided, &t);
    return clamp(first + (int)isa_current()->quantize_ops->best_trial(&t), 0, e->scale_high);
}

/* ---- blocks that scale their groups' scales -------------------------------------------------- */

struct block {
    const struct encoding *e;
    struct group group[GROUPS_MAX];
    struct fit fit[GROUPS_MAX];
    size_t groups;
};

/* The factor whose multiples are nearest to the groups' scales, each by what its codes weigh. The largest scale, by
 * which all are divided here, is a multiple by about the integer that is farthest from 0. */
static double first_factor(const struct block *b)
{
    const struct encoding *e = b->e;
    double largest = 0;
    int farthest = -e->scale_low > e->scale_high ? e->scale_low : e->scale_high;
    for (size_t g = 0; g < b->groups; g++)
        largest = fabs(b->fit[g].scale) > fabs(largest) ? b->fit[g].scale : largest;
    if (largest == 0)
        return 0;
    float scale[GROUPS_MAX], weight[GROUPS_MAX];
    for (size_t g = 0; g < b->groups; g++) {
        scale[g] = (float)(b->fit[g].scale / largest);
        weight[g] = (float)b->fit[g].qq;
    }
    struct trials t = {0};
    for (int k = 0; k < TRIALS; k++)
        t.scale[k] = 1 / ((float)farthest * (1.06f - 0.5f * (float)k / TRIALS));
    const struct quantize_ops *ops = isa_current()->quantize_ops;
    ops->try_codes(scale, weight, b->groups, (float)e->scale_low, (float)e->scale_high, &t);
    return largest * (double)t.scale[ops->best_trial(&t)];
}

static double scale_of(const struct encoding *e, const struct fitted *f, size_t g)
{
    return e->scale_at ? (double)e->scale_at((uint8_t)f->scale[g]) : (double)f->factor * f->scale[g];
}

static double offset_of(const struct fitted *f, size_t g)
{
    return -(double)f->min_factor * f->min[g];
}

/* What factors are fitted to, of one group: sums of w q, w q^2 and w q x. */
struct chosen {
    double q, qq, xq;
};

/* Trial k of the integers of a group, beside those of its own fit: of scales alone, or of scales and minimums. */
static void integers_of_trial(const struct encoding *e, int scale, int min, int k, int *s, int *m)
{
    bool both = e->min != MIN_NONE;
    *s = clamp(both ? scale - 1 + k / 5 % 3 : scale - TRIALS / 2 + k, e->scale_low, e->scale_high);
    *m = both ? clamp(min - 2 + k % 5, 0, e->scale_high) : min;
}

/* The integers of a group whose codes leave the least error. */
static double choose_integers(const struct block *b, size_t g, struct fitted *f, struct chosen *chosen)
{
    const struct encoding *e = b->e;
    int scale = f->factor != 0 ? clamp(b->fit[g].scale / (double)f->factor, e->scale_low, e->scale_high) : 0;
    int min = f->min_factor > 0 ? clamp(-b->fit[g].offset / (double)f->min_factor, 0, e->scale_high) : 0;
    struct trials t;
    for (int k = 0; k < TRIALS; k++) {
        int s, m;
        integers_of_trial(e, scale, min, k, &s, &m);
        t.scale[k] = f->factor * (float)s;
        t.offset[k] = -f->min_factor * (float)m;
    }
    try_all(e, &b->group[g], &t);
    size_t best = isa_current()->quantize_ops->best_trial(&t);
    integers_of_trial(e, scale, min, (int)best, &f->scale[g], &f->min[g]);
    double q = (double)t.q[best], qq = (double)t.qq[best];
    double xq = (double)t.qr[best] + (double)t.scale[best] * qq + (double)t.offset[best] * q;
    *chosen = (struct chosen){q, qq, xq};
    return (double)t.rr[best];
}

/* The least-squares factors of the integers and codes that were chosen. */
static void refit_factors(const struct block *b, const struct chosen *sums, struct fitted *f)
{
    double ss = 0, st = 0, tt = 0, xs = 0, xt = 0;
    for (size_t g = 0; g < b->groups; g++) {
        double s = f->scale[g], t = f->min[g];
        ss += s * s * sums[g].qq;
        st += s * t * sums[g].q;
        tt += t * t * b->group[g].w_sum;
        xs += s * sums[g].xq;
        xt += t * b->group[g].wx_sum;
    }
    double det = ss * tt - st * st, factor = ss > 0 ? xs / ss : 0, min = 0;
    if (det > 1e-9 * ss * tt) {
        factor = (xs * tt - xt * st) / det;
        min = (xs * st - xt * ss) / det;
    }
    f->factor = as_half(factor);
    f->min_factor = as_half(fmax(min, 0));
}

static double choose_all(const struct block *b, struct fitted *f, struct chosen *sums)
{
    double error = 0;
    for (size_t g = 0; g < b->groups; g++)
        error += choose_integers(b, g, f, &sums[g]);
    return error;
}

static void fit_factors(const struct block *b, struct fitted *out)
{
    struct chosen sums[GROUPS_MAX];
    double below = 0;
    for (size_t g = 0; g < b->groups; g++)
        below = fmax(below, -b->fit[g].offset);
    struct fitted f = {.factor = as_half(first_factor(b)), .min_factor = as_half(below / b->e->scale_high)};
    double least = INFINITY;
    int rounds = b->e->high - b->e->low >= 2 * MANY_CODES ? ROUNDS - 1 : ROUNDS;
    for (int round = 0; round < rounds; round++) {
        double error = choose_all(b, &f, sums);
        if (!(error < least))
            break;
        least = error;
        *out = f;
        refit_factors(b, sums, &f);
    }
}

/* ---- codes ----------------------------------------------------------------------------------- */

/* From which on a value of a table is nearer than the one before it; of 15 beyond the last, none. */
struct middles {
    double after[15];
};

static struct middles middles_of(const struct value_table *t)
{
    struct middles m;
    for (size_t v = 0; v < 15; v++)
        m.after[v] = v + 1 < t->count ? ((double)t->values[v] + (double)t->values[v + 1]) / 2 : INFINITY;
    return m;
}

/* The number of the nearest value. */
static size_t nearest_of_table(const struct middles *m, double value)
{
    size_t i = 0;
    for (size_t v = 0; v < 15; v++)
        i += value > m->after[v];
    return i;
}

static double inverse_of(double scale)
{
    return scale != 0 && isfinite(1 / scale) ? 1 / scale : 0;
}

/* The nearest code of each value. */
static void choose_codes(const struct encoding *e, const float *x, size_t n, double scale, double offset,
                         uint8_t *codes)
{
    double inverse = inverse_of(scale);
    struct middles middles = {{0}};
    if (e->table)
        middles = middles_of(e->table);
    for (size_t i = 0; i < n; i++) {
        double value = ((double)x[i] - offset) * inverse;
        codes[i] = e->table ? e->table->codes[nearest_of_table(&middles, value)]
                            : (uint8_t)(clamp(value, e->low, e->high) - e->low);
    }
}

/* ---- scales of fp32 -------------------------------------------------------------------------- */

static double error_at(const struct value_table *t, const struct group *g, float scale)
{
    double inverse = inverse_of((double)scale), error = 0;
    struct middles middles = middles_of(t);
    for (size_t i = 0; i < g->n; i++) {
        float decoded = scale * t->values[nearest_of_table(&middles, (double)g->x[i] * inverse)];
        double miss = (double)g->x[i] - (double)decoded;
        error += (double)g->w[i] * miss * miss;
    }
    return error;
}

/* The scale that a search finds, or the largest magnitude, which is the type's definition, where that is as good. */
static float choose_float(const struct encoding *e, const struct group *g, const float *first)
{
    float x[BLOCK_MAX], largest = largest_of(g), unit = divide(g, largest, x);
    struct group divided = group_of(x, g->w, g->n);
    float scale = (float)fmin(fit_group(e, &divided, first).scale / (double)unit, (double)FLT_MAX);
    return error_at(e->table, g, scale) < error_at(e->table, g, largest) ? scale : largest;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static bool has_fp32_factor(enum dtype type)
{
    return dtypes[type].factor == FACTOR_FP32;
}

/* x and w: finite; first: of first_scales. */
static void encode_block(enum dtype type, const float *first, const float *x, const float *w, uint8_t *out,
                         struct fitted *f)
{
    const struct encoding *e = &encodings[type];
    size_t columns = dtypes[type].scale_columns;
    struct block b = {.e = e, .groups = dtypes[type].block / columns};
    *f = (struct fitted){0};
    for (size_t g = 0; g < b.groups; g++) {
        b.group[g] = group_of(x + g * columns, w + g * columns, columns);
        f->min[g] = 1;
        f->scale[g] = e->scale_at ? choose_of_set(e, &b.group[g]) : 1;
        if (!e->scale_at && !has_fp32_factor(type))
            b.fit[g] = fit_group(e, &b.group[g], first);
    }
    if (has_fp32_factor(type)) {
        f->factor = choose_float(e, &b.group[0], first);
    } else if (!e->scale_at && e->scale_high > 0) {
        fit_factors(&b, f);
    } else {
        f->factor = as_half(b.fit[0].scale);
        f->min_factor = as_half(-b.fit[0].offset);
    }
    for (size_t g = 0; g < b.groups; g++)
        choose_codes(e, x + g * columns, columns, scale_of(e, f, g), offset_of(f, g), f->codes + g * columns);
    e->put(f, out);
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Whether no scale of the block could be larger. */
static bool at_largest(enum dtype type, const struct fitted *f, size_t g)
{
    const struct encoding *e = &encodings[type];
    if (has_fp32_factor(type)) /* which reaches every value */
        return false;
    if (e->scale_at)
        return f->scale[g] == e->scale_high;
    return !(fabsf(f->factor) < half_max && fabsf(f->min_factor) < half_max);
}

/* Values beyond the ends of groups whose scales are as large as can be. */
static size_t count_beyond(enum dtype type, const struct fitted *f, const float *x)
{
    const struct encoding *e = &encodings[type];
    size_t count = 0;
    for (size_t i = 0; i < dtypes[type].block; i++) {
        size_t g = i / dtypes[type].scale_columns;
        if (!at_largest(type, f, g))
            continue;
        double a = scale_of(e, f, g) * e->low + offset_of(f, g), b = scale_of(e, f, g) * e->high + offset_of(f, g);
        count += isfinite(x[i]) && ((double)x[i] < 1.001 * fmin(a, b) || (double)x[i] > 1.001 * fmax(a, b));
    }
    return count;
}

/* Larger magnitudes count as this one: beyond what scales make, but with room for the sums of squares. */
static float reach_of(enum dtype type)
{
    const struct encoding *e = &encodings[type];
    if (has_fp32_factor(type))
        return FLT_MAX;
    float largest = e->scale_at ? e->scale_at((uint8_t)e->scale_high) * (float)e->high : 1e9f;
    return largest < 1e30f ? 4 * largest : FLT_MAX;
}

/* Importances of columns, 1 on average; where nothing is known of them, all are. */
static void weigh(const float *importance, size_t n, float *w)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += importance ? (double)importance[i] : 1;
    bool known = importance && sum > 0 && isfinite(sum);
    for (size_t i = 0; i < n; i++)
        w[i] = known ? (float)((double)importance[i] * (double)n / sum) : 1;
}

/* Values of a block that are finite, at most `reach`. */
static void read_block(const float *values, size_t n, float reach, float *x)
{
    for (size_t i = 0; i < n; i++) {
        float value = isfinite(values[i]) ? values[i] : 0;
        x[i] = value > reach ? reach : value < -reach ? -reach : value;
    }
}

/* Those beyond what a grid's block reaches, where it is a limit. */
static size_t count_beyond_grid(const float *values, float reach)
{
    size_t count = 0;
    for (size_t i = 0; reach > 0 && i < K_BLOCK; i++)
        count += isfinite(values[i]) && fabsf(values[i]) > 1.001f * reach;
    return count;
}

size_t encode_row(enum dtype type, const float *values, size_t n, const float *importance, uint8_t *out)
{
    bool grid = grid_types[type].put;
    size_t block = dtypes[type].block, beyond = 0;
    float x[BLOCK_MAX], w[BLOCK_MAX], first[TRIALS];
    if (!grid)
        first_scales(&encodings[type], first);
    for (size_t c = 0; c < n; c += block, out += dtypes[type].block_bytes) {
        struct fitted f;
        read_block(values + c, block, reach_of(type), x);
        weigh(importance ? importance + c : NULL, block, w);
        memset(out, 0, dtypes[type].block_bytes);
        if (grid) {
            beyond += count_beyond_grid(values + c, encode_grid_block(type, x, w, out));
            continue;
        }
        encode_block(type, first, x, w, out, &f);
        beyond += count_beyond(type, &f, values + c);
    }
    return beyond;
}

/* ---- on scales that are there ---------------------------------------------------------------- */

/* Of types without integers of their groups, these are 1. */
static struct fitted read_scales(const struct encoding *e, const uint8_t *block)
{
    struct fitted f = {0};
    for (size_t g = 0; g < GROUPS_MAX; g++)
        f.scale[g] = f.min[g] = 1;
    e->get(block, &f);
    return f;
}

static void scales_of_block(enum dtype type, const uint8_t *block, float *scale, float *offset)
{
    const struct encoding *e = &encodings[type];
    struct fitted f = read_scales(e, block);
    for (size_t g = 0; g < dtypes[type].block / dtypes[type].scale_columns; g++) {
        scale[g] = (float)scale_of(e, &f, g);
        offset[g] = (float)offset_of(&f, g);
    }
}

void block_scales(enum dtype type, const uint8_t *blocks, size_t n, float *scale, float *offset)
{
    size_t block = dtypes[type].block, groups = block / dtypes[type].scale_columns;
    for (size_t b = 0; b < n / block; b++) {
        const uint8_t *at = blocks + b * dtypes[type].block_bytes;
        if (grid_types[type].put)
            grid_block_scales(type, at, scale + b * groups, offset + b * groups);
        else
            scales_of_block(type, at, scale + b * groups, offset + b * groups);
    }
}

static void codes_of_block(enum dtype type, const float *x, uint8_t *block)
{
    const struct encoding *e = &encodings[type];
    size_t columns = dtypes[type].scale_columns;
    struct fitted f = read_scales(e, block);
    for (size_t g = 0; g < dtypes[type].block / columns; g++)
        choose_codes(e, x + g * columns, columns, scale_of(e, &f, g), offset_of(&f, g), f.codes + g * columns);
    memset(block, 0, dtypes[type].block_bytes);
    e->put(&f, block);
}

void encode_codes(enum dtype type, const float *values, size_t n, uint8_t *blocks)
{
    float w[BLOCK_MAX];
    weigh(NULL, BLOCK_MAX, w);
    for (size_t c = 0; c < n; c += dtypes[type].block, blocks += dtypes[type].block_bytes)
        if (grid_types[type].put)
            encode_grid_codes(type, values + c, w, blocks);
        else
            codes_of_block(type, values + c, blocks);
}

size_t code_columns(enum dtype type)
{
    return grid_types[type].put ? grid_unit_columns(type) : 1;
}

void round_columns(enum dtype type, const float *values, const float *importance, float scale, float offset, float *out)
{
    round_to_grid_unit(type, values, importance, scale, offset, out);
}

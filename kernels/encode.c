#include "encode_blocks.h"

#include "dispatch.h"

#include <math.h>
#include <string.h>

/* Candidates of a group's scale, of which many codes need fewer; those of a block's factor; rounds in which that and
 * the groups' integers follow each other. */
enum { TRIALS = 20, TRIALS_OF_MANY = 8, MANY_CODES = 32, FACTOR_TRIALS = 20, ROUNDS = 3 };

/* One group. */
struct group {
    const float *x, *w;   /* values and importances */
    size_t n;
    double w_sum, wx_sum, wxx_sum;
};

/* Weights scale * q + offset for the codes q of the group, and the squared error that is left. */
struct fit {
    double scale, offset, error;
    struct code_sums sums;
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

/* Sums over the codes that are nearest at a scale and an offset. */
static struct code_sums sums_at(const struct encoding *e, const struct group *g, double scale, double offset)
{
    struct code_sums sums = {0, 0, 0};
    const struct quantize_ops *ops = isa_current()->quantize_ops;
    float inverse = scale != 0 ? (float)(1 / scale) : 0;
    inverse = isfinite(inverse) ? inverse : 0;
    if (e->table)
        ops->fit_values(g->x, g->w, g->n, inverse, e->table->values, e->table->count, &sums);
    else
        ops->fit_codes(g->x, g->w, g->n, inverse, (float)offset, (float)e->low, (float)e->high, &sums);
    return sums;
}

/* What is left of the error with those codes. */
static double error_of(const struct group *g, const struct code_sums *s, double scale, double offset)
{
    return g->wxx_sum - 2 * scale * s->xq - 2 * offset * g->wx_sum + scale * scale * s->qq +
           2 * scale * offset * s->q + offset * offset * g->w_sum;
}

/* The least-squares fit of the codes that are nearest at a scale and an offset. */
static struct fit refit(const struct encoding *e, const struct group *g, double scale, double offset)
{
    struct fit f = {scale, offset, 0, sums_at(e, g, scale, offset)};
    const struct code_sums *s = &f.sums;
    double det = s->qq * g->w_sum - s->q * s->q;
    if (e->min != MIN_NONE && det > 1e-9 * s->qq * g->w_sum) {
        f.scale = (s->xq * g->w_sum - s->q * g->wx_sum) / det;
        f.offset = (s->qq * g->wx_sum - s->q * s->xq) / det;
    }
    if (e->min == MIN_NONE || (e->min == MIN_BELOW && f.offset > 0)) {
        f.scale = s->qq > 0 ? s->xq / s->qq : 0;
        f.offset = 0;
    }
    if (e->min == MIN_BELOW && f.scale < 0)
        f.scale = 0;
    f.error = error_of(g, s, f.scale, f.offset);
    return f;
}

static void keep_better(struct fit *best, struct fit f)
{
    if (f.error < best->error)
        *best = f;
}

/* The largest magnitude over the scale: from about the end of the codes on, the more beyond it the fewer codes there
 * are. */
static double trial_end(double levels, int trial, int trials)
{
    double first = levels - 0.6, last = levels + (trials == TRIALS ? 1.2 : 0.25) * sqrt(levels);
    first = first < 0.6 * levels ? 0.6 * levels : first;
    return first + (last - first) * trial / (trials - 1);
}

static int trials_of(const struct encoding *e)
{
    return !e->table && e->high - e->low + 1 >= MANY_CODES ? TRIALS_OF_MANY : TRIALS;
}

static struct fit fit_symmetric(const struct encoding *e, const struct group *g, double largest)
{
    struct fit best = {0, 0, g->wxx_sum, {0, 0, 0}};
    double levels = -e->low > e->high ? -e->low : e->high;
    int trials = trials_of(e);
    for (int trial = 0; trial < trials; trial++) {
        double scale = largest / trial_end(levels, trial, trials);
        keep_better(&best, refit(e, g, scale, 0));
        if (-e->low != e->high)
            keep_better(&best, refit(e, g, -scale, 0));
    }
    return best;
}

static struct fit fit_affine(const struct encoding *e, const struct group *g, double min, double max)
{
    min = e->min == MIN_BELOW && min > 0 ? 0 : min;
    struct fit best = {0, min, error_of(g, &(struct code_sums){0, 0, 0}, 0, min), {0, 0, 0}};
    int trials = trials_of(e);
    for (int trial = 0; trial < trials; trial++) {
        double scale = (max - min) / trial_end((double)e->high, trial, trials);
        keep_better(&best, refit(e, g, scale, min));
        double spared = (max - min - scale * e->high) / 2; /* at either end */
        keep_better(&best, refit(e, g, scale, fmin(min + spared, e->min == MIN_BELOW ? 0 : INFINITY)));
    }
    return best;
}

/* Where no other code would be nearer, nothing changes any more. */
static struct fit fit_group(const struct encoding *e, const struct group *g)
{
    double min = INFINITY, max = -INFINITY;
    for (size_t i = 0; i < g->n; i++) {
        min = fmin(min, (double)g->x[i]);
        max = fmax(max, (double)g->x[i]);
    }
    if (min == 0 && max == 0)
        return (struct fit){0, 0, 0, {0, 0, 0}};
    struct fit f = e->min != MIN_NONE ? fit_affine(e, g, min, max) : fit_symmetric(e, g, fmax(-min, max));
    for (int round = 0; round < ROUNDS; round++)
        keep_better(&f, refit(e, g, f.scale, f.offset));
    return f;
}

/* ---- numbers that a file can hold ------------------------------------------------------------ */

static const float half_max = 65504;

static float as_half(double value)
{
    return fp16_decode(fp16_encode((float)fmin(fmax(value, -(double)half_max), (double)half_max)));
}

static int clamp(double value, int low, int high)
{
    return value <= low ? low : value >= high ? high : (int)nearbyint(value);
}

/* ---- blocks whose factor is a group's scale -------------------------------------------------- */

static void round_scale(const struct encoding *e, const struct group *g, struct fit *f, struct fitted *out)
{
    if (!e->power_of_two) {
        out->factor = as_half(f->scale);
        out->min_factor = as_half(-f->offset);
        return;
    }
    double best = INFINITY;
    int exponent;
    frexp(fabs(f->scale), &exponent);
    for (int k = exponent - 2; k <= exponent + 1 && f->scale != 0; k++) {
        double scale = ldexp(1, k < -126 ? -126 : k > 126 ? 126 : k);
        struct code_sums sums = sums_at(e, g, scale, 0);
        double error = error_of(g, &sums, scale, 0);
        if (error < best) {
            best = error;
            out->factor = (float)scale;
        }
    }
}

/* ---- blocks that scale their groups' scales -------------------------------------------------- */

struct block {
    const struct encoding *e;
    struct group group[GROUPS_MAX];
    struct fit fit[GROUPS_MAX];
    size_t groups;
};

/* The factor whose multiples are nearest to the groups' scales, each by what its codes weigh. */
static double first_factor(const struct block *b)
{
    const struct encoding *e = b->e;
    double largest = 0, best = 0, least = INFINITY;
    for (size_t g = 0; g < b->groups; g++)
        largest = fmax(largest, fabs(b->fit[g].scale));
    for (int side = 0; side < (e->scale_low < 0 ? 2 : 1); side++)
        for (int trial = 0; trial < FACTOR_TRIALS && largest > 0; trial++) {
            double end = e->scale_high * (1.06 - 0.5 * trial / FACTOR_TRIALS);
            double factor = (side ? -largest : largest) / end;
            double error = 0;
            for (size_t g = 0; g < b->groups; g++) {
                double scale = b->fit[g].scale;
                double miss = scale - factor * clamp(scale / factor, e->scale_low, e->scale_high);
                error += b->fit[g].sums.qq * miss * miss;
            }
            if (error < least) {
                least = error;
                best = factor;
            }
        }
    return best;
}

static double scale_of(const struct fitted *f, size_t g)
{
    return (double)f->factor * f->scale[g];
}

static double offset_of(const struct fitted *f, size_t g)
{
    return -(double)f->min_factor * f->min[g];
}

/* The integers of a group whose codes leave the least error, among those beside the ones of its own fit. */
static double choose_integers(const struct block *b, size_t g, struct fitted *f, struct code_sums *sums)
{
    const struct encoding *e = b->e;
    double best = INFINITY;
    int scale0 = f->factor != 0 ? clamp(b->fit[g].scale / (double)f->factor, e->scale_low, e->scale_high) : 0;
    int min0 = f->min_factor > 0 ? clamp(-b->fit[g].offset / (double)f->min_factor, 0, e->scale_high) : 0;
    struct fitted t = *f;
    for (int s = scale0 - 1; s <= scale0 + 1; s++)
        for (int m = min0 - 1; m <= min0 + 1; m++) {
            bool held = s >= e->scale_low && s <= e->scale_high && m >= 0 && m <= e->scale_high;
            if (!held || (m != min0 && e->min == MIN_NONE))
                continue;
            t.scale[g] = s;
            t.min[g] = m;
            struct code_sums found = sums_at(e, &b->group[g], scale_of(&t, g), offset_of(&t, g));
            double error = error_of(&b->group[g], &found, scale_of(&t, g), offset_of(&t, g));
            if (error < best) {
                best = error;
                *sums = found;
                f->scale[g] = s;
                f->min[g] = m;
            }
        }
    return best;
}

/* The least-squares factors of the integers and codes that were chosen. */
static void refit_factors(const struct block *b, const struct code_sums *sums, struct fitted *f)
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

static double choose_all(const struct block *b, struct fitted *f, struct code_sums *sums)
{
    double error = 0;
    for (size_t g = 0; g < b->groups; g++)
        error += choose_integers(b, g, f, &sums[g]);
    return error;
}

static void fit_factors(const struct block *b, struct fitted *out)
{
    struct code_sums sums[GROUPS_MAX];
    double below = 0;
    for (size_t g = 0; g < b->groups; g++)
        below = fmax(below, -b->fit[g].offset);
    struct fitted f = {.factor = as_half(first_factor(b)), .min_factor = as_half(below / b->e->scale_high)};
    double least = INFINITY;
    for (int round = 0; round < ROUNDS; round++) {
        double error = choose_all(b, &f, sums);
        if (!(error < least))
            break;
        least = error;
        *out = f;
        refit_factors(b, sums, &f);
    }
}

/* ---- codes ----------------------------------------------------------------------------------- */

static uint8_t table_code(const struct value_table *t, double value)
{
    size_t i = 0;
    while (i + 1 < t->count && value > (t->values[i] + t->values[i + 1]) / 2.0)
        i++;
    return t->codes[i];
}

/* The nearest code of each value. */
static void choose_codes(const struct encoding *e, const float *x, size_t n, double scale, double offset,
                         uint8_t *codes)
{
    double inverse = scale != 0 && isfinite(1 / scale) ? 1 / scale : 0;
    for (size_t i = 0; i < n; i++) {
        double value = ((double)x[i] - offset) * inverse;
        codes[i] = e->table ? table_code(e->table, value) : (uint8_t)(clamp(value, e->low, e->high) - e->low);
    }
}

/* x and w: finite. */
static void encode_block(enum dtype type, const float *x, const float *w, uint8_t *out, struct fitted *f)
{
    const struct encoding *e = &encodings[type];
    size_t columns = dtypes[type].scale_columns;
    struct block b = {.e = e, .groups = dtypes[type].block / columns};
    bool scaled = e->scale_high > 0;
    *f = (struct fitted){0};
    for (size_t g = 0; g < b.groups; g++) {
        b.group[g] = group_of(x + g * columns, w + g * columns, columns);
        b.fit[g] = fit_group(e, &b.group[g]);
        f->scale[g] = f->min[g] = 1;
    }
    if (scaled)
        fit_factors(&b, f);
    else
        round_scale(e, &b.group[0], &b.fit[0], f);
    for (size_t g = 0; g < b.groups; g++)
        choose_codes(e, x + g * columns, columns, scale_of(f, g), offset_of(f, g), f->codes + g * columns);
    e->put(f, out);
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Values beyond the ends of a block whose factor is as large as can be. */
static size_t count_beyond(enum dtype type, const struct fitted *f, const float *x)
{
    const struct encoding *e = &encodings[type];
    size_t count = 0;
    if (e->power_of_two || (fabsf(f->factor) < half_max && fabsf(f->min_factor) < half_max))
        return 0;
    for (size_t i = 0; i < dtypes[type].block; i++) {
        size_t g = i / dtypes[type].scale_columns;
        double low = scale_of(f, g) * e->low + offset_of(f, g), high = scale_of(f, g) * e->high + offset_of(f, g);
        count += isfinite(x[i]) && ((double)x[i] < 1.001 * fmin(low, high) || (double)x[i] > 1.001 * fmax(low, high));
    }
    return count;
}

/* Beyond what the largest fp16 factor and integers make; and what sums of codes times values have room for. */
static const float half_reach = 1e9f, float_reach = 1e36f;

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

size_t encode_row(enum dtype type, const float *values, size_t n, const float *importance, uint8_t *out)
{
    const struct encoding *e = &encodings[type];
    size_t block = dtypes[type].block, beyond = 0;
    float x[BLOCK_MAX], w[BLOCK_MAX];
    for (size_t c = 0; c < n; c += block, out += dtypes[type].block_bytes) {
        struct fitted f;
        float reach = e->power_of_two ? float_reach : half_reach;
        for (size_t i = 0; i < block; i++)
            x[i] = isfinite(values[c + i]) ? fminf(fmaxf(values[c + i], -reach), reach) : 0;
        weigh(importance ? importance + c : NULL, block, w);
        memset(out, 0, dtypes[type].block_bytes);
        encode_block(type, x, w, out, &f);
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

void block_scales(enum dtype type, const uint8_t *blocks, size_t n, float *scale, float *offset)
{
    const struct encoding *e = &encodings[type];
    size_t block = dtypes[type].block, groups = block / dtypes[type].scale_columns;
    for (size_t b = 0; b < n / block; b++) {
        struct fitted f = read_scales(e, blocks + b * dtypes[type].block_bytes);
        for (size_t g = 0; g < groups; g++) {
            scale[b * groups + g] = (float)scale_of(&f, g);
            offset[b * groups + g] = (float)offset_of(&f, g);
        }
    }
}

void encode_codes(enum dtype type, const float *values, size_t n, uint8_t *blocks)
{
    const struct encoding *e = &encodings[type];
    size_t block = dtypes[type].block, bytes = dtypes[type].block_bytes, columns = dtypes[type].scale_columns;
    for (size_t c = 0; c < n; c += block, blocks += bytes) {
        struct fitted f = read_scales(e, blocks);
        for (size_t g = 0; g < block / columns; g++)
            choose_codes(e, values + c + g * columns, columns, scale_of(&f, g), offset_of(&f, g),
                         f.codes + g * columns);
        memset(blocks, 0, bytes);
        e->put(&f, blocks);
    }
}

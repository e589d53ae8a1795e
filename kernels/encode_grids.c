#include "encode_grids.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

/* ---- the nearest entry ----------------------------------------------------------------------- */

/* Digits are places of codes among a grid's values. A quarter of an entry is one digit of 8 or two of 3, which is a
 * number below 8 or 9. */
enum { DIGITS = 8, QUARTERS = 9, THIRDS = QUARTERS * QUARTERS * QUARTERS, ENTRIES_MAX = 2048, QUARTER_STRIDE = 16 };

/* A grid's entries, ordered by their first three quarters. */
struct search {
    size_t quarters;              /* 8 or 9 */
    uint16_t begin[THIRDS + 1];   /* of each three: its entries */
    uint8_t last[ENTRIES_MAX];    /* their fourth quarters */
    uint16_t number[ENTRIES_MAX];
};

static struct search searches[DTYPE_ALL];

static int8_t code_at(const struct grid_type *t, size_t number, size_t k)
{
    return (int8_t)(t->fours ? t->fours[number] >> 8 * k : t->eights[number] >> 8 * k);
}

static size_t digit_at(const struct grid_type *t, size_t number, size_t k)
{
    int code = code_at(t, number, k);
    return (size_t)(t->shift ? code / t->step + 1 : code / t->step);
}

static size_t quarter_at(const struct grid_type *t, size_t number, size_t quarter)
{
    if (t->length == 4)
        return digit_at(t, number, quarter);
    return digit_at(t, number, 2 * quarter) * 3 + digit_at(t, number, 2 * quarter + 1);
}

static size_t first_three(const struct grid_type *t, size_t number, size_t quarters)
{
    return (quarter_at(t, number, 0) * quarters + quarter_at(t, number, 1)) * quarters + quarter_at(t, number, 2);
}

/* Counts, then places. */
static void order_entries(const struct grid_type *t, struct search *s)
{
    uint16_t next[THIRDS + 1] = {0};
    s->quarters = t->length == 4 ? 8 : 9;
    for (size_t n = 0; n < t->count; n++)
        next[first_three(t, n, s->quarters) + 1]++;
    for (size_t h = 0; h < THIRDS; h++)
        next[h + 1] = (uint16_t)(next[h + 1] + next[h]);
    memcpy(s->begin, next, sizeof next);
    for (size_t n = 0; n < t->count; n++) {
        size_t at = next[first_three(t, n, s->quarters)]++;
        s->number[at] = (uint16_t)n;
        s->last[at] = (uint8_t)quarter_at(t, n, 3);
    }
}

static void order_all(void)
{
    for (size_t t = 0; t < DTYPE_ALL; t++)
        if (grid_types[t].put)
            order_entries(&grid_types[t], &searches[t]);
}

/* Costs of each quarter's codes; `least` of each quarter, and where. */
struct costs {
    float of[4][QUARTER_STRIDE], least[4];
    size_t at[4];
};

static void find_least(struct costs *c, size_t quarters)
{
    for (size_t i = 0; i < 4; i++) {
        c->at[i] = 0;
        for (size_t k = 1; k < quarters; k++)
            c->at[i] = c->of[i][k] < c->of[i][c->at[i]] ? k : c->at[i];
        c->least[i] = c->of[i][c->at[i]];
    }
}

/* Goes through the entries that begin with quarters i and j, but for those that cannot be cheaper than the best. */
static inline void scan_half(const struct search *s, const struct costs *c, size_t i, size_t j, float *best,
                             size_t *found)
{
    float two = c->of[0][i] + c->of[1][j];
    const uint16_t *begin = s->begin + (i * s->quarters + j) * s->quarters;
    for (size_t k = 0; k < s->quarters; k++) {
        float three = two + c->of[2][k];
        if (!(three + c->least[3] < *best))
            continue;
        for (size_t e = begin[k]; e < begin[k + 1]; e++)
            if (three + c->of[3][s->last[e]] < *best) {
                *best = three + c->of[3][s->last[e]];
                *found = e;
            }
    }
}

/* The entry of the least cost: first those whose first half is the cheapest, then each half that could have a cheaper
 * one. */
static float find_entry(const struct search *s, struct costs *c, size_t *number)
{
    float best = INFINITY;
    size_t found = 0, n = s->quarters;
    find_least(c, n);
    float rest = c->least[2] + c->least[3];
    scan_half(s, c, c->at[0], c->at[1], &best, &found);
    for (size_t i = 0; i < n; i++) {
        if (!(c->of[0][i] + c->least[1] + rest < best))
            continue;
        for (size_t j = 0; j < n; j++)
            if (c->of[0][i] + c->of[1][j] + rest < best)
                scan_half(s, c, i, j, &best, &found);
    }
    *number = s->number[found];
    return best;
}

/* Of one entry's columns: half of its squared error over the scale, less what no code changes; wx is of values times
 * importances. */
static float nearest_entry(const struct grid_type *t, const struct search *s, const float *w, const float *wx,
                           float scale, float shift, size_t *number)
{
    struct costs c;
    float cost[DIGITS][UNIT_MAX];
    size_t digits = t->length == 4 ? 8 : 3;
    for (size_t d = 0; d < digits; d++) {
        float value = t->values[d] + shift, square = scale / 2 * value * value;
        for (size_t i = 0; i < t->length; i++)
            cost[d][i] = square * w[i] - value * wx[i];
    }
    if (t->length == 4) {
        for (size_t i = 0; i < 4; i++)
            for (size_t d = 0; d < QUARTER_STRIDE; d++)
                c.of[i][d] = d < 8 ? cost[d][i] : 0;
    } else {
        for (size_t i = 0; i < 4; i++)
            for (size_t k = 0; k < QUARTER_STRIDE; k++)
                c.of[i][k] = k < 9 ? cost[k / 3][2 * i] + cost[k % 3][2 * i + 1] : 0;
    }
    return find_entry(s, &c, number);
}

/* ---- groups ---------------------------------------------------------------------------------- */

/* Columns of one scale. */
struct group {
    const struct grid_type *type;
    const struct search *search;
    const float *w;
    float wx[32];                /* of magnitudes, negative where a sign is against its value; signed with a shift */
    size_t n, units;             /* columns; runs of 8 */
    uint8_t minus[4], flipped[4]; /* of a unit: signs; the column whose sign is not its value's, or 8 */
};

/* What was chosen for a group. */
struct choice {
    double error;     /* less the sum of w x^2 */
    double vv, xv;    /* sums of w v^2 and w x v over the codes v */
    uint16_t entry[8];
    bool down[4];
    uint8_t minus[4];
};

/* The column with the least weight on its sign, but for those in `not`. */
static size_t least_sign(const float *w, const float *x, unsigned not)
{
    size_t best = 8;
    for (size_t i = 0; i < 8; i++)
        if (!(not >> i & 1) && (best == 8 || w[i] * fabsf(x[i]) < w[best] * fabsf(x[best])))
            best = i;
    return best;
}

static struct group group_of(enum dtype type, const float *x, const float *w, size_t n)
{
    struct group g = {.type = &grid_types[type], .search = &searches[type], .w = w, .n = n, .units = n / 8};
    for (size_t u = 0; u < g.units; u++) {
        const float *xu = x + 8 * u, *wu = w + 8 * u;
        unsigned minus = 0;
        for (size_t i = 0; i < 8 && !g.type->shift; i++)
            minus |= (unsigned)(xu[i] < 0) << i;
        g.flipped[u] = (uint8_t)(g.type->parity && __builtin_parity(minus) ? least_sign(wu, xu, 0) : 8);
        minus ^= g.flipped[u] < 8 ? 1u << g.flipped[u] : 0;
        for (size_t i = 0; i < 8; i++)
            g.wx[8 * u + i] = wu[i] * (minus >> i & 1 ? -xu[i] : xu[i]);
        g.minus[u] = (uint8_t)minus;
    }
    return g;
}

/* Adds the sums of an entry's codes. */
static void add_sums(const struct group *g, size_t column, size_t number, float shift, struct choice *c)
{
    for (size_t k = 0; k < g->type->length; k++) {
        double v = (double)((float)code_at(g->type, number, k) + shift);
        c->vv += (double)g->w[column + k] * v * v;
        c->xv += (double)g->wx[column + k] * v;
    }
}

/* The entries of unit u at a scale and a shift: their cost. */
static float choose_unit(const struct group *g, size_t u, float scale, float shift, uint16_t entry[2])
{
    float cost = 0;
    size_t entries = 8 / g->type->length;
    for (size_t i = 0; i < entries; i++) {
        size_t number, column = 8 * u + i * g->type->length;
        cost += nearest_entry(g->type, g->search, g->w + column, g->wx + column, scale, shift, &number);
        entry[i] = (uint16_t)number;
    }
    return cost;
}

/* The units of one shift, or each of its better one. */
static struct choice choose_shifted(const struct group *g, float scale, bool down, bool either)
{
    struct choice c = {0};
    size_t entries = 8 / g->type->length;
    float up = g->type->shift ? 1 : 0;
    for (size_t u = 0; u < g->units; u++) {
        uint16_t other[2];
        uint16_t *entry = c.entry + u * entries;
        c.minus[u] = g->minus[u];
        c.down[u] = down;
        float cost = choose_unit(g, u, scale, down ? -up : up, entry);
        if (either && choose_unit(g, u, scale, -up, other) < cost) {
            entry[0] = other[0];
            c.down[u] = true;
        }
        for (size_t i = 0; i < entries; i++)
            add_sums(g, 8 * u + i * g->type->length, entry[i], c.down[u] ? -up : up, &c);
    }
    c.error = (double)scale * ((double)scale * c.vv - 2 * c.xv);
    return c;
}

static struct choice choose_group(const struct group *g, float scale)
{
    struct choice c = choose_shifted(g, scale, false, g->type->shift == SHIFT_UNIT);
    if (g->type->shift == SHIFT_GROUP) {
        struct choice other = choose_shifted(g, scale, true, false);
        return other.error < c.error ? other : c;
    }
    return c;
}

/* What the scale that fits the codes best would leave of the error. */
static double refit_error(const struct choice *c)
{
    return c->vv > 0 && c->xv > 0 ? -c->xv * c->xv / c->vv : 0;
}

enum { TRIALS = 3, SHIFTED_TRIALS = 2 };

/* The scale of the least error, not yet a multiple of anything, and the sum of w v^2 at it. */
static double fit_group(const struct group *g, const float *x, double *vv)
{
    const struct grid_type *t = g->type;
    float size = 0, sum = 0;
    for (size_t i = 0; i < g->n; i++) {
        float magnitude = fabsf(x[i]);
        sum += t->shift ? g->w[i] : 0;
        size = t->shift ? size + g->w[i] * magnitude : magnitude > size ? magnitude : size;
    }
    size = t->shift && sum > 0 ? size / sum : size;
    double best = 0, scale = 0;
    *vv = 0;
    int trials = t->shift ? SHIFTED_TRIALS : TRIALS;
    for (int k = 0; k < trials && size > 0; k++) {
        float trial = size / (t->first + (t->last - t->first) * (float)k / (float)(trials - 1));
        struct choice c = choose_group(g, trial);
        if (refit_error(&c) < best) {
            best = refit_error(&c);
            scale = c.xv / c.vv;
            *vv = c.vv;
        }
    }
    return scale;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

enum { FACTOR_TRIALS = 24 };

struct block {
    const struct grid_type *type;
    size_t groups;
    struct group group[GRID_GROUPS_MAX];
    struct choice choice[GRID_GROUPS_MAX];
    double scale[GRID_GROUPS_MAX], vv[GRID_GROUPS_MAX];
};

/* The integer whose odd number times factor is nearest. */
static int nearest_odd(double ratio, int high)
{
    double half = (ratio - 1) / 2;
    return half <= 0 ? 0 : half >= high ? high : (int)(half + 0.5);
}

static double first_factor(const struct block *b)
{
    double largest = 0, best = 0, least = INFINITY;
    int high = b->type->scale_high;
    for (size_t g = 0; g < b->groups; g++)
        largest = b->scale[g] > largest ? b->scale[g] : largest;
    for (int trial = 0; trial < FACTOR_TRIALS && largest > 0; trial++) {
        double factor = largest / ((2 * high + 1) * (1.06 - 0.6 * trial / FACTOR_TRIALS)), error = 0;
        for (size_t g = 0; g < b->groups; g++) {
            double miss = b->scale[g] - factor * (2 * nearest_odd(b->scale[g] / factor, high) + 1);
            error += b->vv[g] * miss * miss;
        }
        if (error < least) {
            least = error;
            best = factor;
        }
    }
    return best;
}

/* As fp16 has it, in units; at most the largest. */
static float factor_of(const struct grid_type *t, double scale)
{
    double factor = scale / (double)t->unit;
    return fp16_decode(fp16_encode(factor < 65504 ? (float)factor : 65504));
}

static float group_scale(const struct grid_type *t, const struct grid_fitted *f, int scale)
{
    return f->factor * t->unit * (float)(2 * scale + 1);
}

/* Of the two integers on either side of the groups' own scales, those that leave less error. */
static double choose_integers(struct block *b, struct grid_fitted *f)
{
    double error = 0;
    for (size_t g = 0; g < b->groups; g++) {
        double unit = (double)group_scale(b->type, f, 0), ratio = unit > 0 ? (b->scale[g] / unit - 1) / 2 : 0;
        int high = b->type->scale_high, below = ratio <= 0 ? 0 : ratio >= high ? high : (int)ratio;
        struct choice c = choose_group(&b->group[g], group_scale(b->type, f, below));
        f->scale[g] = below;
        b->choice[g] = c;
        if (ratio > below && below < high) {
            c = choose_group(&b->group[g], group_scale(b->type, f, below + 1));
            f->scale[g] += c.error < b->choice[g].error;
            b->choice[g] = c.error < b->choice[g].error ? c : b->choice[g];
        }
        error += b->choice[g].error;
    }
    return error;
}

/* Of the same integers with another factor. */
static double choose_entries(struct block *b, const struct grid_fitted *f)
{
    double error = 0;
    for (size_t g = 0; g < b->groups; g++) {
        b->choice[g] = choose_group(&b->group[g], group_scale(b->type, f, f->scale[g]));
        error += b->choice[g].error;
    }
    return error;
}

static float refit_factor(const struct block *b, const struct grid_fitted *f)
{
    double vv = 0, xv = 0;
    for (size_t g = 0; g < b->groups; g++) {
        double odd = 2 * f->scale[g] + 1;
        vv += odd * odd * b->choice[g].vv;
        xv += odd * b->choice[g].xv;
    }
    return factor_of(b->type, vv > 0 && xv > 0 ? xv / vv : 0);
}

static void keep_choices(const struct block *b, struct grid_fitted *f)
{
    for (size_t g = 0, u = 0; g < b->groups; g++)
        for (size_t k = 0; k < b->group[g].units; k++, u++) {
            size_t entries = 8 / b->type->length;
            for (size_t i = 0; i < entries; i++)
                f->entry[u * entries + i] = b->choice[g].entry[k * entries + i];
            f->minus[u] = b->choice[g].minus[k];
            f->down[u] = b->choice[g].down[k];
        }
}

/* Threads may be the first to ask. */
static void order_once(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, order_all);
}

static struct block block_of(enum dtype type, const float *x, const float *w)
{
    order_once();
    size_t columns = dtypes[type].scale_columns;
    struct block b = {.type = &grid_types[type], .groups = K_BLOCK / columns};
    for (size_t g = 0; g < b.groups; g++)
        b.group[g] = group_of(type, x + g * columns, w + g * columns, columns);
    return b;
}

float encode_grid_block(enum dtype type, const float *x, const float *w, uint8_t *out)
{
    struct block b = block_of(type, x, w);
    struct grid_fitted f = {0}, best = {0};
    for (size_t g = 0; g < b.groups; g++)
        b.scale[g] = fit_group(&b.group[g], x + g * b.group[g].n, &b.vv[g]);
    f.factor = factor_of(b.type, first_factor(&b));
    double error = choose_integers(&b, &f);
    keep_choices(&b, &f);
    best = f;
    f.factor = refit_factor(&b, &f);
    if (choose_entries(&b, &f) < error) {
        keep_choices(&b, &f);
        best = f;
    }
    b.type->put(&best, out);
    float last = b.type->values[b.type->length == 4 ? 7 : 2];
    return best.factor < 65504 ? 0 : group_scale(b.type, &best, b.type->scale_high) * last;
}

/* ---- on scales that are there ---------------------------------------------------------------- */

void encode_grid_codes(enum dtype type, const float *x, const float *w, uint8_t *block)
{
    struct block b = block_of(type, x, w);
    struct grid_fitted f = {0};
    b.type->get(block, &f);
    for (size_t g = 0; g < b.groups; g++) {
        bool group_shift = b.type->shift == SHIFT_GROUP, down = f.down[g * b.group[g].units];
        float scale = group_scale(b.type, &f, f.scale[g]);
        b.choice[g] = group_shift ? choose_shifted(&b.group[g], scale, down, false) : choose_group(&b.group[g], scale);
    }
    keep_choices(&b, &f);
    memset(block, 0, dtypes[type].block_bytes);
    b.type->put(&f, block);
}

size_t grid_unit_columns(enum dtype type)
{
    return grid_types[type].length == 8 || grid_types[type].parity ? 8 : 4;
}

void round_to_grid_unit(enum dtype type, const float *x, const float *w, float scale, float offset, float *out)
{
    const struct grid_type *t = &grid_types[type];
    float eight[UNIT_MAX] = {0}, weight[UNIT_MAX] = {0};
    size_t n = grid_unit_columns(type);
    order_once();
    memcpy(eight, x, n * sizeof *x);
    memcpy(weight, w, n * sizeof *w);
    struct group g = group_of(type, eight, weight, 8);
    bool fixed = t->shift == SHIFT_GROUP;
    struct choice c = fixed ? choose_shifted(&g, scale, offset < 0, false) : choose_group(&g, scale);
    for (size_t i = 0; i < n; i++) {
        float shift = t->shift ? (c.down[0] ? -1.0f : 1.0f) : 0;
        float code = (float)code_at(t, c.entry[i / t->length], i % t->length) + shift;
        out[i] = scale * (c.minus[0] >> i & 1 ? -code : code);
    }
}

void grid_block_scales(enum dtype type, const uint8_t *block, float *scale, float *offset)
{
    const struct grid_type *t = &grid_types[type];
    struct grid_fitted f = {0};
    size_t columns = dtypes[type].scale_columns;
    t->get(block, &f);
    for (size_t g = 0; g < K_BLOCK / columns; g++) {
        scale[g] = group_scale(t, &f, f.scale[g]);
        offset[g] = t->shift == SHIFT_GROUP ? f.down[g * columns / 8] ? -scale[g] : scale[g] : 0;
    }
}

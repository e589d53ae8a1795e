#include "gptq.h"

#include "kernels/ops.h"
#include "calibrated.h"
#include "engine/weights.h"
#include "imatrix.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 128, ROWS = TILE_F32, TOGETHER_MAX = 8 };

_Static_assert((int)TILE_F32 == (int)PANEL_ROWS, "a panel of rows is a panel of a tile");

bool gptq_open(struct gptq *g, const struct qmatrix *m, const struct factor *f, struct error *error)
{
    size_t rows = qmatrix_panels(m) * ROWS, stride = tiled_stride(m->cols);
    size_t group = qmatrix_is_blocks(m) ? dtypes[m->format.weight].scale_columns : m->group;
    size_t groups = qmatrix_is_blocks(m) ? m->cols / group : m->groups, grids = rows * groups;
    *g = (struct gptq){.m = m, .f = f, .rows = rows, .panels = rows / ROWS, .stride = stride, .group = group,
                       .groups = groups, .together = code_columns(m->format.weight)};
    const struct {
        float **at;
        size_t floats;
    } parts[] = {
        {&g->w, rows * stride},  {&g->target, rows * stride},  {&g->nearest, rows * stride},
        {&g->scale, grids},      {&g->low, grids},             {&g->high, grids},   {&g->offset, grids},
        {&g->of_row, 2 * groups},
        {&g->errors, rows * BLOCK}, {&g->nearest_errors, rows * BLOCK},
        {&g->block, BLOCK * BLOCK}, {&g->ahead, stride * BLOCK},
        {&g->decoded, g->together > 1 ? rows * stride : 1},
    };
    bool ok = true;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        ok &= (*parts[i].at = calloc(parts[i].floats, sizeof(float))) != NULL;
    g->error = calloc(rows, sizeof *g->error);
    g->nearest_error = calloc(rows, sizeof *g->nearest_error);
    g->nonfinite = calloc(rows, sizeof *g->nonfinite);
    return (ok && g->error && g->nearest_error && g->nonfinite) ||
           error_set(error, "not enough memory for GPTQ of %zu x %zu", m->rows, m->cols);
}

void gptq_close(struct gptq *g)
{
    float *floats[] = {g->w,      g->target,         g->nearest, g->scale, g->low,
                       g->high,   g->offset, g->of_row, g->errors,         g->nearest_errors, g->block, g->ahead, g->decoded};
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
        free(floats[i]);
    free(g->error);
    free(g->nearest_error);
    free(g->nonfinite);
    *g = (struct gptq){0};
}

void gptq_load(struct gptq *g, size_t r, const float *values)
{
    size_t at = r * g->stride;
    g->nonfinite[r] = !all_finite(values, g->m->cols);
    for (size_t i = 0; i < g->m->cols; i++)
        g->w[at + i] = g->nonfinite[r] || g->f->dead[i] ? 0 : values[g->f->order[i]];
    memcpy(g->target + at, g->w + at, g->m->cols * sizeof *g->w);
    memcpy(g->nearest + at, g->w + at, g->m->cols * sizeof *g->w);
}

/* ---- within a block -------------------------------------------------------------------------- */

/* What the matrix holds, in the factor's order. `row`: cols. */
static void read_decoded(struct gptq *g, float *row)
{
    for (size_t r = 0; r < g->m->rows; r++) {
        qmatrix_decode_row(g->m, r, row);
        for (size_t i = 0; i < g->m->cols; i++)
            g->decoded[r * g->stride + i] = row[g->f->order[i]];
    }
}

/* Those of blocks; rows that fill up a panel round to 0. */
static void read_block_grids(struct gptq *g)
{
    float *scale = g->of_row, *offset = scale + g->groups;
    if (g->together > 1)
        read_decoded(g, g->ahead);
    else
        g->grid = block_grid_of(g->m->format.weight);
    for (size_t r = 0; r < g->m->rows; r++) {
        block_scales(g->m->format.weight, g->m->codes + r * g->m->row_bytes, g->m->cols, scale, offset);
        for (size_t group = 0; group < g->groups; group++) {
            size_t i = group * g->rows + r;
            g->scale[i] = scale[group];
            g->offset[i] = offset[group];
            g->low[i] = (float)g->grid.low;
            g->high[i] = (float)g->grid.high;
        }
    }
}

/* The grids that the rows were given; rows that fill up a panel round to 0. */
static void read_grids(struct gptq *g)
{
    const struct dtype_info *type = &dtypes[g->m->format.weight];
    int lowest = g->m->format.asym ? type->lowest : type->symmetric_zero - (int)type->largest;
    for (size_t group = 0; group < g->groups; group++)
        for (size_t r = 0; r < g->rows; r++) {
            size_t i = group * g->rows + r;
            bool there = r < g->m->rows;
            int zero = there ? qmatrix_zero(g->m, r, group) : type->symmetric_zero;
            g->scale[i] = there ? qmatrix_scale(g->m, r, group) : 1;
            g->low[i] = (float)(lowest - zero);
            g->high[i] = (float)(type->highest - zero);
        }
}

/* A part of the work on a block. */
struct work {
    struct gptq *g;
    size_t width; /* of the block */
    size_t first; /* panel that the pool's 0 stands for */
};

/* What a thread does in one step: panels of rows through a block of columns, or weights behind it times its columns. */
enum { PANELS_A_THREAD = 8, PANELS_SEARCHED = 2 /* where an entry of a grid is searched for */ };
static const double UPDATES_A_THREAD = 2e8;

/* R[j][i] / R[i][i]: how much of column j's error column i takes over. */
static float share(const struct factor *f, size_t j, size_t i)
{
    return (float)(factor_at(f, j, i) / factor_at(f, i, i));
}

static void read_block(struct gptq *g, size_t width)
{
    for (size_t j = 0; j < width; j++)
        for (size_t i = j + 1; i < width; i++)
            g->block[j * BLOCK + i] = share(g->f, g->done + j, g->done + i);
}

/* The values of a grid that are nearest to those of a panel's rows, in units of the rows' scales. */
static void round_to_grid(const struct gptq *g, size_t params, float q[ROWS])
{
    const struct code_grid *grid = &g->grid;
    if (!grid->values) {
        for (size_t r = 0; r < ROWS; r++) {
            q[r] = q[r] > g->low[params + r] ? q[r] : g->low[params + r];
            q[r] = q[r] < g->high[params + r] ? q[r] : g->high[params + r];
            q[r] = round_even(q[r]);
        }
        return;
    }
    float nearest[ROWS];
    for (size_t r = 0; r < ROWS; r++)
        nearest[r] = grid->values[0];
    for (size_t v = 1; v < grid->count; v++) {
        float middle = (grid->values[v - 1] + grid->values[v]) / 2;
        for (size_t r = 0; r < ROWS; r++)
            nearest[r] = q[r] > middle ? grid->values[v] : nearest[r];
    }
    memcpy(q, nearest, sizeof nearest);
}

/* Where column k of the block has its grids, of a panel's rows. */
static size_t params_of(const struct gptq *g, size_t panel, size_t k)
{
    return g->f->order[g->done + k] / g->group * g->rows + panel * ROWS;
}

/* A column of a panel's rows, on their grids. */
static void round_column(const struct gptq *g, size_t params, const float *values, float is[ROWS])
{
    float q[ROWS];
    for (size_t r = 0; r < ROWS; r++)
        q[r] = (values[r] - g->offset[params + r]) / g->scale[params + r];
    round_to_grid(g, params, q);
    for (size_t r = 0; r < ROWS; r++)
        is[r] = q[r] * g->scale[params + r] + g->offset[params + r];
}

/* Columns whose codes are chosen at once, each by what it adds to the output error: its pivot, squared. */
static void round_together(const struct gptq *g, size_t params, size_t k, float (*target)[ROWS], float (*is)[ROWS])
{
    float weight[TOGETHER_MAX], values[TOGETHER_MAX], found[TOGETHER_MAX];
    for (size_t j = 0; j < g->together; j++) {
        double pivot = factor_at(g->f, g->done + k + j, g->done + k + j);
        weight[j] = (float)(pivot * pivot);
    }
    for (size_t r = 0; r < ROWS; r++) {
        for (size_t j = 0; j < g->together; j++)
            values[j] = target[j][r];
        round_columns(g->m->format.weight, values, weight, g->scale[params + r], g->offset[params + r], found);
        for (size_t j = 0; j < g->together; j++)
            is[j][r] = found[j];
    }
}

/* What the next columns become: with `nearest` as if no other had an error. */
static void choose_values(const struct gptq *g, size_t panel, size_t k, bool nearest, float (*target)[ROWS],
                          float (*is)[ROWS])
{
    const float *rounded = g->together > 1 ? g->decoded : g->w;
    size_t params = params_of(g, panel, k);
    float where[TOGETHER_MAX][ROWS];
    for (size_t j = 0; j < g->together; j++)
        for (size_t r = 0; r < ROWS; r++)
            where[j][r] = nearest ? rounded[(panel * ROWS + r) * g->stride + g->done + k + j] : target[j][r];
    if (g->together == 1)
        round_column(g, params, where[0], is[0]);
    else if (nearest)
        memcpy(is, where, g->together * sizeof *where);
    else
        round_together(g, params, k, where, is);
}

/* One panel of rows through the columns of the block. With `nearest` every weight is rounded where it is;
 * else where the errors before it want it to be. errors: one line a column. */
static void quantize_panel(struct gptq *g, size_t width, size_t panel, bool nearest, float *errors)
{
    float *targets = (nearest ? g->nearest : g->target) + panel * ROWS * g->stride + g->done;
    float *w = g->w + panel * ROWS * g->stride + g->done;
    double *sums = (nearest ? g->nearest_error : g->error) + panel * ROWS;
    float target[BLOCK][ROWS];
    for (size_t k = 0; k < width; k++)
        for (size_t r = 0; r < ROWS; r++)
            target[k][r] = targets[r * g->stride + k];
    for (size_t k = 0; k < width; k += g->together) {
        float is[TOGETHER_MAX][ROWS];
        choose_values(g, panel, k, nearest, target + k, is);
        for (size_t j = k; j < k + g->together; j++) {
            double pivot = factor_at(g->f, g->done + j, g->done + j);
            float *e = errors + j * ROWS;
            for (size_t r = 0; r < ROWS; r++) {
                double left = pivot * ((double)target[j][r] - (double)is[j - k][r]);
                e[r] = w[r * g->stride + j] - is[j - k][r];
                sums[r] += left * left - g->f->lambda * (double)e[r] * (double)e[r];
                if (!nearest)
                    w[r * g->stride + j] = is[j - k][r];
            }
            for (size_t i = j + 1; i < width; i++)
                for (size_t r = 0; r < ROWS; r++)
                    target[i][r] += e[r] * g->block[j * BLOCK + i];
        }
    }
    for (size_t k = 0; k < width; k++)
        for (size_t r = 0; r < ROWS; r++)
            targets[r * g->stride + k] = target[k][r];
}

static void quantize_panels(void *arg, size_t begin, size_t end, int thread)
{
    const struct work *k = arg;
    (void)thread;
    for (size_t panel = k->first + begin; panel < k->first + end; panel++) {
        quantize_panel(k->g, k->width, panel, true, k->g->nearest_errors + panel * ROWS * BLOCK);
        quantize_panel(k->g, k->width, panel, false, k->g->errors + panel * ROWS * BLOCK);
    }
}

/* ---- beyond the block ------------------------------------------------------------------------ */

/* Panels of columns behind the block. */
static void pack_ahead(void *arg, size_t begin, size_t end, int thread)
{
    const struct work *k = arg;
    struct gptq *g = k->g;
    (void)thread;
    for (size_t panel = begin; panel < end; panel++) {
        float *out = g->ahead + panel * TILE_F32 * k->width;
        size_t first = g->done + k->width + panel * TILE_F32;
        for (size_t j = 0; j < k->width; j++)
            for (size_t i = 0; i < TILE_F32; i++)
                out[j * TILE_F32 + i] =
                    first + i < g->f->cols ? share(g->f, g->done + j, first + i) : 0;
    }
}

enum { TOGETHER = 4 };

static void update_panels(void *arg, size_t begin, size_t end, int thread)
{
    const struct work *k = arg;
    struct gptq *g = k->g;
    const struct operators *ops = operators_current();
    size_t first = g->done + k->width, columns = (g->stride - first) / TILE_F32;
    (void)thread;
    for (size_t run = begin; run < end; run++)
        for (size_t j = 0; j < columns; j++)
            for (size_t p = k->first + run * TOGETHER; p < k->first + (run + 1) * TOGETHER && p < g->panels; p++) {
                size_t at = p * ROWS * g->stride + first + j * TILE_F32;
                const float *b = g->ahead + j * TILE_F32 * k->width;
                ops->tile_add_f32(g->errors + p * ROWS * BLOCK, b, k->width, g->target + at, g->stride);
                ops->tile_add_f32(g->nearest_errors + p * ROWS * BLOCK, b, k->width, g->nearest + at,
                                  g->stride);
            }
}

/* Whether the row is no better for it than rounded to nearest. */
static bool stays_rounded(const struct gptq *g, size_t r)
{
    return g->nonfinite[r] || !(g->error[r] <= g->nearest_error[r]);
}

static void begin_block(struct gptq *g, size_t width)
{
    if (g->done == 0 && qmatrix_is_blocks(g->m))
        read_block_grids(g);
    else if (g->done == 0)
        read_grids(g);
    read_block(g, width);
}

/* The next panels of the block; true when all are quantized. */
static bool quantize_some(struct gptq *g, struct work *k, struct pool *pool)
{
    size_t left = g->panels - g->quantized, a_thread = g->together > 1 ? PANELS_SEARCHED : PANELS_A_THREAD;
    size_t most = a_thread * (size_t)pool_threads(pool), n = left < most ? left : most;
    k->first = g->quantized;
    pool_run(pool, n, quantize_panels, k);
    g->quantized += n;
    return g->quantized == g->panels;
}

/* The next panels beyond the block; true when there are no more. */
static bool update_some(struct gptq *g, struct work *k, struct pool *pool)
{
    size_t beyond = g->stride - g->done - k->width, left = g->panels - g->updated;
    double most = UPDATES_A_THREAD * pool_threads(pool) / ((double)beyond * (double)k->width * ROWS);
    size_t runs = (left + TOGETHER - 1) / TOGETHER;
    size_t n = (double)runs * TOGETHER < most ? runs : (size_t)most / TOGETHER + 1;
    if (g->updated == 0)
        pool_run(pool, beyond / TILE_F32, pack_ahead, k);
    k->first = g->updated;
    pool_run(pool, n, update_panels, k);
    g->updated = n < runs ? g->updated + n * TOGETHER : g->panels;
    return g->updated == g->panels;
}

static bool end_block(struct gptq *g, size_t width)
{
    g->done += width;
    g->quantized = g->updated = 0;
    for (size_t r = 0; r < g->m->rows && g->done == g->m->cols; r++)
        g->rounded += stays_rounded(g, r);
    return g->done == g->m->cols;
}

bool gptq_step(struct gptq *g, struct pool *pool)
{
    size_t left = g->m->cols - g->done;
    struct work k = {g, left < BLOCK ? left : BLOCK, 0};
    if (g->quantized == 0)
        begin_block(g, k.width);
    if (g->quantized < g->panels && !quantize_some(g, &k, pool))
        return false;
    if (left > k.width && !update_some(g, &k, pool))
        return false;
    return end_block(g, k.width);
}

/* A row of the factor's order in that of the matrix. */
static bool give_row(const struct gptq *g, const float *values, size_t r, float *out)
{
    if (stays_rounded(g, r))
        return false;
    for (size_t i = 0; i < g->m->cols; i++)
        out[g->f->order[i]] = values[r * g->stride + i];
    return true;
}

bool gptq_row(const struct gptq *g, size_t r, float *out)
{
    return give_row(g, g->w, r, out);
}

bool gptq_targets(const struct gptq *g, size_t r, float *out)
{
    return give_row(g, g->target, r, out);
}

/* ---- the row of the table -------------------------------------------------------------------- */

enum { DAMP, ACT_ORDER, SEQUENCE };

static const struct parameter parameters[] = {
    [DAMP] = {"damp", 0.01f, 1e-6f, 1, false, false, "added to the Hessian's diagonal, as a share of its mean"},
    [ACT_ORDER] = {"actorder", 1, 0, 1, true, false, "1: columns of the largest activations first"},
    [SEQUENCE] = {"sequence", 1, 0, 1, true, false,
                  "1: calibrated on what the layers before, quantized already, give"},
};

static struct hessian_use hessian(const float *values)
{
    return (struct hessian_use){.damp = (double)values[DAMP], .damp_max = (double)parameters[DAMP].max,
                                .by_activation = values[ACT_ORDER] != 0, .sequential = values[SEQUENCE] != 0};
}

/* Scales are searched by the diagonal of the Hessian, where no other method says by what. */
static bool prepare(const struct calibration_inputs *in, const float *values, struct calibrated *out,
                    struct error *error)
{
    out->factor = in->factor;
    if (in->factor && !out->importance && !imatrix_prepare(in, NULL, out, error))
        return false;
    if (in->factor && in->factor->damp > 5 * (double)values[DAMP])
        snprintf(out->note, sizeof out->note, "damping raised from %g to %g: its Hessian is nearly singular",
                 (double)values[DAMP], in->factor->damp);
    return true;
}

static int describe(const struct calibration_info *found, char *out, size_t size)
{
    return snprintf(out, size, "damping %.3g, %zu rows rounded", found->damp, found->rounded);
}

static void solver_close(void *solver)
{
    gptq_close(solver);
    free(solver);
}

static void *solver_open(const struct qmatrix *m, const struct factor *factor, struct error *error)
{
    struct gptq *g = malloc(sizeof *g);
    if (!g) {
        error_set(error, "not enough memory for GPTQ of %zu x %zu", m->rows, m->cols);
        return NULL;
    }
    if (gptq_open(g, m, factor, error))
        return g;
    solver_close(g);
    return NULL;
}

static void solver_load(void *solver, size_t r, const float *values)
{
    gptq_load(solver, r, values);
}

static bool solver_step(void *solver, struct pool *pool)
{
    return gptq_step(solver, pool);
}

static bool solver_row(const void *solver, size_t r, float *out)
{
    return gptq_row(solver, r, out);
}

static bool solver_targets(const void *solver, size_t r, float *out)
{
    return gptq_targets(solver, r, out);
}

static double solver_fraction(const void *solver)
{
    const struct gptq *g = solver;
    double left = (double)(g->m->cols - g->done), block = left < BLOCK ? left : BLOCK;
    return ((double)g->done + block * (double)g->quantized / (double)g->panels) / (double)g->m->cols;
}

static size_t solver_rounded(const void *solver)
{
    const struct gptq *g = solver;
    return g->rounded;
}

static const struct code_solver solver = {
    .open = solver_open,
    .close = solver_close,
    .load = solver_load,
    .step = solver_step,
    .row = solver_row,
    .targets = solver_targets,
    .fraction = solver_fraction,
    .rounded = solver_rounded,
};

const struct method gptq_method = {
    .name = "gptq",
    .summary = "column by column, each error made up for by the columns that follow",
    .phase = PHASE_CODES,
    .composes = PHASE_BIT(PHASE_INPUT_SCALE) | PHASE_BIT(PHASE_RANGE),
    .needs = {.activations = true, .hessian = true, .weights = WEIGHTS_SEARCHED},
    .parameters = parameters,
    .parameter_count = sizeof parameters / sizeof *parameters,
    .prepare = prepare,
    .describe = describe,
    .hessian = hessian,
    .solver = &solver,
};

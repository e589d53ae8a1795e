#include "requant_rows.h"

#include "kernels/dispatch.h"

#include "base/clock.h"
#include "model/on_demand.h"
#include "kernels/clip.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Weights in one slice of work between two looks at the clock: as many as take about so long. A search for the codes of
 * a type with a grid takes a hundred times as long as rounding. */
enum { SLICE_LEAST = 1 << 14, SLICE_MOST = 1 << 18 };
static const double SLICE_SECONDS = 0.006;

static size_t rows_of(const struct requant *job)
{
    return job->out->matrix.rows;
}

/* Room for the scheme's codes; of the stored scheme the model's own. */
static bool init_matrix(struct qmatrix *m, const struct qmatrix *stored, const struct scheme *scheme,
                        struct error *error)
{
    if (!scheme->format.stored)
        return qmatrix_init(m, &scheme->format, stored->rows, stored->cols, error);
    *m = *stored;
    m->owned = NULL;
    m->format.act = scheme->format.act;
    return true;
}

/* Gives the new matrix what calibration chose. */
static bool take_calibrated(struct requant *job, const struct calibrated *c, struct error *error)
{
    struct qmatrix *m = &job->out->matrix;
    job->importance = c->importance;
    job->trained = c->trained;
    job->grids = c->grids;
    if (c->input_scale && !qmatrix_set_input_scale(m, c->input_scale, error))
        return false;
    if (!qmatrix_set_outliers(m, c->outliers, c->outlier_count, error))
        return false;
    if (c->act_scale > 0 && !qmatrix_set_act_scale(m, c->act_scale, c->act_zero, error))
        return false;
    if (c->trained && m->format.granularity == GRANULARITY_TENSOR)
        quantize_set_params(m, 0, 0, c->grids[0]);
    return true;
}

/* Where the Hessian that it needs is not there, weights are rounded. */
static bool open_solver(struct requant *job, const struct scheme *scheme, const struct factor *factor,
                        struct error *error)
{
    const struct method *codes = scheme_method(scheme, PHASE_CODES);
    if (!codes || !codes->solver || (codes->needs.hessian && !factor))
        return true;
    job->solver = codes->solver;
    job->solving = job->solver->open(&job->out->matrix, factor, error);
    return job->solving;
}

/* What of a whole pass over the weights each costs, about. */
static const double pass_work[] = {
    [REQUANT_SCAN] = 1, [REQUANT_CLIP] = CLIP_TRIALS, [REQUANT_LOAD] = 1, [REQUANT_SOLVE] = 8, [REQUANT_PACK] = 1};

static bool needs_pass(const struct requant *job, enum requant_pass pass)
{
    const struct qformat *s = &job->out->matrix.format;
    bool whole = !s->stored && s->granularity == GRANULARITY_TENSOR && !job->trained;
    switch (pass) {
    case REQUANT_SCAN:
        return whole;
    case REQUANT_CLIP:
        return whole && job->range_min < 1;
    case REQUANT_LOAD:
    case REQUANT_SOLVE:
        return job->solving;
    default:
        return true;
    }
}

static enum requant_pass pass_from(const struct requant *job, enum requant_pass pass)
{
    while (!needs_pass(job, pass))
        pass++;
    return pass;
}

static double range_min_of(const struct scheme *s)
{
    bool integers = !s->format.stored && dtypes[s->format.weight].kind == DTYPE_KIND_INTEGER;
    return integers ? methods_range_min(&s->methods) : 1;
}

bool requant_begin_calibrated(struct requant *job, const struct model *model, int tensor,
                              const struct scheme *scheme, const struct calibrated *calibrated,
                              struct pool *pool, struct error *error)
{
    const struct tensor *t = &model->tensors[tensor];
    size_t rows = t->stored.rows, cols = t->stored.cols;
    *job = (struct requant){.model = model, .tensor = tensor, .strips = (size_t)pool_threads(pool),
                            .slice = SLICE_LEAST};
    job->reference = &model_weights_reference(model)->tensors[tensor].stored;
    if (!scheme_check(scheme, error))
        return false;
    if (scheme_needs_calibration(scheme) && !calibrated)
        return error_set(error, "%s: this scheme needs calibration", t->name);
    job->out = calloc(1, sizeof *job->out);
    job->row_range = calloc(rows, sizeof *job->row_range);
    job->row_w2 = calloc(rows, sizeof *job->row_w2);
    job->row_e2 = calloc(rows, sizeof *job->row_e2);
    job->row_max = calloc(rows, sizeof *job->row_max);
    job->row_max_col = calloc(rows, sizeof *job->row_max_col);
    job->row_out_of_range = calloc(rows, sizeof *job->row_out_of_range);
    job->buffer = calloc((size_t)pool_threads(pool) * 2 * cols, sizeof *job->buffer);
    job->range_min = range_min_of(scheme);
    bool clips = job->range_min < 1 && scheme->format.granularity == GRANULARITY_TENSOR;
    job->row_clip = clips ? malloc(rows * CLIP_TRIALS * sizeof *job->row_clip) : NULL;
    bool ok = job->out && job->row_range && (job->row_clip || !clips) && job->row_w2 && job->row_e2 && job->row_max &&
              job->row_max_col && job->row_out_of_range && job->buffer;
    if (!ok)
        error_set(error, "%s: not enough memory to quantize %zu x %zu", t->name, rows, cols);
    if (ok) {
        atomic_init(&job->out->refs, 1);
        job->out->tensor = tensor;
        ok = init_matrix(&job->out->matrix, &t->stored, scheme, error);
    }
    if (ok && !scheme->format.stored) {
        ok = qtensor_set_scheme(job->out, scheme) || error_set(error, "%s: not enough memory", t->name);
    }
    ok = ok && (!calibrated || take_calibrated(job, calibrated, error)) &&
         open_solver(job, scheme, calibrated ? calibrated->factor : NULL, error);
    if (ok) {
        job->pass = pass_from(job, REQUANT_SCAN);
        job->out->error.row_sqnr_db = calloc(rows, sizeof(float));
        ok = job->out->error.row_sqnr_db || error_set(error, "%s: not enough memory", t->name);
    }
    if (ok)
        ok = job->acquired = model_acquire(model, tensor, pool, error);
    if (!ok)
        requant_end(job);
    return ok;
}

bool requant_begin(struct requant *job, const struct model *model, int tensor,
                   const struct scheme *scheme, struct pool *pool, struct error *error)
{
    return requant_begin_calibrated(job, model, tensor, scheme, NULL, pool, error);
}

/* Panels are shared out as a product shares them: thread t begins with panels t / threads of the matrix,
 * so that what it writes first lies near to where it will be read. A step takes the next panels of every
 * strip; item i of a step of `step` panels a strip is panel i % step of strip i / step. */
static size_t strip_begin(const struct requant *job, size_t strip)
{
    size_t panels = qmatrix_panels(&job->out->matrix);
    size_t share = panels / job->strips, extra = panels % job->strips;
    return strip * share + (strip < extra ? strip : extra);
}

/* Panels that the longest strip has. */
static size_t strip_panels(const struct requant *job)
{
    return (qmatrix_panels(&job->out->matrix) + job->strips - 1) / job->strips;
}

struct range {
    size_t begin, end;
};

/* The rows of an item; none where a short strip has no panel left. */
static struct range rows_of_item(const struct requant *job, size_t item)
{
    size_t strip = item / job->step;
    size_t panel = strip_begin(job, strip) + job->panel + item % job->step;
    size_t begin = panel * PANEL_ROWS, end = begin + PANEL_ROWS;
    if (panel >= strip_begin(job, strip + 1))
        return (struct range){0, 0};
    return (struct range){begin, end < rows_of(job) ? end : rows_of(job)};
}

static void each_row(struct requant *job, size_t begin, size_t end, int thread,
                     void (*treat)(struct requant *, size_t, float *))
{
    float *rows = job->buffer + (size_t)thread * 2 * job->out->matrix.cols;
    for (size_t i = begin; i < end; i++) {
        struct range range = rows_of_item(job, i);
        for (size_t r = range.begin; r < range.end; r++)
            treat(job, r, rows);
    }
}

static void load_rows(void *arg, size_t begin, size_t end, int thread)
{
    each_row(arg, begin, end, thread, requant_load_row);
}

static void scan_rows(void *arg, size_t begin, size_t end, int thread)
{
    each_row(arg, begin, end, thread, requant_scan_row);
}

static void clip_rows(void *arg, size_t begin, size_t end, int thread)
{
    each_row(arg, begin, end, thread, requant_clip_row);
}

static void pack_rows(void *arg, size_t begin, size_t end, int thread)
{
    struct requant *job = arg;
    each_row(job, begin, end, thread, job->out->matrix.format.stored ? requant_compare_row : requant_pack_row);
}

static void finish_scan(struct requant *job)
{
    for (size_t r = 0; r < rows_of(job); r++) {
        job->range.min = fminf(job->range.min, job->row_range[r].min);
        job->range.max = fmaxf(job->range.max, job->row_range[r].max);
    }
    quantize_tensor_scale(&job->out->matrix, job->range);
}

static void finish_clip(struct requant *job)
{
    size_t best = 0;
    double min = INFINITY;
    for (size_t trial = 0; trial < CLIP_TRIALS; trial++) {
        double error = 0;
        for (size_t r = 0; r < rows_of(job); r++)
            error += job->row_clip[r * CLIP_TRIALS + trial];
        best = error < min ? trial : best;
        min = fmin(min, error);
    }
    quantize_tensor_scale(&job->out->matrix, clip_range(job->range, best, job->range_min));
}

static void finish_pack(struct requant *job)
{
    struct weight_error *e = &job->out->error;
    e->max_abs = 0;
    for (size_t r = 0; r < rows_of(job); r++) {
        e->sum_w2 += job->row_w2[r];
        e->sum_e2 += job->row_e2[r];
        e->clipped += job->row_out_of_range[r].clipped;
        e->overflowed += job->row_out_of_range[r].overflowed;
        e->row_sqnr_db[r] = (float)(job->row_e2[r] == 0
                                        ? INFINITY
                                        : 10 * log10(job->row_w2[r] / job->row_e2[r]));
        if (job->row_max[r] > e->max_abs) {
            e->max_abs = job->row_max[r];
            e->max_row = r;
            e->max_col = job->row_max_col[r];
        }
    }
    e->exact = e->sum_e2 == 0 && !atomic_load(&job->altered);
    if (job->solving || job->trained)
        requant_keep_targets(job);
}

/* The next slice, by how long one took. */
static void fit_slice(struct requant *job, double seconds)
{
    if (seconds > SLICE_SECONDS && job->slice > 1)
        job->slice /= 2;
    else if (seconds < SLICE_SECONDS / 4 && job->slice < SLICE_MOST)
        job->slice *= 2;
}

/* Some panels of every strip; true when the pass is over. */
static bool pass_panels(struct requant *job, struct pool *pool, pool_fn *treat)
{
    double begin = clock_seconds();
    size_t block = job->slice / PANEL_ROWS / job->out->matrix.cols / job->strips + 1;
    size_t left = strip_panels(job) - job->panel;
    job->step = left < block ? left : block;
    pool_run(pool, job->strips * job->step, treat, job);
    job->panel += job->step;
    fit_slice(job, clock_seconds() - begin);
    return job->panel == strip_panels(job);
}

/* A slice of the pass under way; true when it is over. */
static bool pass_step(struct requant *job, struct pool *pool)
{
    switch (job->pass) {
    case REQUANT_SCAN:
        return pass_panels(job, pool, scan_rows);
    case REQUANT_CLIP:
        return pass_panels(job, pool, clip_rows);
    case REQUANT_LOAD:
        return pass_panels(job, pool, load_rows);
    case REQUANT_SOLVE:
        return job->solver->step(job->solving, pool);
    default:
        return pass_panels(job, pool, pack_rows);
    }
}

static void finish_pass(struct requant *job)
{
    if (job->pass == REQUANT_SCAN)
        finish_scan(job);
    else if (job->pass == REQUANT_CLIP)
        finish_clip(job);
    else if (job->pass == REQUANT_PACK)
        finish_pack(job);
}

bool requant_step(struct requant *job, struct pool *pool, double seconds)
{
    double begin = clock_seconds();
    do {
        if (!pass_step(job, pool))
            continue;
        finish_pass(job);
        if (job->pass == REQUANT_PACK)
            return true;
        job->pass = pass_from(job, job->pass + 1);
        job->panel = 0;
    } while (clock_seconds() - begin <= seconds);
    return false;
}

size_t requant_rounded(const struct requant *job)
{
    return job->solving ? job->solver->rounded(job->solving) : 0;
}

double requant_fraction(const struct requant *job)
{
    if (!job->out)
        return 1;
    double part = job->pass == REQUANT_SOLVE ? job->solver->fraction(job->solving)
                                             : (double)job->panel / (double)strip_panels(job);
    double done = part * pass_work[job->pass], all = 0;
    for (enum requant_pass pass = REQUANT_SCAN; pass <= REQUANT_PACK; pass++) {
        double work = needs_pass(job, pass) ? pass_work[pass] : 0;
        all += work;
        done += pass < job->pass ? work : 0;
    }
    return done / all;
}

struct qtensor *requant_take(struct requant *job)
{
    struct qtensor *out = job->out;
    job->out = NULL;
    return out;
}

void requant_end(struct requant *job)
{
    if (job->acquired)
        model_release(job->model, job->tensor);
    qtensor_unref(job->out);
    if (job->solving)
        job->solver->close(job->solving);
    free(job->row_range);
    free(job->row_clip);
    free(job->row_w2);
    free(job->row_e2);
    free(job->row_max);
    free(job->row_max_col);
    free(job->row_out_of_range);
    free(job->buffer);
    *job = (struct requant){0};
}

struct qtensor *requantize(const struct model *model, int tensor, const struct scheme *scheme,
                          struct pool *pool, struct error *error)
{
    struct requant job;
    if (!requant_begin(&job, model, tensor, scheme, pool, error))
        return NULL;
    while (!requant_step(&job, pool, 1))
        continue;
    struct qtensor *out = requant_take(&job);
    requant_end(&job);
    return out;
}

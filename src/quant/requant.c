#include "requant.h"

#include "../../kernels/dispatch.h"

#include "../measure/clock.h"
#include "../model/resident.h"

#include <math.h>
#include <stdlib.h>

/* Weights in one slice of work between two looks at the clock. */
enum { SLICE = 1 << 18 };

static size_t rows_of(const struct requant *job)
{
    return job->out->matrix.rows;
}

/* Room for the scheme's codes; of the stored scheme the model's own. */
static bool init_matrix(struct qmatrix *m, const struct qmatrix *stored, const struct scheme *scheme,
                        struct error *error)
{
    if (!scheme->stored)
        return qmatrix_init(m, scheme, stored->rows, stored->cols, error);
    *m = *stored;
    m->owned = NULL;
    return true;
}

bool requant_begin(struct requant *job, const struct model *model, int tensor,
                   const struct scheme *scheme, struct pool *pool, struct error *error)
{
    const struct tensor *t = &model->tensors[tensor];
    size_t rows = t->stored.rows, cols = t->stored.cols;
    *job = (struct requant){.model = model, .tensor = tensor, .strips = (size_t)pool_threads(pool)};
    job->truth = &model_reference(model)->tensors[tensor].stored;
    job->scanned = scheme->stored || scheme->granularity != GRANULARITY_TENSOR;
    if (!scheme_check(scheme, error))
        return false;
    if (scheme->methods.set || scheme->act_range)
        return error_set(error, "%s: no calibration for this scheme", t->name);
    job->out = calloc(1, sizeof *job->out);
    job->row_range = calloc(rows, sizeof *job->row_range);
    job->row_w2 = calloc(rows, sizeof *job->row_w2);
    job->row_e2 = calloc(rows, sizeof *job->row_e2);
    job->row_max = calloc(rows, sizeof *job->row_max);
    job->row_max_col = calloc(rows, sizeof *job->row_max_col);
    job->buffer = calloc((size_t)pool_threads(pool) * 2 * cols, sizeof *job->buffer);
    bool ok = job->out && job->row_range && job->row_w2 && job->row_e2 && job->row_max &&
              job->row_max_col && job->buffer;
    if (!ok)
        error_set(error, "%s: not enough memory to quantize %zu x %zu", t->name, rows, cols);
    if (ok) {
        atomic_init(&job->out->refs, 1);
        job->out->tensor = tensor;
        ok = init_matrix(&job->out->matrix, &t->stored, scheme, error);
    }
    if (ok) {
        job->out->error.row_sqnr_db = calloc(rows, sizeof(float));
        ok = job->out->error.row_sqnr_db || error_set(error, "%s: not enough memory", t->name);
    }
    if (ok)
        ok = job->acquired = model_acquire(model, tensor, pool, error);
    if (!ok)
        requant_end(job);
    return ok;
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

static void scan_row(struct requant *job, size_t r, float *row)
{
    const struct qmatrix *stored = &job->model->tensors[job->tensor].stored;
    isa_current()->decode_row(stored, r, row);
    value_range_add(&job->row_range[r], row, stored->cols);
}

/* Measures e = w' - w of a row, w of the reference. Sums are kept a row, so that the totals do not depend on
 * how rows were shared out. */
static void measure_row(struct requant *job, size_t r, const float *truth, const float *back)
{
    struct difference d;
    difference_measure(&d, truth, back, job->truth->cols);
    job->row_w2[r] = d.sum_w2;
    job->row_e2[r] = d.sum_e2;
    job->row_max[r] = d.largest;
    job->row_max_col[r] = (uint32_t)d.column;
    if (d.altered)
        atomic_store(&job->altered, true);
}

static void pack_row(struct requant *job, size_t r, float *row)
{
    const struct qmatrix *stored = &job->model->tensors[job->tensor].stored;
    float *back = row + stored->cols;
    isa_current()->decode_row(stored, r, row);
    quantize_intake(&job->out->matrix, r, row);
    quantize_row(&job->out->matrix, r, row);
    qmatrix_decode_row(&job->out->matrix, r, back);
    if (job->truth != stored)
        isa_current()->decode_row(job->truth, r, row);
    measure_row(job, r, row, back);
}

/* A stored row is measured as it is. */
static void compare_row(struct requant *job, size_t r, float *row)
{
    float *back = row + job->truth->cols;
    isa_current()->decode_row(&job->out->matrix, r, back);
    isa_current()->decode_row(job->truth, r, row);
    measure_row(job, r, row, back);
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

static void scan_rows(void *arg, size_t begin, size_t end, int thread)
{
    each_row(arg, begin, end, thread, scan_row);
}

static void pack_rows(void *arg, size_t begin, size_t end, int thread)
{
    struct requant *job = arg;
    each_row(job, begin, end, thread, job->out->matrix.scheme.stored ? compare_row : pack_row);
}

static void finish_scan(struct requant *job)
{
    struct value_range all = {0, 0};
    for (size_t r = 0; r < rows_of(job); r++) {
        all.min = fminf(all.min, job->row_range[r].min);
        all.max = fmaxf(all.max, job->row_range[r].max);
    }
    quantize_tensor_scale(&job->out->matrix, all);
    job->scanned = true;
    job->panel = 0;
}

static void finish_pack(struct requant *job)
{
    struct weight_error *e = &job->out->error;
    e->max_abs = 0;
    for (size_t r = 0; r < rows_of(job); r++) {
        e->sum_w2 += job->row_w2[r];
        e->sum_e2 += job->row_e2[r];
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
}

bool requant_step(struct requant *job, struct pool *pool, double seconds)
{
    double begin = clock_seconds();
    size_t block = SLICE / PANEL_ROWS / job->out->matrix.cols / job->strips + 1;
    while (job->panel < strip_panels(job)) {
        size_t left = strip_panels(job) - job->panel;
        job->step = left < block ? left : block;
        pool_run(pool, job->strips * job->step, job->scanned ? pack_rows : scan_rows, job);
        job->panel += job->step;
        if (job->panel == strip_panels(job)) {
            if (job->scanned)
                break;
            finish_scan(job);
        }
        if (clock_seconds() - begin > seconds)
            return false;
    }
    finish_pack(job);
    return true;
}

double requant_fraction(const struct requant *job)
{
    if (!job->out)
        return 1;
    double part = (double)job->panel / (double)strip_panels(job);
    bool two_passes = job->out->matrix.scheme.granularity == GRANULARITY_TENSOR;
    return two_passes ? (job->scanned ? 0.5 : 0) + part / 2 : part;
}

struct packed *requant_take(struct requant *job)
{
    struct packed *out = job->out;
    job->out = NULL;
    return out;
}

void requant_end(struct requant *job)
{
    if (job->acquired)
        model_release(job->model, job->tensor);
    packed_unref(job->out);
    free(job->row_range);
    free(job->row_w2);
    free(job->row_e2);
    free(job->row_max);
    free(job->row_max_col);
    free(job->buffer);
    *job = (struct requant){0};
}

struct packed *requantize(const struct model *model, int tensor, const struct scheme *scheme,
                          struct pool *pool, struct error *error)
{
    struct requant job;
    if (!requant_begin(&job, model, tensor, scheme, pool, error))
        return NULL;
    while (!requant_step(&job, pool, 1))
        continue;
    struct packed *out = requant_take(&job);
    requant_end(&job);
    return out;
}

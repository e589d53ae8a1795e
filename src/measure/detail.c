#include "detail.h"

#include "model/on_demand.h"
#include "base/clock.h"
#include "weight_stats.h"

#include <math.h>
#include <stdlib.h>

void detail_unref(struct detail *d)
{
    if (!d || atomic_fetch_sub(&d->refs, 1) > 1)
        return;
    qtensor_unref(d->q);
    free(d->column_largest);
    free(d);
}

bool detail_begin(struct detail_job *job, const struct model *model, struct qtensor *q)
{
    size_t cols = q->matrix.cols;
    *job = (struct detail_job){.model = model, .q = qtensor_ref(q)};
    job->out = calloc(1, sizeof *job->out);
    job->before = malloc(cols * sizeof *job->before);
    job->after = malloc(cols * sizeof *job->after);
    if (job->out) {
        atomic_init(&job->out->refs, 1);
        job->out->column_largest = calloc(cols, sizeof *job->out->column_largest);
    }
    if (!job->out || !job->out->column_largest || !job->before || !job->after) {
        detail_end(job);
        return false;
    }
    job->out->q = qtensor_ref(q);
    job->out->tensor = q->tensor;
    return true;
}

/* A row of the reference and of the quantized tensor. On-demand weights that are their own reference are generated
 * once. */
static void decode_rows(const struct model *model, const struct qtensor *q, size_t r, float *before,
                        float *after)
{
    const struct model *reference = model_weights_reference(model);
    model_decode_row(reference, q->tensor, r, before);
    if (!qtensor_on_demand(model, q))
        qmatrix_decode_row(&q->matrix, r, after);
    else if (reference != model)
        model_decode_row(model, q->tensor, r, after);
    else
        memcpy(after, before, q->matrix.cols * sizeof *after);
}

static void range_row(struct detail_job *job, size_t r)
{
    const struct qmatrix *m = &job->q->matrix;
    struct detail *d = job->out;
    model_decode_row(model_weights_reference(job->model), d->tensor, r, job->before);
    for (size_t c = 0; c < m->cols; c++) {
        if (!isfinite(job->before[c]))
            continue;
        d->column_largest[c] = fmaxf(d->column_largest[c], fabsf(job->before[c]));
        job->low = fmin(job->low, job->before[c]);
        job->high = fmax(job->high, job->before[c]);
    }
    for (size_t g = 0; g < scales_of_row(m, r); g++) {
        double scale = qmatrix_scale(m, r, g);
        bool first = d->scale_count++ == 0;
        d->scale_min = first ? scale : fmin(d->scale_min, scale);
        d->scale_max = first ? scale : fmax(d->scale_max, scale);
        job->sum_scale += scale;
    }
}

static void open_histograms(struct detail_job *job)
{
    struct detail *d = job->out;
    double worst = job->q->error.max_abs;
    bool integers = dtypes[job->q->matrix.format.weight].kind == DTYPE_KIND_INTEGER;
    d->before = d->after = histogram_over(job->low, job->high);
    d->error = histogram_over(-worst, worst);
    d->error_steps = integers ? histogram_over(-1, 1) : (struct histogram){0};
    d->scales = histogram_over(d->scale_min, d->scale_max);
    d->scale_mean = d->scale_count ? job->sum_scale / (double)d->scale_count : 0;
    job->ranged = true;
    job->row = 0;
}

static void count_row(struct detail_job *job, size_t r)
{
    const struct qmatrix *m = &job->q->matrix;
    struct detail *d = job->out;
    bool integers = dtypes[m->format.weight].kind == DTYPE_KIND_INTEGER;
    decode_rows(job->model, job->q, r, job->before, job->after);
    for (size_t c = 0; c < m->cols; c++) {
        double w = job->before[c], v = job->after[c], e = v - w;
        histogram_add(&d->before, w);
        histogram_add(&d->after, v);
        histogram_add(&d->error, e);
        if (integers) {
            double scale = qmatrix_scale(m, r, c / m->group) / qmatrix_input_scale(m, c);
            histogram_add(&d->error_steps, e / scale);
        }
        if (isfinite(e)) {
            job->sum_e2 += e * e;
            job->sum_wv += w * v;
            job->sum_w2 += w * w;
            job->sum_v2 += v * v;
            job->weights++;
        }
    }
    for (size_t g = 0; g < scales_of_row(m, r); g++)
        histogram_add(&d->scales, qmatrix_scale(m, r, g));
}

static void finish(struct detail_job *job)
{
    struct detail *d = job->out;
    double n = (double)job->weights, norms = sqrt(job->sum_w2 * job->sum_v2);
    d->mse = n > 0 ? job->sum_e2 / n : 0;
    d->clipped = n > 0 ? (double)job->q->error.clipped / n : 0;
    d->cosine = norms > 0 ? job->sum_wv / norms : 1;
}

bool detail_step(struct detail_job *job, double seconds)
{
    double begin = clock_seconds();
    size_t rows = job->q->matrix.rows;
    while (clock_seconds() - begin < seconds) {
        if (job->row == rows && job->ranged) {
            finish(job);
            return true;
        }
        if (job->row == rows)
            open_histograms(job);
        (job->ranged ? count_row : range_row)(job, job->row);
        job->row++;
    }
    return false;
}

struct detail *detail_take(struct detail_job *job)
{
    struct detail *d = job->out;
    job->out = NULL;
    return d;
}

void detail_end(struct detail_job *job)
{
    qtensor_unref(job->q);
    detail_unref(job->out);
    free(job->before);
    free(job->after);
    *job = (struct detail_job){0};
}

/* ---- one weight ------------------------------------------------------------------------------ */

static double code_value(const struct qmatrix *m, size_t row, size_t col)
{
    const struct dtype_info *type = &dtypes[m->format.weight];
    size_t g = col / m->group;
    uint32_t code = qmatrix_code(m, row, col);
    if (type->kind != DTYPE_KIND_INTEGER)
        return (double)type->decode(code) * (double)qmatrix_scale(m, row, g);
    return (double)((int32_t)code - qmatrix_zero(m, row, g)) * (double)qmatrix_scale(m, row, g);
}

/* Integer codes in their written form: symmetric ones around 0, asymmetric ones from 0. */
static void number_codes(struct weight_view *v, const struct qmatrix *m)
{
    const struct dtype_info *type = &dtypes[m->format.weight];
    long offset = m->format.asym ? type->label_offset : -type->symmetric_zero;
    v->code = (int32_t)qmatrix_code(m, v->row, v->col) + offset;
    v->zero = qmatrix_zero(m, v->row, v->col / m->group) + offset;
    v->lowest = m->format.asym ? type->lowest + offset : -(long)type->largest;
    v->highest = m->format.asym ? type->highest + offset : (long)type->largest;
    for (size_t c = v->group_begin; c < v->group_end; c++) {
        long at = (int32_t)qmatrix_code(m, v->row, c) + offset - v->lowest;
        if (at >= 0 && at < CODE_LABELS)
            v->counts[at]++;
    }
}

/* The columns that share a scale with this one, or the block that it is stored in. */
static void find_group(struct weight_view *v, const struct qmatrix *m)
{
    size_t columns = v->coded ? m->group : dtypes[m->format.weight].block;
    v->group_begin = v->col / columns * columns;
    v->group_end = v->group_begin + columns < m->cols ? v->group_begin + columns : m->cols;
}

static void find_range(struct weight_view *v, const float *row)
{
    v->group_min = INFINITY;
    v->group_max = -INFINITY;
    for (size_t c = v->group_begin; c < v->group_end; c++) {
        if (!isfinite(row[c]))
            continue;
        v->group_min = fmin(v->group_min, row[c]);
        v->group_max = fmax(v->group_max, row[c]);
    }
    if (v->group_min > v->group_max) /* nothing finite */
        v->group_min = v->group_max = 0;
}

static bool is_outlier(const struct qmatrix *m, size_t col)
{
    bool is = false;
    for (size_t i = 0; m->input_transform && i < m->input_transform->outliers; i++)
        is |= m->input_transform->columns[i] == col;
    return is;
}

/* What the code was chosen for. The stored weights are read into `row` (cols). */
static void find_target(struct weight_view *v, const struct model *model, const struct qtensor *q, float *row)
{
    const struct targets *t = &q->targets;
    const float *kept = qtensor_targets(q, v->row);
    v->target_differs = t->differ;
    v->targets_first = t->first;
    v->targets_around = t->around;
    v->targets_end = t->around + t->count;
    if (!t->differ) {
        model_decode_row(model, q->tensor, v->row, row);
        v->target = row[v->col] * qmatrix_input_scale(&q->matrix, v->col); /* in fp32, as it was when it was packed */
    } else {
        v->target = kept ? (double)kept[v->col] : NAN;
    }
}

/* The code, the scale and what they come to. On-demand weights have no codes in memory: the generated weight is the
 * code. */
static void find_code(struct weight_view *v, const struct qmatrix *m, bool generated)
{
    const struct dtype_info *type = &dtypes[m->format.weight];
    v->scale = qmatrix_scale(m, v->row, v->col / m->group);
    v->input_scale = qmatrix_input_scale(m, v->col);
    v->outlier = is_outlier(m, v->col);
    if (!generated && !m->input_transform) /* else what the codes come to is not all */
        v->decoded = code_value(m, v->row, v->col);
    if (type->kind == DTYPE_KIND_INTEGER)
        number_codes(v, m);
    else
        v->code = generated ? (long)type->encode((float)v->decoded) : (long)qmatrix_code(m, v->row, v->col);
}

struct weight_view weight_view(const struct model *model, const struct qtensor *q, size_t row,
                               size_t col)
{
    const struct qmatrix *m = &q->matrix;
    struct weight_view v = {.tensor = q->tensor, .row = row, .col = col, .input_scale = 1, .target = NAN};
    float *before = row < m->rows && col < m->cols ? malloc(2 * m->cols * sizeof *before) : NULL;
    if (!before)
        return v;
    decode_rows(model, q, row, before, before + m->cols);
    v.valid = true;
    v.coded = dtypes[m->format.weight].kind != DTYPE_KIND_BLOCK;
    v.w = before[col];
    v.decoded = before[m->cols + col];
    find_group(&v, m);
    find_range(&v, before);
    if (v.coded) {
        find_code(&v, m, qtensor_on_demand(model, q));
        find_target(&v, model, q, before);
    }
    free(before);
    return v;
}

#include "requant_rows.h"

#include "kernels/clip.h"
#include "kernels/dispatch.h"

#include <stdlib.h>
#include <string.h>

/* A row of weights that codes are to stand for. Returns those in fp16 columns that overflow. */
static size_t read_row(struct requant *job, size_t r, float *row)
{
    if (job->trained)
        memcpy(row, job->trained + r * job->out->matrix.cols, job->out->matrix.cols * sizeof *row);
    else
        isa_current()->decode_row(&job->model->tensors[job->tensor].stored, r, row);
    return quantize_input_transform(&job->out->matrix, r, row);
}

void requant_scan_row(struct requant *job, size_t r, float *row)
{
    read_row(job, r, row);
    value_range_add(&job->row_range[r], row, job->out->matrix.cols);
}

void requant_clip_row(struct requant *job, size_t r, float *row)
{
    const struct qmatrix *m = &job->out->matrix;
    read_row(job, r, row);
    for (size_t trial = 0; trial < CLIP_TRIALS; trial++) {
        struct quant_params params = quantize_params(m, clip_range(job->range, trial, job->range_min));
        job->row_clip[r * CLIP_TRIALS + trial] = clip_error(m, params, row, m->cols, job->importance);
    }
}

/* Scales of a row's groups; a whole tensor's is there already. */
static void choose_grids(struct requant *job, size_t r, const float *row)
{
    struct qmatrix *m = &job->out->matrix;
    if (qmatrix_is_blocks(m)) {
        job->row_out_of_range[r].overflowed = quantize_blocks(m, r, row, job->importance);
        return;
    }
    for (size_t g = 0, c = 0; c < m->cols && m->format.granularity != GRANULARITY_TENSOR;
         g++, c += m->group) {
        size_t n = m->cols - c < m->group ? m->cols - c : m->group;
        const float *importance = job->importance ? job->importance + c : NULL;
        struct value_range range = {0, 0};
        value_range_add(&range, row + c, n);
        quantize_set_params(m, r, g, job->range_min < 1 ? clip_params(m, row + c, n, importance, job->range_min)
                                                        : quantize_params(m, range));
    }
}

void requant_load_row(struct requant *job, size_t r, float *row)
{
    read_row(job, r, row);
    choose_grids(job, r, row);
    job->solver->load(job->solving, r, row);
}

/* Grids that were trained; that of a whole tensor once and for all. */
static void set_grids(struct requant *job, size_t r)
{
    struct qmatrix *m = &job->out->matrix;
    bool whole = m->format.granularity == GRANULARITY_TENSOR;
    for (size_t g = 0; g < m->groups && !whole; g++)
        quantize_set_params(m, r, g, job->grids[r * m->groups + g]);
}

/* Scales, minimums and codes together; for a solver that was done as the row was loaded, and its codes follow. */
static struct out_of_range pack_blocks(struct requant *job, size_t r, float *row)
{
    struct qmatrix *m = &job->out->matrix;
    if (!job->solving)
        choose_grids(job, r, row);
    else if (job->solver->row(job->solving, r, row))
        quantize_blocks_with_scales(m, r, row);
    return (struct out_of_range){.overflowed = job->row_out_of_range[r].overflowed};
}

/* Packs what `row` holds, the weights that codes are to stand for, which `targets` holds, too. */
static struct out_of_range pack_values(struct requant *job, size_t r, float *row, const float *targets)
{
    struct qmatrix *m = &job->out->matrix;
    if (qmatrix_is_blocks(m))
        return pack_blocks(job, r, row);
    if (job->trained) {
        set_grids(job, r);
        quantize_row_with_params(m, r, row);
    } else if (job->solving) {
        job->solver->row(job->solving, r, row);
        quantize_row_with_params(m, r, row);
    } else if (job->range_min < 1) {
        choose_grids(job, r, row);
        quantize_row_with_params(m, r, row);
    } else {
        quantize_row(m, r, row);
    }
    return row_out_of_range(m, r, targets);
}

/* `targets` has room for a row. */
static void quantize(struct requant *job, size_t r, float *row, float *targets)
{
    const struct qmatrix *m = &job->out->matrix;
    struct out_of_range *out = &job->row_out_of_range[r];
    size_t overflowed = read_row(job, r, row);
    memcpy(targets, row, m->cols * sizeof *row);
    if (job->solving)
        job->solver->targets(job->solving, r, targets);
    *out = pack_values(job, r, row, targets);
    out->overflowed += overflowed;
}

/* Measures e = w' - w of a row, w of the reference. Sums are kept a row, so that the totals do not depend on
 * how rows were shared out. */
static void measure_row(struct requant *job, size_t r, const float *reference, const float *back)
{
    struct difference d;
    difference_measure(&d, reference, back, job->reference->cols);
    job->row_w2[r] = d.sum_w2;
    job->row_e2[r] = d.sum_e2;
    job->row_max[r] = d.largest;
    job->row_max_col[r] = (uint32_t)d.column;
    if (d.altered)
        atomic_store(&job->altered, true);
}

void requant_pack_row(struct requant *job, size_t r, float *row)
{
    const struct qmatrix *stored = &job->model->tensors[job->tensor].stored;
    float *back = row + stored->cols;
    /* Where `row` becomes something else than the stored weights. */
    bool altered = job->solving || job->trained || job->out->matrix.input_transform;
    quantize(job, r, row, back);
    qmatrix_decode_row(&job->out->matrix, r, back);
    if (job->reference != stored || altered)
        isa_current()->decode_row(job->reference, r, row);
    measure_row(job, r, row, back);
}

void requant_compare_row(struct requant *job, size_t r, float *row)
{
    float *back = row + job->reference->cols;
    isa_current()->decode_row(&job->out->matrix, r, back);
    isa_current()->decode_row(job->reference, r, row);
    measure_row(job, r, row, back);
}

enum { KEPT_TARGETS = 1 << 15 /* weights of the first rows */, KEPT_AROUND = 3 /* rows around the largest error */ };

void requant_keep_targets(struct requant *job)
{
    const struct qmatrix *m = &job->out->matrix;
    size_t first = KEPT_TARGETS / m->cols + 1, worst = job->out->error.max_row;
    struct targets t = {.differ = true, .first = first < m->rows ? first : m->rows};
    t.around = worst > 0 ? worst - 1 : 0;
    t.count = m->rows - t.around < KEPT_AROUND ? m->rows - t.around : KEPT_AROUND;
    t.values = malloc((t.first + t.count) * m->cols * sizeof *t.values);
    for (size_t i = 0; t.values && i < t.first + t.count; i++) {
        size_t r = i < t.first ? i : t.around + i - t.first;
        read_row(job, r, t.values + i * m->cols);
        if (job->solving)
            job->solver->targets(job->solving, r, t.values + i * m->cols);
    }
    job->out->targets = t;
}

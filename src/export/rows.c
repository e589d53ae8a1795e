/* Rows of the model as rows of a file: their order, and floats in three types. */
#include "internal.h"

const struct qmatrix *export_matrix(const struct export *job, const struct export_item *item)
{
    return &job->plan.weights->layer[item->tensor]->matrix;
}

/* Element i of pair p of a head: next to each other, or half the rotary dimensions apart. */
static size_t reorder(const struct hyper *h, enum row_order order, size_t index)
{
    size_t rotary = rotary_dims(h), half = rotary / 2, at = index % h->head_size;
    if (order == ROWS_AS_THEY_ARE || at >= rotary)
        return index;
    size_t from = order == ROWS_TO_NEIGHBOURS ? at % 2 * half + at / 2 : at % half * 2 + at / half;
    return index - at + from;
}

size_t export_source(const struct export *job, const struct export_item *item, size_t index)
{
    return reorder(&job->plan.model->hyper, item->order, index);
}

/* A column of the matrix, which is a row of the file. */
static void transposed_values(const struct export *job, const struct export_item *item, size_t c, float *out)
{
    const struct qmatrix *m = export_matrix(job, item);
    for (size_t r = 0; r < m->rows; r++) {
        qmatrix_decode_codes(m, r, c, 1, &out[r]);
        out[r] /= folding_divisor(&job->folding, item->tensor, r, c);
    }
}

static void vector_values(const struct export *job, const struct export_item *item, float *out)
{
    const struct qmatrix *m = export_matrix(job, item);
    for (size_t i = 0; i < m->cols; i++) {
        size_t c = export_source(job, item, i);
        qmatrix_decode(m, 0, c, 1, &out[i]);
        out[i] = out[i] / folding_divisor(&job->folding, item->tensor, 0, c) - (item->from_one ? 1.0f : 0.0f);
    }
}

void export_values(const struct export *job, const struct export_item *item, size_t row, float *out)
{
    const struct qmatrix *m = export_matrix(job, item);
    if (item->transposed) {
        transposed_values(job, item, row, out);
        return;
    }
    if (item->dimensions == 1) {
        vector_values(job, item, out);
        return;
    }
    size_t r = export_source(job, item, row);
    float divisor = folding_divisor(&job->folding, item->tensor, r, 0);
    qmatrix_decode_codes(m, r, 0, m->cols, out);
    for (size_t c = 0; divisor != 1 && c < m->cols; c++)
        out[c] /= divisor;
}

float export_scale(const struct export *job, const struct export_item *item, size_t r, size_t g)
{
    return qmatrix_scale(export_matrix(job, item), r, g) / folding_divisor(&job->folding, item->tensor, r, 0);
}

/* ---- types ----------------------------------------------------------------------------------- */

bool encode_fp32(const struct export *job, const struct export_item *item, size_t row, uint8_t *out,
                 struct error *error)
{
    (void)error;
    export_values(job, item, row, job->values);
    memcpy(out, job->values, item->row_bytes);
    return true;
}

static bool encode_halves(const struct export *job, const struct export_item *item, size_t row, uint8_t *out,
                          uint16_t (*encode)(float))
{
    export_values(job, item, row, job->values);
    for (size_t i = 0; i < item->row_bytes / 2; i++)
        memcpy(out + 2 * i, &(uint16_t){encode(job->values[i])}, 2);
    return true;
}

bool encode_fp16(const struct export *job, const struct export_item *item, size_t row, uint8_t *out,
                 struct error *error)
{
    (void)error;
    return encode_halves(job, item, row, out, fp16_encode);
}

bool encode_bf16(const struct export *job, const struct export_item *item, size_t row, uint8_t *out,
                 struct error *error)
{
    (void)error;
    return encode_halves(job, item, row, out, bf16_encode);
}

bool encode_stored(const struct export *job, const struct export_item *item, size_t row, uint8_t *out,
                   struct error *error)
{
    const struct qmatrix *m = export_matrix(job, item);
    (void)error;
    memcpy(out, m->codes + export_source(job, item, row) * m->row_bytes, item->row_bytes);
    return true;
}

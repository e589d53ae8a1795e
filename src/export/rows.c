/* Rows of the model as rows of a file: their order, and floats in three types. */
#include "internal.h"

#include "kernels/out_of_range.h"

#include <math.h>

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

/* Folding can make a finite number infinite. */
static float divided(const struct export *job, const struct export_item *item, float value, float divisor)
{
    float quotient = value / divisor;
    export_count_overflow(job, item, isfinite(value) && !isfinite(quotient));
    return quotient;
}

/* A column of the matrix, which is a row of the file. */
static void transposed_values(const struct export *job, const struct export_item *item, size_t c, float *out)
{
    const struct qmatrix *m = export_matrix(job, item);
    for (size_t r = 0; r < m->rows; r++) {
        qmatrix_decode_codes(m, r, c, 1, &out[r]);
        qmatrix_scale_weights(m, 1, &out[r]);
        out[r] = divided(job, item, out[r], folding_divisor(&job->folding, item->tensor, r, c));
    }
}

static void vector_values(const struct export *job, const struct export_item *item, float *out)
{
    const struct qmatrix *m = export_matrix(job, item);
    for (size_t i = 0; i < m->cols; i++) {
        size_t c = export_source(job, item, i);
        qmatrix_decode(m, 0, c, 1, &out[i]);
        out[i] = divided(job, item, out[i], folding_divisor(&job->folding, item->tensor, 0, c)) -
                 (item->from_one ? 1.0f : 0.0f);
    }
}

void export_values(const struct export *job, const struct export_item *item, size_t row, float *out)
{
    const struct qmatrix *m = export_matrix(job, item);
    if (item->transposed) {
        transposed_values(job, item, row, out);
        return;
    }
    if (roles[job->plan.model->tensors[item->tensor].role].vector) {
        vector_values(job, item, out);
        return;
    }
    size_t r = export_source(job, item, row);
    float divisor = folding_divisor(&job->folding, item->tensor, r, 0);
    qmatrix_decode_codes(m, r, 0, m->cols, out);
    qmatrix_scale_weights(m, m->cols, out);
    for (size_t c = 0; divisor != 1 && c < m->cols; c++)
        out[c] = divided(job, item, out[c], divisor);
}

float export_scale(const struct export *job, const struct export_item *item, size_t r, size_t g)
{
    return qmatrix_scale(export_matrix(job, item), r, g) / folding_divisor(&job->folding, item->tensor, r, 0);
}

void export_put_fp16(const struct export *job, const struct export_item *item, float value, uint8_t *out)
{
    float largest = dtypes[DTYPE_FP16].largest;
    uint16_t code = fp16_encode(value);
    if (isfinite(value) && !isfinite(fp16_decode(code))) {
        export_count_overflow(job, item, 1);
        code = fp16_encode(copysignf(largest, value));
    }
    memcpy(out, &code, sizeof code);
}

void export_put_fp32(const struct export *job, const struct export_item *item, float value, uint8_t *out)
{
    export_count_overflow(job, item, isinf(value) != 0);
    memcpy(out, &value, sizeof value);
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
                          enum dtype dtype)
{
    size_t n = item->row_bytes / 2;
    export_values(job, item, row, job->values);
    export_count_overflow(job, item, count_overflow(dtype, job->values, n));
    for (size_t i = 0; i < n; i++)
        memcpy(out + 2 * i, &(uint16_t){(uint16_t)dtypes[dtype].encode(job->values[i])}, 2);
    return true;
}

bool encode_fp16(const struct export *job, const struct export_item *item, size_t row, uint8_t *out,
                 struct error *error)
{
    (void)error;
    return encode_halves(job, item, row, out, DTYPE_FP16);
}

bool encode_bf16(const struct export *job, const struct export_item *item, size_t row, uint8_t *out,
                 struct error *error)
{
    (void)error;
    return encode_halves(job, item, row, out, DTYPE_BF16);
}

bool encode_stored(const struct export *job, const struct export_item *item, size_t row, uint8_t *out,
                   struct error *error)
{
    const struct qmatrix *m = export_matrix(job, item);
    (void)error;
    memcpy(out, m->codes + export_source(job, item, row) * m->row_bytes, item->row_bytes);
    return true;
}

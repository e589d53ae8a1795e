#include "matrix.h"

#include <stdlib.h>

static bool multiply(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

bool qmatrix_layout(const struct scheme *s, size_t rows, size_t cols, struct qmatrix_layout *out)
{
    const struct dtype_info *type = &dtypes[s->weight];
    struct qmatrix_layout l = {.group = cols, .groups = 1};
    bool grouped = s->granularity == GRANULARITY_GROUP && type->kind != DTYPE_KIND_FLOAT;
    if (grouped && s->group < cols) {
        l.group = s->group;
        l.groups = (cols - 1) / s->group + 1;
    }
    size_t scales = 0, bits;
    if (type->kind != DTYPE_KIND_FLOAT) {
        l.scale_type = grouped ? SCALE_FP16 : SCALE_FP32;
        if (s->granularity == GRANULARITY_TENSOR)
            scales = 1;
        else if (!multiply(rows, l.groups, &scales))
            return false;
    }
    if (!multiply(cols, type->bits, &bits) || bits > SIZE_MAX - 7)
        return false;
    l.row_bytes = (bits + 7) / 8;
    if (s->asym) {
        size_t zero_rows = s->granularity == GRANULARITY_TENSOR ? 1 : rows;
        l.zero_row_bytes = (l.groups * type->bits + 7) / 8;
        if (!multiply(zero_rows, l.zero_row_bytes, &l.zeros))
            return false;
    }
    if (!multiply(rows, l.row_bytes, &l.codes) ||
        !multiply(scales, l.scale_type == SCALE_FP16 ? 2 : 4, &l.scales) ||
        l.codes > SIZE_MAX / 4 || l.scales > SIZE_MAX / 4 || l.zeros > SIZE_MAX / 4)
        return false;
    *out = l;
    return true;
}

bool qmatrix_init(struct qmatrix *m, const struct scheme *scheme, size_t rows, size_t cols,
                  struct error *error)
{
    struct qmatrix_layout l;
    if (!qmatrix_layout(scheme, rows, cols, &l))
        return error_set(error, "a matrix of %zu x %zu is too large to address", rows, cols);
    /* Each part begins on a cache line. */
    size_t total = padded_bytes(l.codes) + padded_bytes(l.scales) + padded_bytes(l.zeros);
    uint8_t *memory = aligned_alloc(64, total ? total : 64);
    if (!memory)
        return error_set(error, "not enough memory: %zu bytes for a matrix of %zu x %zu", total, rows,
                         cols);
    memset(memory, 0, total);
    *m = (struct qmatrix){
        .rows = rows,
        .cols = cols,
        .scheme = *scheme,
        .group = l.group,
        .groups = l.groups,
        .row_bytes = l.row_bytes,
        .zero_row_bytes = l.zero_row_bytes,
        .scale_type = l.scale_type,
        .bytes = l.codes + l.scales + l.zeros,
        .codes = memory,
        .scales = l.scales ? memory + padded_bytes(l.codes) : NULL,
        .zeros = l.zeros ? memory + padded_bytes(l.codes) + padded_bytes(l.scales) : NULL,
        .owned = memory,
    };
    return true;
}

void qmatrix_free(struct qmatrix *m)
{
    free(m->owned);
    *m = (struct qmatrix){0};
}

static bool per_tensor(const struct qmatrix *m)
{
    return m->scheme.granularity == GRANULARITY_TENSOR;
}

float qmatrix_scale(const struct qmatrix *m, size_t r, size_t g)
{
    size_t i = per_tensor(m) ? 0 : r * m->groups + g;
    switch (m->scale_type) {
    case SCALE_FP32:
        return ((const float *)m->scales)[i];
    case SCALE_FP16:
        return fp16_decode(((const uint16_t *)m->scales)[i]);
    case SCALE_NONE:
        break;
    }
    return 1.0f;
}

int qmatrix_zero(const struct qmatrix *m, size_t r, size_t g)
{
    if (!m->zeros)
        return dtypes[m->scheme.weight].symmetric_zero;
    const uint8_t *row = m->zeros + (per_tensor(m) ? 0 : r * m->zero_row_bytes);
    int8_t zero;
    dtypes[m->scheme.weight].unpack_run(row, g, 1, &zero);
    return zero;
}

uint32_t qmatrix_code(const struct qmatrix *m, size_t r, size_t c)
{
    const struct dtype_info *type = &dtypes[m->scheme.weight];
    const uint8_t *row = m->codes + r * m->row_bytes;
    if (type->kind == DTYPE_KIND_INTEGER) {
        int8_t code;
        type->unpack_run(row, c, 1, &code);
        return (uint32_t)code;
    }
    uint32_t code = 0;
    memcpy(&code, row + c * (type->bits / 8), type->bits / 8); /* little-endian hosts only */
    return code;
}

void qmatrix_decode(const struct qmatrix *m, size_t r, size_t first, size_t n, float *out)
{
    const struct dtype_info *type = &dtypes[m->scheme.weight];
    const uint8_t *row = m->codes + r * m->row_bytes;
    for (size_t c = first, end = first + n; c < end;) {
        size_t g = c / m->group, next = (g + 1) * m->group;
        size_t part = (next < end ? next : end) - c;
        type->decode_run(row, c, part, qmatrix_zero(m, r, g), out);
        float scale = qmatrix_scale(m, r, g);
        for (size_t i = 0; i < part && m->scale_type != SCALE_NONE; i++)
            out[i] *= scale;
        out += part;
        c += part;
    }
}

void qmatrix_decode_row(const struct qmatrix *m, size_t r, float *out)
{
    qmatrix_decode(m, r, 0, m->cols, out);
}

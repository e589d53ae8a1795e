/* matrix.h - struct qmatrix: a packed matrix with its scales and zero points.
 *
 * Shapes are rows x cols = out_features x in_features, row-major. Groups run along the columns; the
 * last group of a row may be shorter. A matrix either owns its memory or borrows it from a mapped
 * file, which must then outlive it. */
#ifndef QTOP_MATRIX_H
#define QTOP_MATRIX_H

#include "scheme.h"

enum scale_type { SCALE_NONE, SCALE_FP32, SCALE_FP16 };

/* Sizes in bytes of the parts of a packed matrix. */
struct qmatrix_layout {
    size_t group;     /* columns that share one scale */
    size_t groups;    /* scales in a row */
    size_t row_bytes; /* codes of one row */
    size_t zero_row_bytes;
    enum scale_type scale_type;
    size_t codes, scales, zeros;
};

struct qmatrix {
    size_t rows, cols;
    struct scheme scheme;
    size_t group, groups, row_bytes, zero_row_bytes;
    enum scale_type scale_type;
    size_t bytes;          /* codes + scales + zero points */
    const uint8_t *codes;  /* rows x row_bytes */
    const void *scales;    /* 1 (tensor), rows (channel) or rows x groups (group) */
    const uint8_t *zeros;  /* int8: signed bytes, int4: nibbles, rows x groups; null if symmetric */
    void *owned;           /* freed by qmatrix_free; null when the memory is borrowed */
};

/* Computes the layout; false when a size does not fit in a size_t. */
bool qmatrix_layout(const struct scheme *scheme, size_t rows, size_t cols,
                    struct qmatrix_layout *out);

/* Bytes rounded up to whole cache lines. */
static inline size_t padded_bytes(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* Makes an owned matrix with room for its codes, all zero. False when memory is short. The writable
 * parts are filled by quantize.h. */
bool qmatrix_init(struct qmatrix *m, const struct scheme *scheme, size_t rows, size_t cols,
                  struct error *error);
void qmatrix_free(struct qmatrix *m);

/* The scale (1 where there is none) and the zero point, in stored codes, of column group g of row r. */
float qmatrix_scale(const struct qmatrix *m, size_t r, size_t g);
int qmatrix_zero(const struct qmatrix *m, size_t r, size_t g);

/* The stored code of one weight (see dtype.h), and its exact value. */
uint32_t qmatrix_code(const struct qmatrix *m, size_t r, size_t c);

/* Decodes n columns of row r from column `first` on into out: scale * (code - zero), in fp32. */
void qmatrix_decode(const struct qmatrix *m, size_t r, size_t first, size_t n, float *out);
void qmatrix_decode_row(const struct qmatrix *m, size_t r, float *out);

#endif

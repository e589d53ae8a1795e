/* matrix.h - struct qmatrix: a packed matrix with its scales and zero points.
 *
 * Shapes are rows x cols = out_features x in_features. Groups run along the columns; the last group
 * of a row may be shorter. A matrix either owns its memory or borrows it from a mapped file, which
 * must then outlive it.
 *
 * A borrowed matrix lies as files hold it, row after row; only there are the stored types, whose blocks
 * hold their own scales and are aligned to nothing: one group, no scales, no zero points. An owned one
 * lies in panels, one layout for every instruction set: 16 rows share a panel, a panel is a sequence of
 * 64-byte lines, and a line holds the same few columns of its 16 rows, 32 bits a row. So a kernel reads
 * one stream, and what belongs to a row stays in its lane of a vector. Within a line (row r of 16,
 * column c of the line):
 *
 *   fp32            1 column    fp32 r
 *   fp16            2 columns   16-bit element 16 c + r
 *   bf16            2 columns   16-bit element 2 r + c: pairs, as dot products of bf16 take them
 *   int8            4 columns   byte 4 r + c: fours, as dot products of bytes take them
 *   fp8e4m3/e5m2    4 columns   byte 16 c + r
 *   int4            8 columns   nibble 8 r + p, low nibble of a byte first, where p is c/2 for even
 *                               and 4 + c/2 for odd c: shifts by 0, 4, 8, 12 bring up pairs
 *
 * A group begins a new line; the columns that fill its last line and the rows that fill the last panel
 * have code 0 and meet no activation. Scales and zero points lie panel after panel, group after
 * group, 16 a group (a whole tensor has one). */
#ifndef QTOP_MATRIX_H
#define QTOP_MATRIX_H

#include "qformat.h"

enum scale_type { SCALE_NONE, SCALE_FP32, SCALE_FP16 };

enum { PANEL_ROWS = 16, LINE_BYTES = 64 };

/* Sizes in bytes of the parts of a packed matrix, without what fills lines and panels. */
struct qmatrix_layout {
    size_t group;     /* columns that share one scale */
    size_t groups;    /* scales in a row */
    size_t row_bytes; /* codes of one row */
    enum scale_type scale_type;
    size_t codes, scales, zeros;
};

/* How a matrix takes its activations, where calibration changed that. The weights it stands for are then
 * codes * scale / input scale, and in the outlier columns those of a matrix of their own. */
struct input_transform {
    float *scale;              /* cols: each activation is divided by its column's; or null */
    size_t outliers;           /* columns that are left out here ... */
    uint32_t *columns;         /* ... in ascending order ... */
    struct qmatrix *weights;   /* ... and multiplied by these, rows x outliers; null where there are none */
    float act_scale;           /* of static activations; 0: dynamic */
    int act_zero;
};

struct qmatrix {
    size_t rows, cols;
    struct qformat format;
    size_t group, groups, row_bytes; /* row_bytes: codes of one row, in rows */
    enum scale_type scale_type;
    size_t bytes;          /* codes + scales + zero points + input transform, without what fills lines and panels */
    bool panels;           /* else rows */
    size_t group_lines;    /* lines of a whole group in a panel, and of all groups */
    size_t lines;
    bool odd;              /* holds fp8 NaN: only the plain kernels multiply those */
    const uint8_t *codes;
    const void *scales;    /* 1 (tensor), rows (channel) or rows x groups (group) */
    const uint8_t *zeros;  /* int8: signed bytes, int4: nibbles, like the scales; null if symmetric */
    void *owned;           /* freed by qmatrix_free; null when the memory is borrowed */
    struct input_transform *input_transform; /* of an owned matrix, or null */
};

/* Columns in a line of a panel. */
static inline size_t line_columns(enum dtype dtype)
{
    return 32 / dtypes[dtype].bits;
}

/* Panels of 16 rows, the last one perhaps not full: also of a matrix that lies in rows. */
static inline size_t qmatrix_panels(const struct qmatrix *m)
{
    return (m->rows + PANEL_ROWS - 1) / PANEL_ROWS;
}

/* Where the scale and the zero point of a row's group stand. */
static inline size_t qmatrix_params_index(const struct qmatrix *m, size_t r, size_t g)
{
    if (m->format.granularity == GRANULARITY_TENSOR)
        return 0;
    return m->panels ? (r / PANEL_ROWS * m->groups + g) * PANEL_ROWS + r % PANEL_ROWS
                     : r * m->groups + g;
}

/* Computes the layout; false when a size does not fit in a size_t, or when columns of a stored type do
 * not fill its blocks. */
bool qmatrix_layout(const struct qformat *format, size_t rows, size_t cols,
                    struct qmatrix_layout *out);

/* Bytes rounded up to whole cache lines. */
static inline size_t padded_bytes(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* Makes an owned matrix, in panels, with room for its codes, all zero. False when memory is short or the
 * type is a stored one. The writable parts are filled by quantize.h. */
bool qmatrix_init(struct qmatrix *m, const struct qformat *format, size_t rows, size_t cols,
                  struct error *error);
void qmatrix_free(struct qmatrix *m);

/* What calibration gives to an owned matrix, before its rows are packed. A copy of cols input scales; those
 * that are not positive and finite become 1. */
bool qmatrix_set_input_scale(struct qmatrix *m, const float *scale, struct error *error);

/* Outlier columns, in ascending order; their weights are fp16 and multiply activations as they are. */
bool qmatrix_set_outliers(struct qmatrix *m, const uint32_t *columns, size_t n, struct error *error);

/* The scale (positive and finite) and zero point of static activations. */
bool qmatrix_set_act_scale(struct qmatrix *m, float scale, int zero, struct error *error);

/* The input scale of a column; 1 where there is none. */
static inline float qmatrix_input_scale(const struct qmatrix *m, size_t c)
{
    return m->input_transform && m->input_transform->scale ? m->input_transform->scale[c] : 1.0f;
}

/* The scale (1 where there is none) and the zero point, in stored codes, of column group g of row r. */
float qmatrix_scale(const struct qmatrix *m, size_t r, size_t g);
int qmatrix_zero(const struct qmatrix *m, size_t r, size_t g);

/* The stored code of one weight (see dtype.h); 0 where a block of several stands for it. */
uint32_t qmatrix_code(const struct qmatrix *m, size_t r, size_t c);

/* The stored integer codes, as signed bytes, of n columns of row r from column `first` on; all of one
 * group, at most 256. */
void qmatrix_unpack(const struct qmatrix *m, size_t r, size_t first, size_t n, int8_t *out);

/* Decodes n columns of row r from column `first` on into out: scale * (code - zero), in fp32; of a
 * stored type what its blocks say. What kernels multiply with. */
void qmatrix_decode_codes(const struct qmatrix *m, size_t r, size_t first, size_t n, float *out);

/* The same of the weights that the matrix stands for: see struct input_transform. */
void qmatrix_decode(const struct qmatrix *m, size_t r, size_t first, size_t n, float *out);

/* Packs n columns of row r, which all belong to group g and begin at its first column or at a
 * multiple of `line_columns` after it. The codes come as decode_run and unpack_run of dtype.h read
 * them. */
void qmatrix_put_codes(struct qmatrix *m, size_t r, size_t g, size_t first, size_t n,
                       const uint8_t *codes);
void qmatrix_decode_row(const struct qmatrix *m, size_t r, float *out);

#endif

/* matrix.h - struct qmatrix: a packed matrix with its scales and zero points.
 *
 * Shapes are rows x cols = out_features x in_features. Groups run along the columns; the last group
 * of a row may be shorter. A matrix either owns its memory or borrows it from a mapped file, which
 * must then outlive it.
 *
 * Words of kernels/:
 *   panel          16 rows packed together
 *   line           64 bytes of a panel: a few columns of its 16 rows
 *   lane           one row's 32 bits of a line, and one of the 16 elements of a vector
 *   tile           what a micro-kernel computes at once: up to MR tokens x some panels, at most NR_PANELS
 *   micro-kernel   multiplies lines of the panels of a tile by the packed activations of its tokens
 *   chunk          what fits in a cache at a time: panels, or lines of dequantized weights
 *   block          a stored type's run of columns with scales of its own (stored.h)
 *   group          columns that share one scale and zero point
 * A product is Y = X W^T: tokens x rows = (tokens x cols) (rows x cols)^T.
 *
 * A borrowed matrix lies as files hold it, row after row. Only borrowed ones can have a stored type, whose
 * blocks hold their own scales and have no alignment: one group, no scales, no zero points. An owned matrix
 * is packed into panels, in one layout for every instruction set. A line has 32 bits of each row, so a
 * kernel reads one stream, and a row stays in its lane of a vector. Within a line (row r of 16, column c of
 * the line):
 *
 *   fp32            1 column    fp32 r
 *   fp16            2 columns   16-bit element 16 c + r
 *   bf16            2 columns   16-bit element 2 r + c: pairs, for dot products of bf16
 *   int8            4 columns   byte 4 r + c: for dot products of bytes
 *   fp8e4m3/e5m2    4 columns   byte 16 c + r
 *   int4            8 columns   nibble 8 r + p, low nibble of a byte first, where p is c/2 for even
 *                               and 4 + c/2 for odd c: shifts by 0, 4, 8, 12 give pairs of columns
 *
 * A group begins a new line. The columns that pad its last line and the rows that pad the last panel
 * have code 0; their products are not used. Scales and zero points lie panel after panel, group after
 * group, 16 a group (a whole tensor has one). */
#ifndef QTOP_MATRIX_H
#define QTOP_MATRIX_H

#include "qformat.h"

enum scale_type { SCALE_NONE, SCALE_FP32, SCALE_FP16 };

enum { PANEL_ROWS = 16, LINE_BYTES = 64 };

/* Sizes in bytes of the parts of a matrix, without the padding of lines and panels. */
struct qmatrix_layout {
    size_t group;     /* columns that share one scale */
    size_t groups;    /* scales in a row */
    size_t row_bytes; /* codes of one row */
    enum scale_type scale_type;
    size_t codes, scales, zeros;
};

/* What calibration changes about a matrix's activations. The weights that the matrix represents are then
 * codes * scale / input scale, and in the outlier columns those of a separate matrix. */
struct input_transform {
    float *scale;              /* cols: activations are divided by it; null: by 1 */
    size_t outliers;           /* number of outlier columns, whose activations count as 0 here */
    uint32_t *columns;         /* outliers: their indices, ascending; null without outliers */
    struct qmatrix *weights;   /* rows x outliers: their weights in fp16; null without outliers */
    float act_scale;           /* scale of static activations; 0: dynamic */
    int act_zero;              /* zero point of static activations */
};

struct qmatrix {
    size_t rows, cols;
    struct qformat format;
    size_t group, groups;  /* columns of a group, groups of a row */
    size_t row_bytes;      /* of one row's codes, where they are not packed */
    enum scale_type scale_type;
    size_t bytes;          /* codes + scales + zero points + input transform, without padding */
    bool packed;           /* in panels; else row after row */
    size_t group_lines;    /* lines of a whole group of a panel */
    size_t lines;          /* lines of a panel */
    bool has_nan;          /* some code is an fp8 NaN: only the plain kernels multiply those */
    const uint8_t *codes;  /* panels x lines x LINE_BYTES, or rows x row_bytes */
    const void *scales;    /* 1 (tensor), rows (channel) or rows x groups (group); null without scales */
    float output_scale;    /* by which products, and all weights that it represents, are multiplied; 0: 1 */
    const uint8_t *zeros;  /* as many: int8 signed bytes, int4 nibbles; null if symmetric */
    void *owned;           /* freed by qmatrix_free; null when the memory is borrowed */
    struct input_transform *input_transform; /* of an owned matrix, or null */
};

/* Columns in a line of a panel. */
static inline size_t line_columns(enum dtype dtype)
{
    return 32 / dtypes[dtype].bits;
}

/* Panels of 16 rows, the last one perhaps not full; also for a matrix that is not packed. */
static inline size_t qmatrix_panels(const struct qmatrix *m)
{
    return (m->rows + PANEL_ROWS - 1) / PANEL_ROWS;
}

/* The index of the scale and the zero point of group g of row r. */
static inline size_t qmatrix_params_index(const struct qmatrix *m, size_t r, size_t g)
{
    if (m->format.granularity == GRANULARITY_TENSOR)
        return 0;
    return m->packed ? (r / PANEL_ROWS * m->groups + g) * PANEL_ROWS + r % PANEL_ROWS
                     : r * m->groups + g;
}

/* Computes the layout. False when a size does not fit in a size_t, or when the columns of a stored type are
 * not whole blocks. */
bool qmatrix_layout(const struct qformat *format, size_t rows, size_t cols,
                    struct qmatrix_layout *out);

/* Bytes rounded up to whole cache lines. */
static inline size_t padded_bytes(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* Makes an owned, packed matrix whose codes are all zero. False when memory is short or the type is a stored
 * one. quantize.h fills in codes, scales and zero points. */
bool qmatrix_init(struct qmatrix *m, const struct qformat *format, size_t rows, size_t cols,
                  struct error *error);
void qmatrix_free(struct qmatrix *m);

/* Sets the input scales of an owned matrix, before its rows are packed: a copy of cols values; those that are
 * not positive and finite become 1. */
bool qmatrix_set_input_scale(struct qmatrix *m, const float *scale, struct error *error);

/* Sets its n outlier columns, ascending. Their weights are fp16 and multiply the untransformed activations. */
bool qmatrix_set_outliers(struct qmatrix *m, const uint32_t *columns, size_t n, struct error *error);

/* Sets the scale (positive and finite) and zero point of static activations. */
bool qmatrix_set_act_scale(struct qmatrix *m, float scale, int zero, struct error *error);

/* Whether it is of a block type: rows of blocks as files hold them, with scales of their own. */
static inline bool qmatrix_is_blocks(const struct qmatrix *m)
{
    return dtypes[m->format.weight].kind == DTYPE_KIND_BLOCK;
}

/* The input scale of a column; 1 where there is none. */
static inline float qmatrix_input_scale(const struct qmatrix *m, size_t c)
{
    return m->input_transform && m->input_transform->scale ? m->input_transform->scale[c] : 1.0f;
}

/* Multiplies the products of n tokens with the rows of panels panel0 .. panel1 - 1 by the output scale. */
static inline void qmatrix_scale_products(const struct qmatrix *m, size_t n, size_t panel0, size_t panel1, float *y)
{
    size_t end = panel1 * PANEL_ROWS < m->rows ? panel1 * PANEL_ROWS : m->rows;
    for (size_t t = 0; t < n && m->output_scale > 0; t++)
        for (size_t r = panel0 * PANEL_ROWS; r < end; r++)
            y[t * m->rows + r] *= m->output_scale;
}

/* The same for weights, n of a row. */
static inline void qmatrix_scale_weights(const struct qmatrix *m, size_t n, float *out)
{
    for (size_t i = 0; i < n && m->output_scale > 0; i++)
        out[i] *= m->output_scale;
}

/* The scale (1 where there is none) and the zero point, in stored codes, of column group g of row r. */
float qmatrix_scale(const struct qmatrix *m, size_t r, size_t g);
int qmatrix_zero(const struct qmatrix *m, size_t r, size_t g);

/* The stored code of one weight (see dtype.h); 0 for stored types. */
uint32_t qmatrix_code(const struct qmatrix *m, size_t r, size_t c);

/* The stored integer codes, as signed bytes, of n (at most 256) columns of row r from column `first` on, all of
 * one group. */
void qmatrix_unpack(const struct qmatrix *m, size_t r, size_t first, size_t n, int8_t *out);

/* Dequantizes n columns of row r from column `first` on into out: scale * (code - zero point) in fp32, and
 * blocks of stored types exactly. Kernels multiply by these values, and the products by the output scale. */
void qmatrix_decode_codes(const struct qmatrix *m, size_t r, size_t first, size_t n, float *out);

/* The same for the weights that the matrix represents: see struct input_transform, output_scale. */
void qmatrix_decode(const struct qmatrix *m, size_t r, size_t first, size_t n, float *out);

/* Packs n columns of row r. All belong to group g, and the first is a multiple of `line_columns` after the
 * group's first. The codes are in the order that decode_run and unpack_run of dtype.h read. */
void qmatrix_put_codes(struct qmatrix *m, size_t r, size_t g, size_t first, size_t n,
                       const uint8_t *codes);

/* qmatrix_decode of a whole row. */
void qmatrix_decode_row(const struct qmatrix *m, size_t r, float *out);

#endif

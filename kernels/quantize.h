/* quantize.h - float rows to packed rows, rounding to nearest.
 *
 * Symmetric: scale = max|w| / 7 or / 127. Asymmetric: scale = (max - min) / 15 or / 255 with 0 kept
 * inside the range, zero point = round(-min / scale). fp8: scale = max|w| / 448 or / 57344. Group
 * scales are rounded to fp16 before the codes are chosen, to nearest on symmetric grids and upward
 * on asymmetric ones, whose integer zero point already spends half a step at either end. All-zero
 * rows and groups have scale 1. A value that is not finite takes no part in the choice of a scale;
 * NaN becomes the code of 0 in integers. */
#ifndef QTOP_QUANTIZE_H
#define QTOP_QUANTIZE_H

#include "matrix.h"

/* The finite values' range, with 0 inside. */
struct value_range {
    float min, max;
};

/* Widens *range (begin with {0, 0}) by n values. */
void value_range_add(struct value_range *range, const float *values, size_t n);

/* What became of n values: sums of squares of the values and of the finite differences, the largest
 * difference (-1 where none is finite) and the first column that has it, and whether a value that is not
 * finite became something else. */
struct difference {
    double sum_w2, sum_e2;
    float largest;
    size_t column;
    bool altered;
};
void difference_measure(struct difference *difference, const float *values, const float *other,
                        size_t n);

/* The loops that an instruction set has of its own, see quantize_ops.inc. */
struct quantize_ops {
    void (*update_min_max)(const float *x, size_t n, float *low, float *high);
    void (*round_codes)(const float *x, size_t n, float scale, float low, float high, int zero,
                        int8_t *codes);
    void (*measure_difference)(const float *w, const float *other, size_t n,
                               struct difference *difference);
};

/* Per-tensor schemes: writes the one scale and zero point from the whole matrix's range. Must come
 * before any quantize_row; harmless for the other schemes. */
void quantize_tensor_scale(struct qmatrix *m, struct value_range range);

/* Where the values of one group go: a grid of codes with its scale and zero point (a stored code). */
struct quant_params {
    float scale;
    int zero_point;
};

/* The grid of a range, as rounding to nearest chooses it. */
struct quant_params quantize_params(const struct qmatrix *m, struct value_range range);

/* The grid of column group g of row r; any row and group of a tensor's. */
void quantize_set_params(struct qmatrix *m, size_t r, size_t g, struct quant_params params);

/* Turns weights of row r into those that the codes are to stand for: multiplies by the input scale, and
 * packs the outlier columns, which become 0. Nothing to do where there is no input transform. */
void quantize_input_transform(struct qmatrix *m, size_t r, float *values);

/* Packs row r from cols floats on grids that were set before. */
void quantize_row_with_params(struct qmatrix *m, size_t r, const float *values);

/* What n values become on a grid of the matrix's integer codes. */
void quantize_values(const struct qmatrix *m, struct quant_params params, const float *values, size_t n, float *out);

/* Packs row r of an owned matrix from cols floats. Panels are independent: any thread, any order; the
 * rows of one panel belong to one thread at a time. Values are as quantize_input_transform leaves them. */
void quantize_row(struct qmatrix *m, size_t r, const float *values);

#endif

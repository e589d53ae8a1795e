/* quantize.h - float rows to packed rows, rounding to nearest.
 *
 * Symmetric: scale = max|w| / 7 or / 127. Asymmetric: scale = (max - min) / 15 or / 255 with 0 kept
 * inside the range, zero point = round(-min / scale). fp8: scale = max|w| / 448 or / 57344. Group
 * scales are rounded to fp16 before the codes are chosen: to nearest where symmetric, and up where
 * asymmetric, because rounding the zero point already costs half a step at either end. All-zero
 * rows and groups have scale 1. Values that are not finite are ignored when a scale is chosen; NaN
 * becomes the code of 0 in integers. */
#ifndef QTOP_QUANTIZE_H
#define QTOP_QUANTIZE_H

#include "matrix.h"

/* The range of some values that are finite, extended to contain 0. */
struct value_range {
    float min, max;
};

/* Extends *range (initially {0, 0}) to n more values. */
void value_range_add(struct value_range *range, const float *values, size_t n);

/* The error e of n values w; both count where e is finite. */
struct difference {
    double sum_w2, sum_e2; /* sums of w^2 and e^2 */
    float largest;         /* largest |e|; -1 where no e is finite */
    size_t column;         /* the first that has it */
    bool altered;          /* some value whose error is not finite has changed */
};

/* Measures `other` against n values; column counts from 0. */
void difference_measure(struct difference *difference, const float *values, const float *other,
                        size_t n);

/* Scales and offsets that are tried side by side for the values x of a group, each by its importance w; and sums over
 * the values with their codes q and residuals r = x - (scale * q + offset). */
enum { TRIALS = 16 };
struct trials {
    float scale[TRIALS], offset[TRIALS];
    float q[TRIALS], qq[TRIALS], r[TRIALS], qr[TRIALS], rr[TRIALS]; /* of w q, w q^2, w r, w q r, w r^2 */
};

/* What a refit may move. */
enum refit {
    REFIT_SCALE,
    REFIT_BOTH,
    REFIT_BELOW /* both, with an offset of at most 0 and a scale of at least 0 */
};

/* The loops of quantization, one table for each instruction set: see quantize_ops.inc. */
struct quantize_ops {
    void (*update_min_max)(const float *x, size_t n, float *min, float *max);
    void (*round_codes)(const float *x, size_t n, float scale, float low, float high, int zero,
                        int8_t *codes);
    void (*measure_difference)(const float *w, const float *other, size_t n,
                               struct difference *difference);
    /* The sums of all trials, with the integers of low .. high that are nearest to (x - offset) / scale; with the nearest
     * to x / scale of `count` values, ascending, at most 16, and no offset. Everything is finite. */
    void (*try_codes)(const float *x, const float *w, size_t n, float low, float high, struct trials *trials);
    void (*try_values)(const float *x, const float *w, size_t n, const float *values, size_t count,
                       struct trials *trials);
    /* Moves scales and offsets to the least-squares fit of the codes, whose sum of w is w_sum, and sets rr to the error
     * that is left: infinite where there is none. */
    void (*refit_trials)(double w_sum, enum refit refit, struct trials *trials);
    size_t (*best_trial)(const struct trials *trials); /* the first with the least rr; the last where that is NaN */
};

/* With one scale for the whole tensor: sets scale and zero point from the whole matrix's range. Call it before any
 * quantize_row. Does nothing with other granularities. */
void quantize_tensor_scale(struct qmatrix *m, struct value_range range);

/* Quantization parameters of a group: its values are (code - zero_point) * scale. */
struct quant_params {
    float scale;
    int zero_point; /* a stored code */
};

/* The parameters that rounding to nearest uses for a range. */
struct quant_params quantize_params(const struct qmatrix *m, struct value_range range);

/* Sets the parameters of column group g of row r; per-tensor ones by any r and g. */
void quantize_set_params(struct qmatrix *m, size_t r, size_t g, struct quant_params params);

/* Applies the input transform to the cols weights of row r: multiplies them by the input scale, and packs the outlier
 * columns and sets them to 0. Does nothing where there is no input transform. Returns the outlier columns' finite
 * weights that fp16 has no room for. */
size_t quantize_input_transform(struct qmatrix *m, size_t r, float *values);

/* Packs row r from cols floats with the parameters that were set before. */
void quantize_row_with_params(struct qmatrix *m, size_t r, const float *values);

/* Quantizes n values to the matrix's integer codes and dequantizes them to out (n). */
void quantize_values(const struct qmatrix *m, struct quant_params params, const float *values, size_t n, float *out);

/* Encodes row r of an owned matrix of a block type (encode.h) from cols floats, by the importance of its columns (null:
 * all alike). Returns how many are out of any scale's reach. */
size_t quantize_blocks(struct qmatrix *m, size_t r, const float *values, const float *importance);

/* The same with the scales that row r has already: the nearest codes. */
void quantize_blocks_with_scales(struct qmatrix *m, size_t r, const float *values);

/* Packs row r of an owned matrix from cols floats, after quantize_input_transform. Any threads may pack different
 * panels in any order; the rows of one panel belong to one thread at a time. */
void quantize_row(struct qmatrix *m, size_t r, const float *values);

#endif

/* dense.h - float32 products of dense row-major matrices for training, out of the operators' tiles. The same
 * bits on every instruction set and with any number of threads.
 *
 * A matrix is packed for a product in panels (gram.h): `depth` rows of TILE_F32 columns each. */
#ifndef QTOP_DENSE_H
#define QTOP_DENSE_H

#include "kernels/ops.h"
#include "sys/pool.h"
#include "gram.h"

/* Packs a panel of x transposed (n rows of `depth` columns), as panel_pack does of x. */
void panel_pack_transposed(const float *x, size_t stride, size_t n, size_t depth, size_t panel, float *out);

/* One tile of C += A^T B, of depths first .. last - 1: panels a and b, C rows x cols with `stride`, at row i and
 * column j. What lies beyond its edge is left alone. */
void dense_tile(const struct operators *ops, const float *a, const float *b, size_t first, size_t last,
                float *c, size_t stride, size_t rows, size_t cols, size_t i, size_t j);

/* Scratch of the products below. */
struct dense {
    struct pool *pool;
    float *a, *b;              /* packed operands */
    size_t a_floats, b_floats; /* floats that each has room for */
};

/* For products of up to `tokens` tokens with matrices of `rows` x `cols` at most, one call a shape; grows only.
 * dense_close after any of them, or {0}. */
bool dense_reserve(struct dense *d, size_t tokens, size_t rows, size_t cols, struct error *error);
size_t dense_bytes(size_t tokens, size_t rows, size_t cols);
void dense_close(struct dense *d);

/* y = x w^T, x (n x cols), w (rows x cols), y (n x rows). */
void dense_forward(struct dense *d, const float *x, const float *w, size_t n, size_t rows, size_t cols, float *y);
/* dx += dy w, the gradient of x. */
void dense_input_gradient(struct dense *d, const float *dy, const float *w, size_t n, size_t rows, size_t cols,
                          float *dx);
/* dw += dy^T x, the gradient of w. */
void dense_weight_gradient(struct dense *d, const float *dy, const float *x, size_t n, size_t rows, size_t cols,
                           float *dw);

#endif

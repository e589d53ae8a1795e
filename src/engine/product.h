/* product.h - products of matrices with the same activations, divided among a pool's threads. */
#ifndef QTOP_PRODUCT_H
#define QTOP_PRODUCT_H

#include "kernels/matrix.h"
#include "sys/pool.h"

enum { MAX_TOGETHER = 32 };

/* Whether activations that were prepared once serve both: same columns, format, layout and input
 * transform. How their codes were chosen does not matter. */
bool product_alike(const struct qmatrix *a, const struct qmatrix *b);

/* y[i] = m[i] x for x of n tokens (n x cols, y[i] n x rows), 1 to MAX_TOGETHER matrices that are
 * alike: one task of the pool, or none where it would not pay. scratch: products_scratch bytes. A matrix with
 * outlier columns adds the product of those in a second task. */
size_t products_scratch(size_t cols, size_t tokens); /* for at most so many columns and tokens */
void products_run(struct pool *pool, void *scratch, const struct qmatrix *const m[], size_t count,
                  const float *x, size_t n, float *const y[]);

#endif

/* sliced_product.h - the product of a matrix and the columns of some tokens, a bounded slice at a time, to the bit
 * what products_run (engine/product.h) gives. */
#ifndef QTOP_SLICED_PRODUCT_H
#define QTOP_SLICED_PRODUCT_H

#include "kernels/activations.h"
#include "sys/pool.h"

/* Multiply-adds of one thread in a slice, but for a panel that has more: some milliseconds. */
enum { SLICE_MACS = 1 << 25 };

struct sliced_product {
    const struct qmatrix *m;       /* without outlier columns */
    size_t stride;                 /* of its panels every so manyth is multiplied */
    struct activations prepared;
    size_t tiles, tile;            /* of activations: all, and prepared so far */
    size_t panels, panel;          /* to multiply, and multiplied so far */
    float *y;                      /* tokens x rows; of panels that are left out nothing is written */
    size_t macs;                   /* multiply-adds of the last slice */
};

/* Begins y = m x for x of `tokens` tokens (tokens x cols). scratch: activations_scratch bytes, aligned to 64. x, y
 * and scratch must outlive the product. */
void sliced_product_begin(struct sliced_product *p, const struct qmatrix *m, size_t stride, const float *x,
                          size_t tokens, void *scratch, float *y);

/* A slice; true when y is there. */
bool sliced_product_step(struct sliced_product *p, struct pool *pool);

#endif

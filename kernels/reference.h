/* reference.h - every kernel in plain C: the reference that faster ones are tested against. */
#ifndef QTOP_REFERENCE_H
#define QTOP_REFERENCE_H

#include "activations.h"

/* See struct isa. Float activations: fp32 products and sums over codes decoded in small pieces.
 * Integer activations: exact integer dot products per group, one fp32 multiply-add a group. */
void reference_matmul(const struct qmatrix *m, const struct activations *x, size_t panel0,
                      size_t panel1, float *y);

/* The same without the output scale. */
void reference_products(const struct qmatrix *m, const struct activations *x, size_t panel0, size_t panel1, float *y);

#endif

/* gram.h - the linear algebra of calibration, divided among the threads of a pool: products of activations with
 * themselves, and the Cholesky factor of the result (Golub and Van Loan, Matrix Computations, section 4.2).
 * The same bits on every instruction set and with any number of threads. */
#ifndef QTOP_GRAM_H
#define QTOP_GRAM_H

#include "sys/pool.h"

/* Whether every one of n values is finite. */
bool all_finite(const float *x, size_t n);

/* Panels of k-major columns: of `depth` rows of n columns, groups of TILE_F32 columns next to each other,
 * columns that fill up the last one 0. out: panels_floats. */
size_t panels_floats(size_t n, size_t depth);
void panels_pack(struct pool *pool, const float *x, size_t stride, size_t n, size_t depth, float *out);

/* One of them: x has rows `stride` floats apart. */
void panel_pack(const float *x, size_t stride, size_t n, size_t depth, size_t panel, float *out);

/* Elements from one row to the next of an n x n matrix that is padded to whole tiles. */
size_t tiled_stride(size_t n);

/* H += X^T X of n columns, X in panels; of H (n rows, tiled_stride apart, as many floats in whole tiles) the
 * tiles on and below the diagonal. */
void gram_add(struct pool *pool, const float *panels, size_t n, size_t depth, float *h);

/* The factorization A = L L^T of a symmetric positive definite matrix in float64, block column after block
 * column. a (n rows, tiled_stride apart; whole tiles) is -A on and below the diagonal and becomes L there. */
struct cholesky {
    double *a;
    double *panels;  /* scratch: cholesky_scratch doubles */
    size_t n;        /* columns */
    size_t done;     /* columns of L that are there */
    bool failed;     /* a pivot was not positive: A is not definite enough */
};
size_t cholesky_scratch(size_t n);

/* One block column; true when there is no more, or it failed. */
bool cholesky_step(struct cholesky *c, struct pool *pool);

#endif

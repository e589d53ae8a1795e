/* requant.h - turning one stored tensor into a packed matrix of another scheme, in bounded slices.
 *
 * A method is a row of the table in methods.c. It reads the stored rows, decoded exactly, and writes
 * the rows of the new matrix; rows are shared out over the pool. Errors against the reference
 * (model_reference) are measured on the way.
 *
 * Of the stored scheme nothing is packed: the matrix is borrowed from the model, with its errors against the
 * reference. */
#ifndef QTOP_REQUANT_H
#define QTOP_REQUANT_H

#include "../engine/pool.h"
#include "../engine/weights.h"

#include "../../kernels/quantize.h"

struct requant {
    const struct model *model;
    const struct qmatrix *truth; /* the reference's tensor */
    int tensor;
    bool acquired;           /* the stored weights; released by requant_end */
    struct packed *out;      /* being made; null when taken */
    size_t strips;           /* runs of panels side by side, one a thread ... */
    size_t panel, step;      /* ... the next panel of each in the pass under way, and how many now */
    bool scanned;            /* a per-tensor scale needs a pass over all rows first */
    struct value_range *row_range; /* of that pass */
    double *row_w2, *row_e2; /* sums of each row */
    float *row_max;          /* largest |error| of each row, and its column */
    uint32_t *row_max_col;
    atomic_bool altered;     /* a weight that is not finite became something else */
    float *buffer;           /* two rows a thread */
};

/* Prepares the job, for which the pool keeps the stored weights in memory until requant_end. Fails when
 * the scheme has no kernel or memory is short. */
bool requant_begin(struct requant *job, const struct model *model, int tensor,
                   const struct scheme *scheme, struct pool *pool, struct error *error);

/* Works for about `seconds`, at least one block of rows; true when the matrix is finished. */
bool requant_step(struct requant *job, struct pool *pool, double seconds);

/* 0..1 */
double requant_fraction(const struct requant *job);

/* The finished matrix, now the caller's. */
struct packed *requant_take(struct requant *job);

/* Frees what is left, at any time. */
void requant_end(struct requant *job);

/* All at once. */
struct packed *requantize(const struct model *model, int tensor, const struct scheme *scheme,
                          struct pool *pool, struct error *error);

#endif

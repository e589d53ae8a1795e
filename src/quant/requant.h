/* requant.h - turning one stored tensor into a packed matrix of another scheme, in bounded slices.
 *
 * The stored rows, decoded exactly, become the rows of the new matrix; rows are shared out over the pool. Errors
 * against the reference (model_reference) are measured on the way. Methods that look at activations are given
 * what was chosen from them; quantization.h brings that about for a whole set.
 *
 * Of the stored scheme nothing is packed: the matrix is borrowed from the model, with its errors against the
 * reference. */
#ifndef QTOP_REQUANT_H
#define QTOP_REQUANT_H

#include "sys/pool.h"
#include "engine/weights.h"

#include "kernels/out_of_range.h"
#include "kernels/quantize.h"
#include "calibrated.h"
#include "scheme.h"

/* In their order; each a pass over all rows but for the solving, which goes by columns. */
enum requant_pass {
    REQUANT_SCAN,  /* the range of the weights, for a per-tensor scale */
    REQUANT_CLIP,  /* the errors of smaller ranges, for the same */
    REQUANT_LOAD,  /* for a solver of codes: scales, and weights to work on */
    REQUANT_SOLVE,
    REQUANT_PACK,
};

struct requant {
    const struct model *model;
    const struct qmatrix *reference; /* the reference's tensor */
    int tensor;
    bool acquired;           /* the stored weights; released by requant_end */
    struct qtensor *out;      /* being made; null when taken */
    size_t strips;           /* runs of panels side by side, one a thread */
    size_t panel;            /* the next panel of each strip in the pass under way */
    size_t step;             /* panels of each strip in this step */
    size_t slice;            /* weights that are treated between two looks at the clock */
    enum requant_pass pass;
    const float *importance; /* see struct calibrated */
    const float *trained;
    const struct quant_params *grids;
    const struct code_solver *solver; /* that chooses the codes, or null: they are rounded to nearest */
    void *solving;           /* the solver's own */
    double range_min;        /* of the search for scales; 1: none */
    struct value_range *row_range, range; /* of the first pass; of the tensor */
    double *row_clip;        /* rows x CLIP_TRIALS: errors, of the second */
    double *row_w2, *row_e2; /* sums of each row */
    float *row_max;          /* largest |error| of each row, and its column */
    uint32_t *row_max_col;
    struct out_of_range *row_out_of_range;
    atomic_bool altered;     /* a weight that is not finite became something else */
    float *buffer;           /* two rows a thread */
};

/* Prepares the job, for which the pool keeps the stored weights in memory until requant_end. Fails when
 * the scheme has no kernel, needs calibration or memory is short. */
bool requant_begin(struct requant *job, const struct model *model, int tensor,
                   const struct scheme *scheme, struct pool *pool, struct error *error);

/* The same for a scheme that was calibrated (null: one that needs none). */
bool requant_begin_calibrated(struct requant *job, const struct model *model, int tensor,
                              const struct scheme *scheme, const struct calibrated *calibrated,
                              struct pool *pool, struct error *error);

/* Works for about `seconds`, at least one block of rows or columns; true when the matrix is finished. */
bool requant_step(struct requant *job, struct pool *pool, double seconds);

/* Rows that a solver of codes left to rounding, once the matrix is finished. */
size_t requant_rounded(const struct requant *job);

/* 0..1 */
double requant_fraction(const struct requant *job);

/* The finished matrix, now the caller's. */
struct qtensor *requant_take(struct requant *job);

/* Frees what is left, at any time. */
void requant_end(struct requant *job);

/* All at once. */
struct qtensor *requantize(const struct model *model, int tensor, const struct scheme *scheme,
                          struct pool *pool, struct error *error);

#endif

/* gptq.h - GPTQ (Frantar et al. 2022, section 3 and Algorithm 1): weights are quantized column by column,
 * and what each column's rounding did to the layer's output is made up for by the columns that follow. All
 * rows go side by side; updates of the columns beyond a block of 128 wait for its end ("lazy batch updates").
 * Scales are chosen before, from the weights as they were, so that groups stay whole in any column order
 * ("static groups"). Columns whose codes one entry of a grid gives (types of 1 to 3 bits) are rounded at once, to the
 * entry of the least squared error by their pivots; the order keeps them together.
 *
 * A row whose output error on the calibration text would be larger than that of rounding to nearest on the
 * same scales is rounded to nearest: never worse, row by row. */
#ifndef QTOP_GPTQ_H
#define QTOP_GPTQ_H

#include "kernels/encode.h"
#include "kernels/quantize.h"
#include "linalg/hessian.h"

struct gptq {
    const struct qmatrix *m;   /* its grids are set before the first step */
    const struct factor *f;
    size_t rows, panels, stride; /* rows filled up to whole panels */
    float *w;                  /* in the factor's order: the weights, of columns done what they became */
    float *target, *nearest;   /* where the next columns want to be, after GPTQ's errors and after rounding's; of
                                * columns done, target is what was rounded: the compensated weight */
    struct code_grid grid;     /* of a block type: where its codes lie; else integers of each group's own ends */
    size_t together;           /* columns whose codes are chosen at once: 1, or of a type with a grid 4 or 8 */
    float *decoded;            /* as w: what the matrix held before, where they are more than one */
    size_t group, groups;      /* columns that share a grid; how many grids a row has */
    float *scale, *low, *high; /* groups x rows: grids, ends of the codes */
    float *offset;             /* likewise: added to scaled codes */
    float *of_row;             /* 2 x groups: scales and offsets of one row */
    float *errors, *nearest_errors; /* of the block: panels */
    float *block, *ahead;      /* the factor's rows: within the block, and beyond it in panels */
    double *error, *nearest_error; /* rows: output errors */
    bool *nonfinite;           /* rows with a weight that is not finite: rounded */
    size_t done;               /* columns, of whole blocks */
    size_t quantized, updated; /* panels of the block; panels whose columns behind it have its errors */
    size_t rounded;            /* rows left to rounding, once finished */
};

bool gptq_open(struct gptq *g, const struct qmatrix *m, const struct factor *f, struct error *error);
void gptq_close(struct gptq *g);

/* The weights of row r (cols; input scale applied). Rows are independent. */
void gptq_load(struct gptq *g, size_t r, const float *values);

/* A part of a block of columns, some 10 ms; true when there is no more. */
bool gptq_step(struct gptq *g, struct pool *pool);

/* What row r became, on the grid: cols floats. False where the row is to be rounded. */
bool gptq_row(const struct gptq *g, size_t r, float *out);

/* The compensated weights of row r: w plus what the columns before left over (cols). False likewise. */
bool gptq_targets(const struct gptq *g, size_t r, float *out);

#endif

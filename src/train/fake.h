/* fake.h - fake quantization of one matrix while it learns: the weights that its codes would stand for, as
 * kernels/quantize.h rounds them, and the straight-through estimator behind them, with scales that learn, too
 * (LSQ, Esser et al. 2020).
 *
 * A scale s is learned by its logarithm. With w' the rounded weight, inside the grid w' moves with w (as if it
 * were not rounded) and dw'/d ln s = w' - w; beyond its ends w' does not move with w and dw'/d ln s = w'. */
#ifndef QTOP_FAKE_H
#define QTOP_FAKE_H

#include "kernels/quantize.h"
#include "sys/pool.h"

struct fake {
    struct qmatrix m;      /* for its format and layout; without codes that mean anything */
    size_t grids;          /* 1 of a tensor, else rows x groups, row after row */
    float *log_scales;     /* grids */
    int *zeros;            /* grids: zero points, which do not learn */
    float *row_gradients;  /* rows x groups: by log_scales; of a tensor's the first holds the sum */
};

/* Grids for weights w (rows x cols): of the least squared error (clip.h) where integers have a scale a row or
 * group, else of the whole range. fake_close after a failure, too. */
bool fake_open(struct fake *f, const struct qformat *format, const float *w, size_t rows, size_t cols,
               struct error *error);
void fake_close(struct fake *f);

/* Grid i with the scale as it is stored. */
struct quant_params fake_params(const struct fake *f, size_t i);

/* out = the weights that w becomes, rows x cols. */
void fake_forward(const struct fake *f, const float *w, float *out, struct pool *pool);

/* From d, the gradient by fake_forward's out, those by w (in place) and by log_scales (f->row_gradients). */
void fake_backward(struct fake *f, const float *w, const float *out, float *d, struct pool *pool);

#endif

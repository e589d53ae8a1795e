/* calibrated.h - what calibration or training chose for one matrix before it is packed. */
#ifndef QTOP_CALIBRATED_H
#define QTOP_CALIBRATED_H

#include "kernels/quantize.h"
#include "linalg/hessian.h"

/* Parts that a scheme has no use for are null or 0. All of it must outlive the packing. */
struct calibrated {
    const float *input_scale;         /* cols */
    float *importance;                /* cols: mean of squared activations, which weights errors in a range search */
    uint32_t *outliers;               /* columns, ascending */
    size_t outlier_count;
    float act_scale;                  /* of static activations */
    int act_zero;
    const struct factor *factor;      /* of the Hessian */
    const float *trained;             /* rows x cols: weights that training made of the stored ones */
    const struct quant_params *grids; /* of the trained weights: one of a whole tensor, else rows x groups */
    char note[120];                   /* what a person should know, or "" */
};

#endif

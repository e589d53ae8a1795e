/* static_range.h - one scale for all activations of a matrix, chosen from a calibration text (Nagel et al., A
 * White Paper on Neural Network Quantization, 2021, section 3.1): the whole range; the range without the
 * largest 0.1 %; the one of the least squared error; the one whose clipped and rounded distribution has the
 * least KL divergence from the original (Migacz, 8-bit Inference with TensorRT, 2017). A job in bounded steps. */
#ifndef QTOP_STATIC_RANGE_H
#define QTOP_STATIC_RANGE_H

#include "calibration.h"
#include "scheme.h"
#include "select.h"

struct act_params {
    float scale; /* positive and finite */
    int zero;    /* a stored code; 0 where activations are symmetric */
};

enum {
    STATIC_RANGE_SHARES = 100,    /* of the whole range, that are tried for the least squared error */
    STATIC_RANGE_WORK = 1 << 18,  /* values that one step looks at, at most, once for each share that it tries */
};

struct static_range {
    struct qformat format;
    enum act_range rule;
    const struct input_stats *stats;
    const float *input_scale; /* cols, or null */
    float *values;            /* the sample, scaled */
    size_t count;             /* of them */
    size_t pass, at;          /* over the values, and the next value of it */
    double low, high;         /* the range, 0 inside: at first the whole one */
    struct selection tails;   /* of a percentile */
    double *errors;           /* STATIC_RANGE_SHARES: sums of squared errors */
    double *bins;             /* counts of |x|, for the KL divergence */
    size_t bins_tried;        /* the number of first bins that was tried last */
    size_t bins_best;         /* the number with the least divergence so far */
    double kl_best;           /* that divergence */
    size_t looked_at;         /* values, in the last step */
};

/* Begins to choose the grid of a scheme with static activations, for inputs divided by input_scale (cols; null: as
 * they are); ranges other than the whole one are chosen on the sample. The statistics must outlive it. False when
 * memory is short; static_range_close after that, too. */
bool static_range_open(struct static_range *r, const struct scheme *scheme, const struct input_stats *stats,
                       const float *input_scale, struct error *error);
void static_range_close(struct static_range *r);

/* A step; true when the range is there. */
bool static_range_step(struct static_range *r, struct pool *pool);

struct act_params static_range_result(const struct static_range *r);

#endif

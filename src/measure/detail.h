/* detail.h - histograms and figures of one quantized tensor against the reference's, in slices. */
#ifndef QTOP_DETAIL_H
#define QTOP_DETAIL_H

#include "engine/weights.h"
#include "histogram.h"

enum { CODE_LABELS = 256 };

/* Histograms and figures of one layer, which a job computes. */
struct detail {
    atomic_int refs;
    struct qtensor *q;            /* what it describes */
    int tensor;                   /* its index in the model */
    struct histogram before, after; /* weights, over the same range */
    struct histogram error;         /* e = w' - w, in the weight's unit */
    struct histogram error_steps;   /* e in units of the local scale */
    struct histogram scales;
    double scale_min, scale_max, scale_mean;
    size_t scale_count;
    double mse, cosine;             /* see struct weight_stats */
    float *column_largest;          /* max |w| of each column of the reference (cols) */
    double clipped;                 /* share of weights beyond the ends of their grid (struct weight_error) */
};

/* One weight on its number line. */
struct weight_view {
    bool valid;
    bool coded;                    /* it has a code and a scale: not in a block of a stored type */
    int tensor;
    size_t row, col;
    size_t group_begin, group_end; /* columns: of its group, or of its block */
    double w, decoded, scale;      /* w is the reference's */
    double target;                 /* what the code was chosen for: the stored weight times the input scale, what GPTQ
                                    * compensated or what QAT trained; NaN: it is not kept */
    bool target_differs;           /* it is neither the stored weight nor that times the input scale */
    size_t targets_first, targets_around, targets_end; /* rows whose targets are kept, where they differ: those below
                                    * first, and around .. end - 1 */
    double input_scale;            /* of the column; 1: none. w' = code x scale / input scale */
    bool outlier;                  /* of a column that is kept in fp16 */
    long code, zero;               /* in written form: asymmetric codes from 0 */
    long lowest, highest;          /* codes of the grid (integers) */
    double group_min, group_max;
    uint32_t counts[CODE_LABELS];  /* weights of the group on each code, from lowest (integers) */
};

void detail_unref(struct detail *detail);

struct detail_job {
    const struct model *model;
    struct qtensor *q;
    struct detail *out;
    float *before, *after;        /* a row of the reference, of q (cols) */
    size_t row;                   /* the next */
    bool ranged;                  /* the first pass, over ranges, is done */
    double low, high;             /* range of the reference's weights */
    double sum_e2, sum_wv;        /* of squared errors; of products w w' */
    double sum_w2, sum_v2;        /* of w^2; of w'^2 */
    double sum_scale;
    size_t weights;               /* whose error is finite */
};

/* Takes a reference to q. False when memory is short. */
bool detail_begin(struct detail_job *job, const struct model *model, struct qtensor *q);

/* Works for about `seconds`; true when finished. */
bool detail_step(struct detail_job *job, double seconds);

/* The finished detail, the caller's. */
struct detail *detail_take(struct detail_job *job);
void detail_end(struct detail_job *job);

/* The number line of one weight: its group's range, codes and arithmetic. Reads two rows. */
struct weight_view weight_view(const struct model *model, const struct qtensor *q, size_t row,
                               size_t col);

#endif

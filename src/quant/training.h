/* training.h - how a method that trains weights is run: all layers that have it together, a job in bounded slices. */
#ifndef QTOP_TRAINING_H
#define QTOP_TRAINING_H

#include "engine/weights.h"
#include "kernels/quantize.h"
#include "scheme.h"
#include "sys/pool.h"

#include <stdio.h>

struct training_plan {
    const struct model *model;
    struct pool *pool;            /* whose caller runs the job */
    const struct weights *set;    /* what layers that do not train are */
    const struct scheme *schemes; /* one a tensor */
    const bool *trains;           /* tensors that do */
    const float *values;          /* of the method's parameters, which all of them share */
    const int32_t *tokens;        /* windows of `window` tokens, see calibration_text */
    size_t count, window;
};

/* NAN: not known yet. */
struct training_figures {
    size_t step, steps;      /* done, in all */
    double loss;             /* of the last step */
    double rate;             /* learning rate of the last step */
    double gradient_norm;    /* before clipping */
    double kl_first;         /* on the held-out windows, before the first step */
    double kl_last;          /* the last time */
    double kl_best;          /* the least */
    size_t best_step;        /* steps before the least */
    size_t held_out;         /* tokens of the held-out windows */
};

/* Of a tensor that trained, the best weights (rows x cols) and their grids (1 of a whole tensor, else rows x
 * groups): valid until the job is closed. */
struct training_result {
    const float *weights;
    const struct quant_params *grids;
};

struct training;

struct trainer {
    /* Tokens of text that the training asks for at most. */
    size_t (*text_tokens)(const float *values);
    /* Whether a model is small enough and the memory is there; before anything is allocated. */
    bool (*fits)(const struct training_plan *plan, struct error *error);
    /* What the plan names must outlive the job. Null with an error. */
    struct training *(*open)(const struct training_plan *plan, struct error *error);
    void (*close)(struct training *job);
    /* Works for about `seconds`; *done: it has ended. */
    bool (*step)(struct training *job, double seconds, bool *done, struct error *error);
    /* Ends it at the next step, with the best so far. */
    void (*stop)(struct training *job);
    double (*fraction)(const struct training *job); /* 0..1 */
    struct training_figures (*figures)(const struct training *job);
    /* Why it ended early, or null. */
    const char *(*note)(const struct training *job);
    struct training_result (*result)(const struct training *job, int tensor);
    /* Writes the last whole step, after which the job can only be closed; false before the first. */
    bool (*save)(struct training *job, FILE *to);
    /* Into a job that was just opened with the same plan: it goes on from there, and ends as it would have. False, with
     * an error, where it was not written by save. */
    bool (*load)(struct training *job, FILE *from, struct error *error);
};

#endif

/* scaling.h - input scales that methods choose for the matrices behind one input group, and the search for the best
 * of them with the real scheme in the loop: each candidate is packed and multiplied as it would run. Of large
 * matrices trials look at about 512 rows, spread evenly.
 *
 * A matrix with input scale s stands for w' = dequant(quant(w s)) / s, and its activations are x / s: in exact
 * arithmetic nothing changes. It stays with the matrix and touches neither the norm nor its siblings. */
#ifndef QTOP_SCALING_H
#define QTOP_SCALING_H

#include "model/input_group.h"
#include "calibration.h"
#include "scheme.h"
#include "sliced_product.h"

enum scaling_stage {
    SCALING_WEIGHTS,   /* the largest weight of every column */
    SCALING_REFERENCE, /* outputs of the stored weights */
    SCALING_RANGE,     /* of a trial: the range of a whole tensor */
    SCALING_PACK,      /* of a trial: the codes */
    SCALING_MULTIPLY,  /* of a trial: the outputs */
    SCALING_DONE
};

enum { SCALING_WEIGHTS_STEP = 1 << 18 }; /* weights that one thread looks at in a step, but for a panel of more */

struct scaling {
    const struct model *model;
    const int *tensors;    /* behind the input group */
    size_t count;
    const struct input_stats *stats;
    const struct input_scaling *method;
    struct qformat format; /* of the trials, which round to nearest */
    struct pool *pool;
    float *weight_max;     /* cols: the largest |w| of each column of all the tensors, where the method asks for it */
    float *scale, *best;   /* cols */
    double best_alpha, best_loss, loss;
    bool fixed;            /* alpha is given: best_alpha */

    enum scaling_stage stage;
    size_t at, alpha;      /* tensor under way; index of the alpha under trial */
    size_t next;           /* panel of a pass over weights */
    struct qmatrix trial;  /* rows of the trial x cols; empty between trials */
    struct value_range *ranges; /* of the tensor's rows, where the whole tensor shares a scale */
    struct sliced_product product;
    size_t work;           /* weights or multiply-adds of the last step */

    float *reference;      /* outputs of the stored weights, in the rows of trials, tensor after tensor */
    float *y;              /* samples x rows: outputs of the product under way */
    float *rows;           /* a row a thread */
    void *scratch;
};

/* Begins to choose for tensors of an input group (held in memory by the caller, as stats are). */
bool scaling_open(struct scaling *s, const struct model *model, struct pool *pool, const int *tensors,
                  size_t count, const struct input_stats *stats, const struct scheme *scheme,
                  struct error *error);
void scaling_close(struct scaling *s);

/* A bounded step; *done: s->best and s->best_alpha are there. False when memory is short. */
bool scaling_step(struct scaling *s, bool *done, struct error *error);

#endif

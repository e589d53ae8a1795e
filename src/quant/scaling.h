/* scaling.h - input scales that methods choose for the matrices behind one input group, and the search for the best
 * of them with the real scheme in the loop: each candidate is packed and multiplied as it would run. Of large
 * matrices trials look at about 512 rows, spread evenly.
 *
 * A matrix with input scale s stands for w' = dequant(quant(w s)) / s, and its activations are x / s: in exact
 * arithmetic nothing changes. It stays with the matrix and touches neither the norm nor its siblings. */
#ifndef QTOP_SCALING_H
#define QTOP_SCALING_H

#include "engine/layerwise.h"
#include "calibration.h"
#include "scheme.h"

struct scaling {
    const struct model *model;
    const int *tensors;    /* behind the input group */
    size_t count;
    const struct input_stats *stats;
    const struct input_scaling *method;
    float *weight_max;     /* cols: the largest |w| of each column of all the tensors, where the method asks for it */
    struct qformat format; /* of the trials, which round to nearest */
    struct pool *pool;
    float *scale, *best;   /* cols */
    double best_alpha, best_loss, loss;
    size_t at, step;       /* tensor and alpha of the next trial */
    bool fixed;            /* alpha is given */
    float *reference;      /* outputs of the sample with the stored weights, in the rows of trials, tensor after
                            * tensor */
    float *y;
    float *rows;           /* a row a thread */
    void *scratch;
};

/* Begins to choose for tensors of a input group (held in memory by the caller, as stats are). */
bool scaling_open(struct scaling *s, const struct model *model, struct pool *pool, const int *tensors,
                  size_t count, const struct input_stats *stats, const struct scheme *scheme,
                  struct error *error);
void scaling_close(struct scaling *s);

/* One trial of one tensor; *done: s->best and s->best_alpha are there. False when memory is short. */
bool scaling_step(struct scaling *s, bool *done, struct error *error);

#endif

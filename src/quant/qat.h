/* qat.h - quantization-aware training: the layers whose scheme has the method `qat` learn together what weights
 * and scales make the model most like the stored one when they are rounded (Jacob et al. 2018; LLM-QAT, Liu et
 * al. 2023), a job in bounded slices.
 *
 * The forward pass runs on fake-quantized weights (train/fake.h) and on activations as the scheme rounds them;
 * other layers are what they are in a set of weights, but for one that has input scales, outlier columns or a
 * static scale of activations: those are not rounded. The loss is a mixture of the KL divergence from the stored
 * model's predictions and the cross entropy with the text. Of the text's windows one in eight is kept aside to
 * judge by: the weights and scales that have the least KL divergence there are the result, whenever the job ends.
 * The result does not depend on the number of threads. */
#ifndef QTOP_QAT_H
#define QTOP_QAT_H

#include "sys/pool.h"
#include "engine/weights.h"
#include "kernels/quantize.h"
#include "scheme.h"

enum { QAT_MOST_PARAMETERS = 200000000 }; /* of a model */

struct qat_plan {
    const struct model *model;
    struct pool *pool;            /* whose caller runs the job */
    const struct weights *set;    /* what layers that do not learn are */
    const struct scheme *schemes; /* one a tensor */
    const bool *learns;           /* tensors that do; their schemes have the same parameters of `qat` */
    const int32_t *tokens;        /* windows of `window` tokens, see calibration_text */
    size_t count, window;
};

struct qat;

/* Whether a model is small enough and the memory is there; before anything is allocated. */
bool qat_fits(const struct qat_plan *plan, struct error *error);

/* What the plan names must outlive the job, stored weights that are made on demand must be held. Null with an
 * error. */
struct qat *qat_open(const struct qat_plan *plan, struct error *error);
void qat_close(struct qat *job);

/* Works for about `seconds`, at least a pass through one block; *done: it has ended. False when the model gives
 * no finite loss to begin with. */
bool qat_step(struct qat *job, double seconds, bool *done, struct error *error);

/* Ends it at the next step, with the best so far. */
void qat_stop(struct qat *job);

double qat_fraction(const struct qat *job); /* 0..1 */

/* What goes on, and what a person should know at its end: why it ended early, or null. NAN: not known yet. */
struct qat_figures {
    size_t step, steps;      /* done, in all */
    double loss;             /* of the last step */
    double rate;             /* learning rate of it */
    double gradient_norm;    /* before clipping */
    double kl_first;         /* on the windows kept aside: before the first step, */
    double kl_last;          /* the last time, */
    double kl_best;          /* and the least, */
    size_t best_step;        /* after so many steps */
};
struct qat_figures qat_figures(const struct qat *job);
const char *qat_note(const struct qat *job);

/* Of a tensor that learned, the best weights (rows x cols) and their grids (1 of a whole tensor, else rows x
 * groups): valid until the job is closed. */
struct qat_result {
    const float *weights;
    const struct quant_params *grids;
};
struct qat_result qat_result(const struct qat *job, int tensor);

#endif

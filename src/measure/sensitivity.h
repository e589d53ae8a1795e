/* sensitivity.h - the sensitivity of each layer: the KL divergence of the model with only this layer as the scheme
 * has it, everything else stored, against the model as it is stored (even where another model is the reference,
 * since the question is what this layer adds).
 *
 * The text runs in short windows, each in one pass. The stored weights run once a window; a layer's pass begins
 * where the layer first changes something, with the hidden state that the stored weights had there: half of all
 * work on the average. Layers may also be measured some together, which takes as many passes fewer. */
#ifndef QTOP_SENSITIVITY_H
#define QTOP_SENSITIVITY_H

#include "base/job.h"
#include "engine/context.h"

enum { SENSITIVITY_WINDOW = 128, SENSITIVITY_TOKENS = 512 };

struct sensitivity_plan {
    const int32_t *tokens; /* of a text without BOS; the first SENSITIVITY_TOKENS are used; copied */
    size_t count;          /* from 2 */
    int32_t bos;           /* begins every window; -1: none */
    size_t context;        /* positions that the model has, from 2 */
    const int *together;   /* of each tensor: those with the same number, from 0, change together; below 0: never.
                            * Copied; null: each tensor alone */
};

struct sensitivity {
    double kl, kl_stderr; /* mean over the predictions, nats; its standard error */
    size_t scored;        /* predictions; 0: not measured */
};

struct sensitivity_job;

/* Measures every tensor of the set that is not stored. For the caller of the pool. */
struct sensitivity_job *sensitivity_open(const struct model *model, struct pool *pool,
                                         const struct sensitivity_plan *plan, struct weights *stored,
                                         struct weights *scheme, struct error *error);

/* Works for about `seconds`, at least one half of a block; *done: everything is measured. False when memory is
 * short. */
bool sensitivity_step(struct sensitivity_job *job, double seconds, bool *done, struct error *error);

/* 0..1 */
double sensitivity_fraction(const struct sensitivity_job *job);

/* A tensor's figures so far; of those that change together each has the same. */
struct sensitivity sensitivity_of(const struct sensitivity_job *job, int tensor);

/* The set that is measured. */
const struct weights *sensitivity_set(const struct sensitivity_job *job);
void sensitivity_close(struct sensitivity_job *job);

/* How a struct sensitivity_job runs as a job. */
extern const struct job_class sensitivity_class;

#endif

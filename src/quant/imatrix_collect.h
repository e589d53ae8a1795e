/* imatrix_collect.h - computing an importance matrix (formats/imatrix_file.h): a text runs through a model's stored
 * weights in the layer-wise pass, and of every matrix inside blocks the squares of its inputs are summed, as
 * llama.cpp's llama-imatrix does: of experts each with the tokens that use it. A job in bounded slices. */
#ifndef QTOP_IMATRIX_COLLECT_H
#define QTOP_IMATRIX_COLLECT_H

#include "base/job.h"
#include "quantization.h"

struct imatrix_collect_plan {
    const struct model *model;
    struct pool *pool;                   /* whose caller runs the job */
    struct weights *weights;             /* that the text runs through; referenced */
    const struct calibration_text *text; /* outlives the job; at least one token */
    const char *dataset;                 /* how the matrix calls the text; copied */
    bool output;                         /* also of the head; of a tied one under the name of the embedding */
};

struct imatrix_collect;

/* Null with an error. */
struct imatrix_collect *imatrix_collect_open(const struct imatrix_collect_plan *plan, struct error *error);
void imatrix_collect_close(struct imatrix_collect *job); /* null is fine */

/* The matrix of a job that is done, sorted, now the caller's. */
void imatrix_collect_take(struct imatrix_collect *job, struct imatrix *out);

/* Tokens whose activations were not finite at some layer and left out there: the most of any layer. */
size_t imatrix_collect_nonfinite(const struct imatrix_collect *job);

/* How a struct imatrix_collect runs as a job. */
extern const struct job_class imatrix_collect_class;

#endif

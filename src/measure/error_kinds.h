/* error_kinds.h - histograms of the errors that quantization made in the weights, one a kind of layers.
 *
 * Errors are in units of the root mean square of the layer's weights, so that layers of one kind go into one histogram
 * and kinds compare. Of large layers some rows are counted, evenly spread; SQNR and the largest error are of all
 * weights (struct weight_error). */
#ifndef QTOP_ERROR_KINDS_H
#define QTOP_ERROR_KINDS_H

#include "base/job.h"
#include "engine/weights.h"
#include "histogram.h"

enum { ERROR_KINDS_ROWS = 128 /* of a layer, at most */ };

struct error_kind {
    enum role role;
    size_t layers;           /* whose weights have errors */
    double sum_w2, sum_e2;   /* of weights of the reference and of errors, squared */
    float largest;           /* |error|, in the weights' unit */
    struct histogram errors; /* in units of the root mean square; all kinds over the same range */
};

struct error_kinds;

/* Of a set against the model's reference, which has the same tensors. Layers that are exact count nowhere. Null when
 * memory is short. */
struct error_kinds *error_kinds_open(const struct model *model, struct weights *set, struct error *error);
void error_kinds_close(struct error_kinds *job); /* null is fine */

/* The kinds so far, in the order of the forward pass. */
const struct error_kind *error_kinds_result(const struct error_kinds *job, size_t *count);

/* How a struct error_kinds runs as a job; a step works through at least one layer. */
extern const struct job_class error_kinds_class;

#endif

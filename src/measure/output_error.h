/* output_error.h - what quantization did to a layer's output: y^ - y, where y^ comes from the real
 * kernel and y from the reference's weights with fp32 activations, on the same activations x. */
#ifndef QTOP_OUTPUT_ERROR_H
#define QTOP_OUTPUT_ERROR_H

#include "engine/context.h"
#include "histogram.h"

struct output_error {
    double sum_y2, sum_e2;
    size_t tokens;
    struct histogram errors; /* of y^ - y, over a range that the first token sets */
};

/* Whether a matrix of a set is what its output would be compared with. */
bool output_is_exact(const struct model *model, const struct qmatrix *matrix);

/* 10 log10 (sum y^2 / sum e^2); +infinity without error, NaN without tokens. */
double output_error_sqnr_db(const struct output_error *e);

/* Whether a set's matrices all run as stored, and that is the reference. */
bool outputs_are_exact(const struct model *model, const struct weights *weights);

/* Scratch for output_error_add on any tensor of a model; null when memory is short. The caller frees. */
float *output_error_scratch(const struct model *model);

/* Adds the product of one tensor, as a hook sees it. The pool computes the reference's, with the same bits for any
 * number of threads. */
void output_error_add(struct output_error *e, struct pool *pool, const struct qmatrix *reference,
                      const float *x, const float *y, size_t tokens, float *scratch);

/* Runs n tokens through the set and fills errors (one a tensor; those that are not a matrix product stay
 * empty). Where every matrix runs as stored, there is nothing to run: the outputs are exact, whatever the
 * tokens, which may be null. */
bool output_errors(const struct model *model, struct pool *pool, const struct weights *weights,
                   const int32_t *tokens, size_t n, struct output_error *errors,
                   struct error *error);

#endif

/* pair_error.h - how far the stored weights of two models of one shape lie apart, in slices. */
#ifndef QTOP_PAIR_ERROR_H
#define QTOP_PAIR_ERROR_H

#include "base/job.h"
#include "model/model.h"
#include "sys/pool.h"

/* Of one tensor: the weights of both decoded, a of the first model and b of the second. */
struct pair_error {
    bool complete;
    double sum_w2, sum_e2; /* sums of a^2 and (b - a)^2, over those that are finite in both */
    float max_abs;         /* the largest |b - a| */
    size_t nonfinite;      /* weights left out: NaN or infinite in one */
};

/* 10 log10 (sum a^2 / sum (b - a)^2) in dB; +infinity where all are equal; NaN where none is finite. */
double pair_error_sqnr_db(const struct pair_error *error);

struct pair_errors; /* one a tensor, in the models' order */

/* Both models, whose tensors have the same shapes (models_compare), must outlive it. Null with an error. */
struct pair_errors *pair_errors_open(const struct model *a, const struct model *b, struct pool *pool,
                                     struct error *error);
void pair_errors_close(struct pair_errors *errors);
const struct pair_error *pair_errors_of(const struct pair_errors *errors, int tensor);

/* How it runs as a job, which the pool's caller steps. The figures are the same with any number of threads. */
extern const struct job_class pair_errors_class;

#endif

/* hessian.h - the Hessian of a layer's output error in its weights, and its factor.
 *
 * With inputs X (tokens x cols) the squared output error of a row of weights that changed by e is e H e^T,
 * H = X^T X (GPTQ, Frantar et al. 2022, section 3, up to a factor that no choice depends on). Damped by lambda
 * on its diagonal, H = R R^T with R upper triangular, so that the error is ||e R||^2: column by column, the
 * next e can cancel what the ones before it left. That is the paper's update, whose Cholesky factor of the
 * inverse is R^-1 transposed; this form needs no inverse. */
#ifndef QTOP_HESSIAN_H
#define QTOP_HESSIAN_H

#include "gram.h"

#include <stdbool.h>
#include <stdint.h>

struct hessian {
    size_t cols;   /* inputs of the layer */
    size_t tokens; /* added so far */
    float *h;      /* X^T X (cols, tiled_stride(cols)), see gram_add */
    float *panels; /* packed activations of one chunk (panels_floats(cols, HESSIAN_CHUNK)) */
};

bool hessian_open(struct hessian *h, size_t cols, struct error *error);
void hessian_free(struct hessian *h);

/* Adds n (at most HESSIAN_CHUNK) tokens, `stride` floats apart; those that are not finite count nothing. */
enum { HESSIAN_CHUNK = 256 };
void hessian_add(struct hessian *h, struct pool *pool, const float *x, size_t stride, size_t n);

struct factor {
    size_t cols;
    uint32_t *order;   /* columns of weights in the order in which they are quantized (cols) */
    bool *dead;        /* of each column, in that order: all its activations were 0 (cols) */
    struct cholesky l; /* R[i][j] is L[cols - 1 - i][cols - 1 - j] */
    double damp;       /* lambda as a share of the mean of the diagonal */
    double lambda;     /* what was added to the diagonal */
    const struct hessian *h; /* until it is done, what it is the factor of, and its scale */
    const float *scale;
    size_t filled;     /* rows of -(H + lambda I) that are there */
};

/* The order in which columns are quantized: of the largest activations first or as they are, in runs of so many (a
 * divisor of cols) that stay together. */
struct column_order {
    bool by_activation;
    size_t run;
};

/* Begins the factor of the Hessian of inputs that are divided by `scale` (cols; null: as they are); both outlive its
 * making. */
bool factor_open(struct factor *f, const struct hessian *h, const float *scale, double damp,
                 struct column_order order, struct error *error);
void factor_free(struct factor *f);

/* One step; true when it is done or failed (f->l.failed). */
bool factor_step(struct factor *f, struct pool *pool);

static inline double factor_at(const struct factor *f, size_t i, size_t j)
{
    size_t last = f->cols - 1;
    return f->l.a[(last - i) * tiled_stride(f->cols) + (last - j)];
}

#endif

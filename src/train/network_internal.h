/* network_internal.h - what the files of the passes share. */
#ifndef QTOP_NETWORK_INTERNAL_H
#define QTOP_NETWORK_INTERNAL_H

#include "network.h"

enum { ROUNDED_TOGETHER = 32 }; /* tokens */

/* Work on rows of tokens, each by itself. */
struct rows;
typedef void row_fn(const struct rows *r, size_t row);

struct rows {
    struct network *net;
    row_fn *treat;
    const float *in, *weights, *bias, *dy;
    float *out, *other, *dw, *db;
    size_t size, first, all; /* elements of a row; where it stands in one of `all` */
    const struct layer *layer;
    float factor;
};

/* Treats rows 0 .. count - 1, shared out among threads. */
void network_run_rows(struct rows *r, size_t count);

/* x += y, n x size. */
void network_add(struct network *net, float *x, const float *y, size_t size);

/* A tensor by its role (block -1: of no block), or null where the model has none. */
const struct network_tensor *network_find(const struct network *net, enum role role, int block);

/* out = norm of `count` vectors of `size` elements. A bias that the model does not have is 0. */
void network_normalize(struct network *net, enum role role, int block, const float *x, size_t count, size_t size,
                       float *out);
/* dx += the gradient by what was normalized, x, dy and dx count x size. Those by weights are added to, too. */
void network_normalize_back(struct network *net, enum role role, int block, const float *x, const float *dy,
                            size_t count, size_t size, float *dx);

/* y = W x + b: x n x cols, y n x rows of the tensor. */
void network_linear(struct network *net, enum role role, int block, const float *x, float *y);
/* dx (n x cols) += the gradient by x, from dy (n x rows). Those by weights and bias are added to, too. */
void network_linear_back(struct network *net, enum role role, int block, const float *x, const float *dy, float *dx);

/* out (n x size) = the elements from `first` on of each row of `in` (n x all); and the other way round. */
void network_take(struct network *net, const float *in, size_t all, size_t first, size_t size, float *out);
void network_put(struct network *net, const float *in, size_t all, size_t first, size_t size, float *out);

/* The passes of an op. Forward writes `out`, where the value after the step is to be; the value before a step is
 * network_value. Backward turns the gradient by what the step wrote into those by what it read. */
struct pass {
    struct network *net;
    const struct layer *layer;
    int block;
    size_t at;               /* the step */
    const struct step *step;
};
typedef void forward_fn(const struct pass *p, float *out);
typedef void backward_fn(const struct pass *p);

/* A row of the table of ops (network_ops.c). Null passes: training does not know it. */
struct network_op {
    forward_fn *forward;
    backward_fn *backward;
    bool needs_in, needs_with; /* the backward pass reads those values (of attention: queries, keys and values) */
};
extern const struct network_op network_ops[STEP_OPS];

/* What a register held before a step. */
const float *network_value(const struct network *net, const struct layer *layer, int block, size_t at, enum reg reg);

/* Whether the backward pass reads what step `at` wrote in a register (at -1: what was there before the block). */
bool network_needs(const struct layer *layer, int at, enum reg reg);

#endif

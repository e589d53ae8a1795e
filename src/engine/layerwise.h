/* layerwise.h - the layer-wise calibration pass: a text runs through a model layer by layer instead of token by
 * token. Every token's input of one input group is there before any moves on to the next, so that the layers of
 * the group can be replaced in between.
 *
 * An input group is a set of linear layers that take the same input: of each block queries, keys and values; the
 * projection behind attention; gate and up; down; and, last of all, the head. */
#ifndef QTOP_LAYERWISE_H
#define QTOP_LAYERWISE_H

#include "context.h"

enum input_group { INPUT_GROUP_QKV, INPUT_GROUP_ATTN_OUT, INPUT_GROUP_FFN, INPUT_GROUP_FFN_DOWN, INPUT_GROUP_KINDS };
enum { INPUT_GROUP_TENSORS = 3 };

/* Number of input groups of a model: INPUT_GROUP_KINDS a block and the head. */
size_t layerwise_groups(const struct model *model);

/* The input group whose input a tensor multiplies, or -1. */
int layerwise_group_of(const struct model *model, int tensor);

/* The tensors of an input group, at most INPUT_GROUP_TENSORS; returns how many. */
size_t layerwise_group_tensors(const struct model *model, size_t input_group, int tensors[INPUT_GROUP_TENSORS]);

struct layerwise_pass;

/* A pass of `count` tokens in windows of `window` that do not attend to each other (the last may be shorter).
 * Keeps every token's hidden state and input: tokens x (dim + widest input) floats. The tokens must outlive it. */
struct layerwise_pass *layerwise_open(const struct model *model, struct pool *pool, const int32_t *tokens, size_t count,
                                      size_t window, struct error *error);
void layerwise_close(struct layerwise_pass *pass);

/* Brings every token to the input of the next input group, at first to that of input group 0, with the layers of
 * a set; for about `seconds`, at least one chunk. *arrived: all are there. False with an error when stored weights
 * that must be materialized do not fit in memory. Not beyond the last input group. */
bool layerwise_step(struct layerwise_pass *pass, const struct weights *weights, double seconds, bool *arrived,
                    struct error *error);

/* The input group that is reached or on the way to; how far the tokens are, 0..1. */
size_t layerwise_group(const struct layerwise_pass *pass);
double layerwise_fraction(const struct layerwise_pass *pass);

/* The inputs of the input group that is reached: the rows of all tokens, layerwise_stride floats apart. */
const float *layerwise_input(const struct layerwise_pass *pass);
size_t layerwise_stride(const struct layerwise_pass *pass);

#endif

/* layerwise.h - the layer-wise calibration pass: a text runs through a model layer by layer instead of token by
 * token. Every token's input of one input group (model/input_group.h) is there before any moves on to the next, so that
 * the layers of the group can be replaced in between. */
#ifndef QTOP_LAYERWISE_H
#define QTOP_LAYERWISE_H

#include "context.h"
#include "model/input_group.h"

struct layerwise_pass;

/* A pass of `count` tokens in windows of `window` that do not attend to each other (the last may be shorter).
 * Keeps of every token what later steps read: tokens x the most of it that is alive before any input group, in floats.
 * The tokens must outlive it. */
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

/* The inputs of the input group that is reached: of an expert those of the tokens that use it, else of all tokens. */
struct layerwise_input {
    const float *rows;  /* count, the pass's until it goes on */
    size_t stride;      /* floats from a row to the next */
    size_t count;       /* rows; 0 where no token uses the expert */
};
struct layerwise_input layerwise_input(const struct layerwise_pass *pass);

#endif

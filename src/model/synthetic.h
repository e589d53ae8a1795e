/* synthetic.h - models of well-known shapes with random weights: what a model of that size does on
 * this machine, without its file. */
#ifndef QTOP_SYNTHETIC_H
#define QTOP_SYNTHETIC_H

#include "model.h"

/* A row of the table in shapes.c. */
struct shape {
    const char *name;
    const char *description;
    double parameters;      /* published; 0: of no model */
    const char *config;     /* its config.json, as Hugging Face publishes it, as far as it says what is computed */
};

extern const struct shape shapes[];
extern const size_t shape_count;

/* The shape called name, or null with an error that lists the names. */
const struct shape *shape_find(const char *name, struct error *error);

/* A model of the shape. Matrices are fp16 and materialized when they are acquired (on_demand.h): normally
 * distributed with mean 0, but for one column in 256 that is OUTLIER_FACTOR times as large, as trained
 * models have them. Standard deviations keep activations near 1 and logits near 2 through all blocks
 * (the projections back into the residual stream as in GPT-2, Radford et al. 2019, section 2.3). Norms
 * are fp32, near 1. The same shape has the same weights always. The caller frees with model_close. */
struct model *synthetic_open(const struct shape *shape, struct error *error);

enum { OUTLIER_FACTOR = 4 };

/* The standard deviation of a role's weights outside the outlier columns, and the outlier column of
 * run k (columns 256 k to 256 k + 255) of a tensor, which lies beyond the last column where the last,
 * short run has none. */
double synthetic_deviation(const struct model *model, enum role role);
size_t synthetic_outlier(int tensor, size_t run);

#endif

/* outliers.h - a model that computes the same and has outlier activations, as models of 6.7 B parameters and
 * more have them in a few channels of the residual stream (Dettmers et al. 2022, section 4). */
#ifndef QTOP_OUTLIERS_H
#define QTOP_OUTLIERS_H

#include "model.h"

struct outliers {
    size_t channels; /* 0: none */
    float factor;    /* from above 1 to OUTLIERS_MAX */
};

enum { OUTLIERS_MAX = 10000 };

/* "K:FACTOR", such as 2:100. */
bool outliers_parse(const char *text, struct outliers *out, struct error *error);

/* Channel i of those that a model of this width gets: evenly spread. */
size_t outliers_channel(const struct outliers *o, size_t dim, size_t i);

/* In every block, multiplies some channels of both norms by the factor and divides the columns of the
 * matrices behind them by it: the norms' outputs have outliers, the products stay as they were. The tensors
 * concerned become fp32 in memory, owned by the model; the file is not written. */
bool outliers_inject(struct model *model, const struct outliers *o, struct error *error);

#endif

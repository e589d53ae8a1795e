/* reference.h - whether one model can be what another one's errors are measured against. */
#ifndef QTOP_MODEL_REFERENCE_H
#define QTOP_MODEL_REFERENCE_H

#include "model.h"

/* Weights are compared element by element, so everything that gives them their places must agree: the
 * dimensions, the tensors, and the order of the rows of queries and keys. How long a context either was
 * trained for does not matter where no positions are learned. The error names both files and what differs. */
bool reference_fits(const struct model *model, const struct model *reference, struct error *error);

#endif

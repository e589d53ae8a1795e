/* reference.h - whether one model can be what another one's errors are measured against. */
#ifndef QTOP_MODEL_REFERENCE_H
#define QTOP_MODEL_REFERENCE_H

#include "model.h"

/* Predictions are compared token by token, so the vocabularies must have as many tokens, and the reference must have
 * learned so many positions where it has learned ones. The error names both files and what differs. */
bool reference_fits(const struct model *model, const struct model *reference, size_t positions, struct error *error);

/* Whether weights can be compared one by one, too: everything that gives them their places must agree, which are the
 * dimensions, the tensors, and the order of the rows of queries and keys. The reason is in words. */
bool reference_compares(const struct model *model, const struct model *reference, struct error *reason);

/* Whether another model's file can be held against a model's, layer by layer and token by token: architecture,
 * vocabulary and all of the above. The error names both files, what differs, what was found and what was expected. */
bool models_compare(const struct model *model, const struct model *other, struct error *error);

#endif

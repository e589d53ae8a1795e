/* unused.h - tensors of a file that a model does not use: refused by name, or left out with a note. */
#ifndef QTOP_UNUSED_H
#define QTOP_UNUSED_H

#include "naming.h"

/* Every weight must have found its use; a tensor without elements needs none. Those of other parts than the one that
 * writes text are left out, and the model's note says how many. False with an error that names the tensor. */
bool unused_check(struct model *model, const struct arch *arch, const struct naming *naming, struct error *error);

#endif

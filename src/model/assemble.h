/* assemble.h - from a catalog of named tensors and an architecture to a model. */
#ifndef QTOP_ASSEMBLE_H
#define QTOP_ASSEMBLE_H

#include "naming.h"

/* Fills model->tensors from model->files, which hyper and the architecture describe: finds each by its name,
 * checks its shape and points to its data. Tensors that the architecture does not know are refused by
 * name, since logits without them would be wrong. Sets model->arch, has, tied and counts. */
bool assemble(struct model *model, const struct arch *arch, const struct naming *naming,
              struct error *error);

/* Roles of a block with experts, or without, besides those that all blocks have. */
role_set assemble_roles(const struct model *model, const struct arch *arch, bool sparse);

/* Rows of the embedding table, or 0 when the catalog has none. */
size_t assemble_vocab(const struct model *model, const struct arch *arch,
                      const struct naming *naming);

#endif

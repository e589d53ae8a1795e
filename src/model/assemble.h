/* assemble.h - from a catalog of named tensors and an architecture to a model. */
#ifndef QTOP_ASSEMBLE_H
#define QTOP_ASSEMBLE_H

#include "arch.h"

/* How a family of files spells the names and holds the tensors. */
struct naming {
    bool gguf;           /* canonical names under blk.N., else arch->hf_names */
    const char *prefix;  /* before every name of Hugging Face's but the head's, such as "transformer." */
    const char *head_prefix; /* before the head's; null: nothing */
    bool head_embeds;    /* the embedding table is there under the name of the head, to which it is tied */
    bool transposed;     /* matrices of blocks lie as columns x rows and are transposed, in memory */
    bool norms_from_one; /* 1 is to be added to the weights of norms */
};

/* What such a file calls a role's tensor (block -1: outside), or of an expert the one that holds it; false where it has
 * no name for the role. */
enum { ASSEMBLE_NAME = 128 };
bool assemble_name(const struct arch *arch, const struct naming *naming, enum role role, int block, int expert,
                   char out[ASSEMBLE_NAME]);

/* Whether one tensor of such a file holds a role's of all experts, one after another. */
bool assemble_joins(const struct arch *arch, const struct naming *naming, enum role role);

/* Fills model->tensors from model->files, which hyper and the architecture describe: finds each by its name,
 * checks its shape and points to its data. Tensors that the architecture does not know are refused by
 * name, since logits without them would be wrong. Sets model->arch, has, tied and counts. */
bool assemble(struct model *model, const struct arch *arch, const struct naming *naming,
              struct error *error);

/* The catalog's tensor with a role (block -1: outside), or null where there is none or it has no elements. */
const struct entry *assemble_find(const struct model *model, const struct arch *arch, const struct naming *naming,
                                  enum role role, int block);

/* Rows of the embedding table, or 0 when the catalog has none. */
size_t assemble_vocab(const struct model *model, const struct arch *arch,
                      const struct naming *naming);

#endif

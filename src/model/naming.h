/* naming.h - what files call the tensors of an architecture, and where a catalog has them. */
#ifndef QTOP_NAMING_H
#define QTOP_NAMING_H

#include "arch.h"
#include "packing.h"

/* How a family of files spells the names and holds the tensors. */
struct naming {
    bool gguf;           /* canonical names under blk.N., else arch->hf_names */
    const char *prefix;  /* before every name of Hugging Face's but the head's, such as "transformer." */
    const char *head_prefix; /* before the head's; null: nothing */
    bool head_embeds;    /* the embedding table is there under the name of the head, to which it is tied */
    bool transposed;     /* matrices of blocks lie as columns x rows and are transposed, in memory */
    bool norms_from_one; /* 1 is to be added to the weights of norms */
    const struct packing *packing; /* how the tensors that the architecture says lie in two parts; or null */
};

enum { NAMING_MAX = 128 }; /* bytes of a name and its 0 */

/* What such a file calls a role's tensor (block -1: outside); of what it holds in parts, as experts or norms of heads,
 * the name of one; of what lies in two parts (packing.h) the codes', and the other function the scales'. False where it
 * has no name for the role. */
bool naming_name(const struct arch *arch, const struct naming *naming, enum role role, int block, int part,
                 char out[NAMING_MAX]);
bool naming_scales_name(const struct arch *arch, const struct naming *naming, enum role role, int block, int part,
                        char out[NAMING_MAX]);

/* Whether such a file holds a role's tensor in two parts. */
bool naming_packs(const struct arch *arch, const struct naming *naming, enum role role);

/* The catalog's tensor with a role (block -1: outside), or null where there is none or it has no elements; of what it
 * holds in parts the first, or one. */
const struct entry *naming_find(const struct model *model, const struct arch *arch, const struct naming *naming,
                                enum role role, int block);
const struct entry *naming_find_part(const struct model *model, const struct arch *arch, const struct naming *naming,
                                     enum role role, int block, int part);

/* The scales of a tensor that lies in two parts, whose codes the functions above find; or null. */
const struct entry *naming_find_scales(const struct model *model, const struct arch *arch, const struct naming *naming,
                                       enum role role, int block, int part);

/* Whether one tensor of such a file holds a role's of all experts, one after another. */
bool naming_joins(const struct arch *arch, const struct naming *naming, enum role role);

/* Tensors of such a file that hold norms of heads which it keeps apart, one a head; 0: one holds the tensor. */
size_t naming_parts(const struct model *model, const struct arch *arch, const struct naming *naming,
                    const struct tensor *tensor);

#endif

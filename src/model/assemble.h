/* assemble.h - from a catalog of named tensors and an architecture to a model. */
#ifndef QTOP_ASSEMBLE_H
#define QTOP_ASSEMBLE_H

#include "arch.h"

/* How a family of files spells the names and holds the tensors. */
struct naming {
    bool gguf;           /* canonical names under blk.N., else arch->hf_names */
    const char *prefix;  /* before every name of Hugging Face's, such as "transformer." */
    bool transposed;     /* matrices of blocks lie as columns x rows and are turned over, in memory */
    bool norms_from_one; /* 1 is to be added to the weights of norms */
};

/* What such a file calls a role's tensor (block -1: outside); false where it has no name for the role. */
enum { ASSEMBLE_NAME = 128 };
bool assemble_name(const struct arch *arch, const struct naming *naming, enum role role, int block,
                   char out[ASSEMBLE_NAME]);

/* The largest numbers that any file may ask for: their products fit in a size_t. */
enum {
    MOST_DIM = 1 << 20,
    MOST_HIDDEN = 1 << 22,
    MOST_LAYERS = 1 << 14,
    MOST_HEADS = 1 << 14,
    MOST_HEAD_SIZE = 1 << 14,
    MOST_VOCAB = 1 << 24,
    MOST_POSITIONS = 1 << 28
};

/* The ranges of what is no whole number, both ends included. A base of rotary frequencies below 1 would
 * turn faster from dimension to dimension. */
static const float least_rope_base = 1, most_rope_base = 1e30f, least_epsilon = 1e-20f, most_epsilon = 1,
                   most_cap = 1e6f;

/* Checks model->hyper, whoever filled it in: each number in its range, heads that divide, an even number
 * of dimensions that turn. `where` begins the error ("config.json", "metadata"). Call before anything is
 * multiplied or divided. */
bool hyper_check(const struct hyper *hyper, const char *where, struct error *error);

/* Makes the tensors from model->files, which hyper and the architecture describe: finds each by its name,
 * checks its shape and points to its data. Tensors that the architecture does not know are refused by
 * name, since logits without them would be wrong. Sets model->arch, has, tied and counts. */
bool assemble(struct model *model, const struct arch *arch, const struct naming *naming,
              struct error *error);

/* Whether the catalog has a head of its own. */
bool assemble_has_head(const struct model *model, const struct arch *arch,
                       const struct naming *naming);

/* Rows of the embedding table, or 0 when the catalog has none. */
size_t assemble_vocab(const struct model *model, const struct arch *arch,
                      const struct naming *naming);

/* Multiplies model->rope_factors, where there are none 1 each, by those of a scaling of the rotary
 * frequencies. */
enum rope_scaling { SCALING_LINEAR, SCALING_LLAMA3 };
struct rope_scale {
    enum rope_scaling type;
    float factor;
    float low, high; /* llama3: low_freq_factor, high_freq_factor (Llama 3.1, 2024) */
    size_t original; /* llama3: positions of the original training */
};
bool rope_scale(struct model *model, const struct rope_scale *scale, struct error *error);

/* Sets them to factors that a file holds. `what` begins the error. */
bool rope_set_factors(struct model *model, const float *factors, size_t count, const char *what,
                      struct error *error);

/* LongRoPE (Ding et al. 2024): sets the factors (rope_dims / 2) for contexts up to the original one, to which
 * it cuts the model's context, with a note. The cosines' magnitude is `magnitude`. `what` as above. */
bool rope_short(struct model *model, const float *factors, size_t count, const char *what,
                size_t original, float magnitude, struct error *error);

#endif

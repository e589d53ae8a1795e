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

/* Checks model->hyper: each number in its range, heads that divide, an even head. `where` begins the
 * error ("config.json", "GGUF metadata"). Call before anything is multiplied. */
bool hyper_check(const struct hyper *hyper, const char *where, struct error *error);

/* Makes the tensors from model->files, which hyper and the architecture describe: finds each by its name,
 * checks its shape and points to its data. Tensors that the architecture does not know are refused by
 * name, since logits without them would be wrong. Sets model->arch, has, tied and counts. */
bool assemble(struct model *model, const struct arch *arch, const struct naming *naming,
              struct error *error);

/* Rows of the embedding table, or 0 when the catalog has none. */
size_t assemble_vocab(const struct model *model, const struct arch *arch,
                      const struct naming *naming);

/* Sets model->rope_factors to those of a scaling of the rotary frequencies. */
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
 * it cuts the model's context, with a note. The cosines' magnitude is `magnitude`. */
bool rope_short(struct model *model, const float *factors, size_t count, size_t original,
                float magnitude, struct error *error);

/* Dimensions of a head that turn. */
size_t rope_turned(const struct hyper *hyper);

#endif

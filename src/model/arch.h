/* arch.h - the architectures: what tells one transformer's decoder from another, as a table.
 *
 * One forward pass (engine/context.h) serves all of them: it asks which tensors a model has and what its
 * hyper-parameters are, never which architecture it is. A new relative is a row here. */
#ifndef QTOP_ARCH_H
#define QTOP_ARCH_H

#include "model.h"

/* What weight files call a role's tensor: a name, or in a block what follows the block's number. */
typedef const char *const role_names[ROLE_COUNT];

struct arch {
    const char *name;      /* as shown */
    const char *gguf;      /* general.architecture, or null */
    const char *hf;        /* model_type in config.json, or null */
    const char *reference; /* who describes it */
    role_set required, optional; /* of its tensors, the head aside */
    enum norm norm;
    enum activation activation;
    enum rope gguf_rope, hf_rope;
    bool scaled_embedding;  /* by sqrt(dim) */
    bool norms_from_one;    /* Hugging Face files hold w where the norm multiplies by 1 + w */
    bool transposed;        /* Hugging Face files hold the matrices of blocks as columns x rows */
    size_t window_period;   /* see struct hyper */
    bool window_asked;      /* config.json's window counts only where use_sliding_window says so */
    const char *hf_block;   /* what comes before the number of a block */
    role_names *hf_names;
    role_names *gguf_names; /* where they are not the canonical ones; or null */
};

extern const struct arch archs[];
extern const size_t arch_count;

/* The row with this name in a GGUF or a config.json, or null with an error that lists the known ones. */
const struct arch *arch_by_gguf(const char *name, size_t n, struct error *error);
const struct arch *arch_by_hf(const char *name, struct error *error);

/* The row of a model, by the name that is shown; the one with its name in GGUF files, which may be that of a
 * relative with the same tensors. */
const struct arch *arch_of(const struct model *model);
const struct arch *arch_in_gguf(const struct arch *arch);

/* Sets what the architecture fixes of hyper, whose dim is there. */
void arch_apply(const struct arch *arch, bool gguf, struct hyper *hyper);

#endif

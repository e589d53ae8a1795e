/* mixture.h - what configurations say of mixtures of experts. Private to the rows of the table of architectures. */
#ifndef QTOP_MIXTURE_H
#define QTOP_MIXTURE_H

#include "gguf_metadata.h"
#include "hf_values.h"

/* The keys of a config.json, null where the architecture has none, and what they mean where they are missing. */
struct mixture_keys {
    const char *experts, *experts_other, *used, *used_other; /* the others mean the same */
    const char *hidden;        /* of an expert; null: intermediate_size */
    const char *shared_hidden; /* of the experts that every token uses, together */
    const char *shared;        /* how many of them, each as large as another expert */
    const char *dense;         /* blocks without experts, at the beginning */
    const char *normalize;     /* whether shares add up to 1 */
    const char *scale;         /* multiplies shares */
    const char *groups, *groups_used;
    size_t experts_default, used_default, hidden_default, shared_hidden_default, shared_default, dense_default;
    size_t groups_default, groups_used_default;
    float scale_default;       /* 0: 1 */
    float sum_floor;           /* see struct mixture */
    enum router router;
    bool normalized;           /* where no key says it */
};

/* Reads hyper.mixture and hyper.dense_layers; hidden of the dense layers is there. */
bool mixture_read_hf(const struct hf_config *config, const struct mixture_keys *keys);

/* decoder_sparse_step and mlp_only_layers: blocks that are dense say so by their tensors; false with an error where the
 * keys are no numbers. */
bool mixture_check_dense(const struct hf_config *config);

/* The same of a GGUF file's metadata: `fixed` holds what the architecture fixes. */
bool mixture_read_gguf(const struct gguf_metadata *metadata, struct model *model, const struct mixture *fixed);

#endif

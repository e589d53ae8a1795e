/* arch.h - the architectures: what tells one transformer's decoder from another, as a table.
 *
 * One forward pass (engine/context.h) serves all of them: it runs the steps of their blocks (layer.h) and never asks
 * which architecture it is. A new relative is a file arch_NAME.c with its row, and the row's name in arch_table.c. */
#ifndef QTOP_ARCH_H
#define QTOP_ARCH_H

#include "model.h"

/* What weight files call a role's tensor: a name, or in a block what follows the block's number. */
typedef const char *const role_names[ROLE_COUNT];

/* What llama.cpp makes of attention.sliding_window. */
enum gguf_window {
    GGUF_WINDOW_READ,    /* a window where the key is there */
    GGUF_WINDOW_ALWAYS,  /* one where it is missing, too: 0 says that there is none */
    GGUF_WINDOW_IGNORED  /* nothing */
};

/* Whether llama.cpp makes shares of experts add up to 1. */
enum gguf_shares {
    GGUF_SHARES_READ, /* where expert_weights_norm says so */
    GGUF_SHARES_SUM,  /* whatever it says */
    GGUF_SHARES_RAW   /* never */
};

/* Whether layers have the window of config.json's sliding_window. */
enum hf_window {
    HF_WINDOW_NONE,  /* never */
    HF_WINDOW_OWN,   /* where it is there, as window_period says */
    HF_WINDOW_ASKED, /* where use_sliding_window says so, too */
    HF_WINDOW_LATER  /* where it is there, in layers from max_window_layers on */
};

/* What a key means that config.json does not have: the defaults of the architecture's configuration class in
 * transformers (5.24). 0: none, and as said. */
struct hf_defaults {
    size_t dim, hidden, layers, heads, vocab, context;
    size_t kv_heads;         /* 0: as many as heads */
    size_t head_size;        /* 0: dim / heads */
    size_t window;
    size_t windowed_from;    /* max_window_layers; 0: 28 */
    size_t original_context; /* of a scaled rotary embedding; 0: the context */
    float epsilon;
    float rope_base;         /* 0: 10000 */
    float partial_rotary;    /* of a head; 0: 1 */
    float query_scalar;      /* query_pre_attn_scalar; 0: the architecture has no such key */
    float attention_cap, logit_cap; /* the same */
    int32_t bos, eos;        /* -1: none */
};

/* What config.json calls sizes and the epsilon of norms; null: as Llama's does, which may be used beside these. */
struct hf_names {
    const char *dim, *layers, *heads, *context;
    const char *hidden;      /* the only name; 4 * dim where it is missing or null */
    const char *epsilon;     /* "": norms have the default, whatever config.json says */
    const char *rope_base, *rotary; /* what others call rope_theta and partial_rotary_factor */
    bool alike;              /* heads divide the embedding and have keys and values of their own */
};

struct hf_config;
struct gguf_metadata;

struct arch {
    const char *name;           /* as shown */
    const char *gguf;           /* general.architecture; or null */
    const struct arch *in_gguf; /* the relative as which GGUF files hold it; null: itself */
    const char *hf;             /* model_type in config.json; or null */
    const char *hf_class;       /* architectures in config.json, where it is written */
    const char *reference;      /* who describes it */
    const char *title, *features; /* as people write its name; what it has beside a Llama's blocks, in a line */
    const struct step *steps;   /* of a block (layer.h) */
    const struct step *parallel_steps; /* of one that hyper.parallel says; null: none may */
    role_set required;          /* tensors that every model has, the head aside */
    role_set optional;          /* that some have, in all blocks or in none */
    role_set varying;           /* that some blocks have */
    role_set dense, sparse;     /* that blocks without a router have, and those with one */
    role_set serial;            /* that blocks have which are not parallel (hyper.parallel) */
    enum norm norm;
    enum activation activation;
    const char *hf_activation;  /* its name in config.json, where it is written */
    const char *hf_activation_key; /* the key of that name */
    bool exact_yarn;            /* GGUF files of it mean a YaRN without rounding (struct yarn) */
    bool gguf_rms_epsilon;      /* GGUF files call the epsilon of its layer norms as that of RMS norms */
    bool hf_activation_free;    /* which may be any: hf_activation is the default */
    bool hf_gelu_is_tanh;       /* config.json's "gelu" means the approximation by tanh */
    enum rope gguf_rope;        /* order of the rows of Q and K in GGUF files */
    enum rope hf_rope;          /* in Hugging Face's */
    float attention_scale;      /* q k times this in all its models; 0: as files say */
    bool scaled_embedding;      /* by sqrt(dim) */
    bool norms_from_one;        /* Hugging Face files hold w where the norm multiplies by 1 + w */
    bool transposed;            /* Hugging Face files hold the matrices of blocks as columns x rows */
    bool tied_default;          /* the head is tied where config.json does not say */
    const char *hf_biased;      /* the key that says whether attention has biases; null: attention_bias, where the
                                 * projection behind attention may have one */
    bool biased_default;        /* it has where config.json does not say */
    bool predicts_more;         /* files may hold blocks behind the last that predict further tokens: not used */
    const char *unused;         /* a pattern of other tensors that files may hold and that are not used; or null */
    size_t window_period;       /* see struct hyper */
    enum hf_window hf_window;
    bool window_rope;           /* layers with a window have a rotary embedding of their own */
    bool hf_partial_rope;       /* config.json may say that a part of each head turns */
    struct hf_defaults defaults;
    enum gguf_window gguf_window;
    enum gguf_shares gguf_shares;
    const struct hf_names *hf_sizes; /* what config.json calls sizes; null: as Llama's does */
    bool hf_scaled_by_choice;   /* config.json may say that attention is not scaled, or by the layer's number */
    const char *hf_prefix;      /* before all names but the head's where a model has a head */
    const char *hf_block;       /* what comes before the number of a block */
    role_names *hf_names;       /* of an expert's a place for its number: "mlp.experts.%.up_proj.weight" */
    const uint8_t (*hf_arranged)[ROLE_COUNT]; /* how they hold tensors (arrange.h); null: as they are */
    role_set hf_packed;         /* tensors that lie in two parts (packing.h) where quantization_config says how: rows x
                                 * columns, not transposed */
    const uint8_t (*gguf_arranged)[ROLE_COUNT]; /* the same of GGUF files */
    role_names *gguf_names;     /* where they are not the canonical ones; or null */
    void (*complete_gguf)(struct hyper *hyper); /* sets what GGUF files leave out; or null */
    /* The row that a file means where several have its name: this one is asked, the first of them. */
    const struct arch *(*which_hf)(const struct hf_config *config); /* null with an error; or null: this one */
    const struct arch *(*which_gguf)(const struct model *model);
    const char *hf_reads;       /* words: keys that the next two understand, which hf_keys.c refuses elsewhere */
    bool (*read_hf)(const struct hf_config *config);  /* what config.json says of all layers; or null */
    bool (*shape_hf)(const struct hf_config *config); /* of each: model->layers are there, and get roles that it asks
                                                       * for beside the usual ones; or null */
    const char *hf_numbers;     /* a pattern (fnmatch) of names of tensors that complete_hf reads; null: none */
    /* Reads numbers that are tensors, whose names begin with the prefix of the model's; or null. */
    bool (*complete_hf)(struct model *model, const char *prefix, struct error *error);
    bool hf_layer_kinds;        /* layer_types is shape_hf's, windows included */
    bool hf_unwritten;          /* config.json has keys that exports cannot write: the original one is needed */
    const char *gguf_reads;     /* the same of a GGUF file's metadata, without the architecture's name */
    bool gguf_divides_logits;   /* logit_scale is what they are divided by */
    const char *(*gguf_unwritten)(const struct model *model); /* what its keys cannot say of a model; or null */
    bool (*read_gguf)(const struct gguf_metadata *metadata, struct model *model);
    bool (*shape_gguf)(const struct gguf_metadata *metadata, struct model *model);
};

/* The table (arch_table.c); null ends it. The first row is of models that name none of them. */
extern const struct arch *const archs[];

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

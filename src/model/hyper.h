/* hyper.h - the hyper-parameters of a decoder, and what any file may ask for. */
#ifndef QTOP_HYPER_H
#define QTOP_HYPER_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum norm { NORM_RMS, NORM_LAYER };
enum activation {
    ACTIVATION_SILU,
    ACTIVATION_GELU_TANH,
    ACTIVATION_GELU,
    ACTIVATION_RELU,
    ACTIVATION_RELU_SQUARED, /* of So et al. 2021 */
    ACTIVATION_SWIGLU_CLAMPED, /* of gpt-oss */
    ACTIVATION_XIELU,        /* with numbers of each layer (struct xielu) */
    ACTIVATIONS
};

/* How rotary embeddings pair the elements of a head: neighbours 2i and 2i + 1, or i and i + half. */
enum rope { ROPE_NEIGHBOURS, ROPE_HALVES, ROPE_NONE };

/* How a router turns logits into shares. */
enum router {
    ROUTER_SOFTMAX,         /* probabilities of all experts, of which the largest are chosen */
    ROUTER_SOFTMAX_CHOSEN,  /* the largest logits are chosen, and become probabilities among themselves */
    ROUTER_SIGMOID,         /* each expert's own sigmoid */
    ROUTER_SIGMOID_CHOSEN,  /* the same of the largest logits */
    ROUTER_SPARSEMIXER      /* each chosen one's probability among the others nearly as likely */
};

/* Experts of a layer. */
struct mixture {
    size_t experts;         /* 0: a dense layer */
    size_t used;            /* by a token */
    size_t hidden;          /* of an expert's feed-forward layers */
    size_t shared_hidden;   /* of those that every token uses; 0: none */
    enum router router;
    bool normalized;        /* shares of a token add up to 1, before share_scale */
    float sum_floor;        /* of that sum; 0: none */
    float margin;           /* of ROUTER_SPARSEMIXER: how much less, of a logit, is nearly as likely */
    bool shares_scale_input; /* shares multiply what experts read, not what they give */
    float share_scale;      /* multiplies shares; 0: 1 */
    size_t groups, groups_used; /* experts are chosen from the best groups only; 0: all are one */
};

/* How YaRN made the factors of the rotary frequencies (Peng et al. 2023, section 3.2). */
struct yarn {
    float factor;           /* 0: it did not */
    float fast, slow;       /* rotations within the original context: beta_fast, beta_slow */
    bool exact;             /* the pairs between which it mixes are not rounded outwards to whole ones */
};

/* What blocks have in common; where they differ, struct layer says how. Zeros stand for what most Llamas have. */
struct hyper {
    size_t dim;             /* elements of a hidden state */
    size_t hidden;          /* of the feed-forward layers */
    size_t layers;          /* blocks */
    size_t heads, kv_heads; /* of queries; of keys and values */
    size_t head_size;       /* elements */
    size_t vocab;           /* tokens: rows of the embedding table */
    size_t trained_context; /* positions */
    float rope_base;        /* theta */
    float norm_eps;         /* added to the variance in norms */
    enum rope rope;
    enum norm norm;
    enum activation activation;
    float swiglu_alpha, swiglu_limit; /* of SWIGLU_CLAMPED: of its sigmoid's input; of gate and up */
    size_t rope_dims;       /* rotary dimensions of a head; 0: all (rotary_dims) */
    float rope_magnitude;   /* of cosines and sines; 0: 1 */
    size_t rope_original;   /* positions of the original training, where a scaling asks for them; 0: none does */
    float rope_growth;      /* factor of dynamic NTK; 0: the base is the same for all contexts */
    struct yarn yarn;
    float attention_scale;  /* q k times this; 0: 1 / sqrt(head_size) */
    bool scale_by_layer;    /* layer i, from 0, divides that by i + 1 */
    float attention_cap;    /* cap tanh(x / cap) of attention's scores; 0: none */
    float logit_cap;        /* the same of the logits */
    float embedding_scale;  /* 0: 1 */
    size_t window;          /* positions that a windowed layer sees, its own included; 0: all */
    size_t window_period;   /* layer i sees all where i % period == period - 1; 0: every one is windowed */
    float window_rope_base; /* theta of layers with a window; 0: rope_base, scaled as in the others */
    size_t window_head_size, window_kv_heads; /* of those layers; 0: as in the others */
    size_t layer_input;     /* elements of the input that every layer has of its own; 0: there is none */
    struct mixture mixture; /* of the layers that have experts */
    size_t dense_layers;    /* the first ones have none */
    bool norm_all_heads;    /* norms of queries and keys go over all heads together */
    float residual_scale;   /* multiplies what a block adds; 0: 1 */
    bool norm_each_head;    /* those norms go over one head, with weights of its own */
    bool parallel;          /* attention and feed-forward layers read what stands before both */
    float qkv_clip;         /* queries, keys and values are kept within plus and minus this; 0: they are not */
    float logit_scale;      /* multiplies logits; 0: 1 */
    bool ternary;           /* matrices of blocks are rounded to -s, 0 and s, and their inputs to 8 bits (BitNet b1.58) */
    size_t first_position;  /* row of position 0 in the learned positions */
};

/* Dimensions of a head that rotary embeddings are applied to. */
size_t rotary_dims(const struct hyper *hyper);

/* Positions that a layer sees at most; 0: all. */
size_t hyper_window(const struct hyper *hyper, size_t layer);

/* What a layer multiplies q k by. */
float hyper_attention_scale(const struct hyper *hyper, size_t layer);

/* The largest numbers that any file may ask for: their products fit in a size_t. */
enum {
    MAX_DIM = 1 << 20,
    MAX_HIDDEN = 1 << 22,
    MAX_LAYERS = 1 << 14,
    MAX_HEADS = 1 << 14,
    MAX_HEAD_SIZE = 1 << 14,
    MAX_VOCAB = 1 << 24,
    MAX_EXPERTS = 1 << 12,
    MAX_POSITIONS = 1 << 28
};

/* The ranges of numbers that are not integers, both ends included. With a rotary base below 1,
 * frequencies would grow from dimension to dimension. */
static const float min_rope_base = 1, max_rope_base = 1e30f, min_epsilon = 1e-20f, max_epsilon = 1,
                   min_cap = 1e-6f, max_cap = 1e6f;

/* Checks hyper-parameters, whoever filled them in: each number in its range, heads that divide, an even number
 * of rotary dimensions. `where` begins the error ("config.json", "metadata"). Call before anything is
 * multiplied or divided. */
bool hyper_check(const struct hyper *hyper, const char *where, struct error *error);

/* The same of experts alone: as many used as there are at most, groups that divide them and leave enough. */
bool mixture_check(const struct mixture *mixture, const char *where, struct error *error);

#endif

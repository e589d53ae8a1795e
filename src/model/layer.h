/* layer.h - a block of a decoder as data: its sizes, its tensors, and the steps that compute it.
 *
 * A block is a table of steps over named vectors ("registers"), one row a token. The engine runs it, the layer-wise
 * calibration pass stops at its linear inputs, training runs it forward and back, folding asks it what stands before
 * a linear layer, depth and sensitivity find in it where something is added to the hidden state. */
#ifndef QTOP_LAYER_H
#define QTOP_LAYER_H

#include "hyper.h"
#include "role.h"

/* Registers; how wide each is says layer_width. Those of experts hold one row of each that is used. */
enum reg {
    REG_X,           /* the hidden state */
    REG_LAYER_INPUTS, /* inputs of all layers, which are there before the first block */
    REG_LAYER_INPUT, /* of this one */
    REG_INPUT_GATE,  /* by how much it counts, and what that makes of it */
    REG_NORMED,      /* what a norm made of it */
    REG_QKV,         /* queries, keys and values of one matrix, one after another */
    REG_Q,
    REG_K,
    REG_V,
    REG_ATTENDED,    /* output of attention */
    REG_ATTN,        /* what attention adds to the hidden state */
    REG_GATE_UP,     /* gate and up of one matrix */
    REG_GATE,
    REG_UP,
    REG_FFN,         /* what the feed-forward layers add */
    REG_ROUTER,      /* a router's logits, one an expert */
    REG_CHOSEN,      /* numbers of the experts that are used, as floats */
    REG_SHARE,       /* and by what their outputs are multiplied */
    REG_EXPERT_GATE, /* of all experts that are used, one after another */
    REG_EXPERT_UP,
    REG_EXPERT_OUT,
    REG_SHARED,      /* output of the experts that every token uses */
    REG_SHARED_GATE, /* one number: by what that is multiplied */
    REG_COUNT,
    REG_NONE = REG_COUNT
};

typedef uint32_t reg_set;
#define REG_BIT(REG) ((reg_set)1 << (REG))

enum step_op {
    STEP_END,      /* of a table */
    STEP_NORM,     /* out = norm of `in`, vector by vector as long as the role's weights; of all of it
                    * without a role, or of each head of queries, keys and values */
    STEP_LINEAR,   /* out = W in, and the bias, whose role follows that of W */
    STEP_SPLIT,    /* out = the next columns of `in` that no split has taken; of all layers' inputs, this one's */
    STEP_ROTATE,   /* rotary embedding of out's heads, in place */
    STEP_ATTEND,   /* out = attention of queries `in` to keys and values, which it appends to the cache */
    STEP_ACTIVATE, /* out = activation(in), times `with` where there is one; out is `in` */
    STEP_SIGMOID,  /* out = sigmoid(in), in place */
    STEP_MULTIPLY, /* out *= in; one number of `in` multiplies all of out */
    STEP_SCALE,    /* out *= a number of the layer (enum scalar) */
    STEP_CLAMP,    /* out is kept within plus and minus a number of the layer, in place */
    STEP_ROUND,    /* each token's out is rounded to steps of its largest magnitude over a number of the layer, in place */
    STEP_UNIT,     /* out's heads by their root mean squares, in place, where the layer says so */
    STEP_TEMPER,   /* out *= what layer_temper says of the token's position */
    STEP_WEIGH,    /* out *= the role's tensor, one number or one a column */
    STEP_ADD,      /* out += in */
    STEP_ROUTE,    /* CHOSEN and SHARE from the logits `in` */
    STEP_EXPERTS,  /* out = of each chosen expert W_e in (+ bias); `in` is one row a token, or one an expert */
    STEP_COMBINE,  /* out = sum of the chosen experts' outputs `in`, times their shares */
    STEP_OPS
};

/* Numbers of a layer that a STEP_SCALE multiplies by, a STEP_CLAMP keeps to, or a STEP_ROUND has steps on either side of
 * 0; 0: there is none, and no step. */
enum scalar { SCALAR_RESIDUAL, SCALAR_QKV_CLIP, SCALAR_STEPS, SCALAR_ROUTER_INPUT, SCALAR_COUNT };

/* A step of a table. It is left out of a layer that lacks its role's tensor or all of `needs`, or has one of
 * `lacks`. */
struct step {
    uint8_t op;             /* enum step_op */
    uint8_t out, in, with;  /* enum reg; REG_NONE */
    uint8_t role;           /* of its tensor; ROLE_NONE */
    role_set needs, lacks;
    uint8_t scalar;         /* of STEP_SCALE, STEP_CLAMP and STEP_ROUND */
    size_t first;           /* of a split: its first column (filled in by layer_resolve) */
};

/* Numbers of xIELU as files have them (Huang and Schlag 2024): softplus makes of the first two the factors of x^2 above
 * 0, and beta plus softplus of that of e^x - 1 - x below; beta x is added to both. */
struct xielu {
    float positive, negative;
    float beta;
    float eps;              /* below 0: e^x is not taken of what is nearer to 0 */
};

enum { ROTARY_NONE = -1 };

struct layer {
    size_t heads, kv_heads; /* of queries; of keys and values */
    size_t head_size;       /* elements */
    size_t hidden;          /* of the dense feed-forward layers */
    size_t window;          /* positions that it sees, its own included; 0: all */
    int rotary;             /* row of model->rotary, or ROTARY_NONE */
    size_t kv_from;         /* the layer whose keys and values it attends to: its own number, or an earlier one */
    float attention_scale;  /* multiplies q k */
    float query_growth;     /* of queries with their positions (layer_temper); 0: they do not grow */
    size_t query_span;      /* positions from 1 */
    size_t query_first;     /* what the first position counts as */
    size_t chunk;           /* it sees positions from the last multiple of this only; 0: all */
    bool unit_heads;        /* it has the steps STEP_UNIT */
    struct mixture mixture;
    struct xielu xielu;     /* of ACTIVATION_XIELU */
    float scalar[SCALAR_COUNT];
    role_set has;           /* its tensors' roles */
    role_set without;       /* roles that its architecture has and it has not; such tensors of a file are left out */
    int tensor[ROLE_COUNT]; /* index in the model, of an expert's the first; -1: none */
    struct step *steps;     /* its own; the last is STEP_END */
    size_t step_count;      /* without it */
    size_t first_segment;   /* segments of the blocks before it */
};

/* Whether a register holds a row for each expert that a token uses, not one for all. */
static inline bool reg_is_per_expert(enum reg reg)
{
    return reg >= REG_EXPERT_GATE && reg <= REG_EXPERT_OUT;
}

struct model;

/* Elements of a register in a layer, for one token. */
size_t layer_width(const struct model *model, const struct layer *layer, enum reg reg);
/* The widest in any layer. */
size_t model_width(const struct model *model, enum reg reg);

/* What queries at a position are multiplied by: 1 + growth log(1 + floor((first + position) / span)) (Llama 4,
 * 2025). */
float layer_temper(const struct layer *layer, size_t position);

/* What a step reads and what it writes, in whole. */
reg_set step_reads(const struct step *step);
reg_set step_writes(const struct step *step);
/* Whether it changes what `out` holds, in place. */
bool step_changes(const struct step *step);

/* Registers that steps from `at` on read before they write them, the hidden state, and what all blocks read. */
reg_set layer_live(const struct layer *layer, size_t at);

/* The step that wrote what step `at` reads in a register: its index, or -1 where it was there before the block. */
int layer_writer(const struct layer *layer, size_t at, enum reg reg);

/* The step that uses a role's tensor, its bias's included: its index, or -1. */
int layer_step_of(const struct layer *layer, enum role role);

/* Gives block number `block` the steps of a table that it has tensors for; the layer's sizes, scalars and `has` are
 * there. False with an error that names the tensors where a step would read what none has written. */
bool layer_resolve(struct model *model, size_t block, const struct step *table, struct error *error);

/* Positions that a token at a position sees, its own included; 0: all. */
size_t layer_window(const struct layer *layer, size_t position);

/* A segment of a block: from where nothing but the hidden state is alive to where something was added to it and the
 * same holds again. Blocks have one at least. */
struct segment {
    size_t block;
    size_t begin, end;     /* steps begin .. end - 1 */
};

/* Segments of a block; of all blocks, in order; the s-th of those. */
size_t layer_segments(const struct layer *layer);
size_t model_segments(const struct model *model);
struct segment model_segment(const struct model *model, size_t s);

/* The segment that uses a tensor of a block. */
size_t model_segment_of(const struct model *model, int tensor);

/* What a segment adds: "attention", "ffn", or "block" for both. */
const char *segment_name(const struct model *model, struct segment segment);

#endif

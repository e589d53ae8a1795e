/* role.h - what a tensor is for. */
#ifndef QTOP_ROLE_H
#define QTOP_ROLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In the order of the forward pass; roles.c says what people usually do with each. A bias follows its matrix. A model
 * has those that its architecture and its file have. */
enum role {
    ROLE_EMBEDDING,
    ROLE_POSITIONS,      /* learned positions, one row each */
    ROLE_LAYERS_EMBEDDING, /* of each token the inputs of all layers, one row */
    ROLE_LAYERS_PROJECTION, /* what the embedding adds to them */
    ROLE_LAYERS_NORM,    /* of each layer's part of that */
    ROLE_ATTN_NORM,
    ROLE_ATTN_NORM_BIAS,
    ROLE_ATTN_QKV,       /* Q, K and V in one matrix, their rows in this order */
    ROLE_ATTN_QKV_BIAS,
    ROLE_ATTN_Q,
    ROLE_ATTN_Q_BIAS,
    ROLE_ATTN_K,
    ROLE_ATTN_K_BIAS,
    ROLE_ATTN_V,
    ROLE_ATTN_V_BIAS,
    ROLE_ATTN_Q_NORM,    /* of each head of the queries, or of all together */
    ROLE_ATTN_K_NORM,
    ROLE_ATTN_SINKS,     /* one score a head, of no position */
    ROLE_ATTN_SUB_NORM,  /* of attention's output before its projection */
    ROLE_ATTN_OUT,
    ROLE_ATTN_OUT_BIAS,
    ROLE_ATTN_POST_NORM, /* of what attention adds */
    ROLE_FFN_NORM,
    ROLE_FFN_NORM_BIAS,
    ROLE_FFN_GATE_UP,    /* gate and up in one matrix, the gate's rows first */
    ROLE_FFN_GATE,
    ROLE_FFN_GATE_BIAS,
    ROLE_FFN_UP,
    ROLE_FFN_UP_BIAS,
    ROLE_FFN_SUB_NORM,   /* of the input of the last feed-forward matrix */
    ROLE_FFN_DOWN,
    ROLE_FFN_DOWN_BIAS,
    ROLE_DENSE_POST_NORM, /* of what dense layers give beside experts */
    ROLE_ROUTER_NORM,    /* of a router's own input */
    ROLE_ROUTER,         /* one row an expert */
    ROLE_ROUTER_BIAS,
    ROLE_ROUTER_CHOICE,  /* added to what experts are chosen by, and not to their shares */
    ROLE_ROUTER_SCALE,   /* of each expert: its share is multiplied by it */
    ROLE_EXPERTS_NORM,   /* of the experts' own input */
    ROLE_GATE_EXPERTS,   /* one tensor an expert, as those that follow */
    ROLE_GATE_EXPERTS_BIAS,
    ROLE_UP_EXPERTS,
    ROLE_UP_EXPERTS_BIAS,
    ROLE_DOWN_EXPERTS,
    ROLE_DOWN_EXPERTS_BIAS,
    ROLE_SHARED_SCALE,   /* one row: by what the shared experts' output is multiplied */
    ROLE_GATE_SHARED,    /* of the experts that every token uses */
    ROLE_UP_SHARED,
    ROLE_DOWN_SHARED,
    ROLE_EXPERTS_POST_NORM, /* of what experts give beside dense layers */
    ROLE_FFN_POST_NORM,  /* of what the feed-forward layers add */
    ROLE_INPUT_GATE,     /* by how much a layer's own input counts */
    ROLE_INPUT_PROJECTION,
    ROLE_INPUT_POST_NORM, /* of what it adds */
    ROLE_LAYER_SCALE,    /* one number: by what the hidden state behind a block is multiplied */
    ROLE_OUTPUT_NORM,
    ROLE_OUTPUT_NORM_BIAS,
    ROLE_OUTPUT,
    ROLE_OUTPUT_BIAS,
    ROLE_COUNT,
    ROLE_NONE = ROLE_COUNT
};

/* A set of roles, one bit each. */
typedef uint64_t role_set;
_Static_assert(ROLE_COUNT <= 64, "a role_set has a bit for every role");
#define ROLE_BIT(ROLE) ((role_set)1 << (ROLE))

/* Those of a Llama whose head is a tensor of its own. */
extern const role_set llama_roles;

/* How safe it is to quantize. */
enum guidance { GUIDE_ALWAYS, GUIDE_USUALLY, GUIDE_CAREFUL, GUIDE_DONT };

struct role_info {
    const char *name;      /* the last part of the canonical name */
    bool in_block;         /* blk.N.name, else name alone */
    bool linear;           /* multiplies activations */
    bool vector;           /* one row: a norm, a bias or the like */
    bool norm;             /* multiplies what was normalized */
    bool lookup;           /* one row is read for a token */
    bool of_expert;        /* one tensor an expert, blk.N.name.E */
    bool router;           /* chooses or weighs experts: stays as stored unless it is named */
    enum role bias_of;     /* of a bias: the tensor whose output it is added to */
    enum guidance guidance;
    const char *advice;    /* one line: what usually happens */
};

extern const struct role_info roles[ROLE_COUNT];
const char *guidance_name(enum guidance guidance);

/* Whether it is one of the linear matrices inside blocks that a scheme for all of them changes: not routers. */
bool role_takes_schemes(enum role role);

/* The bias of a role's output, or ROLE_NONE where no role is. */
enum role role_bias(enum role role);

#endif

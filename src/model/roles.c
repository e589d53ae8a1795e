#include "model.h"

#define LINEAR .in_block = true, .linear = true
#define NORM   .vector = true, .guidance = GUIDE_CAREFUL, .advice = NORM_ADVICE
#define NORM_ADVICE                                                                                \
    "be careful: a norm is tiny, so it saves nothing, and every activation passes through it"
#define ATTN_ADVICE "usually quantized: attention projections take int8 well, int4 in groups"
#define FFN_ADVICE  "usually quantized: the feed-forward layers hold most of the weights"

const struct role_info roles[ROLE_COUNT] = {
    [ROLE_EMBEDDING] = {"token_embd", .guidance = GUIDE_CAREFUL,
                        .advice = "be careful: one row a token is read, so it saves memory and no "
                                  "time, and every layer sees its error"},
    [ROLE_ATTN_NORM] = {"attn_norm", .in_block = true, NORM},
    [ROLE_ATTN_Q] = {"attn_q", LINEAR, .guidance = GUIDE_USUALLY, .advice = ATTN_ADVICE},
    [ROLE_ATTN_K] = {"attn_k", LINEAR, .guidance = GUIDE_USUALLY, .advice = ATTN_ADVICE},
    [ROLE_ATTN_V] = {"attn_v", LINEAR, .guidance = GUIDE_USUALLY, .advice = ATTN_ADVICE},
    [ROLE_ATTN_OUT] = {"attn_output", LINEAR, .guidance = GUIDE_ALWAYS,
                       .advice = "always quantized: linear layers hold the vast majority of the "
                                 "weights"},
    [ROLE_FFN_NORM] = {"ffn_norm", .in_block = true, NORM},
    [ROLE_FFN_GATE] = {"ffn_gate", LINEAR, .guidance = GUIDE_USUALLY, .advice = FFN_ADVICE},
    [ROLE_FFN_UP] = {"ffn_up", LINEAR, .guidance = GUIDE_USUALLY, .advice = FFN_ADVICE},
    [ROLE_FFN_DOWN] = {"ffn_down", LINEAR, .guidance = GUIDE_USUALLY,
                       .advice = "usually quantized; its inputs have the widest range, so watch "
                                 "int8 activations here"},
    [ROLE_OUTPUT_NORM] = {"output_norm", NORM},
    [ROLE_OUTPUT] = {"output", .linear = true, .guidance = GUIDE_DONT,
                     .advice = "usually left alone: the head's error goes straight into the "
                               "probabilities"},
};

bool tensor_multiplies(const struct model *m, int tensor)
{
    enum role role = m->tensors[tensor].role;
    return roles[role].linear || (role == ROLE_EMBEDDING && m->tied);
}

size_t schemes_count(const struct model *m)
{
    return m->tensor_count + 1;
}

int kv_index(const struct model *m)
{
    return (int)m->tensor_count;
}

const char *layer_name(const struct model *m, int tensor)
{
    return tensor == kv_index(m) ? KV_NAME : m->tensors[tensor].name;
}

struct advice tensor_advice(const struct model *m, int tensor)
{
    if (tensor == kv_index(m))
        return (struct advice){GUIDE_USUALLY, "often in 8 bits where contexts are long: every token "
                                              "reads the whole cache; fp16 costs next to nothing"};
    const struct tensor *t = &m->tensors[tensor];
    const struct role_info *role = &roles[t->role];
    bool small = t->stored.rows * t->stored.cols * 1000 < m->parameters;
    if (role->linear && small)
        return (struct advice){GUIDE_DONT, "usually left alone: a layer this small saves next to "
                                           "nothing"};
    if (t->role == ROLE_EMBEDDING && m->tied)
        return (struct advice){GUIDE_DONT, "usually left alone: this table is the output head, too, "
                                           "whose error goes straight into the probabilities"};
    return (struct advice){role->guidance, role->advice};
}

const char *guidance_name(enum guidance guidance)
{
    static const char *const names[] = {"always", "usually", "careful", "don't"};
    return names[guidance];
}

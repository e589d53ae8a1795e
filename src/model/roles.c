#include "model.h"

#define LINEAR .in_block = true, .linear = true
#define NORM   .vector = true, .norm = true, .guidance = GUIDE_CAREFUL, .advice = NORM_ADVICE
#define NORM_ADVICE                                                                                \
    "be careful: a norm is tiny, so it saves nothing, and every activation passes through it"
#define BIAS(OF) .vector = true, .bias_of = (OF), .guidance = GUIDE_DONT, .advice = BIAS_ADVICE
#define BIAS_ADVICE "usually not quantized: a bias is tiny, so it saves nothing"
#define ATTN .guidance = GUIDE_USUALLY, .advice = ATTN_ADVICE
#define ATTN_ADVICE "usually quantized: attention projections take int8 well, int4 in groups"
#define KV .guidance = GUIDE_CAREFUL, .advice = KV_ADVICE
#define KV_ADVICE                                                                                  \
    "be careful: every later token attends to its errors: 8 bits, or small groups with a zero point"
#define FFN .guidance = GUIDE_USUALLY, .advice = FFN_ADVICE
#define FFN_ADVICE  "usually quantized: the feed-forward layers hold most of the weights"
#define EXPERTS .in_block = true, .linear = true, .of_expert = true, .guidance = GUIDE_USUALLY, .advice = EXPERTS_ADVICE
#define EXPERTS_ADVICE "usually quantized: experts hold nearly all of the weights, and each is used by few tokens"
#define ROUTER_ADVICE                                                                              \
    "usually not quantized: it is small, and a token that it sends to another expert is another token"
#define ROUTER .router = true, .guidance = GUIDE_DONT, .advice = ROUTER_ADVICE

const struct role_info roles[ROLE_COUNT] = {
    [ROLE_EMBEDDING] = {"token_embd", .lookup = true, .guidance = GUIDE_CAREFUL,
                        .advice = "be careful: one row a token is read, so it saves memory and no "
                                  "time, and every layer sees its error"},
    [ROLE_POSITIONS] = {"position_embd", .lookup = true, .guidance = GUIDE_CAREFUL,
                        .advice = "be careful: one row a token is read, so it saves next to "
                                  "nothing, and every layer sees its error"},
    [ROLE_LAYERS_EMBEDDING] = {"per_layer_token_embd", .lookup = true, .guidance = GUIDE_CAREFUL,
                               .advice = "be careful: one row a token is read, so it saves memory and no time"},
    [ROLE_LAYERS_PROJECTION] = {"per_layer_model_proj", .linear = true, .guidance = GUIDE_CAREFUL,
                                .advice = "be careful: it is small, and every layer sees its error"},
    [ROLE_LAYERS_NORM] = {"per_layer_proj_norm", NORM},
    [ROLE_ATTN_NORM] = {"attn_norm", .in_block = true, NORM},
    [ROLE_ATTN_NORM_BIAS] = {"attn_norm.bias", .in_block = true, BIAS(ROLE_ATTN_NORM)},
    [ROLE_ATTN_QKV] = {"attn_qkv", LINEAR, ATTN},
    [ROLE_ATTN_QKV_BIAS] = {"attn_qkv.bias", .in_block = true, BIAS(ROLE_ATTN_QKV)},
    [ROLE_ATTN_Q] = {"attn_q", LINEAR, ATTN},
    [ROLE_ATTN_Q_BIAS] = {"attn_q.bias", .in_block = true, BIAS(ROLE_ATTN_Q)},
    [ROLE_ATTN_K] = {"attn_k", LINEAR, KV},
    [ROLE_ATTN_K_BIAS] = {"attn_k.bias", .in_block = true, BIAS(ROLE_ATTN_K)},
    [ROLE_ATTN_V] = {"attn_v", LINEAR, KV},
    [ROLE_ATTN_V_BIAS] = {"attn_v.bias", .in_block = true, BIAS(ROLE_ATTN_V)},
    [ROLE_ATTN_Q_NORM] = {"attn_q_norm", .in_block = true, NORM},
    [ROLE_ATTN_K_NORM] = {"attn_k_norm", .in_block = true, NORM},
    [ROLE_ATTN_SINKS] = {"attn_sinks", .in_block = true, .vector = true, .guidance = GUIDE_DONT,
                         .advice = "usually not quantized: one number a head"},
    [ROLE_ATTN_SUB_NORM] = {"attn_sub_norm", .in_block = true, NORM},
    [ROLE_ATTN_OUT] = {"attn_output", LINEAR, .guidance = GUIDE_ALWAYS,
                       .advice = "always quantized: linear layers hold the vast majority of the "
                                 "weights"},
    [ROLE_ATTN_OUT_BIAS] = {"attn_output.bias", .in_block = true, BIAS(ROLE_ATTN_OUT)},
    [ROLE_ATTN_POST_NORM] = {"post_attention_norm", .in_block = true, NORM},
    [ROLE_FFN_NORM] = {"ffn_norm", .in_block = true, NORM},
    [ROLE_FFN_NORM_BIAS] = {"ffn_norm.bias", .in_block = true, BIAS(ROLE_FFN_NORM)},
    [ROLE_FFN_GATE_UP] = {"ffn_gate_up", LINEAR, FFN},
    [ROLE_FFN_GATE] = {"ffn_gate", LINEAR, FFN},
    [ROLE_FFN_GATE_BIAS] = {"ffn_gate.bias", .in_block = true, BIAS(ROLE_FFN_GATE)},
    [ROLE_FFN_UP] = {"ffn_up", LINEAR, FFN},
    [ROLE_FFN_UP_BIAS] = {"ffn_up.bias", .in_block = true, BIAS(ROLE_FFN_UP)},
    [ROLE_FFN_SUB_NORM] = {"ffn_sub_norm", .in_block = true, NORM},
    [ROLE_FFN_DOWN] = {"ffn_down", LINEAR, .guidance = GUIDE_USUALLY,
                       .advice = "usually quantized; its inputs have the widest range, so watch "
                                 "int8 activations here"},
    [ROLE_FFN_DOWN_BIAS] = {"ffn_down.bias", .in_block = true, BIAS(ROLE_FFN_DOWN)},
    [ROLE_DENSE_POST_NORM] = {"post_ffw_norm_1", .in_block = true, NORM},
    [ROLE_ROUTER_NORM] = {"ffn_gate_inp.scale", .in_block = true, NORM},
    [ROLE_ROUTER] = {"ffn_gate_inp", LINEAR, ROUTER},
    [ROLE_ROUTER_BIAS] = {"ffn_gate_inp.bias", .in_block = true, BIAS(ROLE_ROUTER)},
    [ROLE_ROUTER_CHOICE] = {"exp_probs_b.bias", .in_block = true, .vector = true, ROUTER},
    [ROLE_ROUTER_SCALE] = {"ffn_down_exps.scale", .in_block = true, .vector = true, ROUTER},
    [ROLE_EXPERTS_NORM] = {"pre_ffw_norm_2", .in_block = true, NORM},
    [ROLE_GATE_EXPERTS] = {"ffn_gate_exps", EXPERTS},
    [ROLE_GATE_EXPERTS_BIAS] = {"ffn_gate_exps.bias", .in_block = true, .of_expert = true, BIAS(ROLE_GATE_EXPERTS)},
    [ROLE_UP_EXPERTS] = {"ffn_up_exps", EXPERTS},
    [ROLE_UP_EXPERTS_BIAS] = {"ffn_up_exps.bias", .in_block = true, .of_expert = true, BIAS(ROLE_UP_EXPERTS)},
    [ROLE_DOWN_EXPERTS] = {"ffn_down_exps", EXPERTS},
    [ROLE_DOWN_EXPERTS_BIAS] = {"ffn_down_exps.bias", .in_block = true, .of_expert = true, BIAS(ROLE_DOWN_EXPERTS)},
    [ROLE_SHARED_SCALE] = {"ffn_gate_inp_shexp", LINEAR, ROUTER},
    [ROLE_GATE_SHARED] = {"ffn_gate_shexp", LINEAR, FFN},
    [ROLE_UP_SHARED] = {"ffn_up_shexp", LINEAR, FFN},
    [ROLE_DOWN_SHARED] = {"ffn_down_shexp", LINEAR, FFN},
    [ROLE_EXPERTS_POST_NORM] = {"post_ffw_norm_2", .in_block = true, NORM},
    [ROLE_FFN_POST_NORM] = {"post_ffw_norm", .in_block = true, NORM},
    [ROLE_INPUT_GATE] = {"inp_gate", LINEAR, FFN},
    [ROLE_INPUT_PROJECTION] = {"proj", LINEAR, FFN},
    [ROLE_INPUT_POST_NORM] = {"post_norm", .in_block = true, NORM},
    [ROLE_LAYER_SCALE] = {"layer_output_scale", .in_block = true, .vector = true, .guidance = GUIDE_DONT,
                          .advice = "usually not quantized: one number"},
    [ROLE_OUTPUT_NORM] = {"output_norm", NORM},
    [ROLE_OUTPUT_NORM_BIAS] = {"output_norm.bias", BIAS(ROLE_OUTPUT_NORM)},
    [ROLE_OUTPUT] = {"output", .linear = true, .guidance = GUIDE_DONT,
                     .advice = "usually not quantized: the head's error goes straight into the "
                               "probabilities"},
    [ROLE_OUTPUT_BIAS] = {"output.bias", BIAS(ROLE_OUTPUT)},
};

bool role_takes_schemes(enum role role)
{
    return roles[role].linear && roles[role].in_block && !roles[role].router;
}

enum role role_bias(enum role role)
{
    enum role next = role + 1;
    return next < ROLE_COUNT && roles[next].bias_of == role && role != ROLE_EMBEDDING ? next : ROLE_NONE;
}

const role_set llama_roles =
    ROLE_BIT(ROLE_EMBEDDING) | ROLE_BIT(ROLE_ATTN_NORM) | ROLE_BIT(ROLE_ATTN_Q) |
    ROLE_BIT(ROLE_ATTN_K) | ROLE_BIT(ROLE_ATTN_V) | ROLE_BIT(ROLE_ATTN_OUT) |
    ROLE_BIT(ROLE_FFN_NORM) | ROLE_BIT(ROLE_FFN_GATE) | ROLE_BIT(ROLE_FFN_UP) |
    ROLE_BIT(ROLE_FFN_DOWN) | ROLE_BIT(ROLE_OUTPUT_NORM) | ROLE_BIT(ROLE_OUTPUT);

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

/* Phi-1 to Phi-2: parallel blocks with one norm, biases everywhere. */
#include "arch_rows.h"

static role_names names = {
    [ROLE_EMBEDDING] = "embed_tokens.weight",
    [ROLE_ATTN_NORM] = "input_layernorm.weight",
    [ROLE_ATTN_NORM_BIAS] = "input_layernorm.bias",
    [ROLE_ATTN_Q] = "self_attn.q_proj.weight",
    [ROLE_ATTN_Q_BIAS] = "self_attn.q_proj.bias",
    [ROLE_ATTN_K] = "self_attn.k_proj.weight",
    [ROLE_ATTN_K_BIAS] = "self_attn.k_proj.bias",
    [ROLE_ATTN_V] = "self_attn.v_proj.weight",
    [ROLE_ATTN_V_BIAS] = "self_attn.v_proj.bias",
    [ROLE_ATTN_OUT] = "self_attn.dense.weight",
    [ROLE_ATTN_OUT_BIAS] = "self_attn.dense.bias",
    [ROLE_FFN_UP] = "mlp.fc1.weight",
    [ROLE_FFN_UP_BIAS] = "mlp.fc1.bias",
    [ROLE_FFN_DOWN] = "mlp.fc2.weight",
    [ROLE_FFN_DOWN_BIAS] = "mlp.fc2.bias",
    [ROLE_OUTPUT_NORM] = "final_layernorm.weight",
    [ROLE_OUTPUT_NORM_BIAS] = "final_layernorm.bias",
    [ROLE_OUTPUT] = "lm_head.weight",
    [ROLE_OUTPUT_BIAS] = "lm_head.bias",
};

static const struct hf_names sizes = {.epsilon = "layer_norm_eps"};

const struct arch arch_phi = {
    .name = "phi2",
    .gguf = "phi2",
    .hf = "phi",
    .hf_class = "PhiForCausalLM",
    .hf_unwritten = true,
    .reference = "Li et al. 2023",
    .title = "Phi-1 to Phi-2",
    .features = "parallel blocks with one layer norm, biases everywhere, half of each head rotary",
    .required = OUTSIDE | B(ATTN_NORM) | B(ATTN_NORM_BIAS) | QKV_ROLES | BIASES | B(ATTN_OUT) | B(ATTN_OUT_BIAS) |
                PLAIN | PLAIN_BIASES | B(OUTPUT_NORM_BIAS) | B(OUTPUT_BIAS),
    .norm = NORM_LAYER,
    LLAMA_FOLDER(names),
    .steps = arch_parallel_steps,
    .activation = ACTIVATION_GELU_TANH,
    .hf_activation = "gelu_new",
    .hf_activation_key = "hidden_act",
    .hf_activation_free = true,
    .hf_rope = ROPE_HALVES,
    .gguf_rope = ROPE_HALVES,
    .hf_partial_rope = true,
    .hf_sizes = &sizes,
    .defaults = {.dim = 2048, .hidden = 8192, .layers = 24, .heads = 32, .vocab = 51200, .context = 2048,
                 .epsilon = 1e-5f, .partial_rotary = 0.5f, .bos = 1, .eos = 2},
};

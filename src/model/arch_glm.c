/* GLM-4 of 2024 and of 2025: one matrix for gate and up, half of each head turns, in neighbouring pairs. */
#include "arch_rows.h"

static role_names glm_gguf_names = {[ROLE_FFN_GATE_UP] = "ffn_up.weight"};

#define GLM_LIKE                                                                                                   \
    LLAMA_FILES, .hf_activation_free = true, .gguf_rope = ROPE_NEIGHBOURS, .hf_rope = ROPE_NEIGHBOURS,             \
    .gguf_names = &glm_gguf_names, .hf_biased = "attention_bias", .biased_default = true,      \
    .hf_partial_rope = true,                                                                                       \
    .defaults = {.dim = 4096, .hidden = 13696, .layers = 40, .heads = 32, .kv_heads = 2, .head_size = 128,         \
                 .vocab = 151552, .context = 131072, .epsilon = 0.00000015625f, .partial_rotary = 0.5f, .bos = -1, \
                 .eos = 151329}

const struct arch arch_glm = {
    .name = "glm",
    .title = "GLM-4 9B",
    .features = "half of each head is rotary, fused gate and up",
    .gguf = "chatglm",
    .hf = "glm",
    .hf_class = "GlmForCausalLM",
    .reference = "GLM Team 2024",
    .required = OUTSIDE | NORMS | B(ATTN_OUT) | B(FFN_GATE_UP) | B(FFN_DOWN),
    .optional = QKV_ROLES | BIASES | B(ATTN_QKV) | B(ATTN_QKV_BIAS), /* one matrix of all in GGUF files of older ones */
    .hf_names = &arch_llama_names,
    GLM_LIKE,
};

static role_names glm4_names = {
    LLAMA_NAMES,
    [ROLE_ATTN_POST_NORM] = "post_self_attn_layernorm.weight",
    [ROLE_FFN_NORM] = "post_attention_layernorm.weight",
    [ROLE_FFN_POST_NORM] = "post_mlp_layernorm.weight",
};

const struct arch arch_glm4 = {
    .name = "glm4",
    .title = "GLM-4 0414",
    .features = "the same with norms after attention and feed-forward",
    .gguf = "glm4",
    .hf = "glm4",
    .hf_class = "Glm4ForCausalLM",
    .reference = "Z.ai 2025 (GLM-4-0414)",
    .required = ATTENTION_ROLES | B(ATTN_POST_NORM) | B(FFN_GATE_UP) | B(FFN_DOWN) | B(FFN_POST_NORM),
    .optional = BIASES,
    .hf_names = &glm4_names,
    GLM_LIKE,
};

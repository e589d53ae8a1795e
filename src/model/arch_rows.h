/* arch_rows.h - what rows of the table of architectures have in common. Private to them. */
#ifndef QTOP_ARCH_ROWS_H
#define QTOP_ARCH_ROWS_H

#include "arch.h"

extern const struct arch arch_llama, arch_mistral, arch_qwen2, arch_qwen3, arch_phi3, arch_gemma, arch_gemma2,
    arch_gpt2;

/* ---- sets of roles --------------------------------------------------------------------------- */

#define B(ROLE) ROLE_BIT(ROLE_##ROLE)
#define OUTSIDE (B(EMBEDDING) | B(OUTPUT_NORM))
#define NORMS   (B(ATTN_NORM) | B(FFN_NORM))
#define QKV     (B(ATTN_Q) | B(ATTN_K) | B(ATTN_V))
#define BIASES  (B(ATTN_Q_BIAS) | B(ATTN_K_BIAS) | B(ATTN_V_BIAS))
#define GATED   (B(FFN_GATE) | B(FFN_UP) | B(FFN_DOWN))
#define LLAMA   (OUTSIDE | NORMS | QKV | B(ATTN_OUT) | GATED)
#define LAYER_NORM_BIASES (B(ATTN_NORM_BIAS) | B(FFN_NORM_BIAS) | B(OUTPUT_NORM_BIAS))

/* ---- names of Hugging Face's files ----------------------------------------------------------- */

#define LLAMA_NAMES                                                                                \
    [ROLE_EMBEDDING] = "embed_tokens.weight", [ROLE_ATTN_NORM] = "input_layernorm.weight",   \
    [ROLE_ATTN_Q] = "self_attn.q_proj.weight", [ROLE_ATTN_Q_BIAS] = "self_attn.q_proj.bias",       \
    [ROLE_ATTN_K] = "self_attn.k_proj.weight", [ROLE_ATTN_K_BIAS] = "self_attn.k_proj.bias",       \
    [ROLE_ATTN_V] = "self_attn.v_proj.weight", [ROLE_ATTN_V_BIAS] = "self_attn.v_proj.bias",       \
    [ROLE_ATTN_Q_NORM] = "self_attn.q_norm.weight",                                                \
    [ROLE_ATTN_K_NORM] = "self_attn.k_norm.weight",                                                \
    [ROLE_ATTN_OUT] = "self_attn.o_proj.weight",                                                   \
    [ROLE_ATTN_OUT_BIAS] = "self_attn.o_proj.bias", [ROLE_ATTN_QKV] = "self_attn.qkv_proj.weight", \
    [ROLE_FFN_GATE_UP] = "mlp.gate_up_proj.weight", [ROLE_FFN_GATE] = "mlp.gate_proj.weight",      \
    [ROLE_FFN_UP] = "mlp.up_proj.weight", [ROLE_FFN_DOWN] = "mlp.down_proj.weight",                \
    [ROLE_OUTPUT_NORM] = "norm.weight", [ROLE_OUTPUT] = "lm_head.weight"

extern role_names arch_llama_names;

/* ---- families -------------------------------------------------------------------------------- */

#define LLAMA_LIKE                                                                                  \
    .activation = ACTIVATION_SILU, .hf_activation = "silu", .hf_activation_key = "hidden_act",      \
    .gguf_rope = ROPE_HALVES, .hf_rope = ROPE_HALVES, .hf_prefix = "model.", .hf_block = "layers.",                  \
    .hf_names = &arch_llama_names
#define GEMMA_LIKE                                                                                  \
    .activation = ACTIVATION_GELU_TANH, .hf_activation = "gelu_pytorch_tanh",                       \
    .hf_activation_key = "hidden_activation", .hf_gelu_is_tanh = true, .gguf_rope = ROPE_HALVES,    \
    .hf_rope = ROPE_HALVES, .hf_prefix = "model.", .hf_block = "layers.", .scaled_embedding = true,                  \
    .norms_from_one = true, .tied_default = true

#endif

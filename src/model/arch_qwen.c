#include "arch_rows.h"

const struct arch arch_qwen2 = {
    .name = "qwen2",
    .gguf = "qwen2",
    .hf = "qwen2",
    .hf_class = "Qwen2ForCausalLM",
    .reference = "Yang et al. 2024",
    .required = LLAMA,
    .optional = BIASES,
    LLAMA_LIKE,
    .window_asked = true,
};

const struct arch arch_qwen3 = {
    .name = "qwen3",
    .gguf = "qwen3",
    .hf = "qwen3",
    .hf_class = "Qwen3ForCausalLM",
    .reference = "Yang et al. 2025",
    .required = LLAMA | B(ATTN_Q_NORM) | B(ATTN_K_NORM),
    .optional = BIASES | B(ATTN_OUT_BIAS),
    LLAMA_LIKE,
    .window_asked = true,
};

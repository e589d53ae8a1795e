#include "arch_rows.h"

#define QWEN_DEFAULTS                                                                                              \
    .dim = 4096, .hidden = 22016, .layers = 32, .heads = 32, .kv_heads = 32, .vocab = 151936, .context = 32768,    \
    .window = 4096, .epsilon = 1e-6f, .bos = -1, .eos = -1

const struct arch arch_qwen2 = {
    .name = "qwen2",
    .title = "Qwen2",
    .features = "biases; a sliding window where `use_sliding_window` is true",
    .gguf = "qwen2",
    .hf = "qwen2",
    .hf_class = "Qwen2ForCausalLM",
    .reference = "Yang et al. 2024",
    .required = LLAMA,
    .optional = BIASES,
    LLAMA_LIKE,
    .hf_window = HF_WINDOW_ASKED,
    .defaults = {QWEN_DEFAULTS},
};

const struct arch arch_qwen3 = {
    .name = "qwen3",
    .title = "Qwen3",
    .features = "norms of each head's queries and keys; windows as in Qwen2",
    .gguf = "qwen3",
    .hf = "qwen3",
    .hf_class = "Qwen3ForCausalLM",
    .reference = "Yang et al. 2025",
    .required = LLAMA | B(ATTN_Q_NORM) | B(ATTN_K_NORM),
    .optional = BIASES | B(ATTN_OUT_BIAS),
    LLAMA_LIKE,
    .hf_window = HF_WINDOW_ASKED,
    .defaults = {QWEN_DEFAULTS, .head_size = 128},
};

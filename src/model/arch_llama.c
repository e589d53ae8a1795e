/* Llama and what differs from it in nothing but a window: Mistral. */
#include "arch_rows.h"

role_names arch_llama_names = {LLAMA_NAMES, [ROLE_FFN_NORM] = "post_attention_layernorm.weight"};

/* Converters to GGUF reorder the rows of a Llama's Q and K so that rotary pairs are neighbours. */
const struct arch arch_llama = {
    .name = "llama",
    .gguf = "llama",
    .hf = "llama",
    .hf_class = "LlamaForCausalLM",
    .reference = "Touvron et al. 2023; Llama 3: Grattafiori et al. 2024",
    .required = LLAMA,
    .optional = BIASES | B(ATTN_OUT_BIAS),
    .activation = ACTIVATION_SILU,
    .hf_activation = "silu",
    .hf_activation_key = "hidden_act",
    .gguf_rope = ROPE_NEIGHBOURS,
    .hf_rope = ROPE_HALVES,
    .gguf_window = GGUF_WINDOW_IGNORED,
    .hf_block = "model.layers.",
    .hf_names = &arch_llama_names,
};

const struct arch arch_mistral = {
    .name = "mistral",
    .in_gguf = &arch_llama,
    .hf = "mistral",
    .hf_class = "MistralForCausalLM",
    .reference = "Jiang et al. 2023",
    .required = LLAMA,
    LLAMA_LIKE,
};

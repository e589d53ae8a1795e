/* Decoders whose feed-forward layers are two, with the square of relu between them (So et al. 2021). */
#include "arch_rows.h"

#define PLAIN (B(FFN_UP) | B(FFN_DOWN))
#define RELU_SQUARED                                                                                                \
    .steps = arch_llama_steps, .activation = ACTIVATION_RELU_SQUARED, .hf_activation = "relu2",                     \
    .hf_activation_key = "hidden_act", .hf_activation_free = true, .hf_prefix = "model.", .hf_block = "layers."

const struct arch arch_arcee = {
    .name = "arcee",
    .title = "Arcee",
    .features = "squared ReLU",
    .gguf = "arcee",
    .hf = "arcee",
    .hf_class = "ArceeForCausalLM",
    .reference = "Arcee AI 2025 (AFM)",
    .required = ATTENTION_ROLES | PLAIN,
    .optional = BIASES | B(ATTN_OUT_BIAS) | FFN_BIASES,
    RELU_SQUARED,
    .hf_names = &arch_llama_names,
    .gguf_rope = ROPE_NEIGHBOURS,
    .hf_rope = ROPE_HALVES,
    .hf_reads = "mlp_bias",
    .defaults = {.dim = 2560, .hidden = 18432, .layers = 32, .heads = 32, .vocab = 32000, .context = 4096,
                 .epsilon = 1e-5f, .bos = 128000, .eos = 128001},
};

/* ---- Nemotron -------------------------------------------------------------------------------- */

static role_names nemotron_names = {
    LLAMA_NAMES,
    [ROLE_ATTN_NORM_BIAS] = "input_layernorm.bias",
    [ROLE_FFN_NORM] = "post_attention_layernorm.weight",
    [ROLE_FFN_NORM_BIAS] = "post_attention_layernorm.bias",
    [ROLE_OUTPUT_NORM_BIAS] = "norm.bias",
};

static const struct hf_names nemotron_sizes = {.epsilon = "norm_eps"};

const struct arch arch_nemotron = {
    .name = "nemotron",
    .title = "Nemotron-4",
    .features = "squared ReLU, layer norms whose weights count from 1",
    .gguf = "nemotron",
    .hf = "nemotron",
    .hf_class = "NemotronForCausalLM",
    .reference = "Parmar et al. 2024 (Nemotron-4)",
    .required = ATTENTION_ROLES | LAYER_NORM_BIASES | PLAIN,
    .optional = BIASES | B(ATTN_OUT_BIAS) | FFN_BIASES,
    RELU_SQUARED,
    .norm = NORM_LAYER,
    .norms_from_one = true,
    .hf_names = &nemotron_names,
    .gguf_rope = ROPE_HALVES,
    .hf_rope = ROPE_HALVES,
    .hf_partial_rope = true,
    .hf_reads = "mlp_bias",
    .hf_sizes = &nemotron_sizes,
    .defaults = {.dim = 6144, .hidden = 24576, .layers = 32, .heads = 48, .vocab = 256000, .context = 4096,
                 .epsilon = 1e-5f, .partial_rotary = 0.5f, .bos = 2, .eos = 3},
};

#include "arch_rows.h"

role_names arch_gpt2_names = {
    [ROLE_EMBEDDING] = "wte.weight",
    [ROLE_POSITIONS] = "wpe.weight",
    [ROLE_ATTN_NORM] = "ln_1.weight",
    [ROLE_ATTN_NORM_BIAS] = "ln_1.bias",
    [ROLE_ATTN_QKV] = "attn.c_attn.weight",
    [ROLE_ATTN_QKV_BIAS] = "attn.c_attn.bias",
    [ROLE_ATTN_OUT] = "attn.c_proj.weight",
    [ROLE_ATTN_OUT_BIAS] = "attn.c_proj.bias",
    [ROLE_FFN_NORM] = "ln_2.weight",
    [ROLE_FFN_NORM_BIAS] = "ln_2.bias",
    [ROLE_FFN_UP] = "mlp.c_fc.weight",
    [ROLE_FFN_UP_BIAS] = "mlp.c_fc.bias",
    [ROLE_FFN_DOWN] = "mlp.c_proj.weight",
    [ROLE_FFN_DOWN_BIAS] = "mlp.c_proj.bias",
    [ROLE_OUTPUT_NORM] = "ln_f.weight",
    [ROLE_OUTPUT_NORM_BIAS] = "ln_f.bias",
    [ROLE_OUTPUT] = "lm_head.weight",
};

static const struct hf_names sizes = {"n_embd", "n_layer", "n_head", "n_positions", "n_inner", NULL, .alike = true};

const struct arch arch_gpt2 = {
    .name = "gpt2",
    .title = "GPT-2",
    .features = "learned positions; scores divided by the layer's number too (folder)",
    .gguf = "gpt2",
    .hf = "gpt2",
    .hf_class = "GPT2LMHeadModel",
    .reference = "Radford et al. 2019",
    .steps = arch_llama_steps,
    .required = OUTSIDE | NORMS | LAYER_NORM_BIASES | B(POSITIONS) | B(ATTN_QKV) | B(ATTN_QKV_BIAS) | B(ATTN_OUT) |
                B(ATTN_OUT_BIAS) | B(FFN_UP) | B(FFN_UP_BIAS) | B(FFN_DOWN) | B(FFN_DOWN_BIAS),
    .norm = NORM_LAYER,
    .activation = ACTIVATION_GELU_TANH,
    .hf_activation = "gelu_new",
    .hf_activation_key = "activation_function",
    .hf_activation_free = true,
    .gguf_rope = ROPE_NONE,
    .hf_rope = ROPE_NONE,
    .hf_sizes = &sizes,
    .hf_scaled_by_choice = true,
    .hf_prefix = "transformer.",
    .defaults = {.dim = 768, .layers = 12, .heads = 12, .vocab = 50257, .context = 1024, .epsilon = 1e-5f,
                 .bos = 50256, .eos = 50256},
    .transposed = true,
    .tied_default = true,
    .hf_block = "h.",
    .hf_names = &arch_gpt2_names,
};

#include "arch_rows.h"

#include <math.h>

const struct arch arch_gemma = {
    .name = "gemma",
    .gguf = "gemma",
    .hf = "gemma",
    .hf_class = "GemmaForCausalLM",
    .reference = "Gemma Team 2024",
    .required = LLAMA,
    .optional = BIASES | B(ATTN_OUT_BIAS),
    GEMMA_LIKE,
    .hf_names = &arch_llama_names,
    .defaults = {.dim = 3072, .hidden = 24576, .layers = 28, .heads = 16, .kv_heads = 16, .head_size = 256,
                 .vocab = 256000, .context = 8192, .epsilon = 1e-6f, .bos = 2, .eos = 1},
};

static role_names gemma2_names = {
    LLAMA_NAMES,
    [ROLE_ATTN_POST_NORM] = "post_attention_layernorm.weight",
    [ROLE_FFN_NORM] = "pre_feedforward_layernorm.weight",
    [ROLE_FFN_POST_NORM] = "post_feedforward_layernorm.weight",
};

/* Gemma 2 27B divides by the square root of dim / heads; its files do not say so. */
static void complete_gemma2(struct hyper *h)
{
    enum { LAYERS_OF_27B = 46 };
    if (h->attention_scale <= 0 && h->layers == LAYERS_OF_27B)
        h->attention_scale = 1.0f / sqrtf((float)(h->dim / h->heads));
}

const struct arch arch_gemma2 = {
    .name = "gemma2",
    .gguf = "gemma2",
    .hf = "gemma2",
    .hf_class = "Gemma2ForCausalLM",
    .reference = "Gemma Team 2024 (Gemma 2)",
    .required = LLAMA | B(ATTN_POST_NORM) | B(FFN_POST_NORM),
    .optional = BIASES | B(ATTN_OUT_BIAS),
    GEMMA_LIKE,
    .hf_names = &gemma2_names,
    .hf_window = HF_WINDOW_OWN,
    .defaults = {.dim = 2304, .hidden = 9216, .layers = 26, .heads = 8, .kv_heads = 4, .head_size = 256,
                 .vocab = 256000, .context = 8192, .window = 4096, .epsilon = 1e-6f, .query_scalar = 256,
                 .attention_cap = 50, .logit_cap = 30, .bos = 2, .eos = 1},
    .window_period = 2,
    .gguf_window = GGUF_WINDOW_ALWAYS,
    .complete_gguf = complete_gemma2,
};

#include "arch_rows.h"
#include "gguf_windows.h"
#include "hf_windows.h"

#include <math.h>

const struct arch arch_gemma = {
    .name = "gemma",
    .title = "Gemma",
    .features = "scaled embedding, gated GELU",
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

static role_names names_with_post_norms = {
    LLAMA_NAMES,
    [ROLE_ATTN_POST_NORM] = "post_attention_layernorm.weight",
    [ROLE_FFN_NORM] = "pre_feedforward_layernorm.weight",
    [ROLE_FFN_POST_NORM] = "post_feedforward_layernorm.weight",
};

/* The 27B, which its number of blocks tells, divides by the square root of dim / heads; its files do not say so. */
static void set_scale_of_27b(struct hyper *h, size_t blocks)
{
    if (h->attention_scale <= 0 && h->layers == blocks)
        h->attention_scale = 1.0f / sqrtf((float)(h->dim / h->heads));
}

static void complete_gemma2(struct hyper *h)
{
    set_scale_of_27b(h, 46);
}

const struct arch arch_gemma2 = {
    .name = "gemma2",
    .title = "Gemma 2",
    .features = "soft caps, a sliding window in every other layer, norms after attention and feed-forward",
    .gguf = "gemma2",
    .hf = "gemma2",
    .hf_class = "Gemma2ForCausalLM",
    .reference = "Gemma Team 2024 (Gemma 2)",
    .required = LLAMA | B(ATTN_POST_NORM) | B(FFN_POST_NORM),
    .optional = BIASES | B(ATTN_OUT_BIAS),
    GEMMA_LIKE,
    .hf_names = &names_with_post_norms,
    .hf_window = HF_WINDOW_OWN,
    .hf_reads = "query_pre_attn_scalar attn_logit_softcapping final_logit_softcapping",
    .defaults = {.dim = 2304, .hidden = 9216, .layers = 26, .heads = 8, .kv_heads = 4, .head_size = 256,
                 .vocab = 256000, .context = 8192, .window = 4096, .epsilon = 1e-6f, .query_scalar = 256,
                 .attention_cap = 50, .logit_cap = 30, .bos = 2, .eos = 1},
    .window_period = 2,
    .gguf_window = GGUF_WINDOW_ALWAYS,
    .complete_gguf = complete_gemma2,
};

/* ---- VaultGemma: a Gemma 2 without norms behind ------------------------------------------------ */

static role_names vaultgemma_names = {LLAMA_NAMES, [ROLE_FFN_NORM] = "pre_feedforward_layernorm.weight"};

/* It has no layout in GGUF files. */
const struct arch arch_vaultgemma = {
    .name = "vaultgemma",
    .hf = "vaultgemma",
    .hf_class = "VaultGemmaForCausalLM",
    .reference = "VaultGemma Team 2025",
    .title = "VaultGemma",
    .features = "Gemma 2 without norms behind",
    .required = LLAMA,
    .optional = BIASES | B(ATTN_OUT_BIAS),
    GEMMA_LIKE,
    .hf_names = &vaultgemma_names,
    .hf_window = HF_WINDOW_OWN,
    .hf_reads = "query_pre_attn_scalar attn_logit_softcapping final_logit_softcapping",
    .defaults = {.dim = 2304, .hidden = 9216, .layers = 26, .heads = 8, .kv_heads = 4, .head_size = 256,
                 .vocab = 256000, .context = 8192, .window = 4096, .epsilon = 1e-6f, .query_scalar = 256,
                 .attention_cap = 50, .logit_cap = 30, .bos = 2, .eos = 1},
    .window_period = 2,
};

/* ---- Gemma 3 --------------------------------------------------------------------------------- */

/* Its rotary base in layers with a window, which older files keep beside that of the others. */
static const float gemma3_window_base = 10000;

static bool read_gemma3(const struct hf_config *c)
{
    struct hyper *h = &c->model->hyper;
    return hf_windows_read_period(c) &&
           hf_number(c, &c->top, "rope_local_base_freq", gemma3_window_base, min_rope_base, max_rope_base,
                     &h->window_rope_base) &&
           hf_number(c, &c->window_rope, "rope_theta", h->window_rope_base, min_rope_base, max_rope_base,
                     &h->window_rope_base);
}

static bool read_gemma3_gguf(const struct gguf_metadata *d, struct model *m)
{
    set_scale_of_27b(&m->hyper, 62);
    return gguf_read_float(d, "rope.freq_base_swa", gemma3_window_base, min_rope_base, max_rope_base,
                           &m->hyper.window_rope_base);
}

const struct arch arch_gemma3 = {
    .name = "gemma3",
    .title = "Gemma 3",
    .features = "norms of each head's queries and keys, a window in five of six layers with a rotary base of their own",
    .gguf = "gemma3",
    .hf = "gemma3_text",
    .hf_class = "Gemma3ForCausalLM",
    .reference = "Gemma Team 2025",
    .required = LLAMA | B(ATTN_POST_NORM) | B(FFN_POST_NORM) | B(ATTN_Q_NORM) | B(ATTN_K_NORM),
    .optional = BIASES | B(ATTN_OUT_BIAS),
    GEMMA_LIKE,
    .hf_names = &names_with_post_norms,
    .hf_window = HF_WINDOW_OWN,
    .window_rope = true,
    .hf_reads = "rope_local_base_freq sliding_window_pattern query_pre_attn_scalar final_logit_softcapping",
    .read_hf = read_gemma3,
    .gguf_reads = "attention.sliding_window_pattern",
    .read_gguf = read_gemma3_gguf,
    .shape_gguf = gguf_windows_apply,
    .defaults = {.dim = 2304, .hidden = 9216, .layers = 26, .heads = 8, .kv_heads = 4, .head_size = 256,
                 .vocab = 262208, .context = 131072, .window = 4096, .epsilon = 1e-6f, .query_scalar = 256,
                 .rope_base = 1000000, .bos = 2, .eos = 1},
    .window_period = 6,
    .gguf_window = GGUF_WINDOW_READ,
};

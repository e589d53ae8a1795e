#include "arch.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- sets of roles --------------------------------------------------------------------------- */

#define B(ROLE) ROLE_BIT(ROLE_##ROLE)
#define OUTSIDE (B(EMBEDDING) | B(OUTPUT_NORM))
#define NORMS   (B(ATTN_NORM) | B(FFN_NORM))
#define QKV     (B(ATTN_Q) | B(ATTN_K) | B(ATTN_V))
#define BIASES  (B(ATTN_Q_BIAS) | B(ATTN_K_BIAS) | B(ATTN_V_BIAS))
#define GATED   (B(FFN_GATE) | B(FFN_UP) | B(FFN_DOWN))
#define LLAMA   (OUTSIDE | NORMS | QKV | B(ATTN_OUT) | GATED)
#define LAYER_NORM_BIASES (B(ATTN_NORM_BIAS) | B(FFN_NORM_BIAS) | B(OUTPUT_NORM_BIAS))

/* ---- names ----------------------------------------------------------------------------------- */

#define LLAMA_NAMES                                                                                \
    [ROLE_EMBEDDING] = "model.embed_tokens.weight", [ROLE_ATTN_NORM] = "input_layernorm.weight",   \
    [ROLE_ATTN_Q] = "self_attn.q_proj.weight", [ROLE_ATTN_Q_BIAS] = "self_attn.q_proj.bias",       \
    [ROLE_ATTN_K] = "self_attn.k_proj.weight", [ROLE_ATTN_K_BIAS] = "self_attn.k_proj.bias",       \
    [ROLE_ATTN_V] = "self_attn.v_proj.weight", [ROLE_ATTN_V_BIAS] = "self_attn.v_proj.bias",       \
    [ROLE_ATTN_Q_NORM] = "self_attn.q_norm.weight",                                                \
    [ROLE_ATTN_K_NORM] = "self_attn.k_norm.weight",                                                \
    [ROLE_ATTN_OUT] = "self_attn.o_proj.weight",                                                   \
    [ROLE_ATTN_OUT_BIAS] = "self_attn.o_proj.bias", [ROLE_ATTN_QKV] = "self_attn.qkv_proj.weight", \
    [ROLE_FFN_GATE_UP] = "mlp.gate_up_proj.weight", [ROLE_FFN_GATE] = "mlp.gate_proj.weight",      \
    [ROLE_FFN_UP] = "mlp.up_proj.weight", [ROLE_FFN_DOWN] = "mlp.down_proj.weight",                \
    [ROLE_OUTPUT_NORM] = "model.norm.weight", [ROLE_OUTPUT] = "lm_head.weight"

static role_names llama_names = {LLAMA_NAMES, [ROLE_FFN_NORM] = "post_attention_layernorm.weight"};

static role_names gemma2_names = {
    LLAMA_NAMES,
    [ROLE_ATTN_POST_NORM] = "post_attention_layernorm.weight",
    [ROLE_FFN_NORM] = "pre_feedforward_layernorm.weight",
    [ROLE_FFN_POST_NORM] = "post_feedforward_layernorm.weight",
};

static role_names gpt2_names = {
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

static role_names phi3_gguf_names = {[ROLE_FFN_GATE_UP] = "ffn_up.weight"};

/* ---- the table ------------------------------------------------------------------------------- */

#define LLAMA_LIKE                                                                                 \
    .activation = ACTIVATION_SILU, .gguf_rope = ROPE_HALVES, .hf_rope = ROPE_HALVES,               \
    .hf_block = "model.layers.", .hf_names = &llama_names
#define GEMMA_LIKE                                                                                 \
    .activation = ACTIVATION_GELU_TANH, .gguf_rope = ROPE_HALVES, .hf_rope = ROPE_HALVES,          \
    .hf_block = "model.layers.", .scaled_embedding = true, .norms_from_one = true

/* Converters to GGUF reorder the rows of a Llama's Q and K so that neighbours turn together. */
#define NEIGHBOURS_IN_GGUF .gguf_rope = ROPE_NEIGHBOURS

const struct arch archs[] = {
    {"llama", "llama", "llama", "Touvron et al. 2023; Llama 3: Grattafiori et al. 2024", LLAMA,
     BIASES | B(ATTN_OUT_BIAS), .activation = ACTIVATION_SILU, NEIGHBOURS_IN_GGUF,
     .hf_rope = ROPE_HALVES, .hf_block = "model.layers.", .hf_names = &llama_names},
    {"mistral", NULL, "mistral", "Jiang et al. 2023", LLAMA, 0, LLAMA_LIKE},
    {"qwen2", "qwen2", "qwen2", "Yang et al. 2024", LLAMA, BIASES, LLAMA_LIKE, .window_asked = true},
    {"qwen3", "qwen3", "qwen3", "Yang et al. 2025",
     LLAMA | B(ATTN_Q_NORM) | B(ATTN_K_NORM), BIASES | B(ATTN_OUT_BIAS), LLAMA_LIKE,
     .window_asked = true},
    {"phi3", "phi3", "phi3", "Abdin et al. 2024",
     OUTSIDE | NORMS | B(ATTN_QKV) | B(ATTN_OUT) | B(FFN_GATE_UP) | B(FFN_DOWN), 0, LLAMA_LIKE,
     .gguf_names = &phi3_gguf_names},
    {"gemma", "gemma", "gemma", "Gemma Team 2024", LLAMA, 0, GEMMA_LIKE, .hf_names = &llama_names},
    {"gemma2", "gemma2", "gemma2", "Gemma Team 2024 (Gemma 2)",
     LLAMA | B(ATTN_POST_NORM) | B(FFN_POST_NORM), 0, GEMMA_LIKE, .hf_names = &gemma2_names,
     .window_period = 2},
    {"gpt2", "gpt2", "gpt2", "Radford et al. 2019",
     OUTSIDE | NORMS | LAYER_NORM_BIASES | B(POSITIONS) | B(ATTN_QKV) | B(ATTN_QKV_BIAS) |
         B(ATTN_OUT) | B(ATTN_OUT_BIAS) | B(FFN_UP) | B(FFN_UP_BIAS) | B(FFN_DOWN) |
         B(FFN_DOWN_BIAS),
     0, .norm = NORM_LAYER, .activation = ACTIVATION_GELU_TANH, .gguf_rope = ROPE_NONE,
     .hf_rope = ROPE_NONE, .transposed = true, .hf_block = "h.", .hf_names = &gpt2_names},
};
const size_t arch_count = sizeof archs / sizeof *archs;

static const char *name_in(const struct arch *a, bool gguf)
{
    return gguf ? a->gguf : a->hf;
}

static const struct arch *find(const char *name, size_t n, bool gguf, const char *field,
                               struct error *error)
{
    char known[200] = "";
    size_t used = 0;
    for (size_t i = 0; i < arch_count; i++) {
        const char *own = name_in(&archs[i], gguf);
        if (own && strlen(own) == n && memcmp(own, name, n) == 0)
            return &archs[i];
        if (own)
            used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", own);
    }
    error_set(error, "%s: unknown architecture '%.*s'; expected one of: %s", field,
              (int)(n < 40 ? n : 40), name, known);
    return NULL;
}

const struct arch *arch_by_gguf(const char *name, size_t n, struct error *error)
{
    return find(name, n, true, "general.architecture", error);
}

const struct arch *arch_by_hf(const char *name, struct error *error)
{
    return find(name, strlen(name), false, "config.json: model_type", error);
}

const struct arch *arch_of(const struct model *m)
{
    for (size_t i = 0; i < arch_count; i++)
        if (strcmp(archs[i].name, m->arch) == 0)
            return &archs[i];
    return &archs[0];
}

const struct arch *arch_in_gguf(const struct arch *a)
{
    return a->gguf ? a : &archs[0]; /* a Llama: Mistral */
}

void arch_apply(const struct arch *a, bool gguf, struct hyper *h)
{
    h->norm = a->norm;
    h->activation = a->activation;
    h->rope = gguf ? a->gguf_rope : a->hf_rope;
    h->window_period = a->window_period;
    h->embedding_scale = a->scaled_embedding ? sqrtf((float)h->dim) : 0;
}

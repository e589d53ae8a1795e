/* OLMo 1 to 3. The second and the third have no norms before, only behind attention and feed-forward layers. */
#include "arch_rows.h"
#include "gguf_windows.h"
#include "hf_values.h"

/* ---- OLMo: norms without weights ------------------------------------------------------------- */

static const struct step steps[] = {
    NORM(NORMED, X, NONE),
    ATTENTION_STEPS(NORMED),
    ADD(X, ATTN),
    NORM(NORMED, X, NONE),
    FFN_STEPS(NORMED),
    ADD(X, FFN),
    END_OF_STEPS,
};

static const struct hf_names olmo_sizes = {.epsilon = ""};

static bool read_olmo(const struct hf_config *c)
{
    return hf_number(c, &c->top, "clip_qkv", 0, 0, max_cap, &c->model->hyper.qkv_clip);
}

static bool read_olmo_gguf(const struct gguf_metadata *d, struct model *m)
{
    return gguf_read_float(d, "attention.clamp_kqv", 0, 0, max_cap, &m->hyper.qkv_clip);
}

#define OLMO_DEFAULTS                                                                                              \
    .dim = 4096, .hidden = 11008, .layers = 32, .heads = 32, .vocab = 50304, .context = 2048, .epsilon = 1e-5f,    \
    .bos = -1, .eos = 50279

const struct arch arch_olmo = {
    .name = "olmo",
    .title = "OLMo",
    .features = "layer norms without weights, clamped queries, keys and values",
    .gguf = "olmo",
    .hf = "olmo",
    .hf_class = "OlmoForCausalLM",
    .hf_unwritten = true,
    .reference = "Groeneveld et al. 2024",
    .required = B(EMBEDDING) | QKV_ROLES | B(ATTN_OUT) | GATED,
    .optional = BIASES | B(ATTN_OUT_BIAS),
    .norm = NORM_LAYER,
    SILU,
    LLAMA_FOLDER(arch_llama_names),
    .steps = steps,
    .hf_rope = ROPE_HALVES,
    .gguf_rope = ROPE_NEIGHBOURS,
    .hf_sizes = &olmo_sizes,
    .hf_reads = "clip_qkv",
    .read_hf = read_olmo,
    .gguf_reads = "attention.clamp_kqv",
    .read_gguf = read_olmo_gguf,
    .defaults = {OLMO_DEFAULTS},
};

/* ---- OLMo 2 and 3 ---------------------------------------------------------------------------- */

static role_names names = {
    LLAMA_NAMES,
    [ROLE_ATTN_POST_NORM] = "post_attention_layernorm.weight",
    [ROLE_FFN_POST_NORM] = "post_feedforward_layernorm.weight",
};

#define OLMO2                                                                                                      \
    .required = OUTSIDE | QKV_ROLES | B(ATTN_Q_NORM) | B(ATTN_K_NORM) | B(ATTN_OUT) | B(ATTN_POST_NORM) | GATED |  \
                B(FFN_POST_NORM),                                                                                  \
    .optional = BIASES | B(ATTN_OUT_BIAS), SILU, LLAMA_FOLDER(names), .steps = arch_post_norm_steps,                 \
    .hf_rope = ROPE_HALVES, .gguf_rope = ROPE_HALVES, .window_period = 4, .window_rope = true

static bool read_olmo2(const struct hf_config *c)
{
    c->model->hyper.norm_all_heads = true;
    return true;
}

/* Layers with a window have the rotary embedding as it was before it was scaled. */
static bool read_olmo3(const struct hf_config *c)
{
    struct hyper *h = &c->model->hyper;
    h->norm_all_heads = true;
    return hf_number(c, &c->window_rope, "rope_theta", h->rope_base, min_rope_base, max_rope_base,
                     &h->window_rope_base);
}

static bool read_olmo2_gguf(const struct gguf_metadata *d, struct model *m)
{
    struct hyper *h = &m->hyper;
    h->norm_all_heads = true;
    return !h->window ||
           gguf_read_float(d, "rope.freq_base_swa", h->rope_base, min_rope_base, max_rope_base, &h->window_rope_base);
}

/* Its GGUF files are those of OLMo 3, too. */
const struct arch arch_olmo2 = {
    .name = "olmo2",
    .title = "OLMo 2",
    .features = "norms behind attention and feed-forward only, and of all queries and keys",
    .gguf = "olmo2",
    .hf = "olmo2",
    .hf_class = "Olmo2ForCausalLM",
    .hf_unwritten = true,
    .reference = "OLMo Team 2024",
    OLMO2,
    .read_hf = read_olmo2,
    .gguf_reads = "attention.sliding_window_pattern",
    .read_gguf = read_olmo2_gguf,
    .shape_gguf = gguf_windows_apply,
    .defaults = {OLMO_DEFAULTS},
};

const struct arch arch_olmo3 = {
    .name = "olmo3",
    .title = "OLMo 3",
    .features = "the same with a sliding window in three of four layers",
    .in_gguf = &arch_olmo2,
    .hf = "olmo3",
    .hf_class = "Olmo3ForCausalLM",
    .reference = "OLMo Team 2025",
    OLMO2,
    .hf_window = HF_WINDOW_OWN,
    .read_hf = read_olmo3,
    .defaults = {OLMO_DEFAULTS, .window = 4096, .rope_base = 500000},
};

/* EXAONE 4: norms behind attention and feed-forward layers only; rotary embeddings only where there is a window, if any
 * layer has one. */
#include "arch_rows.h"
#include "gguf_windows.h"
#include "hf_windows.h"

static role_names names = {
    LLAMA_NAMES,
    [ROLE_ATTN_POST_NORM] = "post_attention_layernorm.weight",
    [ROLE_FFN_POST_NORM] = "post_feedforward_layernorm.weight",
};

static bool shape_hf(const struct hf_config *c)
{
    size_t window;
    const struct hf_size_key key = {"sliding_window", NULL, c->arch->defaults.window, SIZE_MAX, MAX_POSITIONS};
    if (!hf_size(c, &c->top, &key, &window))
        return false;
    if (window != SIZE_MAX)
        arch_turn_windowed(c->model);
    return true;
}

enum { LAYERS_OF_32B = 64 };

/* The 32B has windows; its older files do not say so. */
static bool read_gguf(const struct gguf_metadata *d, struct model *m)
{
    char key[128];
    size_t by_default = m->hyper.layers == LAYERS_OF_32B ? 4096 : 0;
    return gguf_size(d->gguf, gguf_key(d, "attention.sliding_window", key), 0, MAX_POSITIONS, by_default,
                     &m->hyper.window, d->error);
}

static bool shape_gguf(const struct gguf_metadata *d, struct model *m)
{
    if (!gguf_windows_apply(d, m))
        return false;
    if (m->hyper.window)
        arch_turn_windowed(m);
    return true;
}

static const char *unwritten(const struct model *m)
{
    bool windows = false;
    for (size_t b = 0; b < m->hyper.layers; b++)
        windows |= m->layers[b].rotary == ROTARY_NONE;
    return !m->hyper.window && windows                       ? "no layer has a window, but some have no rotary embedding"
           : !m->hyper.window && m->hyper.layers == LAYERS_OF_32B ? "no layer has a window"
                                                                  : NULL;
}

const struct arch arch_exaone4 = {
    .name = "exaone4",
    .title = "EXAONE 4",
    .features = "norms behind only; rotary positions in windowed layers only",
    .gguf = "exaone4",
    .hf = "exaone4",
    .hf_class = "Exaone4ForCausalLM",
    .hf_unwritten = true,
    .reference = "LG AI Research 2025",
    .required = OUTSIDE | QKV_ROLES | B(ATTN_Q_NORM) | B(ATTN_K_NORM) | B(ATTN_OUT) | B(ATTN_POST_NORM) | GATED |
                B(FFN_POST_NORM),
    SILU,
    LLAMA_FOLDER(names),
    .hf_rope = ROPE_HALVES,
    .gguf_rope = ROPE_HALVES,
    .steps = arch_post_norm_steps,
    .window_period = 4,
    .hf_window = HF_WINDOW_OWN,
    .hf_reads = "sliding_window_pattern",
    .read_hf = hf_windows_read_period,
    .shape_hf = shape_hf,
    .gguf_unwritten = unwritten,
    .gguf_reads = "attention.sliding_window_pattern",
    .read_gguf = read_gguf,
    .shape_gguf = shape_gguf,
    .defaults = {.dim = 4096, .hidden = 16384, .layers = 32, .heads = 32, .kv_heads = 32, .vocab = 102400,
                 .context = 2048, .window = 4096, .epsilon = 1e-5f, .bos = 0, .eos = 2},
};

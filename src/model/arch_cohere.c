/* Cohere's Command R and R+, and Command R7B: parallel blocks with one norm without a bias. */
#include "arch_rows.h"
#include "gguf_windows.h"
#include "hf_windows.h"

static const struct hf_names sizes = {.epsilon = "layer_norm_eps"};
static const float usual_scale = 0.0625f; /* of logits */

static bool read_scale(const struct hf_config *c)
{
    return hf_number(c, &c->top, "logit_scale", usual_scale, min_cap, max_cap, &c->model->hyper.logit_scale);
}

static bool read_scale_gguf(const struct gguf_metadata *d, struct model *m)
{
    return gguf_read_float(d, "logit_scale", 0, 0, max_cap, &m->hyper.logit_scale);
}

#define COHERE                                                                                                     \
    .norm = NORM_LAYER, SILU, LLAMA_FOLDER(arch_llama_names), .steps = arch_parallel_steps,                         \
    .hf_rope = ROPE_NEIGHBOURS, .gguf_rope = ROPE_NEIGHBOURS, .tied_default = true, .hf_sizes = &sizes,            \
    .gguf_unwritten = unwritten
#define COHERE_ROLES (OUTSIDE | B(ATTN_NORM) | QKV_ROLES | B(ATTN_OUT) | GATED)
#define COHERE_DEFAULTS                                                                                            \
    .dim = 8192, .hidden = 22528, .layers = 40, .heads = 64, .vocab = 256000, .context = 8192, .epsilon = 1e-5f,   \
    .bos = 5, .eos = 255001

/* llama.cpp reads no other head than the embedding. */
static const char *unwritten(const struct model *m)
{
    return m->tied ? NULL : "the head is not the embedding";
}

/* ---- Command R ------------------------------------------------------------------------------- */

static bool read_command_r(const struct hf_config *c)
{
    struct model *m = c->model;
    bool normed;
    m->hyper.norm_each_head = true;
    if (!read_scale(c) || !hf_flag(c, "use_qk_norm", false, &normed))
        return false;
    *(normed ? &m->has : &m->without) |= B(ATTN_Q_NORM) | B(ATTN_K_NORM);
    return true;
}

static bool read_command_r_gguf(const struct gguf_metadata *d, struct model *m)
{
    m->hyper.norm_each_head = true;
    return read_scale_gguf(d, m);
}

const struct arch arch_cohere = {
    .name = "command-r",
    .gguf = "command-r",
    .hf = "cohere",
    .hf_class = "CohereForCausalLM",
    .hf_unwritten = true,
    .reference = "Cohere 2024",
    .title = "Command R and R+",
    .features = "parallel blocks with one norm without a bias, scaled logits, norms of each head (R+)",
    .required = COHERE_ROLES,
    .optional = BIASES | B(ATTN_OUT_BIAS) | B(ATTN_Q_NORM) | B(ATTN_K_NORM),
    COHERE,
    .hf_reads = "logit_scale use_qk_norm",
    .read_hf = read_command_r,
    .gguf_reads = "logit_scale",
    .read_gguf = read_command_r_gguf,
    .defaults = {COHERE_DEFAULTS, .rope_base = 500000},
};

/* ---- Command R7B: rotary embeddings only where there is a window ------------------------------ */

static bool read_cohere2(const struct hf_config *c)
{
    return read_scale(c) && hf_windows_read_period(c);
}

static bool shape_cohere2(const struct hf_config *c)
{
    arch_turn_windowed(c->model);
    return true;
}

static bool shape_cohere2_gguf(const struct gguf_metadata *d, struct model *m)
{
    if (!gguf_windows_apply(d, m))
        return false;
    arch_turn_windowed(m);
    return true;
}

const struct arch arch_cohere2 = {
    .name = "cohere2",
    .gguf = "cohere2",
    .hf = "cohere2",
    .hf_class = "Cohere2ForCausalLM",
    .hf_unwritten = true,
    .reference = "Cohere 2024 (Command R7B)",
    .title = "Command R7B",
    .features = "the same; rotary positions in windowed layers only",
    .required = COHERE_ROLES,
    .optional = BIASES | B(ATTN_OUT_BIAS),
    COHERE,
    .window_period = 4,
    .hf_window = HF_WINDOW_OWN,
    .hf_reads = "logit_scale sliding_window_pattern",
    .read_hf = read_cohere2,
    .shape_hf = shape_cohere2,
    .gguf_reads = "logit_scale attention.sliding_window_pattern",
    .read_gguf = read_scale_gguf,
    .shape_gguf = shape_cohere2_gguf,
    .defaults = {COHERE_DEFAULTS, .window = 4096},
};

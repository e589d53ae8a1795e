/* Ministral 3: a Llama with YaRN, whose queries grow with the logarithm of how many original contexts lie before them. */
#include "arch_rows.h"
#include "gguf_metadata.h"
#include "hf_values.h"
#include "rope.h"

static bool set_growth(struct model *m, float growth)
{
    for (size_t b = 0; b < m->hyper.layers; b++) {
        m->layers[b].query_growth = growth;
        m->layers[b].query_span = m->hyper.rope_original;
    }
    return true;
}

/* What its class has for files without rope_parameters. */
static const float usual_growth = 0.1f;

static bool read_hf(const struct hf_config *c)
{
    static const struct yarn usual = {.factor = 16, .fast = 32, .slow = 1};
    enum { ORIGINAL = 16384 };
    if (c->rope.count > 0)
        return true;
    c->model->hyper.rope_base = 1000000;
    return rope_yarn(c->model, &usual, ORIGINAL, 1, c->error);
}

/* Its positions of the original training are those of YaRN. */
static bool shape_hf(const struct hf_config *c)
{
    struct hf_value value;
    float growth;
    if (!hf_find(c, &c->rope, "llama_4_scaling_beta", NULL, &value))
        return false;
    if (c->rope.count > 0 && (!value.json || c->model->hyper.rope_original == 0))
        return error_set(c->error, "config.json: rope_parameters without %s; expected yarn with llama_4_scaling_beta in "
                                   "a ministral3", value.json ? "yarn" : "llama_4_scaling_beta");
    return hf_number(c, &c->rope, "llama_4_scaling_beta", usual_growth, 0, max_cap, &growth) &&
           set_growth(c->model, growth);
}

static bool shape_gguf(const struct gguf_metadata *d, struct model *m)
{
    float growth;
    if (!gguf_read_float(d, "attention.temperature_scale", 0, 0, max_cap, &growth))
        return false;
    if (m->hyper.rope_original == 0)
        m->hyper.rope_original = m->hyper.trained_context;
    return set_growth(m, growth);
}

const struct arch arch_ministral3 = {
    .name = "ministral3",
    .title = "Ministral 3",
    .features = "YaRN; queries grow with the logarithm of their positions",
    .gguf = "mistral3",
    .hf = "ministral3",
    .hf_class = "Ministral3ForCausalLM",
    .reference = "Mistral AI 2025",
    .required = LLAMA,
    .optional = BIASES | B(ATTN_OUT_BIAS) | GATED_BIASES,
    LLAMA_FILES,
    .hf_activation_free = true,
    .hf_names = &arch_llama_names,
    .gguf_rope = ROPE_NEIGHBOURS,
    .hf_rope = ROPE_HALVES,
    .hf_window = HF_WINDOW_OWN,
    .read_hf = read_hf,
    .shape_hf = shape_hf,
    .gguf_reads = "attention.temperature_scale rope.scaling.yarn_log_multiplier",
    .shape_gguf = shape_gguf,
    .defaults = {.dim = 4096, .hidden = 14336, .layers = 34, .heads = 32, .kv_heads = 8, .head_size = 128,
                 .vocab = 131072, .context = 262144, .epsilon = 1e-5f, .bos = 1, .eos = 2},
};

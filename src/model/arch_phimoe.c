/* Phi-3.5-MoE: layer norms, and a router that compares each expert with those nearly as likely. */
#include "arch_rows.h"
#include "mixture.h"

static role_names tensor_names = {
    LLAMA_NAMES,
    [ROLE_ATTN_NORM_BIAS] = "input_layernorm.bias",
    [ROLE_FFN_NORM] = "post_attention_layernorm.weight",
    [ROLE_FFN_NORM_BIAS] = "post_attention_layernorm.bias",
    W_EXPERT_NAMES,
    [ROLE_OUTPUT_NORM_BIAS] = "norm.bias",
    [ROLE_OUTPUT_BIAS] = "lm_head.bias",
};

static const struct hf_names sizes = {.epsilon = "rms_norm_eps"};

/* Half of the margin in training and after it. */
static const float usual_jitter = 0.01f;

static bool check_used(size_t used, const char *where, struct error *error)
{
    return used == 2 || error_set(error, "%s = %zu; expected 2, which this router chooses", where, used);
}

static bool read_hf(const struct hf_config *c)
{
    static const struct mixture_keys keys = {
        .experts = "num_local_experts", .used = "num_experts_per_tok", .experts_default = 16, .used_default = 2,
        .router = ROUTER_SPARSEMIXER};
    struct model *m = c->model;
    float jitter;
    bool biased;
    if (!mixture_read_hf(c, &keys) || !hf_flag(c, "lm_head_bias", false, &biased) ||
        !hf_number(c, &c->top, "router_jitter_noise", usual_jitter, 0, max_cap, &jitter))
        return false;
    m->hyper.mixture.margin = 2 * jitter;
    m->has |= biased ? B(OUTPUT_BIAS) : 0;
    return check_used(m->hyper.mixture.used, "config.json: num_experts_per_tok", c->error);
}

/* Its GGUF files do not say the margin. */
static bool read_gguf(const struct gguf_metadata *d, struct model *m)
{
    struct mixture fixed = {.router = ROUTER_SPARSEMIXER, .margin = 2 * usual_jitter};
    m->has |= catalog_find(&m->files, "output.bias") ? B(OUTPUT_BIAS) : 0;
    return mixture_read_gguf(d, m, &fixed) &&
           check_used(m->hyper.mixture.used, "metadata: phimoe.expert_used_count", d->error);
}

static const char *unwritten(const struct model *m)
{
    float margin = m->hyper.mixture.margin;
    bool usual = !(margin < 2 * usual_jitter || margin > 2 * usual_jitter);
    return usual ? NULL : "router_jitter_noise is not the usual one (0.01)";
}

const struct arch arch_phimoe = {
    .name = "phimoe",
    .title = "Phi-3.5-MoE",
    .features = "layer norms, a mixture of experts whose router is SparseMixer",
    .gguf = "phimoe",
    .hf = "phimoe",
    .hf_class = "PhimoeForCausalLM",
    .reference = "Abdin et al. 2024",
    .required = ATTENTION_ROLES | LAYER_NORM_BIASES,
    .optional = BIASES | B(ATTN_OUT_BIAS),
    .sparse = EXPERT_ROLES,
    .norm = NORM_LAYER,
    .gguf_rms_epsilon = true,
    .hf_sizes = &sizes,
    LLAMA_LIKE_NAMED(tensor_names),
    .hf_window = HF_WINDOW_OWN,
    .hf_reads = "num_local_experts num_experts lm_head_bias short_mscale",
    .read_hf = read_hf,
    .gguf_reads = "expert_count expert_used_count",
    .read_gguf = read_gguf,
    .gguf_unwritten = unwritten,
    .defaults = {.dim = 4096, .hidden = 6400, .layers = 32, .heads = 32, .kv_heads = 8, .vocab = 32064,
                 .context = 131072, .epsilon = 1e-5f, .rope_base = 1000000, .bos = 1, .eos = 2},
};

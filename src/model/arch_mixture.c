/* Mixtures of experts: a Llama whose feed-forward layers are several, of which a router chooses some for each token. */
#include "arch_rows.h"
#include "mixture.h"

/* ---- Mixtral --------------------------------------------------------------------------------- */

static role_names mixtral_names = {
    LLAMA_NAMES,
    [ROLE_FFN_NORM] = "post_attention_layernorm.weight",
    W_EXPERT_NAMES,
};

static bool read_mixtral(const struct hf_config *c)
{
    static const struct mixture_keys keys = {
        .experts = "num_local_experts", .used = "num_experts_per_tok", .experts_default = 8, .used_default = 2,
        .router = ROUTER_SOFTMAX, .normalized = true};
    return mixture_read_hf(c, &keys);
}

/* Its GGUF files are those of a Llama. */
const struct arch arch_mixtral = {
    .name = "mixtral",
    .title = "Mixtral",
    .features = "a mixture of experts",
    .in_gguf = &arch_llama,
    .hf = "mixtral",
    .hf_class = "MixtralForCausalLM",
    .reference = "Jiang et al. 2024",
    .required = ATTENTION_ROLES,
    .sparse = EXPERT_ROLES,
    LLAMA_LIKE_NAMED(mixtral_names),
    .hf_window = HF_WINDOW_OWN,
    .hf_reads = "num_local_experts",
    .read_hf = read_mixtral,
    .defaults = {.dim = 4096, .hidden = 14336, .layers = 32, .heads = 32, .kv_heads = 8, .vocab = 32000,
                 .context = 131072, .epsilon = 1e-5f, .bos = 1, .eos = 2},
};

/* ---- Qwen3-MoE ------------------------------------------------------------------------------- */

static role_names qwen_names = {
    LLAMA_NAMES,
    [ROLE_FFN_NORM] = "post_attention_layernorm.weight",
    MLP_EXPERT_NAMES,
};

static bool read_qwen3(const struct hf_config *c)
{
    static const struct mixture_keys keys = {
        .experts = "num_experts", .experts_other = "num_local_experts", .used = "num_experts_per_tok", .hidden = "moe_intermediate_size",
        .normalize = "norm_topk_prob", .experts_default = 128, .used_default = 8, .hidden_default = 768,
        .router = ROUTER_SOFTMAX};
    return mixture_read_hf(c, &keys) && mixture_check_dense(c);
}

static bool read_qwen3_gguf(const struct gguf_metadata *d, struct model *m)
{
    return mixture_read_gguf(d, m, &(struct mixture){.router = ROUTER_SOFTMAX, .normalized = true});
}

const struct arch arch_qwen3_moe = {
    .name = "qwen3moe",
    .title = "Qwen3-MoE",
    .features = "Qwen3 with a mixture of experts, in all blocks or some",
    .gguf = "qwen3moe",
    .hf = "qwen3_moe",
    .hf_class = "Qwen3MoeForCausalLM",
    .reference = "Yang et al. 2025",
    .required = ATTENTION_ROLES | B(ATTN_Q_NORM) | B(ATTN_K_NORM),
    .optional = BIASES | B(ATTN_OUT_BIAS),
    .dense = GATED,
    .sparse = EXPERT_ROLES,
    LLAMA_LIKE_NAMED(qwen_names),
    .hf_window = HF_WINDOW_ASKED,
    .hf_reads = "num_experts num_local_experts decoder_sparse_step mlp_only_layers",
    .read_hf = read_qwen3,
    .gguf_reads = "expert_count expert_used_count",
    .read_gguf = read_qwen3_gguf,
    .defaults = {.dim = 2048, .hidden = 6144, .layers = 24, .heads = 32, .kv_heads = 4, .vocab = 151936,
                 .context = 32768, .window = 4096, .epsilon = 1e-6f, .bos = -1, .eos = -1},
};

/* ---- Qwen2-MoE ------------------------------------------------------------------------------- */

static role_names qwen2_names = {
    LLAMA_NAMES,
    [ROLE_FFN_NORM] = "post_attention_layernorm.weight",
    MLP_EXPERT_NAMES,
    [ROLE_SHARED_SCALE] = "mlp.shared_expert_gate.weight",
    SHARED_EXPERT_NAMES("mlp.shared_expert"),
};

/* Every other layer of the first ones has a window, where one is asked for and no list says which. */
static bool check_qwen2_windows(const struct hf_config *c)
{
    struct hf_value types;
    bool used;
    if (!hf_flag(c, "use_sliding_window", false, &used) || !hf_find(c, &c->top, "layer_types", NULL, &types))
        return false;
    return !used || types.json ||
           error_set(c->error, "config.json: use_sliding_window = true, but layer_types is missing; expected the kind of "
                               "every layer");
}

static bool read_qwen2(const struct hf_config *c)
{
    static const struct mixture_keys keys = {
        .experts = "num_experts", .experts_other = "num_local_experts", .used = "num_experts_per_tok",
        .hidden = "moe_intermediate_size", .shared_hidden = "shared_expert_intermediate_size",
        .normalize = "norm_topk_prob", .experts_default = 60, .used_default = 4, .hidden_default = 1408,
        .shared_hidden_default = 5632, .router = ROUTER_SOFTMAX};
    return check_qwen2_windows(c) && mixture_read_hf(c, &keys) && mixture_check_dense(c);
}

/* Sizes that are missing follow from that of dense layers. */
static bool read_qwen2_gguf(const struct gguf_metadata *d, struct model *m)
{
    struct mixture fixed = {.router = ROUTER_SOFTMAX, .shared_hidden = m->hyper.hidden};
    size_t used;
    return gguf_read_size(d, "expert_used_count", 0, MAX_EXPERTS, &used) &&
           gguf_read_size(d, "expert_feed_forward_length", (m->hyper.hidden + used - 1) / used, MAX_HIDDEN,
                          &fixed.hidden) &&
           mixture_read_gguf(d, m, &fixed);
}

const struct arch arch_qwen2_moe = {
    .name = "qwen2moe",
    .title = "Qwen2-MoE",
    .features = "Qwen2 with a mixture of experts, and one that every token uses, behind a gate",
    .gguf = "qwen2moe",
    .hf = "qwen2_moe",
    .hf_class = "Qwen2MoeForCausalLM",
    .reference = "Yang et al. 2024",
    .required = ATTENTION_ROLES,
    .optional = BIASES,
    .dense = GATED,
    .sparse = EXPERT_ROLES | SHARED_ROLES | B(SHARED_SCALE),
    LLAMA_LIKE_NAMED(qwen2_names),
    .hf_window = HF_WINDOW_ASKED,
    .hf_biased = "qkv_bias",
    .biased_default = true,
    .hf_reads = "num_experts num_local_experts decoder_sparse_step mlp_only_layers qkv_bias",
    .read_hf = read_qwen2,
    .gguf_reads = "expert_count expert_used_count",
    .read_gguf = read_qwen2_gguf,
    .defaults = {.dim = 2048, .hidden = 5632, .layers = 24, .heads = 16, .kv_heads = 16, .vocab = 151936,
                 .context = 32768, .window = 4096, .epsilon = 1e-6f, .bos = -1, .eos = -1},
};

/* ---- OLMoE ----------------------------------------------------------------------------------- */

static role_names olmoe_names = {
    LLAMA_NAMES,
    [ROLE_FFN_NORM] = "post_attention_layernorm.weight",
    MLP_EXPERT_NAMES,
};

static bool read_olmoe(const struct hf_config *c)
{
    static const struct mixture_keys keys = {
        .experts = "num_experts", .experts_other = "num_local_experts", .used = "num_experts_per_tok",
        .normalize = "norm_topk_prob", .experts_default = 64, .used_default = 8, .router = ROUTER_SOFTMAX};
    c->model->hyper.norm_all_heads = true;
    return hf_number(c, &c->top, "clip_qkv", 0, 0, max_cap, &c->model->hyper.qkv_clip) && mixture_read_hf(c, &keys);
}

static bool read_olmoe_gguf(const struct gguf_metadata *d, struct model *m)
{
    m->hyper.norm_all_heads = true;
    return gguf_read_float(d, "attention.clamp_kqv", 0, 0, max_cap, &m->hyper.qkv_clip) &&
           mixture_read_gguf(d, m, &(struct mixture){.router = ROUTER_SOFTMAX});
}

const struct arch arch_olmoe = {
    .name = "olmoe",
    .title = "OLMoE",
    .features = "a mixture of experts, norms of all queries and keys together, clamped queries, keys and values",
    .gguf = "olmoe",
    .hf = "olmoe",
    .hf_class = "OlmoeForCausalLM",
    .reference = "Muennighoff et al. 2024",
    .required = ATTENTION_ROLES | B(ATTN_Q_NORM) | B(ATTN_K_NORM),
    .optional = BIASES | B(ATTN_OUT_BIAS),
    .sparse = EXPERT_ROLES,
    LLAMA_LIKE_NAMED(olmoe_names),
    .hf_reads = "num_experts num_local_experts clip_qkv",
    .read_hf = read_olmoe,
    .gguf_reads = "expert_count expert_used_count attention.clamp_kqv",
    .read_gguf = read_olmoe_gguf,
    .defaults = {.dim = 2048, .hidden = 2048, .layers = 16, .heads = 16, .vocab = 50304, .context = 4096,
                 .epsilon = 1e-5f, .bos = -1, .eos = 50279},
};

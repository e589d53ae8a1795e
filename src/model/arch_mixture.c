/* Mixtures of experts: a Llama whose feed-forward layers are several, of which a router chooses some for each token. */
#include "arch_rows.h"
#include "mixture.h"

/* ---- Mixtral --------------------------------------------------------------------------------- */

static role_names mixtral_names = {
    LLAMA_NAMES,
    [ROLE_FFN_NORM] = "post_attention_layernorm.weight",
    [ROLE_ROUTER] = "block_sparse_moe.gate.weight",
    [ROLE_GATE_EXPERTS] = "block_sparse_moe.experts.%.w1.weight",
    [ROLE_UP_EXPERTS] = "block_sparse_moe.experts.%.w3.weight",
    [ROLE_DOWN_EXPERTS] = "block_sparse_moe.experts.%.w2.weight",
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
    [ROLE_ROUTER] = "mlp.gate.weight",
    [ROLE_GATE_EXPERTS] = "mlp.experts.%.gate_proj.weight",
    [ROLE_UP_EXPERTS] = "mlp.experts.%.up_proj.weight",
    [ROLE_DOWN_EXPERTS] = "mlp.experts.%.down_proj.weight",
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

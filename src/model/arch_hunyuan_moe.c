/* Hunyuan, dense and A13B: queries and keys are normalized behind their rotation. */
#include "arch_rows.h"
#include "mixture.h"

const struct step arch_late_norm_steps[] = {
    NORM(NORMED, X, ATTN_NORM),
    LINEAR(Q, NORMED, ATTN_Q),
    LINEAR(K, NORMED, ATTN_K),
    LINEAR(V, NORMED, ATTN_V),
    ROTATE(Q, 0),
    ROTATE(K, 0),
    NORM(Q, Q, ATTN_Q_NORM),
    NORM(K, K, ATTN_K_NORM),
    STEP(ATTEND, ATTENDED, Q, NONE, NONE, 0, 0),
    LINEAR(ATTN, ATTENDED, ATTN_OUT),
    ADD(X, ATTN),
    NORM(NORMED, X, FFN_NORM),
    FFN_STEPS(NORMED),
    EXPERT_STEPS(NORMED),
    SHARED_STEPS(NORMED),
    ADD(X, FFN),
    END_OF_STEPS,
};

#define DENSE_NAMES                                                                                                \
    NAMES_BUT_HEAD_NORMS, [ROLE_ATTN_Q_NORM] = "self_attn.query_layernorm.weight",                                 \
    [ROLE_ATTN_K_NORM] = "self_attn.key_layernorm.weight", [ROLE_FFN_NORM] = "post_attention_layernorm.weight"

static role_names dense_names = {DENSE_NAMES};
static role_names tensor_names = {
    DENSE_NAMES,
    MLP_EXPERTS_BUT_ROUTER,
    [ROLE_ROUTER] = "mlp.gate.wg.weight",
    SHARED_EXPERT_NAMES("mlp.shared_mlp"),
};

/* All experts are as large as intermediate_size says, the one that every token uses, too. */
static bool read_hf(const struct hf_config *c)
{
    static const struct mixture_keys keys = {
        .experts = "num_experts", .experts_other = "num_local_experts", .used = "moe_topk",
        .used_other = "num_experts_per_tok", .experts_default = 1, .used_default = 1, .router = ROUTER_SOFTMAX,
        .normalized = true};
    bool ok = mixture_read_hf(c, &keys);
    c->model->hyper.mixture.shared_hidden = c->model->hyper.hidden;
    return ok;
}

static bool read_gguf(const struct gguf_metadata *d, struct model *m)
{
    return mixture_read_gguf(
        d, m, &(struct mixture){.router = ROUTER_SOFTMAX, .normalized = true, .shared_hidden = m->hyper.hidden});
}

const struct arch arch_hunyuan_moe = {
    .name = "hunyuan-moe",
    .title = "Hunyuan-A13B",
    .features = "a mixture of experts, norms of queries and keys behind their rotation",
    .gguf = "hunyuan-moe",
    .hf = "hunyuan_v1_moe",
    .hf_class = "HunYuanMoEV1ForCausalLM",
    .reference = "Tencent 2025",
    .required = ATTENTION_ROLES | B(ATTN_Q_NORM) | B(ATTN_K_NORM),
    .optional = BIASES | B(ATTN_OUT_BIAS),
    .sparse = EXPERT_ROLES | SHARED_ROLES,
    LLAMA_LIKE_WITH(arch_late_norm_steps, tensor_names),
    .hf_reads = "num_experts num_local_experts alpha",
    .read_hf = read_hf,
    .gguf_reads = "expert_count expert_used_count",
    .gguf_shares = GGUF_SHARES_SUM,
    .read_gguf = read_gguf,
    .defaults = {.dim = 4096, .hidden = 11008, .layers = 32, .heads = 32, .vocab = 290943, .context = 2048,
                 .epsilon = 1e-5f, .bos = 1, .eos = 2},
};

const struct arch arch_hunyuan_dense = {
    .name = "hunyuan-dense",
    .gguf = "hunyuan-dense",
    .hf = "hunyuan_v1_dense",
    .hf_class = "HunYuanDenseV1ForCausalLM",
    .hf_unwritten = true,
    .reference = "Tencent 2025",
    .title = "Hunyuan",
    .features = "norms of queries and keys behind their rotation",
    .required = LLAMA | B(ATTN_Q_NORM) | B(ATTN_K_NORM),
    .optional = BIASES | B(ATTN_OUT_BIAS),
    LLAMA_LIKE_WITH(arch_late_norm_steps, dense_names),
    .hf_reads = "alpha",
    .defaults = {.dim = 4096, .hidden = 11008, .layers = 32, .heads = 32, .vocab = 290943, .context = 2048,
                 .epsilon = 1e-6f, .bos = 1, .eos = 2},
};

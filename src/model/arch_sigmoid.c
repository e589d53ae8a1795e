/* Mixtures whose routers choose by each expert's own sigmoid and a bias, as DeepSeek-V3 does (2024, section 2.1.2), with
 * attention of the usual kind: GLM-4.5, dots.llm1, MiniMax-M2, Hy3. */
#include "arch_rows.h"
#include "mixture.h"

#include "formats/jsontext.h"

#define USUAL_NAMES                                                                                \
    LLAMA_NAMES, [ROLE_FFN_NORM] = "post_attention_layernorm.weight", MLP_EXPERT_NAMES,            \
    [ROLE_ROUTER_CHOICE] = "mlp.gate.e_score_correction_bias", SHARED_EXPERT_NAMES("mlp.shared_experts")
#define GGUF_READS "expert_count expert_used_count leading_dense_block_count nextn_predict_layers"

static role_names usual_names = {USUAL_NAMES};

static bool read_gguf(const struct gguf_metadata *d, struct model *m)
{
    return mixture_read_gguf(d, m, &(struct mixture){.router = ROUTER_SIGMOID});
}

/* ---- GLM-4.5 --------------------------------------------------------------------------------- */

static bool read_glm(const struct hf_config *c)
{
    static const struct mixture_keys keys = {
        .experts = "n_routed_experts", .experts_other = "num_local_experts", .used = "num_experts_per_tok",
        .hidden = "moe_intermediate_size", .shared = "n_shared_experts", .dense = "first_k_dense_replace",
        .normalize = "norm_topk_prob", .scale = "routed_scaling_factor", .groups = "n_group",
        .groups_used = "topk_group", .experts_default = 128, .used_default = 8, .hidden_default = 1408,
        .shared_default = 1, .dense_default = 1, .groups_default = 1, .groups_used_default = 1,
        .router = ROUTER_SIGMOID, .normalized = true};
    return mixture_read_hf(c, &keys);
}

/* Norms of queries and keys, which the large one has. */
static void add_head_norms(struct model *m)
{
    for (size_t b = 0; b < m->hyper.layers; b++)
        m->layers[b].has |= B(ATTN_Q_NORM) | B(ATTN_K_NORM);
}

static bool shape_glm(const struct hf_config *c)
{
    bool normed;
    if (!hf_flag(c, "use_qk_norm", false, &normed))
        return false;
    if (normed)
        add_head_norms(c->model);
    return true;
}

static bool shape_glm_gguf(const struct gguf_metadata *d, struct model *m)
{
    (void)d;
    if (catalog_find(&m->files, "blk.0.attn_q_norm.weight"))
        add_head_norms(m);
    return true;
}

static role_names glm_gguf_names = {[ROLE_FFN_NORM] = "post_attention_norm.weight"};

const struct arch arch_glm_moe = {
    .name = "glm4moe",
    .title = "GLM-4.5",
    .features = "GLM-4 with a mixture of experts that sigmoids and a bias choose, some of them used by every token",
    .gguf = "glm4moe",
    .hf = "glm4_moe",
    .hf_class = "Glm4MoeForCausalLM",
    .reference = "GLM-4.5 Team 2025",
    .required = ATTENTION_ROLES,
    .optional = BIASES,
    .varying = B(ROUTER_CHOICE),
    .dense = GATED,
    .sparse = EXPERT_ROLES | SHARED_ROLES,
    LLAMA_LIKE_NAMED(usual_names),
    .gguf_names = &glm_gguf_names,
    .predicts_more = true,
    .hf_biased = "attention_bias",
    .hf_partial_rope = true,
    .hf_reads = "n_routed_experts num_local_experts first_k_dense_replace use_qk_norm num_experts",
    .read_hf = read_glm,
    .shape_hf = shape_glm,
    .gguf_reads = GGUF_READS,
    .read_gguf = read_gguf,
    .shape_gguf = shape_glm_gguf,
    .defaults = {.dim = 4096, .hidden = 10944, .layers = 46, .heads = 96, .kv_heads = 8, .vocab = 151552,
                 .context = 131072, .epsilon = 1e-5f, .partial_rotary = 0.5f, .bos = -1, .eos = -1},
};

/* ---- dots.llm1 ------------------------------------------------------------------------------- */

static bool read_dots(const struct hf_config *c)
{
    static const struct mixture_keys keys = {
        .experts = "n_routed_experts", .experts_other = "num_local_experts", .used = "num_experts_per_tok",
        .hidden = "moe_intermediate_size", .shared = "n_shared_experts", .dense = "first_k_dense_replace",
        .normalize = "norm_topk_prob", .scale = "routed_scaling_factor", .groups = "n_group",
        .groups_used = "topk_group", .hidden_default = 1408, .groups_default = 1, .groups_used_default = 1,
        .router = ROUTER_SIGMOID};
    return mixture_read_hf(c, &keys);
}

const struct arch arch_dots1 = {
    .name = "dots1",
    .title = "dots.llm1",
    .features = "Qwen3's attention with experts chosen as in GLM-4.5",
    .gguf = "dots1",
    .hf = "dots1",
    .hf_class = "Dots1ForCausalLM",
    .reference = "Huo et al. 2025",
    .required = ATTENTION_ROLES | B(ATTN_Q_NORM) | B(ATTN_K_NORM),
    .optional = BIASES | B(ATTN_OUT_BIAS),
    .varying = B(ROUTER_CHOICE),
    .dense = GATED,
    .sparse = EXPERT_ROLES | SHARED_ROLES,
    LLAMA_LIKE_NAMED(usual_names),
    .hf_window = HF_WINDOW_LATER,
    .hf_reads = "n_routed_experts num_local_experts first_k_dense_replace num_experts",
    .read_hf = read_dots,
    .gguf_reads = GGUF_READS,
    .read_gguf = read_gguf,
    .defaults = {.dim = 4608, .hidden = 10944, .layers = 62, .heads = 32, .kv_heads = 32, .vocab = 152064,
                 .context = 2048, .window = 4096, .windowed_from = 62, .epsilon = 1e-6f, .bos = -1, .eos = -1},
};

/* ---- MiniMax-M2 ------------------------------------------------------------------------------ */

static role_names minimax_names = {
    LLAMA_NAMES,
    [ROLE_FFN_NORM] = "post_attention_layernorm.weight",
    W_EXPERT_NAMES,
    [ROLE_ROUTER_CHOICE] = "block_sparse_moe.e_score_correction_bias",
};

/* Rotary dimensions are counted in its files. */
static bool read_rotary(const struct hf_config *c)
{
    struct hyper *h = &c->model->hyper;
    if (!hf_size(c, &c->top, &(struct hf_size_key){"rotary_dim", NULL, h->rope_dims, h->rope_dims, h->head_size},
                 &h->rope_dims))
        return false;
    return h->rope_dims % 2 == 0 ||
           error_set(c->error, "config.json: rotary_dim = %zu; expected an even number", h->rope_dims);
}

static bool read_minimax(const struct hf_config *c)
{
    static const struct mixture_keys keys = {
        .experts = "num_local_experts", .experts_other = "num_experts", .used = "num_experts_per_tok",
        .experts_default = 256, .used_default = 8, .router = ROUTER_SIGMOID, .normalized = true};
    c->model->hyper.norm_all_heads = true;
    return read_rotary(c) && mixture_read_hf(c, &keys);
}

static bool read_minimax_gguf(const struct gguf_metadata *d, struct model *m)
{
    m->hyper.norm_all_heads = true;
    return mixture_read_gguf(d, m, &(struct mixture){.router = ROUTER_SIGMOID, .normalized = true});
}

const struct arch arch_minimax_m2 = {
    .name = "minimax-m2",
    .title = "MiniMax-M2",
    .features = "experts chosen as in GLM-4.5, norms of all queries and keys together, partial rotary embedding",
    .gguf = "minimax-m2",
    .hf = "minimax_m2",
    .hf_class = "MiniMaxM2ForCausalLM",
    .reference = "MiniMax 2025",
    .required = ATTENTION_ROLES | B(ATTN_Q_NORM) | B(ATTN_K_NORM),
    .varying = B(ROUTER_CHOICE),
    .sparse = EXPERT_ROLES,
    LLAMA_LIKE_NAMED(minimax_names),
    .predicts_more = true,
    .hf_partial_rope = true,
    .hf_reads = "num_local_experts num_experts rotary_dim",
    .read_hf = read_minimax,
    .gguf_reads = GGUF_READS,
    .read_gguf = read_minimax_gguf,
    .defaults = {.dim = 3072, .hidden = 1536, .layers = 62, .heads = 48, .kv_heads = 8, .head_size = 128,
                 .vocab = 200064, .context = 196608, .epsilon = 1e-6f, .rope_base = 5000000, .bos = 200034,
                 .eos = 200020},
};

/* ---- Hy3 ------------------------------------------------------------------------------------- */

static role_names hy_names = {
    LLAMA_NAMES,
    [ROLE_FFN_NORM] = "post_attention_layernorm.weight",
    MLP_EXPERTS_BUT_ROUTER,
    [ROLE_ROUTER] = "mlp.router.gate.weight",
    [ROLE_ROUTER_CHOICE] = "mlp.expert_bias",
    SHARED_EXPERT_NAMES("mlp.shared_mlp"),
};

static role_names hy_gguf_names = {[ROLE_ROUTER_CHOICE] = "exp_probs_b"};

/* Its blocks are of two kinds, which their tensors tell; the list must fit. */
static bool check_kinds(const struct hf_config *c)
{
    struct hf_value list;
    if (!hf_find(c, &c->top, "mlp_layer_types", NULL, &list))
        return false;
    size_t count = json_array_size(list.json), layers = c->model->hyper.layers;
    return !list.json || count == layers ||
           error_set(c->error, "config.json: mlp_layer_types is %s of %zu; expected a list of %zu",
                     json_text_kind(list.json), count, layers);
}

static bool read_hy(const struct hf_config *c)
{
    static const struct mixture_keys keys = {
        .experts = "num_experts", .experts_other = "num_local_experts", .used = "num_experts_per_tok",
        .hidden = "moe_intermediate_size", .shared = "num_shared_experts", .scale = "router_scaling_factor",
        .experts_default = 192, .used_default = 8, .hidden_default = 1536, .shared_default = 1,
        .scale_default = 2.826f, .router = ROUTER_SIGMOID, .normalized = true};
    return check_kinds(c) && mixture_read_hf(c, &keys);
}

const struct arch arch_hy_v3 = {
    .name = "hy_v3",
    .title = "Hy3",
    .features = "norms of each head's queries and keys, experts chosen as in GLM-4.5",
    .gguf = "hy_v3",
    .hf = "hy_v3",
    .hf_class = "HYV3ForCausalLM",
    .reference = "Tencent 2026",
    .required = ATTENTION_ROLES | B(ATTN_Q_NORM) | B(ATTN_K_NORM),
    .optional = BIASES | B(ATTN_OUT_BIAS),
    .varying = B(ROUTER_CHOICE),
    .dense = GATED,
    .sparse = EXPERT_ROLES | SHARED_ROLES,
    LLAMA_LIKE_NAMED(hy_names),
    .gguf_names = &hy_gguf_names,
    .predicts_more = true,
    .hf_reads = "num_experts num_local_experts",
    .read_hf = read_hy,
    .gguf_reads = GGUF_READS,
    .read_gguf = read_gguf,
    .defaults = {.dim = 4096, .hidden = 13312, .layers = 80, .heads = 64, .kv_heads = 8, .head_size = 128,
                 .vocab = 120832, .context = 131072, .epsilon = 1e-5f, .rope_base = 11158840, .bos = -1, .eos = -1},
};

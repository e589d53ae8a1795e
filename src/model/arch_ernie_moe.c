/* ERNIE 4.5's mixtures: rotary pairs are neighbours, and a bias is added to the probabilities that experts are chosen
 * by. */
#include "arch_rows.h"
#include "arrange.h"
#include "mixture.h"

static role_names tensor_names = {
    LLAMA_NAMES,
    [ROLE_FFN_NORM] = "post_attention_layernorm.weight",
    MLP_EXPERT_NAMES,
    [ROLE_ROUTER_CHOICE] = "mlp.moe_statics.e_score_correction_bias",
    SHARED_EXPERT_NAMES("mlp.shared_experts"),
};

static const uint8_t arranged[ROLE_COUNT] = {[ROLE_ROUTER_CHOICE] = ARRANGED_ROW};

/* The least sum that shares are divided by. */
static const float usual_floor = 1e-12f;

/* Which blocks have experts their tensors tell. */
static bool read_hf(const struct hf_config *c)
{
    static const struct mixture_keys keys = {
        .experts = "moe_num_experts", .experts_other = "num_experts", .used = "moe_k",
        .used_other = "num_experts_per_tok", .hidden = "moe_intermediate_size", .shared = "moe_num_shared_experts",
        .dense = "moe_layer_start_index", .experts_default = 64, .used_default = 6, .hidden_default = 1536,
        .shared_default = 2, .dense_default = 1, .router = ROUTER_SOFTMAX, .normalized = true};
    return mixture_read_hf(c, &keys) &&
           hf_number(c, &c->top, "moe_norm_min", usual_floor, 0, max_cap, &c->model->hyper.mixture.sum_floor);
}

static bool read_gguf(const struct gguf_metadata *d, struct model *m)
{
    return mixture_read_gguf(
        d, m, &(struct mixture){.router = ROUTER_SOFTMAX, .normalized = true, .sum_floor = usual_floor});
}

const struct arch arch_ernie_moe = {
    .name = "ernie4_5-moe",
    .title = "ERNIE 4.5 MoE",
    .features = "experts that probabilities and a bias choose, some of them used by every token",
    .gguf = "ernie4_5-moe",
    .hf = "ernie4_5_moe",
    .hf_class = "Ernie4_5_MoeForCausalLM",
    .reference = "Baidu 2025",
    .steps = arch_llama_steps,
    .required = ATTENTION_ROLES,
    .varying = B(ROUTER_CHOICE),
    .dense = GATED,
    .sparse = EXPERT_ROLES | SHARED_ROLES,
    .activation = ACTIVATION_SILU,
    .hf_activation = "silu",
    .hf_activation_key = "hidden_act",
    .gguf_rope = ROPE_NEIGHBOURS,
    .hf_rope = ROPE_NEIGHBOURS,
    .tied_default = true,
    .unused = "model.mtp_*",
    .hf_prefix = "model.",
    .hf_block = "layers.",
    .hf_names = &tensor_names,
    .hf_arranged = &arranged,
    .hf_reads = "moe_num_experts num_experts",
    .read_hf = read_hf,
    .gguf_reads = "expert_count expert_used_count leading_dense_block_count interleave_moe_layer_step",
    .read_gguf = read_gguf,
    .defaults = {.dim = 2560, .hidden = 12288, .layers = 28, .heads = 20, .kv_heads = 4, .vocab = 103424,
                 .context = 131072, .epsilon = 1e-5f, .rope_base = 500000, .bos = 1, .eos = 2},
};

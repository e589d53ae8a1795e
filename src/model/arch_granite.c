/* Granite 3: a Llama with four multipliers (maximal update parametrization: Yang et al. 2022); and its mixtures, whose
 * files hold gates and ups in one matrix. */
#include "arch_rows.h"
#include "arrange.h"
#include "mixture.h"

/* A number that logits are divided by, as what they are multiplied with; 1 is none. */
static void divide_logits(struct hyper *h, float divisor)
{
    h->logit_scale = divisor < 1 || divisor > 1 ? 1 / divisor : 0;
}

static bool read_multipliers(const struct hf_config *c)
{
    struct hyper *h = &c->model->hyper;
    float divisor;
    if (!hf_number(c, &c->top, "embedding_multiplier", 1, min_cap, max_cap, &h->embedding_scale) ||
        !hf_number(c, &c->top, "residual_multiplier", 1, min_cap, max_cap, &h->residual_scale) ||
        !hf_number(c, &c->top, "attention_multiplier", 1, min_cap, max_cap, &h->attention_scale) ||
        !hf_number(c, &c->top, "logits_scaling", 1, min_cap, max_cap, &divisor))
        return false;
    divide_logits(h, divisor);
    return true;
}

static bool read_gguf(const struct gguf_metadata *d, struct model *m)
{
    struct hyper *h = &m->hyper;
    char key[128];
    float divisor;
    if (!gguf_has(d->gguf, gguf_key(d, "logit_scale", key)))
        return error_set(d->error, "metadata: %s is missing", key);
    if (!gguf_read_float(d, "embedding_scale", 0, 0, max_cap, &h->embedding_scale) ||
        !gguf_read_float(d, "residual_scale", 0, 0, max_cap, &h->residual_scale) ||
        !gguf_read_float(d, "logit_scale", 1, min_cap, max_cap, &divisor))
        return false;
    divide_logits(h, divisor);
    return true;
}

const struct arch arch_granite = {
    .name = "granite",
    .title = "Granite 3",
    .features = "multipliers of embedding, residuals, attention and logits",
    .gguf = "granite",
    .hf = "granite",
    .hf_class = "GraniteForCausalLM",
    .reference = "Granite Team, IBM 2024",
    .required = LLAMA,
    .optional = BIASES | B(ATTN_OUT_BIAS) | GATED_BIASES,
    LLAMA_FILES,
    .hf_activation_free = true,
    .hf_names = &arch_llama_names,
    .gguf_rope = ROPE_NEIGHBOURS,
    .hf_rope = ROPE_HALVES,
    .hf_reads = "embedding_multiplier residual_multiplier attention_multiplier logits_scaling mlp_bias",
    .read_hf = read_multipliers,
    .gguf_reads = "embedding_scale residual_scale logit_scale",
    .read_gguf = read_gguf,
    .gguf_divides_logits = true,
    .defaults = {.dim = 4096, .hidden = 11008, .layers = 32, .heads = 32, .vocab = 32000, .context = 2048,
                 .epsilon = 1e-6f, .bos = 1, .eos = 2},
};

/* ---- mixtures -------------------------------------------------------------------------------- */

static role_names moe_names = {
    LLAMA_NAMES,
    [ROLE_FFN_NORM] = "post_attention_layernorm.weight",
    [ROLE_ROUTER] = "block_sparse_moe.router.layer.weight",
    [ROLE_GATE_EXPERTS] = "block_sparse_moe.input_linear.weight",
    [ROLE_UP_EXPERTS] = "block_sparse_moe.input_linear.weight",
    [ROLE_DOWN_EXPERTS] = "block_sparse_moe.output_linear.weight",
    [ROLE_GATE_SHARED] = "shared_mlp.input_linear.weight",
    [ROLE_UP_SHARED] = "shared_mlp.input_linear.weight",
    [ROLE_DOWN_SHARED] = "shared_mlp.output_linear.weight",
};

static const uint8_t moe_arranged[ROLE_COUNT] = {
    [ROLE_GATE_EXPERTS] = ARRANGED_FIRST_HALF,
    [ROLE_UP_EXPERTS] = ARRANGED_SECOND_HALF,
    [ROLE_GATE_SHARED] = ARRANGED_FIRST_HALF,
    [ROLE_UP_SHARED] = ARRANGED_SECOND_HALF,
};

static bool read_moe(const struct hf_config *c)
{
    static const struct mixture_keys keys = {.experts = "num_local_experts", .used = "num_experts_per_tok",
                                             .experts_default = 8, .used_default = 2, .router = ROUTER_SOFTMAX_CHOSEN};
    return read_multipliers(c) && mixture_read_hf(c, &keys);
}

static bool read_shared(const struct hf_config *c)
{
    static const struct mixture_keys keys = {
        .experts = "num_local_experts", .used = "num_experts_per_tok", .shared_hidden = "shared_intermediate_size",
        .experts_default = 8, .used_default = 2, .router = ROUTER_SOFTMAX_CHOSEN};
    return read_multipliers(c) && mixture_read_hf(c, &keys);
}

static bool read_moe_gguf(const struct gguf_metadata *d, struct model *m)
{
    return read_gguf(d, m) && mixture_read_gguf(d, m, &(struct mixture){.router = ROUTER_SOFTMAX_CHOSEN});
}

#define GRANITE_MOE                                                                                \
    .required = ATTENTION_ROLES, .optional = BIASES | B(ATTN_OUT_BIAS),                            \
    .sparse = EXPERT_ROLES | SHARED_ROLES, LLAMA_FILES, .hf_names = &moe_names,                    \
    .hf_arranged = &moe_arranged, .gguf_rope = ROPE_NEIGHBOURS, .hf_rope = ROPE_HALVES,            \
    .hf_reads = "embedding_multiplier residual_multiplier attention_multiplier logits_scaling num_local_experts num_experts", \
    .gguf_divides_logits = true,                                                                   \
    .defaults = {.dim = 4096, .hidden = 11008, .layers = 32, .heads = 32, .vocab = 32000,          \
                 .context = 2048, .epsilon = 1e-6f, .bos = 1, .eos = 2}

const struct arch arch_granite_moe = {
    .name = "granitemoe",
    .title = "Granite 3 MoE",
    .features = "Granite 3 with a mixture of experts",
    .gguf = "granitemoe",
    .hf = "granitemoe",
    .hf_class = "GraniteMoeForCausalLM",
    .reference = "Granite Team, IBM 2024",
    GRANITE_MOE,
    .read_hf = read_moe,
    .gguf_reads = "embedding_scale residual_scale logit_scale expert_count expert_used_count",
    .read_gguf = read_moe_gguf,
};

/* GGUF files call it as the one without shared experts. */
const struct arch arch_granite_shared = {
    .name = "granitemoeshared",
    .title = "Granite 3 MoE shared",
    .features = "the same with experts that every token uses",
    .in_gguf = &arch_granite_moe,
    .hf = "granitemoeshared",
    .hf_class = "GraniteMoeSharedForCausalLM",
    .reference = "Granite Team, IBM 2025",
    GRANITE_MOE,
    .read_hf = read_shared,
};

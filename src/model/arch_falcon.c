/* Falcon: parallel blocks with one norm, or with one each for attention and feed-forward layers. */
#include "arch_rows.h"
#include "arrange.h"
#include "hf_values.h"

#define NAMES                                                                                                      \
    [ROLE_EMBEDDING] = "word_embeddings.weight",                                                                   \
    [ROLE_ATTN_QKV] = "self_attention.query_key_value.weight",                                                     \
    [ROLE_ATTN_QKV_BIAS] = "self_attention.query_key_value.bias",                                                  \
    [ROLE_ATTN_OUT] = "self_attention.dense.weight", [ROLE_ATTN_OUT_BIAS] = "self_attention.dense.bias",           \
    [ROLE_FFN_UP] = "mlp.dense_h_to_4h.weight", [ROLE_FFN_UP_BIAS] = "mlp.dense_h_to_4h.bias",                     \
    [ROLE_FFN_DOWN] = "mlp.dense_4h_to_h.weight", [ROLE_FFN_DOWN_BIAS] = "mlp.dense_4h_to_h.bias",                 \
    [ROLE_OUTPUT_NORM] = "ln_f.weight", [ROLE_OUTPUT_NORM_BIAS] = "ln_f.bias", [ROLE_OUTPUT] = "lm_head.weight"

static role_names one_norm = {
    NAMES,
    [ROLE_ATTN_NORM] = "input_layernorm.weight",
    [ROLE_ATTN_NORM_BIAS] = "input_layernorm.bias",
};
static role_names two_norms = {
    NAMES,
    [ROLE_ATTN_NORM] = "ln_attn.weight",
    [ROLE_ATTN_NORM_BIAS] = "ln_attn.bias",
    [ROLE_FFN_NORM] = "ln_mlp.weight",
    [ROLE_FFN_NORM_BIAS] = "ln_mlp.bias",
};
static role_names two_norms_gguf = {
    [ROLE_ATTN_NORM] = "attn_norm_2.weight",
    [ROLE_ATTN_NORM_BIAS] = "attn_norm_2.bias",
    [ROLE_FFN_NORM] = "attn_norm.weight",
    [ROLE_FFN_NORM_BIAS] = "attn_norm.bias",
};

static const struct hf_names sizes = {.hidden = "ffn_hidden_size", .alike = true};
static const uint8_t arranged[ROLE_COUNT] = {[ROLE_ATTN_QKV] = ARRANGED_BY_HEAD,
                                             [ROLE_ATTN_QKV_BIAS] = ARRANGED_BY_HEAD};

/* Newer decoders say how many heads of keys and values there are; of older ones all queries share one, or none do. */
static bool read_hf(const struct hf_config *c)
{
    struct hyper *h = &c->model->hyper;
    bool newer, parallel, shared;
    if (!hf_flag(c, "new_decoder_architecture", false, &newer) || !hf_flag(c, "parallel_attn", true, &parallel) ||
        !hf_flag(c, "multi_query", true, &shared))
        return false;
    if (!parallel)
        return error_set(c->error, "config.json: parallel_attn = false; expected true: blocks of a Falcon are parallel");
    if (!newer && shared)
        h->kv_heads = 1;
    return !newer || hf_size(c, &c->top, &(struct hf_size_key){"num_kv_heads", NULL, h->heads, h->heads, MAX_HEADS},
                             &h->kv_heads);
}

/* Whether config.json means blocks with two norms: newer decoders that do not say one. */
static bool has_two_norms(const struct hf_config *c, bool *two)
{
    size_t norms;
    bool newer;
    if (!hf_flag(c, "new_decoder_architecture", false, &newer) ||
        !hf_size(c, &c->top, &(struct hf_size_key){"num_ln_in_parallel_attn", NULL, newer ? 2 : 1, newer ? 2 : 1, 2},
                 &norms))
        return false;
    *two = newer && norms == 2;
    return true;
}

static const struct arch *which_hf(const struct hf_config *c)
{
    bool two;
    return !has_two_norms(c, &two) ? NULL : two ? &arch_falcon_two_norms : &arch_falcon;
}

static const struct arch *which_gguf(const struct model *m)
{
    return catalog_find(&m->files, "blk.0.attn_norm_2.weight") ? &arch_falcon_two_norms : &arch_falcon;
}

/* llama.cpp computes the approximation of GELU by tanh. */
#define FALCON                                                                                                     \
    .gguf = "falcon", .hf = "falcon", .hf_class = "FalconForCausalLM", .reference = "Almazrouei et al. 2023",      \
    .hf_unwritten = true,                                                                                          \
    .norm = NORM_LAYER, .steps = arch_parallel_steps, .activation = ACTIVATION_GELU_TANH, .hf_activation = "gelu", \
    .hf_activation_key = "activation", .hf_activation_free = true, .hf_rope = ROPE_HALVES,                         \
    .gguf_rope = ROPE_HALVES, .hf_biased = "bias", .tied_default = true, .hf_prefix = "transformer.",              \
    .hf_block = "h.", .hf_sizes = &sizes, .hf_arranged = &arranged, .hf_reads = "parallel_attn multi_query bias",  \
    .read_hf = read_hf, .gguf_reads = "tensor_data_layout",                                                       \
    .optional = B(ATTN_QKV_BIAS) | B(ATTN_OUT_BIAS) | PLAIN_BIASES,                                                \
    .defaults = {.dim = 4544, .layers = 32, .heads = 71, .vocab = 65024, .context = 2048, .epsilon = 1e-5f,        \
                 .bos = 11, .eos = 11}
#define ROLES (OUTSIDE | B(ATTN_NORM) | B(ATTN_NORM_BIAS) | B(ATTN_QKV) | B(ATTN_OUT) | PLAIN | B(OUTPUT_NORM_BIAS))

const struct arch arch_falcon = {
    .name = "falcon",
    .title = "Falcon 7B and 11B",
    .features = "parallel blocks with one layer norm, one head of keys and values or groups of them",
    FALCON,
    .required = ROLES,
    .hf_names = &one_norm,
    .which_hf = which_hf,
    .which_gguf = which_gguf,
};

const struct arch arch_falcon_two_norms = {
    .name = "falcon-40b",
    .title = "Falcon 40B and 180B",
    .features = "parallel blocks with a layer norm each for attention and feed-forward",
    FALCON,
    .required = ROLES | B(FFN_NORM) | B(FFN_NORM_BIAS),
    .hf_names = &two_norms,
    .gguf_names = &two_norms_gguf,
};

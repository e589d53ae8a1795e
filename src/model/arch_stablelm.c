#include "arch_rows.h"
#include "gguf_metadata.h"
#include "hf_values.h"

/* Norms of queries and keys are one tensor a head. */
static role_names names = {
    NAMES_BUT_HEAD_NORMS,
    [ROLE_ATTN_Q_NORM] = "self_attn.q_layernorm.norms.%.weight",
    [ROLE_ATTN_K_NORM] = "self_attn.k_layernorm.norms.%.weight",
    [ROLE_ATTN_NORM_BIAS] = "input_layernorm.bias",
    [ROLE_FFN_NORM] = "post_attention_layernorm.weight",
    [ROLE_FFN_NORM_BIAS] = "post_attention_layernorm.bias",
    [ROLE_OUTPUT_NORM_BIAS] = "norm.bias",
};

static const struct hf_names sizes = {.epsilon = "layer_norm_eps", .rotary = "rope_pct"};

static bool read_hf(const struct hf_config *c)
{
    struct model *m = c->model;
    bool normed;
    m->hyper.norm_each_head = true;
    if (!hf_flag(c, "use_parallel_residual", false, &m->hyper.parallel) || !hf_flag(c, "qk_layernorm", false, &normed))
        return false;
    *(normed ? &m->has : &m->without) |= B(ATTN_Q_NORM) | B(ATTN_K_NORM);
    return true;
}

/* Parallel blocks have one norm; what use_parallel_residual says in these files is not always so. */
static bool read_gguf(const struct gguf_metadata *d, struct model *m)
{
    (void)d;
    m->hyper.parallel = !catalog_find(&m->files, "blk.0.ffn_norm.weight");
    m->hyper.norm_each_head = true;
    return true;
}

const struct arch arch_stablelm = {
    .name = "stablelm",
    .gguf = "stablelm",
    .hf = "stablelm",
    .hf_class = "StableLmForCausalLM",
    .hf_unwritten = true,
    .reference = "Bellagente et al. 2024",
    .title = "StableLM",
    .features = "a quarter of each head is rotary, layer norms; parallel blocks and norms of each head "
                "(StableLM 2 12B)",
    .required = OUTSIDE | B(ATTN_NORM) | B(ATTN_NORM_BIAS) | QKV_ROLES | B(ATTN_OUT) | GATED | B(OUTPUT_NORM_BIAS),
    .serial = B(FFN_NORM) | B(FFN_NORM_BIAS),
    .optional = BIASES | B(ATTN_Q_NORM) | B(ATTN_K_NORM),
    .norm = NORM_LAYER,
    LLAMA_LIKE_NAMED(names),
    .parallel_steps = arch_parallel_steps,
    .hf_sizes = &sizes,
    .hf_biased = "use_qkv_bias",
    .hf_partial_rope = true,
    .hf_reads = "use_parallel_residual rope_pct qk_layernorm",
    .read_hf = read_hf,
    .gguf_reads = "use_parallel_residual",
    .read_gguf = read_gguf,
    .defaults = {.dim = 2560, .hidden = 6912, .layers = 32, .heads = 32, .kv_heads = 32, .vocab = 50304,
                 .context = 4096, .epsilon = 1e-5f, .partial_rotary = 0.25f, .bos = 0, .eos = 0},
};

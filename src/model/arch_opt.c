/* OPT: a GPT-2 with ReLU whose learned positions begin at the third row. */
#include "arch_rows.h"
#include "hf_values.h"

static role_names names = {
    [ROLE_EMBEDDING] = "embed_tokens.weight",
    [ROLE_POSITIONS] = "embed_positions.weight",
    [ROLE_ATTN_NORM] = "self_attn_layer_norm.weight",
    [ROLE_ATTN_NORM_BIAS] = "self_attn_layer_norm.bias",
    [ROLE_ATTN_Q] = "self_attn.q_proj.weight",
    [ROLE_ATTN_Q_BIAS] = "self_attn.q_proj.bias",
    [ROLE_ATTN_K] = "self_attn.k_proj.weight",
    [ROLE_ATTN_K_BIAS] = "self_attn.k_proj.bias",
    [ROLE_ATTN_V] = "self_attn.v_proj.weight",
    [ROLE_ATTN_V_BIAS] = "self_attn.v_proj.bias",
    [ROLE_ATTN_OUT] = "self_attn.out_proj.weight",
    [ROLE_ATTN_OUT_BIAS] = "self_attn.out_proj.bias",
    [ROLE_FFN_NORM] = "final_layer_norm.weight",
    [ROLE_FFN_NORM_BIAS] = "final_layer_norm.bias",
    [ROLE_FFN_UP] = "fc1.weight",
    [ROLE_FFN_UP_BIAS] = "fc1.bias",
    [ROLE_FFN_DOWN] = "fc2.weight",
    [ROLE_FFN_DOWN_BIAS] = "fc2.bias",
    [ROLE_OUTPUT_NORM] = "final_layer_norm.weight",
    [ROLE_OUTPUT_NORM_BIAS] = "final_layer_norm.bias",
    [ROLE_OUTPUT] = "lm_head.weight",
};

static const struct hf_names sizes = {.hidden = "ffn_dim", .epsilon = "", .alike = true};

static bool read_hf(const struct hf_config *c)
{
    enum { FIRST = 2 };
    struct hyper *h = &c->model->hyper;
    size_t width;
    h->first_position = FIRST;
    const struct hf_size_key key = {"word_embed_proj_dim", NULL, h->dim, h->dim, MAX_DIM};
    return hf_size(c, &c->top, &key, &width) &&
           (width == h->dim || error_set(c->error, "config.json: word_embed_proj_dim = %zu; expected hidden_size = %zu: "
                                                   "embeddings of another size are not supported", width, h->dim));
}

/* It has no layout in GGUF files. */
const struct arch arch_opt = {
    .name = "opt",
    .hf = "opt",
    .hf_class = "OPTForCausalLM",
    .reference = "Zhang et al. 2022",
    .title = "OPT",
    .features = "learned positions, ReLU",
    .required = OUTSIDE | NORMS | LAYER_NORM_BIASES | B(POSITIONS) | QKV_ROLES | BIASES | B(ATTN_OUT) |
                B(ATTN_OUT_BIAS) | PLAIN | PLAIN_BIASES,
    .norm = NORM_LAYER,
    .steps = arch_llama_steps,
    .activation = ACTIVATION_RELU,
    .hf_activation = "relu",
    .hf_activation_key = "activation_function",
    .hf_activation_free = true,
    .hf_rope = ROPE_NONE,
    .tied_default = true,
    .hf_prefix = "model.decoder.",
    .hf_block = "layers.",
    .hf_names = &names,
    .hf_sizes = &sizes,
    .hf_reads = "word_embed_proj_dim",
    .read_hf = read_hf,
    .defaults = {.dim = 768, .hidden = 3072, .layers = 12, .heads = 12, .vocab = 50272, .context = 2048,
                 .epsilon = 1e-5f, .bos = 2, .eos = 2},
};

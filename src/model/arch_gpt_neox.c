/* EleutherAI's: GPT-NeoX (Pythia), whose queries, keys and values are fused by head, GPT-J, and GPT-Neo. */
#include "arch_rows.h"
#include "arrange.h"
#include "format.h"
#include "formats/jsontext.h"
#include "gguf_metadata.h"
#include "hf_values.h"

#include <string.h>

#define BIASED_NORMS OUTSIDE | NORMS | LAYER_NORM_BIASES

/* ---- GPT-NeoX -------------------------------------------------------------------------------- */

static role_names neox_names = {
    [ROLE_EMBEDDING] = "embed_in.weight",
    [ROLE_ATTN_NORM] = "input_layernorm.weight",
    [ROLE_ATTN_NORM_BIAS] = "input_layernorm.bias",
    [ROLE_ATTN_QKV] = "attention.query_key_value.weight",
    [ROLE_ATTN_QKV_BIAS] = "attention.query_key_value.bias",
    [ROLE_ATTN_OUT] = "attention.dense.weight",
    [ROLE_ATTN_OUT_BIAS] = "attention.dense.bias",
    [ROLE_FFN_NORM] = "post_attention_layernorm.weight",
    [ROLE_FFN_NORM_BIAS] = "post_attention_layernorm.bias",
    [ROLE_FFN_UP] = "mlp.dense_h_to_4h.weight",
    [ROLE_FFN_UP_BIAS] = "mlp.dense_h_to_4h.bias",
    [ROLE_FFN_DOWN] = "mlp.dense_4h_to_h.weight",
    [ROLE_FFN_DOWN_BIAS] = "mlp.dense_4h_to_h.bias",
    [ROLE_OUTPUT_NORM] = "final_layer_norm.weight",
    [ROLE_OUTPUT_NORM_BIAS] = "final_layer_norm.bias",
    [ROLE_OUTPUT] = "embed_out.weight",
};

static const struct hf_names neox_sizes = {.epsilon = "layer_norm_eps", .rope_base = "rotary_emb_base",
                                           .rotary = "rotary_pct", .alike = true};
static const uint8_t neox_arranged[ROLE_COUNT] = {[ROLE_ATTN_QKV] = ARRANGED_BY_HEAD,
                                                  [ROLE_ATTN_QKV_BIAS] = ARRANGED_BY_HEAD};

static bool read_neox(const struct hf_config *c)
{
    return hf_flag(c, "use_parallel_residual", true, &c->model->hyper.parallel);
}

static bool read_neox_gguf(const struct gguf_metadata *d, struct model *m)
{
    char key[128];
    return (gguf_has(d->gguf, gguf_key(d, "use_parallel_residual", key)) ||
            error_set(d->error, "metadata: %s is missing", key)) &&
           gguf_bool(d->gguf, key, true, &m->hyper.parallel, d->error);
}

/* llama.cpp computes the approximation by tanh, whatever the model was trained with. */
const struct arch arch_gpt_neox = {
    .name = "gptneox",
    .gguf = "gptneox",
    .hf = "gpt_neox",
    .hf_class = "GPTNeoXForCausalLM",
    .hf_unwritten = true,
    .reference = "Black et al. 2022; Pythia: Biderman et al. 2023",
    .title = "GPT-NeoX and Pythia",
    .features = "parallel blocks, queries, keys and values fused by head, a quarter of each head rotary",
    .required = BIASED_NORMS | B(ATTN_QKV) | B(ATTN_OUT) | PLAIN | PLAIN_BIASES,
    .optional = B(ATTN_QKV_BIAS) | B(ATTN_OUT_BIAS),
    .norm = NORM_LAYER,
    .steps = arch_llama_steps,
    .parallel_steps = arch_parallel_steps,
    .activation = ACTIVATION_GELU_TANH,
    .hf_activation = "gelu",
    .hf_activation_key = "hidden_act",
    .hf_activation_free = true,
    .hf_rope = ROPE_HALVES,
    .gguf_rope = ROPE_HALVES,
    .hf_partial_rope = true,
    .biased_default = true,
    .hf_prefix = "gpt_neox.",
    .hf_block = "layers.",
    .hf_names = &neox_names,
    .hf_sizes = &neox_sizes,
    .hf_arranged = &neox_arranged,
    .hf_reads = "use_parallel_residual rotary_pct rotary_emb_base",
    .read_hf = read_neox,
    .gguf_reads = "use_parallel_residual",
    .read_gguf = read_neox_gguf,
    .defaults = {.dim = 6144, .hidden = 24576, .layers = 44, .heads = 64, .vocab = 50432, .context = 2048,
                 .epsilon = 1e-5f, .partial_rotary = 0.25f, .bos = 0, .eos = 2},
};

/* ---- GPT-J ----------------------------------------------------------------------------------- */

static role_names gptj_names = {
    [ROLE_EMBEDDING] = "wte.weight",
    [ROLE_ATTN_NORM] = "ln_1.weight",
    [ROLE_ATTN_NORM_BIAS] = "ln_1.bias",
    [ROLE_ATTN_Q] = "attn.q_proj.weight",
    [ROLE_ATTN_K] = "attn.k_proj.weight",
    [ROLE_ATTN_V] = "attn.v_proj.weight",
    [ROLE_ATTN_OUT] = "attn.out_proj.weight",
    [ROLE_FFN_UP] = "mlp.fc_in.weight",
    [ROLE_FFN_UP_BIAS] = "mlp.fc_in.bias",
    [ROLE_FFN_DOWN] = "mlp.fc_out.weight",
    [ROLE_FFN_DOWN_BIAS] = "mlp.fc_out.bias",
    [ROLE_OUTPUT_NORM] = "ln_f.weight",
    [ROLE_OUTPUT_NORM_BIAS] = "ln_f.bias",
    [ROLE_OUTPUT] = "lm_head.weight",
    [ROLE_OUTPUT_BIAS] = "lm_head.bias",
};

static const struct hf_names gptj_sizes = {.dim = "n_embd", .layers = "n_layer", .heads = "n_head",
                                           .context = "n_positions", .hidden = "n_inner", .alike = true};

static bool read_gptj(const struct hf_config *c)
{
    struct hyper *h = &c->model->hyper;
    return hf_size(c, &c->top, &(struct hf_size_key){"rotary_dim", NULL, 64, 0, MAX_HEAD_SIZE}, &h->rope_dims);
}

/* It has no layout in GGUF files. */
const struct arch arch_gptj = {
    .name = "gptj",
    .hf = "gptj",
    .hf_class = "GPTJForCausalLM",
    .reference = "Wang and Komatsuzaki 2021",
    .title = "GPT-J",
    .features = "parallel blocks with one layer norm, rotary pairs are neighbours, a bias of the head",
    .required = OUTSIDE | B(ATTN_NORM) | B(ATTN_NORM_BIAS) | QKV_ROLES | B(ATTN_OUT) | PLAIN | PLAIN_BIASES |
                B(OUTPUT_NORM_BIAS) | B(OUTPUT_BIAS),
    .norm = NORM_LAYER,
    .steps = arch_parallel_steps,
    .activation = ACTIVATION_GELU_TANH,
    .hf_activation = "gelu_new",
    .hf_activation_key = "activation_function",
    .hf_activation_free = true,
    .hf_rope = ROPE_NEIGHBOURS,
    .hf_prefix = "transformer.",
    .hf_block = "h.",
    .hf_names = &gptj_names,
    .hf_sizes = &gptj_sizes,
    .hf_reads = "rotary_dim",
    .read_hf = read_gptj,
    .defaults = {.dim = 4096, .layers = 28, .heads = 16, .vocab = 50400, .context = 2048, .epsilon = 1e-5f,
                 .bos = 50256, .eos = 50256},
};

/* ---- GPT-Neo --------------------------------------------------------------------------------- */

static role_names neo_names = {
    [ROLE_EMBEDDING] = "wte.weight",
    [ROLE_POSITIONS] = "wpe.weight",
    [ROLE_ATTN_NORM] = "ln_1.weight",
    [ROLE_ATTN_NORM_BIAS] = "ln_1.bias",
    [ROLE_ATTN_Q] = "attn.attention.q_proj.weight",
    [ROLE_ATTN_K] = "attn.attention.k_proj.weight",
    [ROLE_ATTN_V] = "attn.attention.v_proj.weight",
    [ROLE_ATTN_OUT] = "attn.attention.out_proj.weight",
    [ROLE_ATTN_OUT_BIAS] = "attn.attention.out_proj.bias",
    [ROLE_FFN_NORM] = "ln_2.weight",
    [ROLE_FFN_NORM_BIAS] = "ln_2.bias",
    [ROLE_FFN_UP] = "mlp.c_fc.weight",
    [ROLE_FFN_UP_BIAS] = "mlp.c_fc.bias",
    [ROLE_FFN_DOWN] = "mlp.c_proj.weight",
    [ROLE_FFN_DOWN_BIAS] = "mlp.c_proj.bias",
    [ROLE_OUTPUT_NORM] = "ln_f.weight",
    [ROLE_OUTPUT_NORM_BIAS] = "ln_f.bias",
    [ROLE_OUTPUT] = "lm_head.weight",
};

static const struct hf_names neo_sizes = {.layers = "num_layers", .heads = "num_heads", .hidden = "intermediate_size",
                                          .alike = true};

/* Its scores are not scaled. */
static bool read_neo(const struct hf_config *c)
{
    c->model->hyper.attention_scale = 1;
    return true;
}

/* Gives a layer its kind, where there is one; false with an error. */
static bool set_kind(const struct hf_config *c, size_t layer, const json_t *kind)
{
    const char *name = json_string_value(kind);
    bool local = name && strcmp(name, "local") == 0;
    if (!local && (!name || strcmp(name, "global") != 0))
        return error_set(c->error, "config.json: attention_types of layer %zu: '%.40s'; expected global or local", layer,
                         name ? name : json_text_kind(kind));
    if (layer < c->model->hyper.layers)
        model_set_window(c->model, layer, local ? c->model->hyper.window : 0);
    return true;
}

/* One item of attention_types: a list of kinds, and how often it comes. */
static bool set_kinds(const struct hf_config *c, const json_t *item, size_t *layer)
{
    const json_t *kinds = json_array_get(item, 0), *times = json_array_get(item, 1);
    json_int_t n = json_integer_value(times);
    if (!json_is_array(kinds) || json_array_size(kinds) == 0 || !json_is_integer(times) || n < 0 || n > MAX_LAYERS)
        return error_set(c->error, "config.json: attention_types: expected lists of kinds and how often each comes");
    for (json_int_t i = 0; i < n; i++)
        for (size_t k = 0; k < json_array_size(kinds) && *layer <= c->model->hyper.layers; k++)
            if (!set_kind(c, (*layer)++, json_array_get(kinds, k)))
                return false;
    return true;
}

/* Global and local in turns where config.json does not say. */
static bool shape_neo(const struct hf_config *c)
{
    size_t layers = c->model->hyper.layers, at = 0;
    struct hf_value types;
    if (!hf_find(c, &c->top, "attention_types", NULL, &types) ||
        !hf_size(c, &c->top, &(struct hf_size_key){"window_size", NULL, 256, 0, MAX_POSITIONS}, &c->model->hyper.window))
        return false;
    for (size_t b = 0; b < layers && !types.json; b++, at++)
        model_set_window(c->model, b, b % 2 ? c->model->hyper.window : 0);
    for (size_t i = 0; i < json_array_size(types.json); i++)
        if (!set_kinds(c, json_array_get(types.json, i), &at))
            return false;
    return at == layers || error_set(c->error, "config.json: attention_types is of %s%zu layers; expected num_layers = %zu",
                                     at > layers ? "more than " : "", at > layers ? layers : at, layers);
}

/* It has no layout in GGUF files. */
const struct arch arch_gpt_neo = {
    .name = "gptneo",
    .hf = "gpt_neo",
    .hf_class = "GPTNeoForCausalLM",
    .reference = "Black et al. 2021",
    .title = "GPT-Neo",
    .features = "learned positions, a window in every other layer, scores that are not scaled",
    .required = BIASED_NORMS | B(POSITIONS) | QKV_ROLES | B(ATTN_OUT) | B(ATTN_OUT_BIAS) | PLAIN | PLAIN_BIASES,
    .norm = NORM_LAYER,
    .steps = arch_llama_steps,
    .activation = ACTIVATION_GELU_TANH,
    .hf_activation = "gelu_new",
    .hf_activation_key = "activation_function",
    .hf_activation_free = true,
    .hf_rope = ROPE_NONE,
    .tied_default = true,
    .hf_prefix = "transformer.",
    .hf_block = "h.",
    .hf_names = &neo_names,
    .hf_sizes = &neo_sizes,
    .read_hf = read_neo,
    .shape_hf = shape_neo,
    .hf_layer_kinds = true,
    .defaults = {.dim = 2048, .layers = 24, .heads = 16, .vocab = 50257, .context = 2048, .epsilon = 1e-5f,
                 .bos = 50256, .eos = 50256},
};

/* Llamas under other names: which rows of queries and keys are pairs, which biases there are, and which layers have a
 * rotary embedding differ. */
#include "arch_rows.h"
#include "formats/jsontext.h"
#include "gguf_metadata.h"
#include "hf_values.h"

#include <string.h>

/* Its files hold rotary pairs as neighbours, as GGUF files of a Llama do. */
const struct arch arch_helium = {
    .name = "helium",
    .title = "Helium",
    .features = "rotary pairs are neighbours",
    .in_gguf = &arch_llama,
    .hf = "helium",
    .hf_class = "HeliumForCausalLM",
    .reference = "Kyutai 2025",
    .required = LLAMA,
    .optional = BIASES | GATED_BIASES,
    LLAMA_FILES,
    .hf_activation_free = true,
    .hf_names = &arch_llama_names,
    .hf_rope = ROPE_NEIGHBOURS,
    .hf_biased = "attention_bias",
    .hf_reads = "mlp_bias",
    .defaults = {.dim = 2560, .hidden = 7040, .layers = 24, .heads = 20, .kv_heads = 20, .head_size = 128,
                 .vocab = 48000, .context = 4096, .epsilon = 1e-8f, .rope_base = 100000, .bos = 1, .eos = 2},
};

static role_names seed_gguf_names = {[ROLE_FFN_NORM] = "post_attention_norm.weight"};

const struct arch arch_seed_oss = {
    .name = "seed_oss",
    .title = "Seed-OSS",
    .features = "biases of queries, keys and values",
    .gguf = "seed_oss",
    .hf = "seed_oss",
    .hf_class = "SeedOssForCausalLM",
    .reference = "ByteDance Seed 2025",
    .required = LLAMA,
    .optional = BIASES | B(ATTN_OUT_BIAS) | GATED_BIASES,
    LLAMA_FILES,
    .hf_activation_free = true,
    .hf_names = &arch_llama_names,
    .gguf_names = &seed_gguf_names,
    .gguf_rope = ROPE_HALVES,
    .hf_rope = ROPE_HALVES,
    .biased_default = true,
    .hf_reads = "attention_out_bias mlp_bias",
    .defaults = {.dim = 4096, .hidden = 27648, .layers = 64, .heads = 80, .kv_heads = 8, .head_size = 128,
                 .vocab = 155136, .context = 524288, .epsilon = 1e-6f, .bos = 0, .eos = 2},
};

/* ---- SmolLM3 --------------------------------------------------------------------------------- */

/* Every so many layers one has no rotary embedding, unless a list says it. */
enum { NOPE_INTERVAL = 4 };

static void set_rotary(struct model *m, size_t block, bool rotary)
{
    m->layers[block].rotary = rotary ? ROTARY_ALL : ROTARY_NONE;
}

bool arch_read_rotary(const struct hf_config *c)
{
    struct model *m = c->model;
    struct hf_value list;
    size_t interval;
    const struct hf_size_key key = {"no_rope_layer_interval", NULL, NOPE_INTERVAL, NOPE_INTERVAL, MAX_LAYERS};
    if (!hf_size(c, &c->top, &key, &interval) || !hf_find(c, &c->top, "no_rope_layers", NULL, &list))
        return false;
    size_t listed = json_array_size(list.json); /* an empty list says nothing */
    if (list.json && (!json_is_array(list.json) || (listed > 0 && listed < m->hyper.layers)))
        return error_set(c->error, "config.json: no_rope_layers is %s of %zu; expected a list of %zu",
                         json_text_kind(list.json), json_array_size(list.json), m->hyper.layers);
    for (size_t b = 0; b < m->hyper.layers; b++) {
        const json_t *has = json_array_get(list.json, b);
        if (has && !(json_is_integer(has) && (json_integer_value(has) == 0 || json_integer_value(has) == 1)))
            return error_set(c->error, "config.json: no_rope_layers[%zu] is %s; expected 0 or 1", b,
                             json_is_integer(has) ? "another number" : json_text_kind(has));
        set_rotary(m, b, has ? json_integer_value(has) == 1 : (b + 1) % interval != 0);
    }
    return true;
}

/* A list of a value for each layer at least, or none. */
static bool find_list(const struct hf_config *c, const char *key, const json_t **list)
{
    struct hf_value value;
    size_t layers = c->model->hyper.layers;
    if (!hf_find(c, &c->top, key, NULL, &value))
        return false;
    *list = value.json;
    return !value.json || (json_is_array(value.json) && json_array_size(value.json) >= layers) ||
           error_set(c->error, "config.json: %s is %s of %zu; expected a list of %zu", key, json_text_kind(value.json),
                     json_array_size(value.json), layers);
}

/* Where no list says it, a window is that of layers without a rotary embedding. */
static bool read_window(const struct hf_config *c, const json_t *types, size_t block)
{
    struct layer *l = &c->model->layers[block];
    size_t window = c->model->hyper.window;
    const char *type = json_string_value(json_array_get(types, block));
    bool windowed = type ? strcmp(type, "sliding_attention") == 0 : l->rotary == ROTARY_NONE;
    if (types && !(type && (strcmp(type, "full_attention") == 0 || (windowed && window > 0))))
        return error_set(c->error, "config.json: layer_types[%zu] = %.40s; expected full_attention%s", block,
                         type ? type : json_text_kind(json_array_get(types, block)),
                         window ? " or sliding_attention" : " in a model without a window");
    l->window = windowed ? window : 0;
    return true;
}

static bool shape_smollm3(const struct hf_config *c)
{
    const json_t *types;
    size_t window = 0;
    if (!arch_read_rotary(c) || !find_list(c, "layer_types", &types))
        return false;
    for (size_t b = 0; b < c->model->hyper.layers; b++) {
        if (!read_window(c, types, b))
            return false;
        window |= c->model->layers[b].window;
    }
    c->model->hyper.window = window;
    return true;
}

static bool shape_smollm3_gguf(const struct gguf_metadata *d, struct model *m)
{
    (void)d;
    for (size_t b = 0; b < m->hyper.layers; b++)
        set_rotary(m, b, (b + 1) % NOPE_INTERVAL != 0);
    return true;
}

/* GGUF has no key for which layers have a rotary embedding. */
static const char *smollm3_unwritten(const struct model *m)
{
    for (size_t b = 0; b < m->hyper.layers; b++)
        if ((m->layers[b].rotary != ROTARY_NONE) != ((b + 1) % NOPE_INTERVAL != 0))
            return "another layer than every fourth has no rotary embedding (no_rope_layers)";
    return NULL;
}

const struct arch arch_smollm3 = {
    .name = "smollm3",
    .title = "SmolLM3",
    .features = "every fourth layer without rotary positions",
    .gguf = "smollm3",
    .hf = "smollm3",
    .hf_class = "SmolLM3ForCausalLM",
    .reference = "Hugging Face 2025; NoPE: Yang et al. 2025",
    .required = LLAMA,
    .optional = BIASES | B(ATTN_OUT_BIAS) | GATED_BIASES,
    LLAMA_FILES,
    .hf_activation_free = true,
    .tied_default = true,
    .hf_names = &arch_llama_names,
    .gguf_rope = ROPE_NEIGHBOURS,
    .hf_rope = ROPE_HALVES,
    .hf_window = HF_WINDOW_ASKED,
    .hf_layer_kinds = true,
    .hf_reads = "no_rope_layers no_rope_layer_interval mlp_bias",
    .shape_hf = shape_smollm3,
    .shape_gguf = shape_smollm3_gguf,
    .gguf_unwritten = smollm3_unwritten,
    .defaults = {.dim = 2048, .hidden = 11008, .layers = 36, .heads = 16, .kv_heads = 4, .vocab = 128256,
                 .context = 32768, .epsilon = 1e-6f, .rope_base = 2000000, .bos = 128000, .eos = 128001},
};

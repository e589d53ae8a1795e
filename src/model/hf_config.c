#include "hf_config.h"

#include "base/words.h"
#include "format.h"
#include "formats/jsontext.h"
#include "hf_keys.h"
#include "hf_packing.h"
#include "hf_rope.h"
#include "hf_windows.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH = 32 };

/* ---- sizes ----------------------------------------------------------------------------------- */

static const struct hf_names *names_of(const struct arch *a)
{
    static const struct hf_names usual = {0};
    return a->hf_sizes ? a->hf_sizes : &usual;
}

/* Sizes that say what shape the weights have. Where one is missing the architecture's counts, as it does for the
 * smallest model of a family, and the model's note says so. */
static bool read_needed(const struct hf_config *c, const struct hf_size_key *k, size_t *out)
{
    struct hf_value value;
    if (!hf_find(c, &c->top, k->key, k->other, &value) || !hf_size(c, &c->top, k, out))
        return false;
    if (!value.json)
        model_add_note(c->model, "config.json does not say %s: %zu, the default of %s", k->key, *out,
                       c->arch->name);
    return true;
}

static bool read_heads(const struct hf_config *c, struct hyper *h)
{
    const struct hf_defaults *d = &c->arch->defaults;
    const struct hf_places none = {0}, *places = names_of(c->arch)->alike ? &none : &c->top;
    struct hf_value size;
    if (!hf_size(c, places, &(struct hf_size_key){"num_key_value_heads", NULL, d->kv_heads ? d->kv_heads : h->heads,
                                                  h->heads, MAX_HEADS}, &h->kv_heads) ||
        !hf_find(c, places, "head_dim", NULL, &size))
        return false;
    if (h->heads % h->kv_heads != 0)
        return error_set(c->error, "config.json: num_key_value_heads = %zu; expected a divisor of "
                                   "num_attention_heads = %zu", h->kv_heads, h->heads);
    bool own = size.json || (d->head_size && !size.is_null);
    if (!own && h->dim % h->heads != 0)
        return error_set(c->error, "config.json: num_attention_heads = %zu does not divide hidden_size = %zu", h->heads,
                         h->dim);
    size_t even = h->dim / h->heads;
    return hf_size(c, places, &(struct hf_size_key){"head_dim", NULL, d->head_size ? d->head_size : even, even,
                                                    MAX_HEAD_SIZE}, &h->head_size);
}

/* Where a size is in struct hyper, its name in struct hf_names, and its default in struct hf_defaults. */
#define PLACES(MEMBER, NAME, DEFAULT)                                                                              \
    offsetof(struct hyper, MEMBER), offsetof(struct hf_names, NAME), offsetof(struct hf_defaults, DEFAULT)

static const struct shape_key {
    const char *key;    /* of most */
    size_t member, name, by_default, max;
} shape_keys[] = {
    {"hidden_size", PLACES(dim, dim, dim), MAX_DIM},
    {"num_hidden_layers", PLACES(layers, layers, layers), MAX_LAYERS},
    {"num_attention_heads", PLACES(heads, heads, heads), MAX_HEADS},
    {"max_position_embeddings", PLACES(trained_context, context, context), MAX_POSITIONS},
};

static const char *own_name(const struct hf_config *c, const struct shape_key *row)
{
    return *(const char *const *)(const void *)((const char *)names_of(c->arch) + row->name);
}

static bool read_shape_key(const struct hf_config *c, const struct shape_key *row, struct hyper *h)
{
    const char *own = own_name(c, row);
    size_t by_default = *(const size_t *)(const void *)((const char *)&c->arch->defaults + row->by_default);
    const struct hf_size_key key = {own ? own : row->key, own ? row->key : NULL, by_default, 0, row->max};
    return read_needed(c, &key, (size_t *)(void *)((char *)h + row->member));
}

/* Of some architectures 4 times the embedding's where the key is missing or null. */
static bool read_hidden(const struct hf_config *c, struct hyper *h)
{
    const char *own = names_of(c->arch)->hidden;
    if (own)
        return hf_size(c, &c->top, &(struct hf_size_key){own, NULL, 4 * h->dim, 4 * h->dim, MAX_HIDDEN}, &h->hidden);
    return read_needed(c, &(struct hf_size_key){"intermediate_size", NULL, c->arch->defaults.hidden, 0, MAX_HIDDEN},
                       &h->hidden);
}

static bool read_shape(const struct hf_config *c, struct hyper *h)
{
    for (size_t i = 0; i < sizeof shape_keys / sizeof *shape_keys; i++)
        if (!read_shape_key(c, &shape_keys[i], h))
            return false;
    return read_needed(c, &(struct hf_size_key){"vocab_size", NULL, c->arch->defaults.vocab, 0, MAX_VOCAB}, &h->vocab) &&
           read_hidden(c, h) && read_heads(c, h);
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* A cap where the architecture has one or may have one: null says that there is none. */
static bool read_cap(const struct hf_config *c, const char *key, float by_default, float *out)
{
    struct hf_value value;
    *out = 0;
    if (by_default <= 0 && !(c->arch->hf_reads && words_have(c->arch->hf_reads, key)))
        return true; /* hf_keys.c refuses it */
    if (!hf_find(c, &c->top, key, NULL, &value))
        return false;
    if (!value.json && (value.is_null || by_default <= 0))
        return true;
    return hf_number(c, &c->top, key, by_default, min_cap, max_cap, out);
}

/* 1 / sqrt(a number) in Gemma 2; GPT-2 can do without, or divide by the layer's number too. */
static bool read_attention_scale(const struct hf_config *c, struct hyper *h)
{
    float scalar = c->arch->defaults.query_scalar;
    bool scaled = true;
    if (scalar > 0) {
        if (!hf_number(c, &c->top, "query_pre_attn_scalar", scalar, min_cap, max_cap, &scalar))
            return false;
        h->attention_scale = 1 / sqrtf(scalar);
    }
    if (c->arch->hf_scaled_by_choice &&
        (!hf_flag(c, "scale_attn_weights", true, &scaled) ||
         !hf_flag(c, "scale_attn_by_inverse_layer_idx", false, &h->scale_by_layer)))
        return false;
    if (!scaled)
        h->attention_scale = 1;
    return true;
}

static bool read_epsilon(const struct hf_config *c, struct hyper *h)
{
    const char *own = names_of(c->arch)->epsilon;
    const char *key = own ? own : c->arch->norm == NORM_LAYER ? "layer_norm_epsilon" : "rms_norm_eps";
    h->norm_eps = c->arch->defaults.epsilon;
    return !*key || hf_number(c, &c->top, key, c->arch->defaults.epsilon, min_epsilon, max_epsilon, &h->norm_eps);
}

static bool read_numbers(const struct hf_config *c, struct hyper *h)
{
    const struct hf_defaults *d = &c->arch->defaults;
    return read_epsilon(c, h) &&
           read_cap(c, "attn_logit_softcapping", d->attention_cap, &h->attention_cap) &&
           read_cap(c, "final_logit_softcapping", d->logit_cap, &h->logit_cap) && read_attention_scale(c, h) &&
           hf_rope_read(c, h);
}

/* ---- activations ----------------------------------------------------------------------------- */

/* Names of each; the first is that of files. */
static const char *const activations[ACTIVATIONS][3] = {
    [ACTIVATION_SILU] = {"silu", "swish", "silu"},
    [ACTIVATION_GELU_TANH] = {"gelu_pytorch_tanh", "gelu_new", "gelu_fast"},
    [ACTIVATION_GELU] = {"gelu", "gelu_python", "gelu"},
    [ACTIVATION_RELU] = {"relu", "relu", "relu"},
    [ACTIVATION_RELU_SQUARED] = {"relu2", "relu2", "relu2"},
    [ACTIVATION_SWIGLU_CLAMPED] = {"silu", "silu", "silu"}, /* whose numbers are keys of their own */
    [ACTIVATION_XIELU] = {"xielu", "xielu", "xielu"},
};

const char *hf_activation_name(enum activation activation)
{
    return activations[activation][0];
}

static bool is_named(enum activation activation, const char *name)
{
    for (size_t k = 0; k < 3; k++)
        if (strcmp(name, activations[activation][k]) == 0)
            return true;
    return false;
}

/* ACTIVATIONS where the name is none. */
static enum activation find_activation(const char *name)
{
    for (enum activation i = 0; i < ACTIVATIONS; i++)
        if (is_named(i, name))
            return i;
    return ACTIVATIONS;
}

/* "gelu" in Gemma's older key means the approximation by tanh. */
static bool is_activation(const struct arch *a, const char *key, const char *text)
{
    return (a->hf_gelu_is_tanh && strcmp(key, "hidden_act") == 0 && strcmp(text, "gelu") == 0) ||
           is_named(a->activation, text);
}

/* Of an architecture that has one. */
static bool check_activation(const struct hf_config *c)
{
    static const char *const keys[] = {"hidden_activation", "hidden_act", "activation_function"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct hf_value value;
        if (!hf_find(c, &c->top, keys[i], NULL, &value))
            return false;
        const char *text = json_string_value(value.json);
        if (value.json && (!text || !is_activation(c->arch, keys[i], text)))
            return error_set(c->error, "config.json: %s = '%.40s'; expected %s for %s", value.name,
                             text ? text : json_text_kind(value.json), activations[c->arch->activation][0],
                             c->arch->name);
    }
    return true;
}

static bool read_activation(const struct hf_config *c, struct hyper *h)
{
    struct hf_value value;
    if (!c->arch->hf_activation_free)
        return check_activation(c);
    if (!hf_find(c, &c->top, c->arch->hf_activation_key, NULL, &value))
        return false;
    const char *text = value.json ? json_string_value(value.json) : c->arch->hf_activation;
    enum activation found = text ? find_activation(text) : ACTIVATIONS;
    if (found == ACTIVATIONS || found == ACTIVATION_XIELU)
        return error_set(c->error, "config.json: %s = '%.40s'; expected silu, gelu, gelu_new, relu or relu2", value.name,
                         text ? text : json_text_kind(value.json));
    h->activation = found;
    return true;
}

/* ---- tokens ---------------------------------------------------------------------------------- */

/* A key that a model around the one of text says for both. */
static bool find_around(const struct hf_config *c, const char *key, struct hf_value *value)
{
    return hf_find(c, &c->around, key, NULL, value) && (value->json || hf_find(c, &c->top, key, NULL, value));
}

static bool read_tied(const struct hf_config *c, bool *tied)
{
    struct hf_value value;
    if (!find_around(c, "tie_word_embeddings", &value))
        return false;
    *tied = value.json ? json_is_true(value.json) : c->arch->tied_default;
    return !value.json || json_is_boolean(value.json) ||
           error_set(c->error, "config.json: %s is %s; expected true or false", value.name, json_text_kind(value.json));
}

/* An id, or a list of ids, of which those outside the vocabulary are left out. */
static bool read_ids(const struct hf_config *c, const char *key, int32_t by_default, int32_t *ids, size_t room,
                     size_t *count)
{
    struct hf_value value;
    if (!find_around(c, key, &value))
        return false;
    size_t n = json_is_array(value.json) ? json_array_size(value.json) : 1, vocab = c->model->hyper.vocab;
    json_int_t otherwise = value.is_null ? -1 : by_default;
    *count = 0;
    for (size_t i = 0; i < n && *count < room; i++) {
        const json_t *one = json_is_array(value.json) ? json_array_get(value.json, i) : value.json;
        json_int_t id = one ? json_integer_value(one) : otherwise;
        if (one && !json_is_integer(one))
            return error_set(c->error, "config.json: %s is %s; expected an integer", key, json_text_kind(one));
        if (id >= 0 && id < (json_int_t)vocab)
            ids[(*count)++] = (int32_t)id;
    }
    return true;
}

static bool read_tokens(const struct hf_config *c)
{
    struct model *m = c->model;
    const struct hf_defaults *d = &c->arch->defaults;
    size_t count;
    if (!read_ids(c, "bos_token_id", d->bos, &m->bos, 1, &count) ||
        !read_ids(c, "eos_token_id", d->eos, m->ends, MODEL_ENDS, &m->end_count))
        return false;
    if (count == 0)
        m->bos = -1;
    return true;
}

const char *hf_biased_key(const struct arch *a)
{
    return a->hf_biased ? a->hf_biased : "attention_bias";
}

/* Biases that an architecture reads a key for, besides those of attention. */
const struct hf_bias hf_biases[HF_BIASES] = {{"attention_out_bias", ROLE_ATTN_OUT_BIAS}, {"mlp_bias", ROLE_FFN_DOWN_BIAS}};

static bool read_biases(const struct hf_config *c, struct hf_asked *asked)
{
    for (size_t i = 0; i < HF_BIASES; i++)
        if (!hf_flag(c, hf_biases[i].key, false, &asked->biases[i]))
            return false;
    return true;
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* Models that see or hear around one that alone writes text, which is computed; and what that is where text_config does
 * not say it. */
static const struct {
    const char *type, *text;
    bool flat;               /* older files have no text_config: all keys stand at the top */
} wrappers[] = {
    {"aya_vision", "cohere2", false},       {"cohere2_vision", "cohere2", false},
    {"gemma3", "gemma3_text", false},       {"gemma3n", "gemma3n_text", false},
    {"gemma4", "gemma4_text", false},       {"idefics3", "llama", false},
    {"internvl", "qwen2", false},           {"llama4", "llama4_text", false},
    {"llava", "llama", false},              {"llava_next", "llama", false},
    {"llava_next_video", "llama", false},   {"llava_onevision", "qwen2", false},
    {"mistral3", "mistral", false},         {"qwen2_vl", "qwen2_vl_text", true},
    {"qwen2_5_vl", "qwen2_5_vl_text", true}, {"qwen3_vl", "qwen3_vl_text", false},
    {"smolvlm", "llama", false},            {"video_llava", "llama", false},
    {"vipllava", "llama", false},
};

/* What such a model writes text with; null where the type is none, or one whose files have a text_config. */
static const char *text_of(const char *type, bool has_text)
{
    for (size_t i = 0; type && i < sizeof wrappers / sizeof *wrappers; i++)
        if (strcmp(type, wrappers[i].type) == 0)
            return has_text || wrappers[i].flat ? wrappers[i].text : NULL;
    return NULL;
}

/* text_config says of what type the model of text is; the file, or what is around it. */
static const struct arch *read_type(struct hf_config *c, const json_t *root)
{
    const json_t *text = json_object_get(root, "text_config");
    const char *outer = json_string_value(json_object_get(root, "model_type")),
               *inner = json_string_value(json_object_get(text, "model_type"));
    if (!outer && !inner) {
        error_set(c->error, "config.json: model_type is missing or not a string");
        return NULL;
    }
    const char *type = text_of(outer, json_is_object(text));
    if (type) {
        c->around.at[c->around.count++] = (struct hf_place){root, ""};
        return arch_by_hf(inner ? inner : type, c->error);
    }
    if (inner && outer && strcmp(inner, outer) != 0) {
        error_set(c->error, "config.json: model_type = '%.40s', but text_config.model_type = '%.40s'; expected one of "
                            "them in both", outer, inner);
        return NULL;
    }
    return arch_by_hf(outer ? outer : inner, c->error);
}

/* The class that wrote the file must not be another architecture's. */
static bool check_class(const struct hf_config *c)
{
    for (size_t i = 0; i < c->top.count; i++) {
        const json_t *list = json_object_get(c->top.at[i].object, "architectures");
        const char *class = json_string_value(json_array_get(list, 0));
        for (size_t k = 0; class && archs[k]; k++)
            if (archs[k]->hf_class && strcmp(archs[k]->hf_class, class) == 0 && strcmp(class, c->arch->hf_class) != 0)
                return error_set(c->error, "config.json: model_type = '%s', but architectures = '%s'; expected one of "
                                           "them in both", c->arch->hf, class);
    }
    return true;
}

static bool read_config(struct hf_config *c, const json_t *root, struct hf_asked *asked)
{
    struct hyper *h = &c->model->hyper;
    c->arch = read_type(c, root);
    if (!c->arch || !hf_add_place(c, &c->top, root, "text_config", "text_config."))
        return false;
    if (c->around.count == 0 || c->top.count == 0)
        c->top.at[c->top.count++] = (struct hf_place){root, ""};
    if (c->arch->which_hf)
        c->arch = c->arch->which_hf(c);
    if (!c->arch || !hf_rope_places(c) || !hf_keys_check(c) || !read_shape(c, h) || !read_numbers(c, h))
        return false;
    arch_apply(c->arch, false, h);
    return (!c->arch->read_hf || c->arch->read_hf(c)) && hyper_check(h, "config.json", c->error) &&
           hf_windows_read(c, h) && read_activation(c, h) && check_class(c) && hf_rope_scale(c) &&
           model_make_layers(c->model, c->error) && hf_windows_apply(c) &&
           (!c->arch->shape_hf || c->arch->shape_hf(c)) && read_tokens(c) && read_biases(c, asked) &&
           hf_packing_read(c, &asked->packing) &&
           hf_flag(c, hf_biased_key(c->arch), c->arch->biased_default, &asked->attention_bias) &&
           read_tied(c, &c->model->tied);
}

const struct arch *hf_config_parse(struct model *m, const uint8_t *data, size_t size, struct hf_asked *asked,
                                   struct error *error)
{
    json_t *json = json_text_parse(data, size, DEPTH, "config.json", error);
    struct hf_config c = {.model = m, .error = error};
    bool ok = json && read_config(&c, json, asked);
    json_decref(json);
    return ok ? c.arch : NULL;
}

const struct arch *hf_config_read(struct model *m, const char *path, struct hf_asked *asked, struct error *error)
{
    struct mapped_file file;
    if (!mapped_file_open(&file, path, error))
        return NULL;
    const struct arch *a = hf_config_parse(m, file.data, file.size, asked, error);
    mapped_file_close(&file);
    return a;
}

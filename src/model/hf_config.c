#include "hf_config.h"

#include "formats/jsontext.h"
#include "rope.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH = 32 };

struct config {
    const json_t *json;
    struct error *error;
};

/* ---- values ---------------------------------------------------------------------------------- */

/* The first of two keys that is there and not null. */
static const json_t *find(const json_t *object, const char *key, const char *other, const char **name)
{
    const json_t *value = json_object_get(object, key);
    *name = key;
    if ((!value || json_is_null(value)) && other) {
        value = json_object_get(object, other);
        *name = value ? other : key;
    }
    return value && !json_is_null(value) ? value : NULL;
}

/* A size of 1 to `max`; `otherwise` 0: it must be there. */
static bool read_size(const struct config *c, const json_t *object, const char *key,
                      const char *other, size_t otherwise, size_t max, size_t *out)
{
    const char *name;
    const json_t *value = find(object, key, other, &name);
    *out = otherwise;
    if (!value)
        return otherwise > 0 || error_set(c->error, "config.json: %s%s%s is missing", key,
                                          other ? " or " : "", other ? other : "");
    if (!json_is_integer(value))
        return error_set(c->error, "config.json: %s is %s; expected an integer", name,
                         json_text_kind(value));
    json_int_t n = json_integer_value(value);
    if (n < 1 || n > (json_int_t)max)
        return error_set(c->error, "config.json: %s = %lld; expected 1 to %zu", name, (long long)n,
                         max);
    *out = (size_t)n;
    return true;
}

/* A number from `min` to `max`. */
static bool read_number(const struct config *c, const json_t *object, const char *key, float otherwise,
                        float min, float max, float *out)
{
    const char *name;
    const json_t *value = find(object, key, NULL, &name);
    *out = otherwise;
    if (!value)
        return true;
    if (!json_is_number(value))
        return error_set(c->error, "config.json: %s is %s; expected a number", name,
                         json_text_kind(value));
    double n = json_number_value(value);
    *out = (float)n;
    return (n >= (double)min && n <= (double)max) ||
           error_set(c->error, "config.json: %s = %g; expected %g to %g", name, n, (double)min,
                     (double)max);
}

static bool read_flag(const struct config *c, const char *key, bool otherwise, bool *out)
{
    const char *name;
    const json_t *value = find(c->json, key, NULL, &name);
    *out = value ? json_is_true(value) : otherwise;
    return !value || json_is_boolean(value) ||
           error_set(c->error, "config.json: %s is %s; expected true or false", key,
                     json_text_kind(value));
}

/* ---- hyper-parameters ------------------------------------------------------------------------ */

static const json_t *rope_object(const struct config *c, const char **name)
{
    return find(c->json, "rope_parameters", "rope_scaling", name);
}

static bool check_rope_object(const struct config *c)
{
    const char *name;
    const json_t *rope = rope_object(c, &name);
    return !rope || json_is_object(rope) ||
           error_set(c->error, "config.json: %s is %s; expected an object", name, json_text_kind(rope));
}

static bool read_shape(const struct config *c, const struct arch *a, struct hyper *h)
{
    if (!read_size(c, c->json, "hidden_size", "n_embd", 0, MAX_DIM, &h->dim) ||
        !read_size(c, c->json, "num_hidden_layers", "n_layer", 0, MAX_LAYERS, &h->layers) ||
        !read_size(c, c->json, "num_attention_heads", "n_head", 0, MAX_HEADS, &h->heads) ||
        !read_size(c, c->json, "intermediate_size", "n_inner", a->hf_hidden * h->dim, MAX_HIDDEN,
                   &h->hidden) ||
        !read_size(c, c->json, "num_key_value_heads", NULL, h->heads, MAX_HEADS, &h->kv_heads) ||
        !read_size(c, c->json, "vocab_size", NULL, 0, MAX_VOCAB, &h->vocab) ||
        !read_size(c, c->json, "max_position_embeddings", "n_positions", 0, MAX_POSITIONS,
                   &h->trained_context))
        return false;
    const char *name;
    if (h->heads % h->kv_heads != 0)
        return error_set(c->error, "config.json: num_key_value_heads = %zu; expected a divisor of "
                                   "num_attention_heads = %zu", h->kv_heads, h->heads);
    if (!find(c->json, "head_dim", NULL, &name) && h->dim % h->heads != 0)
        return error_set(c->error, "config.json: num_attention_heads = %zu does not divide "
                                   "hidden_size = %zu", h->heads, h->dim);
    return read_size(c, c->json, "head_dim", NULL, h->dim / h->heads, MAX_HEAD_SIZE, &h->head_size);
}

/* An even number of rotary dimensions, above 0. */
static bool read_rope_dims(const struct config *c, const struct arch *a, struct hyper *h)
{
    float partial;
    if (!read_number(c, c->json, "partial_rotary_factor", 1, 0, 1, &partial))
        return false;
    h->rope_dims = (size_t)((float)h->head_size * partial);
    if (a->hf_rope == ROPE_NONE || (h->rope_dims > 0 && h->rope_dims % 2 == 0))
        return true;
    if (partial < 1)
        return error_set(c->error, "config.json: partial_rotary_factor = %g makes %zu dimensions of a "
                                   "head of %zu rotary; expected an even number above 0",
                         (double)partial, h->rope_dims, h->head_size);
    return error_set(c->error, "config.json: head_dim = %zu; expected an even number", h->head_size);
}

/* What attention and norms are told; the names of a key changed over the years. */
static bool read_numbers(const struct config *c, const struct arch *a, struct hyper *h)
{
    const char *name, *epsilon = a->norm == NORM_LAYER ? "layer_norm_epsilon" : "rms_norm_eps";
    const json_t *rope = rope_object(c, &name);
    float scalar;
    if (!check_rope_object(c) ||
        !read_number(c, c->json, epsilon, a->norm == NORM_LAYER ? 1e-5f : 1e-6f, min_epsilon,
                     max_epsilon, &h->norm_eps) ||
        !read_number(c, c->json, "rope_theta", 10000, min_rope_base, max_rope_base, &h->rope_base) ||
        (rope && !read_number(c, rope, "rope_theta", h->rope_base, min_rope_base, max_rope_base,
                              &h->rope_base)) ||
        !read_number(c, c->json, "attn_logit_softcapping", 0, 0, max_cap, &h->attention_cap) ||
        !read_number(c, c->json, "final_logit_softcapping", 0, 0, max_cap, &h->logit_cap) ||
        !read_number(c, c->json, "query_pre_attn_scalar", 0, 0, max_cap, &scalar))
        return false;
    if (scalar > 0)
        h->attention_scale = 1 / sqrtf(scalar);
    return read_rope_dims(c, a, h);
}

/* ---- windows --------------------------------------------------------------------------------- */

/* Whether layers have windows by layer_types, one name a layer. */
static bool check_layer_types(const struct config *c, const struct hyper *h, const json_t *types)
{
    if (!json_is_array(types) || json_array_size(types) != h->layers)
        return error_set(c->error, "config.json: layer_types is %s of %zu; expected a list of %zu",
                         json_text_kind(types), json_array_size(types), h->layers);
    for (size_t i = 0; i < h->layers; i++) {
        const json_t *value = json_array_get(types, i);
        const char *type = json_string_value(value);
        const char *expected = hyper_window(h, i) ? "sliding_attention" : "full_attention";
        if (!type || strcmp(type, expected) != 0)
            return error_set(c->error, "config.json: layer_types[%zu] = %.40s; expected %s here", i,
                             type ? type : json_text_kind(value), expected);
    }
    return true;
}

/* Layers from max_window_layers on have a window: all or none of them, since no architecture here mixes
 * so. Where the key is missing, it is 28. */
static bool read_first_window(const struct config *c, struct hyper *h)
{
    enum { DEFAULT = 28 };
    const char *name;
    const json_t *value = find(c->json, "max_window_layers", NULL, &name);
    json_int_t first = value ? json_integer_value(value) : DEFAULT, layers = (json_int_t)h->layers;
    if (value && (!json_is_integer(value) || first < 0 || (first > 0 && first < layers)))
        return error_set(c->error, "config.json: %s = %lld (%s); expected 0, or all %zu layers or more: "
                                   "windows in a part of the layers are not supported",
                         name, (long long)first, json_text_kind(value), h->layers);
    if (first >= layers)
        h->window = 0;
    return first == 0 || first >= layers ||
           error_set(c->error, "config.json: %s is missing; expected it, since not all of %zu layers have a "
                               "window without it", name, h->layers);
}

/* A window of all layers, or of those that the architecture says. */
static bool read_window(const struct config *c, const struct arch *a, struct hyper *h)
{
    bool used;
    const char *name;
    if (!read_flag(c, "use_sliding_window", !a->window_asked, &used) ||
        !read_size(c, c->json, "sliding_window", NULL, SIZE_MAX, MAX_POSITIONS, &h->window))
        return false;
    if (h->window == SIZE_MAX || !used)
        h->window = 0;
    if (h->window && a->window_asked && !read_first_window(c, h))
        return false;
    const json_t *types = find(c->json, "layer_types", NULL, &name);
    return !types || check_layer_types(c, h, types);
}

static bool check_activation(const struct config *c, const struct arch *a)
{
    static const char *const names[][3] = {
        [ACTIVATION_SILU] = {"silu", "swish", "silu"},
        [ACTIVATION_GELU_TANH] = {"gelu_pytorch_tanh", "gelu_new", "gelu_fast"},
        [ACTIVATION_GELU] = {"gelu", "gelu", "gelu"},
    };
    const char *name;
    const json_t *value = find(c->json, "hidden_activation", "hidden_act", &name);
    value = value ? value : find(c->json, "activation_function", NULL, &name);
    const char *text = json_string_value(value);
    if (!value || (text && a->hf_gelu_is_tanh && strcmp(text, "gelu") == 0))
        return true;
    for (size_t i = 0; text && i < 3; i++)
        if (strcmp(text, names[a->activation][i]) == 0)
            return true;
    return error_set(c->error, "config.json: %s = '%.40s'; expected %s for %s", name,
                     text ? text : json_text_kind(value), names[a->activation][0], a->name);
}

/* ---- rotary scaling -------------------------------------------------------------------------- */

static bool read_short_factors(struct model *m, const struct config *c, const json_t *rope)
{
    const json_t *list = json_object_get(rope, "short_factor");
    size_t n = json_array_size(list), original, trained = m->hyper.trained_context;
    float *factors = malloc((n + 1) * sizeof *factors), magnitude;
    if (!factors)
        return error_set(c->error, "not enough memory");
    for (size_t i = 0; i < n; i++)
        factors[i] = (float)json_number_value(json_array_get(list, i)); /* 0 where it is none */
    bool ok = read_size(c, c->json, "original_max_position_embeddings", NULL, trained, MAX_POSITIONS,
                        &original) &&
              read_size(c, rope, "original_max_position_embeddings", NULL, original, MAX_POSITIONS,
                        &original);
    double extension = ok ? (double)trained / (double)original : 1;
    float by_length = extension > 1 ? (float)sqrt(1 + log(extension) / log((double)original)) : 1;
    ok = ok && read_number(c, rope, "attention_factor", by_length, 0, max_cap, &magnitude) &&
         rope_short(m, factors, n, "config.json: short_factor", original, magnitude, c->error);
    free(factors);
    return ok;
}

static bool scale_rope(struct model *m, const struct config *c)
{
    const char *name, *field;
    const json_t *rope = rope_object(c, &name);
    const json_t *said = rope ? find(rope, "rope_type", "type", &field) : NULL;
    const char *type = json_string_value(said);
    if (rope && !type && (said || json_object_get(rope, "factor")))
        return error_set(c->error, "config.json: %s: rope_type is %s; expected a string", name,
                         json_text_kind(said));
    if (!type || strcmp(type, "default") == 0)
        return true;
    struct rope_scale scale = {.type = SCALING_LINEAR};
    if (strcmp(type, "longrope") == 0 || strcmp(type, "su") == 0)
        return read_short_factors(m, c, rope);
    if (strcmp(type, "llama3") == 0)
        scale.type = SCALING_LLAMA3;
    else if (strcmp(type, "linear") != 0)
        return error_set(c->error, "config.json: %s of type '%.40s'; expected default, linear, llama3 or "
                                   "longrope", name, type);
    return read_number(c, rope, "factor", 0, 0, max_cap, &scale.factor) &&
           read_number(c, rope, "low_freq_factor", 1, 0, max_cap, &scale.low) &&
           read_number(c, rope, "high_freq_factor", 4, 0, max_cap, &scale.high) &&
           read_size(c, rope, "original_max_position_embeddings", NULL, 8192, MAX_POSITIONS,
                     &scale.original) &&
           rope_scale(m, &scale, c->error);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static const struct arch *read_config(struct model *m, const struct config *c)
{
    const char *type = json_string_value(json_object_get(c->json, "model_type"));
    if (!type) {
        error_set(c->error, "config.json: model_type is missing or not a string");
        return NULL;
    }
    const struct arch *a = arch_by_hf(type, c->error);
    struct hyper *h = &m->hyper;
    if (!a || !read_shape(c, a, h) || !read_numbers(c, a, h))
        return NULL;
    arch_apply(a, false, h);
    if (!hyper_check(h, "config.json", c->error) || !read_window(c, a, h) ||
        !check_activation(c, a) || !scale_rope(m, c) ||
        !read_flag(c, "tie_word_embeddings", a->tied_default, &m->tied))
        return NULL;
    return a;
}

const struct arch *hf_config_parse(struct model *m, const uint8_t *data, size_t size,
                                   struct error *error)
{
    json_t *json = json_text_parse(data, size, DEPTH, "config.json", error);
    const struct arch *a = json ? read_config(m, &(struct config){json, error}) : NULL;
    json_decref(json);
    return a;
}

const struct arch *hf_config_read(struct model *m, const char *path, struct error *error)
{
    struct mapped_file file;
    if (!mapped_file_open(&file, path, error))
        return NULL;
    const struct arch *a = hf_config_parse(m, file.data, file.size, error);
    mapped_file_close(&file);
    return a;
}

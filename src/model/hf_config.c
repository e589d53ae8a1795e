#include "hf_config.h"

#include "jsontext.h"

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

/* A size from 1 on; `otherwise` 0: it must be there. */
static bool read_size(const struct config *c, const json_t *object, const char *key,
                      const char *other, size_t otherwise, size_t *out)
{
    const char *name;
    const json_t *value = find(object, key, other, &name);
    *out = otherwise;
    if (!value)
        return otherwise > 0 || error_set(c->error, "config.json: %s is missing", key);
    if (!json_is_integer(value))
        return error_set(c->error, "config.json: %s is %s; expected an integer", name,
                         json_text_kind(value));
    json_int_t n = json_integer_value(value);
    if (n < 1 || n > 1 << 28)
        return error_set(c->error, "config.json: %s = %lld; expected 1 to %d", name, (long long)n,
                         1 << 28);
    *out = (size_t)n;
    return true;
}

static bool read_number(const struct config *c, const json_t *object, const char *key,
                        const char *other, float otherwise, float *out)
{
    const char *name;
    const json_t *value = find(object, key, other, &name);
    *out = otherwise;
    if (!value)
        return true;
    if (!json_is_number(value))
        return error_set(c->error, "config.json: %s is %s; expected a number", name,
                         json_text_kind(value));
    double n = json_number_value(value);
    if (!(fabs(n) <= 1e30))
        return error_set(c->error, "config.json: %s = %g; expected a number", name, n);
    *out = (float)n;
    return true;
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

static const json_t *rope_object(const struct config *c)
{
    const char *name;
    const json_t *rope = find(c->json, "rope_parameters", "rope_scaling", &name);
    return json_is_object(rope) ? rope : NULL;
}

static bool read_shape(const struct config *c, const struct arch *a, struct hyper *h)
{
    bool gpt2 = a->transposed;
    if (!read_size(c, c->json, "hidden_size", "n_embd", 0, &h->dim) ||
        !read_size(c, c->json, "num_hidden_layers", "n_layer", 0, &h->layers) ||
        !read_size(c, c->json, "num_attention_heads", "n_head", 0, &h->heads) ||
        !read_size(c, c->json, "intermediate_size", "n_inner", gpt2 ? 4 * h->dim : 0, &h->hidden) ||
        !read_size(c, c->json, "num_key_value_heads", NULL, h->heads, &h->kv_heads) ||
        !read_size(c, c->json, "vocab_size", NULL, 0, &h->vocab) ||
        !read_size(c, c->json, "max_position_embeddings", "n_positions", 0, &h->trained_context))
        return false;
    const char *name;
    if (!find(c->json, "head_dim", NULL, &name) && h->dim % h->heads != 0)
        return error_set(c->error, "config.json: num_attention_heads = %zu does not divide "
                                   "hidden_size = %zu", h->heads, h->dim);
    return read_size(c, c->json, "head_dim", NULL, h->dim / h->heads, &h->head_size);
}

/* What attention and norms are told; the names of a key changed over the years. */
static bool read_numbers(const struct config *c, const struct arch *a, struct hyper *h)
{
    const json_t *rope = rope_object(c);
    const char *epsilon = a->norm == NORM_LAYER ? "layer_norm_epsilon" : "rms_norm_eps";
    float scalar, partial;
    if (!read_number(c, c->json, epsilon, NULL, a->norm == NORM_LAYER ? 1e-5f : 1e-6f, &h->norm_eps) ||
        !read_number(c, c->json, "rope_theta", NULL, 10000, &h->rope_base) ||
        (rope && !read_number(c, rope, "rope_theta", NULL, h->rope_base, &h->rope_base)) ||
        !read_number(c, c->json, "attn_logit_softcapping", NULL, 0, &h->attention_cap) ||
        !read_number(c, c->json, "final_logit_softcapping", NULL, 0, &h->logit_cap) ||
        !read_number(c, c->json, "query_pre_attn_scalar", NULL, 0, &scalar) ||
        !read_number(c, c->json, "partial_rotary_factor", NULL, 1, &partial))
        return false;
    if (scalar > 0)
        h->attention_scale = 1 / sqrtf(scalar);
    if (!(partial > 0 && partial <= 1))
        return error_set(c->error, "config.json: partial_rotary_factor = %g; expected more than 0, "
                                   "at most 1", (double)partial);
    h->rope_dims = (size_t)((float)h->head_size * partial);
    return true;
}

/* A window of all layers, or of those that the architecture says. Qwen's first max_window_layers have none:
 * where that is not all of them, layers would differ in a way that no model has used. */
static bool read_window(const struct config *c, const struct arch *a, struct hyper *h)
{
    bool used;
    size_t first;
    if (!read_flag(c, "use_sliding_window", !a->window_asked, &used) ||
        !read_size(c, c->json, "sliding_window", NULL, SIZE_MAX, &h->window))
        return false;
    if (h->window == SIZE_MAX || !used)
        h->window = 0;
    if (h->window && a->window_asked) {
        if (!read_size(c, c->json, "max_window_layers", NULL, SIZE_MAX, &first))
            return false;
        if (first < h->layers)
            return error_set(c->error, "config.json: max_window_layers = %zu: windows in some of %zu "
                                       "layers are not supported", first, h->layers);
        h->window = 0;
    }
    const json_t *types = json_object_get(c->json, "layer_types");
    if (!h->window || !json_is_array(types))
        return true;
    for (size_t i = 0; i < json_array_size(types) && i < h->layers; i++) {
        const char *type = json_string_value(json_array_get(types, i));
        bool slides = type && strcmp(type, "sliding_attention") == 0;
        if (slides != (hyper_window(h, i) > 0))
            return error_set(c->error, "config.json: layer_types[%zu] = %s; expected %s", i,
                             type ? type : "no string",
                             slides ? "full_attention" : "sliding_attention");
    }
    return true;
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
    /* Gemma's first files say "gelu" and mean its approximation. */
    if (!value || (text && a->norms_from_one && strcmp(text, "gelu") == 0))
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
    bool ok = read_size(c, c->json, "original_max_position_embeddings", NULL, trained, &original) &&
              read_size(c, rope, "original_max_position_embeddings", NULL, original, &original);
    double stretch = ok ? (double)trained / (double)original : 1;
    float usual = stretch > 1 ? (float)sqrt(1 + log(stretch) / log((double)original)) : 1;
    ok = ok && read_number(c, rope, "attention_factor", NULL, usual, &magnitude) &&
         rope_short(m, factors, n, original, magnitude, c->error);
    free(factors);
    return ok;
}

static bool scale_rope(struct model *m, const struct config *c)
{
    const json_t *rope = rope_object(c);
    const char *name, *type = json_string_value(rope ? find(rope, "rope_type", "type", &name) : NULL);
    if (!type || strcmp(type, "default") == 0)
        return true;
    struct rope_scale scale = {.type = SCALING_LINEAR};
    if (strcmp(type, "longrope") == 0 || strcmp(type, "su") == 0)
        return read_short_factors(m, c, rope);
    if (strcmp(type, "llama3") == 0)
        scale.type = SCALING_LLAMA3;
    else if (strcmp(type, "linear") != 0)
        return error_set(c->error, "config.json: rope_scaling of type '%.40s'; expected default, "
                                   "linear, llama3 or longrope", type);
    return read_number(c, rope, "factor", NULL, 0, &scale.factor) &&
           read_number(c, rope, "low_freq_factor", NULL, 1, &scale.low) &&
           read_number(c, rope, "high_freq_factor", NULL, 4, &scale.high) &&
           read_size(c, rope, "original_max_position_embeddings", NULL, 8192, &scale.original) &&
           rope_scale(m, &scale, c->error);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static const struct arch *read_config(struct model *m, const struct config *c)
{
    const char *type = json_string_value(json_object_get(c->json, "model_type"));
    if (!type) {
        error_set(c->error, "config.json: model_type is missing, or no string");
        return NULL;
    }
    const struct arch *a = arch_by_hf(type, c->error);
    struct hyper *h = &m->hyper;
    if (!a || !read_shape(c, a, h) || !read_numbers(c, a, h))
        return NULL;
    arch_apply(a, false, h);
    if (!hyper_check(h, "config.json", c->error) || !read_window(c, a, h) ||
        !check_activation(c, a) || !scale_rope(m, c) ||
        !read_flag(c, "tie_word_embeddings", a->scaled_embedding || a->transposed, &m->tied))
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

#include "hf_rope.h"

#include "base/words.h"
#include "formats/jsontext.h"
#include "rope.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- where ----------------------------------------------------------------------------------- */

/* Whether layers are of kinds: else parts for each are not looked at, in transformers. */
static bool has_kinds(const struct hf_config *c)
{
    bool said = c->arch->hf_window == HF_WINDOW_ASKED || c->arch->window_period > 0;
    for (size_t i = 0; i < c->top.count; i++)
        said |= json_is_array(json_object_get(c->top.at[i].object, "layer_types"));
    return said;
}

/* The part of a place for a kind of layer; null where there is none. */
static bool part_of(const struct hf_config *c, const struct hf_place *place, const char *kind, const json_t **part)
{
    *part = json_object_get(place->object, kind);
    if (json_is_null(*part))
        *part = NULL;
    return !*part || json_is_object(*part) ||
           error_set(c->error, "config.json: %s%s is %s; expected an object", place->before, kind,
                     json_text_kind(*part));
}

/* Replaces a place whose keys are kinds of layers by its part for one kind: that of layers without a window, where those
 * with one have their own; else all parts must be the same. */
static bool unfold(struct hf_config *c, struct hf_place *place)
{
    static const char *const kinds[] = {"full_attention", "sliding_attention", "chunked_attention"};
    enum { WINDOWED = 1 };
    const json_t *part = NULL, *windowed = NULL;
    const char *first = NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const json_t *next;
        if (!part_of(c, place, kinds[i], &next))
            return false;
        if (!next)
            continue;
        if (c->arch->window_rope && i == WINDOWED) {
            windowed = next;
            continue;
        }
        if (part && !json_equal(part, next))
            return error_set(c->error, "config.json: %s%s differs from %s%s; expected one kind of rotary embedding "
                                       "for all layers", place->before, kinds[i], place->before, first);
        part = next;
        first = kinds[i];
    }
    if (part && !has_kinds(c))
        return error_set(c->error, "config.json: %s%s is there, but no layer_types; expected one object for all layers",
                         place->before, first);
    if (windowed)
        c->window_rope.at[c->window_rope.count++] = (struct hf_place){windowed, place->before};
    if (part)
        place->object = part;
    return true;
}

bool hf_rope_places(struct hf_config *c)
{
    static const char *const keys[][2] = {{"rope_parameters", "rope_parameters."}, {"rope_scaling", "rope_scaling."}};
    for (size_t i = 0; i < c->top.count; i++)
        for (size_t k = 0; k < 2; k++)
            if (!hf_add_place(c, &c->rope, c->top.at[i].object, keys[k][0], keys[k][1]))
                return false;
    for (size_t i = 0; i < c->rope.count; i++)
        if (!unfold(c, &c->rope.at[i]))
            return false;
    c->both = c->rope;
    for (size_t i = 0; i < c->top.count; i++)
        c->both.at[c->both.count++] = c->top.at[i];
    return true;
}

/* ---- base and dimensions --------------------------------------------------------------------- */

/* A number under the architecture's own name, at the top, or under the usual one. */
static bool read_named(const struct hf_config *c, const char *own, const char *usual, float otherwise, float min,
                       float max, float *out)
{
    *out = otherwise;
    return (!own || hf_number(c, &c->top, own, otherwise, min, max, out)) &&
           hf_number(c, &c->both, usual, *out, min, max, out);
}

/* An even number of rotary dimensions, above 0. */
static bool read_dims(const struct hf_config *c, const char *own, struct hyper *h)
{
    struct hf_value type;
    if (!hf_find(c, &c->rope, "rope_type", "type", &type))
        return false;
    if (json_is_string(type.json) && strcmp(json_string_value(type.json), "proportional") == 0) {
        h->rope_dims = 0; /* scale_proportional */
        return true;
    }
    float by_default = c->arch->defaults.partial_rotary, partial;
    if (!read_named(c, own, "partial_rotary_factor", by_default > 0 ? by_default : 1, 0, 1, &partial))
        return false;
    if (partial < 1 && !c->arch->hf_partial_rope)
        return error_set(c->error, "config.json: partial_rotary_factor = %g; expected 1: in %s all of a head is rotary",
                         (double)partial, c->arch->name);
    h->rope_dims = (size_t)((float)h->head_size * partial);
    if (c->arch->hf_rope == ROPE_NONE || (h->rope_dims > 0 && h->rope_dims % 2 == 0))
        return true;
    if (partial < 1)
        return error_set(c->error, "config.json: partial_rotary_factor = %g makes %zu dimensions of a head of %zu "
                                   "rotary; expected an even number above 0", (double)partial, h->rope_dims,
                         h->head_size);
    return error_set(c->error, "config.json: head_dim = %zu; expected an even number", h->head_size);
}

bool hf_rope_read(const struct hf_config *c, struct hyper *h)
{
    static const struct hf_names usual = {0};
    const struct hf_names *names = c->arch->hf_sizes ? c->arch->hf_sizes : &usual;
    float base = c->arch->defaults.rope_base;
    return read_named(c, names->rope_base, "rope_theta", base > 0 ? base : 10000, min_rope_base, max_rope_base,
                      &h->rope_base) &&
           read_dims(c, names->rotary, h);
}

/* ---- scaling --------------------------------------------------------------------------------- */

/* The positions of the original training, which stand at the top in some files. Of an architecture that has a default
 * for them there, that one counts for a file which has them below only. */
static bool read_original(const struct hf_config *c, size_t *original)
{
    size_t trained = c->model->hyper.trained_context, by_default = c->arch->defaults.original_context, top;
    const struct hf_size_key key = {"original_max_position_embeddings", NULL, by_default ? by_default : trained,
                                    by_default ? by_default : trained, MAX_POSITIONS};
    if (!hf_size(c, &c->both, &key, original) || !hf_size(c, &c->top, &key, &top))
        return false;
    return !by_default || top == *original ||
           error_set(c->error, "config.json: original_max_position_embeddings = %zu in its rope_scaling only; "
                               "expected it beside max_position_embeddings too, where %s has %zu otherwise", *original,
                     c->arch->name, by_default);
}

/* What LongRoPE (Ding et al. 2024) multiplies cosines and sines by, unless the file says it. */
static float longrope_magnitude(float factor, size_t original)
{
    return factor > 1 && original > 1 ? (float)sqrt(1 + log((double)factor) / log((double)original)) : 1;
}

/* A list of factors; the caller frees. */
static bool read_factors(const struct hf_config *c, const char *key, float **factors, size_t *count)
{
    struct hf_value list;
    if (!hf_find(c, &c->rope, key, NULL, &list))
        return false;
    *count = json_array_size(list.json);
    *factors = malloc((*count + 1) * sizeof **factors);
    for (size_t i = 0; *factors && i < *count; i++)
        (*factors)[i] = (float)json_number_value(json_array_get(list.json, i)); /* 0 where it is none */
    return *factors || error_set(c->error, "not enough memory");
}

/* Phi-3.5-MoE says two magnitudes, of short contexts and of long ones. */
static bool read_magnitudes(const struct hf_config *c, float *magnitude)
{
    float beyond;
    if (!c->arch->hf_reads || !words_have(c->arch->hf_reads, "short_mscale"))
        return true;
    if (!hf_number(c, &c->rope, "short_mscale", *magnitude, 0, max_cap, magnitude) ||
        !hf_number(c, &c->rope, "long_mscale", *magnitude, 0, max_cap, &beyond))
        return false;
    return !(beyond < *magnitude || beyond > *magnitude) ||
           error_set(c->error, "config.json: long_mscale = %g, but short_mscale = %g; expected one value",
                     (double)beyond, (double)*magnitude);
}

static bool scale_longrope(const struct hf_config *c)
{
    struct longrope r = {.what = "config.json: short_factor", .what_beyond = "config.json: long_factor"};
    if (!read_original(c, &r.original))
        return false;
    float factor, extension = (float)((double)c->model->hyper.trained_context / (double)r.original);
    if (!hf_number(c, &c->rope, "factor", extension, 0, max_cap, &factor) ||
        !hf_number(c, &c->rope, "attention_factor", longrope_magnitude(factor, r.original), 0, max_cap, &r.magnitude) ||
        !read_magnitudes(c, &r.magnitude))
        return false;
    float *below = NULL, *beyond = NULL;
    bool ok = read_factors(c, "short_factor", &below, &r.count) &&
              read_factors(c, "long_factor", &beyond, &r.beyond_count);
    r.factors = below;
    r.beyond = beyond;
    ok = ok && rope_long(c->model, &r, c->error);
    free(below);
    free(beyond);
    return ok;
}

/* A number; 0 and null mean that it is missing. */
static bool read_unless_zero(const struct hf_config *c, const char *key, float otherwise, float *out)
{
    if (!hf_number(c, &c->rope, key, otherwise, 0, max_cap, out))
        return false;
    if (*out == 0)
        *out = otherwise;
    return true;
}

/* Two numbers say together by how much cosines and sines are multiplied, or none does. */
static bool read_yarn_magnitude(const struct hf_config *c, float factor, float *magnitude)
{
    float mscale, all_dim;
    if (!hf_number(c, &c->rope, "mscale", 0, 0, max_cap, &mscale) ||
        !hf_number(c, &c->rope, "mscale_all_dim", 0, 0, max_cap, &all_dim))
        return false;
    float usual = mscale > 0 && all_dim > 0 ? yarn_magnitude(factor, mscale) / yarn_magnitude(factor, all_dim)
                                            : yarn_magnitude(factor, 1);
    return hf_number(c, &c->rope, "attention_factor", usual, 0, max_cap, magnitude);
}

static bool read_truncate(const struct hf_config *c, bool *truncate)
{
    struct hf_value value;
    if (!hf_find(c, &c->rope, "truncate", NULL, &value))
        return false;
    *truncate = !value.json || json_is_true(value.json);
    return !value.json || json_is_boolean(value.json) ||
           error_set(c->error, "config.json: %s is %s; expected true or false", value.name, json_text_kind(value.json));
}

static bool scale_yarn(const struct hf_config *c)
{
    struct yarn y;
    struct hf_value factor;
    size_t original;
    float magnitude;
    bool truncate;
    if (!hf_find(c, &c->rope, "factor", NULL, &factor) || !read_original(c, &original))
        return false;
    if (!factor.json && !factor.is_null)
        return error_set(c->error, "config.json: factor of yarn is missing in its rope_scaling");
    float extension = (float)((double)c->model->hyper.trained_context / (double)original);
    if (!hf_number(c, &c->rope, "factor", extension, 0, max_cap, &y.factor) ||
        !read_unless_zero(c, "beta_fast", 32, &y.fast) || !read_unless_zero(c, "beta_slow", 1, &y.slow) ||
        !read_truncate(c, &truncate) || !read_yarn_magnitude(c, y.factor, &magnitude))
        return false;
    y.exact = !truncate;
    return rope_yarn(c->model, &y, original, magnitude, c->error);
}

/* Hunyuan's models say by what the base grows for a head of endless size ("NTK-aware alpha"), which changes nothing from
 * context to context. */
static bool scale_base(const struct hf_config *c, bool *done)
{
    struct hyper *h = &c->model->hyper;
    float alpha, dims = (float)h->head_size;
    *done = false;
    if (!c->arch->hf_reads || !words_have(c->arch->hf_reads, "alpha"))
        return true;
    if (!hf_number(c, &c->rope, "alpha", 0, 0, max_cap, &alpha))
        return false;
    *done = alpha > 0;
    if (*done)
        h->rope_base *= powf(alpha, dims / (dims - 2));
    return (h->head_size > 2 && h->rope_base >= min_rope_base && h->rope_base <= max_rope_base) ||
           error_set(c->error, "config.json: alpha = %g makes the rotary base %g; expected %g to %g", (double)alpha,
                     (double)h->rope_base, (double)min_rope_base, (double)max_rope_base);
}

static bool scale_dynamic(const struct hf_config *c)
{
    float factor;
    bool done;
    if (!scale_base(c, &done))
        return false;
    if (done)
        return true;
    return hf_number(c, &c->rope, "factor", 0, 0, max_cap, &factor) && rope_dynamic(c->model, factor, c->error);
}

static bool scale_linear(const struct hf_config *c)
{
    struct rope_scale scale = {.type = SCALING_LINEAR};
    return hf_number(c, &c->rope, "factor", 0, 0, max_cap, &scale.factor) && rope_scale(c->model, &scale, c->error);
}

static bool scale_llama3(const struct hf_config *c)
{
    struct rope_scale scale = {.type = SCALING_LLAMA3};
    return hf_number(c, &c->rope, "factor", 0, 0, max_cap, &scale.factor) &&
           hf_number(c, &c->rope, "low_freq_factor", 1, 0, max_cap, &scale.low) &&
           hf_number(c, &c->rope, "high_freq_factor", 4, 0, max_cap, &scale.high) &&
           read_original(c, &scale.original) && rope_scale(c->model, &scale, c->error);
}

static bool scale_proportional(const struct hf_config *c)
{
    float part, factor;
    return hf_number(c, &c->both, "partial_rotary_factor", 1, 0, 1, &part) &&
           hf_number(c, &c->rope, "factor", 1, min_cap, max_cap, &factor) &&
           rope_proportional(c->model, part, factor, c->error);
}

static bool scale_nothing(const struct hf_config *c)
{
    (void)c;
    return true;
}

static const struct {
    const char *name;
    bool (*scale)(const struct hf_config *);
} types[] = {{"default", scale_nothing}, {"linear", scale_linear}, {"llama3", scale_llama3},
             {"longrope", scale_longrope}, {"su", scale_longrope}, {"yarn", scale_yarn}, {"dynamic", scale_dynamic},
             {"proportional", scale_proportional}};

/* The rotary embedding of layers with a window is never scaled, and all of a head turns. */
static bool check_windowed(const struct hf_config *c)
{
    struct hf_value type, partial;
    if (!hf_find(c, &c->window_rope, "rope_type", "type", &type) ||
        !hf_find(c, &c->window_rope, "partial_rotary_factor", NULL, &partial))
        return false;
    const char *said = json_string_value(type.json);
    if (type.json && (!said || strcmp(said, "default") != 0))
        return error_set(c->error, "config.json: rope_parameters.sliding_attention of type '%.40s'; expected default",
                         said ? said : json_text_kind(type.json));
    return !partial.json || (json_is_number(partial.json) && json_number_value(partial.json) >= 1) ||
           error_set(c->error, "config.json: partial_rotary_factor of rope_parameters.sliding_attention is not 1; "
                               "expected all of a head to be rotary");
}

bool hf_rope_scale(const struct hf_config *c)
{
    struct hf_value said, factor;
    if (!check_windowed(c) || !hf_find(c, &c->rope, "rope_type", "type", &said) || !hf_find(c, &c->rope, "factor", NULL, &factor))
        return false;
    const char *type = json_string_value(said.json);
    if (!type && (said.json || factor.json))
        return error_set(c->error, "config.json: %s: rope_type is %s; expected a string",
                         json_object_get(c->top.at[0].object, "rope_parameters") ? "rope_parameters" : "rope_scaling",
                         json_text_kind(said.json));
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!type || strcmp(type, types[i].name) == 0)
            return types[i].scale(c);
    return error_set(c->error, "config.json: %.*s of type '%.40s'; expected default, linear, llama3, longrope, yarn or dynamic",
                     (int)strcspn(said.name, "."), said.name, type);
}

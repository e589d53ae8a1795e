#include "hf_rope.h"

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
    const json_t *part = NULL, *windowed = NULL;
    const char *first = NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const json_t *next;
        if (!part_of(c, place, kinds[i], &next))
            return false;
        if (!next)
            continue;
        if (part && c->arch->window_rope) {
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

/* An even number of rotary dimensions, above 0. */
static bool read_dims(const struct hf_config *c, struct hyper *h)
{
    float partial, by_default = c->arch->defaults.partial_rotary;
    if (!hf_number(c, &c->both, "partial_rotary_factor", by_default > 0 ? by_default : 1, 0, 1, &partial))
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
    float base = c->arch->defaults.rope_base;
    return hf_number(c, &c->both, "rope_theta", base > 0 ? base : 10000, min_rope_base, max_rope_base, &h->rope_base) &&
           read_dims(c, h);
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

static bool scale_longrope(const struct hf_config *c)
{
    struct hf_value list;
    size_t original;
    float factor, magnitude;
    if (!hf_find(c, &c->rope, "short_factor", NULL, &list) || !read_original(c, &original))
        return false;
    float extension = (float)((double)c->model->hyper.trained_context / (double)original);
    if (!hf_number(c, &c->rope, "factor", extension, 0, max_cap, &factor) ||
        !hf_number(c, &c->rope, "attention_factor", longrope_magnitude(factor, original), 0, max_cap, &magnitude))
        return false;
    size_t n = json_array_size(list.json);
    float *factors = malloc((n + 1) * sizeof *factors);
    if (!factors)
        return error_set(c->error, "not enough memory");
    for (size_t i = 0; i < n; i++)
        factors[i] = (float)json_number_value(json_array_get(list.json, i)); /* 0 where it is none */
    bool ok = rope_short(c->model, factors, n, "config.json: short_factor", original, magnitude, c->error);
    free(factors);
    return ok;
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

static bool scale_nothing(const struct hf_config *c)
{
    (void)c;
    return true;
}

static const struct {
    const char *name;
    bool (*scale)(const struct hf_config *);
} types[] = {{"default", scale_nothing}, {"linear", scale_linear}, {"llama3", scale_llama3},
             {"longrope", scale_longrope}, {"su", scale_longrope}};

bool hf_rope_scale(const struct hf_config *c)
{
    struct hf_value said, factor;
    if (!hf_find(c, &c->rope, "rope_type", "type", &said) || !hf_find(c, &c->rope, "factor", NULL, &factor))
        return false;
    const char *type = json_string_value(said.json);
    if (!type && (said.json || factor.json))
        return error_set(c->error, "config.json: %s: rope_type is %s; expected a string",
                         json_object_get(c->top.at[0].object, "rope_parameters") ? "rope_parameters" : "rope_scaling",
                         json_text_kind(said.json));
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!type || strcmp(type, types[i].name) == 0)
            return types[i].scale(c);
    return error_set(c->error, "config.json: %.*s of type '%.40s'; expected default, linear, llama3 or longrope",
                     (int)strcspn(said.name, "."), said.name, type);
}

#include "hf_values.h"

#include "formats/jsontext.h"

#include <stdlib.h>
#include <string.h>

bool hf_add_place(const struct hf_config *c, struct hf_places *places, const json_t *object, const char *key,
                  const char *before)
{
    const json_t *value = json_object_get(object, key);
    if (!value || json_is_null(value))
        return true;
    if (!json_is_object(value))
        return error_set(c->error, "config.json: %s is %s; expected an object", key, json_text_kind(value));
    if (places->count < sizeof places->at / sizeof *places->at)
        places->at[places->count++] = (struct hf_place){value, before};
    return true;
}

const char *hf_show(const json_t *value, char out[64])
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
    size_t n = text ? strlen(text) : 0;
    snprintf(out, 64, "%.*s%s", n > 56 ? 56 : (int)n, text ? text : "", n > 56 ? "..." : "");
    free(text);
    return out;
}

/* ---- finding --------------------------------------------------------------------------------- */

static bool same(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b))
        return !(json_number_value(a) < json_number_value(b)) && !(json_number_value(a) > json_number_value(b));
    return json_equal(a, b);
}

/* Takes a place's value, or compares it with the one that was found before. */
static bool see(const struct hf_config *c, const struct hf_place *place, const char *key, struct hf_value *value)
{
    char first[64], second[64];
    const json_t *found = json_object_get(place->object, key);
    value->is_null |= json_is_null(found);
    if (!found || json_is_null(found))
        return true;
    if (value->json)
        return same(value->json, found) ||
               error_set(c->error, "config.json: %s = %s, but %s%s = %s; expected one value", value->name,
                         hf_show(value->json, first), place->before, key, hf_show(found, second));
    value->json = found;
    snprintf(value->name, sizeof value->name, "%s%s", place->before, key);
    return true;
}

bool hf_find(const struct hf_config *c, const struct hf_places *places, const char *key, const char *other,
             struct hf_value *value)
{
    *value = (struct hf_value){0};
    for (size_t i = 0; i < places->count; i++)
        if (!see(c, &places->at[i], key, value) || (other && !see(c, &places->at[i], other, value)))
            return false;
    if (!value->json)
        snprintf(value->name, sizeof value->name, "%s%s%s", key, other ? " or " : "", other ? other : "");
    return true;
}

/* ---- sizes ----------------------------------------------------------------------------------- */

bool hf_one_of_list(const struct hf_config *c, struct hf_value *value)
{
    const json_t *first = json_array_get(value->json, 0);
    for (size_t i = 1; i < json_array_size(value->json); i++)
        if (!same(first, json_array_get(value->json, i)))
            return error_set(c->error, "config.json: %s is a list of values that differ from layer to layer; expected "
                                       "one for all", value->name);
    if (first)
        value->json = first;
    return true;
}

static bool take_size(const struct hf_config *c, const struct hf_size_key *k, struct hf_value *value, size_t *out)
{
    if (!hf_one_of_list(c, value))
        return false;
    if (!json_is_integer(value->json))
        return error_set(c->error, "config.json: %s is %s; expected an integer", value->name,
                         json_text_kind(value->json));
    json_int_t n = json_integer_value(value->json);
    if (n < 1 || n > (json_int_t)k->max)
        return error_set(c->error, "config.json: %s = %lld; expected 1 to %zu", value->name, (long long)n, k->max);
    *out = (size_t)n;
    return true;
}

bool hf_size(const struct hf_config *c, const struct hf_places *places, const struct hf_size_key *k, size_t *out)
{
    struct hf_value value;
    if (!hf_find(c, places, k->key, k->other, &value))
        return false;
    if (value.json)
        return take_size(c, k, &value, out);
    *out = value.is_null ? k->null : k->absent;
    return *out > 0 || error_set(c->error, "config.json: %s is missing", value.name);
}

bool hf_count(const struct hf_config *c, const char *key, const char *other, size_t otherwise, size_t max, size_t *out)
{
    struct hf_value value;
    *out = otherwise;
    if (!key)
        return true;
    if (!hf_find(c, &c->top, key, other, &value))
        return false;
    if (!value.json)
        return true;
    if (!hf_one_of_list(c, &value))
        return false;
    json_int_t n = json_integer_value(value.json);
    *out = (size_t)n;
    return (json_is_integer(value.json) && n >= 0 && n <= (json_int_t)max) ||
           error_set(c->error, "config.json: %s = %lld (%s); expected 0 to %zu", value.name, (long long)n,
                     json_text_kind(value.json), max);
}

/* ---- other values ---------------------------------------------------------------------------- */

bool hf_number(const struct hf_config *c, const struct hf_places *places, const char *key, float otherwise,
               float min, float max, float *out)
{
    struct hf_value value;
    *out = otherwise;
    if (!hf_find(c, places, key, NULL, &value))
        return false;
    if (!value.json)
        return true;
    if (!json_is_number(value.json))
        return error_set(c->error, "config.json: %s is %s; expected a number", value.name,
                         json_text_kind(value.json));
    double n = json_number_value(value.json);
    *out = (float)n;
    return (n >= (double)min && n <= (double)max) ||
           error_set(c->error, "config.json: %s = %g; expected %g to %g", value.name, n, (double)min, (double)max);
}

bool hf_flag(const struct hf_config *c, const char *key, bool otherwise, bool *out)
{
    struct hf_value value;
    if (!hf_find(c, &c->top, key, NULL, &value))
        return false;
    *out = value.json ? json_is_true(value.json) : otherwise;
    return !value.json || json_is_boolean(value.json) ||
           error_set(c->error, "config.json: %s is %s; expected true or false", key, json_text_kind(value.json));
}

/* Metadata by key. Every error names the key, what the file has and what was expected. */
#include "gguf_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int gguf_text_compare(const struct gguf_text *a, const struct gguf_text *b)
{
    size_t common = a->size < b->size ? a->size : b->size;
    int order = common ? memcmp(a->data, b->data, common) : 0;
    return order ? order : (a->size > b->size) - (a->size < b->size);
}

static int key_order(const void *key, const void *pair)
{
    return gguf_text_compare(key, &((const struct gguf_pair *)pair)->key);
}

const struct gguf_pair *gguf_find(const struct gguf *g, const char *key)
{
    struct gguf_text wanted = {key, strlen(key)};
    return g->pair_count ? bsearch(&wanted, g->pairs, g->pair_count, sizeof *g->pairs, key_order)
                         : NULL;
}

bool gguf_has(const struct gguf *g, const char *key)
{
    return gguf_find(g, key) != NULL;
}

static bool wrong_type(const struct gguf_pair *p, const char *expected, struct error *error)
{
    if (p->type == GGUF_ARRAY)
        return error_set(error, "GGUF key '%.*s' is an array of %s; expected %s", GGUF_SHOWN(p->key),
                         gguf_types[p->element].name, expected);
    return error_set(error, "GGUF key '%.*s' has type %s; expected %s", GGUF_SHOWN(p->key),
                     gguf_types[p->type].name, expected);
}

/* An array that holds one number again and again becomes that number. */
static struct gguf_pair uniform(const struct gguf_pair *p)
{
    struct gguf_pair one = *p;
    size_t bytes = p->type == GGUF_ARRAY && p->element != GGUF_STRING ? gguf_types[p->element].bytes : 0;
    if (bytes == 0 || p->count == 0)
        return one;
    for (size_t i = 1; i < p->count; i++)
        if (memcmp(p->data, p->data + i * bytes, bytes) != 0)
            return one;
    one.type = p->element;
    return one;
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* The bits of a number, zero above its width. */
static uint64_t raw_bits(const struct gguf_pair *p)
{
    uint64_t bits = 0;
    memcpy(&bits, p->data, gguf_types[p->type].bytes);
    return bits;
}

static bool is_negative(const struct gguf_pair *p, uint64_t bits)
{
    return gguf_types[p->type].is_signed && bits >> (8 * gguf_types[p->type].bytes - 1);
}

/* The magnitude of a negative number: two's complement in the type's own width. */
static uint64_t negated(const struct gguf_pair *p, uint64_t bits)
{
    uint64_t mask = UINT64_MAX >> (64 - 8 * gguf_types[p->type].bytes);
    return (0 - bits) & mask;
}

bool gguf_size(const struct gguf *g, const char *key, size_t min, size_t max, size_t otherwise,
               size_t *out, struct error *error)
{
    const struct gguf_pair *found = gguf_find(g, key);
    if (!found) {
        *out = otherwise;
        return true;
    }
    const struct gguf_pair one = uniform(found), *p = &one;
    if (!gguf_types[p->type].integer)
        return wrong_type(p, "an integer", error);
    uint64_t value = raw_bits(p);
    if (is_negative(p, value))
        return error_set(error, "GGUF key '%s' = -%" PRIu64 "; expected %zu to %zu", key,
                         negated(p, value), min, max);
    if (value < min || value > max)
        return error_set(error, "GGUF key '%s' = %" PRIu64 "; expected %zu to %zu", key, value, min,
                         max);
    *out = (size_t)value;
    return true;
}

bool gguf_float(const struct gguf *g, const char *key, float otherwise, float *out,
                struct error *error)
{
    const struct gguf_pair *found = gguf_find(g, key);
    if (!found) {
        *out = otherwise;
        return true;
    }
    const struct gguf_pair one = uniform(found), *p = &one;
    double value;
    float single;
    if (p->type == GGUF_FLOAT64) {
        memcpy(&value, p->data, sizeof value);
    } else if (p->type == GGUF_FLOAT32) {
        memcpy(&single, p->data, sizeof single);
        value = (double)single;
    } else {
        return wrong_type(p, "float32", error);
    }
    if (!(fabs(value) <= (double)dtypes[DTYPE_FP32].largest))
        return error_set(error, "GGUF key '%s' = %g; expected a finite float32", key, value);
    *out = (float)value;
    return true;
}

bool gguf_bool(const struct gguf *g, const char *key, bool otherwise, bool *out,
               struct error *error)
{
    const struct gguf_pair *p = gguf_find(g, key);
    if (!p) {
        *out = otherwise;
        return true;
    }
    if (p->type != GGUF_BOOL)
        return wrong_type(p, "bool", error);
    if (p->data[0] > 1)
        return error_set(error, "GGUF key '%s' = %d; expected 0 or 1, a bool", key, p->data[0]);
    *out = p->data[0];
    return true;
}

/* ---- strings and arrays ---------------------------------------------------------------------- */

bool gguf_string(const struct gguf *g, const char *key, struct gguf_text *out, struct error *error)
{
    const struct gguf_pair *p = gguf_find(g, key);
    if (p && p->type != GGUF_STRING)
        return wrong_type(p, "string", error);
    *out = p ? p->text : (struct gguf_text){0};
    return true;
}

bool gguf_array(const struct gguf *g, const char *key, enum gguf_type expected,
                struct gguf_array *out, struct error *error)
{
    const struct gguf_pair *p = gguf_find(g, key);
    if (!p) {
        *out = (struct gguf_array){.type = expected};
        return true;
    }
    if (p->type != GGUF_ARRAY)
        return error_set(error, "GGUF key '%s' has type %s; expected an array of %s", key,
                         gguf_types[p->type].name, gguf_types[expected].name);
    if (p->element != expected)
        return error_set(error, "GGUF key '%s' is an array of %s; expected one of %s", key,
                         gguf_types[p->element].name, gguf_types[expected].name);
    *out = (struct gguf_array){p->element, p->count, p->data, p->texts};
    return true;
}

static double double_of(const struct gguf_pair *p)
{
    double value = 0;
    float single;
    if (p->type == GGUF_FLOAT64) {
        memcpy(&value, p->data, sizeof value);
        return value;
    }
    if (p->type == GGUF_FLOAT32) {
        memcpy(&single, p->data, sizeof single);
        return (double)single;
    }
    uint64_t bits = raw_bits(p);
    return is_negative(p, bits) ? -(double)negated(p, bits) : (double)bits;
}

const char *gguf_show(const struct gguf *g, const char *key, char out[64])
{
    const struct gguf_pair *found = gguf_find(g, key);
    *out = 0;
    if (!found)
        return out;
    const struct gguf_pair p = uniform(found);
    if (p.type == GGUF_STRING)
        snprintf(out, 64, "%.*s", (int)(p.text.size < 60 ? p.text.size : 60), p.text.data);
    else if (p.type == GGUF_BOOL)
        snprintf(out, 64, "%s", p.data[0] ? "true" : "false");
    else if (p.type == GGUF_ARRAY)
        snprintf(out, 64, "(values that differ)");
    else
        snprintf(out, 64, "%g", double_of(&p));
    return out;
}

void gguf_print_number(const struct gguf_pair *p, size_t i, char *out, size_t size)
{
    struct gguf_pair one = *p;
    one.type = p->type == GGUF_ARRAY ? p->element : p->type;
    one.data = p->data + i * gguf_types[one.type].bytes;
    if (one.type == GGUF_BOOL)
        snprintf(out, size, "%s", one.data[0] ? "true" : "false");
    else
        snprintf(out, size, "%.10g", double_of(&one));
}

#include "safetensors.h"

#include "jsontext.h"
#include "weightfiles.h"

#include <stdlib.h>
#include <string.h>

enum { PREFIX = 8, MAX_HEADER = 100000000, HEADER_DEPTH = 3, MAX_NAME = 256 };

static const struct type {
    const char *name;
    size_t bytes;
    enum dtype dtype;
    bool refused; /* known, but neither weights nor parts of them come in it */
} types[] = {
    {"F32", 4, DTYPE_FP32, false},
    {"F16", 2, DTYPE_FP16, false},
    {"BF16", 2, DTYPE_BF16, false},
    {"F8_E4M3", 1, DTYPE_FP8E4M3, false},
    {"F8_E5M2", 1, DTYPE_FP8E5M2, false},
    {"U8", 1, ENTRY_BYTES, false},
    {"F64", 8, ENTRY_DOUBLES, false},
    {"I64", 8, DTYPE_ALL, true},
    {"U64", 8, DTYPE_ALL, true},
    {"I32", 4, DTYPE_ALL, true},
    {"U32", 4, DTYPE_ALL, true},
    {"I16", 2, DTYPE_ALL, true},
    {"U16", 2, DTYPE_ALL, true},
    {"I8", 1, DTYPE_ALL, true},
    {"BOOL", 1, DTYPE_ALL, true},
};

/* A tensor of the header. */
struct item {
    const char *name; /* the JSON value's */
    const struct type *type;
    size_t dimensions, shape[MAX_DIMENSIONS];
    size_t begin, end; /* from the end of the header */
};

static uint64_t length_at(const uint8_t *data)
{
    uint64_t length;
    memcpy(&length, data, sizeof length);
    return length;
}

bool safetensors_probe(const uint8_t *data, size_t size)
{
    return size > PREFIX && length_at(data) >= 2 && length_at(data) <= MAX_HEADER &&
           data[PREFIX] == '{';
}

/* ---- one tensor ------------------------------------------------------------------------------ */

static bool read_number(const json_t *value, size_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *out = (size_t)json_integer_value(value);
    return true;
}

static bool read_type(struct item *item, const json_t *value, struct error *error)
{
    const char *name = json_string_value(value);
    if (!name)
        return error_set(error, "%s: dtype is %s; expected a string", item->name,
                         json_text_kind(value));
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].name, name) == 0) {
            item->type = &types[i];
            return true;
        }
    return error_set(error, "%s: dtype is '%s'; expected F64, F32, F16, BF16, F8_E4M3 or F8_E5M2",
                     item->name, name);
}

static bool read_shape(struct item *item, const json_t *value, struct error *error)
{
    if (!json_is_array(value))
        return error_set(error, "%s: shape is %s; expected a list", item->name,
                         json_text_kind(value));
    item->dimensions = json_array_size(value);
    if (item->dimensions > MAX_DIMENSIONS)
        return error_set(error, "%s: shape has %zu dimensions; expected at most %d", item->name,
                         item->dimensions, MAX_DIMENSIONS);
    for (size_t i = 0; i < item->dimensions; i++) {
        const json_t *number = json_array_get(value, i);
        if (!read_number(number, &item->shape[i]))
            return error_set(error,
                             "%s: shape: dimension %zu is %s%lld; expected an integer from 0",
                             item->name, i, json_is_integer(number) ? "" : json_text_kind(number),
                             (long long)json_integer_value(number));
    }
    return true;
}

static bool read_offsets(struct item *item, const json_t *value, size_t room, struct error *error)
{
    if (json_array_size(value) != 2) /* 0 where it is not a list */
        return error_set(error, "%s: data_offsets is not a list of two; expected begin and end",
                         item->name);
    size_t *const out[2] = {&item->begin, &item->end};
    for (size_t i = 0; i < 2; i++) {
        const json_t *number = json_array_get(value, i);
        if (!json_is_integer(number))
            return error_set(error, "%s: data_offsets[%zu] is %s; expected an integer", item->name,
                             i, json_text_kind(number));
        if (!read_number(number, out[i]) || *out[i] > room)
            return error_set(error,
                             "%s: data_offsets[%zu] = %lld; expected 0 to %zu, the bytes after "
                             "the header",
                             item->name, i, (long long)json_integer_value(number), room);
    }
    if (item->begin > item->end)
        return error_set(error, "%s: data_offsets: begin %zu is after end %zu", item->name,
                         item->begin, item->end);
    return true;
}

static bool check_span(const struct item *item, struct error *error)
{
    size_t elements, bytes;
    if (!shape_elements(item->shape, item->dimensions, &elements) ||
        __builtin_mul_overflow(elements, item->type->bytes, &bytes))
        return error_set(error, "%s: shape overflows; expected one that fits in the file",
                         item->name);
    if (bytes != item->end - item->begin)
        return error_set(error, "%s: data_offsets span %zu bytes; shape and dtype %s ask for %zu",
                         item->name, item->end - item->begin, item->type->name, bytes);
    return true;
}

static bool check_keys(const struct item *item, json_t *value, struct error *error)
{
    const char *key;
    json_t *ignored;
    if (!json_is_object(value))
        return error_set(error, "%s: is %s; expected an object", item->name, json_text_kind(value));
    json_object_foreach(value, key, ignored)
        if (strcmp(key, "dtype") && strcmp(key, "shape") && strcmp(key, "data_offsets"))
            return error_set(error, "%s: has a key '%s'; expected dtype, shape and data_offsets",
                             item->name, key);
    return true;
}

static bool read_item(struct item *item, json_t *value, size_t room, struct error *error)
{
    size_t n = strlen(item->name);
    if (n == 0 || n > MAX_NAME)
        return error_set(error, "a tensor's name has %zu bytes; expected 1 to %d", n, MAX_NAME);
    return check_keys(item, value, error) &&
           read_type(item, json_object_get(value, "dtype"), error) &&
           read_shape(item, json_object_get(value, "shape"), error) &&
           read_offsets(item, json_object_get(value, "data_offsets"), room, error) &&
           check_span(item, error);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static bool check_metadata(json_t *metadata, struct error *error)
{
    const char *key;
    json_t *value;
    if (metadata && !json_is_object(metadata))
        return error_set(error, "__metadata__ is %s; expected an object of strings",
                         json_text_kind(metadata));
    json_object_foreach(metadata, key, value)
        if (!json_is_string(value))
            return error_set(error, "__metadata__: %s is %s; expected a string", key,
                             json_text_kind(value));
    return true;
}

static int item_order(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    int order = (x->begin > y->begin) - (x->begin < y->begin);
    return order ? order : (x->end > y->end) - (x->end < y->end); /* those without a byte first */
}

/* The tensors must fill the rest of the file: no byte twice, none unused. */
static bool check_layout(struct item *items, size_t count, size_t room, struct error *error)
{
    size_t at = 0;
    qsort(items, count, sizeof *items, item_order);
    for (size_t i = 0; i < count; i++) {
        if (items[i].begin != at)
            return error_set(error,
                             "%s: data_offsets begin at %zu, %s the tensor before it; expected "
                             "%zu",
                             items[i].name, items[i].begin,
                             items[i].begin < at ? "inside" : "with a hole after", at);
        at = items[i].end;
    }
    return at == room || error_set(error, "%zu bytes follow the last tensor; expected none",
                                   room - at);
}

static bool add_item(struct catalog *catalog, const struct item *item, const uint8_t *payload,
                     struct error *error)
{
    size_t n = strlen(item->name);
    if (tensor_is_buffer(item->name, n, item->shape, item->dimensions))
        return true;
    if (item->type->refused)
        return error_set(error, "%s: dtype is %s; expected F64, F32, F16, BF16, F8_E4M3 or F8_E5M2",
                         item->name, item->type->name);
    struct entry entry = {.dtype = item->type->dtype, .dimensions = item->dimensions,
                          .data = payload + item->begin, .bytes = item->end - item->begin};
    memcpy(entry.shape, item->shape, sizeof entry.shape);
    return catalog_add(catalog, &entry, item->name, n, error);
}

static bool add_items(struct catalog *catalog, json_t *header, struct item *items,
                      const uint8_t *payload, size_t room, struct error *error)
{
    const char *name;
    json_t *value;
    size_t count = 0;
    json_object_foreach(header, name, value)
    {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        items[count].name = name;
        if (!read_item(&items[count++], value, room, error))
            return false;
    }
    if (!check_layout(items, count, room, error))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!add_item(catalog, &items[i], payload, error))
            return false;
    return true;
}

/* ---- one file -------------------------------------------------------------------------------- */

static bool check_length(const uint8_t *data, size_t size, struct error *error)
{
    if (size < PREFIX)
        return error_set(error, "safetensors: %zu bytes; expected at least %d", size, PREFIX);
    uint64_t length = length_at(data);
    if (length < 2 || length > MAX_HEADER)
        return error_set(error, "safetensors: header length = %llu; expected 2 to %d",
                         (unsigned long long)length, MAX_HEADER);
    if (length > size - PREFIX)
        return error_set(error, "safetensors: header length = %llu, but only %zu bytes follow",
                         (unsigned long long)length, size - PREFIX);
    if (data[PREFIX] != '{')
        return error_set(error, "safetensors: header begins with byte 0x%02x; expected '{'",
                         data[PREFIX]);
    return true;
}

bool safetensors_parse(struct catalog *catalog, const uint8_t *data, size_t size,
                       struct error *error)
{
    if (!check_length(data, size, error))
        return false;
    size_t length = (size_t)length_at(data), room = size - PREFIX - length;
    json_t *header =
        json_text_parse(data + PREFIX, length, HEADER_DEPTH, "safetensors header", error);
    if (!header)
        return false;
    struct item *items = calloc(json_object_size(header) + 1, sizeof *items);
    struct error inner = {"not enough memory for the tensors"};
    bool ok = items && check_metadata(json_object_get(header, "__metadata__"), &inner) &&
              add_items(catalog, header, items, data + PREFIX + length, room, &inner);
    if (!ok)
        error_set(error, "safetensors header: %s", inner.text);
    free(items);
    json_decref(header);
    return ok;
}

bool safetensors_read(struct catalog *catalog, const char *path, struct error *error)
{
    static const struct weight_files files = {"model.safetensors", "model.safetensors.index.json",
                                              safetensors_parse};
    return weight_files_read(catalog, path, &files, error);
}

/* What the few globals of a pickled state dictionary do: storages, tensors, parameters,
 * dictionaries. */
#include "unpickle_internal.h"

#include <string.h>

typedef bool call_fn(struct machine *m, const struct value *arguments, struct value *out);
static call_fn call_ordered_dict, call_tensor, call_parameter;

/* A global is a function or the class of a storage. */
static const struct global {
    const char *module, *name;
    call_fn *call;
    struct storage_type type;
} globals[] = {
    {"collections", "OrderedDict", call_ordered_dict, {0}},
    {"torch._utils", "_rebuild_tensor_v2", call_tensor, {0}},
    {"torch._utils", "_rebuild_parameter", call_parameter, {0}},
    {"torch", "FloatStorage", NULL, {"FloatStorage", 4, DTYPE_FP32}},
    {"torch", "HalfStorage", NULL, {"HalfStorage", 2, DTYPE_FP16}},
    {"torch", "BFloat16Storage", NULL, {"BFloat16Storage", 2, DTYPE_BF16}},
    {"torch", "DoubleStorage", NULL, {"DoubleStorage", 8, ENTRY_DOUBLES}},
    {"torch", "LongStorage", NULL, {"LongStorage", 8, DTYPE_ALL}},
    {"torch", "IntStorage", NULL, {"IntStorage", 4, DTYPE_ALL}},
    {"torch", "ShortStorage", NULL, {"ShortStorage", 2, DTYPE_ALL}},
    {"torch", "CharStorage", NULL, {"CharStorage", 1, DTYPE_ALL}},
    {"torch", "ByteStorage", NULL, {"ByteStorage", 1, DTYPE_ALL}},
    {"torch", "BoolStorage", NULL, {"BoolStorage", 1, DTYPE_ALL}},
};
enum { GLOBALS = sizeof globals / sizeof *globals };

/* The arguments of _rebuild_tensor_v2, and the parts of a storage's persistent id. */
enum { T_STORAGE, T_OFFSET, T_SHAPE, T_STRIDE, T_GRADIENT, T_HOOKS, TENSOR_ARGUMENTS };
enum { S_TAG, S_TYPE, S_KEY, S_PLACE, S_ELEMENTS, STORAGE_PARTS };
enum { KEPT_PER_TENSOR = 8 }; /* values that an item of the dictionary counts as */

static bool same(const char *expected, const char *text, size_t n)
{
    return strlen(expected) == n && memcmp(expected, text, n) == 0;
}

static const struct value *items_of(const struct machine *m, const struct value *tuple)
{
    return m->items.list + tuple->at;
}

static const char *text_of(const struct machine *m, const struct value *text)
{
    return (const char *)m->data + text->at;
}

bool machine_global(struct machine *m, const char *module, size_t module_size, const char *name,
                    size_t name_size, struct value *out)
{
    for (uint64_t i = 0; i < GLOBALS; i++)
        if (same(globals[i].module, module, module_size) &&
            same(globals[i].name, name, name_size)) {
            *out = (struct value){VALUE_GLOBAL, 0, i};
            return true;
        }
    return machine_fail(m, "global %.*s.%.*s; expected only what rebuilds tensors",
                        module_size > 100 ? 100 : (int)module_size, module,
                        name_size > 100 ? 100 : (int)name_size, name);
}

/* ---- calls ----------------------------------------------------------------------------------- */

bool machine_call(struct machine *m, const struct value *function, const struct value *arguments,
                  struct value *out)
{
    if (function->kind != VALUE_GLOBAL || !globals[function->at].call)
        return machine_fail(m, "calls %s; expected a function that rebuilds a tensor",
                            function->kind == VALUE_GLOBAL ? globals[function->at].name
                                                           : value_words(function));
    if (arguments->kind != VALUE_TUPLE)
        return machine_fail(m, "calls %s with %s; expected a tuple", globals[function->at].name,
                            value_words(arguments));
    return globals[function->at].call(m, arguments, out);
}

struct value machine_dict(struct machine *m)
{
    return (struct value){VALUE_DICT, 0, m->dicts++};
}

static bool call_ordered_dict(struct machine *m, const struct value *arguments, struct value *out)
{
    if (arguments->count != 0)
        return machine_fail(m, "OrderedDict is called with %u arguments; expected none",
                            arguments->count);
    *out = machine_dict(m);
    return true;
}

/* Whether the items are of these kinds. */
static bool check_kinds(struct machine *m, const char *what, const struct value *tuple,
                        const enum value_kind *kinds, size_t count)
{
    if (tuple->count < count)
        return machine_fail(m, "%s has %u parts; expected %zu", what, tuple->count, count);
    for (size_t i = 0; i < count; i++) {
        const struct value expected = {kinds[i], 0, 0}, *v = items_of(m, tuple) + i;
        if (v->kind != kinds[i])
            return machine_fail(m, "%s: part %zu is %s; expected %s", what, i, value_words(v),
                                value_words(&expected));
    }
    return true;
}

static bool call_tensor(struct machine *m, const struct value *arguments, struct value *out)
{
    static const enum value_kind kinds[TENSOR_ARGUMENTS] = {VALUE_STORAGE, VALUE_INT,  VALUE_TUPLE,
                                                            VALUE_TUPLE,   VALUE_BOOL, VALUE_DICT};
    if (!check_kinds(m, "_rebuild_tensor_v2", arguments, kinds, TENSOR_ARGUMENTS))
        return false;
    *out = (struct value){VALUE_TENSOR, 0, arguments->at};
    return true;
}

/* A parameter is its tensor. */
static bool call_parameter(struct machine *m, const struct value *arguments, struct value *out)
{
    static const enum value_kind kinds[] = {VALUE_TENSOR, VALUE_BOOL, VALUE_DICT};
    if (!check_kinds(m, "_rebuild_parameter", arguments, kinds, sizeof kinds / sizeof *kinds))
        return false;
    *out = *items_of(m, arguments);
    return true;
}

bool machine_storage(struct machine *m, const struct value *id, struct value *out)
{
    static const enum value_kind kinds[STORAGE_PARTS] = {VALUE_TEXT, VALUE_GLOBAL, VALUE_TEXT,
                                                         VALUE_TEXT, VALUE_INT};
    if (id->kind != VALUE_TUPLE)
        return machine_fail(m, "a persistent id is %s; expected a tuple", value_words(id));
    if (!check_kinds(m, "a persistent id", id, kinds, STORAGE_PARTS))
        return false;
    const struct value *parts = items_of(m, id);
    if (!same("storage", text_of(m, &parts[S_TAG]), parts[S_TAG].count))
        return machine_fail(m, "a persistent id is of a '%.*s'; expected 'storage'",
                            parts[S_TAG].count > 100 ? 100 : (int)parts[S_TAG].count,
                            text_of(m, &parts[S_TAG]));
    if (globals[parts[S_TYPE].at].call)
        return machine_fail(m, "a storage's class is %s; expected FloatStorage or the like",
                            globals[parts[S_TYPE].at].name);
    *out = (struct value){VALUE_STORAGE, 0, id->at};
    return true;
}

/* ---- items of the dictionary ----------------------------------------------------------------- */

static int shown(struct pickle_text text)
{
    return text.size > 128 ? 128 : (int)text.size;
}

static bool read_number(struct machine *m, struct pickle_text name, const char *what,
                        const struct value *v, size_t *out)
{
    if (v->kind != VALUE_INT || v->at > INT64_MAX)
        return machine_fail(m, "%.*s: %s is %s; expected an integer from 0", shown(name), name.data,
                            what, v->kind == VALUE_INT ? "negative" : value_words(v));
    *out = (size_t)v->at;
    return true;
}

static bool read_numbers(struct machine *m, struct pickle_text name, const char *what,
                         const struct value *tuple, size_t out[MAX_DIMENSIONS])
{
    if (tuple->count > MAX_DIMENSIONS)
        return machine_fail(m, "%.*s: %s has %u dimensions; expected at most %d", shown(name),
                            name.data, what, tuple->count, MAX_DIMENSIONS);
    for (size_t i = 0; i < tuple->count; i++)
        if (!read_number(m, name, what, items_of(m, tuple) + i, &out[i]))
            return false;
    return true;
}

static bool describe(struct machine *m, const struct value *key, const struct value *value,
                     struct pickle_tensor *t)
{
    const struct value *parts = m->items.list + value->at;
    const struct value *storage = m->items.list + parts[T_STORAGE].at;
    t->name = (struct pickle_text){text_of(m, key), key->count};
    t->storage = (struct pickle_text){text_of(m, &storage[S_KEY]), storage[S_KEY].count};
    t->type = &globals[storage[S_TYPE].at].type;
    t->dimensions = parts[T_SHAPE].count;
    if (parts[T_SHAPE].count != parts[T_STRIDE].count)
        return machine_fail(m, "%.*s: %u dimensions and %u strides; expected as many",
                            shown(t->name), t->name.data, parts[T_SHAPE].count,
                            parts[T_STRIDE].count);
    return read_number(m, t->name, "the storage's size", &storage[S_ELEMENTS], &t->elements) &&
           read_number(m, t->name, "the storage offset", &parts[T_OFFSET], &t->offset) &&
           read_numbers(m, t->name, "shape", &parts[T_SHAPE], t->shape) &&
           read_numbers(m, t->name, "stride", &parts[T_STRIDE], t->stride);
}

/* Names that a pickle spells once and uses often must not fill the memory either. */
static bool charge_name(struct machine *m, const struct value *key)
{
    if (key->count == 0 || memchr(text_of(m, key), 0, key->count))
        return machine_fail(m, "a tensor's name is empty or contains a NUL; expected neither");
    if (key->count > m->name_bytes)
        return machine_fail(m, "the tensors' names have more bytes than the pickle");
    m->name_bytes -= key->count;
    return machine_charge(m, KEPT_PER_TENSOR);
}

bool machine_set_item(struct machine *m, const struct value *dict, const struct value *key,
                      const struct value *value)
{
    struct pickle_tensor t = {0};
    if (dict->kind != VALUE_DICT)
        return machine_fail(m, "an item for %s; expected a dictionary", value_words(dict));
    if (dict->at != 0) /* not the file's value: hooks and _metadata, which nobody needs */
        return true;
    if (key->kind != VALUE_TEXT)
        return machine_fail(m, "a key is %s; expected a tensor's name", value_words(key));
    if (value->kind != VALUE_TENSOR)
        return machine_fail(m, "%.*s is %s; expected a tensor, as in a state dictionary saved by itself",
                            key->count > 128 ? 128 : (int)key->count, text_of(m, key),
                            value_words(value));
    return charge_name(m, key) && describe(m, key, value, &t) && m->see(m->arg, &t, m->error);
}

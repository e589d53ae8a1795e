#include "jsontext.h"

#include "foreign.h"

/* A parsed value takes up to 250 bytes however short its text is: an object that is written in
 * two. Files that mean it spend far more text on a value than this. */
enum { TEXT_PER_CONTAINER = 12, TEXT_PER_VALUE = 4, FREE_CONTAINERS = 8, FREE_VALUES = 32 };

/* The byte after the string that begins before `at`. */
static size_t skip_string(const uint8_t *data, size_t size, size_t at)
{
    while (at < size && data[at] != '"')
        at += data[at] == '\\' ? 2 : 1;
    return at + 1;
}

/* A look at brackets and commas before anything is allocated; grammar is the parser's business. */
bool json_text_check(const uint8_t *data, size_t size, unsigned max, size_t per_container, size_t per_value,
                     const char *what, struct error *error)
{
    size_t containers = 0, values = 0, depth = 0;
    for (size_t at = 0; at < size;) {
        uint8_t c = data[at++];
        if (c == '"') {
            at = skip_string(data, size, at);
        } else if (c == '{' || c == '[') {
            containers++;
            if (++depth > max)
                return error_set(error, "%s: nested %zu deep at byte %zu; expected at most %u",
                                 what, depth, at - 1, max);
        } else if (c == '}' || c == ']') {
            depth -= depth > 0;
        } else {
            values += c == ',';
        }
    }
    if (containers > size / per_container + FREE_CONTAINERS || values > size / per_value + FREE_VALUES)
        return error_set(error, "%s: %zu lists and objects and %zu commas in %zu bytes; expected "
                                "fewer", what, containers, values, size);
    return true;
}

json_t *json_text_parse(const uint8_t *data, size_t size, unsigned depth, const char *what,
                        struct error *error)
{
    json_error_t wrong;
    struct error why;
    if (!foreign_check(data, size, &why)) {
        error_set(error, "%s: %s", what, why.text);
        return NULL;
    }
    if (!json_text_check(data, size, depth, TEXT_PER_CONTAINER, TEXT_PER_VALUE, what, error))
        return NULL;
    json_t *root = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, &wrong);
    if (!root) {
        error_set(error, "%s: not JSON at byte %d: %s; expected an object", what, wrong.position,
                  wrong.text);
        return NULL;
    }
    if (!json_is_object(root)) {
        error_set(error, "%s: is %s; expected an object", what, json_text_kind(root));
        json_decref(root);
        return NULL;
    }
    return root;
}

const char *json_text_kind(const json_t *value)
{
    if (!value)
        return "nothing";
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a fraction";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a truth value";
    default:
        return "null";
    }
}

/* Values of a tokenizer.json, and errors about them. */
#include "tokenizer_json.h"

#include "base/note.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *json_type_name(const json_t *value)
{
    static const char *const names[] = {"an object", "an array", "a string", "an integer",
                                        "a number", "true", "false", "null"};
    return value ? names[json_typeof(value)] : "missing";
}

static const json_t *at_path(const json_t *root, const char *path)
{
    const json_t *at = root;
    char name[64];
    for (size_t n; at && *path; path += n + (path[n] == '.')) {
        n = strcspn(path, ".");
        snprintf(name, sizeof name, "%.*s", (int)n, path);
        at = json_object_get(at, name);
    }
    return at;
}

bool json_expected(const struct json_reading *r, const char *where, const char *expected)
{
    const json_t *value = at_path(r->root, where);
    if (json_is_string(value))
        return error_set(r->error, "%s = \"%.60s\"; expected %s", where,
                         json_string_value(value), expected);
    return error_set(r->error, "%s is %s; expected %s", where, json_type_name(value), expected);
}

const char *json_text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

bool json_flag(const struct json_reading *r, const json_t *object, const char *where, const char *key, bool *out)
{
    const json_t *value = json_object_get(object, key);
    if (json_is_boolean(value))
        *out = json_is_true(value);
    return !value || json_is_null(value) || json_is_boolean(value) ||
           error_set(r->error, "%s.%s is %s; expected true or false", where, key, json_type_name(value));
}

void json_note(struct json_reading *r, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    note_add(r->note, sizeof r->note, format, list);
    va_end(list);
}

int32_t json_token_id(const struct json_reading *r, const char *text)
{
    const json_t *id = json_object_get(json_object_get(json_object_get(r->root, "model"), "vocab"), text);
    if (json_is_integer(id))
        return (int32_t)json_integer_value(id);
    size_t i;
    json_t *token;
    json_array_foreach(json_object_get(r->root, "added_tokens"), i, token) {
        const char *content = json_text_of(token, "content");
        if (content && strcmp(content, text) == 0)
            return (int32_t)json_integer_value(json_object_get(token, "id"));
    }
    return -1;
}

/* What scripts read: JSON objects, a line each, and the same as CSV. */
#include "batch.h"

#include "base/escape.h"

#include <math.h>
#include <string.h>

json_t *json_text(const char *text)
{
    char safe[1024];
    escape_text(safe, sizeof safe, text, strlen(text));
    return json_string(safe);
}

void json_add_text(json_t *object, const char *name, size_t tokens)
{
    json_object_set_new(object, "text_name", json_text(name));
    json_add(object, "text_tokens", (double)tokens, NULL);
}

bool wants_records(const struct options *o)
{
    return o->json || o->csv;
}

static void print_json(const json_t *object)
{
    json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
}

/* ---- CSV (RFC 4180) -------------------------------------------------------------------------- */

/* Reasons stand beside what they explain only where that is null: they are no column. */
static bool is_column(const char *key)
{
    const char *end = strrchr(key, '_');
    return !end || strcmp(end, "_reason") != 0;
}

static void print_quoted(const char *text)
{
    bool plain = !strpbrk(text, ",\"\r\n");
    if (!plain)
        putchar('"');
    for (; *text; text++) {
        if (*text == '"')
            putchar('"');
        putchar(*text);
    }
    if (!plain)
        putchar('"');
}

/* An array in one field, its elements between spaces; null is empty. */
static void print_field(const json_t *value)
{
    size_t i;
    json_t *element;
    if (json_is_string(value))
        print_quoted(json_string_value(value));
    else if (json_is_integer(value))
        printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        printf("%.9g", json_real_value(value));
    else if (json_is_boolean(value))
        fputs(json_is_true(value) ? "true" : "false", stdout);
    json_array_foreach(value, i, element) {
        if (i > 0)
            putchar(' ');
        print_field(element);
    }
}

static void print_csv(json_t *object, bool head)
{
    const char *key;
    json_t *value;
    bool any = false;
    json_object_foreach(object, key, value) {
        if (!is_column(key))
            continue;
        if (any)
            putchar(',');
        if (head)
            print_quoted(key);
        else
            print_field(value);
        any = true;
    }
    if (head) {
        fputs("\r\n", stdout);
        print_csv(object, false);
    }
}

void print_record(json_t *object, const struct options *o, bool first)
{
    if (o->csv)
        print_csv(object, first);
    else
        print_json(object);
    fputs(o->csv ? "\r\n" : "\n", stdout);
    fflush(stdout);
    json_decref(object);
}

void json_add(json_t *object, const char *key, double value, const char *reason)
{
    if (isfinite(value) && !reason) {
        bool whole = value == floor(value) && fabs(value) < 1e15;
        json_object_set_new(object, key, whole ? json_integer((json_int_t)value)
                                               : json_real(value));
        return;
    }
    char reason_key[64];
    snprintf(reason_key, sizeof reason_key, "%s_reason", key);
    json_object_set_new(object, key, json_null());
    json_object_set_new(object, reason_key, json_string(reason ? reason : "not a number"));
}

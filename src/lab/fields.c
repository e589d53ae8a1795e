#include "fields.h"

#include "base/escape.h"
#include "base/metric.h"

#include <math.h>
#include <string.h>

static const double EXACT = 9007199254740992; /* whole numbers up to here are themselves */

json_t *text_to_json(const char *text)
{
    char line[1024];
    json_t *j = json_string(text);
    if (!j)
        escape_text(line, sizeof line, text, strlen(text));
    return j ? j : json_string(line);
}

static json_t *number(double x)
{
    return isnan(x) ? json_null() : isinf(x) ? json_string(x > 0 ? "infinity" : "-infinity") : json_real(x);
}

static json_t *value_of(const struct field *f, const void *at)
{
    const struct metric *m = at;
    switch (f->type) {
    case FIELD_DOUBLE:
        return number(*(const double *)at);
    case FIELD_SIZE:
        return json_integer((json_int_t) * (const size_t *)at);
    case FIELD_BOOL:
        return json_boolean(*(const bool *)at);
    case FIELD_TEXT:
        return text_to_json(at);
    case FIELD_METRIC:
        return m->valid ? number(m->value) : json_null();
    }
    return NULL;
}

json_t *fields_write(const struct field *fields, size_t count, const void *object)
{
    json_t *j = json_object();
    bool ok = j;
    for (size_t i = 0; ok && i < count; i++)
        ok = json_object_set_new(j, fields[i].key, value_of(&fields[i], (const char *)object + fields[i].offset)) == 0;
    if (ok)
        return j;
    json_decref(j);
    return NULL;
}

/* ---- reading -------------------------------------------------------------------------------------- */

static bool read_double(const json_t *j, double *out)
{
    const char *text = json_string_value(j);
    if (text && strcmp(text, "infinity") != 0 && strcmp(text, "-infinity") != 0)
        return false;
    *out = json_is_null(j) ? NAN : text ? (*text == '-' ? -INFINITY : INFINITY) : json_number_value(j);
    return json_is_null(j) || text || json_is_number(j);
}

static bool read_size(const json_t *j, size_t *out)
{
    double x = json_is_null(j) ? 0 : json_is_integer(j) ? (double)json_integer_value(j) : -1;
    if (!(x >= 0 && x <= EXACT))
        return false;
    *out = (size_t)x;
    return true;
}

static bool read_text(const json_t *j, char *out, size_t size)
{
    size_t n = json_string_length(j);
    if (!json_is_string(j) || n >= size || strlen(json_string_value(j)) != n)
        return false;
    memcpy(out, json_string_value(j), n + 1);
    return true;
}

static bool read_metric(const json_t *j, struct metric *out)
{
    double x;
    if (!read_double(j, &x))
        return false;
    if (!isnan(x))
        *out = metric_value(x);
    return true;
}

static bool read_value(const struct field *f, const json_t *j, void *at)
{
    switch (f->type) {
    case FIELD_DOUBLE:
        return read_double(j, at);
    case FIELD_SIZE:
        return read_size(j, at);
    case FIELD_BOOL:
        *(bool *)at = json_is_true(j);
        return json_is_boolean(j);
    case FIELD_TEXT:
        return read_text(j, at, f->size);
    case FIELD_METRIC:
        return read_metric(j, at);
    }
    return false;
}

bool fields_read(const struct field *fields, size_t count, const json_t *from, void *object, const char *where,
                 struct error *error)
{
    static const char *const expected[] = {[FIELD_DOUBLE] = "a number", [FIELD_SIZE] = "a count", [FIELD_BOOL] = "true or false",
                                           [FIELD_TEXT] = "a short text", [FIELD_METRIC] = "a number or null"};
    for (size_t i = 0; i < count; i++) {
        const struct field *f = &fields[i];
        const json_t *j = json_object_get(from, f->key);
        if (j && read_value(f, j, (char *)object + f->offset))
            continue;
        return error_set(error, "%.100s: '%s' is %s; expected %s", where, f->key, j ? "of another kind" : "missing",
                         expected[f->type]);
    }
    return true;
}

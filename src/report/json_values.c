#include "json_values.h"

#include "formats/jsontext.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool json_refuse(const struct json_source *s, const char *format, ...)
{
    char what[300];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return error_set(s->error, "%.150s: record %zu: %s", s->file, s->record, what);
}

bool json_get_text(const struct json_source *s, const json_t *object, const char *key, const char **out)
{
    const json_t *v = json_object_get(object, key);
    if (!v || json_is_null(v))
        return true;
    if (!json_is_string(v))
        return json_refuse(s, "'%.60s' is %s; expected a string", key, json_text_kind(v));
    if (json_string_length(v) > JSON_LONGEST_TEXT)
        return json_refuse(s, "'%.60s' has %zu bytes; expected at most %d", key, json_string_length(v),
                           JSON_LONGEST_TEXT);
    *out = report_text(s->report, json_string_value(v));
    return true;
}

bool json_get_bool(const struct json_source *s, const json_t *object, const char *key, bool *out)
{
    const json_t *v = json_object_get(object, key);
    if (!v || json_is_null(v))
        return true;
    if (!json_is_boolean(v))
        return json_refuse(s, "'%.60s' is %s; expected true or false", key, json_text_kind(v));
    *out = json_is_true(v);
    return true;
}

bool json_number(const struct json_source *s, const json_t *v, const char *what, double min, double max, double *out)
{
    if (!json_is_number(v))
        return json_refuse(s, "'%.60s' is %s; expected a number", what, json_text_kind(v));
    *out = json_number_value(v);
    return (*out >= min && *out <= max) || json_refuse(s, "'%.60s' is %g; expected %g to %g", what, *out, min, max);
}

bool json_get_metric(const struct json_source *s, const json_t *object, const char *key, double min, double max,
                     struct metric *out)
{
    const json_t *v = json_object_get(object, key);
    const char *reason = NULL;
    char name[100];
    if (!v)
        return true;
    if (json_is_null(v)) {
        snprintf(name, sizeof name, "%s_reason", key);
        if (!out->valid && json_get_text(s, object, name, &reason))
            *out = metric_absent(reason);
        return out->valid || json_get_text(s, object, name, &reason);
    }
    double number = 0;
    if (!json_number(s, v, key, min, max, &number))
        return false;
    *out = metric_value(number);
    return true;
}

bool json_check_list(const struct json_source *s, const json_t *v, const char *what, size_t most)
{
    if (!json_is_array(v))
        return json_refuse(s, "'%.60s' is %s; expected a list", what, json_text_kind(v));
    return json_array_size(v) <= most ||
           json_refuse(s, "'%.60s' has %zu entries; expected at most %zu", what, json_array_size(v), most);
}

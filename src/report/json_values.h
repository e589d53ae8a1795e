/* json_values.h - values of records, checked. */
#ifndef QTOP_REPORT_JSON_VALUES_H
#define QTOP_REPORT_JSON_VALUES_H

#include "base/error.h"
#include "report.h"

#include <jansson.h>

/* Where a value is read. */
struct json_source {
    struct report *report;
    const char *file;
    size_t record; /* from 1 */
    struct error *error;
};

/* Sets the error "FILE: record N: WHAT"; false. */
bool json_refuse(const struct json_source *source, const char *format, ...) __attribute__((format(printf, 2, 3)));

enum { JSON_LONGEST_TEXT = 1000 };

/* The text of a member, copied into the report; *out stays as it was where there is none, or null. */
bool json_get_text(const struct json_source *source, const json_t *object, const char *key, const char **out);

/* The truth value of a member; likewise. */
bool json_get_bool(const struct json_source *source, const json_t *object, const char *key, bool *out);

/* The number of a member, from min to max, as a metric: null is absent with the reason that KEY_reason has. Likewise.
 */
bool json_get_metric(const struct json_source *source, const json_t *object, const char *key, double min, double max,
                     struct metric *out);

/* A number from min to max, called `what`. */
bool json_number(const struct json_source *source, const json_t *value, const char *what, double min, double max,
                 double *out);

/* Whether it is a list of at most so many. */
bool json_check_list(const struct json_source *source, const json_t *value, const char *what, size_t most);

#endif

/* fields.h - structs as JSON objects and back, by a table of their members. */
#ifndef QTOP_LAB_FIELDS_H
#define QTOP_LAB_FIELDS_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum field_type {
    FIELD_DOUBLE, /* null: NaN; "infinity" */
    FIELD_SIZE,   /* a size_t; null: 0 */
    FIELD_BOOL,
    FIELD_TEXT,   /* an array of `size` bytes with a NUL in it */
    FIELD_METRIC  /* as a double; null: absent */
};

struct field {
    const char *key;
    enum field_type type;
    size_t offset, size;
};

#define FIELD(kind, type, member, key) {key, kind, offsetof(type, member), sizeof((type *)0)->member}

/* A new object; null when memory is short. */
json_t *fields_write(const struct field *fields, size_t count, const void *object);

/* Reads all of them: false with an error that begins with `where` and names the member, what stands there and what was
 * expected. The reasons of metrics that are absent stay. */
bool fields_read(const struct field *fields, size_t count, const json_t *from, void *object, const char *where,
                 struct error *error);

/* A string of any bytes: those that are not UTF-8 are escaped. */
json_t *text_to_json(const char *text);

#endif

/* jsontext.h - JSON from untrusted files, parsed in memory that their size justifies. */
#ifndef QTOP_JSONTEXT_H
#define QTOP_JSONTEXT_H

#include "base/error.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* Parses a JSON object (RFC 8259) that fills the span, spaces apart. Duplicate keys, invalid
 * UTF-8, NUL in strings, numbers out of range, nesting deeper than `depth` (the object itself is
 * 1) and more values than so many bytes of a valid file have are errors, which begin with
 * `what`. Null on failure; the caller frees it with json_decref. */
json_t *json_text_parse(const uint8_t *data, size_t size, unsigned depth, const char *what,
                        struct error *error);

/* Whether so much text justifies what parsing it would take: nothing nested deeper than `depth`, a list or
 * object for every `per_container` bytes and a comma for every `per_value` at most, a few apart. */
bool json_text_check(const uint8_t *data, size_t size, unsigned depth, size_t per_container, size_t per_value,
                     const char *what, struct error *error);

/* What the value is, in words for an error: "a string". Null: "nothing". */
const char *json_text_kind(const json_t *value);

#endif

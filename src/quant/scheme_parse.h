/* scheme_parse.h - what the parsers of a scheme's fields share. */
#ifndef QTOP_SCHEME_PARSE_H
#define QTOP_SCHEME_PARSE_H

#include "scheme.h"

#include <string.h>

/* A piece of the text being parsed: where it begins and how long it is. */
struct field {
    const char *at;
    size_t n;
};

enum { EXPECTED_TEXT = 320 }; /* what may stand somewhere, as an error lists it */

struct parser {
    const char *text;
    struct error *error;
};

/* Always false. */
static inline bool refuse(const struct parser *p, struct field f, const char *what,
                          const char *expected)
{
    return error_set(p->error, "scheme '%.64s', position %zu: %s '%.*s'; expected %s", p->text,
                     (size_t)(f.at - p->text) + 1, what, (int)(f.n < 40 ? f.n : 40), f.at, expected);
}

static inline bool field_is(struct field f, const char *word)
{
    return strlen(word) == f.n && memcmp(f.at, word, f.n) == 0;
}

/* *is: whether the field begins with the name of a method, so that what follows must fit. */
bool parse_methods(const struct parser *p, struct field f, struct scheme *s, bool *is);

#endif

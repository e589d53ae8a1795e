/* error.h - errors as values: one line that a person can act on. */
#ifndef QTOP_ERROR_H
#define QTOP_ERROR_H

#include <stdbool.h>

struct error {
    char text[512]; /* one line: what, where, the value found, what was expected */
};

/* Formats the line into *e and returns false, so that a function that fails can say
 * `return error_set(e, ...)`. A null e only returns false. A line too long is cut; control characters
 * and invalid UTF-8, which may come from names in files, are escaped. */
bool error_set(struct error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif

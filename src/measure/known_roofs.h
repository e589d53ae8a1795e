/* known_roofs.h - read bandwidths of machines that are not here: in writing, or by name. */
#ifndef QTOP_KNOWN_ROOFS_H
#define QTOP_KNOWN_ROOFS_H

#include "base/error.h"

#include <stddef.h>

struct known_roof {
    const char *name;
    const char *description;
    double rate; /* bytes a second, as published */
};

extern const struct known_roof known_roofs[];
extern const size_t known_roof_count;

/* "2TB/s", "68.5 GB/s", "900e9" (bytes a second, at least 1e6), or a name of the table in any case; *rate
 * is in bytes a second, *known the row or null. The error says what was expected. */
bool roof_parse(const char *text, double *rate, const struct known_roof **known, struct error *error);

/* Tokens a second that reading weights at that rate allows: rate / bytes_per_token. */
double roof_tokens_per_second(double rate, size_t bytes_per_token);

#endif

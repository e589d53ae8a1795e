/* names.h - how far apart two names are, for "did you mean". */
#ifndef QTOP_NAMES_H
#define QTOP_NAMES_H

#include <stddef.h>

/* Levenshtein's distance (1966): the fewest characters to insert, delete or replace. Of b, the first
 * 127 bytes count. */
size_t name_distance(const char *a, const char *b);

#endif

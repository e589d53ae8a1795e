/* edit_distance.h - how far apart two names are, for "did you mean". */
#ifndef QTOP_EDIT_DISTANCE_H
#define QTOP_EDIT_DISTANCE_H

#include <stddef.h>

/* The fewest characters to insert, delete or replace that turn a into b (Levenshtein 1966). Of b, the first 127
 * bytes count. */
size_t edit_distance(const char *a, const char *b);

#endif

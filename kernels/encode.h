/* encode.h - rows of floats to blocks of the stored types (stored.h): scales, minimums and codes of the least squared
 * error, of which each column counts by its importance.
 *
 * A group's scale (and minimum) is searched for first, on candidates that each become the least-squares fit of their
 * codes. Where a block scales the scales of its groups by one factor, that and the groups' integers are then chosen
 * together, in turns. Values that are not finite count as 0. */
#ifndef QTOP_ENCODE_H
#define QTOP_ENCODE_H

#include "stored.h"

/* Whether blocks of the type can be made. */
bool can_encode(enum dtype type);

/* n floats, a multiple of the type's block, to n / block blocks. importance (n): of each column's squared error, at
 * least 0; null: all count alike. Returns how many values are finite and lie where no block's scale reaches. */
size_t encode_row(enum dtype type, const float *values, size_t n, const float *importance, uint8_t *out);

#endif

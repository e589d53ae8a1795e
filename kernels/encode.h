/* encode.h - rows of floats to blocks of the stored types (stored.h): scales, minimums and codes of the least squared
 * error, of which each column counts by its importance.
 *
 * A group's scale (and minimum) is searched for first, on candidates that each become the least-squares fit of their
 * codes. Where a block scales the scales of its groups by one factor, that and the groups' integers are then chosen
 * together, in turns. An fp32 scale never leaves a larger error than the largest magnitude would, which is how nf4 is
 * defined. Values that are not finite count as 0. */
#ifndef QTOP_ENCODE_H
#define QTOP_ENCODE_H

#include "stored.h"

/* Whether blocks of the type can be made. */
bool can_encode(enum dtype type);

/* n floats, a multiple of the type's block, to n / block blocks. importance (n): of each column's squared error, at
 * least 0; null: all count alike. Returns how many values are finite and lie where no block's scale reaches. */
size_t encode_row(enum dtype type, const float *values, size_t n, const float *importance, uint8_t *out);

/* Columns whose codes are chosen together: 4 or 8 of the types with a grid (grids.h), which has not all combinations;
 * 1 of all others, also of those that are no blocks. */
size_t code_columns(enum dtype type);

/* Where the codes of a type lie whose columns have codes of their own: the integers low .. high, or `count` values that
 * are not even, ascending. */
struct code_grid {
    int low, high;
    const float *values;   /* null: integers */
    size_t count;
};
struct code_grid block_grid_of(enum dtype type);

/* code_columns floats, of a type with more than one, to the nearest that a scale and an offset of block_scales make, by
 * importance (not null). */
void round_columns(enum dtype type, const float *values, const float *importance, float scale, float offset,
                   float *out);

/* The scales and offsets of the groups of scale_columns columns that n columns of blocks have: a weight is scale times
 * a value of the grid plus offset. (Of iq1_m the offset is part of the eight codes that are chosen together.) */
void block_scales(enum dtype type, const uint8_t *blocks, size_t n, float *scale, float *offset);

/* n floats to the nearest codes of blocks whose scales stay. */
void encode_codes(enum dtype type, const float *values, size_t n, uint8_t *blocks);

#endif

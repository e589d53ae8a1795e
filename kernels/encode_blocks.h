/* encode_blocks.h - what encode.c searches on, and the bytes that encode_blocks.c makes of it. Private to both. */
#ifndef QTOP_ENCODE_BLOCKS_H
#define QTOP_ENCODE_BLOCKS_H

#include "encode.h"

enum { GROUPS_MAX = BLOCK_MAX / 16 };

/* A block's numbers. A weight of group g is factor * scale[g] * value(code) - min_factor * min[g], without scale[g] and
 * min[g] where a type has none. */
struct fitted {
    float factor, min_factor;
    int scale[GROUPS_MAX], min[GROUPS_MAX];
    uint8_t codes[BLOCK_MAX]; /* from 0 on, in the order of their values */
};

/* Codes whose values are not even, ascending. */
struct value_table {
    size_t count;
    const float *values;
    uint8_t codes[16]; /* what a file holds of each */
};

enum encoding_min {
    MIN_NONE,
    MIN_ANY,  /* of a group, of either sign */
    MIN_BELOW /* at most 0: an integer of the group times a factor of the block, subtracted */
};

/* What an encoder must know of a type. */
struct encoding {
    int low, high;             /* values of codes; with a minimum they begin at 0 */
    const struct value_table *table; /* null: integers */
    enum encoding_min min;
    int scale_low, scale_high; /* of a group's integer; both 0: the factor is its scale */
    /* Where scales are of a set, and not scaled again: scale 0 .. scale_high of it, ascending. */
    float (*scale_at)(uint8_t number);
    /* Writes a block, which is 0. */
    void (*put)(const struct fitted *fitted, uint8_t *block);
    /* Reads its factors and integers. */
    void (*get)(const uint8_t *block, struct fitted *fitted);
};

/* Those of types that can be made; the others have no `put`. */
extern const struct encoding encodings[DTYPE_ALL];

#endif

/* encode_grids.h - floats to blocks of the types whose codes are entries of grids (grids.h). For a scale, the entry of
 * the least error is found exactly, by branch and bound. Private to encode.c. */
#ifndef QTOP_ENCODE_GRIDS_H
#define QTOP_ENCODE_GRIDS_H

#include "stored.h"

/* Columns whose codes are chosen together: one entry, or two that share a parity of signs. */
enum { UNIT_MAX = 8, UNITS_MAX = K_BLOCK / 8, GRID_GROUPS_MAX = K_BLOCK / 16 };

/* Whether +1 or -1 is added to the codes, which are times 8. */
enum grid_shift {
    SHIFT_NONE,
    SHIFT_GROUP, /* for all columns of a scale */
    SHIFT_UNIT   /* for eight columns */
};

/* A block's numbers. A weight is factor * unit * (2 scale + 1) * code: of an entry, with its sign or shift. */
struct grid_fitted {
    float factor;
    int scale[GRID_GROUPS_MAX];
    uint16_t entry[2 * UNITS_MAX]; /* numbers: of four or of eight columns */
    uint8_t minus[UNITS_MAX];      /* a bit a column */
    bool down[UNITS_MAX];          /* the shift is -1 */
};

/* What must be known of a type. */
struct grid_type {
    const uint32_t *fours; /* the grid of four codes an entry, or */
    const uint64_t *eights;
    size_t count, length;
    uint8_t step;          /* an entry's code divided by it, down, is the code's place among the values */
    float values[8];
    float unit;
    bool parity;           /* of eight columns' minus signs: even */
    enum grid_shift shift;
    int scale_high;        /* of a group's integer */
    float first, last;     /* trials of a group's scale: its largest magnitude (with a shift: the mean) over these */
    void (*put)(const struct grid_fitted *fitted, uint8_t *block); /* which is 0 */
    void (*get)(const uint8_t *block, struct grid_fitted *fitted); /* factor, integers, and shifts of groups */
};

/* Those of types with a grid; the others have no put. */
extern const struct grid_type grid_types[DTYPE_ALL];

/* A block of values and importances, all finite, to *out, which is 0. Returns the largest scale's reach: 0, or where
 * that scale is as large as can be, the largest value that it makes. */
float encode_grid_block(enum dtype type, const float *x, const float *w, uint8_t *out);

/* The same on the scales that the block has. */
void encode_grid_codes(enum dtype type, const float *x, const float *w, uint8_t *block);

/* Columns whose codes are chosen together: 4 or 8. */
size_t grid_unit_columns(enum dtype type);

/* The nearest values by importance w of so many columns, on a scale and, of types whose groups have a shift, offset. */
void round_to_grid_unit(enum dtype type, const float *x, const float *w, float scale, float offset, float *out);

/* Scales and offsets of a block's groups: a weight is scale times a code plus offset. */
void grid_block_scales(enum dtype type, const uint8_t *block, float *scale, float *offset);

#endif

/* out_of_range.h - values that a packed row could not hold: beyond the ends of a grid, or overflowed. */
#ifndef QTOP_OUT_OF_RANGE_H
#define QTOP_OUT_OF_RANGE_H

#include "matrix.h"

struct out_of_range {
    /* Values that round to no code of their grid: more than half a step, and the rounding of that, beyond its ends.
     * Of integers and fp8; floats without a scale have none. */
    size_t clipped;
    /* Finite values that became infinite or NaN (fp16, bf16), and those beyond a grid whose scale is the largest that
     * its type has (groups: fp16's 65504), or that saturated fp8: the type has no room for them. */
    size_t overflowed;
};

/* Of row r, packed before, and the cols values that its codes stand for (input scales applied). Values that are not
 * finite do not count. */
struct out_of_range row_out_of_range(const struct qmatrix *m, size_t r, const float *values);

/* Of n values as codes of a float type: those that overflow. */
size_t count_overflow(enum dtype dtype, const float *values, size_t n);

#endif

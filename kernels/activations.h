/* activations.h - what a matrix multiplies: the columns of T tokens, turned into a scheme's
 * activation datatype per token (one dynamic scale a token). */
#ifndef QTOP_ACTIVATIONS_H
#define QTOP_ACTIVATIONS_H

#include "matrix.h"

struct activations {
    size_t tokens, cols;
    bool integers;
    const float *values;  /* tokens x cols: rounded to the activation dtype, before the scale */
    int8_t *codes;        /* tokens x cols, integer activations */
    float *scales;        /* tokens */
    int32_t *zeros;       /* tokens: zero point of the codes (0 when symmetric) */
    int32_t *sums;        /* tokens x groups of the matrix: sums of codes, for zero points */
    float *rounded;       /* the memory behind values where they are not the caller's own */
};

/* Bytes of scratch that activations_prepare needs for any matrix of at most `cols` columns. */
size_t activations_scratch(size_t cols, size_t tokens);

/* Prepares tokens x cols floats x for matrix m, in scratch (aligned to 64). x must live as long as
 * *out. Non-finite inputs quantize without undefined behaviour. */
void activations_prepare(const struct qmatrix *m, const float *x, size_t tokens, void *scratch,
                         struct activations *out);

#endif

/* dispatch.h - the instruction sets: one row of functions each, chosen once at start. */
#ifndef QTOP_DISPATCH_H
#define QTOP_DISPATCH_H

#include "activations.h"
#include "quantize.h"

enum {
    MR_MAX = 32,   /* the largest mr of any instruction set */
    NR_PANELS = 4, /* panels of a tile at most; keep the boundaries between threads multiples of this */
};

struct isa {
    const char *name;
    const char *description;
    bool (*available)(void); /* the processor has it and the operating system enabled it */
    size_t mr;               /* tokens of a tile at most, 2 .. MR_MAX */
    /* 8: float kernels mask the nibbles of an int4 line without shifting them down. Column c comes 2^n times too
     * large, n being the bits below its nibble, and its activations are multiplied by int4_factors[c] = 2^-n
     * (1 for the top nibble, which is shifted). Null where kernels shift. */
    const float *int4_factors;
    /* The packing layout for activations of that many tokens. */
    enum pack (*pack)(const struct qmatrix *m, size_t tokens);
    /* Quantizes and packs tiles tile0 .. tile1 - 1 of the input: see activations_begin. */
    void (*prepare)(const struct qmatrix *m, struct activations *x, size_t tile0, size_t tile1);
    /* Y = X W^T for the rows in panels panel0 .. panel1 - 1: y[t * m->rows + r] becomes row r of token t. An output
     * scale (matrix.h) multiplies what was added up, with one more rounding. The bits
     * of y do not depend on how panels are split among calls. They can depend on the number of tokens: a product
     * of few tokens may add up in another order than one of many.
     *
     * Integer activations: exact integer dot products of each group, then one fp32 product and sum a group, in
     * the order of the groups.
     *
     * Float activations: fp32 products and sums. The error is at most cols + groups + 16 roundings of 2^-24
     * relative to the sum of |w x|, or of the step between subnormal numbers. In that sum an asymmetric w counts
     * as scale * (|code| + |zero|), an int4 one as scale * (15 + zero), and a block's as
     * |scale| * (code + center) + |min| with the stored code (stored.h); int4 and blocks lose the part of an
     * activation below 2^-125 (int4_factors). So a block's weight of 0 may contribute a little, and a sum that
     * overflows is infinite or NaN.
     *
     * Dot products of bf16 (where peak_bf16 is set, activations are bf16 or fp8, and weights neither fp32 nor
     * fp16) have the same bound except for subnormals: a weight's code, an activation and a sum below 2^-126,
     * each before its scale, may count as 0. */
    void (*matmul)(const struct qmatrix *m, const struct activations *x, size_t panel0,
                   size_t panel1, float *y);
    const struct quantize_ops *quantize_ops;
    /* The same as qmatrix_decode_row. */
    void (*decode_row)(const struct qmatrix *m, size_t r, float *out);
    /* For the arithmetic roofs: run that many rounds of multiply-adds in registers and return the number of
     * multiply-adds. Null where the instruction set has no such dot product, and in plain C. */
    double (*peak_fp32)(size_t rounds);
    double (*peak_bf16)(size_t rounds);
    double (*peak_int8)(size_t rounds);
};

/* One object each; the table has those of this processor family. */
extern const struct isa isa_c, isa_avx2, isa_avxvnni, isa_avx512, isa_neon;

/* The instruction set in use: the best available one, or what isa_select chose. */
const struct isa *isa_current(void);

/* Selects by name; fails for a name that is unknown or that this machine lacks. Call before any
 * thread computes. */
bool isa_select(const char *name, struct error *error);

/* The rows of the table, best last; null past the end. */
const struct isa *isa_at(size_t i);

#endif

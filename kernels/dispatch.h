/* dispatch.h - the instruction sets: one row of functions each, chosen once at start. */
#ifndef QTOP_DISPATCH_H
#define QTOP_DISPATCH_H

#include "activations.h"
#include "quantize.h"

enum {
    MR_MAX = 32,   /* tokens in a tile of any instruction set */
    NR_PANELS = 4, /* panels that kernels take side by side: who shares out a product's panels had
                       * better not cut those apart */
};

struct isa {
    const char *name;
    const char *description;
    bool (*available)(void); /* the processor has it and the operating system enabled it */
    size_t mr;               /* tokens that a kernel treats side by side at most, 2 .. MR_MAX */
    const float *int4_factors; /* see struct activations; null where kernels move what they cut out of words */
    /* How activations of that many tokens are to be arranged for m. */
    enum pack (*pack)(const struct qmatrix *m, size_t tokens);
    /* Turns the input of tiles tile0 .. tile1 - 1 into activations, see activations_begin. */
    void (*prepare)(const struct qmatrix *m, struct activations *x, size_t tile0, size_t tile1);
    /* The rows of panels panel0 .. panel1 - 1 of Y = W X, on the packed codes. y[t * m->rows + r]
     * receives row r of token t. Any split of the panels gives the same bits.
     * Integer activations: exact integer dot products a group, then one fp32 product and sum a group,
     * in the order of the groups. Float activations: fp32 products and sums, at most
     * cols + groups + 16 roundings of 2^-24 relative to the sum of |w x|, or of the step between
     * subnormal numbers; an asymmetric w counts as scale * (|code| + |zero|), an int4 one as
     * scale * (15 + zero), and loses what of its activation is below 2^-125 (int4_factors). So does a block's,
     * which counts as |scale| * (code + center) + |min| with the code as it is stored (stored.h): one of 0 may
     * give a little, and what overflows in such a sum is infinite or NaN.
     * Dot products of bf16 (peak_bf16 is there, activations are bf16 or fp8, weights not fp32 or
     * fp16) keep to the same bound but for subnormals: a weight's code, an activation and a sum below
     * 2^-126, each before its scale, may count as 0. */
    void (*matmul)(const struct qmatrix *m, const struct activations *x, size_t panel0,
                   size_t panel1, float *y);
    const struct quantize_ops *quantize_ops; /* of quantization */
    /* What qmatrix_decode_row does. */
    void (*decode_row)(const struct qmatrix *m, size_t r, float *out);
    /* The arithmetic roofs: run that many rounds of nothing but multiply-adds and return how many of
     * them; null where the instruction set has none (bf16) or nothing to promise (plain C). */
    double (*peak_fp32)(size_t rounds);
    double (*peak_bf16)(size_t rounds);
    double (*peak_int8)(size_t rounds);
};

/* One object each; those of another processor family are not in the table. */
extern const struct isa isa_c, isa_avx2, isa_avxvnni, isa_avx512, isa_neon;

/* The instruction set in use: the best available one, or what isa_select chose. */
const struct isa *isa_current(void);

/* Selects by name; fails for a name that is unknown or that this machine lacks. Call before any
 * thread computes. */
bool isa_select(const char *name, struct error *error);

/* The rows of the table, best last; null past the end. */
const struct isa *isa_at(size_t i);

#endif

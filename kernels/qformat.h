/* qformat.h - the form of one matrix as kernels see it: the datatypes of its weights and activations, and which
 * weights share a scale. How scales and codes are chosen is no part of it. */
#ifndef QTOP_QFORMAT_H
#define QTOP_QFORMAT_H

#include "base/error.h"
#include "dtype.h"

enum granularity { GRANULARITY_TENSOR, GRANULARITY_CHANNEL, GRANULARITY_GROUP };

enum { GROUP_MIN = 16, GROUP_DEFAULT = 128 }; /* columns a group */

struct qformat {
    bool stored;      /* as the file holds it; the other fields then describe that form */
    enum dtype weight;
    enum dtype act;   /* what activations become; DTYPE_FP32 leaves them untouched */
    bool act_asym;    /* quantized activations have a zero point (integers only) */
    enum granularity granularity;
    uint32_t group;   /* columns a group, with GRANULARITY_GROUP only; else 0 */
    bool asym;        /* weights have zero points (integers only) */
};

/* A weight datatype with its defaults: int8 and fp8 per channel, int4 in groups of 128, symmetric, activations
 * untouched. */
struct qformat qformat_default(enum dtype weight);

/* Whether weights and activations both are as the file has them. */
static inline bool qformat_as_stored(const struct qformat *f)
{
    return f->stored && f->act == DTYPE_FP32;
}

/* Whether all fields are equal; stored formats are that have the same activations, whatever they store. */
bool qformat_equal(const struct qformat *a, const struct qformat *b);

/* What errors name as the datatypes of weights and of activations. */
#define WEIGHTS_EXPECTED                                                                           \
    "stored, fp32, fp16, bf16, int8, int4, fp8e4m3, fp8e5m2, a block type such as q4_k or an alias such as w8a8"
#define ACTS_EXPECTED    "fp32, fp16, bf16, int8, int8.asym, fp8e4m3 or fp8e5m2"

/* Whether the combination has a kernel; if not the error says why. Floating-point activations of 16
 * or 32 bits go with every weight that is not of blocks; integer activations need integer weights or blocks of
 * integers, fp8 ones fp8 weights. Of a stored format only the activations are checked: what it stores need not be known
 * yet. */
bool qformat_check(const struct qformat *format, struct error *error);

#endif

/* avx2.c - AVX2, FMA and F16C. */
#include "lanes_avx2.h"

#include "isa.inc"

const struct isa isa_avx2 = {
    .name = "avx2",
    .description = "AVX2, FMA, F16C",
    .available = cpu_has_avx2,
    .mr = MR,
    .int4_factors = int4_factors,
    .pack = choose_pack,
    .prepare = prepare,
    .quantize_ops = &quantize_ops,
    .decode_row = decode_row,
    .matmul = matmul,
    .peak_fp32 = peak_fp32,
    .peak_int8 = peak_int8,
};

/* avxvnni.c - the lanes of AVX2 with dot products of bytes. */
#define LANES_VNNI
#include "lanes_avx2.h"

#include "isa.inc"

const struct isa isa_avxvnni = {
    .name = "avxvnni",
    .description = "AVX2, FMA, F16C, AVX-VNNI",
    .available = cpu_has_avxvnni,
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

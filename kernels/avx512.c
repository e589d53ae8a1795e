/* avx512.c - AVX-512 with the dot products of bytes and of bf16. */
#include "lanes_avx512.h"

#include "isa.inc"

const struct isa isa_avx512 = {
    .name = "avx512",
    .description = "AVX-512 with VBMI, VNNI, BF16",
    .available = cpu_has_avx512,
    .mr = MR,
    .int4_factors = int4_factors,
    .pack = choose_pack,
    .prepare = prepare,
    .quantize_ops = &quantize_ops,
    .decode_row = decode_row,
    .matmul = matmul,
    .peak_fp32 = peak_fp32,
    .peak_bf16 = peak_bf16,
    .peak_int8 = peak_int8,
};

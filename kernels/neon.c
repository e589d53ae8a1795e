/* neon.c - AArch64 NEON with the dot product extension. */
#include "lanes_neon.h"

#include "isa.inc"

const struct isa isa_neon = {
    .name = "neon",
    .description = "NEON, dot products of bytes",
    .available = cpu_has_neon,
    .mr = MR,
    .pack = choose_pack,
    .prepare = prepare,
    .quantize_ops = &quantize_ops,
    .decode_row = decode_row,
    .matmul = matmul,
    .peak_fp32 = peak_fp32,
    .peak_int8 = peak_int8,
};

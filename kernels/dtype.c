#include "dtype.h"

#include "stored.h"

#include <strings.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "model files are read in place");
_Static_assert(sizeof(float) == 4, "fp32 is a float");

/* ---- encoders ---------------------------------------------------------------------------- */

/* Encodes the magnitude of a float (bits u) into a format with `mantissa` bits and exponent bias
 * `bias`, rounding to nearest even. Below the smallest normal number the addition of a constant
 * whose last place is the format's smallest step lets the hardware do the rounding. */
static inline uint32_t round_magnitude(uint32_t u, int mantissa, int bias)
{
    if (u < (uint32_t)(128 - bias) << 23) {
        uint32_t step = (uint32_t)(127 + 1 - bias - mantissa + 23) << 23;
        return float_bits(bits_float(u) + bits_float(step)) - step;
    }
    int shift = 23 - mantissa;
    u += (1u << (shift - 1)) - 1 + (u >> shift & 1);
    return (u >> shift) - ((uint32_t)(127 - bias) << mantissa);
}

uint16_t fp16_encode(float value)
{
    uint32_t u = float_bits(value), sign = u >> 16 & 0x8000u;
    u &= 0x7fffffffu;
    if (u > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u | (u >> 13 & 0x3ffu));
    if (u >= 0x477ff000u) /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7c00u);
    return (uint16_t)(sign | round_magnitude(u, 10, 15));
}

uint16_t bf16_encode(float value)
{
    uint32_t u = float_bits(value);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(u >> 16 | 0x40u);
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1)) >> 16);
}

static uint8_t fp8_encode(float value, int mantissa, int bias, float largest, uint8_t largest_code,
                          uint8_t nan)
{
    uint32_t u = float_bits(value);
    uint8_t sign = (uint8_t)(u >> 24 & 0x80u);
    u &= 0x7fffffffu;
    if (u > 0x7f800000u)
        return sign | nan;
    if (bits_float(u) >= largest)
        return sign | largest_code;
    return (uint8_t)(sign | round_magnitude(u, mantissa, bias));
}

uint8_t fp8e4m3_encode(float value)
{
    return fp8_encode(value, 3, 7, 448.0f, 0x7e, 0x7f);
}

uint8_t fp8e5m2_encode(float value)
{
    return fp8_encode(value, 2, 15, 57344.0f, 0x7b, 0x7e);
}

/* ---- rows of the table ------------------------------------------------------------------- */

#define FLOAT_ROW(NAME, CODE, DECODE, ENCODE)                                                      \
    static uint32_t NAME##_encode_any(float value)                                                 \
    {                                                                                              \
        return ENCODE(value);                                                                      \
    }                                                                                              \
    static float NAME##_decode_any(uint32_t code)                                                  \
    {                                                                                              \
        return DECODE((CODE)code);                                                                 \
    }                                                                                              \
    static void NAME##_decode_run(const uint8_t *codes, size_t first, size_t n, int zero,          \
                                  float *out)                                                      \
    {                                                                                              \
        const uint8_t *p = codes + first * sizeof(CODE);                                           \
        (void)zero;                                                                                \
        for (size_t i = 0; i < n; i++) {                                                           \
            CODE code;                                                                             \
            memcpy(&code, p + i * sizeof code, sizeof code);                                       \
            out[i] = DECODE(code);                                                                 \
        }                                                                                          \
    }

FLOAT_ROW(fp32, uint32_t, bits_float, float_bits)
FLOAT_ROW(fp16, uint16_t, fp16_decode, fp16_encode)
FLOAT_ROW(bf16, uint16_t, bf16_decode, bf16_encode)
FLOAT_ROW(fp8e4m3, uint8_t, fp8e4m3_decode, fp8e4m3_encode)
FLOAT_ROW(fp8e5m2, uint8_t, fp8e5m2_decode, fp8e5m2_encode)

static void int8_unpack_run(const uint8_t *codes, size_t first, size_t n, int8_t *out)
{
    memcpy(out, codes + first, n);
}

static void int8_decode_run(const uint8_t *codes, size_t first, size_t n, int zero, float *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (float)((int8_t)codes[first + i] - zero);
}

/* Nibble k of a row is the low half of byte k/2 when k is even, the high half when it is odd. The
 * loops over whole bytes are written so that compilers vectorize them. */
#define FOR_NIBBLES(OUT, CONVERT)                                                                  \
    do {                                                                                           \
        size_t odd = n > 0 ? first & 1 : 0, pairs = (n - odd) / 2;                                 \
        const uint8_t *p = codes + (first + odd) / 2;                                              \
        if (odd)                                                                                   \
            (OUT)[0] = CONVERT(codes[first / 2] >> 4);                                             \
        for (size_t i = 0; i < pairs; i++) {                                                       \
            (OUT)[odd + 2 * i] = CONVERT(p[i] & 15);                                               \
            (OUT)[odd + 2 * i + 1] = CONVERT(p[i] >> 4);                                           \
        }                                                                                          \
        if (odd + 2 * pairs < n)                                                                   \
            (OUT)[n - 1] = CONVERT(p[pairs] & 15);                                                 \
    } while (0)

static void int4_unpack_run(const uint8_t *codes, size_t first, size_t n, int8_t *out)
{
#define AS_BYTE(nibble) (int8_t)(nibble)
    FOR_NIBBLES(out, AS_BYTE);
#undef AS_BYTE
}

static void int4_decode_run(const uint8_t *codes, size_t first, size_t n, int zero, float *out)
{
#define AS_FLOAT(nibble) (float)((nibble) - zero)
    FOR_NIBBLES(out, AS_FLOAT);
#undef AS_FLOAT
}

#define FLOAT_SLOTS(NAME)                                                                          \
    .encode = NAME##_encode_any, .decode = NAME##_decode_any, .decode_run = NAME##_decode_run
#define INTEGER_SLOTS(NAME) .decode_run = NAME##_decode_run, .unpack_run = NAME##_unpack_run

/* A stored type, with the struct of its blocks, their columns, those of a scale, the codes' grid, and what they have
 * beside the scale; one whose scale is a power of two. */
#define STORED_ROW(NAME, BITS, STRUCT, COLUMNS, SCALED, GRID, OTHER)                                \
    {#NAME, BITS, DTYPE_KIND_BLOCK, COLUMNS, sizeof(struct STRUCT),                                \
     .decode_block = NAME##_decode_block, .split_block = NAME##_split_block,                        \
     .scale_columns = SCALED, .grid = BLOCK_##GRID,                                                 \
     .factors = {offsetof(struct STRUCT, scale), offsetof(struct STRUCT, OTHER)}}

#define MX_ROW(NAME, BITS, STRUCT, GRID)                                                           \
    {#NAME, BITS, DTYPE_KIND_BLOCK, SMALL_BLOCK, sizeof(struct STRUCT),                            \
     .decode_block = NAME##_decode_block, .split_block = NAME##_split_block,                        \
     .scale_columns = SMALL_BLOCK, .grid = BLOCK_##GRID, .factor = FACTOR_E8M0}

const struct dtype_info dtypes[DTYPE_ALL] = {
    [DTYPE_FP32] = {"fp32", 32, DTYPE_KIND_FLOAT, 1, 4, .largest = 0x1.fffffep127f,
                    FLOAT_SLOTS(fp32)},
    [DTYPE_FP16] = {"fp16", 16, DTYPE_KIND_FLOAT, 1, 2, .largest = 65504.0f, FLOAT_SLOTS(fp16)},
    [DTYPE_BF16] = {"bf16", 16, DTYPE_KIND_FLOAT, 1, 2, .largest = 0x1.fep127f, FLOAT_SLOTS(bf16)},
    [DTYPE_INT8] = {"int8", 8, DTYPE_KIND_INTEGER, 1, 1, .largest = 127, .symmetric_zero = 0,
                    .lowest = -128, .highest = 127, .label_offset = 128, INTEGER_SLOTS(int8)},
    [DTYPE_INT4] = {"int4", 4, DTYPE_KIND_INTEGER, 2, 1, .largest = 7, .symmetric_zero = 8,
                    .lowest = 0, .highest = 15, .label_offset = 0, INTEGER_SLOTS(int4)},
    [DTYPE_FP8E4M3] = {"fp8e4m3", 8, DTYPE_KIND_SCALED_FLOAT, 1, 1, .largest = 448.0f,
                       FLOAT_SLOTS(fp8e4m3)},
    [DTYPE_FP8E5M2] = {"fp8e5m2", 8, DTYPE_KIND_SCALED_FLOAT, 1, 1, .largest = 57344.0f,
                       FLOAT_SLOTS(fp8e5m2)},
    [DTYPE_Q8_0] = STORED_ROW(q8_0, 8, block_q8_0, SMALL_BLOCK, SMALL_BLOCK, SYMMETRIC, scale),
    [DTYPE_Q4_0] = STORED_ROW(q4_0, 4, block_q4_0, SMALL_BLOCK, SMALL_BLOCK, SYMMETRIC, scale),
    [DTYPE_Q4_1] = STORED_ROW(q4_1, 5, block_q4_1, SMALL_BLOCK, SMALL_BLOCK, ASYMMETRIC, min),
    [DTYPE_Q5_0] = STORED_ROW(q5_0, 5, block_q5_0, SMALL_BLOCK, SMALL_BLOCK, SYMMETRIC, scale),
    [DTYPE_Q5_1] = STORED_ROW(q5_1, 6, block_q5_1, SMALL_BLOCK, SMALL_BLOCK, ASYMMETRIC, min),
    [DTYPE_Q2_K] = STORED_ROW(q2_k, 3, block_q2_k, K_BLOCK, 16, ASYMMETRIC, min),
    [DTYPE_Q3_K] = STORED_ROW(q3_k, 3, block_q3_k, K_BLOCK, 16, SYMMETRIC, scale),
    [DTYPE_Q4_K] = STORED_ROW(q4_k, 4, block_q4_k, K_BLOCK, 32, ASYMMETRIC, min),
    [DTYPE_Q5_K] = STORED_ROW(q5_k, 5, block_q5_k, K_BLOCK, 32, ASYMMETRIC, min),
    [DTYPE_Q6_K] = STORED_ROW(q6_k, 7, block_q6_k, K_BLOCK, 16, SYMMETRIC, scale),
    [DTYPE_IQ4_NL] = STORED_ROW(iq4_nl, 4, block_q4_0, SMALL_BLOCK, SMALL_BLOCK, TABLE, scale),
    [DTYPE_IQ4_XS] = STORED_ROW(iq4_xs, 4, block_iq4_xs, K_BLOCK, 32, TABLE, scale),
    [DTYPE_MXFP4] = MX_ROW(mxfp4, 4, block_mxfp4, TABLE),
    [DTYPE_TQ2_0] = STORED_ROW(tq2_0, 2, block_tq2_0, K_BLOCK, K_BLOCK, SYMMETRIC, scale),
    [DTYPE_TQ1_0] = STORED_ROW(tq1_0, 2, block_tq1_0, K_BLOCK, K_BLOCK, SYMMETRIC, scale),
    [DTYPE_IQ3_S] = STORED_ROW(iq3_s, 3, block_iq3_s, K_BLOCK, 32, TABLE, scale),
    [DTYPE_IQ3_XXS] = STORED_ROW(iq3_xxs, 3, block_iq3_xxs, K_BLOCK, 32, TABLE, scale),
    [DTYPE_IQ2_S] = STORED_ROW(iq2_s, 3, block_iq2_s, K_BLOCK, 16, TABLE, scale),
    [DTYPE_IQ2_XS] = STORED_ROW(iq2_xs, 2, block_iq2_xs, K_BLOCK, 16, TABLE, scale),
    [DTYPE_IQ2_XXS] = STORED_ROW(iq2_xxs, 2, block_iq2_xxs, K_BLOCK, 32, TABLE, scale),
    [DTYPE_IQ1_S] = STORED_ROW(iq1_s, 2, block_iq1_s, K_BLOCK, 32, TABLE, scale),
    [DTYPE_IQ1_M] = {"iq1_m", 2, DTYPE_KIND_BLOCK, K_BLOCK, sizeof(struct block_iq1_m),
                     .decode_block = iq1_m_decode_block, .split_block = iq1_m_split_block,
                     .scale_columns = 16, .grid = BLOCK_TABLE,
                     .factor = FACTOR_NIBBLES},
    [DTYPE_NVFP4] = {"nvfp4", 4, DTYPE_KIND_BLOCK, NVFP4_BLOCK, sizeof(struct block_nvfp4),
                     .decode_block = nvfp4_decode_block, .split_block = nvfp4_split_block,
                     .scale_columns = 16, .grid = BLOCK_TABLE,
                     .factor = FACTOR_NONE},
    [DTYPE_Q1_0] = STORED_ROW(q1_0, 1, block_q1_0, Q1_0_BLOCK, Q1_0_BLOCK, SYMMETRIC, scale),
    [DTYPE_Q2_0] = STORED_ROW(q2_0, 2, block_q2_0, Q2_0_BLOCK, Q2_0_BLOCK, SYMMETRIC, scale),
    [DTYPE_NF4] = {"nf4", 4, DTYPE_KIND_BLOCK, NF4_BLOCK, sizeof(struct block_nf4), .decode_block = nf4_decode_block,
                   .scale_columns = NF4_BLOCK, .grid = BLOCK_TABLE, .factor = FACTOR_FP32},
};

enum dtype dtype_by_name(const char *name, size_t n)
{
    if (n == 3 && memcmp(name, "fp8", 3) == 0)
        return DTYPE_FP8E4M3;
    for (int t = 0; t < DTYPE_COUNT; t++)
        if (strlen(dtypes[t].name) == n && memcmp(dtypes[t].name, name, n) == 0)
            return (enum dtype)t;
    return DTYPE_COUNT;
}

enum dtype dtype_stored_by_name(const char *name, size_t n)
{
    for (int t = DTYPE_COUNT; t < DTYPE_ALL; t++)
        if (strlen(dtypes[t].name) == n && strncasecmp(dtypes[t].name, name, n) == 0)
            return (enum dtype)t;
    return DTYPE_ALL;
}

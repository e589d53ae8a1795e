/* stored.c - what blocks hold, column by column: the reference that the kernels of gemm_blocks.inc and
 * gemm_int8_blocks.inc are tested against. */
#include "stored.h"

#include "grids.h"

const int8_t iq4_values[16] = {IQ4_VALUES};

const int8_t mxfp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

const float nf4_values[16] = {
    -1.0f,
    -0.6961928009986877f,
    -0.5250730514526367f,
    -0.39491748809814453f,
    -0.28444138169288635f,
    -0.18477343022823334f,
    -0.09105003625154495f,
    0,
    0.07958029955625534f,
    0.16093020141124725f,
    0.24611230194568634f,
    0.33791524171829224f,
    0.44070982933044434f,
    0.5626170039176941f,
    0.7229568362236023f,
    1,
};

/* Column c of codes with `bits` bits each. A run of `bytes` bytes holds the first columns in the lowest bits of its
 * bytes, the next columns in the bits above, and so on. */
static inline unsigned field(const uint8_t *codes, size_t c, size_t bytes, unsigned bits)
{
    size_t columns = bytes * 8 / bits, run = c / columns, in_run = c % columns;
    unsigned byte = codes[run * bytes + in_run % bytes];
    return byte >> bits * (unsigned)(in_run / bytes) & ((1u << bits) - 1);
}

static inline unsigned nibble(const uint8_t *codes, size_t c, size_t bytes)
{
    return field(codes, c, bytes, 4);
}

/* Bit c of a little-endian word. */
static inline unsigned bit(const uint8_t *word, size_t c)
{
    return (unsigned)word[c / 8] >> c % 8 & 1;
}

/* ---- rows of the table ----------------------------------------------------------------------- */

/* Weight c of a block, from its parts. Every product is exact. */
static inline float weight_of(const struct block_parts *p, size_t c, size_t columns, bool mins)
{
    size_t g = c / columns;
    float w = p->factor * (float)p->scales[g] * (float)p->codes[c];
    return mins ? w + p->min * (float)p->mins[g] : w;
}

/* Splits a block: only the parts that its type has. */
typedef void split_fn(const uint8_t *block, struct block_parts *out);

static inline __attribute__((always_inline)) void decode(split_fn *split, const uint8_t *block, size_t columns,
                                                         size_t scaled, bool mins, float *out)
{
    struct block_parts parts;
    split(block, &parts);
    for (size_t c = 0; c < columns; c++)
        out[c] = weight_of(&parts, c, scaled, mins);
}

/* The functions of a type with blocks of COLUMNS, of which SCALED share a scale, from NAME_split. */
#define BLOCK_TYPE(NAME, COLUMNS, SCALED, MINS)                                                    \
    void NAME##_decode_block(const uint8_t *block, float *out)                                     \
    {                                                                                              \
        decode(NAME##_split, block, COLUMNS, SCALED, MINS, out);                                   \
    }                                                                                              \
    void NAME##_split_block(const uint8_t *block, struct block_parts *out)                         \
    {                                                                                              \
        *out = (struct block_parts){0};                                                            \
        NAME##_split(block, out);                                                                  \
    }

/* ---- blocks of 32 ---------------------------------------------------------------------------- */

/* Of a block whose columns have one scale. */
static void one_scale(float scale, struct block_parts *out)
{
    out->factor = scale;
    out->scales[0] = 1;
}

static void scale_and_min(float scale, float min, struct block_parts *out)
{
    one_scale(scale, out);
    out->min = min;
    out->mins[0] = 1;
}

static void q8_0_split(const uint8_t *block, struct block_parts *out)
{
    const struct block_q8_0 *b = (const void *)block;
    one_scale(half_at(b->scale), out);
    memcpy(out->codes, b->codes, sizeof b->codes);
}

static void q4_0_split(const uint8_t *block, struct block_parts *out)
{
    const struct block_q4_0 *b = (const void *)block;
    one_scale(half_at(b->scale), out);
    for (size_t c = 0; c < SMALL_BLOCK; c++)
        out->codes[c] = (int8_t)((int)nibble(b->codes, c, 16) - 8);
}

static void q4_1_split(const uint8_t *block, struct block_parts *out)
{
    const struct block_q4_1 *b = (const void *)block;
    scale_and_min(half_at(b->scale), half_at(b->min), out);
    for (size_t c = 0; c < SMALL_BLOCK; c++)
        out->codes[c] = (int8_t)nibble(b->codes, c, 16);
}

static void q5_0_split(const uint8_t *block, struct block_parts *out)
{
    const struct block_q5_0 *b = (const void *)block;
    one_scale(half_at(b->scale), out);
    for (size_t c = 0; c < SMALL_BLOCK; c++)
        out->codes[c] = (int8_t)((int)(nibble(b->low, c, 16) | bit(b->high, c) << 4) - 16);
}

static void q5_1_split(const uint8_t *block, struct block_parts *out)
{
    const struct block_q5_1 *b = (const void *)block;
    scale_and_min(half_at(b->scale), half_at(b->min), out);
    for (size_t c = 0; c < SMALL_BLOCK; c++)
        out->codes[c] = (int8_t)(nibble(b->low, c, 16) | bit(b->high, c) << 4);
}

static void iq4_nl_split(const uint8_t *block, struct block_parts *out)
{
    const struct block_q4_0 *b = (const void *)block;
    one_scale(half_at(b->scale), out);
    for (size_t c = 0; c < SMALL_BLOCK; c++)
        out->codes[c] = iq4_values[nibble(b->codes, c, 16)];
}

static void mxfp4_split(const uint8_t *block, struct block_parts *out)
{
    const struct block_mxfp4 *b = (const void *)block;
    one_scale(half_e8m0(b->scale), out);
    for (size_t c = 0; c < SMALL_BLOCK; c++)
        out->codes[c] = mxfp4_values[nibble(b->codes, c, 16)];
}

/* The scales are multiples of the smallest, 2^-10. */
static void nvfp4_split(const uint8_t *block, struct block_parts *out)
{
    const struct block_nvfp4 *b = (const void *)block;
    out->factor = 0x1p-10f;
    for (size_t g = 0; g < NVFP4_BLOCK / 16; g++)
        out->scales[g] = (int32_t)(half_ue4m3(b->scales[g]) * 0x1p10f);
    for (size_t c = 0; c < NVFP4_BLOCK; c++)
        out->codes[c] = mxfp4_values[nibble(b->codes, c, 8)];
}

static void q1_0_split(const uint8_t *block, struct block_parts *out)
{
    const struct block_q1_0 *b = (const void *)block;
    one_scale(half_at(b->scale), out);
    for (size_t c = 0; c < Q1_0_BLOCK; c++)
        out->codes[c] = bit(b->codes, c) ? 1 : -1;
}

static void q2_0_split(const uint8_t *block, struct block_parts *out)
{
    const struct block_q2_0 *b = (const void *)block;
    one_scale(half_at(b->scale), out);
    for (size_t c = 0; c < Q2_0_BLOCK; c++)
        out->codes[c] = (int8_t)((int)((unsigned)b->codes[c / 4] >> 2 * (c % 4) & 3) - 1);
}

BLOCK_TYPE(q8_0, SMALL_BLOCK, SMALL_BLOCK, false)
BLOCK_TYPE(q4_0, SMALL_BLOCK, SMALL_BLOCK, false)
BLOCK_TYPE(q4_1, SMALL_BLOCK, SMALL_BLOCK, true)
BLOCK_TYPE(q5_0, SMALL_BLOCK, SMALL_BLOCK, false)
BLOCK_TYPE(q5_1, SMALL_BLOCK, SMALL_BLOCK, true)
BLOCK_TYPE(iq4_nl, SMALL_BLOCK, SMALL_BLOCK, false)
BLOCK_TYPE(mxfp4, SMALL_BLOCK, SMALL_BLOCK, false)
BLOCK_TYPE(nvfp4, NVFP4_BLOCK, 16, false)
BLOCK_TYPE(q1_0, Q1_0_BLOCK, Q1_0_BLOCK, false)
BLOCK_TYPE(q2_0, Q2_0_BLOCK, Q2_0_BLOCK, false)

/* Values are no integers: there are no parts. */
void nf4_decode_block(const uint8_t *block, float *out)
{
    const struct block_nf4 *b = (const void *)block;
    float scale = float_at(b->scale);
    for (size_t i = 0; i < sizeof b->codes; i++) {
        out[2 * i] = scale * nf4_values[b->codes[i] >> 4];
        out[2 * i + 1] = scale * nf4_values[b->codes[i] & 15];
    }
}

/* ---- blocks of 256 --------------------------------------------------------------------------- */

static void q2_k_split(const uint8_t *block, struct block_parts *out)
{
    const struct block_q2_k *b = (const void *)block;
    out->factor = half_at(b->scale);
    out->min = -half_at(b->min);
    for (size_t g = 0; g < K_BLOCK / 16; g++) {
        out->scales[g] = b->scales[g] & 15;
        out->mins[g] = b->scales[g] >> 4;
    }
    for (size_t c = 0; c < K_BLOCK; c++)
        out->codes[c] = (int8_t)field(b->codes, c, 32, 2);
}

static void q3_k_split(const uint8_t *block, struct block_parts *out)
{
    const struct block_q3_k *b = (const void *)block;
    out->factor = half_at(b->scale);
    for (size_t g = 0; g < K_BLOCK / 16; g++)
        out->scales[g] = q3_k_scale(b->scales, g);
    for (size_t c = 0; c < K_BLOCK; c++) {
        unsigned code = field(b->low, c, 32, 2) | field(b->high, c, 32, 1) << 2;
        out->codes[c] = (int8_t)((int)code - 4);
    }
}

static void split_k_scales(const uint8_t scales[12], struct block_parts *out)
{
    for (size_t g = 0; g < K_BLOCK / 32; g++) {
        out->scales[g] = (int32_t)k_scale(scales, g);
        out->mins[g] = (int32_t)k_min(scales, g);
    }
}

static void q4_k_split(const uint8_t *block, struct block_parts *out)
{
    const struct block_q4_k *b = (const void *)block;
    out->factor = half_at(b->scale);
    out->min = -half_at(b->min);
    split_k_scales(b->scales, out);
    for (size_t c = 0; c < K_BLOCK; c++)
        out->codes[c] = (int8_t)nibble(b->codes, c, 32);
}

static void q5_k_split(const uint8_t *block, struct block_parts *out)
{
    const struct block_q5_k *b = (const void *)block;
    out->factor = half_at(b->scale);
    out->min = -half_at(b->min);
    split_k_scales(b->scales, out);
    for (size_t c = 0; c < K_BLOCK; c++)
        out->codes[c] = (int8_t)(nibble(b->low, c, 32) | field(b->high, c, 32, 1) << 4);
}

static void q6_k_split(const uint8_t *block, struct block_parts *out)
{
    const struct block_q6_k *b = (const void *)block;
    out->factor = half_at(b->scale);
    for (size_t g = 0; g < K_BLOCK / 16; g++)
        out->scales[g] = b->scales[g];
    for (size_t c = 0; c < K_BLOCK; c++) {
        unsigned code = nibble(b->low, c, 64) | field(b->high, c, 32, 2) << 4;
        out->codes[c] = (int8_t)((int)code - 32);
    }
}

static void iq4_xs_split(const uint8_t *block, struct block_parts *out)
{
    const struct block_iq4_xs *b = (const void *)block;
    out->factor = half_at(b->scale);
    for (size_t g = 0; g < K_BLOCK / 32; g++)
        out->scales[g] = iq4_xs_scale(b, g);
    for (size_t c = 0; c < K_BLOCK; c++)
        out->codes[c] = iq4_values[nibble(b->codes, c, 16)];
}

static void tq2_0_split(const uint8_t *block, struct block_parts *out)
{
    const struct block_tq2_0 *b = (const void *)block;
    one_scale(half_at(b->scale), out);
    for (size_t c = 0; c < K_BLOCK; c++)
        out->codes[c] = (int8_t)((int)field(b->codes, c, 32, 2) - 1);
}

/* A byte is a fraction of 256 whose digits to base 3 are codes, the first column's behind the point: digit n. */
static unsigned ternary_digit(uint8_t byte, size_t n)
{
    static const uint8_t powers[] = {1, 3, 9, 27, 81};
    unsigned rest = (unsigned)byte * powers[n] & 255;
    return rest * 3 >> 8;
}

/* Column c of codes whose first `bytes` hold the first columns in their first digits, then the next in their second. */
static unsigned ternary(const uint8_t *codes, size_t c, size_t bytes)
{
    return ternary_digit(codes[c % bytes], c / bytes);
}

static void tq1_0_split(const uint8_t *block, struct block_parts *out)
{
    const struct block_tq1_0 *b = (const void *)block;
    one_scale(half_at(b->scale), out);
    for (size_t c = 0; c < K_BLOCK; c++) {
        unsigned code = c < 160 ? ternary(b->codes, c, 32)
                        : c < 240 ? ternary(b->codes + 32, c - 160, 16) : ternary(b->codes + 48, c - 240, 4);
        out->codes[c] = (int8_t)((int)code - 1);
    }
}

BLOCK_TYPE(q2_k, K_BLOCK, 16, true)
BLOCK_TYPE(q3_k, K_BLOCK, 16, false)
BLOCK_TYPE(q4_k, K_BLOCK, 32, true)
BLOCK_TYPE(q5_k, K_BLOCK, 32, true)
BLOCK_TYPE(q6_k, K_BLOCK, 16, false)
BLOCK_TYPE(iq4_xs, K_BLOCK, 32, false)
BLOCK_TYPE(tq2_0, K_BLOCK, K_BLOCK, false)
BLOCK_TYPE(tq1_0, K_BLOCK, K_BLOCK, false)

/* ---- grids ----------------------------------------------------------------------------------- */

/* A little-endian word. */
static uint32_t word_from(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* Nibble i of bytes, the low one of a byte first. */
static unsigned nibble_at(const uint8_t *bytes, size_t i)
{
    return (unsigned)bytes[i / 2] >> 4 * (i % 2) & 15;
}

/* Code k of an entry with its sign. */
static int8_t signed_code(uint64_t entry, size_t k, unsigned minus)
{
    int code = (int)(entry >> 8 * k & 255);
    return (int8_t)(minus ? -code : code);
}

static int32_t odd(unsigned half)
{
    return (int32_t)(2 * half + 1);
}

static void iq3_s_split(const uint8_t *block, struct block_parts *out)
{
    const struct block_iq3_s *b = (const void *)block;
    out->factor = half_at(b->scale);
    for (size_t g = 0; g < K_BLOCK / 32; g++)
        out->scales[g] = odd(nibble_at(b->scales, g));
    for (size_t c = 0; c < K_BLOCK; c++) {
        uint32_t entry = iq3_s_grid[b->low[c / 4] | bit(b->high, c / 4) << 8];
        out->codes[c] = signed_code(entry, c % 4, bit(b->signs, c));
    }
}

static void iq3_xxs_split(const uint8_t *block, struct block_parts *out)
{
    const struct block_iq3_xxs *b = (const void *)block;
    out->factor = half_at(b->scale) * 0.25f;
    for (size_t c = 0; c < K_BLOCK; c++) {
        uint32_t signs = word_from(b->signs + c / 32 * 4), entry = iq3_xxs_grid[b->codes[c / 4]];
        out->scales[c / 32] = odd(signs >> 28);
        out->codes[c] = signed_code(entry, c % 4, sign_at(signs, c % 32));
    }
}

static void iq2_s_split(const uint8_t *block, struct block_parts *out)
{
    const struct block_iq2_s *b = (const void *)block;
    out->factor = half_at(b->scale) * 0.125f;
    for (size_t g = 0; g < K_BLOCK / 16; g++)
        out->scales[g] = odd(nibble_at(b->scales, g));
    for (size_t c = 0; c < K_BLOCK; c++) {
        unsigned high = (unsigned)b->high[c / 32] >> 2 * (c / 8 % 4) & 3;
        uint64_t entry = iq2_s_grid[b->low[c / 8] | high << 8];
        out->codes[c] = signed_code(entry, c % 8, bit(b->signs, c));
    }
}

static void iq2_xs_split(const uint8_t *block, struct block_parts *out)
{
    const struct block_iq2_xs *b = (const void *)block;
    out->factor = half_at(b->scale) * 0.125f;
    for (size_t g = 0; g < K_BLOCK / 16; g++)
        out->scales[g] = odd(nibble_at(b->scales, g));
    for (size_t c = 0; c < K_BLOCK; c++) {
        const uint8_t *code = b->codes + c / 8 * 2;
        unsigned minus = sign_at((uint32_t)code[1] >> 1, c % 8);
        out->codes[c] = signed_code(iq2_xs_grid[code[0] | (code[1] & 1) << 8], c % 8, minus);
    }
}

static void iq2_xxs_split(const uint8_t *block, struct block_parts *out)
{
    const struct block_iq2_xxs *b = (const void *)block;
    out->factor = half_at(b->scale) * 0.125f;
    for (size_t c = 0; c < K_BLOCK; c++) {
        const uint8_t *codes = b->codes + c / 32 * 8;
        uint32_t signs = word_from(codes + 4);
        out->scales[c / 32] = odd(signs >> 28);
        out->codes[c] = signed_code(iq2_xxs_grid[codes[c / 8 % 4]], c % 8, sign_at(signs, c % 32));
    }
}

/* Code k of an entry, which is times 8, plus or minus 1. */
static int8_t shifted_code(uint64_t entry, size_t k, unsigned minus)
{
    return (int8_t)((int8_t)(entry >> 8 * k) + (minus ? -1 : 1));
}

static void iq1_s_split(const uint8_t *block, struct block_parts *out)
{
    const struct block_iq1_s *b = (const void *)block;
    out->factor = half_at(b->scale) * 0.125f;
    for (size_t c = 0; c < K_BLOCK; c++) {
        const uint8_t *at = b->high + c / 32 * 2;
        unsigned high = at[0] | (unsigned)at[1] << 8;
        uint64_t entry = iq1_grid[b->low[c / 8] | (high >> 3 * (c / 8 % 4) & 7) << 8];
        out->scales[c / 32] = odd(high >> 12 & 7);
        out->codes[c] = shifted_code(entry, c % 8, high >> 15);
    }
}

static void iq1_m_split(const uint8_t *block, struct block_parts *out)
{
    const struct block_iq1_m *b = (const void *)block;
    out->factor = fp16_decode(iq1_m_factor(b->scales)) * 0.125f;
    for (size_t c = 0; c < K_BLOCK; c++) {
        const uint8_t *at = b->scales + c / 64 * 2;
        unsigned high = nibble_at(b->high, c / 8), scales = at[0] | (unsigned)at[1] << 8;
        out->scales[c / 16] = odd(scales >> 3 * (c / 16 % 4) & 7);
        out->codes[c] = shifted_code(iq1_grid[b->low[c / 8] | (high & 7) << 8], c % 8, high >> 3);
    }
}

BLOCK_TYPE(iq3_s, K_BLOCK, 32, false)
BLOCK_TYPE(iq3_xxs, K_BLOCK, 32, false)
BLOCK_TYPE(iq2_s, K_BLOCK, 16, false)
BLOCK_TYPE(iq2_xs, K_BLOCK, 16, false)
BLOCK_TYPE(iq2_xxs, K_BLOCK, 32, false)
BLOCK_TYPE(iq1_s, K_BLOCK, 32, false)
BLOCK_TYPE(iq1_m, K_BLOCK, 16, false)

/* stored.c - the exact values of blocks, column by column: the reference that the kernels of gemm_blocks.inc are tested
 * against. */
#include "stored.h"

#include "grids.h"

const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                               1,    13,   25,  38,  53,  69,  89,  113};

const int8_t mxfp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

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

/* ---- blocks of 32 ---------------------------------------------------------------------------- */

void q8_0_decode_block(const uint8_t *block, float *out)
{
    const struct block_q8_0 *b = (const void *)block;
    float scale = half_at(b->scale);
    for (size_t c = 0; c < SMALL_BLOCK; c++)
        out[c] = scale * (float)b->codes[c];
}

void q4_0_decode_block(const uint8_t *block, float *out)
{
    const struct block_q4_0 *b = (const void *)block;
    float scale = half_at(b->scale);
    for (size_t c = 0; c < SMALL_BLOCK; c++)
        out[c] = scale * (float)((int)nibble(b->codes, c, 16) - 8);
}

void q4_1_decode_block(const uint8_t *block, float *out)
{
    const struct block_q4_1 *b = (const void *)block;
    float scale = half_at(b->scale), min = half_at(b->min);
    for (size_t c = 0; c < SMALL_BLOCK; c++)
        out[c] = scale * (float)nibble(b->codes, c, 16) + min;
}

void q5_0_decode_block(const uint8_t *block, float *out)
{
    const struct block_q5_0 *b = (const void *)block;
    float scale = half_at(b->scale);
    for (size_t c = 0; c < SMALL_BLOCK; c++)
        out[c] = scale * (float)((int)(nibble(b->low, c, 16) | bit(b->high, c) << 4) - 16);
}

void q5_1_decode_block(const uint8_t *block, float *out)
{
    const struct block_q5_1 *b = (const void *)block;
    float scale = half_at(b->scale), min = half_at(b->min);
    for (size_t c = 0; c < SMALL_BLOCK; c++)
        out[c] = scale * (float)(nibble(b->low, c, 16) | bit(b->high, c) << 4) + min;
}

void iq4_nl_decode_block(const uint8_t *block, float *out)
{
    const struct block_q4_0 *b = (const void *)block;
    float scale = half_at(b->scale);
    for (size_t c = 0; c < SMALL_BLOCK; c++)
        out[c] = scale * (float)iq4_values[nibble(b->codes, c, 16)];
}

void mxfp4_decode_block(const uint8_t *block, float *out)
{
    const struct block_mxfp4 *b = (const void *)block;
    float scale = half_e8m0(b->scale);
    for (size_t c = 0; c < SMALL_BLOCK; c++)
        out[c] = scale * (float)mxfp4_values[nibble(b->codes, c, 16)];
}

void nvfp4_decode_block(const uint8_t *block, float *out)
{
    const struct block_nvfp4 *b = (const void *)block;
    for (size_t c = 0; c < NVFP4_BLOCK; c++)
        out[c] = half_ue4m3(b->scales[c / 16]) * (float)mxfp4_values[nibble(b->codes, c, 8)];
}

void q1_0_decode_block(const uint8_t *block, float *out)
{
    const struct block_q1_0 *b = (const void *)block;
    float scale = half_at(b->scale);
    for (size_t c = 0; c < Q1_0_BLOCK; c++)
        out[c] = bit(b->codes, c) ? scale : -scale;
}

void q2_0_decode_block(const uint8_t *block, float *out)
{
    const struct block_q2_0 *b = (const void *)block;
    float scale = half_at(b->scale);
    for (size_t c = 0; c < Q2_0_BLOCK; c++)
        out[c] = scale * (float)((int)((unsigned)b->codes[c / 4] >> 2 * (c % 4) & 3) - 1);
}

/* ---- blocks of 256 --------------------------------------------------------------------------- */

void q2_k_decode_block(const uint8_t *block, float *out)
{
    const struct block_q2_k *b = (const void *)block;
    float scale = half_at(b->scale), min = half_at(b->min);
    for (size_t c = 0; c < K_BLOCK; c++) {
        unsigned both = b->scales[c / 16];
        out[c] = scale * (float)(both & 15) * (float)field(b->codes, c, 32, 2) -
                 min * (float)(both >> 4);
    }
}

void q3_k_decode_block(const uint8_t *block, float *out)
{
    const struct block_q3_k *b = (const void *)block;
    float scale = half_at(b->scale);
    for (size_t c = 0; c < K_BLOCK; c++) {
        unsigned code = field(b->low, c, 32, 2) | field(b->high, c, 32, 1) << 2;
        out[c] = scale * (float)q3_k_scale(b->scales, c / 16) * (float)((int)code - 4);
    }
}

void q4_k_decode_block(const uint8_t *block, float *out)
{
    const struct block_q4_k *b = (const void *)block;
    float scale = half_at(b->scale), min = half_at(b->min);
    for (size_t c = 0; c < K_BLOCK; c++)
        out[c] = scale * (float)k_scale(b->scales, c / 32) * (float)nibble(b->codes, c, 32) -
                 min * (float)k_min(b->scales, c / 32);
}

void q5_k_decode_block(const uint8_t *block, float *out)
{
    const struct block_q5_k *b = (const void *)block;
    float scale = half_at(b->scale), min = half_at(b->min);
    for (size_t c = 0; c < K_BLOCK; c++) {
        unsigned code = nibble(b->low, c, 32) | field(b->high, c, 32, 1) << 4;
        out[c] = scale * (float)k_scale(b->scales, c / 32) * (float)code -
                 min * (float)k_min(b->scales, c / 32);
    }
}

void q6_k_decode_block(const uint8_t *block, float *out)
{
    const struct block_q6_k *b = (const void *)block;
    float scale = half_at(b->scale);
    for (size_t c = 0; c < K_BLOCK; c++) {
        unsigned code = nibble(b->low, c, 64) | field(b->high, c, 32, 2) << 4;
        out[c] = scale * (float)b->scales[c / 16] * (float)((int)code - 32);
    }
}

void iq4_xs_decode_block(const uint8_t *block, float *out)
{
    const struct block_iq4_xs *b = (const void *)block;
    float scale = half_at(b->scale);
    for (size_t c = 0; c < K_BLOCK; c++)
        out[c] = scale * (float)iq4_xs_scale(b, c / 32) * (float)iq4_values[nibble(b->codes, c, 16)];
}

void tq2_0_decode_block(const uint8_t *block, float *out)
{
    const struct block_tq2_0 *b = (const void *)block;
    float scale = half_at(b->scale);
    for (size_t c = 0; c < K_BLOCK; c++)
        out[c] = scale * (float)((int)field(b->codes, c, 32, 2) - 1);
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

void tq1_0_decode_block(const uint8_t *block, float *out)
{
    const struct block_tq1_0 *b = (const void *)block;
    float scale = half_at(b->scale);
    for (size_t c = 0; c < K_BLOCK; c++) {
        unsigned code = c < 160 ? ternary(b->codes, c, 32)
                        : c < 240 ? ternary(b->codes + 32, c - 160, 16) : ternary(b->codes + 48, c - 240, 4);
        out[c] = scale * (float)((int)code - 1);
    }
}

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
static float signed_code(uint64_t entry, size_t k, unsigned minus)
{
    int code = (int)(entry >> 8 * k & 255);
    return (float)(minus ? -code : code);
}

static float odd(unsigned half)
{
    return (float)(2 * half + 1);
}

void iq3_s_decode_block(const uint8_t *block, float *out)
{
    const struct block_iq3_s *b = (const void *)block;
    float scale = half_at(b->scale);
    for (size_t c = 0; c < K_BLOCK; c++) {
        uint32_t entry = iq3_s_grid[b->low[c / 4] | bit(b->high, c / 4) << 8];
        out[c] = scale * odd(nibble_at(b->scales, c / 32)) * signed_code(entry, c % 4, bit(b->signs, c));
    }
}

void iq3_xxs_decode_block(const uint8_t *block, float *out)
{
    const struct block_iq3_xxs *b = (const void *)block;
    float scale = half_at(b->scale) * 0.25f;
    for (size_t c = 0; c < K_BLOCK; c++) {
        uint32_t signs = word_from(b->signs + c / 32 * 4), entry = iq3_xxs_grid[b->codes[c / 4]];
        out[c] = scale * odd(signs >> 28) * signed_code(entry, c % 4, sign_at(signs, c % 32));
    }
}

void iq2_s_decode_block(const uint8_t *block, float *out)
{
    const struct block_iq2_s *b = (const void *)block;
    float scale = half_at(b->scale) * 0.125f;
    for (size_t c = 0; c < K_BLOCK; c++) {
        unsigned high = (unsigned)b->high[c / 32] >> 2 * (c / 8 % 4) & 3;
        uint64_t entry = iq2_s_grid[b->low[c / 8] | high << 8];
        out[c] = scale * odd(nibble_at(b->scales, c / 16)) * signed_code(entry, c % 8, bit(b->signs, c));
    }
}

void iq2_xs_decode_block(const uint8_t *block, float *out)
{
    const struct block_iq2_xs *b = (const void *)block;
    float scale = half_at(b->scale) * 0.125f;
    for (size_t c = 0; c < K_BLOCK; c++) {
        const uint8_t *code = b->codes + c / 8 * 2;
        unsigned minus = sign_at((uint32_t)code[1] >> 1, c % 8);
        uint64_t entry = iq2_xs_grid[code[0] | (code[1] & 1) << 8];
        out[c] = scale * odd(nibble_at(b->scales, c / 16)) * signed_code(entry, c % 8, minus);
    }
}

void iq2_xxs_decode_block(const uint8_t *block, float *out)
{
    const struct block_iq2_xxs *b = (const void *)block;
    float scale = half_at(b->scale) * 0.125f;
    for (size_t c = 0; c < K_BLOCK; c++) {
        const uint8_t *codes = b->codes + c / 32 * 8;
        uint32_t signs = word_from(codes + 4);
        out[c] = scale * odd(signs >> 28) * signed_code(iq2_xxs_grid[codes[c / 8 % 4]], c % 8, sign_at(signs, c % 32));
    }
}

/* Code k of an entry, which is times 8, plus or minus 1. */
static float shifted_code(uint64_t entry, size_t k, unsigned minus)
{
    return (float)((int8_t)(entry >> 8 * k) + (minus ? -1 : 1));
}

void iq1_s_decode_block(const uint8_t *block, float *out)
{
    const struct block_iq1_s *b = (const void *)block;
    float scale = half_at(b->scale) * 0.125f;
    for (size_t c = 0; c < K_BLOCK; c++) {
        const uint8_t *at = b->high + c / 32 * 2;
        unsigned high = at[0] | (unsigned)at[1] << 8;
        uint64_t entry = iq1_grid[b->low[c / 8] | (high >> 3 * (c / 8 % 4) & 7) << 8];
        out[c] = scale * odd(high >> 12 & 7) * shifted_code(entry, c % 8, high >> 15);
    }
}

void iq1_m_decode_block(const uint8_t *block, float *out)
{
    const struct block_iq1_m *b = (const void *)block;
    float scale = fp16_decode(iq1_m_factor(b->scales)) * 0.125f;
    for (size_t c = 0; c < K_BLOCK; c++) {
        const uint8_t *at = b->scales + c / 64 * 2;
        unsigned high = nibble_at(b->high, c / 8), scales = at[0] | (unsigned)at[1] << 8;
        uint64_t entry = iq1_grid[b->low[c / 8] | (high & 7) << 8];
        out[c] = scale * odd(scales >> 3 * (c / 16 % 4) & 7) * shifted_code(entry, c % 8, high >> 3);
    }
}

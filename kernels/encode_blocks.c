#include "encode_blocks.h"
#include "encode_grids.h"

#include <string.h>

/* ---- fields ---------------------------------------------------------------------------------- */

/* n codes with `bits` bits each, of which `shift` lower ones are left out. Each run of `bytes` bytes takes the next
 * columns: the first in the lowest bits of its bytes, and so on. `out` is 0. */
static void put_fields(const uint8_t *codes, size_t n, size_t bytes, unsigned bits, unsigned shift, uint8_t *out)
{
    size_t columns = bytes * 8 / bits;
    for (size_t c = 0; c < n; c++) {
        unsigned field = codes[c] >> shift & ((1u << bits) - 1);
        out[c / columns * bytes + c % columns % bytes] |= (uint8_t)(field << bits * (unsigned)(c % columns / bytes));
    }
}

static void put_bits(const uint8_t *codes, size_t n, unsigned shift, uint8_t *out)
{
    for (size_t c = 0; c < n; c++)
        out[c / 8] |= (uint8_t)((codes[c] >> shift & 1) << c % 8);
}

/* Scales and minimums of 6 bits: see k_scale and k_min. */
static void put_k_scales(const int scale[8], const int min[8], uint8_t out[12])
{
    for (size_t i = 0; i < 4; i++) {
        out[i] = (uint8_t)(scale[i] | scale[i + 4] >> 4 << 6);
        out[i + 4] = (uint8_t)(min[i] | min[i + 4] >> 4 << 6);
        out[i + 8] = (uint8_t)((scale[i + 4] & 15) | (min[i + 4] & 15) << 4);
    }
}

/* ---- blocks of 32 ---------------------------------------------------------------------------- */

static void put_q8_0(const struct fitted *f, uint8_t *block)
{
    struct block_q8_0 *b = (void *)block;
    put_half(b->scale, f->factor);
    for (size_t c = 0; c < SMALL_BLOCK; c++)
        b->codes[c] = (int8_t)(f->codes[c] - 127);
}

/* Of all types that begin with their scale and have nothing else. */
static void get_scale(const uint8_t *block, struct fitted *f)
{
    f->factor = half_at(block);
}

/* Of those that begin with their scale and minimum. */
static void get_scale_and_min(const uint8_t *block, struct fitted *f)
{
    f->factor = half_at(block);
    f->min_factor = -half_at(block + 2);
}

static void put_q4_0(const struct fitted *f, uint8_t *block)
{
    struct block_q4_0 *b = (void *)block;
    put_half(b->scale, f->factor);
    put_fields(f->codes, SMALL_BLOCK, 16, 4, 0, b->codes);
}

static void put_q4_1(const struct fitted *f, uint8_t *block)
{
    struct block_q4_1 *b = (void *)block;
    put_half(b->scale, f->factor);
    put_half(b->min, -f->min_factor);
    put_fields(f->codes, SMALL_BLOCK, 16, 4, 0, b->codes);
}

static void put_q5_0(const struct fitted *f, uint8_t *block)
{
    struct block_q5_0 *b = (void *)block;
    put_half(b->scale, f->factor);
    put_bits(f->codes, SMALL_BLOCK, 4, b->high);
    put_fields(f->codes, SMALL_BLOCK, 16, 4, 0, b->low);
}

static void put_q5_1(const struct fitted *f, uint8_t *block)
{
    struct block_q5_1 *b = (void *)block;
    put_half(b->scale, f->factor);
    put_half(b->min, -f->min_factor);
    put_bits(f->codes, SMALL_BLOCK, 4, b->high);
    put_fields(f->codes, SMALL_BLOCK, 16, 4, 0, b->low);
}

static void put_mxfp4(const struct fitted *f, uint8_t *block)
{
    struct block_mxfp4 *b = (void *)block;
    b->scale = (uint8_t)f->scale[0];
    put_fields(f->codes, SMALL_BLOCK, 16, 4, 0, b->codes);
}

static void get_mxfp4(const uint8_t *block, struct fitted *f)
{
    f->scale[0] = ((const struct block_mxfp4 *)(const void *)block)->scale;
}

static void put_nvfp4(const struct fitted *f, uint8_t *block)
{
    struct block_nvfp4 *b = (void *)block;
    for (size_t g = 0; g < 4; g++)
        b->scales[g] = (uint8_t)f->scale[g];
    put_fields(f->codes, NVFP4_BLOCK, 8, 4, 0, b->codes);
}

static void get_nvfp4(const uint8_t *block, struct fitted *f)
{
    const struct block_nvfp4 *b = (const void *)block;
    for (size_t g = 0; g < 4; g++)
        f->scale[g] = b->scales[g];
}

static void put_nf4(const struct fitted *f, uint8_t *block)
{
    struct block_nf4 *b = (void *)block;
    memcpy(b->scale, &f->factor, sizeof b->scale);
    for (size_t i = 0; i < sizeof b->codes; i++)
        b->codes[i] = (uint8_t)(f->codes[2 * i] << 4 | f->codes[2 * i + 1]);
}

static void get_nf4(const uint8_t *block, struct fitted *f)
{
    f->factor = float_at(((const struct block_nf4 *)(const void *)block)->scale);
}

/* ---- blocks of 256 --------------------------------------------------------------------------- */

static void put_q2_k(const struct fitted *f, uint8_t *block)
{
    struct block_q2_k *b = (void *)block;
    put_half(b->scale, f->factor);
    put_half(b->min, f->min_factor);
    for (size_t g = 0; g < 16; g++)
        b->scales[g] = (uint8_t)(f->scale[g] | f->min[g] << 4);
    put_fields(f->codes, K_BLOCK, 32, 2, 0, b->codes);
}

static void get_q2_k(const uint8_t *block, struct fitted *f)
{
    const struct block_q2_k *b = (const void *)block;
    f->factor = half_at(b->scale);
    f->min_factor = half_at(b->min);
    for (size_t g = 0; g < 16; g++) {
        f->scale[g] = b->scales[g] & 15;
        f->min[g] = b->scales[g] >> 4;
    }
}

static void put_q3_k(const struct fitted *f, uint8_t *block)
{
    struct block_q3_k *b = (void *)block;
    put_half(b->scale, f->factor);
    for (size_t g = 0; g < 16; g++) {
        unsigned scale = (unsigned)(f->scale[g] + 32);
        b->scales[g % 8] |= (uint8_t)((scale & 15) << 4 * (g / 8));
        b->scales[8 + g % 4] |= (uint8_t)(scale >> 4 << 2 * (g / 4));
    }
    put_fields(f->codes, K_BLOCK, 32, 2, 0, b->low);
    put_fields(f->codes, K_BLOCK, 32, 1, 2, b->high);
}

static void get_q3_k(const uint8_t *block, struct fitted *f)
{
    const struct block_q3_k *b = (const void *)block;
    f->factor = half_at(b->scale);
    for (size_t g = 0; g < 16; g++)
        f->scale[g] = q3_k_scale(b->scales, g);
}

static void put_q4_k(const struct fitted *f, uint8_t *block)
{
    struct block_q4_k *b = (void *)block;
    put_half(b->scale, f->factor);
    put_half(b->min, f->min_factor);
    put_k_scales(f->scale, f->min, b->scales);
    put_fields(f->codes, K_BLOCK, 32, 4, 0, b->codes);
}

/* q5_k begins as q4_k does. */
static void get_q4_k(const uint8_t *block, struct fitted *f)
{
    const struct block_q4_k *b = (const void *)block;
    f->factor = half_at(b->scale);
    f->min_factor = half_at(b->min);
    for (size_t g = 0; g < 8; g++) {
        f->scale[g] = (int)k_scale(b->scales, g);
        f->min[g] = (int)k_min(b->scales, g);
    }
}

static void put_q5_k(const struct fitted *f, uint8_t *block)
{
    struct block_q5_k *b = (void *)block;
    put_half(b->scale, f->factor);
    put_half(b->min, f->min_factor);
    put_k_scales(f->scale, f->min, b->scales);
    put_fields(f->codes, K_BLOCK, 32, 4, 0, b->low);
    put_fields(f->codes, K_BLOCK, 32, 1, 4, b->high);
}

static void put_q6_k(const struct fitted *f, uint8_t *block)
{
    struct block_q6_k *b = (void *)block;
    put_half(b->scale, f->factor);
    for (size_t g = 0; g < 16; g++)
        b->scales[g] = (int8_t)f->scale[g];
    put_fields(f->codes, K_BLOCK, 64, 4, 0, b->low);
    put_fields(f->codes, K_BLOCK, 32, 2, 4, b->high);
}

static void get_q6_k(const uint8_t *block, struct fitted *f)
{
    const struct block_q6_k *b = (const void *)block;
    f->factor = half_at(b->scale);
    for (size_t g = 0; g < 16; g++)
        f->scale[g] = b->scales[g];
}

static void put_iq4_xs(const struct fitted *f, uint8_t *block)
{
    struct block_iq4_xs *b = (void *)block;
    put_half(b->scale, f->factor);
    for (size_t g = 0; g < 8; g++) {
        unsigned scale = (unsigned)(f->scale[g] + 32);
        b->scales_low[g / 2] |= (uint8_t)((scale & 15) << 4 * (g % 2));
        b->scales_high[g / 4] |= (uint8_t)(scale >> 4 << 2 * (g % 4));
    }
    put_fields(f->codes, K_BLOCK, 16, 4, 0, b->codes);
}

static void get_iq4_xs(const uint8_t *block, struct fitted *f)
{
    const struct block_iq4_xs *b = (const void *)block;
    f->factor = half_at(b->scale);
    for (size_t g = 0; g < 8; g++)
        f->scale[g] = iq4_xs_scale(b, g);
}

static void put_tq2_0(const struct fitted *f, uint8_t *block)
{
    struct block_tq2_0 *b = (void *)block;
    put_half(b->scale, f->factor);
    put_fields(f->codes, K_BLOCK, 32, 2, 0, b->codes);
}

static void get_tq2_0(const uint8_t *block, struct fitted *f)
{
    f->factor = half_at(((const struct block_tq2_0 *)(const void *)block)->scale);
}

/* n digits to base 3, `bytes` columns apart, as the fraction of 256 that rounds up to them: see ternary_digit. */
static void put_digits(const uint8_t *codes, size_t bytes, size_t n, uint8_t *out)
{
    for (size_t i = 0; i < bytes; i++) {
        unsigned number = 0;
        for (size_t d = 0; d < 5; d++)
            number = number * 3 + (d < n ? codes[d * bytes + i] : 0);
        out[i] = (uint8_t)((number * 256 + 242) / 243);
    }
}

static void put_tq1_0(const struct fitted *f, uint8_t *block)
{
    struct block_tq1_0 *b = (void *)block;
    put_half(b->scale, f->factor);
    put_digits(f->codes, 32, 5, b->codes);
    put_digits(f->codes + 160, 16, 5, b->codes + 32);
    put_digits(f->codes + 240, 4, 4, b->codes + 48);
}

static void get_tq1_0(const uint8_t *block, struct fitted *f)
{
    f->factor = half_at(((const struct block_tq1_0 *)(const void *)block)->scale);
}

/* ---- the table ------------------------------------------------------------------------------- */

static const float iq4_ascending[] = {IQ4_VALUES};
static const struct value_table iq4_table = {
    16, iq4_ascending, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};

static const struct value_table nf4_table = {
    16, nf4_values, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};

/* mxfp4_values, of whose two zeros the first is taken. */
static const float mxfp4_ascending[] = {-12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 12};
static const struct value_table mxfp4_table = {
    15, mxfp4_ascending, {15, 14, 13, 12, 11, 10, 9, 0, 1, 2, 3, 4, 5, 6, 7}};

/* Of mxfp4 the last scale with which all products are finite. */
const struct encoding encodings[DTYPE_ALL] = {
    [DTYPE_Q8_0] = {.low = -127, .high = 127, .put = put_q8_0, .get = get_scale},
    [DTYPE_Q4_0] = {.low = -8, .high = 7, .put = put_q4_0, .get = get_scale},
    [DTYPE_Q4_1] = {.high = 15, .min = MIN_ANY, .put = put_q4_1, .get = get_scale_and_min},
    [DTYPE_Q5_0] = {.low = -16, .high = 15, .put = put_q5_0, .get = get_scale},
    [DTYPE_Q5_1] = {.high = 31, .min = MIN_ANY, .put = put_q5_1, .get = get_scale_and_min},
    [DTYPE_Q2_K] = {.high = 3, .min = MIN_BELOW, .scale_high = 15, .put = put_q2_k, .get = get_q2_k},
    [DTYPE_Q3_K] = {.low = -4, .high = 3, .scale_low = -32, .scale_high = 31, .put = put_q3_k, .get = get_q3_k},
    [DTYPE_Q4_K] = {.high = 15, .min = MIN_BELOW, .scale_high = 63, .put = put_q4_k, .get = get_q4_k},
    [DTYPE_Q5_K] = {.high = 31, .min = MIN_BELOW, .scale_high = 63, .put = put_q5_k, .get = get_q4_k},
    [DTYPE_Q6_K] = {.low = -32, .high = 31, .scale_low = -128, .scale_high = 127, .put = put_q6_k, .get = get_q6_k},
    [DTYPE_IQ4_NL] = {.low = -127, .high = 113, .table = &iq4_table, .put = put_q4_0, .get = get_scale},
    [DTYPE_IQ4_XS] = {.low = -127, .high = 113, .table = &iq4_table, .scale_low = -32, .scale_high = 31,
                      .put = put_iq4_xs, .get = get_iq4_xs},
    [DTYPE_MXFP4] = {.low = -12, .high = 12, .table = &mxfp4_table, .scale_high = 252, .scale_at = half_e8m0,
                     .put = put_mxfp4, .get = get_mxfp4},
    [DTYPE_NVFP4] = {.low = -12, .high = 12, .table = &mxfp4_table, .scale_high = 126, .scale_at = half_ue4m3,
                     .put = put_nvfp4, .get = get_nvfp4},
    [DTYPE_NF4] = {.low = -1, .high = 1, .table = &nf4_table, .put = put_nf4, .get = get_nf4},
    [DTYPE_TQ2_0] = {.low = -1, .high = 1, .put = put_tq2_0, .get = get_tq2_0},
    [DTYPE_TQ1_0] = {.low = -1, .high = 1, .put = put_tq1_0, .get = get_tq1_0},
};

bool can_encode(enum dtype type)
{
    return encodings[type].put || grid_types[type].put;
}

struct code_grid block_grid_of(enum dtype type)
{
    const struct encoding *e = &encodings[type];
    return (struct code_grid){e->low, e->high, e->table ? e->table->values : NULL, e->table ? e->table->count : 0};
}

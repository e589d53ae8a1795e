/* stored.h - blocks of the stored types: their layout in a file, and their exact values.
 *
 * The layouts are those of ggml (ggml-common.h), which GGUF files hold, but for nf4. A block is a run of columns of
 * one row with its own scales. All numbers are little-endian, fractions are fp16, and blocks
 * follow each other without padding or alignment. A weight is
 *
 *   scale * code           q8_0 q4_0 q5_0 q3_k q6_k iq4_nl iq4_xs mxfp4 tq2_0 tq1_0 iq3_s iq3_xxs
 *                          iq2_s iq2_xs iq2_xxs iq1_s iq1_m nvfp4 q1_0 q2_0 nf4
 *   scale * code + min     q4_1 q5_1
 *   scale * code - min     q2_k q4_k q5_k
 *
 * where scale and min of the k types are an fp16 factor of the block times a small integer for every 16 or 32
 * columns. Every product is exact in fp32 (at most 11 + 7 + 6 bits), so a weight is rounded once, when its min
 * is added, and multiply-adds give the same bits fused or not.
 *
 * mxfp4 is MXFP4 of the OCP Microscaling Formats specification (MX, version 1.0, 2023): E2M1 codes, and a scale that is
 * a power of two (E8M0). As in ggml, the scale 255, NaN in the specification, is 2^128; a product beyond the largest
 * float is infinite. nvfp4 has the same codes; a scale of 16 columns is E4M3 without its sign. As in ggml, the scale
 * 0x7f, NaN otherwise, is 0, and 0xff is 480.
 *
 * nf4 is NormalFloat 4 of "QLoRA: Efficient Finetuning of Quantized LLMs" (Dettmers et al. 2023, section 3 and
 * appendix E): sixteen values in -1 .. 1, about the quantiles of a normal distribution, times an fp32 scale of 64
 * columns, their largest magnitude there. Codes lie as bitsandbytes packs them. A product is rounded to fp32, as
 * there. */
#ifndef QTOP_STORED_H
#define QTOP_STORED_H

#include "dtype.h"

/* Columns of a block: of the simple types, of the k and iq types, and at most. */
enum {
    SMALL_BLOCK = 32, NVFP4_BLOCK = 64, Q2_0_BLOCK = 64, NF4_BLOCK = 64, Q1_0_BLOCK = 128, K_BLOCK = 256,
    BLOCK_MAX = K_BLOCK
};

/* Columns count from 0 in a block. `high` holds the upper bits of a code, `low` the lower ones. */
struct block_q8_0 {
    uint8_t scale[2];
    int8_t codes[32];
};

/* Byte i holds column i in its low nibble and column 16 + i in its high one: of all types of 32. */
struct block_q4_0 {
    uint8_t scale[2];
    uint8_t codes[16]; /* counted from -8; of iq4_nl indices of iq4_values */
};

struct block_q4_1 {
    uint8_t scale[2], min[2];
    uint8_t codes[16];
};

struct block_q5_0 {
    uint8_t scale[2];
    uint8_t high[4]; /* a bit a column */
    uint8_t low[16]; /* with the high bit counted from -16 */
};

struct block_q5_1 {
    uint8_t scale[2], min[2];
    uint8_t high[4];
    uint8_t low[16];
};

struct block_q2_k {
    uint8_t scales[16]; /* of 16 columns: scale in the low nibble, min in the high one */
    uint8_t codes[64];  /* each 32 bytes hold 128 columns: 32 in the lowest two bits, and so on */
    uint8_t scale[2], min[2];
};

struct block_q3_k {
    uint8_t high[32];   /* bit b of byte i: column 32 b + i; counted from -4 */
    uint8_t low[64];    /* as the codes of q2_k */
    uint8_t scales[12]; /* of 16 columns, counted from -32: 16 nibbles, then 16 pairs of high bits */
    uint8_t scale[2];
};

struct block_q4_k {
    uint8_t scale[2], min[2];
    uint8_t scales[12]; /* of 32 columns: 6 bits each, see stored.c */
    uint8_t codes[128]; /* each 32 bytes hold 64 columns: 32 in low nibbles, then 32 in high ones */
};

struct block_q5_k {
    uint8_t scale[2], min[2];
    uint8_t scales[12]; /* as those of q4_k */
    uint8_t high[32];   /* bit b of byte i: column 32 b + i */
    uint8_t low[128];   /* as the codes of q4_k */
};

struct block_q6_k {
    uint8_t low[128]; /* each 64 bytes hold 128 columns: 64 in low nibbles, then 64 in high ones */
    uint8_t high[64]; /* two bits a column, as the codes of q2_k; counted from -32 */
    int8_t scales[16]; /* of 16 columns */
    uint8_t scale[2];
};

struct block_iq4_xs {
    uint8_t scale[2];
    uint8_t scales_high[2], scales_low[4]; /* of 32 columns, 2 + 4 bits, counted from -32 */
    uint8_t codes[128]; /* each 16 bytes hold 32 columns, as those of iq4_nl */
};

struct block_mxfp4 {
    uint8_t scale;     /* the exponent of 2 plus 127 */
    uint8_t codes[16]; /* indices of mxfp4_values, as those of iq4_nl */
};

struct block_nvfp4 {
    uint8_t scales[4]; /* of 16 columns */
    uint8_t codes[32]; /* each 8 bytes hold 16 columns: 8 in low nibbles, then 8 in high ones */
};

/* Ternary: all codes of a block share its scale. */
struct block_tq1_0 {
    uint8_t codes[52]; /* five codes a byte, four in the last four: see ternary_digit */
    uint8_t scale[2];
};

struct block_tq2_0 {
    uint8_t codes[64]; /* as those of q2_k, counted from -1 */
    uint8_t scale[2];
};

/* Vectors of four codes or of eight: entries of a grid (grids.h), each code with a sign. A scale is an odd number. */
struct block_iq3_s {
    uint8_t scale[2];
    uint8_t low[64], high[8]; /* of numbers of entries: 8 + 1 bits for four columns */
    uint8_t signs[32];        /* a bit a column, 1 for minus */
    uint8_t scales[4];        /* of 32 columns: half of the scale in a nibble, the low one first */
};

struct block_iq3_xxs {
    uint8_t scale[2];
    uint8_t codes[64]; /* numbers of entries */
    uint8_t signs[32]; /* a word for 32 columns: their signs in 28 bits, see sign_at, and half of the scale * 4 */
};

/* Eight codes; all scales are times 8. */
struct block_iq2_s {
    uint8_t scale[2];
    uint8_t low[32];   /* of numbers of entries: 8 + 2 bits for eight columns */
    uint8_t signs[32]; /* as those of iq3_s */
    uint8_t high[8];
    uint8_t scales[8]; /* of 16 columns, as those of iq3_s */
};

struct block_iq2_xs {
    uint8_t scale[2];
    uint8_t codes[64]; /* a number of 16 bits for eight columns: 9 bits of the entry, then their signs in 7 bits */
    uint8_t scales[8]; /* as those of iq2_s */
};

struct block_iq2_xxs {
    uint8_t scale[2];
    uint8_t codes[64]; /* two words for 32 columns: numbers of entries in bytes, then as the signs of iq3_xxs */
};

/* Eight codes -1, 0 or 1, all plus or all minus an eighth: their codes here are times 8. */
struct block_iq1_s {
    uint8_t scale[2];
    uint8_t low[32];  /* of numbers of entries: 8 + 3 bits for eight columns */
    uint8_t high[16]; /* a number of 16 bits for 32 columns: four times 3 bits, 3 of half of the scale, 1 for minus */
};

struct block_iq1_m {
    uint8_t low[32];
    uint8_t high[16];  /* a nibble for eight columns: 3 bits, 1 for minus */
    uint8_t scales[8]; /* a number of 16 bits for 64 columns: 3 bits for every 16, and a nibble of the factor */
};

struct block_q1_0 {
    uint8_t scale[2];
    uint8_t codes[16]; /* a bit a column: 1 or -1 */
};

struct block_q2_0 {
    uint8_t scale[2];
    uint8_t codes[16]; /* four columns a byte, the first in the lowest bits; counted from -1 */
};

struct block_nf4 {
    uint8_t scale[4];  /* fp32 */
    uint8_t codes[32]; /* indices of nf4_values: byte i holds column 2 i in its high nibble, 2 i + 1 in its low one */
};

_Static_assert(sizeof(struct block_q8_0) == 34, "as ggml has it");
_Static_assert(sizeof(struct block_q4_0) == 18, "as ggml has it");
_Static_assert(sizeof(struct block_q4_1) == 20, "as ggml has it");
_Static_assert(sizeof(struct block_q5_0) == 22, "as ggml has it");
_Static_assert(sizeof(struct block_q5_1) == 24, "as ggml has it");
_Static_assert(sizeof(struct block_q2_k) == 84, "as ggml has it");
_Static_assert(sizeof(struct block_q3_k) == 110, "as ggml has it");
_Static_assert(sizeof(struct block_q4_k) == 144, "as ggml has it");
_Static_assert(sizeof(struct block_q5_k) == 176, "as ggml has it");
_Static_assert(sizeof(struct block_q6_k) == 210, "as ggml has it");
_Static_assert(sizeof(struct block_iq4_xs) == 136, "as ggml has it");
_Static_assert(sizeof(struct block_mxfp4) == 17, "as ggml has it");
_Static_assert(sizeof(struct block_tq2_0) == 66, "as ggml has it");
_Static_assert(sizeof(struct block_tq1_0) == 54, "as ggml has it");
_Static_assert(sizeof(struct block_iq3_s) == 110, "as ggml has it");
_Static_assert(sizeof(struct block_iq3_xxs) == 98, "as ggml has it");
_Static_assert(sizeof(struct block_iq2_s) == 82, "as ggml has it");
_Static_assert(sizeof(struct block_iq2_xs) == 74, "as ggml has it");
_Static_assert(sizeof(struct block_iq2_xxs) == 66, "as ggml has it");
_Static_assert(sizeof(struct block_iq1_s) == 50, "as ggml has it");
_Static_assert(sizeof(struct block_iq1_m) == 56, "as ggml has it");
_Static_assert(sizeof(struct block_nvfp4) == 36, "as ggml has it");
_Static_assert(sizeof(struct block_q1_0) == 18, "as ggml has it");
_Static_assert(sizeof(struct block_q2_0) == 18, "as ggml has it");
_Static_assert(sizeof(struct block_nf4) == 36, "4.5 bits a weight");
_Static_assert(_Alignof(struct block_q6_k) == 1, "blocks have no alignment");

/* The values of the codes of nf4. */
extern const float nf4_values[16];

/* How kernels read a type's codes: 64 bytes at a time, which are 16 words of 32 bits, one a lane. They are
 * the codes of 64 columns in order, or the nibbles of 128: `interleave` columns in low nibbles, then as many in the
 * high nibbles of the same bytes, and so on. Codes with values that are floats are 32 bytes of nibbles, in pairs: two
 * bytes a lane. */
struct block_layout {
    uint8_t interleave; /* bytes; 0: one code a byte */
    uint8_t center;     /* subtracted from stored codes */
    bool has_sign;      /* bytes are two's complement; if not, at most 127 */
    bool wide;          /* with a sign: of more than 64 in magnitude */
    const float *values; /* of the sixteen codes; null: integers */
};

static const struct block_layout block_layouts[DTYPE_ALL] = {
    [DTYPE_Q8_0] = {.has_sign = true, .wide = true},
    [DTYPE_Q4_0] = {.interleave = 16, .center = 8},
    [DTYPE_Q4_1] = {.interleave = 16},
    [DTYPE_Q5_0] = {.center = 16},
    [DTYPE_Q5_1] = {0},
    [DTYPE_Q2_K] = {0},
    [DTYPE_Q3_K] = {.center = 4},
    [DTYPE_Q4_K] = {.interleave = 32},
    [DTYPE_Q5_K] = {0},
    [DTYPE_Q6_K] = {.center = 32},
    [DTYPE_IQ4_NL] = {.has_sign = true, .wide = true},
    [DTYPE_IQ4_XS] = {.has_sign = true, .wide = true},
    [DTYPE_MXFP4] = {.has_sign = true},
    [DTYPE_TQ2_0] = {.center = 1},
    [DTYPE_TQ1_0] = {.center = 1},
    [DTYPE_IQ3_S] = {.has_sign = true},
    [DTYPE_IQ3_XXS] = {.has_sign = true},
    [DTYPE_IQ2_S] = {.has_sign = true},
    [DTYPE_IQ2_XS] = {.has_sign = true},
    [DTYPE_IQ2_XXS] = {.has_sign = true},
    [DTYPE_IQ1_S] = {.has_sign = true},
    [DTYPE_IQ1_M] = {.has_sign = true},
    [DTYPE_NVFP4] = {.has_sign = true},
    [DTYPE_Q1_0] = {.has_sign = true},
    [DTYPE_Q2_0] = {.center = 1},
    [DTYPE_NF4] = {.values = nf4_values},
};

/* int8 activations of blocks: how many columns share a scale, as in the block that ggml pairs the type with (q8_0 and
 * q8_1, or q8_k), and how many have an integer dot product of their own. */
static inline size_t block_act_columns(enum dtype type)
{
    return dtypes[type].block == K_BLOCK ? K_BLOCK : SMALL_BLOCK;
}

static inline size_t block_dot_columns(enum dtype type)
{
    size_t act = block_act_columns(type);
    return dtypes[type].scale_columns < act ? dtypes[type].scale_columns : act;
}

/* How many slices of 64 columns share 64 bytes of codes: 2 where they are nibbles. */
static inline size_t nibble_interleave(enum dtype type)
{
    return block_layouts[type].interleave ? 2 : 1;
}

/* The values of the codes of the iq4 types. */
#define IQ4_VALUES -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113
extern const int8_t iq4_values[16];

/* The values of E2M1 codes, times 2: of mxfp4 and nvfp4. */
extern const int8_t mxfp4_values[16];

static inline float half_at(const uint8_t bytes[2])
{
    return fp16_decode((uint16_t)(bytes[0] | bytes[1] << 8));
}

static inline void put_half(uint8_t out[2], float value)
{
    uint16_t code = fp16_encode(value);
    out[0] = (uint8_t)code;
    out[1] = (uint8_t)(code >> 8);
}

static inline float float_at(const uint8_t bytes[4])
{
    float value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

/* Half the scale of that byte, 2^(byte - 128), since mxfp4_values are doubled: also where it is subnormal. */
static inline float half_e8m0(uint8_t byte)
{
    return bits_float(byte < 2 ? 0x200000u << byte : (byte - 1u) << 23);
}

/* Half the scale of that byte, for the same reason. */
static inline float half_ue4m3(uint8_t byte)
{
    return byte == 0x7f ? 0 : bits_float((byte & 0x7fu) << 20) * 0x1p119f;
}

/* Scale and min of columns 32 i .. 32 i + 31 of q4_k and q5_k, 6 bits each. The first four are the low bits of
 * bytes 0..3 and 4..7. The others have their low bits in the nibbles of bytes 8..11 and their high bits in the two
 * bits above the first four. */
static inline unsigned k_scale(const uint8_t scales[12], size_t i)
{
    return i < 4 ? scales[i] & 63u : (scales[i + 4] & 15u) | (unsigned)scales[i - 4] >> 6 << 4;
}

static inline unsigned k_min(const uint8_t scales[12], size_t i)
{
    return i < 4 ? scales[i + 4] & 63u : (unsigned)scales[i + 4] >> 4 | (unsigned)scales[i] >> 6 << 4;
}

/* The scale of columns 16 i .. 16 i + 15 of q3_k. */
static inline int q3_k_scale(const uint8_t scales[12], size_t i)
{
    unsigned low = i < 8 ? scales[i] & 15u : (unsigned)scales[i - 8] >> 4;
    return (int)(low | ((unsigned)scales[8 + i % 4] >> 2 * (i / 4) & 3) << 4) - 32;
}

/* The scale of columns 32 i .. 32 i + 31 of iq4_xs. */
static inline int iq4_xs_scale(const struct block_iq4_xs *b, size_t i)
{
    unsigned low = (unsigned)b->scales_low[i / 2] >> 4 * (i % 2) & 15;
    unsigned high = (unsigned)b->scales_high[i / 4] >> 2 * (i % 4) & 3;
    return (int)(low | high << 4) - 32;
}

/* Whether column c of 32 has a minus sign. Every eight columns have seven bits of a word for their signs, and the
 * eighth column's makes the number of minus signs even. */
static inline unsigned sign_at(uint32_t word, size_t c)
{
    unsigned seven = word >> 7 * (c / 8) & 127;
    return c % 8 < 7 ? seven >> c % 8 & 1 : (unsigned)__builtin_parity(seven);
}

/* The fp16 factor of iq1_m: the high nibbles of four numbers, the lowest first. */
static inline uint16_t iq1_m_factor(const uint8_t scales[8])
{
    return (uint16_t)(scales[1] >> 4 | (scales[3] & 0xf0) | (scales[5] & 0xf0) << 4 | (scales[7] & 0xf0) << 8);
}

/* What a block holds, in integers where its type has them: with g = c / scale_columns (dtype_info), weight c is
 * factor * scales[g] * codes[c] + min * mins[g]. */
struct block_parts {
    int8_t codes[BLOCK_MAX]; /* their center subtracted */
    int32_t scales[16], mins[16];
    float factor, min;
};

/* Of each type: one block's weights, exactly, and its parts; see dtype_info. */
#define BLOCK_FUNCTIONS(NAME)                                                                      \
    void NAME##_decode_block(const uint8_t *block, float *out);                                    \
    void NAME##_split_block(const uint8_t *block, struct block_parts *out);
BLOCK_FUNCTIONS(q8_0)
BLOCK_FUNCTIONS(q4_0)
BLOCK_FUNCTIONS(q4_1)
BLOCK_FUNCTIONS(q5_0)
BLOCK_FUNCTIONS(q5_1)
BLOCK_FUNCTIONS(q2_k)
BLOCK_FUNCTIONS(q3_k)
BLOCK_FUNCTIONS(q4_k)
BLOCK_FUNCTIONS(q5_k)
BLOCK_FUNCTIONS(q6_k)
BLOCK_FUNCTIONS(iq4_nl)
BLOCK_FUNCTIONS(iq4_xs)
BLOCK_FUNCTIONS(mxfp4)
BLOCK_FUNCTIONS(tq2_0)
BLOCK_FUNCTIONS(tq1_0)
BLOCK_FUNCTIONS(iq3_s)
BLOCK_FUNCTIONS(iq3_xxs)
BLOCK_FUNCTIONS(iq2_s)
BLOCK_FUNCTIONS(iq2_xs)
BLOCK_FUNCTIONS(iq2_xxs)
BLOCK_FUNCTIONS(iq1_s)
BLOCK_FUNCTIONS(iq1_m)
BLOCK_FUNCTIONS(nvfp4)
BLOCK_FUNCTIONS(q1_0)
BLOCK_FUNCTIONS(q2_0)

void nf4_decode_block(const uint8_t *block, float *out);

#endif

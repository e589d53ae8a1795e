/* lanes_neon.h - the sixteen lanes of a panel's line in AArch64 NEON with dot products of bytes:
 * four registers each. */
#ifndef QTOP_LANES_NEON_H
#define QTOP_LANES_NEON_H

#include "dtype.h"

#include <arm_neon.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLLED _Pragma("GCC unroll 32")

typedef struct {
    float32x4_t a, b, c, d;
} floats; /* 16 fp32 */

typedef struct {
    int32x4_t a, b, c, d;
} integers; /* 16 32-bit integers, or the 64 bytes of a line */

/* Applies F to each register of one, two or three operands. */
#define EACH(TYPE, F, X) ((TYPE){F((X).a), F((X).b), F((X).c), F((X).d)})
#define EACH_2(TYPE, F, X, Y)                                                                      \
    ((TYPE){F((X).a, (Y).a), F((X).b, (Y).b), F((X).c, (Y).c), F((X).d, (Y).d)})
#define EACH_3(TYPE, F, X, Y, Z)                                                                   \
    ((TYPE){F((X).a, (Y).a, (Z).a), F((X).b, (Y).b, (Z).b), F((X).c, (Y).c, (Z).c),                \
            F((X).d, (Y).d, (Z).d)})

/* ---- floats ---------------------------------------------------------------------------------- */

INLINE floats floats_all(float x)
{
    float32x4_t four = vdupq_n_f32(x);
    return (floats){four, four, four, four};
}

INLINE floats floats_load(const float *p)
{
    return (floats){vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)};
}

INLINE void floats_store(float *p, floats x)
{
    vst1q_f32(p, x.a);
    vst1q_f32(p + 4, x.b);
    vst1q_f32(p + 8, x.c);
    vst1q_f32(p + 12, x.d);
}

INLINE floats floats_add(floats x, floats y)
{
    return EACH_2(floats, vaddq_f32, x, y);
}

INLINE floats floats_subtract(floats x, floats y)
{
    return EACH_2(floats, vsubq_f32, x, y);
}

INLINE floats floats_multiply(floats x, floats y)
{
    return EACH_2(floats, vmulq_f32, x, y);
}

/* x * y + z, rounded once */
INLINE floats floats_fma(floats x, floats y, floats z)
{
    return EACH_3(floats, vfmaq_f32, z, x, y);
}

INLINE float floats_sum(floats x)
{
    return vaddvq_f32(vaddq_f32(vaddq_f32(x.a, x.b), vaddq_f32(x.c, x.d)));
}

INLINE floats floats_from_halves(uint16x8_t low, uint16x8_t high)
{
    float16x8_t x = vreinterpretq_f16_u16(low), y = vreinterpretq_f16_u16(high);
    return (floats){vcvt_f32_f16(vget_low_f16(x)), vcvt_high_f32_f16(x),
                    vcvt_f32_f16(vget_low_f16(y)), vcvt_high_f32_f16(y)};
}

INLINE uint16x8_t load_halves(const void *p)
{
    return vreinterpretq_u16_u8(vld1q_u8(p));
}

INLINE floats floats_from_fp16(const void *p)
{
    return floats_from_halves(load_halves(p), load_halves((const uint8_t *)p + 16));
}

/* One fp16 in every lane. */
INLINE floats floats_all_fp16(const void *p)
{
    uint16_t half;
    memcpy(&half, p, sizeof half);
    float32x4_t all = vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(half)));
    return (floats){all, all, all, all};
}

INLINE float32x4_t upper_half(uint16x4_t bf16)
{
    return vreinterpretq_f32_u32(vshlq_n_u32(vmovl_u16(bf16), 16));
}

INLINE floats floats_from_bf16(const void *p)
{
    uint16x8_t low = load_halves(p), high = load_halves((const uint8_t *)p + 16);
    return (floats){upper_half(vget_low_u16(low)), upper_half(vget_high_u16(low)),
                    upper_half(vget_low_u16(high)), upper_half(vget_high_u16(high))};
}

/* E4M3, sign-extended and shifted left by 7, as fp16 numbers 256 times too small. The code that would be 480 is NaN:
 * adding one step sets the top bit of its exponent. */
INLINE uint16x8_t halves_from_e4m3(int16x8_t shifted)
{
    uint16x8_t half = vandq_u16(vreinterpretq_u16_s16(shifted), vdupq_n_u16(0xbf80));
    uint16x8_t next = vaddq_u16(half, vdupq_n_u16(0x80));
    return vorrq_u16(half, vandq_u16(next, vdupq_n_u16(0x4000)));
}

INLINE floats floats_from_fp8e4m3(const void *p)
{
    int8x16_t bytes = vreinterpretq_s8_u8(vld1q_u8(p));
    return floats_multiply(floats_from_halves(halves_from_e4m3(vshll_n_s8(vget_low_s8(bytes), 7)),
                                              halves_from_e4m3(vshll_high_n_s8(bytes, 7))),
                           floats_all(0x1p8f));
}

/* E5M2 is the upper half of fp16. */
INLINE floats floats_from_fp8e5m2(const void *p)
{
    uint8x16_t bytes = vld1q_u8(p), zero = vdupq_n_u8(0);
    return floats_from_halves(vreinterpretq_u16_u8(vzip1q_u8(zero, bytes)),
                              vreinterpretq_u16_u8(vzip2q_u8(zero, bytes)));
}

/* ---- integers -------------------------------------------------------------------------------- */

INLINE integers integers_all(int32_t x)
{
    /* As a float, which is loaded from memory straight into a vector register. */
    int32x4_t four = vreinterpretq_s32_f32(vdupq_n_f32(bits_float((uint32_t)x)));
    return (integers){four, four, four, four};
}

INLINE int32x4_t integers_quarter(const uint8_t *p)
{
    return vreinterpretq_s32_u8(vld1q_u8(p));
}

INLINE integers integers_load(const void *p)
{
    const uint8_t *at = p;
    return (integers){integers_quarter(at), integers_quarter(at + 16), integers_quarter(at + 32),
                      integers_quarter(at + 48)};
}

INLINE void integers_store(void *p, integers x)
{
    int32_t *at = p;
    vst1q_s32(at, x.a);
    vst1q_s32(at + 4, x.b);
    vst1q_s32(at + 8, x.c);
    vst1q_s32(at + 12, x.d);
}

INLINE integers integers_add(integers x, integers y)
{
    return EACH_2(integers, vaddq_s32, x, y);
}

INLINE integers integers_subtract(integers x, integers y)
{
    return EACH_2(integers, vsubq_s32, x, y);
}

INLINE integers integers_multiply(integers x, integers y)
{
    return EACH_2(integers, vmulq_s32, x, y);
}

INLINE floats integers_to_floats(integers x)
{
    return EACH(floats, vcvtq_f32_s32, x);
}

INLINE integers integers_widen(int8x16_t bytes)
{
    int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_high_s8(bytes);
    return (integers){vmovl_s16(vget_low_s16(low)), vmovl_high_s16(low),
                      vmovl_s16(vget_low_s16(high)), vmovl_high_s16(high)};
}

/* 16 signed bytes */
INLINE integers integers_from_bytes(const void *p)
{
    return integers_widen(vreinterpretq_s8_u8(vld1q_u8(p)));
}

/* 16 nibbles, the low one of a byte first */
INLINE integers integers_from_nibbles(const void *p)
{
    uint8x8_t bytes = vld1_u8(p);
    uint8x8x2_t both = vzip_u8(vand_u8(bytes, vdup_n_u8(15)), vshr_n_u8(bytes, 4));
    return integers_widen(vreinterpretq_s8_u8(vcombine_u8(both.val[0], both.val[1])));
}

/* 16 numbers of two bytes */
INLINE integers integers_from_pairs(const void *p)
{
    uint16x8_t first = vreinterpretq_u16_u8(vld1q_u8(p)), none = vdupq_n_u16(0);
    uint16x8_t second = vreinterpretq_u16_u8(vld1q_u8((const uint8_t *)p + 16));
    return (integers){vreinterpretq_s32_u16(vzip1q_u16(first, none)), vreinterpretq_s32_u16(vzip2q_u16(first, none)),
                      vreinterpretq_s32_u16(vzip1q_u16(second, none)), vreinterpretq_s32_u16(vzip2q_u16(second, none))};
}

/* ---- codes of blocks ------------------------------------------------------------------------- */

typedef uint8_t bytes_16 __attribute__((vector_size(16)));
typedef uint8_t bytes_32 __attribute__((vector_size(32)));

/* Both halves, the low one first. */
union bytes_halves {
    bytes_32 whole;
    bytes_16 half[2];
};

INLINE bytes_32 bytes_join(bytes_16 low, bytes_16 high)
{
    return (union bytes_halves){.half = {low, high}}.whole;
}

/* Table look-up: table[at & 15] for every byte. `table` has 16 entries. */
INLINE bytes_32 bytes_look_up(const int8_t *table, bytes_32 at)
{
    union bytes_halves halves = {.whole = at};
    int8x16_t values = vld1q_s8(table);
    for (int i = 0; i < 2; i++)
        halves.half[i] = (bytes_16)vqtbl1q_s8(values, (uint8x16_t)halves.half[i]);
    return halves.whole;
}

/* values[word >> shift & 15] for every word. `values` has 16 entries, each four bytes of a table. */
INLINE float32x4_t four_look_up(uint8x16x4_t table, int32x4_t words, size_t shift)
{
    uint32x4_t at = vshlq_u32(vreinterpretq_u32_s32(words), vdupq_n_s32(-(int32_t)shift));
    at = vmlaq_u32(vdupq_n_u32(0x03020100), vandq_u32(at, vdupq_n_u32(15)), vdupq_n_u32(0x04040404));
    return vreinterpretq_f32_u8(vqtbl4q_u8(table, vreinterpretq_u8_u32(at)));
}

INLINE floats floats_look_up(const float *values, integers words, size_t shift)
{
    const uint8_t *bytes = (const void *)values;
    uint8x16x4_t table = {{vld1q_u8(bytes), vld1q_u8(bytes + 16), vld1q_u8(bytes + 32), vld1q_u8(bytes + 48)}};
    return (floats){four_look_up(table, words.a, shift), four_look_up(table, words.b, shift),
                    four_look_up(table, words.c, shift), four_look_up(table, words.d, shift)};
}

/* 64 bytes from two halves, or from four quarters that are `step` bytes apart. */
INLINE integers integers_of_halves(bytes_32 first, bytes_32 second)
{
    union bytes_halves a = {.whole = first}, b = {.whole = second};
    return (integers){(int32x4_t)a.half[0], (int32x4_t)a.half[1], (int32x4_t)b.half[0],
                      (int32x4_t)b.half[1]};
}

INLINE integers integers_of_quarters(const uint8_t *p, size_t step)
{
    return (integers){integers_quarter(p), integers_quarter(p + step), integers_quarter(p + 2 * step),
                      integers_quarter(p + 3 * step)};
}

/* One number for each half or quarter of the lanes; of_fp16: read as fp16, `step` bytes apart. */
INLINE floats floats_of_halves(float first, float second)
{
    float32x4_t low = vdupq_n_f32(first), high = vdupq_n_f32(second);
    return (floats){low, low, high, high};
}

INLINE floats floats_of_quarters(const float *p)
{
    return (floats){vld1q_dup_f32(p), vld1q_dup_f32(p + 1), vld1q_dup_f32(p + 2), vld1q_dup_f32(p + 3)};
}

INLINE floats floats_of_fp16_halves(const uint8_t *p, size_t step)
{
    floats first = floats_all_fp16(p), second = floats_all_fp16(p + step);
    return (floats){first.a, first.a, second.a, second.a};
}

INLINE floats floats_of_fp16_quarters(const uint8_t *p, size_t step)
{
    return (floats){floats_all_fp16(p).a, floats_all_fp16(p + step).a, floats_all_fp16(p + 2 * step).a,
                    floats_all_fp16(p + 3 * step).a};
}

/* (word >> shift) & bits of every word, in fp32. shift is a multiple of 4: the masked word is converted as a
 * fixed-point number. */
#define BITS_CASE(N)                                                                               \
    case 4 * (N):                                                                                  \
        return vcvtq_n_f32_u32(cut, 4 * (N));

INLINE float32x4_t bits_moved(int32x4_t words, uint32x4_t bits, size_t shift)
{
    uint32x4_t cut = vandq_u32(vreinterpretq_u32_s32(words), bits);
    switch (shift) {
        BITS_CASE(1)
        BITS_CASE(2)
        BITS_CASE(3)
        BITS_CASE(4)
        BITS_CASE(5)
        BITS_CASE(6)
        BITS_CASE(7)
    default:
        return vcvtq_f32_u32(cut);
    }
}

INLINE floats bits_of_words(integers words, uint32_t bits, size_t shift)
{
    uint32x4_t mask = vdupq_n_u32(bits << shift);
    __asm__ volatile("" : "+w"(mask)); /* costs one instruction here, less than a register throughout */
    return (floats){bits_moved(words.a, mask, shift), bits_moved(words.b, mask, shift),
                    bits_moved(words.c, mask, shift), bits_moved(words.d, mask, shift)};
}

/* Byte b of every word, signed, in fp32: one table look-up moves the byte to the top of the word and sets the
 * others to 0 (indices out of range give 0), and the word is converted as a fixed-point number with 24 fraction
 * bits. */
INLINE int8x16_t top_byte(size_t b)
{
    const int8_t n = -1, i = (int8_t)b;
    const int8x16_t places = {n, n, n, i, n, n, n, (int8_t)(i + 4),
                              n, n, n, (int8_t)(i + 8), n, n, n, (int8_t)(i + 12)};
    return places;
}

INLINE float32x4_t signed_byte(int32x4_t words, size_t b)
{
    int8x16_t cut = vqtbl1q_s8(vreinterpretq_s8_s32(words), vreinterpretq_u8_s8(top_byte(b)));
    return vcvtq_n_f32_s32(vreinterpretq_s32_s8(cut), 24);
}

INLINE floats signed_bytes(integers words, size_t b)
{
    return (floats){signed_byte(words.a, b), signed_byte(words.b, b), signed_byte(words.c, b),
                    signed_byte(words.d, b)};
}

/* ---- lines to columns of floats -------------------------------------------------------------- */

/* Column c (a constant) of a line, see matrix.h; integers without their zero point, int4 as 0..15.
 * Each column loads the line again: a whole tile leaves no registers to keep it. */

INLINE integers integers_reload(const uint8_t *line)
{
    __asm__ volatile("" : "+r"(line));
    return integers_load(line);
}

INLINE floats column_fp32(const uint8_t *line, size_t c)
{
    (void)c;
    return floats_load((const float *)(const void *)line);
}

INLINE floats column_fp16(const uint8_t *line, size_t c)
{
    return floats_from_fp16(line + 32 * c);
}

INLINE float32x4_t bf16_even(int32x4_t pairs)
{
    return vreinterpretq_f32_s32(vshlq_n_s32(pairs, 16));
}

INLINE float32x4_t bf16_odd(int32x4_t pairs)
{
    return vreinterpretq_f32_s32(vandq_s32(pairs, vdupq_n_s32((int)0xffff0000)));
}

INLINE floats column_bf16(const uint8_t *line, size_t c)
{
    integers pairs = integers_reload(line);
    return c == 0 ? EACH(floats, bf16_even, pairs) : EACH(floats, bf16_odd, pairs);
}

INLINE floats column_int8(const uint8_t *line, size_t c)
{
    return signed_bytes(integers_reload(line), c);
}

#define SHIFT(C) (4 * ((C) / 2 + (C) % 2 * 4))

INLINE floats column_int4(const uint8_t *line, size_t c)
{
    return bits_of_words(integers_reload(line), 15, SHIFT(c));
}

/* E4M3 with its sign, exponent and mantissa shifted to their places in fp16 is an fp16 number 2^8 times too
 * small, subnormals included. */
INLINE floats column_fp8e4m3(const uint8_t *line, size_t c)
{
    int8x16_t bytes = vreinterpretq_s8_u8(vld1q_u8(line + 16 * c));
    const uint16x8_t cut = vdupq_n_u16(0xbf80);
    uint16x8_t low = vreinterpretq_u16_s16(vshll_n_s8(vget_low_s8(bytes), 7));
    uint16x8_t high = vreinterpretq_u16_s16(vshll_high_n_s8(bytes, 7));
    return floats_multiply(floats_from_halves(vandq_u16(low, cut), vandq_u16(high, cut)),
                           floats_all(0x1p8f));
}

INLINE floats column_fp8e5m2(const uint8_t *line, size_t c)
{
    return floats_from_fp8e5m2(line + 16 * c);
}

#define INT4_FACTOR(C) 1
#define INT4_FACTORS false
#define INT4_CENTER 0 /* subtracted by column_int4 */

/* ---- integer dot products -------------------------------------------------------------------- */

#define INT8_PACK PACK_I8X4
enum { INT8_PARTS = 1, INT8_BIAS = 0, INT4_PARTS = 2 };

INLINE void split_int8(const uint8_t *line, integers *part)
{
    part[0] = integers_load(line);
}

INLINE int32x4_t dot_bytes(int32x4_t sum, int32x4_t x, int32x4_t y)
{
    return vdotq_s32(sum, vreinterpretq_s8_s32(x), vreinterpretq_s8_s32(y));
}

INLINE integers dot_int8(integers sum, integers part, integers word)
{
    return EACH_3(integers, dot_bytes, sum, part, word);
}

INLINE int32x4_t low_nibbles(int32x4_t x)
{
    return vandq_s32(x, vdupq_n_s32(0x0f0f0f0f));
}

INLINE int32x4_t high_nibbles(int32x4_t x)
{
    return vreinterpretq_s32_u8(vshrq_n_u8(vreinterpretq_u8_s32(x), 4));
}

INLINE void split_int4(const uint8_t *line, integers *part)
{
    integers low = integers_load(line), high = integers_reload(line);
    part[0] = EACH(integers, low_nibbles, low);
    part[1] = EACH(integers, high_nibbles, high);
}

INLINE integers dot_int4(integers sum, integers part, integers word)
{
    return dot_int8(sum, part, word);
}

/* ---- integer dot products of blocks ---------------------------------------------------------- */

INLINE integers integers_add_bytes(integers x, int c)
{
    int8x16_t all = vdupq_n_s8((int8_t)c);
#define ADD_BYTES(PART) vreinterpretq_s32_s8(vaddq_s8(vreinterpretq_s8_s32(PART), all))
    return (integers){ADD_BYTES(x.a), ADD_BYTES(x.b), ADD_BYTES(x.c), ADD_BYTES(x.d)};
#undef ADD_BYTES
}

/* The low or the high nibble of every byte. */
INLINE integers integers_nibbles(integers x, size_t high)
{
    return high ? EACH(integers, high_nibbles, x) : EACH(integers, low_nibbles, x);
}

/* 32 signed bytes to 16-bit words; word i of each quarter in all lanes of that quarter. */
INLINE integers words_of_bytes(bytes_32 x)
{
    union bytes_halves halves = {.whole = x};
    int8x16_t low = (int8x16_t)halves.half[0], high = (int8x16_t)halves.half[1];
    return (integers){vreinterpretq_s32_s16(vmovl_s8(vget_low_s8(low))), vreinterpretq_s32_s16(vmovl_high_s8(low)),
                      vreinterpretq_s32_s16(vmovl_s8(vget_low_s8(high))), vreinterpretq_s32_s16(vmovl_high_s8(high))};
}

INLINE int32x4_t word_spread(int32x4_t words, size_t i)
{
    return vdupq_n_s32(vreinterpretq_s16_s32(words)[i]);
}

INLINE integers words_spread(integers x, size_t i)
{
    return (integers){word_spread(x.a, i), word_spread(x.b, i), word_spread(x.c, i), word_spread(x.d, i)};
}

/* sum += four products a lane of signed bytes. */
INLINE integers dot_codes(integers sum, integers codes, integers x)
{
    return dot_int8(sum, codes, x);
}

/* The same, times a scale a lane. */
INLINE integers dot_scaled(integers sum, integers codes, integers x, integers scales)
{
    integers dots = dot_int8(integers_all(0), codes, x);
    return EACH_3(integers, vmlaq_s32, sum, dots, scales);
}

INLINE integers dot_scaled_wide(integers sum, integers codes, integers x, integers scales)
{
    return dot_scaled(sum, codes, x, scales);
}

/* Four products a lane of the codes of wide types (struct block_layout), WIDE_CENTER added, and signed bytes. */
enum { WIDE_CENTER = 0 };

INLINE integers dot_wide(integers sum, integers codes, integers x)
{
    return dot_int8(sum, codes, x);
}

/* ---- tiles ----------------------------------------------------------------------------------- */

/* Panels and tokens of the tiles that have a micro-kernel: MR x 4 sums fill most of the 32 registers. */
#define TILE_SHAPES(X, ...)                                                                        \
    X(4, 1, __VA_ARGS__)                                                                           \
    X(2, 2, __VA_ARGS__)                                                                           \
    X(1, 1, __VA_ARGS__)                                                                           \
    X(1, 2, __VA_ARGS__)                                                                           \
    X(1, 4, __VA_ARGS__)                                                                           \
    X(1, 6, __VA_ARGS__)
enum { MR = 6, BLOCK_TOKENS = 3 };

INLINE size_t mr_for(size_t tokens)
{
    return tokens <= 2 ? tokens : tokens <= 4 ? 4 : MR;
}

/* Makes the compiler assume that a value is used and changed. */
INLINE floats floats_keep(floats x)
{
    __asm__ volatile("" : "+w"(x.a), "+w"(x.b), "+w"(x.c), "+w"(x.d));
    return x;
}

INLINE integers integers_keep(integers x)
{
    __asm__ volatile("" : "+w"(x.a), "+w"(x.b), "+w"(x.c), "+w"(x.d));
    return x;
}

/* ---- transposition --------------------------------------------------------------------------- */

INLINE float32x4_t twos(float32x4_t x, float32x4_t y, bool high)
{
    float64x2_t a = vreinterpretq_f64_f32(x), b = vreinterpretq_f64_f32(y);
    return vreinterpretq_f32_f64(high ? vzip2q_f64(a, b) : vzip1q_f64(a, b));
}

INLINE void transpose_4x4(const float *in, size_t step, float *out)
{
    float32x4_t r0 = vld1q_f32(in), r1 = vld1q_f32(in + step);
    float32x4_t r2 = vld1q_f32(in + 2 * step), r3 = vld1q_f32(in + 3 * step);
    float32x4_t even01 = vtrn1q_f32(r0, r1), odd01 = vtrn2q_f32(r0, r1);
    float32x4_t even23 = vtrn1q_f32(r2, r3), odd23 = vtrn2q_f32(r2, r3);
    vst1q_f32(out, twos(even01, even23, false));
    vst1q_f32(out + 16, twos(odd01, odd23, false));
    vst1q_f32(out + 32, twos(even01, even23, true));
    vst1q_f32(out + 48, twos(odd01, odd23, true));
}

/* 16 rows of 16 floats, `step` floats apart, to 16 columns of 16, one after the other. */
INLINE void floats_transpose(const float *in, size_t step, float *out)
{
    for (size_t r = 0; r < 16; r += 4)
        for (size_t c = 0; c < 16; c += 4)
            transpose_4x4(in + r * step + c, step, out + c * 16 + r);
}

#endif

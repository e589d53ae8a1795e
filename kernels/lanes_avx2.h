/* lanes_avx2.h - the sixteen lanes of a panel's line in AVX2, FMA and F16C: two registers each. */
#ifndef QTOP_LANES_AVX2_H
#define QTOP_LANES_AVX2_H

#include "dtype.h"

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLLED _Pragma("GCC unroll 32")

typedef struct {
    __m256 low, high;
} floats; /* 16 fp32 */

typedef struct {
    __m256i low, high;
} integers; /* 16 32-bit integers, or the 64 bytes of a line */

/* ---- floats ---------------------------------------------------------------------------------- */

INLINE floats floats_all(float x)
{
    return (floats){_mm256_set1_ps(x), _mm256_set1_ps(x)};
}

INLINE floats floats_load(const float *p)
{
    return (floats){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}

INLINE void floats_store(float *p, floats x)
{
    _mm256_storeu_ps(p, x.low);
    _mm256_storeu_ps(p + 8, x.high);
}

INLINE floats floats_add(floats a, floats b)
{
    return (floats){_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}

INLINE floats floats_subtract(floats a, floats b)
{
    return (floats){_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}

INLINE floats floats_multiply(floats a, floats b)
{
    return (floats){_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}

/* a * b + c, rounded once */
INLINE floats floats_fma(floats a, floats b, floats c)
{
    return (floats){_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}

INLINE float floats_sum(floats x)
{
    __m256 eight = _mm256_add_ps(x.low, x.high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

INLINE floats floats_from_fp16(const void *p)
{
    const __m128i *half = p;
    return (floats){_mm256_cvtph_ps(_mm_loadu_si128(half)), _mm256_cvtph_ps(_mm_loadu_si128(half + 1))};
}

/* One fp16 in every lane. */
INLINE floats floats_all_fp16(const void *p)
{
    short half;
    memcpy(&half, p, sizeof half);
    __m256 all = _mm256_cvtph_ps(_mm_set1_epi16(half));
    return (floats){all, all};
}

INLINE floats floats_from_bf16(const void *p)
{
    const __m128i *half = p;
    __m256i low = _mm256_cvtepu16_epi32(_mm_loadu_si128(half));
    __m256i high = _mm256_cvtepu16_epi32(_mm_loadu_si128(half + 1));
    return (floats){_mm256_castsi256_ps(_mm256_slli_epi32(low, 16)),
                    _mm256_castsi256_ps(_mm256_slli_epi32(high, 16))};
}

/* 16 E4M3 with sign, exponent and mantissa shifted to their places in fp16: fp16 numbers 256 times too small,
 * subnormals included. The code that would be 480 is NaN: adding one step sets the top bit of its exponent. */
INLINE floats floats_from_fp8e4m3(const void *p)
{
    __m256i bytes = _mm256_cvtepi8_epi16(_mm_loadu_si128(p));
    __m256i half = _mm256_and_si256(_mm256_slli_epi16(bytes, 7), _mm256_set1_epi16((short)0xbf80));
    __m256i next = _mm256_add_epi16(half, _mm256_set1_epi16(0x80));
    half = _mm256_or_si256(half, _mm256_and_si256(next, _mm256_set1_epi16(0x4000)));
    __m256 unit = _mm256_set1_ps(256);
    return (floats){_mm256_mul_ps(_mm256_cvtph_ps(_mm256_castsi256_si128(half)), unit),
                    _mm256_mul_ps(_mm256_cvtph_ps(_mm256_extracti128_si256(half, 1)), unit)};
}

/* E5M2 is the upper half of fp16. */
INLINE floats floats_from_fp8e5m2(const void *p)
{
    __m128i bytes = _mm_loadu_si128(p), zero = _mm_setzero_si128();
    return (floats){_mm256_cvtph_ps(_mm_unpacklo_epi8(zero, bytes)),
                    _mm256_cvtph_ps(_mm_unpackhi_epi8(zero, bytes))};
}

/* ---- integers -------------------------------------------------------------------------------- */

INLINE integers integers_all(int32_t x)
{
    return (integers){_mm256_set1_epi32(x), _mm256_set1_epi32(x)};
}

INLINE integers integers_load(const void *p)
{
    const __m256i *at = p;
    return (integers){_mm256_loadu_si256(at), _mm256_loadu_si256(at + 1)};
}

INLINE void integers_store(void *p, integers x)
{
    _mm256_storeu_si256(p, x.low);
    _mm256_storeu_si256((__m256i *)p + 1, x.high);
}

INLINE integers integers_add(integers a, integers b)
{
    return (integers){_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)};
}

INLINE integers integers_subtract(integers a, integers b)
{
    return (integers){_mm256_sub_epi32(a.low, b.low), _mm256_sub_epi32(a.high, b.high)};
}

INLINE integers integers_multiply(integers a, integers b)
{
    return (integers){_mm256_mullo_epi32(a.low, b.low), _mm256_mullo_epi32(a.high, b.high)};
}

INLINE floats integers_to_floats(integers x)
{
    return (floats){_mm256_cvtepi32_ps(x.low), _mm256_cvtepi32_ps(x.high)};
}

/* 16 signed bytes */
INLINE integers integers_from_bytes(const void *p)
{
    __m128i bytes = _mm_loadu_si128(p);
    return (integers){_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8))};
}

/* 16 nibbles, the low one of a byte first */
INLINE integers integers_from_nibbles(const void *p)
{
    __m128i bytes = _mm_loadl_epi64(p), mask = _mm_set1_epi8(15);
    __m128i both = _mm_unpacklo_epi8(_mm_and_si128(bytes, mask),
                                     _mm_and_si128(_mm_srli_epi16(bytes, 4), mask));
    return (integers){_mm256_cvtepi8_epi32(both), _mm256_cvtepi8_epi32(_mm_srli_si128(both, 8))};
}

/* 16 numbers of two bytes */
INLINE integers integers_from_pairs(const void *p)
{
    const __m128i *half = p;
    return (integers){_mm256_cvtepu16_epi32(_mm_loadu_si128(half)), _mm256_cvtepu16_epi32(_mm_loadu_si128(half + 1))};
}

/* ---- codes of blocks ------------------------------------------------------------------------- */

typedef uint8_t bytes_16 __attribute__((vector_size(16)));
typedef uint8_t bytes_32 __attribute__((vector_size(32)));

INLINE bytes_32 bytes_join(bytes_16 low, bytes_16 high)
{
    return (bytes_32)_mm256_inserti128_si256(_mm256_castsi128_si256((__m128i)low), (__m128i)high, 1);
}

/* Table look-up: table[at & 15] for every byte. `table` has 16 entries. */
INLINE bytes_32 bytes_look_up(const int8_t *table, bytes_32 at)
{
    __m256i values = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)table));
    return (bytes_32)_mm256_shuffle_epi8(values, (__m256i)at);
}

/* values[word >> shift & 15] for every word. `values` has 16 entries. */
INLINE __m256 eight_look_up(const float *values, __m256i words, size_t shift)
{
    __m256i at = _mm256_srli_epi32(words, (int)shift);
    __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(values), at);
    __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(values + 8), at);
    return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(words, 28 - (int)shift)));
}

INLINE floats floats_look_up(const float *values, integers words, size_t shift)
{
    return (floats){eight_look_up(values, words.low, shift), eight_look_up(values, words.high, shift)};
}

/* 64 bytes from two halves, or from four quarters that are `step` bytes apart. */
INLINE integers integers_of_halves(bytes_32 first, bytes_32 second)
{
    return (integers){(__m256i)first, (__m256i)second};
}

INLINE __m256i two_quarters(const uint8_t *p, size_t step)
{
    bytes_16 both[2];
    memcpy(&both[0], p, sizeof both[0]);
    memcpy(&both[1], p + step, sizeof both[1]);
    return (__m256i)bytes_join(both[0], both[1]);
}

INLINE integers integers_of_quarters(const uint8_t *p, size_t step)
{
    return (integers){two_quarters(p, step), two_quarters(p + 2 * step, step)};
}

/* One number for each half or quarter of the lanes; of_fp16: read as fp16, `step` bytes apart. */
INLINE floats floats_of_halves(float first, float second)
{
    return (floats){_mm256_set1_ps(first), _mm256_set1_ps(second)};
}

INLINE floats floats_of_quarters(const float *p)
{
    __m256 four = _mm256_broadcast_ps((const __m128 *)(const void *)p);
    return (floats){_mm256_permutevar_ps(four, _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1)),
                    _mm256_permutevar_ps(four, _mm256_setr_epi32(2, 2, 2, 2, 3, 3, 3, 3))};
}

INLINE __m128i eight_halves(const uint8_t *p)
{
    short half;
    memcpy(&half, p, sizeof half);
    return _mm_set1_epi16(half);
}

INLINE floats floats_of_fp16_halves(const uint8_t *p, size_t step)
{
    return (floats){_mm256_cvtph_ps(eight_halves(p)), _mm256_cvtph_ps(eight_halves(p + step))};
}

INLINE __m256 fp16_of_two_quarters(const uint8_t *p, size_t step)
{
    return _mm256_cvtph_ps(_mm_blend_epi16(eight_halves(p), eight_halves(p + step), 0xf0));
}

INLINE floats floats_of_fp16_quarters(const uint8_t *p, size_t step)
{
    return (floats){fp16_of_two_quarters(p, step), fp16_of_two_quarters(p + 2 * step, step)};
}

/* word & bits << shift of every word, in fp32. Not shifting down saves an instruction; the result is exactly
 * 2^shift times too large. Only the top bits, which would be a negative number, are shifted down. */
INLINE __m256 bits_in_place(__m256i words, uint32_t bits, size_t shift)
{
    if (bits << shift >> 31)
        return _mm256_cvtepi32_ps(_mm256_srli_epi32(words, (int)shift));
    return _mm256_cvtepi32_ps(_mm256_and_si256(words, _mm256_set1_epi32((int)(bits << shift))));
}

INLINE floats bits_of_words(integers words, uint32_t bits, size_t shift)
{
    return (floats){bits_in_place(words.low, bits, shift), bits_in_place(words.high, bits, shift)};
}

/* Byte b of every word, signed, in fp32. The byte is moved to the top of its lane, which keeps its sign; so the
 * result is exactly 1 / INT8_UNIT times too large. */
#define INT8_UNIT 0x1p-24f

INLINE __m256 top_byte(__m256i words, size_t b)
{
    const __m256i top = _mm256_set1_epi32((int)0xff000000);
    if (b < 3)
        words = _mm256_slli_epi32(words, 24 - 8 * (int)b);
    return _mm256_cvtepi32_ps(b == 0 ? words : _mm256_and_si256(words, top));
}

INLINE floats signed_bytes(integers words, size_t b)
{
    return (floats){top_byte(words.low, b), top_byte(words.high, b)};
}

#define EACH_HALF(OPERATION, X) (integers){OPERATION((X).low), OPERATION((X).high)}

/* ---- lines to columns of floats -------------------------------------------------------------- */

/* Column c (a constant) of a line, see matrix.h; integers without their zero point, int4 as 0..15. */

/* Loads a line again for each column: kept in registers, the lines of several panels would spill sums. */
INLINE integers reload_line(const uint8_t *line)
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

INLINE floats column_bf16(const uint8_t *line, size_t c)
{
    integers pairs = reload_line(line);
    const __m256i odd = _mm256_set1_epi32((int)0xffff0000);
    if (c == 0)
        return (floats){_mm256_castsi256_ps(_mm256_slli_epi32(pairs.low, 16)),
                        _mm256_castsi256_ps(_mm256_slli_epi32(pairs.high, 16))};
    return (floats){_mm256_castsi256_ps(_mm256_and_si256(pairs.low, odd)),
                    _mm256_castsi256_ps(_mm256_and_si256(pairs.high, odd))};
}

INLINE floats column_int8(const uint8_t *line, size_t c)
{
    return signed_bytes(reload_line(line), c);
}

/* Column c comes 1 / int4_factors[c] times too large; its activations are multiplied by the factor beforehand. Both are
 * exact. */
#define SHIFT(C) (4 * ((C) / 2 + (C) % 2 * 4))
static const float int4_factors[8] = {1,       0x1p-16f, 0x1p-4f,  0x1p-20f,
                                      0x1p-8f, 0x1p-24f, 0x1p-12f, 1};

INLINE floats column_int4(const uint8_t *line, size_t c)
{
    return bits_of_words(reload_line(line), 15, SHIFT(c));
}

/* A stage writes a line of fp8 to memory as fp16: converting fp16 from memory is twice as fast as from a register.
 * Of each 32 bytes (two columns) the even rows come before the odd ones. */
#define HAVE_STAGES

INLINE void stage_halves(uint8_t *out, __m256i even, __m256i odd)
{
    _mm256_store_si256((__m256i *)(void *)out, even);
    _mm256_store_si256((__m256i *)(void *)(out + 32), odd);
    __asm__ volatile("" : "+m"(*(uint8_t(*)[64])(void *)out)); /* forces the store */
}

INLINE floats column_staged(const uint8_t *stage, size_t c)
{
    const __m128i *half = (const __m128i *)(const void *)(stage + c / 2 * 64 + c % 2 * 16);
    return (floats){_mm256_cvtph_ps(_mm_load_si128(half)), _mm256_cvtph_ps(_mm_load_si128(half + 2))};
}

INLINE floats floats_unstaged(floats lanes)
{
    __m256 low = _mm256_unpacklo_ps(lanes.low, lanes.high), high = _mm256_unpackhi_ps(lanes.low, lanes.high);
    return (floats){_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31)};
}

/* E4M3 with sign, exponent and mantissa shifted to their places in fp16 is an fp16 number exactly FP8E4M3_UNIT
 * times too small, subnormals included. The shift is a multiplication, which selects even or odd bytes. */
#define FP8E4M3_UNIT  256.0f
#define column_fp8e4m3 column_staged

INLINE __m256i shifted_bytes(__m256i columns, int which)
{
    __m256i half = _mm256_maddubs_epi16(_mm256_set1_epi16((short)which), columns);
    return _mm256_and_si256(half, _mm256_set1_epi16((short)0xbf80));
}

INLINE void stage_fp8e4m3(const uint8_t *line, uint8_t *out)
{
    UNROLLED for (size_t i = 0; i < 2; i++) {
        __m256i columns = _mm256_load_si256((const __m256i *)(const void *)line + i);
        stage_halves(out + 64 * i, shifted_bytes(columns, 0x0080), shifted_bytes(columns, 0x8000));
    }
}

/* E5M2 is the upper half of fp16. */
#define column_fp8e5m2 column_staged

INLINE void stage_fp8e5m2(const uint8_t *line, uint8_t *out)
{
    UNROLLED for (size_t i = 0; i < 2; i++) {
        __m256i columns = _mm256_load_si256((const __m256i *)(const void *)line + i);
        stage_halves(out + 64 * i, _mm256_slli_epi16(columns, 8),
                     _mm256_and_si256(columns, _mm256_set1_epi16((short)0xff00)));
    }
}

#define INT4_FACTOR(C) int4_factors[C]
#define INT4_FACTORS true
#define INT4_CENTER 0 /* subtracted by column_int4 */

/* ---- integer dot products -------------------------------------------------------------------- */

#ifdef LANES_VNNI

/* One operand of the byte products is unsigned: int8 codes have 128 added. */
#define INT8_PACK PACK_I8X4
enum { INT8_PARTS = 1, INT8_BIAS = 128, INT4_PARTS = 2 };

INLINE void split_int8(const uint8_t *line, integers *part)
{
    const __m256i bias = _mm256_set1_epi8(-128);
    integers fours = integers_load(line);
    part[0] = (integers){_mm256_xor_si256(fours.low, bias), _mm256_xor_si256(fours.high, bias)};
}

/* sum += four products of unsigned bytes a and signed bytes b. Not the intrinsic: with it gcc 12 copies every sum
 * between registers and runs out of them. */
#ifndef DOT_BYTES
#define DOT_BYTES dot_bytes
INLINE __m256i dot_bytes(__m256i sum, __m256i a, __m256i b)
{
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
    return sum;
}
#endif

INLINE integers dot_int8(integers sum, integers part, integers word)
{
    return (integers){DOT_BYTES(sum.low, part.low, word.low),
                      DOT_BYTES(sum.high, part.high, word.high)};
}

INLINE integers dot_int4(integers sum, integers part, integers word)
{
    return dot_int8(sum, part, word);
}

#else

/* int8: there are no products of two signed bytes, so a line is widened to 16 bits: columns 0 and 2, then columns 1
 * and 3. */
#define INT8_PACK PACK_I16X2
enum { INT8_PARTS = 2, INT8_BIAS = 0, INT4_PARTS = 2 };

INLINE __m256i even_bytes(__m256i x)
{
    return _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8);
}

INLINE __m256i odd_bytes(__m256i x)
{
    return _mm256_srai_epi16(x, 8);
}

INLINE void split_int8(const uint8_t *line, integers *part)
{
    integers fours = integers_load(line);
    part[0] = EACH_HALF(even_bytes, fours);
    part[1] = EACH_HALF(odd_bytes, fours);
}

INLINE integers dot_int8(integers sum, integers part, integers word)
{
    return integers_add(sum, (integers){_mm256_madd_epi16(part.low, word.low),
                                        _mm256_madd_epi16(part.high, word.high)});
}

/* Two products of a nibble and a byte are at most 2 * 15 * 128: no saturation. */
INLINE integers dot_int4(integers sum, integers part, integers word)
{
    const __m256i one = _mm256_set1_epi16(1);
    __m256i low = _mm256_maddubs_epi16(part.low, word.low);
    __m256i high = _mm256_maddubs_epi16(part.high, word.high);
    return integers_add(sum, (integers){_mm256_madd_epi16(low, one), _mm256_madd_epi16(high, one)});
}

#endif

INLINE __m256i low_nibbles(__m256i x)
{
    return _mm256_and_si256(x, _mm256_set1_epi8(15));
}

INLINE __m256i high_nibbles(__m256i x)
{
    return low_nibbles(_mm256_srli_epi16(x, 4));
}

INLINE void split_int4(const uint8_t *line, integers *part)
{
    integers eights = integers_load(line);
    part[0] = EACH_HALF(low_nibbles, eights);
    part[1] = EACH_HALF(high_nibbles, eights);
}

/* ---- integer dot products of blocks ---------------------------------------------------------- */

INLINE integers integers_add_bytes(integers x, int c)
{
    __m256i all = _mm256_set1_epi8((char)c);
    return (integers){_mm256_add_epi8(x.low, all), _mm256_add_epi8(x.high, all)};
}

/* The low or the high nibble of every byte. */
INLINE integers integers_nibbles(integers x, size_t high)
{
    return high ? EACH_HALF(high_nibbles, x) : EACH_HALF(low_nibbles, x);
}

/* 32 signed bytes to 16-bit words; word i of each quarter in all words of that quarter. */
INLINE integers words_of_bytes(bytes_32 x)
{
    return (integers){_mm256_cvtepi8_epi16(_mm256_castsi256_si128((__m256i)x)),
                      _mm256_cvtepi8_epi16(_mm256_extracti128_si256((__m256i)x, 1))};
}

INLINE integers words_spread(integers x, size_t i)
{
    __m256i at = _mm256_set1_epi16((short)(0x0100 + 0x0202 * (int)i));
    return (integers){_mm256_shuffle_epi8(x.low, at), _mm256_shuffle_epi8(x.high, at)};
}

/* sum += four products a lane of bytes 0 .. 127 and signed bytes at most 127 in magnitude. */
INLINE integers dot_codes(integers sum, integers codes, integers x)
{
    return dot_int4(sum, codes, x);
}

/* The same, each two products times a scale of 16 bits: two products of bytes are at most 2 * 127 * 127. */
INLINE __m256i scaled_pairs(__m256i codes, __m256i x, __m256i scales)
{
    return _mm256_madd_epi16(_mm256_maddubs_epi16(codes, x), scales);
}

INLINE integers dot_scaled(integers sum, integers codes, integers x, integers scales)
{
    return integers_add(sum, (integers){scaled_pairs(codes.low, x.low, scales.low),
                                        scaled_pairs(codes.high, x.high, scales.high)});
}

/* The same of two signed bytes: the sign of the codes is moved to x. -128 becomes 128, which is unsigned. */
INLINE integers dot_scaled_wide(integers sum, integers codes, integers x, integers scales)
{
    x = (integers){_mm256_sign_epi8(x.low, codes.low), _mm256_sign_epi8(x.high, codes.high)};
    return dot_scaled(sum, EACH_HALF(_mm256_abs_epi8, codes), x, scales);
}

/* Four products a lane of the codes of wide types (struct block_layout), WIDE_CENTER added, and signed bytes. */
#ifdef LANES_VNNI
enum { WIDE_CENTER = 128 };

INLINE integers dot_wide(integers sum, integers codes, integers x)
{
    return dot_int8(sum, codes, x);
}
#else
enum { WIDE_CENTER = 0 };

INLINE integers dot_wide(integers sum, integers codes, integers x)
{
    return dot_scaled_wide(sum, codes, x, (integers){_mm256_set1_epi16(1), _mm256_set1_epi16(1)});
}
#endif

/* ---- tiles ----------------------------------------------------------------------------------- */

/* Panels and tokens of the tiles that have a micro-kernel: MR x 2 sums fill most of the 16 registers. */
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
    __asm__ volatile("" : "+x"(x.low), "+x"(x.high));
    return x;
}

INLINE integers integers_keep(integers x)
{
    __asm__ volatile("" : "+x"(x.low), "+x"(x.high));
    return x;
}

/* ---- transposition --------------------------------------------------------------------------- */

INLINE void transpose_8x8(const float *in, size_t step, float *out)
{
    __m256 r[8], pair[8], four[8];
    for (int i = 0; i < 8; i++)
        r[i] = _mm256_loadu_ps(in + (size_t)i * step);
    for (int i = 0; i < 4; i++) {
        pair[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        pair[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 2; k++) {
            four[4 * i + 2 * k] = _mm256_shuffle_ps(pair[4 * i + k], pair[4 * i + 2 + k], 0x44);
            four[4 * i + 2 * k + 1] = _mm256_shuffle_ps(pair[4 * i + k], pair[4 * i + 2 + k], 0xee);
        }
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_ps(out + 16 * i, _mm256_permute2f128_ps(four[i], four[4 + i], 0x20));
        _mm256_storeu_ps(out + 16 * (i + 4), _mm256_permute2f128_ps(four[i], four[4 + i], 0x31));
    }
}

/* 16 rows of 16 floats, `step` floats apart, to 16 columns of 16, one after the other. */
INLINE void floats_transpose(const float *in, size_t step, float *out)
{
    transpose_8x8(in, step, out);
    transpose_8x8(in + 8, step, out + 8 * 16);
    transpose_8x8(in + 8 * step, step, out + 8);
    transpose_8x8(in + 8 * step + 8, step, out + 8 * 16 + 8);
}

#endif

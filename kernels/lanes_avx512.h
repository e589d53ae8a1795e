/* lanes_avx512.h - the sixteen lanes of a panel's line in AVX-512 (F, BW, VL, DQ, VNNI, BF16,
 * VBMI): one register. tests/emulation/immintrin.h has every intrinsic used here in plain C; add new ones
 * there, too. */
#ifndef QTOP_LANES_AVX512_H
#define QTOP_LANES_AVX512_H

#include "dtype.h"

#include <immintrin.h>

/* The emulation defines its own: it need not be fast, and has no registers. */
#ifndef INLINE
#define INLINE static inline __attribute__((always_inline))
#define UNROLLED _Pragma("GCC unroll 32")
#define VECTOR_PLACE "+v"
#endif

typedef __m512 floats; /* 16 fp32 */

/* 16 32-bit integers, or the 64 bytes of a line. Not __m512i: gcc 12 would copy sums of that type between registers at
 * every addition. */
typedef int32_t integers __attribute__((vector_size(64)));

/* ---- floats ---------------------------------------------------------------------------------- */

INLINE floats floats_all(float x)
{
    return _mm512_set1_ps(x);
}

INLINE floats floats_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

INLINE void floats_store(float *p, floats x)
{
    _mm512_storeu_ps(p, x);
}

INLINE floats floats_add(floats a, floats b)
{
    return _mm512_add_ps(a, b);
}

INLINE floats floats_subtract(floats a, floats b)
{
    return _mm512_sub_ps(a, b);
}

INLINE floats floats_multiply(floats a, floats b)
{
    return _mm512_mul_ps(a, b);
}

/* a * b + c, rounded once */
INLINE floats floats_fma(floats a, floats b, floats c)
{
    return _mm512_fmadd_ps(a, b, c);
}

INLINE float floats_sum(floats x)
{
    return _mm512_reduce_add_ps(x);
}

INLINE floats floats_from_fp16(const void *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256(p));
}

/* One fp16 in every lane. */
INLINE floats floats_all_fp16(const void *p)
{
    short half;
    memcpy(&half, p, sizeof half);
    return _mm512_cvtph_ps(_mm256_set1_epi16(half));
}

INLINE floats floats_from_bf16(const void *p)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(p)), 16));
}

/* 16 E4M3 with sign, exponent and mantissa shifted to their places in fp16: fp16 numbers 256 times too small,
 * subnormals included. The code that would be 480 is NaN: adding one step sets the top bit of its exponent. */
INLINE floats floats_from_fp8e4m3(const void *p)
{
    __m256i bytes = _mm256_cvtepi8_epi16(_mm_loadu_si128(p));
    __m256i half = _mm256_and_si256(_mm256_slli_epi16(bytes, 7), _mm256_set1_epi16((short)0xbf80));
    __m256i next = _mm256_add_epi16(half, _mm256_set1_epi16(0x80));
    half = _mm256_or_si256(half, _mm256_and_si256(next, _mm256_set1_epi16(0x4000)));
    return _mm512_mul_ps(_mm512_cvtph_ps(half), _mm512_set1_ps(256));
}

/* E5M2 is the upper half of fp16. */
INLINE floats floats_from_fp8e5m2(const void *p)
{
    return _mm512_cvtph_ps(_mm256_slli_epi16(_mm256_cvtepi8_epi16(_mm_loadu_si128(p)), 8));
}

/* ---- integers -------------------------------------------------------------------------------- */

INLINE integers integers_all(int32_t x)
{
    return (integers)_mm512_set1_epi32(x);
}

INLINE integers integers_load(const void *p)
{
    return (integers)_mm512_loadu_si512(p);
}

INLINE void integers_store(void *p, integers x)
{
    _mm512_storeu_si512(p, (__m512i)x);
}

INLINE integers integers_add(integers a, integers b)
{
    return (integers)_mm512_add_epi32((__m512i)a, (__m512i)b);
}

INLINE integers integers_subtract(integers a, integers b)
{
    return (integers)_mm512_sub_epi32((__m512i)a, (__m512i)b);
}

INLINE integers integers_multiply(integers a, integers b)
{
    return (integers)_mm512_mullo_epi32((__m512i)a, (__m512i)b);
}

INLINE floats integers_to_floats(integers x)
{
    return _mm512_cvtepi32_ps((__m512i)x);
}

/* 16 signed bytes */
INLINE integers integers_from_bytes(const void *p)
{
    return (integers)_mm512_cvtepi8_epi32(_mm_loadu_si128(p));
}

/* 16 nibbles, the low one of a byte first */
INLINE integers integers_from_nibbles(const void *p)
{
    int64_t nibbles;
    memcpy(&nibbles, p, sizeof nibbles);
    const __m512i from = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60);
    __m512i bytes = _mm512_multishift_epi64_epi8(from, _mm512_set1_epi64(nibbles));
    return (integers)_mm512_and_si512(bytes, _mm512_set1_epi32(15));
}

/* 16 numbers of two bytes */
INLINE integers integers_from_pairs(const void *p)
{
    return (integers)_mm512_cvtepu16_epi32(_mm256_loadu_si256(p));
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
INLINE floats floats_look_up(const float *values, integers words, size_t shift)
{
    return _mm512_permutexvar_ps(_mm512_srli_epi32((__m512i)words, (unsigned)shift), _mm512_loadu_ps(values));
}

/* 64 bytes from two halves, or from four quarters that are `step` bytes apart. */
INLINE integers integers_of_halves(bytes_32 first, bytes_32 second)
{
    return (integers)_mm512_inserti64x4(_mm512_castsi256_si512((__m256i)first), (__m256i)second, 1);
}

INLINE bytes_32 two_quarters(const uint8_t *p, size_t step)
{
    bytes_16 both[2];
    memcpy(&both[0], p, sizeof both[0]);
    memcpy(&both[1], p + step, sizeof both[1]);
    return bytes_join(both[0], both[1]);
}

INLINE integers integers_of_quarters(const uint8_t *p, size_t step)
{
    return integers_of_halves(two_quarters(p, step), two_quarters(p + 2 * step, step));
}

/* One number for each half or quarter of the lanes; of_fp16: read as fp16, `step` bytes apart. */
INLINE floats floats_of_halves(float first, float second)
{
    return _mm512_mask_mov_ps(_mm512_set1_ps(first), 0xff00, _mm512_set1_ps(second));
}

INLINE floats floats_of_quarters(const float *p)
{
    const __m512i lane = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    return _mm512_permutexvar_ps(lane, _mm512_castps128_ps512(_mm_loadu_ps(p)));
}

INLINE __m256i sixteen_halves(const uint8_t *p)
{
    short half;
    memcpy(&half, p, sizeof half);
    return _mm256_set1_epi16(half);
}

INLINE floats floats_of_fp16_halves(const uint8_t *p, size_t step)
{
    return _mm512_cvtph_ps(_mm256_mask_mov_epi16(sixteen_halves(p), 0xff00, sixteen_halves(p + step)));
}

INLINE floats floats_of_fp16_quarters(const uint8_t *p, size_t step)
{
    __m256i quarters = sixteen_halves(p);
    quarters = _mm256_mask_mov_epi16(quarters, 0x00f0, sixteen_halves(p + step));
    quarters = _mm256_mask_mov_epi16(quarters, 0x0f00, sixteen_halves(p + 2 * step));
    return _mm512_cvtph_ps(_mm256_mask_mov_epi16(quarters, 0xf000, sixteen_halves(p + 3 * step)));
}

/* word & bits << shift of every word, in fp32. Not shifting down saves an instruction; the result is exactly
 * 2^shift times too large. Only the top bits, which would be a negative number, are shifted down. */
INLINE floats bits_of_words(integers words, uint32_t bits, size_t shift)
{
    if (bits << shift >> 31)
        return _mm512_cvtepi32_ps(_mm512_srli_epi32((__m512i)words, (unsigned)shift));
    return _mm512_cvtepi32_ps(_mm512_and_si512((__m512i)words, _mm512_set1_epi32((int)(bits << shift))));
}

/* Byte b of every word, signed, in fp32. The byte is moved to the top of its lane, which keeps its sign; so the
 * result is exactly 1 / INT8_UNIT times too large. */
#define INT8_UNIT 0x1p-24f

INLINE floats signed_bytes(integers words, size_t b)
{
    __m512i at = (__m512i)words, top = _mm512_set1_epi32(-0x1000000);
    if (b < 3)
        at = _mm512_slli_epi32(at, 24 - 8 * (unsigned)b);
    return _mm512_cvtepi32_ps(b == 0 ? at : _mm512_and_si512(at, top));
}

/* ---- tables of bf16 -------------------------------------------------------------------------- */

/* The exact bf16 of a byte, indexed by its lower seven bits; the top bit is the sign. High and low bytes of bf16 have
 * tables of their own, one look-up each. */
struct bf16_table {
    _Alignas(64) uint8_t high[128], low[128];
};

#define EACH_4(F, M) F(M), F((M) + 1), F((M) + 2), F((M) + 3)
#define EACH_16(F, M) EACH_4(F, M), EACH_4(F, (M) + 4), EACH_4(F, (M) + 8), EACH_4(F, (M) + 12)
#define EACH_32(F, M) EACH_16(F, M), EACH_16(F, (M) + 16)
#define EACH_64(F, M) EACH_32(F, M), EACH_32(F, (M) + 32)
#define EACH_128(F) {EACH_64(F, 0), EACH_64(F, 64)}

/* Subnormals of fp8 are normal in bf16: the exponent follows from the leading bit. */
#define E4M3(M)                                                                                    \
    ((M) == 127 ? 0x7fc0 : (M) >= 8 ? ((M) << 4) + 0x3c00 : (M) >= 4 ? ((M) << 5) + 0x3b80         \
     : (M) >= 2 ? ((M) << 6) + 0x3b00 : (M) * 0x3b00)
#define E5M2(M)                                                                                    \
    ((M) >= 124 ? ((M) << 5) + 0x7000 : (M) >= 4 ? ((M) << 5) + 0x3800                             \
     : (M) >= 2 ? ((M) << 6) + 0x3780 : (M) * 0x3780)
/* Magnitudes of integers. The lower seven bits of |-128| are 0, so index 0 holds 128; halves_of_int8 masks the real
 * 0. */
#define MAGNITUDE(M)                                                                               \
    ((M) >= 64 ? ((M) << 1) + 0x4200 : (M) >= 32 ? ((M) << 2) + 0x4180                             \
     : (M) >= 16 ? ((M) << 3) + 0x4100 : (M) >= 8 ? ((M) << 4) + 0x4080                            \
     : (M) >= 4 ? ((M) << 5) + 0x4000 : (M) >= 2 ? ((M) << 6) + 0x3f80 : (M) ? 0x3f80 : 0x4300)

#define HIGH_E4M3(M) E4M3(M) >> 8
#define LOW_E4M3(M) E4M3(M) & 255
#define HIGH_E5M2(M) E5M2(M) >> 8
#define LOW_E5M2(M) E5M2(M) & 255
#define HIGH_MAGNITUDE(M) MAGNITUDE(M) >> 8
#define LOW_MAGNITUDE(M) MAGNITUDE(M) & 255

static const struct bf16_table bf16_of_e4m3 = {EACH_128(HIGH_E4M3), EACH_128(LOW_E4M3)};
static const struct bf16_table bf16_of_e5m2 = {EACH_128(HIGH_E5M2), EACH_128(LOW_E5M2)};
static const struct bf16_table bf16_of_int8 = {EACH_128(HIGH_MAGNITUDE), EACH_128(LOW_MAGNITUDE)};

/* A line's 64 bytes as bf16: their high and their low bytes. */
struct halves {
    __m512i high, low;
};

INLINE __m512i lookup(const uint8_t *table, __m512i bytes)
{
    return _mm512_permutex2var_epi8(_mm512_load_si512(table), bytes, _mm512_load_si512(table + 64));
}

INLINE __m512i with_sign(__m512i high, __m512i bytes)
{
    enum { A_OR_B_AND_C = 0xf8 };
    return _mm512_ternarylogic_epi32(high, bytes, _mm512_set1_epi8(-128), A_OR_B_AND_C);
}

INLINE struct halves halves_of_fp8(const struct bf16_table *table, const uint8_t *line)
{
    __m512i bytes = _mm512_load_si512(line);
    return (struct halves){with_sign(lookup(table->high, bytes), bytes), lookup(table->low, bytes)};
}

INLINE struct halves halves_of_int8(const uint8_t *line)
{
    __m512i bytes = _mm512_load_si512(line), magnitude = _mm512_abs_epi8(bytes);
    __mmask64 some = _mm512_test_epi8_mask(bytes, bytes);
    __m512i high = _mm512_maskz_permutex2var_epi8(some, _mm512_load_si512(bf16_of_int8.high),
                                                  magnitude,
                                                  _mm512_load_si512(bf16_of_int8.high + 64));
    return (struct halves){with_sign(high, bytes), lookup(bf16_of_int8.low, magnitude)};
}

/* ---- lines to columns of floats -------------------------------------------------------------- */

/* Column c (a constant) of a line, see matrix.h; integers without their zero point, int4 as 0..15. */

INLINE floats column_fp32(const uint8_t *line, size_t c)
{
    (void)c;
    return _mm512_load_ps(line);
}

INLINE floats column_fp16(const uint8_t *line, size_t c)
{
    return floats_from_fp16(line + 32 * c);
}

INLINE floats column_bf16(const uint8_t *line, size_t c)
{
    __m512i pairs = _mm512_load_si512(line);
    return _mm512_castsi512_ps(c == 0 ? _mm512_slli_epi32(pairs, 16)
                                      : _mm512_and_si512(pairs, _mm512_set1_epi32(-0x10000)));
}

INLINE floats column_int8(const uint8_t *line, size_t c)
{
    return signed_bytes((integers)_mm512_load_si512(line), c);
}

/* Column c comes 1 / int4_factors[c] times too large; its activations are multiplied by the factor beforehand. Both are
 * exact. */
#define SHIFT(C) (4 * ((C) / 2 + (C) % 2 * 4))
static const float int4_factors[8] = {1,       0x1p-16f, 0x1p-4f,  0x1p-20f,
                                      0x1p-8f, 0x1p-24f, 0x1p-12f, 1};

INLINE floats column_int4(const uint8_t *line, size_t c)
{
    return bits_of_words((integers)_mm512_load_si512(line), 15, SHIFT(c));
}

/* Indices of 16 fp32 whose upper halves are bytes 16 c + r of `low` and `high`. */
#define COLUMN_ROW(R) 0, 0, R, 64 + (R)
static const _Alignas(64) uint8_t column_bytes[64] = {EACH_16(COLUMN_ROW, 0)};

INLINE floats column_fp8(const struct bf16_table *table, const uint8_t *line, size_t c)
{
    struct halves of = halves_of_fp8(table, line);
    __m512i at = _mm512_add_epi8(_mm512_load_si512(column_bytes), _mm512_set1_epi8((char)(16 * c)));
    return _mm512_castsi512_ps(
        _mm512_maskz_permutex2var_epi8(0xccccccccccccccccu, of.low, at, of.high));
}

INLINE floats column_fp8e4m3(const uint8_t *line, size_t c)
{
    return column_fp8(&bf16_of_e4m3, line, c);
}

INLINE floats column_fp8e5m2(const uint8_t *line, size_t c)
{
    return column_fp8(&bf16_of_e5m2, line, c);
}

#define INT4_FACTOR(C) int4_factors[C]
#define INT4_FACTORS true
#define INT4_CENTER 0 /* subtracted by column_int4 */

/* ---- lines to pairs of columns --------------------------------------------------------------- */

/* Columns 2 p and 2 p + 1 (p a constant) of a line, two bf16 in each lane; int8 without its zero point, int4
 * minus 8. */
#define HAVE_BF16_DOT

INLINE integers pair_of_bf16(const uint8_t *line, size_t p)
{
    (void)p;
    return (integers)_mm512_load_si512(line);
}

#define FOURS_ROW(R) 4 * (R), 64 + 4 * (R), 4 * (R) + 1, 65 + 4 * (R)
#define COLUMNS_ROW(R) R, 64 + (R), 16 + (R), 80 + (R)
static const _Alignas(64) uint8_t fours_bytes[64] = {EACH_16(FOURS_ROW, 0)};
static const _Alignas(64) uint8_t columns_bytes[64] = {EACH_16(COLUMNS_ROW, 0)};

INLINE integers merge(struct halves of, const uint8_t *bytes, size_t first)
{
    __m512i at = _mm512_add_epi8(_mm512_load_si512(bytes), _mm512_set1_epi8((char)first));
    return (integers)_mm512_permutex2var_epi8(of.low, at, of.high);
}

INLINE integers pair_of_int8(const uint8_t *line, size_t p)
{
    return merge(halves_of_int8(line), fours_bytes, 2 * p);
}

INLINE integers pair_of_fp8e4m3(const uint8_t *line, size_t p)
{
    return merge(halves_of_fp8(&bf16_of_e4m3, line), columns_bytes, 32 * p);
}

INLINE integers pair_of_fp8e5m2(const uint8_t *line, size_t p)
{
    return merge(halves_of_fp8(&bf16_of_e5m2, line), columns_bytes, 32 * p);
}

/* The table has 32 entries, since its index has five bits, of which the lower four are the nibble. */
INLINE integers pair_of_int4(const uint8_t *line, size_t p)
{
    static const _Alignas(64) uint16_t table[32] = {
        0xc100, 0xc0e0, 0xc0c0, 0xc0a0, 0xc080, 0xc040, 0xc000, 0xbf80, 0x0000, 0x3f80, 0x4000,
        0x4040, 0x4080, 0x40a0, 0x40c0, 0x40e0, 0xc100, 0xc0e0, 0xc0c0, 0xc0a0, 0xc080, 0xc040,
        0xc000, 0xbf80, 0x0000, 0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0, 0x40c0, 0x40e0};
    __m512i eights = _mm512_load_si512(line), shift = _mm512_set1_epi16((short)(4 * p));
    return (integers)_mm512_permutexvar_epi16(_mm512_srlv_epi16(eights, shift),
                                              _mm512_load_si512(table));
}

/* sum += both products of a lane */
INLINE floats dot_pairs(floats sum, integers pairs, integers word)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)pairs, (__m512bh)word);
}

/* ---- integer dot products -------------------------------------------------------------------- */

/* One operand of the byte products is unsigned: int8 codes have 128 added. */
#define INT8_PACK PACK_I8X4
enum { INT8_PARTS = 1, INT8_BIAS = 128, INT4_PARTS = 2 };

INLINE void split_int8(const uint8_t *line, integers *part)
{
    part[0] = (integers)_mm512_xor_si512(_mm512_load_si512(line), _mm512_set1_epi8(-128));
}

INLINE integers dot_int8(integers sum, integers part, integers word)
{
    return (integers)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)part, (__m512i)word);
}

INLINE void split_int4(const uint8_t *line, integers *part)
{
    __m512i eights = _mm512_load_si512(line), mask = _mm512_set1_epi8(15);
    part[0] = (integers)_mm512_and_si512(eights, mask);
    part[1] = (integers)_mm512_and_si512(_mm512_srli_epi16(eights, 4), mask);
}

INLINE integers dot_int4(integers sum, integers part, integers word)
{
    return dot_int8(sum, part, word);
}

/* ---- integer dot products of blocks ---------------------------------------------------------- */

INLINE integers integers_add_bytes(integers x, int c)
{
    return (integers)_mm512_add_epi8((__m512i)x, _mm512_set1_epi8((char)c));
}

/* The low or the high nibble of every byte. */
INLINE integers integers_nibbles(integers x, size_t high)
{
    __m512i bytes = high ? _mm512_srli_epi16((__m512i)x, 4) : (__m512i)x;
    return (integers)_mm512_and_si512(bytes, _mm512_set1_epi8(15));
}

/* 32 signed bytes to 16-bit words; word i of each quarter in all words of that quarter. */
INLINE integers words_of_bytes(bytes_32 x)
{
    return (integers)_mm512_cvtepi8_epi16((__m256i)x);
}

INLINE integers words_spread(integers x, size_t i)
{
    return (integers)_mm512_shuffle_epi8((__m512i)x, _mm512_set1_epi16((short)(0x0100 + 0x0202 * (int)i)));
}

/* sum += four products a lane of bytes 0 .. 127 and signed bytes at most 127 in magnitude. */
INLINE integers dot_codes(integers sum, integers codes, integers x)
{
    return dot_int8(sum, codes, x);
}

/* The same, each two products times a scale of 16 bits: two products of bytes are at most 2 * 127 * 127. */
INLINE integers dot_scaled(integers sum, integers codes, integers x, integers scales)
{
    __m512i pairs = _mm512_maddubs_epi16((__m512i)codes, (__m512i)x);
    return (integers)_mm512_dpwssd_epi32((__m512i)sum, pairs, (__m512i)scales);
}

/* The same of two signed bytes: the sign of the codes is moved to x. -128 becomes 128, which is unsigned. */
INLINE integers dot_scaled_wide(integers sum, integers codes, integers x, integers scales)
{
    __mmask64 minus = _mm512_movepi8_mask((__m512i)codes);
    __m512i signs = _mm512_mask_sub_epi8((__m512i)x, minus, _mm512_setzero_si512(), (__m512i)x);
    return dot_scaled(sum, (integers)_mm512_abs_epi8((__m512i)codes), (integers)signs, scales);
}

/* Four products a lane of the codes of wide types (struct block_layout), WIDE_CENTER added, and signed bytes. */
enum { WIDE_CENTER = 128 };

INLINE integers dot_wide(integers sum, integers codes, integers x)
{
    return dot_int8(sum, codes, x);
}

/* ---- tiles ----------------------------------------------------------------------------------- */

/* Panels and tokens of the tiles that have a micro-kernel: MR sums leave 8 of 32 registers for a line. */
#define TILE_SHAPES(X, ...)                                                                        \
    X(4, 1, __VA_ARGS__)                                                                           \
    X(2, 2, __VA_ARGS__)                                                                           \
    X(1, 1, __VA_ARGS__)                                                                           \
    X(1, 2, __VA_ARGS__)                                                                           \
    X(1, 4, __VA_ARGS__)                                                                           \
    X(1, 8, __VA_ARGS__)                                                                           \
    X(1, 16, __VA_ARGS__)                                                                          \
    X(1, 24, __VA_ARGS__)
enum { MR = 24, BLOCK_TOKENS = 12 };

INLINE size_t mr_for(size_t tokens)
{
    return tokens <= 2 ? tokens : tokens <= 4 ? 4 : tokens <= 8 ? 8 : tokens <= 16 ? 16 : MR;
}

/* Makes the compiler assume that a value is used and changed. */
INLINE floats floats_keep(floats x)
{
    __asm__ volatile("" : VECTOR_PLACE(x));
    return x;
}

INLINE integers integers_keep(integers x)
{
    __asm__ volatile("" : VECTOR_PLACE(x));
    return x;
}

/* ---- transposition --------------------------------------------------------------------------- */

/* Exchanges one bit of the row index with the same bit of the lane index, in all 16 rows. */
INLINE void exchange_bit(__m512 row[16], int bit, __mmask16 lanes_with_bit)
{
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i other = _mm512_xor_si512(lane, _mm512_set1_epi32(bit)), second = _mm512_set1_epi32(16);
    __m512i low = _mm512_mask_add_epi32(lane, lanes_with_bit, other, second);
    __m512i high = _mm512_mask_add_epi32(other, lanes_with_bit, lane, second);
    UNROLLED for (int i = 0; i < 16; i++) {
        if (i & bit)
            continue;
        __m512 a = row[i], b = row[i + bit];
        row[i] = _mm512_permutex2var_ps(a, low, b);
        row[i + bit] = _mm512_permutex2var_ps(a, high, b);
    }
}

/* 16 rows of 16 floats, `step` floats apart, to 16 columns of 16, one after the other. */
INLINE void floats_transpose(const float *in, size_t step, float *out)
{
    __m512 row[16];
    UNROLLED for (size_t i = 0; i < 16; i++)
        row[i] = _mm512_loadu_ps(in + i * step);
    exchange_bit(row, 1, 0xaaaa);
    exchange_bit(row, 2, 0xcccc);
    exchange_bit(row, 4, 0xf0f0);
    exchange_bit(row, 8, 0xff00);
    UNROLLED for (size_t i = 0; i < 16; i++)
        _mm512_storeu_ps(out + 16 * i, row[i]);
}

#endif

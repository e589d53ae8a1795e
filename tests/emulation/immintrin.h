/* immintrin.h - the intrinsics of kernels/lanes_avx512.h in plain C, lane by lane as Intel's manual
 * (Software Developer's Manual, volume 2) says, so that its kernels are tested on any machine. */
#ifndef QTOP_TESTS_EMULATION_H
#define QTOP_TESTS_EMULATION_H

#include "kernels/dtype.h"

#include <assert.h>
#include <float.h>
#include <math.h>

typedef uint8_t __m128i __attribute__((vector_size(16)));
typedef float __m128 __attribute__((vector_size(16)));
typedef uint8_t __m256i __attribute__((vector_size(32)));
typedef uint8_t __m512i __attribute__((vector_size(64)));
typedef float __m512 __attribute__((vector_size(64)));
typedef uint16_t __m512bh __attribute__((vector_size(64)));
typedef uint16_t __mmask16;
typedef uint64_t __mmask64;

/* Nothing is made many by inlining. */
#define INLINE static inline
#define UNROLLED
#define VECTOR_PLACE "+m"
#define _MM_HINT_T0 0
#define _mm_prefetch(P, HINT) ((void)(P))

#define EMULATED static inline

/* A register seen as other lanes. */
typedef uint16_t words_256 __attribute__((vector_size(32)));
typedef uint16_t words_512 __attribute__((vector_size(64)));
typedef int32_t dwords_512 __attribute__((vector_size(64)));
typedef uint32_t udwords_512 __attribute__((vector_size(64)));

/* RESULT is a new register; the loop runs over its lanes. */
#define LANES_OF(TYPE, N, RESULT, VALUE)                                                           \
    TYPE RESULT = {0};                                                                             \
    for (int i = 0; i < (N); i++)                                                                  \
    RESULT[i] = (VALUE)

/* ---- memory ---------------------------------------------------------------------------------- */

#define LOADS(NAME, TYPE, ARGUMENT, ALIGNMENT)                                                     \
    EMULATED TYPE NAME(const ARGUMENT *p)                                                          \
    {                                                                                              \
        TYPE x;                                                                                    \
        assert((uintptr_t)p % ALIGNMENT == 0);                                                     \
        memcpy(&x, p, sizeof x);                                                                   \
        return x;                                                                                  \
    }

LOADS(_mm_loadu_si128, __m128i, void, 1)
LOADS(_mm_loadu_ps, __m128, float, 1)
LOADS(_mm256_loadu_si256, __m256i, void, 1)
LOADS(_mm512_loadu_si512, __m512i, void, 1)
LOADS(_mm512_loadu_ps, __m512, void, 1)
LOADS(_mm512_load_si512, __m512i, void, 64)
LOADS(_mm512_load_ps, __m512, void, 64)

EMULATED void _mm512_storeu_ps(void *p, __m512 x)
{
    memcpy(p, &x, sizeof x);
}

EMULATED void _mm512_storeu_si512(void *p, __m512i x)
{
    memcpy(p, &x, sizeof x);
}

/* ---- constants ------------------------------------------------------------------------------- */

EMULATED __m512 _mm512_set1_ps(float x)
{
    LANES_OF(__m512, 16, out, x);
    return out;
}

EMULATED __m256i _mm256_set1_epi16(short x)
{
    LANES_OF(words_256, 16, out, (uint16_t)x);
    return (__m256i)out;
}

EMULATED __m512i _mm512_set1_epi32(int x)
{
    LANES_OF(dwords_512, 16, out, x);
    return (__m512i)out;
}

EMULATED __m512i _mm512_set1_epi64(int64_t x)
{
    LANES_OF(__m512i, 64, out, (uint8_t)((uint64_t)x >> i % 8 * 8));
    return out;
}

EMULATED __m512i _mm512_set1_epi16(short x)
{
    LANES_OF(words_512, 32, out, (uint16_t)x);
    return (__m512i)out;
}

EMULATED __m512i _mm512_set1_epi8(char x)
{
    LANES_OF(__m512i, 64, out, (uint8_t)x);
    return out;
}

#define _mm512_setr_epi32(...) ((__m512i)(dwords_512){__VA_ARGS__})

/* ---- arithmetic ------------------------------------------------------------------------------ */

EMULATED __m512 _mm512_add_ps(__m512 a, __m512 b)
{
    return a + b;
}

EMULATED __m512 _mm512_sub_ps(__m512 a, __m512 b)
{
    return a - b;
}

EMULATED __m512 _mm512_mul_ps(__m512 a, __m512 b)
{
    return a * b;
}

/* A product of floats is exact in double, its sum nearly so. */
EMULATED float multiply_add(float a, float b, float c)
{
    return (float)((double)a * (double)b + (double)c);
}

EMULATED __m512 _mm512_fmadd_ps(__m512 a, __m512 b, __m512 c)
{
    LANES_OF(__m512, 16, out, multiply_add(a[i], b[i], c[i]));
    return out;
}

EMULATED float _mm512_reduce_add_ps(__m512 x)
{
    for (int half = 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            x[i] += x[i + half];
    return x[0];
}

EMULATED __m512i _mm512_add_epi32(__m512i a, __m512i b)
{
    return (__m512i)((udwords_512)a + (udwords_512)b);
}

EMULATED __m512i _mm512_mask_add_epi32(__m512i old, __mmask16 mask, __m512i a, __m512i b)
{
    udwords_512 sum = (udwords_512)a + (udwords_512)b;
    LANES_OF(udwords_512, 16, out, mask >> i & 1 ? sum[i] : ((udwords_512)old)[i]);
    return (__m512i)out;
}

EMULATED __m512i _mm512_sub_epi32(__m512i a, __m512i b)
{
    return (__m512i)((udwords_512)a - (udwords_512)b);
}

EMULATED __m512i _mm512_mullo_epi32(__m512i a, __m512i b)
{
    return (__m512i)((udwords_512)a * (udwords_512)b);
}

EMULATED __m256i _mm256_add_epi16(__m256i a, __m256i b)
{
    return (__m256i)((words_256)a + (words_256)b);
}

EMULATED __m512i _mm512_add_epi8(__m512i a, __m512i b)
{
    return a + b;
}

/* The lowest byte has no opposite and stays. */
EMULATED __m512i _mm512_abs_epi8(__m512i a)
{
    LANES_OF(__m512i, 64, out, a[i] < 128 ? a[i] : (uint8_t)-a[i]);
    return out;
}

/* Four products of an unsigned and a signed byte are added without saturation. */
EMULATED __m512i _mm512_dpbusd_epi32(__m512i sum, __m512i a, __m512i b)
{
    udwords_512 out = (udwords_512)sum;
    for (int i = 0; i < 64; i++)
        out[i / 4] += (uint32_t)(a[i] * (int8_t)b[i]);
    return (__m512i)out;
}

/* Two products of an unsigned and a signed byte, added with saturation. */
EMULATED __m512i _mm512_maddubs_epi16(__m512i a, __m512i b)
{
    words_512 out = {0};
    for (int i = 0; i < 32; i++) {
        int sum = a[2 * i] * (int8_t)b[2 * i] + a[2 * i + 1] * (int8_t)b[2 * i + 1];
        out[i] = (uint16_t)(sum > INT16_MAX ? INT16_MAX : sum < INT16_MIN ? INT16_MIN : sum);
    }
    return (__m512i)out;
}

EMULATED __m512i _mm512_dpwssd_epi32(__m512i sum, __m512i a, __m512i b)
{
    udwords_512 out = (udwords_512)sum;
    words_512 x = (words_512)a, y = (words_512)b;
    for (int i = 0; i < 32; i++)
        out[i / 2] += (uint32_t)((int16_t)x[i] * (int16_t)y[i]);
    return (__m512i)out;
}

EMULATED __m512i _mm512_setzero_si512(void)
{
    return (__m512i){0};
}

EMULATED __m512i _mm512_mask_sub_epi8(__m512i other, __mmask64 mask, __m512i a, __m512i b)
{
    LANES_OF(__m512i, 64, out, mask >> i & 1 ? (uint8_t)(a[i] - b[i]) : other[i]);
    return out;
}

EMULATED __mmask64 _mm512_movepi8_mask(__m512i x)
{
    __mmask64 mask = 0;
    for (int i = 0; i < 64; i++)
        mask |= (__mmask64)(x[i] >> 7) << i;
    return mask;
}

EMULATED __m512i _mm512_cvtepi8_epi16(__m256i x)
{
    LANES_OF(words_512, 32, out, (uint16_t)(int8_t)x[i]);
    return (__m512i)out;
}

/* A byte whose index has its top bit becomes 0. */
EMULATED __m512i _mm512_shuffle_epi8(__m512i x, __m512i at)
{
    LANES_OF(__m512i, 64, out, at[i] & 128 ? 0 : x[i / 16 * 16 + (at[i] & 15)]);
    return out;
}

/* Numbers below the normal ones count as 0 and become 0, signs kept. */
EMULATED float flushed(float x)
{
    return fabsf(x) < FLT_MIN ? copysignf(0, x) : x;
}

/* The second product of a pair is added first; each sum is rounded. */
EMULATED __m512 _mm512_dpbf16_ps(__m512 sum, __m512bh a, __m512bh b)
{
    for (int i = 0; i < 16; i++)
        for (int k = 2 * i + 1; k >= 2 * i; k--)
            sum[i] = flushed(multiply_add(flushed(bf16_decode(a[k])), flushed(bf16_decode(b[k])),
                                          flushed(sum[i])));
    return sum;
}

/* ---- parts ----------------------------------------------------------------------------------- */

/* What lies above the part is undefined: here it is the part again. */
EMULATED __m256i _mm256_castsi128_si256(__m128i x)
{
    LANES_OF(__m256i, 32, out, x[i % 16]);
    return out;
}

EMULATED __m512i _mm512_castsi256_si512(__m256i x)
{
    LANES_OF(__m512i, 64, out, x[i % 32]);
    return out;
}

EMULATED __m512 _mm512_castps128_ps512(__m128 x)
{
    LANES_OF(__m512, 16, out, x[i % 4]);
    return out;
}

EMULATED __m256i _mm256_inserti128_si256(__m256i x, __m128i part, int at)
{
    LANES_OF(__m256i, 32, out, i / 16 == at ? part[i % 16] : x[i]);
    return out;
}

EMULATED __m512i _mm512_inserti64x4(__m512i x, __m256i part, int at)
{
    LANES_OF(__m512i, 64, out, i / 32 == at ? part[i % 32] : x[i]);
    return out;
}

EMULATED __m512 _mm512_mask_mov_ps(__m512 old, __mmask16 mask, __m512 x)
{
    LANES_OF(__m512, 16, out, mask >> i & 1 ? x[i] : old[i]);
    return out;
}

EMULATED __m256i _mm256_mask_mov_epi16(__m256i old, __mmask16 mask, __m256i x)
{
    LANES_OF(words_256, 16, out, mask >> i & 1 ? ((words_256)x)[i] : ((words_256)old)[i]);
    return (__m256i)out;
}

EMULATED __m512 _mm512_permutexvar_ps(__m512i at, __m512 x)
{
    LANES_OF(__m512, 16, out, x[((dwords_512)at)[i] & 15]);
    return out;
}

/* ---- bits ------------------------------------------------------------------------------------ */

EMULATED __m256i _mm256_broadcastsi128_si256(__m128i x)
{
    LANES_OF(__m256i, 32, out, x[i % 16]);
    return out;
}

/* Each half looks up its own sixteen bytes; one with its top bit set asks for 0. */
EMULATED __m256i _mm256_shuffle_epi8(__m256i x, __m256i at)
{
    LANES_OF(__m256i, 32, out, at[i] & 128 ? 0 : x[i / 16 * 16 + (at[i] & 15)]);
    return out;
}

EMULATED __m512i _mm512_and_si512(__m512i a, __m512i b)
{
    return a & b;
}

EMULATED __m512i _mm512_xor_si512(__m512i a, __m512i b)
{
    return a ^ b;
}

/* Bit by bit, the bits of a, b and c are the number of the result's bit in the table. */
EMULATED __m512i _mm512_ternarylogic_epi32(__m512i a, __m512i b, __m512i c, int table)
{
    __m512i out = {0};
    for (int n = 0; n < 8; n++)
        if (table >> n & 1)
            out |= (n & 4 ? a : ~a) & (n & 2 ? b : ~b) & (n & 1 ? c : ~c);
    return out;
}

EMULATED __m256i _mm256_and_si256(__m256i a, __m256i b)
{
    return a & b;
}

EMULATED __m256i _mm256_or_si256(__m256i a, __m256i b)
{
    return a | b;
}

EMULATED __m256i _mm256_slli_epi16(__m256i a, int n)
{
    return (__m256i)((words_256)a << (uint16_t)n);
}

EMULATED __m512i _mm512_slli_epi32(__m512i a, unsigned n)
{
    return (__m512i)((udwords_512)a << n);
}

EMULATED __m512i _mm512_srli_epi32(__m512i a, unsigned n)
{
    return (__m512i)((udwords_512)a >> n);
}

EMULATED __m512i _mm512_srli_epi16(__m512i a, int n)
{
    return (__m512i)((words_512)a >> (uint16_t)n);
}

/* Each byte is eight bits of its 64, from the bit that the byte of `from` says. */
EMULATED __m512i _mm512_multishift_epi64_epi8(__m512i from, __m512i x)
{
    __m512i out;
    for (int i = 0; i < 64; i++) {
        uint64_t eight;
        memcpy(&eight, (const uint8_t *)&x + i / 8 * 8, sizeof eight);
        int at = from[i] & 63;
        out[i] = (uint8_t)(at ? eight >> at | eight << (64 - at) : eight);
    }
    return out;
}

EMULATED __m512i _mm512_srlv_epi32(__m512i a, __m512i n)
{
    LANES_OF(udwords_512, 16, out,
             ((udwords_512)n)[i] < 32 ? ((udwords_512)a)[i] >> ((udwords_512)n)[i] : 0);
    return (__m512i)out;
}

EMULATED __m512i _mm512_srlv_epi16(__m512i a, __m512i n)
{
    LANES_OF(words_512, 32, out,
             (uint16_t)(((words_512)n)[i] < 16 ? ((words_512)a)[i] >> ((words_512)n)[i] : 0));
    return (__m512i)out;
}

EMULATED __mmask64 _mm512_test_epi8_mask(__m512i a, __m512i b)
{
    __mmask64 mask = 0;
    for (int i = 0; i < 64; i++)
        mask |= (__mmask64)((a[i] & b[i]) != 0) << i;
    return mask;
}

/* ---- conversions ----------------------------------------------------------------------------- */

EMULATED __m512 _mm512_castsi512_ps(__m512i x)
{
    return (__m512)x;
}

EMULATED __m512 _mm512_cvtepi32_ps(__m512i x)
{
    LANES_OF(__m512, 16, out, (float)((dwords_512)x)[i]);
    return out;
}

EMULATED __m512i _mm512_cvtepi8_epi32(__m128i x)
{
    LANES_OF(dwords_512, 16, out, (int8_t)x[i]);
    return (__m512i)out;
}

EMULATED __m256i _mm256_cvtepi8_epi16(__m128i x)
{
    LANES_OF(words_256, 16, out, (uint16_t)(int8_t)x[i]);
    return (__m256i)out;
}

EMULATED __m512i _mm512_cvtepu16_epi32(__m256i x)
{
    LANES_OF(udwords_512, 16, out, x[2 * i] | (uint32_t)x[2 * i + 1] << 8);
    return (__m512i)out;
}

EMULATED __m512 _mm512_cvtph_ps(__m256i x)
{
    LANES_OF(__m512, 16, out, fp16_decode((uint16_t)(x[2 * i] | x[2 * i + 1] << 8)));
    return out;
}

/* ---- permutations ---------------------------------------------------------------------------- */

EMULATED __m512i _mm512_permutexvar_epi16(__m512i at, __m512i x)
{
    LANES_OF(words_512, 32, out, ((words_512)x)[((words_512)at)[i] & 31]);
    return (__m512i)out;
}

EMULATED __m512 _mm512_permutex2var_ps(__m512 a, __m512i at, __m512 b)
{
    dwords_512 n = (dwords_512)at;
    LANES_OF(__m512, 16, out, n[i] & 16 ? b[n[i] & 15] : a[n[i] & 15]);
    return out;
}

EMULATED __m512i _mm512_permutex2var_epi8(__m512i a, __m512i at, __m512i b)
{
    LANES_OF(__m512i, 64, out, at[i] & 64 ? b[at[i] & 63] : a[at[i] & 63]);
    return out;
}

EMULATED __m512i _mm512_maskz_permutex2var_epi8(__mmask64 mask, __m512i a, __m512i at, __m512i b)
{
    __m512i all = _mm512_permutex2var_epi8(a, at, b);
    LANES_OF(__m512i, 64, out, mask >> i & 1 ? all[i] : 0);
    return out;
}

#endif

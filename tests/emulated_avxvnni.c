/* emulated_avxvnni.c - the kernels of kernels/avxvnni.c on AVX2, its one instruction in plain C. */
#include <immintrin.h>
#include <stdint.h>

/* Four products of an unsigned and a signed byte are added without saturation. */
static inline __m256i emulated_dpbusd(__m256i sum, __m256i a, __m256i b)
{
    uint8_t unsigned_bytes[32];
    int8_t signed_bytes[32];
    uint32_t out[8];
    _mm256_storeu_si256((__m256i *)unsigned_bytes, a);
    _mm256_storeu_si256((__m256i *)signed_bytes, b);
    _mm256_storeu_si256((__m256i *)out, sum);
    for (int i = 0; i < 32; i++)
        out[i / 4] += (uint32_t)(unsigned_bytes[i] * signed_bytes[i]);
    return _mm256_loadu_si256((const __m256i *)out);
}

#define DOT_BYTES emulated_dpbusd
#define isa_avxvnni isa_emulated_avxvnni
#define cpu_has_avxvnni cpu_has_avx2
#include "kernels/avxvnni.c"

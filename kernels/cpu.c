#include "cpu.h"

#include <stdint.h>

bool cpu_always(void)
{
    return true;
}

#if defined(__x86_64__)
#include <cpuid.h>

/* Intel SDM volume 1, 13.3: XCR0 says which registers the system saves. */
enum { SAVES_SSE = 1 << 1, SAVES_AVX = 1 << 2, SAVES_AVX512 = 7 << 5 };

struct leaf {
    uint32_t a, b, c, d;
};

static struct leaf cpuid(uint32_t leaf, uint32_t part)
{
    struct leaf l = {0, 0, 0, 0};
    if (!__get_cpuid_count(leaf, part, &l.a, &l.b, &l.c, &l.d))
        return (struct leaf){0, 0, 0, 0};
    return l;
}

static bool saves(uint64_t registers)
{
    uint32_t low, high;
    if (!(cpuid(1, 0).c & bit_OSXSAVE))
        return false;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (((uint64_t)high << 32 | low) & registers) == registers;
}

static bool all(uint32_t word, uint32_t bits)
{
    return (word & bits) == bits;
}

bool cpu_has_avx2(void)
{
    return saves(SAVES_SSE | SAVES_AVX) && all(cpuid(1, 0).c, bit_AVX | bit_FMA | bit_F16C) &&
           all(cpuid(7, 0).b, bit_AVX2);
}

/* cpuid 7, part 1, register A */
enum { AVX_VNNI = 1 << 4, AVX512_BF16 = 1 << 5 };

bool cpu_has_avxvnni(void)
{
    return cpu_has_avx2() && all(cpuid(7, 1).a, AVX_VNNI);
}

bool cpu_has_avx512(void)
{
    return cpu_has_avx2() && saves(SAVES_AVX512) &&
           all(cpuid(7, 0).b, bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ) &&
           all(cpuid(7, 0).c, bit_AVX512VBMI | bit_AVX512VNNI) && all(cpuid(7, 1).a, AVX512_BF16);
}

bool cpu_has_neon(void)
{
    return false;
}

#elif defined(__aarch64__)
#include <sys/auxv.h>

enum { DOT_PRODUCT = 1 << 20 }; /* HWCAP_ASIMDDP */

bool cpu_has_neon(void)
{
    return getauxval(AT_HWCAP) & DOT_PRODUCT;
}

#endif

#if !defined(__x86_64__)
bool cpu_has_avx2(void)
{
    return false;
}

bool cpu_has_avxvnni(void)
{
    return false;
}

bool cpu_has_avx512(void)
{
    return false;
}
#endif
#if !defined(__x86_64__) && !defined(__aarch64__)
bool cpu_has_neon(void)
{
    return false;
}
#endif

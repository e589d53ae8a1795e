/* emulated_avx512.c - the kernels of kernels/avx512.c on emulation/immintrin.h, for machines
 * without AVX-512. */
#define isa_avx512 isa_emulated_avx512
#define cpu_has_avx512 cpu_always
#include "kernels/avx512.c"

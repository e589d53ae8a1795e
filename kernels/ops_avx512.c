/* The operators, compiled for AVX-512. */
#define OPERATORS operators_avx512
#include "ops.inc"

/* The operators, compiled for AVX2. */
#define OPERATORS operators_avx2
#include "ops.inc"

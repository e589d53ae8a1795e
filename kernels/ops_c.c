/* The operators, compiled for the baseline of the machine. */
#define OPERATORS operators_c
#include "ops.inc"

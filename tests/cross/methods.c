/* methods.c - the table of methods with names only, for tests of kernels: they parse schemes, but run no method. */
#include "quant/methods.c"

#define NAMED(NAME) const struct method NAME##_method = {.name = #NAME};
METHOD_ROWS(NAMED)

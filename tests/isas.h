/* isas.h - the instruction sets that tests of kernels go through: those of the table, then kernels for
 * other processors on emulated instructions. */
#ifndef QTOP_TESTS_ISAS_H
#define QTOP_TESTS_ISAS_H

#include "kernels/dispatch.h"

/* The i-th; null past the end. */
static inline const struct isa *tested_isa(size_t i)
{
#if defined(__x86_64__)
    extern const struct isa isa_emulated_avx512, isa_emulated_avxvnni;
    static const struct isa *const emulated[] = {&isa_emulated_avx512, &isa_emulated_avxvnni, NULL};
#else
    static const struct isa *const emulated[] = {NULL};
#endif
    size_t rows = 0;
    while (isa_at(rows))
        rows++;
    return i < rows ? isa_at(i) : emulated[i - rows];
}

#endif

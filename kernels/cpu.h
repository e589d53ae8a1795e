/* cpu.h - what the processor offers and the operating system has enabled. Compiled for the oldest
 * processor of its kind, so that asking is safe anywhere. */
#ifndef QTOP_CPU_H
#define QTOP_CPU_H

#include <stdbool.h>

bool cpu_always(void);
bool cpu_has_avx2(void);    /* with FMA and F16C */
bool cpu_has_avxvnni(void); /* the same and 256-bit VNNI */
bool cpu_has_avx512(void);  /* F, BW, VL, DQ, VNNI, BF16, VBMI */
bool cpu_has_neon(void);    /* AArch64 with the dot product extension */

#endif

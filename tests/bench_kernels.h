/* bench_kernels.h - tables of what the kernels reach beside what the machine can do. */
#ifndef QTOP_TESTS_BENCH_KERNELS_H
#define QTOP_TESTS_BENCH_KERNELS_H

#include <stdbool.h>

/* One token times packed weights of a gibibyte, each run beside a read sweep just before it; and the
 * same kernels on weights that stay in cache, which is where their own arithmetic limits them. isa
 * null: every one that this machine has; scheme null: those of the table. False when something fails or a product
 * is wrong. */
bool bench_decode(const char *isa, const char *scheme);

/* 256 tokens times 2048 -> 5632, each run beside the peak of the instruction it should use; OpenBLAS
 * beside fp32 where it is installed. */
bool bench_matmul(const char *isa, const char *scheme);

#endif

/* bench_engine.h - what the engine costs beside its kernels. */
#ifndef QTOP_TESTS_BENCH_ENGINE_H
#define QTOP_TESTS_BENCH_ENGINE_H

#include <stdbool.h>

/* Decode with and without the clock reads of the terminal program, in turns. */
bool bench_telemetry(const char *model);

/* Every linear matrix of a synthetic tinyllama-1.1b from fp16 to int4. */
bool bench_requantize(void);

/* Perplexity and KL divergence of a synthetic tinyllama-1.1b beside the two forward passes that they need. */
bool bench_evaluation(void);

#endif

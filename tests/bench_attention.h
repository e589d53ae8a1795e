/* bench_attention.h - how near attention comes to what bounds it: reading the cache, or multiply-adds. */
#ifndef QTOP_BENCH_ATTENTION_H
#define QTOP_BENCH_ATTENTION_H

#include <stdbool.h>

/* A line for each datatype of the cache, and for a step of one token, which reads it, and passes of several, which
 * multiply. False, where it cannot run. */
bool bench_attention(void);

#endif

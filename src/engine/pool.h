/* pool.h - the one persistent pool of threads; whoever calls pool_run takes part. */
#ifndef QTOP_POOL_H
#define QTOP_POOL_H

#include "../../kernels/error.h"

#include <stddef.h>

struct pool;

/* Work on items begin..end-1. thread is 0..threads-1. */
typedef void pool_fn(void *arg, size_t begin, size_t end, int thread);

/* threads >= 1 counts the caller. Null with an error when a thread cannot start. */
struct pool *pool_create(int threads, struct error *error);
void pool_destroy(struct pool *pool);
int pool_threads(const struct pool *pool);

/* Splits items 0..n-1 into contiguous ranges, several a thread, and returns when all are done. One
 * caller at a time. Between calls the workers spin for a few microseconds, then sleep. */
void pool_run(struct pool *pool, size_t n, pool_fn *fn, void *arg);

#endif

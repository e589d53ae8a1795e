/* pool.h - the one persistent pool of threads; whoever calls pool_run takes part. */
#ifndef QTOP_POOL_H
#define QTOP_POOL_H

#include "base/error.h"

#include <stddef.h>
#include <sys/types.h>

struct pool;

/* Work on items begin..end-1. thread is 0..threads-1. */
typedef void pool_fn(void *arg, size_t begin, size_t end, int thread);

/* threads >= 1 counts the caller. The other threads bind themselves to their places (topology.h); the
 * caller is bound by pool_bind_caller. Null with an error when a thread cannot start. */
struct pool *pool_create(int threads, struct error *error);
void pool_destroy(struct pool *pool);
int pool_threads(const struct pool *pool);

/* The kernel's ids of the threads, `threads` of them: the caller's first, since it acts as thread 0. */
void pool_thread_ids(struct pool *pool, pid_t *out);

/* Binds the calling thread, for good, to the place of the pool's thread 0, and measures pool_cost: for
 * a thread that lives for the pool's work. Without it the caller may run where a worker is bound, and
 * each waits for the other. Threads and programs that it starts later inherit the binding. */
void pool_bind_caller(struct pool *pool);

/* One line on where the threads are: how they are bound, or why they are not. */
void pool_binding(struct pool *pool, char *out, size_t size);

/* Splits items 0..n-1 into contiguous ranges, several a thread, and returns when all are done. Item i
 * belongs to about thread i * threads / n: the same items go to the same thread in every run, so that
 * what a thread writes first lies near to it when it reads; a thread that has finished its own takes
 * over ranges that others have not begun. One caller at a time. A task that runs its own pool again
 * does that work alone, with its own thread's number. Between calls the workers spin for about 50
 * microseconds, then sleep. */
void pool_run(struct pool *pool, size_t n, pool_fn *fn, void *arg);

/* Whether the pool does a task that takes one thread so many nanoseconds clearly sooner, given what it costs to
 * wake the threads (pool_cost). */
bool pool_worthwhile(const struct pool *pool, double nanoseconds);

/* That cost in nanoseconds: an empty task in which every thread takes part, the quickest of some; a
 * guess before pool_bind_caller. 0 for one thread. */
double pool_cost(const struct pool *pool);

#endif

#include "bandwidth.h"

#include "base/pages.h"
#include "sys/memory.h"
#include "base/clock.h"
#include "sys/topology.h"

#include <stdint.h>
#include <string.h>

/* Every unit is swept as STREAMS adjacent parts side by side: one stream a thread leaves a core's
 * misses in flight unused. Memory moves whole lines, so one load a line is enough, and neither the
 * width of the loads nor the instruction set matters. */
enum { LINE = 64, STREAMS = 4, UNIT = 1 << 16 };
enum { TOUCHED = 16 << 20 }; /* bytes that a thread touches a call: some milliseconds */

/* Every thread reads units that others may take over. Fewer threads than the pool has get one range
 * each, which keeps the others out. */
static size_t items(const struct bandwidth_probe *p)
{
    bool all = p->threads == pool_threads(p->pool);
    return all ? p->size / UNIT : (size_t)p->threads;
}

/* The byte that an item begins at; items together are the whole buffer. */
static size_t offset(const struct bandwidth_probe *p, size_t item)
{
    return p->size / UNIT * item / items(p) * UNIT;
}

/* The byte that the share of one of the threads begins at. */
static size_t share(const struct bandwidth_probe *p, size_t thread)
{
    return p->size / UNIT * thread / (size_t)p->threads * UNIT;
}

/* Shares of threads, one of each a call: the next piece of it. */
static void touch_shares(void *arg, size_t begin, size_t end, int thread)
{
    struct bandwidth_probe *p = arg;
    (void)thread;
    for (size_t i = begin; i < end; i++) {
        size_t from = share(p, i) + p->touched, to = share(p, i + 1);
        if (from < to)
            memset(p->buffer + from, 1, to - from < TOUCHED ? to - from : TOUCHED);
    }
}

bool bandwidth_touch(struct bandwidth_probe *p)
{
    pool_run(p->pool, (size_t)p->threads, touch_shares, p);
    p->touched += TOUCHED;
    return p->touched >= p->size / (size_t)p->threads + UNIT;
}

/* So many threads reach no more caches than there are of them. */
static size_t cache_in_reach(int threads)
{
    const struct topology *t = topology();
    int caches = threads < t->last_level_caches ? threads : t->last_level_caches;
    return t->last_level_cache * (size_t)caches;
}

bool bandwidth_reserve(struct bandwidth_probe *p, struct pool *pool, int threads, struct error *error)
{
    size_t cache = cache_in_reach(threads);
    size_t size = cache ? 4 * cache : (size_t)256 << 20;
    *p = (struct bandwidth_probe){.size = (size + UNIT - 1) / UNIT * UNIT, .pool = pool, .threads = threads};
    if (!memory_check("the bandwidth probe", p->size, error))
        return false;
    p->buffer = pages_alloc(p->size);
    if (!p->buffer)
        return error_set(error, "not enough memory for the bandwidth probe (%zu MiB)", size >> 20);
    return true;
}

bool bandwidth_open(struct bandwidth_probe *p, struct pool *pool, struct error *error)
{
    return bandwidth_open_narrow(p, pool, pool_threads(pool), error);
}

bool bandwidth_open_narrow(struct bandwidth_probe *p, struct pool *pool, int threads, struct error *error)
{
    if (!bandwidth_reserve(p, pool, threads, error))
        return false;
    while (!bandwidth_touch(p))
        continue;
    return true;
}

void bandwidth_close(struct bandwidth_probe *p)
{
    pages_free(p->buffer);
    p->buffer = NULL;
}

static void read_items(void *arg, size_t begin, size_t end, int thread)
{
    const struct bandwidth_probe *p = arg;
    (void)thread;
    size_t part = (offset(p, end) - offset(p, begin)) / STREAMS;
    const unsigned char *from = p->buffer + offset(p, begin);
    for (size_t at = 0; at < part; at += LINE)
        for (size_t s = 0; s < STREAMS; s++) /* volatile: the load itself is wanted */
            (void)*(const volatile uint64_t *)(const volatile void *)(from + s * part + at);
}

double bandwidth_sweep(const struct bandwidth_probe *p)
{
    double begin = clock_seconds();
    pool_run(p->pool, items(p), read_items, (void *)(uintptr_t)p);
    return (double)p->size / (clock_seconds() - begin);
}

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

static void touch_items(void *arg, size_t begin, size_t end, int thread)
{
    struct bandwidth_probe *p = arg;
    (void)thread;
    memset(p->buffer + offset(p, begin), 1, offset(p, end) - offset(p, begin));
}

/* So many threads reach no more caches than there are of them. */
static size_t cache_in_reach(int threads)
{
    const struct topology *t = topology();
    int caches = threads < t->last_level_caches ? threads : t->last_level_caches;
    return t->last_level_cache * (size_t)caches;
}

bool bandwidth_open_narrow(struct bandwidth_probe *p, struct pool *pool, int threads,
                           struct error *error)
{
    size_t cache = cache_in_reach(threads);
    size_t size = cache ? 4 * cache : (size_t)256 << 20;
    *p = (struct bandwidth_probe){NULL, (size + UNIT - 1) / UNIT * UNIT, pool, threads};
    if (!memory_check("the bandwidth probe", p->size, error))
        return false;
    p->buffer = pages_alloc(p->size);
    if (!p->buffer)
        return error_set(error, "not enough memory for the bandwidth probe (%zu MiB)", size >> 20);
    pool_run(pool, items(p), touch_items, p);
    return true;
}

bool bandwidth_open(struct bandwidth_probe *p, struct pool *pool, struct error *error)
{
    return bandwidth_open_narrow(p, pool, pool_threads(pool), error);
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

#include "bandwidth.h"

#include "../../kernels/pages.h"
#include "../engine/memory.h"
#include "clock.h"
#include "topology.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Every unit is swept as STREAMS adjacent parts side by side: one stream a thread leaves a core's
 * misses in flight unused. Memory moves whole lines, so one load a line is enough, and neither the
 * width of the loads nor the instruction set matters. */
enum { LINE = 64, STREAMS = 4, UNIT = 1 << 16 };

static void touch_units(void *arg, size_t begin, size_t end, int thread)
{
    struct bandwidth_probe *p = arg;
    (void)thread;
    memset(p->buffer + begin * UNIT, 1, (end - begin) * UNIT);
}

bool bandwidth_open(struct bandwidth_probe *p, struct pool *pool, struct error *error)
{
    size_t cache = topology()->last_level_cache;
    size_t size = cache ? 4 * cache : (size_t)256 << 20;
    *p = (struct bandwidth_probe){.size = (size + UNIT - 1) / UNIT * UNIT, .pool = pool};
    if (!memory_check("the bandwidth probe", p->size, error))
        return false;
    p->buffer = pages_alloc(p->size);
    if (!p->buffer)
        return error_set(error, "not enough memory for the bandwidth probe (%zu MiB)", size >> 20);
    pool_run(pool, p->size / UNIT, touch_units, p);
    return true;
}

void bandwidth_close(struct bandwidth_probe *p)
{
    pages_free(p->buffer);
    p->buffer = NULL;
}

static void read_units(void *arg, size_t begin, size_t end, int thread)
{
    const struct bandwidth_probe *p = arg;
    (void)thread;
    size_t part = (end - begin) * UNIT / STREAMS;
    const unsigned char *from = p->buffer + begin * UNIT;
    for (size_t at = 0; at < part; at += LINE)
        for (size_t s = 0; s < STREAMS; s++) /* volatile: the load itself is wanted */
            (void)*(const volatile uint64_t *)(const volatile void *)(from + s * part + at);
}

double bandwidth_sweep(const struct bandwidth_probe *p)
{
    double begin = clock_seconds();
    pool_run(p->pool, p->size / UNIT, read_units, (void *)(uintptr_t)p);
    return (double)p->size / (clock_seconds() - begin);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct spread spread_of(double *values, size_t n)
{
    qsort(values, n, sizeof *values, ascending);
    double median = n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
    return (struct spread){median, values[0], values[n - 1]};
}

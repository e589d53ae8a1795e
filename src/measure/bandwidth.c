#include "bandwidth.h"

#include "../engine/memory.h"
#include "clock.h"
#include "topology.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { UNIT = 4096 };

bool bandwidth_open(struct bandwidth_probe *p, struct pool *pool, struct error *error)
{
    size_t cache = topology()->last_level_cache;
    size_t size = cache ? 4 * cache : (size_t)256 << 20;
    *p = (struct bandwidth_probe){.size = size / UNIT * UNIT, .pool = pool};
    if (!memory_check("the bandwidth probe", p->size, error))
        return false;
    p->buffer = aligned_alloc(UNIT, p->size);
    if (!p->buffer)
        return error_set(error, "not enough memory for the bandwidth probe (%zu MiB)", size >> 20);
    memset(p->buffer, 1, p->size);
    return true;
}

void bandwidth_close(struct bandwidth_probe *p)
{
    free(p->buffer);
    p->buffer = NULL;
}

static void read_units(void *arg, size_t begin, size_t end, int thread)
{
    const struct bandwidth_probe *p = arg;
    (void)thread;
    uint64_t sums[8] = {0};
    const uint64_t *from = (const uint64_t *)(const void *)(p->buffer + begin * UNIT);
    const uint64_t *to = (const uint64_t *)(const void *)(p->buffer + end * UNIT);
    for (; from < to; from += 8)
        for (int i = 0; i < 8; i++)
            sums[i] += from[i];
    uint64_t all = 0;
    for (int i = 0; i < 8; i++)
        all += sums[i];
    __asm__ volatile("" : : "r"(all)); /* the sum is wanted, whatever the compiler thinks */
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

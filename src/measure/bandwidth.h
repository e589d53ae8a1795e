/* bandwidth.h - the read roof: read-only sweeps over a buffer that no cache holds. */
#ifndef QTOP_BANDWIDTH_H
#define QTOP_BANDWIDTH_H

#include "sys/pool.h"

struct bandwidth_probe {
    unsigned char *buffer;
    size_t size;    /* at least 4 x the last-level caches that the threads share */
    struct pool *pool;
    int threads;    /* of the pool that read */
};

/* Allocates the buffer and has each thread first touch what it will read. */
bool bandwidth_open(struct bandwidth_probe *probe, struct pool *pool, struct error *error);

/* The same for so many of the pool's threads (1 .. pool_threads), spread evenly over their places; the
 * others idle. */
bool bandwidth_open_narrow(struct bandwidth_probe *probe, struct pool *pool, int threads,
                           struct error *error);
void bandwidth_close(struct bandwidth_probe *probe);

/* One sweep: bytes per second. */
double bandwidth_sweep(const struct bandwidth_probe *probe);

#endif

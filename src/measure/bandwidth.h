/* bandwidth.h - the read roof: read-only sweeps over a buffer that no cache holds. */
#ifndef QTOP_BANDWIDTH_H
#define QTOP_BANDWIDTH_H

#include "sys/pool.h"

struct bandwidth_probe {
    unsigned char *buffer;
    size_t size;    /* at least 4 x the last-level caches that the threads share */
    struct pool *pool;
    int threads;    /* of the pool that read */
    size_t touched; /* bytes of each thread's share that it has touched */
};

/* Allocates the buffer and has each thread touch first what it will read. */
bool bandwidth_open(struct bandwidth_probe *probe, struct pool *pool, struct error *error);

/* The same for so many of the pool's threads (1 .. pool_threads), spread evenly over their places; the
 * others idle. */
bool bandwidth_open_narrow(struct bandwidth_probe *probe, struct pool *pool, int threads,
                           struct error *error);

/* The same in steps: allocates; then touches some more, for some milliseconds, until it is true that all is touched. */
bool bandwidth_reserve(struct bandwidth_probe *probe, struct pool *pool, int threads, struct error *error);
bool bandwidth_touch(struct bandwidth_probe *probe);

void bandwidth_close(struct bandwidth_probe *probe);

/* One sweep: bytes per second. */
double bandwidth_sweep(const struct bandwidth_probe *probe);

#endif

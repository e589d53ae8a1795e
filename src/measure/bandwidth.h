/* bandwidth.h - the read roof: read-only sweeps over a buffer that no cache holds. */
#ifndef QTOP_BANDWIDTH_H
#define QTOP_BANDWIDTH_H

#include "../engine/pool.h"

struct bandwidth_probe {
    unsigned char *buffer;
    size_t size;    /* at least 4 x the last-level cache */
    struct pool *pool;
};

/* Allocates the buffer and has each thread first touch what it will read. */
bool bandwidth_open(struct bandwidth_probe *probe, struct pool *pool, struct error *error);
void bandwidth_close(struct bandwidth_probe *probe);

/* One sweep: bytes per second. */
double bandwidth_sweep(const struct bandwidth_probe *probe);

struct spread {
    double median, least, most;
};

/* Median, least and most of n > 0 values, which are sorted in place. */
struct spread spread_of(double *values, size_t n);

#endif

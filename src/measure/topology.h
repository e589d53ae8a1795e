/* topology.h - what hwloc knows of this machine. */
#ifndef QTOP_TOPOLOGY_H
#define QTOP_TOPOLOGY_H

#include <stddef.h>

struct topology {
    int cores;           /* physical cores that this process may run on, at least 1 */
    int processors;      /* hardware threads likewise */
    size_t last_level_cache; /* bytes of the largest data cache that one core sees; 0 unknown */
    char processor[96];  /* model name, "" unknown */
};

/* Reads it once; later calls return the same. Honours cpusets and affinity. Not for two threads at
 * once the first time. */
const struct topology *topology(void);

#endif

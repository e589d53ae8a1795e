/* topology.h - what hwloc knows of this machine, and where threads are to run on it. */
#ifndef QTOP_TOPOLOGY_H
#define QTOP_TOPOLOGY_H

#include "../../kernels/error.h"

#include <stddef.h>

struct topology {
    int cores;           /* physical cores that this process may run on, at least 1 */
    int processors;      /* hardware threads likewise */
    int nodes;           /* NUMA nodes likewise */
    int runnable;        /* hardware threads of the real machine: fewer or more than `processors`
                            where the topology is simulated */
    int threads;         /* as many as can really run, one a core: what a pool has by default */
    double quota;        /* processors' worth of time that the cgroup grants; 0 no limit */
    char unbound[96];    /* why threads are not bound to places; "" where they can be */
    size_t last_level_cache; /* bytes of the largest data cache that one core sees; 0 unknown */
    char processor[96];  /* model name, "" unknown */
};

/* Reads it once; later calls return the same. Honours cpusets and affinity. Not for two threads at
 * once the first time. */
const struct topology *topology(void);

/* Where thread 0..threads-1 of a pool belongs: hwloc's logical numbers, -1 for any one of what is
 * larger. Threads are spread over the cores first, then over their siblings, neighbours beside each
 * other. As many threads as cores get a core each, more get a hardware thread each; fewer stay within
 * a NUMA node only, so that two narrow pools of two processes do not share a core while others idle.
 * Threads beyond the processors begin again with the first place. */
struct place {
    int node, core, processor;
};
struct place topology_place(int thread, int threads);

/* The smallest of what each of so many threads is bound to, in a word: "core". */
const char *topology_place_kind(int threads);

/* Binds the calling thread to its place. Fails, saying why, where the system refuses or the topology
 * is not that of this machine; the thread then runs where the system puts it. */
bool topology_bind(int thread, int threads, struct error *error);

#endif

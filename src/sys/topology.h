/* topology.h - what hwloc knows of this machine, and where threads are to run on it. */
#ifndef QTOP_TOPOLOGY_H
#define QTOP_TOPOLOGY_H

#include "base/error.h"

#include <stddef.h>

enum { MAX_CACHES = 12, MAX_CORE_KINDS = 8 };

/* Data caches of one level and size. */
struct cache_kind {
    int level;       /* 1 is nearest to the core */
    size_t size;     /* bytes of one */
    int line;        /* bytes; 0 unknown */
    int count;       /* how many of them */
    int processors;  /* hardware threads that share one, the largest number */
};

/* Cores of one kind: hybrid processors have performance and efficiency cores. */
struct core_kind {
    char name[24];   /* as the system calls it, "" unknown */
    int processors;  /* hardware threads of this kind */
    int efficiency;  /* the greater, the faster; -1 unknown */
};

/* Counts are of what this process may use, unless it says otherwise. */
struct topology {
    int packages;        /* at least 1 */
    int cores;           /* physical cores that this process may run on, at least 1 */
    int processors;      /* hardware threads likewise */
    int nodes;           /* NUMA nodes likewise */
    int present;         /* hardware threads of the whole machine, whether this process may use them or not */
    int runnable;        /* hardware threads of the real machine, which a simulated topology may not have */
    int threads;         /* of a pool by default: one a core, as many as can really run */
    double quota;        /* processors' worth of time that the cgroup grants; 0 no limit */
    char unbound[96];    /* why threads are not bound to places; "" where they can be */
    size_t last_level_cache; /* bytes of the largest data cache that one core sees; 0 unknown */
    int last_level_caches;   /* how many of these there are */
    char processor[96];  /* model name, "" unknown */
    struct cache_kind caches[MAX_CACHES]; /* nearest level first, within a level the more common first */
    size_t cache_kinds;
    struct core_kind kinds[MAX_CORE_KINDS]; /* efficiency cores first; none where all are alike */
    size_t core_kinds;
};

/* Reads it once; later calls return the same. Honours cpusets and affinity. Not for two threads at
 * once the first time. */
const struct topology *topology(void);

/* The tree of what this process may use, as lines from the outside in: packages, NUMA nodes, caches, cores. */
enum { TOPOLOGY_TEXT = 160 };
struct topology_line {
    int depth;       /* of indentation */
    int node, core;  /* logical numbers of a line that is a node's or a core's, else -1 */
    char text[TOPOLOGY_TEXT];
};

/* Writes at most `max` and returns how many there are. Not for two threads at once. */
size_t topology_tree(struct topology_line *out, size_t max);

/* Whether it is not this machine's: HWLOC_SYNTHETIC or HWLOC_XMLFILE describe another. */
bool topology_simulated(void);

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

/* topology_internal.h - hwloc's own topology, for the files on topology only. */
#ifndef QTOP_TOPOLOGY_INTERNAL_H
#define QTOP_TOPOLOGY_INTERNAL_H

#include <hwloc.h>

/* After topology(); null where hwloc could not load one. Not to be changed. */
hwloc_topology_t topology_hwloc(void);

#endif

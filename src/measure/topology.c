#include "topology.h"

#include <hwloc.h>
#include <stdio.h>
#include <stdlib.h>

static void fill(struct topology *out, hwloc_topology_t t)
{
    hwloc_bitmap_t binding = hwloc_bitmap_alloc();
    if (binding && hwloc_get_cpubind(t, binding, HWLOC_CPUBIND_PROCESS) == 0 &&
        !hwloc_bitmap_iszero(binding))
        hwloc_topology_restrict(t, binding, 0);
    hwloc_bitmap_free(binding);
    int cores = hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_CORE);
    int processors = hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_PU);
    out->processors = processors > 0 ? processors : 1;
    out->cores = cores > 0 ? cores : out->processors;
    for (hwloc_obj_t o = hwloc_get_obj_by_type(t, HWLOC_OBJ_PU, 0); o; o = o->parent)
        if (hwloc_obj_type_is_dcache(o->type) && o->attr->cache.size > out->last_level_cache)
            out->last_level_cache = (size_t)o->attr->cache.size;
    hwloc_obj_t package = hwloc_get_obj_by_type(t, HWLOC_OBJ_PACKAGE, 0);
    const char *name = package ? hwloc_obj_get_info_by_name(package, "CPUModel") : NULL;
    snprintf(out->processor, sizeof out->processor, "%s", name ? name : "");
}

const struct topology *topology(void)
{
    static struct topology known;
    if (known.cores > 0)
        return &known;
    /* hwloc would complain on standard error where /sys is not mounted; what it finds then will do. */
    setenv("HWLOC_HIDE_ERRORS", "2", 0);
    hwloc_topology_t t;
    struct topology found = {.cores = 1, .processors = 1};
    if (hwloc_topology_init(&t) == 0) {
        if (hwloc_topology_load(t) == 0)
            fill(&found, t);
        hwloc_topology_destroy(t);
    }
    known = found;
    return &known;
}

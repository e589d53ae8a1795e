#include "topology.h"

#include "cgroup.h"
#include "topology_internal.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct topology known;
static hwloc_topology_t machine; /* null where hwloc could not load one */

/* ---- reading it ------------------------------------------------------------------------------ */

/* Cores; hardware threads where the system does not tell cores. */
static hwloc_obj_type_t core_type(void)
{
    return hwloc_get_nbobjs_by_type(machine, HWLOC_OBJ_CORE) > 0 ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
}

/* What the calling thread may use is what threads that it starts may. */
static void restrict_to_binding(hwloc_topology_t t)
{
    hwloc_bitmap_t binding = hwloc_bitmap_alloc();
    if (binding && hwloc_get_cpubind(t, binding, HWLOC_CPUBIND_THREAD) == 0 &&
        !hwloc_bitmap_iszero(binding))
        hwloc_topology_restrict(t, binding, 0);
    hwloc_bitmap_free(binding);
}

static int at_least_one(int n)
{
    return n > 0 ? n : 1;
}

/* Adds a cache to those of its kind. */
static void count_cache(struct topology *out, hwloc_obj_t o)
{
    const struct hwloc_cache_attr_s *c = &o->attr->cache;
    int sharing = hwloc_bitmap_weight(o->cpuset);
    size_t i = 0;
    while (i < out->cache_kinds && (out->caches[i].level != (int)c->depth ||
                                    out->caches[i].size != c->size))
        i++;
    if (i == MAX_CACHES)
        return;
    if (i == out->cache_kinds)
        out->caches[out->cache_kinds++] =
            (struct cache_kind){.level = (int)c->depth, .size = c->size, .line = (int)c->linesize};
    out->caches[i].count++;
    if (sharing > out->caches[i].processors)
        out->caches[i].processors = sharing;
}

static int nearest_first(const void *a, const void *b)
{
    const struct cache_kind *x = a, *y = b;
    return x->level != y->level ? x->level - y->level : y->count - x->count;
}

static void fill_caches(struct topology *out)
{
    for (int depth = 0; depth < hwloc_topology_get_depth(machine); depth++)
        for (hwloc_obj_t o = hwloc_get_obj_by_depth(machine, depth, 0); o; o = o->next_cousin)
            if (hwloc_obj_type_is_dcache(o->type))
                count_cache(out, o);
    qsort(out->caches, out->cache_kinds, sizeof *out->caches, nearest_first);
    for (hwloc_obj_t o = hwloc_get_obj_by_type(machine, HWLOC_OBJ_PU, 0); o; o = o->parent)
        if (hwloc_obj_type_is_dcache(o->type) && o->attr->cache.size > out->last_level_cache) {
            out->last_level_cache = (size_t)o->attr->cache.size;
            out->last_level_caches = at_least_one((int)hwloc_get_nbobjs_by_depth(machine, o->depth));
        }
}

/* hwloc ranks kinds by efficiency. One kind alone is not worth a word. */
static void fill_core_kinds(struct topology *out)
{
    int n = hwloc_cpukinds_get_nr(machine, 0);
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    for (int i = 0; set && n > 1 && i < n && i < MAX_CORE_KINDS; i++) {
        struct core_kind *k = &out->kinds[out->core_kinds];
        struct hwloc_info_s *infos;
        unsigned count;
        if (hwloc_cpukinds_get_info(machine, (unsigned)i, set, &k->efficiency, &count, &infos, 0) != 0)
            continue;
        hwloc_bitmap_and(set, set, hwloc_topology_get_topology_cpuset(machine));
        k->processors = hwloc_bitmap_weight(set);
        for (unsigned j = 0; j < count; j++)
            if (strcmp(infos[j].name, "CoreType") == 0)
                snprintf(k->name, sizeof k->name, "%s", infos[j].value);
        out->core_kinds += k->processors > 0;
    }
    hwloc_bitmap_free(set);
}

static void fill(struct topology *out)
{
    hwloc_topology_t t = machine;
    out->processors = at_least_one(hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_PU));
    out->cores = at_least_one(hwloc_get_nbobjs_by_type(t, core_type()));
    out->nodes = at_least_one(hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_NUMANODE));
    out->packages = at_least_one(hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_PACKAGE));
    fill_caches(out);
    fill_core_kinds(out);
    hwloc_obj_t package = hwloc_get_obj_by_type(t, HWLOC_OBJ_PACKAGE, 0);
    const char *name = package ? hwloc_obj_get_info_by_name(package, "CPUModel") : NULL;
    snprintf(out->processor, sizeof out->processor, "%s", name ? name : "");
    if (!hwloc_topology_is_thissystem(t))
        snprintf(out->unbound, sizeof out->unbound,
                 "threads are not bound: the topology is simulated (HWLOC_%s)",
                 getenv("HWLOC_SYNTHETIC") ? "SYNTHETIC" : "XMLFILE");
}

static int allowed_processors(void)
{
    cpu_set_t set; /* refused on machines of more than 1024 processors: hwloc's number will do */
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : known.processors;
}

static void load(void)
{
    /* hwloc would complain on standard error where /sys is not mounted; what it finds then will do. */
    setenv("HWLOC_HIDE_ERRORS", "2", 0);
    if (hwloc_topology_init(&machine) != 0) {
        machine = NULL;
    } else if (hwloc_topology_load(machine) != 0) {
        hwloc_topology_destroy(machine);
        machine = NULL;
    }
}

const struct topology *topology(void)
{
    if (known.cores > 0)
        return &known;
    known = (struct topology){.packages = 1, .cores = 1, .processors = 1, .nodes = 1, .present = 1,
                              .last_level_caches = 1};
    load();
    if (machine) {
        known.present = at_least_one(
            hwloc_bitmap_weight(hwloc_topology_get_complete_cpuset(machine)));
        restrict_to_binding(machine);
        fill(&known);
    } else {
        snprintf(known.unbound, sizeof known.unbound,
                 "threads are not bound: hwloc cannot read the topology");
    }
    known.quota = cgroup_cpu_quota("");
    known.runnable = known.unbound[0] ? allowed_processors() : known.processors;
    known.threads = known.cores < known.runnable ? known.cores : known.runnable;
    if (known.quota > 0 && known.quota < known.threads)
        known.threads = at_least_one((int)known.quota); /* one more would be stopped again and again */
    return &known;
}

hwloc_topology_t topology_hwloc(void)
{
    return machine;
}

bool topology_simulated(void)
{
    topology();
    return machine && !hwloc_topology_is_thissystem(machine);
}

/* ---- places ---------------------------------------------------------------------------------- */

static hwloc_obj_t core_at(int core)
{
    return hwloc_get_obj_by_type(machine, core_type(), (unsigned)core);
}

static int siblings(int core)
{
    hwloc_obj_t o = core_at(core);
    return at_least_one(hwloc_bitmap_weight(o->cpuset));
}

/* How many of the threads a core gets: the first hardware thread of every core, then the second of
 * those that have one, and so on; a round for which too few threads are left is spread evenly. */
static int threads_on(int core, int threads)
{
    int on = 0;
    for (int round = 0; threads > 0; round++) {
        int wide = 0, before = 0;
        for (int c = 0; c < known.cores; c++) {
            before += c < core && siblings(c) > round;
            wide += siblings(c) > round;
        }
        int placed = threads < wide ? threads : wide;
        if (siblings(core) > round)
            on += (before + 1) * placed / wide - before * placed / wide;
        threads -= placed;
    }
    return on;
}

static int node_of(hwloc_obj_t o)
{
    int first = o->nodeset ? hwloc_bitmap_first(o->nodeset) : -1;
    hwloc_obj_t node = first < 0 ? NULL : hwloc_get_numanode_obj_by_os_index(machine, (unsigned)first);
    return node ? (int)node->logical_index : 0;
}

struct place topology_place(int thread, int threads)
{
    topology();
    if (!machine)
        return (struct place){0, -1, -1};
    int core = 0;
    threads = threads < known.processors ? threads : known.processors;
    thread %= threads;
    for (int on; thread >= (on = threads_on(core, threads)); core++)
        thread -= on;
    hwloc_obj_t o = core_at(core);
    struct place place = {node_of(o), -1, -1};
    if (threads >= known.cores)
        place.core = core;
    if (threads > known.cores)
        place.processor = (int)hwloc_get_obj_inside_cpuset_by_type(machine, o->cpuset, HWLOC_OBJ_PU,
                                                                   (unsigned)thread)
                              ->logical_index;
    return place;
}

const char *topology_place_kind(int threads)
{
    int cores = topology()->cores;
    return threads > cores ? "hardware thread" : threads == cores ? "core" : "NUMA node";
}

bool topology_bind(int thread, int threads, struct error *error)
{
    if (topology()->unbound[0])
        return error_set(error, "%s", known.unbound);
    struct place p = topology_place(thread, threads);
    hwloc_obj_t o = p.processor >= 0
                        ? hwloc_get_obj_by_type(machine, HWLOC_OBJ_PU, (unsigned)p.processor)
                    : p.core >= 0 ? core_at(p.core)
                                  : hwloc_get_obj_by_type(machine, HWLOC_OBJ_NUMANODE, (unsigned)p.node);
    if (!o || hwloc_set_cpubind(machine, o->cpuset, HWLOC_CPUBIND_THREAD) != 0)
        return error_set(error, "threads are not bound: the system refused (%s)",
                         o ? strerror(errno) : "no such place");
    return true;
}

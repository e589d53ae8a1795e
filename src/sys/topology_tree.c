/* The tree that hwloc sees, as lines. */
#include "topology.h"

#include "topology_internal.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

struct writing {
    struct topology_line *out;
    size_t count, max;
};

static void append(char *text, const char *more)
{
    size_t n = strlen(text);
    snprintf(text + n, TOPOLOGY_TEXT - n, "%s%s", n > 0 ? ", " : "", more);
}

static void size_text(char out[32], uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    double size = (double)bytes / 1024;
    int unit = 0;
    for (; size >= 1024 && unit < 3; unit++)
        size /= 1024;
    snprintf(out, 32, "%.4g %s", size, units[unit]);
}

/* The hardware threads of a core. */
static void append_processors(char *text, hwloc_obj_t core)
{
    char list[64] = "hardware thread";
    for (hwloc_obj_t o = core->first_child; o; o = o->next_sibling) {
        size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s %u", o == core->first_child && o->next_sibling ? "s" : "",
                 o->logical_index);
    }
    append(text, list);
}

/* What an object adds to its line. */
static void describe(hwloc_obj_t o, struct topology_line *line)
{
    char text[64], size[32];
    if (hwloc_obj_type_is_dcache(o->type)) {
        size_text(size, o->attr->cache.size);
        snprintf(text, sizeof text, "L%u %s", o->attr->cache.depth, size);
    } else if (o->type == HWLOC_OBJ_NUMANODE) {
        size_text(size, o->attr->numanode.local_memory);
        snprintf(text, sizeof text, "NUMA node %u%s%s", o->logical_index,
                 o->attr->numanode.local_memory ? ", " : "", o->attr->numanode.local_memory ? size : "");
        line->node = (int)o->logical_index;
    } else if (o->type == HWLOC_OBJ_PU) {
        snprintf(text, sizeof text, "hardware thread %u", o->logical_index);
        if (line->core < 0) /* the system tells no cores */
            line->core = (int)o->logical_index;
    } else if (o->type == HWLOC_OBJ_MACHINE) {
        snprintf(text, sizeof text, "machine");
    } else {
        snprintf(text, sizeof text, "%s %u", hwloc_obj_type_string(o->type), o->logical_index);
        text[0] = (char)tolower((unsigned char)text[0]);
    }
    append(line->text, text);
    if (o->type == HWLOC_OBJ_CORE) {
        line->core = (int)o->logical_index;
        append_processors(line->text, o);
    }
}

static struct topology_line *next_line(struct writing *w, int depth)
{
    static struct topology_line beyond; /* counted, not kept */
    struct topology_line *line = w->count < w->max ? &w->out[w->count] : &beyond;
    w->count++;
    *line = (struct topology_line){.depth = depth, .node = -1, .core = -1};
    return line;
}

/* An object with what it contains. What has a single child shares a line with it, so that a core and its own
 * caches are one. */
static void write_object(struct writing *w, hwloc_obj_t o, int depth)
{
    struct topology_line *line = next_line(w, depth);
    for (;; o = o->first_child) {
        describe(o, line);
        bool whole = o->type == HWLOC_OBJ_CORE || o->arity != 1 || o->memory_arity > 0;
        if (whole)
            break;
    }
    for (hwloc_obj_t m = o->memory_first_child; m; m = m->next_sibling)
        describe(m, next_line(w, depth + 1));
    for (hwloc_obj_t c = o->type == HWLOC_OBJ_CORE ? NULL : o->first_child; c; c = c->next_sibling)
        write_object(w, c, depth + 1);
}

size_t topology_tree(struct topology_line *out, size_t max)
{
    struct writing w = {out, 0, max};
    topology();
    hwloc_topology_t t = topology_hwloc();
    if (t)
        write_object(&w, hwloc_get_root_obj(t), 0);
    return w.count;
}

#include "map.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t kind_of(const struct map *m, const char *kind)
{
    size_t k = 0;
    while (k < m->kinds && strcmp(m->kind[k], kind) != 0)
        k++;
    return k;
}

static bool is_inside(const struct report_layer *l)
{
    return l->block >= 0 && l->block < MAP_BLOCKS;
}

/* In the order in which the layers come. */
static void find_extent(struct map *m, const struct report *r)
{
    for (size_t i = 0; i < r->layer_count; i++) {
        const struct report_layer *l = &r->layers[i];
        if (!is_inside(l))
            continue;
        size_t k = kind_of(m, l->kind);
        if (k == m->kinds && k < MAP_KINDS)
            m->kind[m->kinds++] = l->kind;
        if (k < MAP_KINDS && (size_t)l->block >= m->blocks)
            m->blocks = (size_t)l->block + 1;
    }
}

static void add(struct map_cell *c, const struct report_layer *l)
{
    c->partial |= l->partial || (c->there && c->known != l->kl.valid);
    c->there = true;
    if (!l->kl.valid)
        return;
    c->error = c->known ? hypot(c->error, l->kl_error) : l->kl_error;
    c->kl += l->kl.value;
    c->known = true;
}

struct map map_of(const struct report *r)
{
    struct map m = {.low = INFINITY, .high = -INFINITY};
    find_extent(&m, r);
    m.cell = calloc(m.kinds * m.blocks + 1, sizeof *m.cell);
    for (size_t i = 0; m.cell && i < r->layer_count; i++) {
        const struct report_layer *l = &r->layers[i];
        size_t k = is_inside(l) ? kind_of(&m, l->kind) : m.kinds;
        if (k < m.kinds)
            add(&m.cell[k * m.blocks + (size_t)l->block], l);
    }
    for (size_t i = 0; m.cell && i < m.kinds * m.blocks; i++)
        if (m.cell[i].known && m.cell[i].kl > 0) {
            m.low = fmin(m.low, m.cell[i].kl);
            m.high = fmax(m.high, m.cell[i].kl);
        }
    return m;
}

void map_free(struct map *m)
{
    free(m->cell);
}

int map_level(const struct map *m, double kl)
{
    if (!(kl > 0) || !(m->high > m->low))
        return 0;
    return (int)fmin(fmax(log(kl / m->low) / log(m->high / m->low) * MAP_LEVELS, 0), MAP_LEVELS - 1);
}

double map_level_begin(const struct map *m, int level)
{
    return m->low * pow(m->high / m->low, (double)level / MAP_LEVELS);
}

/* map.h - the sensitivity of layers as a table of kinds by blocks. */
#ifndef QTOP_REPORT_MAP_H
#define QTOP_REPORT_MAP_H

#include "report.h"

enum { MAP_KINDS = 48, MAP_BLOCKS = 1024, MAP_LEVELS = 10 };

/* Of the layers of a kind in a block: one, or its experts, whose divergences are added up. */
struct map_cell {
    bool there, known, partial; /* there is such a layer; its figure is known; of a part of the tokens or experts */
    double kl, error;           /* nats; standard error, NaN: not known */
};

struct map {
    size_t kinds, blocks;
    const char *kind[MAP_KINDS]; /* the report's */
    struct map_cell *cell;       /* kinds x blocks; null: memory is short, or there are none */
    double low, high;            /* of all that is above 0; low > high: there are none */
};

/* Layers outside the blocks, and what is beyond the limits above, are not on it. Free with map_free. */
struct map map_of(const struct report *report);
void map_free(struct map *map);

static inline const struct map_cell *map_at(const struct map *map, size_t kind, size_t block)
{
    return &map->cell[kind * map->blocks + block];
}

/* 0..9 on a logarithmic scale from low to high. */
int map_level(const struct map *map, double kl);

/* Where a level begins, nats. */
double map_level_begin(const struct map *map, int level);

#endif

#include "cache.h"

#include <stdlib.h>

struct qtensor *cache_find(struct cache *c, int index, const struct scheme *scheme)
{
    for (size_t i = 0; i < c->count; i++) {
        struct cache_entry *e = &c->entries[i];
        if (e->tensor->tensor == index && qtensor_has_scheme(e->tensor, scheme)) {
            e->used = ++c->clock;
            return qtensor_ref(e->tensor);
        }
    }
    return NULL;
}

static size_t bytes_of(const struct cache *c)
{
    size_t bytes = 0;
    for (size_t i = 0; i < c->count; i++)
        bytes += qtensor_bytes(c->entries[i].tensor);
    return bytes;
}

static void drop_oldest(struct cache *c)
{
    size_t oldest = 0;
    for (size_t i = 1; i < c->count; i++)
        if (c->entries[i].used < c->entries[oldest].used)
            oldest = i;
    qtensor_unref(c->entries[oldest].tensor);
    c->entries[oldest] = c->entries[--c->count];
}

void cache_add(struct cache *c, struct qtensor *tensor)
{
    if (c->count == c->room) {
        size_t room = c->room ? c->room * 2 : 32;
        struct cache_entry *entries = realloc(c->entries, room * sizeof *entries);
        if (!entries)
            return; /* a cache may forget */
        c->entries = entries;
        c->room = room;
    }
    c->entries[c->count++] = (struct cache_entry){qtensor_ref(tensor), ++c->clock};
    for (size_t bytes = bytes_of(c); bytes > c->budget && c->count > 1; bytes = bytes_of(c))
        drop_oldest(c);
}

void cache_free(struct cache *c)
{
    while (c->count > 0)
        qtensor_unref(c->entries[--c->count].tensor);
    free(c->entries);
    *c = (struct cache){0};
}

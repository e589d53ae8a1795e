/* cache.h - quantized tensors that are not in use, kept within a byte budget so that undo and redo are instant. */
#ifndef QTOP_LAB_CACHE_H
#define QTOP_LAB_CACHE_H

#include "engine/weights.h"
#include "quant/scheme.h"

struct cache_entry {
    struct qtensor *tensor; /* a reference */
    uint64_t used;          /* clock of the cache when it was last asked for */
};

struct cache {
    struct cache_entry *entries;
    size_t count, room; /* entries */
    size_t budget;      /* bytes */
    uint64_t clock;
};

/* A tensor of the scheme, with a new reference, or null. */
struct qtensor *cache_find(struct cache *cache, int tensor, const struct scheme *scheme);

/* Adds it, with a reference of its own, and drops the longest unused beyond the budget. */
void cache_add(struct cache *cache, struct qtensor *tensor);
void cache_free(struct cache *cache);

#endif

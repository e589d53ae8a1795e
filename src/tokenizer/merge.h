/* merge.h - byte pair encoding's one loop (Sennrich et al. 2016): of all adjacent pairs that may be merged,
 * merge the one that comes first, the leftmost of equals, until none may. Which pairs may, and which
 * comes first, is the caller's: by score (SentencePiece), by rank (GPT-2) or as llama2.c does. */
#ifndef QTOP_MERGE_H
#define QTOP_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A part of the text that is one token, or will be part of one. */
struct symbol {
    int32_t id;           /* -1: no token spells it */
    uint32_t start, size; /* in the caller's text */
};

struct merged_pair {
    double priority; /* higher ones first */
    int32_t id;
};

struct merge_rule {
    /* Whether two neighbours may be merged, and into what. */
    bool (*pair)(const void *context, const struct symbol *left, const struct symbol *right,
                 struct merged_pair *out);
    const void *context;
};

/* Scratch that serves many calls. Begin with {0}. */
struct merger {
    struct merge_link *links;
    struct merge_candidate *heap;
    size_t link_room, heap_count, heap_room;
};

/* Merges in place and sets *count to what is left; n log n steps. False when memory is short. */
bool merge_symbols(struct merger *merger, const struct merge_rule *rule, struct symbol *symbols,
                   size_t *count);
void merger_free(struct merger *merger);

/* A growing list of symbols. Begin with {0}; free items with free(). */
struct symbols {
    struct symbol *items;
    size_t count, room;
};
bool symbols_add(struct symbols *symbols, struct symbol symbol);

#endif

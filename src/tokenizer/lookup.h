/* lookup.h - hash maps of a vocabulary: from a piece's bytes to its id, from a pair of ids to what they
 * merge into. The hash has a seed of its own each time, so that no file can be made of collisions. */
#ifndef QTOP_LOOKUP_H
#define QTOP_LOOKUP_H

#include "vocabulary.h"

struct piece_index {
    const struct vocabulary_piece *pieces; /* not owned; must outlive the index */
    int32_t *slots;
    size_t mask;
    uint64_t seed;
};

/* Indexes the pieces whose type is in `types` (a sum of 1 << enum token_type). Of equal pieces the lowest
 * id is found. */
bool piece_index_open(struct piece_index *index, const struct vocabulary_piece *pieces, size_t count,
                      unsigned types);
void piece_index_close(struct piece_index *index);

/* The id of the piece that is a followed by b, or -1. */
int32_t piece_find2(const struct piece_index *index, const char *a, size_t an, const char *b,
                    size_t bn);
int32_t piece_find(const struct piece_index *index, const char *text, size_t n);

struct pair_index {
    struct pair_slot *slots;
    size_t mask;
    uint64_t seed;
};

bool pair_index_open(struct pair_index *index, size_t count); /* room for count pairs */
void pair_index_close(struct pair_index *index);

/* Adds a pair. Of equal ones the first counts, or with `last` the last. */
void pair_add(struct pair_index *index, int32_t left, int32_t right, uint32_t rank, int32_t merged, bool last);
bool pair_find(const struct pair_index *index, int32_t left, int32_t right, uint32_t *rank,
               int32_t *merged);

#endif

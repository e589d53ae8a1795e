/* matcher.h - the longest of many texts that begins at a place: user-defined tokens. */
#ifndef QTOP_MATCHER_H
#define QTOP_MATCHER_H

#include "vocabulary.h"

struct matcher {
    const struct vocabulary_piece *pieces; /* not owned; must outlive the matcher */
    int32_t *sorted;                       /* ids in the order of their bytes */
    size_t count;
    bool begins[256];                      /* bytes that some text begins with */
};

/* Takes the pieces of one type; empty ones never match. */
bool matcher_open(struct matcher *matcher, const struct vocabulary_piece *pieces, size_t count,
                  enum token_type type);
void matcher_close(struct matcher *matcher);

/* The longest that text begins with, or -1. */
int32_t matcher_longest(const struct matcher *matcher, const char *text, size_t n);

/* Bytes before the first place where one matches (n where none does) and which. */
size_t matcher_next(const struct matcher *matcher, const char *text, size_t n, int32_t *id);

#endif

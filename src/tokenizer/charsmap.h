/* charsmap.h - SentencePiece's precompiled_charsmap: texts and what they become (normalizer.cc). 4 bytes of size, a
 * double-array trie (Darts-clone) of that size whose values are offsets, and the texts there, each ending in NUL. */
#ifndef QTOP_CHARSMAP_H
#define QTOP_CHARSMAP_H

#include <stdbool.h>
#include <stddef.h>

/* Whether the sizes fit each other; nothing else is trusted later either. */
bool charsmap_check(const char *map, size_t size);

/* The longest text of a checked map that begins `text`: its bytes, or 0, and what it becomes. */
size_t charsmap_find(const char *map, size_t size, const char *text, size_t n, const char **to, size_t *to_size);

#endif

/* stream.h - pieces of tokens to whole UTF-8 characters: never half a character. */
#ifndef QTOP_STREAM_H
#define QTOP_STREAM_H

#include <stddef.h>

struct stream {
    char pending[4]; /* the beginning of a character whose rest has not come */
    size_t count;
};

enum { STREAM_GROWTH = 3 }; /* output bytes a byte of input at most, and as many at the end */

/* Adds n bytes and writes the characters that are complete into out (room for
 * STREAM_GROWTH * (n + 4) bytes). Bytes that are not UTF-8 become U+FFFD. Returns bytes written. */
size_t stream_add(struct stream *stream, const char *bytes, size_t n, char *out);

#endif

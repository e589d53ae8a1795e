/* digest.h - FNV-1a, 64 bits (Fowler, Noll, Vo): tells files apart and damage from none; nothing that must be hard to
 * forge. */
#ifndef QTOP_DIGEST_H
#define QTOP_DIGEST_H

#include <stddef.h>
#include <stdint.h>

/* What a digest begins with. */
#define DIGEST_START 0xcbf29ce484222325u

/* With n more bytes; with a number's bytes as memory holds them; with a text's, of which the NUL counts, too. */
uint64_t digest_bytes(uint64_t digest, const void *bytes, size_t n);
uint64_t digest_number(uint64_t digest, uint64_t number);
uint64_t digest_text(uint64_t digest, const char *text);

#endif

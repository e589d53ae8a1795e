/* gguf_metadata.h - the values of a GGUF file's metadata that an architecture has. Private to gguf_*.c and the rows of
 * the table of architectures. */
#ifndef QTOP_GGUF_METADATA_H
#define QTOP_GGUF_METADATA_H

#include "arch.h"
#include "formats/gguf.h"

struct gguf_metadata {
    const struct gguf *gguf;
    const char *arch; /* prefix of its keys */
    struct error *error;
};

/* The whole key. */
const char *gguf_key(const struct gguf_metadata *metadata, const char *name, char key[128]);

/* A size of 1 to `max` that must be there, unless `otherwise` is not 0. */
bool gguf_read_size(const struct gguf_metadata *metadata, const char *name, size_t otherwise, size_t max, size_t *out);

/* A size of each of some layers, of 1 to `max`, that must be there: one number for all, or a list. */
bool gguf_read_each(const struct gguf_metadata *metadata, const char *name, size_t layers, size_t max, size_t *each);

/* A number from `min` to `max`. */
bool gguf_read_float(const struct gguf_metadata *metadata, const char *name, float otherwise, float min, float max,
                     float *out);

#endif

/* gguf.h - GGUF files, versions 2 and 3 (ggml's docs/gguf.md): metadata and a list of tensors.
 *
 * Parsing is apart from opening: gguf_parse reads a span of memory and believes nothing in it. */
#ifndef QTOP_GGUF_H
#define QTOP_GGUF_H

#include "catalog.h"

/* The types of metadata values, with the format's numbers. */
enum gguf_type {
    GGUF_UINT8, GGUF_INT8, GGUF_UINT16, GGUF_INT16, GGUF_UINT32, GGUF_INT32, GGUF_FLOAT32, GGUF_BOOL,
    GGUF_STRING, GGUF_ARRAY, GGUF_UINT64, GGUF_INT64, GGUF_FLOAT64, GGUF_TYPES
};

struct gguf_text {
    const char *data; /* into the file, no NUL at the end */
    size_t size;
};

struct gguf;

/* Parses one file's bytes, which must outlive what is returned. Keys are unique, every length was checked
 * against the bytes that remain, strings of arrays have an index. */
struct gguf *gguf_parse(const uint8_t *data, size_t size, struct error *error);
void gguf_close(struct gguf *gguf); /* null is fine */

/* Adds one file's tensors to a catalog under their GGUF names; entries point into the parsed bytes. */
bool gguf_add(const struct gguf *gguf, struct catalog *catalog, struct error *error);

/* Maps a file, or all parts of a split one (names end in -00001-of-00005.gguf; any part may be named),
 * adds its tensors under their GGUF names to an empty catalog and sorts it. The metadata is the first
 * part's, and good until the catalog is closed; on failure the catalog may hold some files, which
 * catalog_close releases. A vocabulary without tensors is fine. */
struct gguf *gguf_read(struct catalog *catalog, const char *path, struct error *error);

/* The path of a split model's first part, which has all metadata, where `gguf` was read from another one at `path`;
 * null where it is the first or the only one, or is not named as parts are. The caller frees. */
char *gguf_first_part(const struct gguf *gguf, const char *path);

bool gguf_has(const struct gguf *gguf, const char *key);

/* A value as a short text: a number, true or false, a string, of an array its one value where all are the same, and
 * else "(values that differ)". "" where the key is absent. */
const char *gguf_show(const struct gguf *gguf, const char *key, char out[64]);

/* Values by key. Where the key is absent: `otherwise` (the pointer variants: false), and *error is not
 * touched. Where it is there with another type, a value out of range, NaN or infinite: false and an error
 * that names key, type found and type expected; *out is then untouched. Integers of any width are taken
 * where they fit, and float64 for a float; an array, one value a layer, where all values are the same. */
bool gguf_size(const struct gguf *gguf, const char *key, size_t min, size_t max,
               size_t otherwise, size_t *out, struct error *error);
bool gguf_float(const struct gguf *gguf, const char *key, float otherwise, float *out,
                struct error *error);
bool gguf_bool(const struct gguf *gguf, const char *key, bool otherwise, bool *out,
               struct error *error);
/* Absent: *out = {NULL, 0} and true. */
bool gguf_string(const struct gguf *gguf, const char *key, struct gguf_text *out,
                 struct error *error);

/* An array of one scalar type or of strings. Absent: count 0 and true. */
struct gguf_array {
    enum gguf_type type;
    size_t count;
    const uint8_t *data;           /* scalars, little-endian, not aligned */
    const struct gguf_text *texts; /* strings; the gguf's */
};
bool gguf_array(const struct gguf *gguf, const char *key, enum gguf_type expected,
                struct gguf_array *out, struct error *error);

#endif

/* zip.h - the directory of a ZIP archive (PKWARE's APPNOTE 6.3) whose entries are stored as they
 * are, zip64 included: enough to find a tensor's bytes in a mapped file. */
#ifndef QTOP_ZIP_H
#define QTOP_ZIP_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct zip_entry {
    const char *name; /* into the archive, no NUL at the end; may contain anything */
    size_t name_size;
    const uint8_t *data;
    size_t size;
};

/* Begin with {0}. */
struct zip {
    struct zip_entry *entries; /* sorted by name */
    size_t count;
};

/* Whether bytes begin as an archive with entries does. */
bool zip_probe(const uint8_t *data, size_t size);

/* Reads the directory of the archive that fills the span, which must outlive it. Compressed,
 * encrypted, overlapping and duplicate entries are errors; so is a local header that contradicts
 * the directory. Checksums are not compared. */
bool zip_parse(struct zip *zip, const uint8_t *data, size_t size, struct error *error);
void zip_close(struct zip *zip);

/* By name, or null. */
const struct zip_entry *zip_find(const struct zip *zip, const char *name, size_t name_size);

#endif

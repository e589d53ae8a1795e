/* catalog.h - what weight files hold, whatever their format: named tensors in mapped memory.
 *
 * A format's reader maps its files, checks every byte it believes and adds entries; who builds a model
 * from them (assemble.h) knows nothing of formats. Entries point into the maps and live as long as the
 * catalog. */
#ifndef QTOP_CATALOG_H
#define QTOP_CATALOG_H

#include "kernels/dtype.h"
#include "mapped.h"

enum { MAX_DIMENSIONS = 5 }; /* as convolutions over pictures of a film have */

/* The datatype of entries that are bytes (U8): no weights, but a part of some (packing.h). dtypes has no row for it. */
#define ENTRY_BYTES DTYPE_ALL

/* That of entries of doubles (F64) before they are added to a catalog, which then has them as fp32. */
#define ENTRY_DOUBLES (DTYPE_ALL + 1)

/* One tensor, contiguous, row-major. */
struct entry {
    char *name;                     /* as the file spells it; the catalog's */
    enum dtype dtype;               /* or ENTRY_BYTES, in safetensors */
    size_t dimensions;              /* 0 (a scalar) to MAX_DIMENSIONS */
    size_t shape[MAX_DIMENSIONS];  /* outermost first: the last one varies fastest */
    const uint8_t *data;            /* perhaps not aligned for its datatype; the file's, or the entry's own */
    void *owned;                    /* what was rounded (doubles.h): the catalog's; else null */
    size_t bytes;                   /* exactly what shape and datatype ask for; 0: a dimension is 0 */
};

/* Begin with {0}. */
struct catalog {
    struct mapped_file *files; /* in the order in which they were added */
    size_t file_count;
    struct entry *entries;     /* sorted by name once catalog_sort was called */
    size_t count, room;
    size_t rounded;            /* entries that were doubles */
};

void catalog_close(struct catalog *catalog);

/* Maps a file that then belongs to the catalog; null on failure, or where it begins like a file that holds no weights
 * (foreign.h). The pointer is good until the next one is
 * added, what it maps until catalog_close. */
const struct mapped_file *catalog_map(struct catalog *catalog, const char *path,
                                      struct error *error);

/* Bytes of all files. */
size_t catalog_bytes(const struct catalog *catalog);

/* Bytes that a tensor of this shape (outermost first) and datatype has; false where that overflows, or where the last
 * dimension is not a multiple of the datatype's block. */
bool entry_bytes(enum dtype dtype, size_t dimensions, const size_t *shape, size_t *bytes);

/* Columns that are stored together, and the datatype as errors name it. */
size_t entry_block(enum dtype dtype);
const char *entry_type_name(enum dtype dtype);

/* A shape as files write it, for errors: "44 x 32". */
enum { ENTRY_SHAPE_TEXT = MAX_DIMENSIONS * 24 };
void shape_print(char out[ENTRY_SHAPE_TEXT], size_t dimensions, const size_t *shape);

/* Adds a copy of the entry, name included (name_size bytes, which may contain anything but NUL). ENTRY_DOUBLES are
 * rounded to fp32, in memory of the catalog's: fails where that is short or a number beyond fp32. */
bool catalog_add(struct catalog *catalog, const struct entry *entry, const char *name,
                 size_t name_size, struct error *error);

/* Sorts by name; fails on a duplicate, which the error names. */
bool catalog_sort(struct catalog *catalog, struct error *error);

/* By name, or null. After catalog_sort. */
const struct entry *catalog_find(const struct catalog *catalog, const char *name);

#endif

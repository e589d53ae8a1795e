/* weightcheck.h - what tests assert of catalogs and of refused weight files. */
#ifndef QTOP_TESTS_WEIGHTCHECK_H
#define QTOP_TESTS_WEIGHTCHECK_H

#include "modelfile.h"

#include "formats/catalog.h"

/* The path of a file in tests/data/weights; the caller frees. */
char *weights_path(const char *name);

typedef bool parse_fn(struct catalog *catalog, const uint8_t *data, size_t size,
                      struct error *error);
typedef bool read_fn(struct catalog *catalog, const char *path, struct error *error);

/* The error is one clean line that says the needle. */
void check_line(const struct error *error, const char *needle);

/* Parses a copy of exactly these bytes. */
void refuse_span(parse_fn *parse, const void *data, size_t size, const char *needle);
void refuse_read(read_fn *read, const char *path, const char *needle);
struct catalog accept_read(read_fn *read, const char *path);

/* Every shorter file is refused. */
void refuse_prefixes(parse_fn *parse, const struct bytes *file);

/* Parses copies of the file with bytes changed by chance: whatever is said of them, no sanitizer
 * may object, and accepted entries must be readable. */
void mutate_span(parse_fn *parse, const struct bytes *file, size_t times, uint64_t seed);

/* The entry has this type and shape ("2 3", "" for a scalar), and the values of weight_files.py. */
void check_entry(const struct catalog *catalog, const char *name, enum dtype dtype,
                 const char *shape);

#endif

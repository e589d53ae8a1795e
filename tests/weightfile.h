/* weightfile.h - weight files of several formats for tests: written here from texts that a test can
 * spoil, or by other programs (weight_files.py); and what is asserted of catalogs and of refusals. */
#ifndef QTOP_TESTS_WEIGHTFILE_H
#define QTOP_TESTS_WEIGHTFILE_H

#include "modelfile.h"

#include "../src/model/catalog.h"

/* ---- writers --------------------------------------------------------------------------------- */

/* A safetensors file: length, header, and `payload` bytes 0, 1, 2... */
struct bytes safetensors_bytes(const char *header, size_t payload);

/* Assembles a pickle from words: ":text" is BINUNICODE, "@module:name" GLOBAL, "#n" BININT, "=n" BINGET,
 * ">n" BINPUT, "xHH" the byte HH, any other word its one character, which is the opcode. */
struct bytes pickle_bytes(const char *words);

/* A dictionary of one tensor, 2 x 3 floats, in storage 0. */
extern const char *const pickle_words;

struct zip_item {
    const char *name;
    struct bytes data;
};

/* An archive, and where its parts begin: for the tests that patch them. */
struct archive_bytes {
    struct bytes file;
    size_t local[8], central[8], end64, locator64, end;
};

/* With `wide`, sizes and offsets stand in zip64 fields and records only. */
struct archive_bytes zip_bytes(const struct zip_item *items, size_t count, bool wide);

/* What torch.save would write around a pickle: its floats are in data/0, `elements` of them. */
struct archive_bytes torch_bytes(const char *words, size_t elements, bool wide);

/* The text with the first `from` replaced; the caller frees. Fails the test where it is not there. */
char *replaced(const char *text, const char *from, const char *to);

/* ---- files of other programs ----------------------------------------------------------------- */

/* The path of a file in tests/data/weights; the caller frees. */
char *weights_path(const char *name);

/* ---- assertions ------------------------------------------------------------------------------ */

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

/* Parses copies of the file with bytes changed by chance: whatever is said of them, no sanitizer may object,
 * and accepted entries must be readable. */
void mutate_span(parse_fn *parse, const struct bytes *file, size_t times, uint64_t seed);

/* The entry has this type and shape ("2 3", "" for a scalar), and the values of weight_files.py. */
void check_entry(const struct catalog *catalog, const char *name, enum dtype dtype,
                 const char *shape);

#endif

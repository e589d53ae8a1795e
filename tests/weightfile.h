/* weightfile.h - weight files of several formats for tests, from texts that a test can spoil. */
#ifndef QTOP_TESTS_WEIGHTFILE_H
#define QTOP_TESTS_WEIGHTFILE_H

#include "modelfile.h"

/* A safetensors file: length, header, and `payload` bytes 0, 1, 2... */
struct bytes safetensors_bytes(const char *header, size_t payload);

/* Assembles a pickle from words: ":text" is BINUNICODE, "@module:name" GLOBAL, "#n" BININT, "=n"
 * BINGET, ">n" BINPUT, "xHH" the byte HH, any other word its one character, which is the opcode. */
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

/* The text with the first `from` replaced; the caller frees. Aborts where it is not there. */
char *replaced(const char *text, const char *from, const char *to);

#endif

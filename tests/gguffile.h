/* gguffile.h - GGUF files for tests, valid until a test spoils them.
 *
 * Keys and tensors are added in any order and laid out by gguffile_bytes; every field's place is kept, so
 * that a test can overwrite exactly one. Running out of memory aborts. */
#ifndef QTOP_TESTS_GGUFFILE_H
#define QTOP_TESTS_GGUFFILE_H

#include "modelfile.h"

#include "formats/gguf.h"

/* Fields of the header (their name is ""), of a key or of a tensor. */
enum gguf_field {
    FIELD_MAGIC, FIELD_VERSION, FIELD_TENSOR_COUNT, FIELD_PAIR_COUNT,
    FIELD_NAME_LENGTH, FIELD_NAME,               /* of keys and tensors */
    FIELD_TYPE,                                  /* of keys (value type) and tensors */
    FIELD_VALUE,                                 /* of keys: a number or a string's length */
    FIELD_ELEMENT, FIELD_ARRAY_COUNT, FIELD_ARRAY, /* of keys */
    FIELD_DIMENSIONS, FIELD_NE0, FIELD_OFFSET,   /* of tensors; ne[i] at FIELD_NE0 + 8 * i */
    FIELD_DATA                                   /* of tensors: where their bytes begin */
};

struct gguffile_place {
    char *name;
    enum gguf_field field;
    int section; /* 0 header, 1 metadata, 2 tensors, 3 data: `at` counts from its beginning */
    size_t at;
};

/* Begin with gguffile_begin; free with gguffile_free. */
struct gguffile {
    uint32_t version;
    size_t alignment; /* of the layout: the key general.alignment is a key like any other */
    uint64_t tensor_count, pair_count;
    struct bytes sections[4];
    struct gguffile_place *places;
    size_t place_count;
};

void gguffile_begin(struct gguffile *file, uint32_t version);
void gguffile_free(struct gguffile *file);

/* One number or bool of a type; value has its bytes. */
void gguffile_number(struct gguffile *file, const char *key, enum gguf_type type, const void *value);
void gguffile_uint32(struct gguffile *file, const char *key, uint32_t value);
void gguffile_float32(struct gguffile *file, const char *key, float value);
void gguffile_bool(struct gguffile *file, const char *key, bool value);
void gguffile_string(struct gguffile *file, const char *key, const char *text);

/* `count` numbers, packed; or strings, which end in a NUL that is not written. */
void gguffile_array(struct gguffile *file, const char *key, enum gguf_type element, size_t count,
                    const void *values);
void gguffile_strings(struct gguffile *file, const char *key, size_t count, const char *const *texts);

/* A tensor (perhaps of ENTRY_DOUBLES), shape outermost first, with these bytes, or (null) with some that depend on its
 * name. */
void gguffile_tensor(struct gguffile *file, const char *name, enum dtype dtype, size_t dimensions,
                     const size_t *shape, const void *data);

/* The number that ggml gives a datatype (or ENTRY_DOUBLES), or -1. */
int gguffile_type_number(enum dtype dtype);

/* The keys of one part (from 0) of a split model. */
void gguffile_split(struct gguffile *file, uint16_t number, uint16_t count, int32_t tensors);

/* The file. The last tensor is not padded, so that every byte is needed. */
struct bytes gguffile_bytes(const struct gguffile *file);

/* Where a field of the header (name ""), of a key or of a tensor lies in those bytes. */
size_t gguffile_place(const struct gguffile *file, const char *name, enum gguf_field field);

/* A file with a key of every type, arrays and tensors of several types: what most tests begin with. */
void gguffile_usual(struct gguffile *file, uint32_t version);

#endif

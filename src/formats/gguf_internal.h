/* gguf_internal.h - what the parts of the GGUF reader share. */
#ifndef QTOP_GGUF_INTERNAL_H
#define QTOP_GGUF_INTERNAL_H

#include "gguf.h"

#include <inttypes.h>

/* A name as an error shows it: printf's "%.*s", cut to a length that leaves room for the rest. */
#define GGUF_SHOWN(text) (int)((text).size < 80 ? (text).size : 80), (text).data

/* One key with its value. */
struct gguf_pair {
    struct gguf_text key;
    enum gguf_type type;
    enum gguf_type element;   /* arrays: of what */
    size_t count;             /* arrays: elements; else 1 */
    const uint8_t *data;      /* numbers, not aligned */
    struct gguf_text text;    /* a string */
    struct gguf_text *texts;  /* an array of strings; owned */
};

struct gguf_tensor {
    struct gguf_text name;
    struct entry entry; /* without the name */
};

struct gguf {
    struct gguf_pair *pairs; /* sorted by key */
    size_t pair_count;
    struct gguf_tensor *tensors; /* sorted by name */
    size_t tensor_count;
    size_t alignment;
};

/* ---- types (gguf_types.c) -------------------------------------------------------------------- */

struct gguf_type_info {
    const char *name;
    size_t bytes; /* of one; 0: strings and arrays, which vary */
    bool integer, is_signed;
};
extern const struct gguf_type_info gguf_types[GGUF_TYPES];

/* A tensor type by ggml's number. */
struct ggml_type_info {
    const char *name; /* null: a number that was never given */
    bool removed;     /* only old files have it, which nothing reads any more */
    bool supported;
    enum dtype dtype; /* where it is supported; perhaps ENTRY_DOUBLES */
};
const struct ggml_type_info *ggml_type(uint32_t number);

/* The names of all supported types, for "expected ...". */
const char *ggml_types_supported(void);

/* ---- values (gguf_values.c) ------------------------------------------------------------------ */

/* Order of texts as bytes, shorter first among those that begin alike. */
int gguf_text_compare(const struct gguf_text *a, const struct gguf_text *b);

/* By key, or null. */
const struct gguf_pair *gguf_find(const struct gguf *gguf, const char *key);

/* A number or a bool; i counts in an array of them. */
void gguf_print_number(const struct gguf_pair *pair, size_t i, char *out, size_t size);

/* ---- reading (gguf_reader.c) ----------------------------------------------------------------- */

struct reader {
    const uint8_t *data;
    size_t size, at;
    uint64_t needed; /* by what failed last, for its message */
};

static inline size_t reader_left(const struct reader *r)
{
    return r->size - r->at;
}

/* The next n bytes, or null where fewer are left. */
const uint8_t *gguf_take(struct reader *r, uint64_t n);

/* Each is false at the end of the file; *out is then untouched. */
bool gguf_take_u32(struct reader *r, uint32_t *out);
bool gguf_take_u64(struct reader *r, uint64_t *out);
bool gguf_take_text(struct reader *r, struct gguf_text *out);

/* The error of a read that failed; the format says what was read. */
#define CUT_OFF(r, error, FORMAT, ...)                                                             \
    error_set(error, "GGUF " FORMAT ": needs %" PRIu64 " bytes from byte %zu on; %zu are left",    \
              __VA_ARGS__, (r)->needed, (r)->at, reader_left(r))

/* ---- tensors (gguf_tensors.c) ---------------------------------------------------------------- */

/* The fewest bytes of a tensor's description: a name of one letter and one dimension. */
enum { SMALLEST_TENSOR = 8 + 1 + 4 + 8 + 4 + 8 };

/* Reads what follows the metadata, after the alignment is known. */
bool gguf_take_tensors(struct reader *r, struct gguf *gguf, uint64_t count, struct error *error);

#endif

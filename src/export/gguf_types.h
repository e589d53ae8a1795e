/* gguf_types.h - which of ggml's types holds a scheme, bit for bit. Private to src/export. */
#ifndef QTOP_EXPORT_GGUF_TYPES_H
#define QTOP_EXPORT_GGUF_TYPES_H

#include "internal.h"

enum { GGUF_BLOCK = 32 }; /* columns that share a scale */

struct gguf_storage {
    const struct export_type *type;
    uint32_t file_type; /* of general.file_type, where most weights are of this one */
    size_t row_bytes;
    bool widened;       /* fp32, since the columns are not whole blocks */
};

/* What holds the weights of a tensor; false with an error that names the nearest scheme. */
bool gguf_storage_of(const struct export *job, int tensor, struct gguf_storage *out, struct error *error);

/* The type of a stored datatype, as it lies in memory; null where GGUF has none. */
const struct export_type *gguf_stored_type(enum dtype dtype);

#endif

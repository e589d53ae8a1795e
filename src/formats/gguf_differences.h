/* gguf_differences.h - what differs between the metadata of two GGUF files. */
#ifndef QTOP_GGUF_DIFFERENCES_H
#define QTOP_GGUF_DIFFERENCES_H

#include "base/difference.h"
#include "gguf.h"

/* Appends every key with another type or value, or that only one has; of arrays with how many values they have and the
 * first that differs. The arrays of a vocabulary are left out: they are compared by token
 * (tokenizer/tokenizer_differences.h). False when memory is short. */
bool gguf_differences(const struct gguf *a, const struct gguf *b, struct value_differences *out);

#endif

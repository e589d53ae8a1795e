/* gguf_put.h - GGUF's metadata, written (ggml's docs/gguf.md). Private to src/export. */
#ifndef QTOP_GGUF_PUT_H
#define QTOP_GGUF_PUT_H

#include "internal.h"

#include "formats/gguf_internal.h"

#include <stdio.h>

/* Keys with their values, one after another. What cannot be written shows in ferror(file). */
struct gguf_out {
    FILE *file;
    uint64_t keys;
};

/* Without a key: into an array, or outside the metadata. */
void gguf_put_u32(struct gguf_out *out, uint32_t value);
void gguf_put_u64(struct gguf_out *out, uint64_t value);
void gguf_put_text(struct gguf_out *out, const char *text, size_t n);

void gguf_key_u32(struct gguf_out *out, const char *key, uint32_t value);
void gguf_key_float(struct gguf_out *out, const char *key, float value);
void gguf_key_bool(struct gguf_out *out, const char *key, bool value);
void gguf_key_text(struct gguf_out *out, const char *key, const char *text);

/* The key, the type and the count; the elements follow. */
void gguf_key_array(struct gguf_out *out, const char *key, enum gguf_type element, uint64_t count);

/* A key as it was read. */
void gguf_key_copy(struct gguf_out *out, const struct gguf_pair *pair);

/* Whether the model comes from a GGUF file, whose metadata is then its own. */
bool gguf_is_source(const struct export *job);

/* By what all rotary frequencies alike are divided; 1: nothing, or each has its own factor. */
float gguf_linear_factor(const struct export *job);

/* Whether keys say that the factors are YaRN's. */
bool gguf_writes_yarn(const struct export *job);

/* Everything that a file says of the model, with the number of its file type: what the model's own GGUF file
 * says, or what is made from hyper-parameters; and the tokenizer. */
bool gguf_put_metadata(struct export *job, struct gguf_out *out, uint32_t file_type, struct error *error);

/* The keys tokenizer.ggml.* of a tokenizer file, padded to the rows of the embedding table. */
bool gguf_put_tokenizer(struct export *job, struct gguf_out *out, struct error *error);

#endif

/* safetensors.h - safetensors files (Hugging Face, github.com/huggingface/safetensors): an
 * 8-byte length, a JSON header and the tensors' bytes without gaps. */
#ifndef QTOP_SAFETENSORS_H
#define QTOP_SAFETENSORS_H

#include "catalog.h"

/* Whether bytes begin as such a file does: a length and an object. size is what can be seen of
 * it. */
bool safetensors_probe(const uint8_t *data, size_t size);

/* Adds the tensors of one file's bytes, which must outlive the catalog, under their names and
 * unsorted. F64, F32, F16, BF16, F8_E4M3 and F8_E5M2 are weights, U8 are bytes (ENTRY_BYTES); a tensor
 * of another type is refused unless it is a known buffer (tensor_is_buffer), and buffers of any
 * type are left out. Nothing
 * in the file is believed: offsets, shapes and types must agree, and the tensors must fill the
 * rest of the file exactly. */
bool safetensors_parse(struct catalog *catalog, const uint8_t *data, size_t size,
                       struct error *error);

/* Reads a file, an index (model.safetensors.index.json) with its parts, or a folder that holds
 * either, into an empty catalog, and sorts it. See weight_files_read. */
bool safetensors_read(struct catalog *catalog, const char *path, struct error *error);

#endif

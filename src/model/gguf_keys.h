/* gguf_keys.h - what a GGUF file's metadata may say that is not computed here. Private to gguf_model.c. */
#ifndef QTOP_GGUF_KEYS_H
#define QTOP_GGUF_KEYS_H

#include "arch.h"
#include "formats/gguf.h"

/* False with an error where the file is none of a model's: an adapter, an importance matrix, a projector. */
bool gguf_check_type(const struct gguf *gguf, struct error *error);

/* False with an error that names the first key of the table whose value is none of those that change nothing. */
bool gguf_keys_check(const struct gguf *gguf, const struct arch *arch, struct error *error);

#endif

/* token_losses.h - what a tokenizer does and a GGUF file cannot say: llama.cpp would make other ids of some texts.
 * Private to src/export. */
#ifndef QTOP_TOKEN_LOSSES_H
#define QTOP_TOKEN_LOSSES_H

#include "internal.h"
#include "tokenizer/vocabulary.h"

/* Notes each of them. Fails where what llama.cpp makes of texts would have little to do with the tokenizer. */
bool token_losses(struct export *job, const struct vocabulary *vocabulary, struct error *error);

#endif

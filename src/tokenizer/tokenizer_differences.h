/* tokenizer_differences.h - what differs between the tokenizers of two models. */
#ifndef QTOP_TOKENIZER_DIFFERENCES_H
#define QTOP_TOKENIZER_DIFFERENCES_H

#include "base/difference.h"
#include "tokenizer.h"

struct tokenizer_differences {
    size_t tokens;  /* ids that mean something else, and those that only one has */
    size_t merges;  /* places in the list of merges that hold another pair, and those that only one has */
    struct value_differences list; /* the first tokens that differ, merges, special tokens, chat template; free it */
};

/* Reads both files again. False with an error; the list may then hold something, too. */
bool tokenizer_differences(const struct tokenizer *a, const struct tokenizer *b, struct tokenizer_differences *out,
                           struct error *error);

#endif

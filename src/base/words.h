/* words.h - short lists of words in one string, for tables. */
#ifndef QTOP_WORDS_H
#define QTOP_WORDS_H

#include <stdbool.h>

/* Whether a list of words with single spaces between has this one. */
bool words_have(const char *words, const char *word);

/* The list as a sentence has it: "0 or 1". */
const char *words_join(const char *words, char out[96]);

#endif

/* longest_first.h - cutting a text at added tokens, the longest anywhere first, as llama.cpp does
 * (tokenizer_st_partition). Private to src/tokenizer. */
#ifndef QTOP_LONGEST_FIRST_H
#define QTOP_LONGEST_FIRST_H

#include "matcher.h"
#include "sections.h"

/* Appends the sections of a text, in order: of tokens equally long the one that comes first in the matcher's list. bits
 * (enum added_bits) and ids are of the matcher's tokens; its control tokens count outside of `plain`. False when
 * memory is short. */
bool cut_longest_first(const struct matcher *matcher, const uint8_t *bits, const int32_t *ids, const char *text,
                       size_t n, const struct plain_ranges *plain, struct sections *out);

#endif

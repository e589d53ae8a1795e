/* added.h - added tokens: a text is cut at them before anything else happens to it. */
#ifndef QTOP_ADDED_H
#define QTOP_ADDED_H

#include "matcher.h"
#include "sections.h"

/* The added tokens that are looked for in one form of a text. */
struct added {
    enum dialect dialect;
    struct vocabulary_piece *patterns; /* what is looked for, with the tokens' type */
    uint8_t *bits;                     /* of each pattern's token: enum added_bits */
    char *arena;                       /* their bytes */
    int32_t *ids;                      /* of each pattern's token */
    size_t count;
    struct matcher matcher;            /* null pieces: there are none */
};

/* Which tokens are looked for. In Hugging Face's dialect control tokens of a text hide others but are text. */
enum added_stage {
    ADDED_IN_TEXT,       /* user-defined ones, before normalization */
    ADDED_IN_NORMALIZED, /* those with the bit ADDED_NORMALIZED: behind it, normalized themselves */
    ADDED_WITH_CONTROL,  /* where a text may spell control tokens: all of these, and user-defined ones of the raw text */
};

/* Takes the tokens of a stage. False when memory is short. */
bool added_open(struct added *added, const struct vocabulary *vocabulary, enum added_stage stage);
void added_close(struct added *added);

/* Appends the sections of a text, in order. Control tokens count outside of `plain` (null: nowhere). Hugging Face's and
 * SentencePiece's dialects take the longest token at each place from the left, llama.cpp's the longest anywhere first.
 * False when memory is short. */
bool added_cut(const struct added *added, const char *text, size_t n, const struct plain_ranges *plain,
               struct sections *out);

/* Bytes of the token that a text begins with, or 0; `added` is a struct added. */
size_t added_at(const void *added, const char *text, size_t n);

#endif

/* normalizer.h - what becomes of a text before tokens are looked for: the steps of tokenizer.json and of
 * SentencePiece. */
#ifndef QTOP_NORMALIZER_H
#define QTOP_NORMALIZER_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

enum unicode_form { FORM_NFC, FORM_NFD, FORM_NFKC, FORM_NFKD, UNICODE_FORMS }; /* Unicode Standard Annex 15 */

enum normal_action {
    NORMAL_REPLACE,  /* every `from` by `to` */
    NORMAL_PREPEND,  /* `to` in front of a text that is not empty */
    NORMAL_FORM,     /* into a Unicode form; bytes that are not UTF-8 stay */
    NORMAL_CHARSMAP, /* by SentencePiece's map `from` (charsmap.h) */
    NORMAL_SQUEEZE,  /* no space at the ends, one for each run between (SentencePiece) */
};

struct normal_step {
    enum normal_action action;
    enum unicode_form form;
    const char *from, *to; /* from_size and to_size bytes */
    uint32_t from_size, to_size;
};

/* A growing text. Begin with {0}; free bytes with free(). */
struct text_buffer {
    char *bytes;
    size_t size, room;
    size_t most; /* size may not be larger; 0: TEXT_MOST */
};
enum { TEXT_MOST = INT32_MAX / 2 };

/* Appends; false when memory is short or the text too long. */
bool text_add(struct text_buffer *buffer, const char *bytes, size_t n);

/* Appends the text after the steps. `kept` finds what a charsmap must not change: how many bytes at the beginning
 * of a text (0: none); null keeps nothing. Fails when memory is short, or where steps make more than
 * GROWTH_MOST bytes of each (no Unicode form makes more than 18 of a character's). */
enum { GROWTH_MOST = 64 };
bool normalize(const struct normal_step *steps, size_t count, const char *text, size_t n,
               size_t (*kept)(const void *arg, const char *text, size_t n), const void *arg,
               struct text_buffer *out, struct error *error);

#endif

/* splitter.h - pre-tokenization: a text is cut into words by regular expressions, one after the other,
 * and no token spans two words. */
#ifndef QTOP_SPLITTER_H
#define QTOP_SPLITTER_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/* What becomes of the matches of an expression in each word that the one before it made. */
enum split_behavior {
    SPLIT_ISOLATED, /* every match is a word, and so is what lies between two */
    SPLIT_REMOVED,  /* matches are dropped */
    SPLIT_WITH_PREVIOUS, /* a match belongs to what is before it */
    SPLIT_WITH_NEXT,     /* or after it */
    SPLIT_CONTIGUOUS,    /* neighbouring matches are one word */
    SPLIT_BEHAVIORS
};

struct split_rule {
    const char *expression; /* in the dialect of tokenizer files (Oniguruma's), UTF-8, size bytes */
    size_t size;
    bool literal;           /* a plain text, no expression */
    bool invert;            /* what the expression does not match is the match */
    enum split_behavior behavior;
};

struct word {
    uint32_t start, size;
};

/* A growing list. Begin with {0}; free items with free(). */
struct words {
    struct word *items;
    size_t count, room;
};

struct splitter;

/* Compiles the rules; no rules leave a text in one word. The error names the rule and what PCRE2 says. */
struct splitter *splitter_create(const struct split_rule *rules, size_t count, struct error *error);
void splitter_free(struct splitter *splitter); /* null is fine */

/* Appends the words of n bytes of valid UTF-8, in order; starts count from `text`. Fails where memory is
 * short, or where an expression needs more steps than a match is allowed. Any thread may call it. */
bool splitter_run(const struct splitter *splitter, const char *text, size_t n, struct words *out,
                  struct error *error);

/* ---- the pre-tokenizers that GGUF files name: a table in pretokenizers.c --------------------- */

/* How the pieces that go with a pre-tokenizer are spelled. */
enum spelling {
    SPELLED_BYTES,      /* GPT-2's characters for bytes */
    SPELLED_CHARACTERS, /* as in the text */
    SPELLED_MARKED,     /* the same with spaces as U+2581 */
    SPELLED_AS_GEMMA,   /* the same, and a word of newlines is a piece as a whole */
};

struct pretokenizer {
    const char *names;   /* between spaces */
    const char *const *expressions; /* applied one after the other, all of them isolated; null ends */
    bool ignore_merges, adds_bos;   /* what goes with the name where a file does not say */
    enum spelling spelling;
};

/* By one of its names (size bytes), or null with an error that lists what is known. */
const struct pretokenizer *pretokenizer_find(const char *name, size_t size, struct error *error);

struct vocabulary;

/* The first name of the one that cuts texts as a vocabulary's rules do; false where there is none. */
bool pretokenizer_name(const struct vocabulary *vocabulary, char out[32]);

#endif

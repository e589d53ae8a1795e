/* vocabulary.h - what tokenizer files hold, whatever their format: pieces, scores, merges. */
#ifndef QTOP_VOCABULARY_H
#define QTOP_VOCABULARY_H

#include "splitter.h"
#include "tokenizer.h"

/* The kinds of token, with the numbers of SentencePiece and GGUF. */
enum token_type {
    TOKEN_NORMAL = 1, TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_USER_DEFINED, TOKEN_UNUSED, TOKEN_BYTE
};

struct vocabulary_piece {
    const char *text; /* size bytes: spaces as SPM's U+2581, or GPT-2's characters for bytes */
    uint32_t size;
    float score;      /* SPM: higher merges first */
    enum token_type type;
};

/* A pair that BPE merges; earlier ones first. */
struct merge {
    const char *left, *right; /* not NUL-terminated */
    uint32_t left_size, right_size;
};

/* The space that encoding puts before a text, so that its first word is like any other. */
enum space_prefix {
    SPACE_NEVER,
    SPACE_ALWAYS,    /* SentencePiece */
    SPACE_IF_MISSING /* unless the text begins with one: ByteLevel, Metaspace */
};

enum vocabulary_model {
    VOCABULARY_SPM, /* SentencePiece's BPE over characters: Kudo and Richardson 2018. By scores, or by
                       merges where there are some (what Hugging Face's files hold of such models) */
    VOCABULARY_BPE, /* byte-level BPE by merges: Sennrich et al. 2016, Radford et al. 2019 */
    VOCABULARY_MODELS
};

/* Points into memory that need only live until the tokenizer is made. */
struct vocabulary {
    enum vocabulary_model model;
    const struct vocabulary_piece *pieces; /* by id */
    size_t count;
    const struct merge *merges;
    size_t merge_count;
    const struct split_rule *rules; /* how a text is cut into words first */
    size_t rule_count;
    int32_t bos, eos, unknown; /* -1: none */
    int32_t ends[MAX_ENDS];   /* further ids that end a text; those with well-known names are found */
    size_t end_count;
    bool add_bos, add_eos;     /* what the model's own tokenizer does to a text */
    enum space_prefix space_prefix;
    bool byte_fallback;        /* SPM: what has no piece becomes <0x..> tokens */
    bool fuse_unknown;         /* SPM: neighbouring characters without a piece are one unknown token */
    bool ignore_merges;        /* BPE: a word that is a piece is that piece */
};

/* The byte that a piece of the form <0x0A> stands for, or -1. */
int byte_of_piece(const char *text, size_t n);

/* Makes a tokenizer. The error names the token or merge that is wrong. */
struct tokenizer *vocabulary_tokenizer(const struct vocabulary *vocabulary, struct error *error);

/* Sees what a tokenizer file holds, while it is being read; the note says what a person should know of how it
 * was read, or is empty. */
typedef bool vocabulary_fn(void *arg, const struct vocabulary *vocabulary, const char *note,
                           struct error *error);

/* Shows what a tokenizer file of any format holds. False when it does not open, or `see` is false. */
bool vocabulary_visit(const char *path, vocabulary_fn *see, void *arg, struct error *error);

/* For formats: a vocabulary_fn that makes a tokenizer with the note, arg the place for it. */
bool vocabulary_open(void *arg, const struct vocabulary *vocabulary, const char *note, struct error *error);

#endif

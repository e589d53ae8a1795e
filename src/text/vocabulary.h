/* vocabulary.h - what tokenizer files hold, whatever their format: pieces, scores, merges. */
#ifndef QTOP_VOCABULARY_H
#define QTOP_VOCABULARY_H

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

enum vocabulary_model {
    VOCABULARY_SPM, /* SentencePiece's BPE by scores: Kudo and Richardson 2018 */
    VOCABULARY_BPE  /* byte-level BPE by merges: Sennrich et al. 2016, Radford et al. 2019 */
};

/* Points into memory that need only live until the tokenizer is made. */
struct vocabulary {
    enum vocabulary_model model;
    const struct vocabulary_piece *pieces; /* by id */
    size_t count;
    const struct merge *merges;
    size_t merge_count;
    const char *pre;          /* BPE: name of the pre-tokenizer, such as "gpt-2" or "llama-bpe" */
    int32_t bos, eos, unknown; /* -1: none */
    bool add_bos, add_eos;     /* what the model's own tokenizer does to a text */
    bool add_space_prefix;     /* SPM */
    bool byte_fallback;        /* SPM: what has no piece becomes <0x..> tokens */
    bool ignore_merges;        /* BPE: a word that is a piece is that piece */
};

/* Makes a tokenizer. The error names the token or merge that is wrong. */
struct tokenizer *vocabulary_tokenizer(const struct vocabulary *vocabulary, struct error *error);

#endif

/* vocabulary.h - what tokenizer files hold, whatever their format: pieces, scores, merges. */
#ifndef QTOP_VOCABULARY_H
#define QTOP_VOCABULARY_H

#include "normalizer.h"
#include "splitter.h"
#include "tokenizer.h"

/* The kinds of token, with the numbers of SentencePiece and GGUF. */
enum token_type {
    TOKEN_NORMAL = 1, TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_USER_DEFINED, TOKEN_UNUSED, TOKEN_BYTE
};

/* How an added token is looked for (AddedToken of Hugging Face's tokenizers). */
enum added_bits {
    ADDED_LSTRIP = 1,      /* takes the white space before it */
    ADDED_RSTRIP = 2,      /* and behind it */
    ADDED_SINGLE_WORD = 4, /* only between characters that are no part of a word */
    ADDED_NORMALIZED = 8,  /* looked for after normalization, as which its text is normalized, too */
    ADDED_OUTSIDE = 16,    /* no piece of the model: only looking for it finds it */
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

/* Which texts that is, where added tokens cut one into several. */
enum space_place {
    SPACE_BY_STEPS,  /* what the steps of normalization say */
    SPACE_AT_START,  /* what the text begins with, unless it is an added token */
    SPACE_EVERYWHERE /* each part between two added tokens */
};

/* Whose rules hold where programs differ: in what order added tokens are looked for, what becomes of characters
 * without a piece, which of two equal merges counts. */
enum dialect { DIALECT_SENTENCEPIECE, DIALECT_HUGGING_FACE, DIALECT_LLAMA_CPP };

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
    const uint8_t *added; /* by id, sums of enum added_bits; null: all are 0 */
    const struct merge *merges;
    size_t merge_count;
    const struct split_rule *rules; /* how a text is cut into words first */
    size_t rule_count;
    size_t byte_rules; /* the last rules, which see GPT-2's characters for the bytes of a text */
    int32_t bos, eos, unknown; /* -1: none */
    int32_t ends[MAX_ENDS];   /* further ids that end a text; those with well-known names are found */
    size_t end_count;
    bool add_bos, add_eos;     /* what the model's own tokenizer does to a text */
    enum space_prefix space_prefix;
    enum space_place space_place;
    enum dialect dialect;
    const struct normal_step *steps; /* normalization, in order */
    size_t step_count;
    bool marks_spaces;         /* spaces become U+2581 behind normalization */
    bool byte_fallback;        /* SPM: what has no piece becomes <0x..> tokens */
    bool fuse_unknown;         /* SPM: neighbouring characters without a piece are one unknown token */
    bool ignore_merges;        /* a word that is a piece is that piece */
    bool whole_newlines;       /* a word of newlines that is a piece is that piece */
    struct chat chat;          /* what the model's chat template is */
};

/* What spells a space in SPM's pieces: U+2581. */
#define MARKED_SPACE "\xe2\x96\x81"

/* The bits of an added token. */
static inline unsigned vocabulary_added(const struct vocabulary *v, size_t id)
{
    return v->added ? v->added[id] : 0;
}

/* The byte that a piece of the form <0x0A> stands for, or -1. */
int byte_of_piece(const char *text, size_t n);

/* GPT-2's character for a byte, as UTF-8; returns how many bytes that has. */
size_t character_of_byte(uint8_t byte, char out[2]);

/* For a token that llama.cpp takes for a control token by its name: the key that, in a GGUF file, says which token it
 * is, so that the name does not count, or "" where it always does. Null for others. */
const char *vocabulary_control_key(const char *text, size_t size);

/* Whether no two pieces have the same text; empty ones may. The error names them. */
bool vocabulary_check_texts(const struct vocabulary *vocabulary, struct error *error);

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

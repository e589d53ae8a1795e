/* encoder.h - what tokenizers made of a vocabulary share: user-defined tokens first, then words, then
 * merges. Private to src/tokenizer. */
#ifndef QTOP_ENCODER_H
#define QTOP_ENCODER_H

#include "lookup.h"
#include "matcher.h"
#include "merge.h"

struct encoder;

/* What sets SentencePiece's BPE and byte-level BPE apart: one row each, in spm.c and bpe.c. */
struct encoder_model {
    const struct tokenizer_kind *kind;
    /* The bytes that a piece of the file stands for, into `out` (piece->size bytes are room enough). */
    size_t (*bytes_of)(const struct vocabulary_piece *piece, char *out);
    /* The text in the spelling of the pieces; the caller frees. Null when memory is short. */
    char *(*spell)(const struct encoder *encoder, const char *text, size_t n, size_t *size);
    /* Between two user-defined tokens: whether a space goes in front. */
    bool (*wants_space)(const struct encoder *encoder, const char *text, size_t n);
    /* A word's characters or bytes, which merging begins with. */
    bool (*first_symbols)(const struct encoder *encoder, const char *word, size_t n,
                       struct symbols *symbols);
    /* What a part that is not a token becomes. */
    bool (*add_unknown)(const struct encoder *encoder, const char *text, size_t n,
                        struct tokens *out);
    bool byte_level; /* bytes are tokens of the vocabulary, and ignore_merges has a meaning */
};

extern const struct encoder_model spm_model, bpe_model;

struct encoder {
    const struct encoder_model *model;
    char *arena;                      /* the pieces' bytes */
    struct vocabulary_piece *pieces;  /* by id, texts as the bytes that they stand for */
    size_t count;
    struct piece_index index;         /* those that a text can become */
    struct matcher user_defined;
    struct pair_index pairs;          /* slots null: merging goes by score */
    struct splitter *splitter;        /* null: a text is one word */
    int32_t bytes[256];               /* the token of each byte, or -1 */
    int32_t unknown;
    enum space_prefix space_prefix;
    bool byte_fallback, fuse_unknown, ignore_merges;
};

bool encoder_encode(const struct tokenizer *tokenizer, const char *text, size_t n, struct tokens *out,
                    struct error *error);
const char *encoder_piece(const struct tokenizer *tokenizer, int32_t previous, int32_t id, size_t *n,
                          char buffer[1]);
void encoder_close(struct tokenizer *tokenizer);

#endif

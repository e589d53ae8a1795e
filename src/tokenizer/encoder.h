/* encoder.h - what tokenizers made of a vocabulary share: added tokens, normalization, words, merges. Private
 * to src/tokenizer. */
#ifndef QTOP_ENCODER_H
#define QTOP_ENCODER_H

#include "added.h"
#include "lookup.h"
#include "merge.h"

struct encoder;

/* What sets SentencePiece's BPE and byte-level BPE apart: one row each, in spm.c and bpe.c. */
struct encoder_model {
    const struct tokenizer_kind *kind;
    /* The bytes that a piece of the file stands for, into `out` (piece->size bytes are room enough). */
    size_t (*bytes_of)(const struct vocabulary_piece *piece, char *out);
    /* Bytes of the symbol that a word begins with: a character, or a byte. */
    size_t (*symbol)(const char *word, size_t n);
    /* What puts a space in front of a text. */
    const char *space;
    bool byte_level; /* words are bytes, and each byte is a piece; else they are spelled as the file spells pieces */
};

extern const struct encoder_model spm_model, bpe_model;

struct encoder {
    const struct encoder_model *model;
    char *arena, *spelled_arena;      /* the texts of pieces; of spelled, where that is another list */
    struct vocabulary_piece *pieces;  /* by id, texts as the bytes that they stand for */
    struct vocabulary_piece *spelled; /* by id, texts as words spell them; byte-level: the same list */
    size_t count;
    struct piece_index index;         /* of spelled: those that a word can become */
    struct added added[2];            /* tokens that are looked for before and behind normalization */
    struct added special;             /* before all of that, where a text may spell control tokens */
    struct normal_step *steps;
    char *step_texts;                 /* what the steps point to */
    size_t step_count;
    struct pair_index pairs;          /* slots null: merging goes by score */
    struct splitter *splitter;        /* null: a text is one word */
    struct splitter *byte_splitter;   /* cuts those words again, as GPT-2's characters for bytes; or null */
    int32_t bytes[256];               /* the token of each byte, or -1 */
    int32_t unknown;
    enum dialect dialect;
    enum space_prefix space_prefix;
    enum space_place space_place;
    bool marks_spaces, byte_fallback, fuse_unknown, ignore_merges, whole_newlines;
    bool has_unused;                  /* SentencePiece: pieces that are made in passing, and taken apart again */
};

bool encoder_encode_special(const struct tokenizer *tokenizer, const struct special_text *text, struct tokens *out,
                            struct error *error);
bool encoder_encode(const struct tokenizer *tokenizer, const char *text, size_t n, struct tokens *out,
                    struct error *error);
const char *encoder_piece(const struct tokenizer *tokenizer, int32_t previous, int32_t id, size_t *n,
                          char buffer[1]);
void encoder_close(struct tokenizer *tokenizer);

#endif

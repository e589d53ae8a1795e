/* tokenizer.h - text to token ids and back. */
#ifndef QTOP_TOKENIZER_H
#define QTOP_TOKENIZER_H

#include "base/error.h"
#include "chat_family.h"
#include "sections.h"

#include <stddef.h>
#include <stdint.h>

struct tokenizer;

/* A growing list of token ids; free ids with free(). Begin with {0}. */
struct tokens {
    int32_t *ids;
    size_t count, room;
};

/* Appends one id; false when memory is short. */
bool tokens_add(struct tokens *tokens, int32_t id);

/* Opens a tokenizer file: tokenizer.bin of llama2.c, tokenizer.json, tokenizer.model of SentencePiece, or
 * the vocabulary of a GGUF file, whose weights are not looked at. */
struct tokenizer *tokenizer_open(const char *path, struct error *error);

/* The tokenizer of a model: the vocabulary in the file itself where it is a GGUF file with one, else the
 * first that fits of tokenizer.bin, tok*.bin, tokenizer.json and tokenizer.model beside it, or in it where
 * the model is a folder. vocab 0 takes any; otherwise tokenizer_fits decides. Null with an error when
 * there is none. */
struct tokenizer *tokenizer_beside(const char *model_path, size_t vocab, struct error *error);

/* Whether a file is one that may contain its vocabulary (GGUF). */
bool tokenizer_is_inside(const char *model_path);

void tokenizer_close(struct tokenizer *tokenizer);

/* Whether it can serve a model with this many rows of embeddings. Models are padded with rows that no
 * token has; llama2.c's files never are. */
bool tokenizer_fits(const struct tokenizer *tokenizer, size_t vocab);

size_t tokenizer_vocab(const struct tokenizer *tokenizer);
const char *tokenizer_path(const struct tokenizer *tokenizer);

/* What a person should know about how the file was read, such as a pre-tokenizer that it does not name;
 * null where there is nothing to say. */
const char *tokenizer_note(const struct tokenizer *tokenizer);

/* The ids that begin and end a text; -1 where there is none. */
int32_t tokenizer_bos(const struct tokenizer *tokenizer);
int32_t tokenizer_eos(const struct tokenizer *tokenizer);

/* Whether the model's own tokenizer puts BOS before a text, and EOS after it. */
bool tokenizer_adds_bos(const struct tokenizer *tokenizer);
bool tokenizer_adds_eos(const struct tokenizer *tokenizer);

/* Whether a model that writes this id has finished: EOS, the end of a turn and the like. */
bool tokenizer_ends_text(const struct tokenizer *tokenizer, int32_t id);

/* Appends the ids of n bytes of text, which may be anything. Neither BOS nor EOS is added, and a text that
 * spells a control token is that text. Bytes that a vocabulary has no token for become its unknown
 * token, or nothing where it has none, as in the model's own tokenizer. */
bool tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t n,
                      struct tokens *out, struct error *error);

/* A part of a text: bytes, or a token. */
struct text_part {
    const char *text; /* size bytes, not owned; null: the token `id` */
    size_t size;
    int32_t id;
    bool special;     /* what spells a control token in it is that token */
};

/* The same for a text in parts, whose words and added tokens may reach over where parts join. A control token must lie
 * in parts that are special; of several that could be meant the model's own tokenizer decides, or the longest. */
bool tokenizer_encode_parts(const struct tokenizer *tokenizer, const struct text_part *parts, size_t count,
                            struct tokens *out, struct error *error);

/* What is known of the model's chat template. */
const struct chat *tokenizer_chat(const struct tokenizer *tokenizer);

/* Values of `previous` that are not an id: the token stands alone, or it is the first of a text. */
enum { TOKEN_ALONE = -1, TOKEN_FIRST = -2 };

/* The bytes of one token after another; none for control tokens. They may be part of a character. A space
 * that encoding put in front of a text is left out where the previous token is BOS or TOKEN_FIRST. Points
 * into the tokenizer or into buffer. */
const char *tokenizer_piece(const struct tokenizer *tokenizer, int32_t previous, int32_t id,
                            size_t *n, char buffer[1]);

/* ---- what is inside -------------------------------------------------------------------------- */

/* A text that may spell control tokens, but for some ranges. */
struct special_text {
    const char *text;
    size_t size;
    struct plain_ranges plain;
    bool first; /* nothing stands before it */
};

/* How texts become ids, whatever file the vocabulary came from. */
struct tokenizer_kind {
    const char *name;
    bool (*encode)(const struct tokenizer *tokenizer, const char *text, size_t n,
                   struct tokens *out, struct error *error);
    const char *(*piece)(const struct tokenizer *tokenizer, int32_t previous, int32_t id, size_t *n,
                         char buffer[1]);
    void (*close)(struct tokenizer *tokenizer);
    bool exact; /* the model has exactly as many rows of embeddings */
    /* Null where no text spells a control token. */
    bool (*encode_special)(const struct tokenizer *tokenizer, const struct special_text *text, struct tokens *out,
                           struct error *error);
};

enum { MAX_ENDS = 8 };

struct tokenizer {
    const struct tokenizer_kind *kind;
    char *path, *note;
    size_t vocab;
    int32_t bos, eos;
    int32_t ends[MAX_ENDS]; /* besides eos */
    size_t end_count;
    bool adds_bos, adds_eos;
    struct chat chat;
    void *state; /* the kind's own */
};

struct vocabulary;

/* A row of the table in tokenizer_table.c. `path` is where the data came from: others may lie beside it. */
struct tokenizer_format {
    const char *name;
    bool (*probe)(const uint8_t *data, size_t size);
    /* Null where what visit shows says it all (vocabulary_open). */
    struct tokenizer *(*open)(const uint8_t *data, size_t size, const char *path,
                              struct error *error);
    /* Shows a vocabulary_fn (vocabulary.h) what it holds. */
    bool (*visit)(const uint8_t *data, size_t size, const char *path,
                  bool (*see)(void *, const struct vocabulary *, const char *, struct error *), void *arg,
                  struct error *error);
};

extern const struct tokenizer_format gguf_tokenizer_format, json_tokenizer_format,
    sentencepiece_tokenizer_format, llama2c_tokenizer_format;

/* The table; null ends it. The first that recognises a file reads it: the one without a magic number is last. */
extern const struct tokenizer_format *const tokenizer_formats[];

/* Reads a file of that format. */
struct tokenizer *tokenizer_read(const struct tokenizer_format *format, const uint8_t *data, size_t size,
                                 const char *path, struct error *error);

/* Adds a sentence to the note; false when memory is short. */
bool tokenizer_add_note(struct tokenizer *tokenizer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif

/* tokenizer.h - text to token ids and back. */
#ifndef QTOP_TOKENIZER_H
#define QTOP_TOKENIZER_H

#include "../../kernels/error.h"

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

/* Opens a tokenizer file. */
struct tokenizer *tokenizer_open(const char *path, struct error *error);

/* Looks beside a model for a tokenizer under the usual names: tokenizer.bin, else the one tok*.bin.
 * vocab 0 takes any; otherwise only a file with that many tokens. Null with an error when there is
 * none. */
struct tokenizer *tokenizer_beside(const char *model_path, size_t vocab, struct error *error);

void tokenizer_close(struct tokenizer *tokenizer);

size_t tokenizer_vocab(const struct tokenizer *tokenizer);
const char *tokenizer_path(const struct tokenizer *tokenizer);

/* The ids that begin and end a text; -1 where there is none. */
int32_t tokenizer_bos(const struct tokenizer *tokenizer);
int32_t tokenizer_eos(const struct tokenizer *tokenizer);

/* Appends the ids of n bytes of text, which may be anything. No BOS is added. */
bool tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t n,
                      struct tokens *out, struct error *error);

/* The bytes of one token after another (previous -1: none). They may be part of a character. Points
 * into the tokenizer or into buffer. */
const char *tokenizer_piece(const struct tokenizer *tokenizer, int32_t previous, int32_t id,
                            size_t *n, char buffer[1]);

/* ---- kinds of tokenizer: a table in tokenizer.c ---------------------------------------------- */

struct tokenizer_kind {
    const char *name;
    bool (*probe)(const uint8_t *data, size_t size);
    bool (*open)(struct tokenizer *tokenizer, const uint8_t *data, size_t size,
                 struct error *error);
    bool (*encode)(const struct tokenizer *tokenizer, const char *text, size_t n,
                   struct tokens *out, struct error *error);
    const char *(*piece)(const struct tokenizer *tokenizer, int32_t previous, int32_t id, size_t *n,
                         char buffer[1]);
    void (*close)(struct tokenizer *tokenizer);
};

extern const struct tokenizer_kind llama2c_tokenizer;

struct tokenizer {
    const struct tokenizer_kind *kind;
    char *path;
    size_t vocab;
    int32_t bos, eos;
    void *state; /* the kind's own */
};

#endif

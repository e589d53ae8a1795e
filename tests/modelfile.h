/* modelfile.h - tiny llama2.c checkpoints and tokenizers for tests, valid until a test spoils them.
 *
 * The weights of a tensor depend on the seed and on its canonical name only, so that files of every
 * version made from one spec hold the same model. Running out of memory aborts. */
#ifndef QTOP_TESTS_MODELFILE_H
#define QTOP_TESTS_MODELFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
    uint8_t *data;
    size_t size;
};

struct model_spec {
    int version; /* 0, 1 or 2 */
    bool tied;   /* the head is the embedding table */
    int32_t dim, hidden, layers, heads, kv_heads, vocab, context;
    int32_t group; /* columns a group, version 2 only */
    uint64_t seed;
};

/* The fields that every header has, in file order. */
enum { FIELD_DIM, FIELD_HIDDEN, FIELD_LAYERS, FIELD_HEADS, FIELD_KV_HEADS, FIELD_VOCAB,
       FIELD_CONTEXT, FIELD_COUNT };
extern const char *const field_names[FIELD_COUNT];

/* Where they begin; version 0 has no magic number before them. */
enum { V0_FIELDS = 0, V0_HEADER = 28, V1_FIELDS = 8, V1_SHARED = 36, V1_GROUP = 37,
       V1_HEADER = 256 };

/* A spec of a few hundred weights, and one with room for the bytes of a tokenizer. */
struct model_spec spec_tiny(int version, bool tied);
struct model_spec spec_usual(int version, bool tied);

/* One tensor as the file holds it. */
struct tensor_place {
    char name[48];      /* canonical */
    size_t rows, cols;
    size_t offset;      /* of its values, or of its codes; its scales follow */
    size_t group;       /* 0: fp32 */
};

/* The tensors in file order: at most `room` are written; returns how many there are. */
size_t model_places(const struct model_spec *spec, struct tensor_place *out, size_t room);
struct tensor_place model_place(const struct model_spec *spec, const char *name);

/* The values that the file's tensor stands for, rows x cols; for groups exactly code x scale. */
void model_values(const struct model_spec *spec, const struct tensor_place *place, float *out);

struct bytes model_bytes(const struct model_spec *spec);
void bytes_free(struct bytes *bytes);
void put_int(struct bytes *bytes, size_t offset, int32_t value);
void put_float(struct bytes *bytes, size_t offset, float value);

/* ---- tokenizers ------------------------------------------------------------------------------ */

struct piece_spec {
    char text[96];
    int32_t length;
    float score;
};

struct vocabulary_spec {
    struct piece_spec *pieces;
    size_t count, room;
    int32_t longest; /* max_token_length; 0: what fits */
};

/* Adds a piece; length < 0: strlen(text). */
void vocabulary_add(struct vocabulary_spec *v, const char *text, int32_t length, float score);

/* <unk>, BOS and EOS; with `bytes` the 256 byte tokens too. */
void vocabulary_begin(struct vocabulary_spec *v, bool bytes);

/* Three special tokens, 256 bytes, printable ASCII and a few merges: `count` pieces, from 380. */
struct vocabulary_spec vocabulary_usual(size_t count);

struct bytes vocabulary_bytes(const struct vocabulary_spec *v);
void vocabulary_free(struct vocabulary_spec *v);

/* ---- files ----------------------------------------------------------------------------------- */

/* A new folder for one program's files, removed with everything in it by folder_remove. */
char *folder_make(void);
void folder_remove(char *folder);

/* FOLDER/NAME; the caller frees. */
char *path_in(const char *folder, const char *name);
void write_file(const char *path, const void *data, size_t size);

/* The whole of a file with a NUL after it; data null when it cannot be read. */
struct bytes read_file(const char *path);

/* The folder of reference data, or null where there is none. */
const char *shared_folder(void);

/* Deterministic random numbers (SplitMix64). */
uint64_t random_next(uint64_t *state);
float random_unit(uint64_t *state); /* -1 to 1 */

#endif

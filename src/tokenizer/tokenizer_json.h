/* tokenizer_json.h - what the parts of the reader of tokenizer.json share. Private to src/tokenizer. */
#ifndef QTOP_TOKENIZER_JSON_H
#define QTOP_TOKENIZER_JSON_H

#include "vocabulary.h"

#include <jansson.h>

enum { MAX_RULES = 32, MAX_STEPS = 32 };

struct json_reading {
    struct error *error;
    json_t *root, *config; /* tokenizer.json, and tokenizer_config.json or null */
    struct vocabulary v;
    struct vocabulary_piece *pieces;
    uint8_t *added; /* by id */
    struct merge *merges;
    struct split_rule rules[MAX_RULES];
    struct normal_step steps[MAX_STEPS];
    bool byte_level;      /* ByteLevel is one of the pre-tokenizers */
    char note[400];       /* what is not done as the file asks */
};

/* ---- values (json_values.c) ------------------------------------------------------------------ */

/* "an object", "a string", "missing". */
const char *json_type_name(const json_t *value);

/* Fails: the value at a path such as "model.vocab" is not what was expected. */
bool json_expected(const struct json_reading *reading, const char *where, const char *expected);

/* A string of an object, or null where it is absent or something else. */
const char *json_text_of(const json_t *object, const char *key);

/* A boolean of an object at `where`; *out stays where it is absent or null. Fails where it is something else. */
bool json_flag(const struct json_reading *reading, const json_t *object, const char *where, const char *key,
               bool *out);

/* Adds to what is not done as the file asks. */
void json_note(struct json_reading *reading, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The id of a token by its text, or -1. */
int32_t json_token_id(const struct json_reading *reading, const char *text);

/* ---- parts ----------------------------------------------------------------------------------- */

/* normalizer to steps, pre_tokenizer to rules (json_rules.c). */
bool json_read_rules(struct json_reading *reading);

/* What begins and ends a text: post_processor, tokenizer_config.json (json_specials.c). */
bool json_read_specials(struct json_reading *reading);

#endif

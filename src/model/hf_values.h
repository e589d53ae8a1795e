/* hf_values.h - the values of a config.json: where a key may stand, and what its value may be. Private to hf_*.c.
 *
 * Keys moved over the years, and models within models keep theirs under text_config: a key is looked for in several
 * objects under one name or two, and values that contradict each other are refused by name. */
#ifndef QTOP_HF_VALUES_H
#define QTOP_HF_VALUES_H

#include "arch.h"

#include <jansson.h>

/* An object that may have a key, and what comes before the key's name in errors ("rope_scaling."). */
struct hf_place {
    const json_t *object;
    const char *before;
};

/* Places in the order in which they are asked. */
struct hf_places {
    struct hf_place at[6];
    size_t count;
};

struct hf_config {
    struct hf_places top;  /* text_config, where there is one, and the file, unless that is of a model around it */
    struct hf_places around; /* the file of a model around the one of text; else empty */
    struct hf_places rope; /* rope_parameters and rope_scaling, or their part for a kind of layer */
    struct hf_places window_rope; /* their part for layers with a window, where it is another one */
    struct hf_places both; /* those, then these: for keys that moved from one to the other */
    const struct arch *arch;
    struct model *model;
    struct error *error;
};

/* Adds object[key] to the places where it is an object; false with an error where it is another value. */
bool hf_add_place(const struct hf_config *config, struct hf_places *places, const json_t *object, const char *key,
                  const char *before);

/* What was found for a key. */
struct hf_value {
    const json_t *json; /* null where the key is nowhere, or null */
    bool is_null;       /* the key is there, and null */
    char name[80];      /* as the file spells it, its object included */
};

/* Finds a key, or `other` (may be null), which means the same. False with an error where two places contradict each
 * other. */
bool hf_find(const struct hf_config *config, const struct hf_places *places, const char *key, const char *other,
             struct hf_value *value);

/* A list in which one value is repeated stands for that value; false with an error where they differ. */
bool hf_one_of_list(const struct hf_config *config, struct hf_value *value);

/* What a key that is not there means, and one whose value is null; a size of 0: it must be there. */
struct hf_size_key {
    const char *key, *other;
    size_t absent, null, max;
};

/* A size of 1 to max, or a list of one size again and again. */
bool hf_size(const struct hf_config *config, const struct hf_places *places, const struct hf_size_key *key,
             size_t *out);

/* A size of 0 to max under a key (null: none) or `other`, which means the same (may be null). */
bool hf_count(const struct hf_config *config, const char *key, const char *other, size_t otherwise, size_t max,
              size_t *out);

/* A number from min to max. */
bool hf_number(const struct hf_config *config, const struct hf_places *places, const char *key, float otherwise,
               float min, float max, float *out);
bool hf_flag(const struct hf_config *config, const char *key, bool otherwise, bool *out);

/* A value on one short line, for errors. */
const char *hf_show(const json_t *value, char out[64]);

#endif

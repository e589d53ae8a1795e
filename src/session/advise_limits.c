/* What a person may ask of a row, in writing. */
#include "advise.h"

#include "quant/tune.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool number(const char *word, const char *text, double *out, struct error *error)
{
    char *end;
    *out = strtod(text, &end);
    return (end != text && !*end && *out >= 1e-12 && *out <= 1e9) ||
           error_set(error, "%s '%.32s': expected a number over 0", word, text);
}

/* One limit: its word, and how its value is read and written. */
static const struct limit {
    const char *word;
    size_t at; /* offset in struct advise_limits */
    bool (*read)(const char *word, const char *text, double *out, struct error *error);
    bool bytes;
} limits[] = {
    {"memory", offsetof(struct advise_limits, max_memory), size_parse, true},
    {"file", offsetof(struct advise_limits, max_file), size_parse, true},
    {"rate", offsetof(struct advise_limits, min_rate), number, false},
    {"kl", offsetof(struct advise_limits, max_kl), number, false},
};
enum { LIMITS = sizeof limits / sizeof *limits };

static double *value_of(struct advise_limits *l, const struct limit *limit)
{
    return (double *)((char *)l + limit->at);
}

static bool set(struct advise_limits *l, const char *word, const char *value, struct error *error)
{
    for (size_t i = 0; i < LIMITS; i++)
        if (strcmp(limits[i].word, word) == 0)
            return value ? limits[i].read(word, value, value_of(l, &limits[i]), error)
                         : error_set(error, "'%s': expected a value behind it", word);
    return error_set(error, "'%.32s': expected memory, file, rate or kl, such as memory 2G rate 20", word);
}

bool advise_limits_parse(const char *text, struct advise_limits *out, struct error *error)
{
    char copy[LIMITS_TEXT], *save;
    struct advise_limits l = {0};
    if (strlen(text) >= sizeof copy)
        return error_set(error, "the limits are too long");
    strcpy(copy, text);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
        if (!set(&l, word, strtok_r(NULL, " ", &save), error))
            return false;
    *out = l;
    return true;
}

const char *advise_limits_print(const struct advise_limits *from, char out[LIMITS_TEXT])
{
    struct advise_limits l = *from;
    size_t used = 0;
    *out = 0;
    for (size_t i = 0; i < LIMITS; i++) {
        char number[32];
        double v = *value_of(&l, &limits[i]);
        if (!(v > 0))
            continue;
        snprintf(number, sizeof number, "%.10g", v);
        used += (size_t)snprintf(out + used, LIMITS_TEXT - used, "%s%s %s", used ? " " : "", limits[i].word,
                                 limits[i].bytes ? size_print(number, v) : number);
    }
    return out;
}

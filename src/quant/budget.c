/* Budgets of a search, in writing: see tune.h. */
#include "tune.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool budget_check(const struct budget *b, struct error *error)
{
    return b->max_size > 0 || b->max_bits > 0 || b->min_rate > 0 || b->max_kl > 0 ||
           error_set(error, "no budget: expected --max-size, --max-bits, --max-kl or --min-tokens-per-second (size, bits, kl or rate)");
}

bool size_parse(const char *name, const char *text, double *out, struct error *error)
{
    static const char units[] = " kMGT";
    char *end;
    double v = strtod(text, &end);
    const char *unit = end != text && *end && *end != ' ' ? strchr(units, *end == 'K' ? 'k' : *end) : units;
    if (end != text && unit && (!*end || !end[1])) {
        *out = v * pow(1000, (double)(unit - units));
        if (*out >= 1 && *out <= 1e18)
            return true;
    }
    return error_set(error, "%s '%.32s': expected bytes, such as 700000, 1.5M or 4G", name, text);
}

const char *size_print(char out[32], double bytes)
{
    static const char *const units[] = {"", "k", "M", "G", "T"};
    size_t unit = 0;
    for (; bytes >= 1000 && unit + 1 < sizeof units / sizeof *units; unit++)
        bytes /= 1000;
    snprintf(out, 32, "%.10g%s", bytes, units[unit]);
    return out;
}

static bool number_parse(const char *name, const char *text, double min, double max, double *out,
                         struct error *error)
{
    char *end;
    *out = strtod(text, &end);
    return (end != text && !*end && *out >= min && *out <= max) ||
           error_set(error, "%s '%.32s': expected a number from %g to %g", name, text, min, max);
}

bool budget_for(const char *format, struct budget *out, struct error *error)
{
    size_t n = strlen(format);
    if (n >= sizeof out->format)
        return error_set(error, "for '%.32s': expected the name of a format", format);
    out->memory = strcmp(format, "memory") == 0;
    memcpy(out->format, out->memory ? "" : format, out->memory ? 1 : n + 1);
    return true;
}

static bool set(struct budget *b, const char *word, const char *value, struct error *error)
{
    if (strcmp(word, "size") == 0)
        return size_parse(word, value, &b->max_size, error);
    if (strcmp(word, "bits") == 0)
        return number_parse(word, value, 1e-3, 64, &b->max_bits, error);
    if (strcmp(word, "kl") == 0)
        return number_parse(word, value, 1e-12, 1e3, &b->max_kl, error);
    if (strcmp(word, "for") == 0)
        return budget_for(value, b, error);
    if (strcmp(word, "rate") == 0)
        return number_parse(word, value, 1e-3, 1e9, &b->min_rate, error);
    return error_set(error, "'%.32s': expected size, bits, kl, rate or for", word);
}

bool budget_parse(const char *text, struct budget *out, struct error *error)
{
    char copy[128], *save, *word, *value;
    struct budget b = {0};
    if (strlen(text) >= sizeof copy)
        return error_set(error, "the budget is too long");
    if (!text[strspn(text, " ")])
        return error_set(error, "no budget: expected size, bits, kl or rate, such as kl 0.01");
    strcpy(copy, text);
    for (word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        value = strtok_r(NULL, " ", &save);
        if (!value)
            return error_set(error, "'%.32s': expected a value behind it, such as kl 0.01", word);
        bool before = strchr("0123456789.", *word) != NULL; /* 4.5 bits */
        if (!set(&b, before ? value : word, before ? word : value, error))
            return false;
    }
    if (!budget_check(&b, error))
        return false;
    *out = b;
    return true;
}

/* Names for files that are to be written. */
#include "tui.h"

#include <ctype.h>
#include <string.h>

/* The model's name without its ending. */
static size_t stem_of(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && dot > name ? (size_t)(dot - name) : strlen(name);
}

/* What a shell takes for a part of a word: "@q4_k_m/int8:gptq" becomes "q4_k_m-int8-gptq". */
static void add_scheme(const char *scheme, char *out, size_t size)
{
    size_t n = strlen(out);
    bool gap = true; /* a dash comes before the next character */
    for (; *scheme && n + 2 < size; scheme++) {
        bool plain = isalnum((unsigned char)*scheme) || *scheme == '_' || *scheme == '.';
        if (plain && gap)
            out[n++] = '-';
        if (plain)
            out[n++] = *scheme;
        gap = !plain;
    }
    out[n] = 0;
}

const char *suggest_file(const struct tui *t, const char *scheme, const char *ending, char out[SUGGESTION])
{
    snprintf(out, SUGGESTION, "%.*s", (int)stem_of(t->model_name), t->model_name);
    if (scheme)
        add_scheme(scheme, out, SUGGESTION - strlen(ending));
    strcat(out, ending);
    return out;
}

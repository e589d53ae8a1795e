#include "words.h"

#include <stdio.h>
#include <string.h>

bool words_have(const char *words, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = words; n > 0 && (at = strstr(at, word)); at += n)
        if ((at == words || at[-1] == ' ') && (at[n] == ' ' || !at[n]))
            return true;
    return false;
}

const char *words_join(const char *words, char out[96])
{
    size_t used = 0;
    out[0] = 0;
    for (const char *at = words; *at && used < 96;) {
        size_t n = strcspn(at, " "), room = 96 - used;
        used += (size_t)snprintf(out + used, room, "%s%.*s", at == words ? "" : " or ", (int)n, at);
        at += n + (at[n] == ' ');
    }
    return out;
}

#include "command_line.h"

#include <stdlib.h>
#include <string.h>

static void put_word(FILE *out, const char *word)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./:,=+@%";
    if (*word && strspn(word, plain) == strlen(word)) {
        fputs(word, out);
        return;
    }
    fputc('\'', out);
    for (; *word; word++)
        if (*word == '\'')
            fputs("'\\''", out);
        else
            fputc(*word, out);
    fputc('\'', out);
}

char *command_line(const struct options *o)
{
    char *line = NULL;
    size_t size;
    FILE *out = open_memstream(&line, &size);
    if (!out)
        return NULL;
    fputs("qtop", out);
    for (int i = 1; i < o->argc; i++) {
        fputc(' ', out);
        put_word(out, o->argv[i]);
    }
    if (fclose(out) == 0)
        return line;
    free(line);
    return NULL;
}

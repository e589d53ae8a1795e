#include "texts.h"

#include "base/escape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Two halves of one kind of text: what a model is judged on is nothing that a method has seen. */
struct default_text {
    const char *name;
    const char *files[TEXT_USES];
};

static const struct default_text stories = {"stories", {"stories-heldout.txt", "stories-calibration.txt"}};
static const struct default_text mixed = {"mixed text", {"mixed-quality.txt", "mixed-calibration.txt"}};

char *data_file(const char *name)
{
    static const char *const folders[] = {PKGDATADIR, SRCDATADIR};
    const char *chosen = getenv("QTOP_DATA");
    char *path;
    for (int i = chosen ? -1 : 0; i < 2; i++) {
        if (asprintf(&path, "%s/%s", i < 0 ? chosen : folders[i], name) < 0)
            break;
        if (access(path, R_OK) == 0)
            return path;
        free(path);
    }
    return NULL;
}

static bool same_pieces(const struct tokenizer *a, const struct tokenizer *b)
{
    size_t n = tokenizer_vocab(a);
    bool same = n == tokenizer_vocab(b);
    for (size_t i = 0; same && i < n; i++) {
        size_t x, y;
        char one[1], other[1];
        const char *p = tokenizer_piece(a, TOKEN_ALONE, (int32_t)i, &x, one);
        const char *q = tokenizer_piece(b, TOKEN_ALONE, (int32_t)i, &y, other);
        same = x == y && memcmp(p, q, x) == 0;
    }
    return same;
}

/* Whether a model reads what the built-in one reads: it is that one, or was made of it, in another file. */
static bool reads_stories(const struct tokenizer *t)
{
    struct error error;
    char *path = data_file("tokenizer.bin");
    struct tokenizer *builtin = path ? tokenizer_open(path, &error) : NULL;
    bool same = builtin && same_pieces(t, builtin);
    tokenizer_close(builtin);
    free(path);
    return same;
}

void name_file(const char *path, char *name, size_t size)
{
    size_t end = strlen(path), begin;
    while (end > 1 && path[end - 1] == '/')
        end--;
    for (begin = end; begin > 0 && path[begin - 1] != '/';)
        begin--;
    escape_text(name, size, path + begin, end - begin);
}

static void name_text(const char *path, char name[TEXT_NAME])
{
    if (strcmp(path, "-") == 0)
        snprintf(name, TEXT_NAME, "standard input");
    else
        name_file(path, name, TEXT_NAME);
}

static void choose_default(struct text_choice *c, const struct session *s, enum text_use use)
{
    const struct default_text *text = s->tokenizer && reads_stories(s->tokenizer) ? &stories : &mixed;
    c->is_default = true;
    c->path = s->tokenizer ? data_file(text->files[use]) : NULL;
    snprintf(c->name, sizeof c->name, "%s", c->path ? text->name : TEXT_SELF);
}

bool text_choose(struct text_choice *c, const struct session *s, const char *option, enum text_use use,
                 struct error *error)
{
    *c = (struct text_choice){.name = TEXT_SELF};
    if (!option)
        choose_default(c, s, use);
    if (!option || strcmp(option, TEXT_SELF) == 0)
        return true;
    name_text(option, c->name);
    c->path = strdup(option);
    return c->path || error_set(error, "not enough memory");
}

void text_choice_free(struct text_choice *c)
{
    free(c->path);
    *c = (struct text_choice){0};
}

#include "tokenizer.h"

#include "../model/mapped.h"
#include "../../kernels/escape.h"

#include <dirent.h>
#include <fnmatch.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct tokenizer_kind *const kinds[] = {&llama2c_tokenizer};
enum { KINDS = sizeof kinds / sizeof *kinds };

bool tokens_add(struct tokens *t, int32_t id)
{
    if (t->count == t->room) {
        size_t room = t->room ? t->room * 2 : 64;
        int32_t *ids = realloc(t->ids, room * sizeof *ids);
        if (!ids)
            return false;
        t->ids = ids;
        t->room = room;
    }
    t->ids[t->count++] = id;
    return true;
}

static bool open_mapped(struct tokenizer *t, const struct mapped_file *file, struct error *error)
{
    for (size_t i = 0; i < KINDS; i++)
        if (kinds[i]->probe(file->data, file->size)) {
            t->kind = kinds[i];
            return t->kind->open(t, file->data, file->size, error);
        }
    return error_set(error, "unknown tokenizer format; expected a llama2.c tokenizer.bin");
}

struct tokenizer *tokenizer_open(const char *path, struct error *error)
{
    struct mapped_file file;
    if (!mapped_file_open(&file, path, error))
        return NULL;
    struct tokenizer *t = calloc(1, sizeof *t);
    struct error why = {"not enough memory"};
    bool ok = t && open_mapped(t, &file, &why) && (t->path = strdup(path));
    mapped_file_close(&file);
    if (ok)
        return t;
    char shown[256];
    escape_text(shown, sizeof shown, path, strlen(path));
    error_set(error, "%s: %.400s", shown, why.text);
    tokenizer_close(t);
    return NULL;
}

void tokenizer_close(struct tokenizer *t)
{
    if (!t)
        return;
    if (t->kind)
        t->kind->close(t);
    free(t->path);
    free(t);
}

/* ---- looking beside a model ------------------------------------------------------------------ */

static struct tokenizer *try_file(const char *folder, const char *name, size_t vocab,
                                  struct error *error)
{
    char *path;
    if (asprintf(&path, "%s/%s", folder, name) < 0)
        return NULL;
    struct tokenizer *t = tokenizer_open(path, error);
    if (t && vocab && t->vocab != vocab) {
        error_set(error, "%s: %zu tokens; the model's vocabulary has %zu", name, t->vocab, vocab);
        tokenizer_close(t);
        t = NULL;
    }
    free(path);
    return t;
}

static int looks_usual(const struct dirent *entry)
{
    return fnmatch("tok*.bin", entry->d_name, 0) == 0;
}

struct tokenizer *tokenizer_beside(const char *model_path, size_t vocab, struct error *error)
{
    char *copy = strdup(model_path);
    if (!copy) {
        error_set(error, "not enough memory");
        return NULL;
    }
    const char *folder = dirname(copy);
    error_set(error, "no tokenizer.bin or tok*.bin beside the model (-z FILE names one)");
    struct tokenizer *t = NULL;
    struct dirent **entries;
    int n = scandir(folder, &entries, looks_usual, alphasort);
    for (int i = 0; i < n && !t; i++) /* the plain name before the others */
        if (strcmp(entries[i]->d_name, "tokenizer.bin") == 0)
            t = try_file(folder, entries[i]->d_name, vocab, error);
    for (int i = 0; i < n && !t; i++)
        t = try_file(folder, entries[i]->d_name, vocab, error);
    for (int i = 0; i < n; i++)
        free(entries[i]);
    if (n >= 0)
        free(entries);
    free(copy);
    return t;
}

/* ---- what every kind shares ------------------------------------------------------------------ */

size_t tokenizer_vocab(const struct tokenizer *t)
{
    return t->vocab;
}

const char *tokenizer_path(const struct tokenizer *t)
{
    return t->path;
}

int32_t tokenizer_bos(const struct tokenizer *t)
{
    return t->bos;
}

int32_t tokenizer_eos(const struct tokenizer *t)
{
    return t->eos;
}

bool tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, struct tokens *out,
                      struct error *error)
{
    return t->kind->encode(t, text, n, out, error);
}

const char *tokenizer_piece(const struct tokenizer *t, int32_t previous, int32_t id, size_t *n,
                            char buffer[1])
{
    if (id < 0 || (size_t)id >= t->vocab)
        return *n = 0, "";
    return t->kind->piece(t, previous, id, n, buffer);
}

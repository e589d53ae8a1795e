/* Opening by content, and looking beside a model. */
#include "vocabulary.h"

#include "formats/foreign.h"
#include "formats/mapped.h"
#include "base/escape.h"

#include <dirent.h>
#include <fnmatch.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct tokenizer_format *format_of(const struct mapped_file *file, struct error *error)
{
    char known[300] = "";
    size_t n = 0;
    if (!foreign_check(file->data, file->size, error))
        return NULL;
    for (size_t i = 0; tokenizer_formats[i]; i++) {
        const struct tokenizer_format *f = tokenizer_formats[i];
        if (f->probe(file->data, file->size))
            return f;
        if (n < sizeof known)
            n += (size_t)snprintf(known + n, sizeof known - n, "%s%s",
                                  i == 0 ? "" : tokenizer_formats[i + 1] ? ", " : " or ", f->name);
    }
    error_set(error, "unknown tokenizer format; expected %s", known);
    return NULL;
}

struct tokenizer *tokenizer_read(const struct tokenizer_format *format, const uint8_t *data, size_t size,
                                 const char *path, struct error *error)
{
    struct tokenizer *t = NULL;
    if (format->open)
        return format->open(data, size, path, error);
    return format->visit(data, size, path, vocabulary_open, &t, error) ? t : NULL;
}

/* Puts the path, as it can be shown, before what is wrong. */
static bool refuse_file(struct error *error, const char *path, const struct error *why)
{
    char shown[256];
    escape_text(shown, sizeof shown, path, strlen(path));
    return error_set(error, "%s: %.400s", shown, why->text);
}

struct tokenizer *tokenizer_open(const char *path, struct error *error)
{
    struct mapped_file file;
    if (!mapped_file_open(&file, path, error))
        return NULL;
    struct error why = {"not enough memory"};
    const struct tokenizer_format *format = format_of(&file, &why);
    struct tokenizer *t = format ? tokenizer_read(format, file.data, file.size, path, &why) : NULL;
    mapped_file_close(&file);
    if (t && (t->path = strdup(path)))
        return t;
    refuse_file(error, path, &why);
    tokenizer_close(t);
    return NULL;
}

bool vocabulary_visit(const char *path, vocabulary_fn *see, void *arg, struct error *error)
{
    struct mapped_file file;
    if (!mapped_file_open(&file, path, error))
        return false;
    struct error why = {"not enough memory"};
    const struct tokenizer_format *format = format_of(&file, &why);
    bool ok = format && format->visit(file.data, file.size, path, see, arg, &why);
    mapped_file_close(&file);
    return ok || refuse_file(error, path, &why);
}

/* ---- looking beside a model ------------------------------------------------------------------ */

bool tokenizer_is_inside(const char *model_path)
{
    struct mapped_file file;
    if (!mapped_file_open(&file, model_path, NULL))
        return false;
    bool inside = gguf_tokenizer_format.probe(file.data, file.size);
    mapped_file_close(&file);
    return inside;
}

static struct tokenizer *try_path(const char *path, size_t vocab, struct error *error)
{
    struct tokenizer *t = tokenizer_open(path, error);
    if (t && vocab && !tokenizer_fits(t, vocab)) {
        const char *slash = strrchr(path, '/');
        error_set(error, "%s: %zu tokens; the model's vocabulary has %zu", slash ? slash + 1 : path,
                  t->vocab, vocab);
        tokenizer_close(t);
        t = NULL;
    }
    return t;
}

static struct tokenizer *try_file(const char *folder, const char *name, size_t vocab,
                                  struct error *error)
{
    char *path;
    if (asprintf(&path, "%s/%s", folder, name) < 0)
        return NULL;
    struct tokenizer *t = try_path(path, vocab, error);
    free(path);
    return t;
}

/* In this order; a row may match several files, which are taken by name. */
static const char *const file_names[] = {"tokenizer.bin", "tok*.bin", "tokenizer.json", "tokenizer.model"};
enum { FILE_NAMES = sizeof file_names / sizeof *file_names };

static int is_tokenizer_file(const struct dirent *entry)
{
    for (size_t i = 0; i < FILE_NAMES; i++)
        if (fnmatch(file_names[i], entry->d_name, 0) == 0)
            return 1;
    return 0;
}

static struct tokenizer *look_in(const char *folder, size_t vocab, struct error *error)
{
    struct tokenizer *t = NULL;
    struct dirent **entries;
    int n = scandir(folder, &entries, is_tokenizer_file, alphasort);
    for (size_t k = 0; k < FILE_NAMES; k++)
        for (int i = 0; i < n && !t; i++)
            if (fnmatch(file_names[k], entries[i]->d_name, 0) == 0)
                t = try_file(folder, entries[i]->d_name, vocab, error);
    for (int i = 0; i < n; i++)
        free(entries[i]);
    if (n >= 0)
        free(entries);
    return t;
}

struct tokenizer *tokenizer_beside(const char *model_path, size_t vocab, struct error *error)
{
    bool inside = tokenizer_is_inside(model_path);
    struct tokenizer *t = inside ? try_path(model_path, vocab, error) : NULL;
    char *copy = t ? NULL : strdup(model_path);
    if (!copy) {
        if (!t)
            error_set(error, "not enough memory");
        return t;
    }
    if (!inside)
        error_set(error, "no tokenizer.bin, tok*.bin, tokenizer.json or tokenizer.model beside the model "
                         "(-z FILE names one)");
    /* where the file's own vocabulary is of no use, that is what there is to say */
    t = look_in(path_is_folder(model_path) ? copy : dirname(copy), vocab, inside ? NULL : error);
    free(copy);
    return t;
}

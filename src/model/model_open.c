/* Opening by content. */
#include "format.h"

#include "base/escape.h"
#include "formats/foreign.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool unknown_format(const struct mapped_file *file, const char *shown, struct error *error)
{
    char magic[40], known[300] = "";
    if (foreign_is_json(file->data, file->size))
        return error_set(error, "%s: is JSON, which describes a model or a tokenizer: open the folder that it is in, "
                                "or a file of weights", shown);
    escape_text(magic, sizeof magic, (const char *)file->data, file->size < 4 ? file->size : 4);
    size_t n = 0;
    for (size_t i = 0; model_formats[i] && n < sizeof known; i++)
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "",
                              model_formats[i]->description);
    return error_set(error, "%s: unknown model format: begins with '%s'; expected %s", shown, magic,
                     known);
}

/* The row of the table that recognises the file, or, where data is null, the folder. */
static const struct format *recognise(const char *path, const uint8_t *data, size_t size)
{
    for (size_t i = 0; model_formats[i]; i++)
        if (model_formats[i]->probe(path, data, size))
            return model_formats[i];
    return NULL;
}

/* A file is mapped for a moment. */
static const struct format *find_format(const char *path, const char *shown, struct error *error)
{
    struct mapped_file file;
    if (path_is_folder(path)) {
        const struct format *format = recognise(path, NULL, 0);
        struct error why;
        if (!format && !foreign_check_folder(path, &why))
            error_set(error, "%s: %s", shown, why.text);
        else if (!format)
            error_set(error, "%s: is a directory without a model; expected model.safetensors, "
                             "pytorch_model.bin or their index in it, or a file", shown);
        return format;
    }
    if (!mapped_file_open(&file, path, error))
        return NULL;
    struct error why;
    const struct format *format = NULL;
    if (!foreign_check(file.data, file.size, &why))
        error_set(error, "%s: %s", shown, why.text);
    else if (!(format = recognise(path, file.data, file.size)))
        unknown_format(&file, shown, error);
    mapped_file_close(&file);
    return format;
}

struct model *model_open(const char *path, struct error *error)
{
    char shown[256];
    escape_text(shown, sizeof shown, path, strlen(path));
    const struct format *format = find_format(path, shown, error);
    struct model *m = format ? calloc(1, sizeof *m) : NULL;
    if (!m) {
        if (format)
            error_set(error, "not enough memory to open a model");
        return NULL;
    }
    struct error why = {"not enough memory"};
    m->format = format->name;
    m->bos = -1;
    m->path = strdup(path);
    if (m->path && format->open(m, path, &why))
        return m;
    if (strncmp(why.text, shown, strlen(shown)) == 0)
        error_set(error, "%s", why.text);
    else
        error_set(error, "%s: %.400s", shown, why.text);
    model_close(m);
    return NULL;
}

char *model_config_path(const struct model *m)
{
    for (size_t i = 0; m->path && model_formats[i]; i++)
        if (strcmp(m->format, model_formats[i]->name) == 0)
            return model_formats[i]->config ? path_beside(m->path, model_formats[i]->config) : NULL;
    return NULL;
}

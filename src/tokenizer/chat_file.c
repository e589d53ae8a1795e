#include "chat_file.h"

#include "formats/jsontext.h"
#include "formats/mapped.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DEPTH = 64 };

static struct chat unread(const char *what)
{
    struct chat c = {0};
    snprintf(c.why, sizeof c.why, "%s cannot be read", what);
    return c;
}

/* Opens a file beside another; false where there is none, or with *failed where it cannot be read. */
static bool open_beside(const char *path, const char *name, struct mapped_file *file, bool *failed)
{
    char *beside = path_beside(path, name);
    bool there = beside && access(beside, F_OK) == 0, opened = there && mapped_file_open(file, beside, NULL);
    *failed = !beside || (there && !opened);
    free(beside);
    return opened;
}

/* A string, or the one named default of a list of objects. */
static struct chat of_value(const json_t *value)
{
    const json_t *item, *template = value;
    size_t i;
    json_array_foreach(value, i, item) {
        const char *name = json_string_value(json_object_get(item, "name"));
        if (name && strcmp(name, "default") == 0)
            template = json_object_get(item, "template");
    }
    if (!template || json_is_null(template))
        return chat_absent();
    if (!json_is_string(template))
        return unread("chat_template of tokenizer_config.json");
    return chat_of_template(json_string_value(template), json_string_length(template));
}

static struct chat of_config(const struct mapped_file *file)
{
    json_t *config = json_text_parse(file->data, file->size, DEPTH, "tokenizer_config.json", NULL);
    struct chat c = config ? of_value(json_object_get(config, "chat_template")) : unread("tokenizer_config.json");
    json_decref(config);
    return c;
}

struct chat chat_beside(const char *path)
{
    struct mapped_file file;
    struct chat c = chat_absent();
    bool failed;
    if (!path)
        return c;
    if (open_beside(path, "chat_template.jinja", &file, &failed)) {
        c = chat_of_template((const char *)file.data, file.size);
        mapped_file_close(&file);
    } else if (failed) {
        c = unread("chat_template.jinja");
    } else if (open_beside(path, "tokenizer_config.json", &file, &failed)) {
        c = of_config(&file);
        mapped_file_close(&file);
    } else if (failed) {
        c = unread("tokenizer_config.json");
    }
    return c;
}

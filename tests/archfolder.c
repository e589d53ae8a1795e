#include "archfolder.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "support.h"

char *arch_path(const char *model, const char *file)
{
    char *path;
    if (asprintf(&path, "%s/tests/data/arch/%s/%s", SRCDIR, model, file) < 0)
        abort();
    return path;
}

struct bytes arch_config(const char *model)
{
    char *path = arch_path(model, "config.json");
    struct bytes b = read_file(path);
    if (!b.data)
        fail_msg("%s cannot be read", path);
    free(path);
    return b;
}

void folder_write(const char *folder, const char *name, const void *data, size_t size)
{
    char *path = path_in(folder, name);
    write_file(path, data, size);
    free(path);
}

/* The weights of a model of the reference data, under a name. */
void folder_link_weights(const char *folder, const char *model, const char *name)
{
    char *from = arch_path(model, "model.safetensors"), *to = path_in(folder, name);
    if (symlink(from, to) != 0)
        fail_msg("%s cannot be made", to);
    free(from);
    free(to);
}

/* A configuration with a key's value, which ends its line, replaced, or (null) without the key; the
 * caller frees. */
char *config_with(const char *config, const char *key, const char *value)
{
    char quoted[64], *out;
    snprintf(quoted, sizeof quoted, "\"%s\": ", key);
    const char *at = strstr(config, quoted);
    if (!at)
        fail_msg("there is no %s", key);
    const char *line_end = at + strcspn(at, "\n");
    const char *comma = line_end[-1] == ',' ? "," : "";
    if (asprintf(&out, "%.*s%s%s%s%s", (int)(at - config), config, value ? quoted : "", value ? value : "",
                 value ? comma : "", line_end) < 0)
        abort();
    return out;
}

void writing_put(struct writing *w, const char *name, const char *type, const struct entry *shape,
                      const void *data, size_t bytes)
{
    size_t room = sizeof w->header;
    w->used += (size_t)snprintf(w->header + w->used, room - w->used, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[",
                                w->used ? "," : "{", name, type);
    for (size_t i = 0; i < shape->dimensions; i++)
        w->used += (size_t)snprintf(w->header + w->used, room - w->used, "%s%zu", i ? "," : "",
                                    shape->shape[i]);
    w->used += (size_t)snprintf(w->header + w->used, room - w->used, "],\"data_offsets\":[%zu,%zu]}",
                                w->payload, w->payload + bytes);
    assert_true(w->used < room && w->payload + bytes <= sizeof w->data);
    memcpy(w->data + w->payload, data, bytes);
    w->payload += bytes;
}

void writing_write(const char *folder, const struct writing *w)
{
    uint64_t n = w->used + 1;
    uint8_t *file = make(8 + n + w->payload);
    memcpy(file, &n, 8);
    memcpy(file + 8, w->header, w->used);
    file[8 + w->used] = '}';
    memcpy(file + 8 + n, w->data, w->payload);
    folder_write(folder, "model.safetensors", file, 8 + n + w->payload);
    free(file);
}

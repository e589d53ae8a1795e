#include "recent.h"

#include "base/output.h"
#include "base/user_path.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_BYTES = 1 << 18 };

void recent_free(struct recent *r)
{
    for (size_t i = 0; i < r->count; i++)
        free(r->path[i]);
    *r = (struct recent){0};
}

/* A regular file that is not too large; null and no error where there is none. */
static json_t *read_list(const char *file, bool *ok, struct error *error)
{
    struct stat st;
    json_error_t why;
    json_t *root = NULL;
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    *ok = fd < 0 && (errno == ENOENT || errno == ENOTDIR);
    if (*ok)
        return NULL;
    if (fd < 0)
        error_set(error, "%.300s: cannot be read: %s", file, strerror(errno));
    else if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > MAX_BYTES)
        error_set(error, "%.300s: expected a regular file of at most %d bytes", file, MAX_BYTES);
    else if (!(root = json_loadfd(fd, 0, &why)) || !json_is_array(root))
        error_set(error, "%.300s: %.100s; expected a list of paths", file, root ? "no array" : why.text);
    *ok = root && json_is_array(root);
    if (fd >= 0)
        close(fd);
    if (*ok)
        return root;
    json_decref(root);
    return NULL;
}

bool recent_load(struct recent *r, struct error *error)
{
    char *file = user_path(USER_CONFIG, "recent.json", NULL);
    bool ok = true;
    *r = (struct recent){0};
    json_t *root = file ? read_list(file, &ok, error) : NULL;
    for (size_t i = 0; i < json_array_size(root) && r->count < RECENT_FILES; i++) {
        const char *path = json_string_value(json_array_get(root, i));
        char *copy = path && *path ? strdup(path) : NULL;
        if (copy)
            r->path[r->count++] = copy;
    }
    json_decref(root);
    free(file);
    return ok;
}

static bool write_list(const char *file, json_t *root, struct error *error)
{
    struct output out;
    output_make_folders(file);
    if (!output_open(&out, file, error))
        return false;
    bool written = json_dumpf(root, out.file, JSON_INDENT(2)) == 0 && fputc('\n', out.file) != EOF;
    if (!written)
        error_set(error, "%.200s: cannot be written", file);
    return output_close(&out, written, error);
}

bool recent_add(const char *path, struct error *error)
{
    char *file = user_path(USER_CONFIG, "recent.json", error), *whole = realpath(path, NULL);
    struct recent old;
    struct error none;
    json_t *root = json_array(), *first = whole ? json_string(whole) : NULL; /* null: not UTF-8 */
    bool ok = true;
    recent_load(&old, &none);
    if (file && first && root) {
        json_array_append(root, first);
        for (size_t i = 0; i < old.count && json_array_size(root) < RECENT_FILES; i++)
            if (strcmp(old.path[i], whole) != 0)
                json_array_append_new(root, json_string(old.path[i]));
        ok = write_list(file, root, error);
    }
    recent_free(&old);
    json_decref(first);
    json_decref(root);
    free(whole);
    free(file);
    return ok;
}

#include "settings.h"

#include "base/escape.h"
#include "base/output.h"
#include "base/user_path.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_BYTES = 1 << 16 };
static const double MIN_REFRESH = 0.02, MAX_REFRESH = 10;

struct settings settings_default(void)
{
    return (struct settings){.color = true, .mouse = true, .refresh = 0.08};
}

/* The file, or null where no folder is named. */
static char *path_of(void)
{
    return user_path(USER_CONFIG, "settings.json", NULL);
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool wrong(struct error *error, const char *key, const char *expected)
{
    return error_set(error, "'%s': expected %s", key, expected);
}

static bool read_flag(const json_t *root, const char *key, bool *out, struct error *error)
{
    const json_t *value = json_object_get(root, key);
    if (value && !json_is_boolean(value))
        return wrong(error, key, "true or false");
    *out = value ? json_is_true(value) : *out;
    return true;
}

static bool read_word(const json_t *root, const char *key, char *out, size_t size, struct error *error)
{
    const json_t *value = json_object_get(root, key);
    if (value && (!json_is_string(value) || json_string_length(value) >= size))
        return wrong(error, key, "a short text");
    if (value)
        snprintf(out, size, "%s", json_string_value(value));
    return true;
}

static bool read_refresh(const json_t *root, double *out, struct error *error)
{
    const json_t *value = json_object_get(root, "refresh");
    double v = value ? json_number_value(value) : *out;
    if (!(v >= MIN_REFRESH && v <= MAX_REFRESH))
        return wrong(error, "refresh", "seconds from 0.02 to 10");
    *out = v;
    return true;
}

static bool read_object(const json_t *root, struct settings *s, struct error *error)
{
    if (!json_is_object(root))
        return error_set(error, "expected a JSON object");
    return read_flag(root, "color", &s->color, error) && read_flag(root, "mouse", &s->mouse, error) &&
           read_flag(root, "ascii", &s->ascii, error) && read_flag(root, "log_scale", &s->log_scale, error) &&
           read_refresh(root, &s->refresh, error) &&
           read_flag(root, "sort_reversed", &s->sort_reversed, error) &&
           read_word(root, "sort", s->sort, sizeof s->sort, error) &&
           read_word(root, "columns", s->columns, sizeof s->columns, error);
}

/* The bytes of a regular file that is not too large: a pipe would keep the program waiting. */
static json_t *read_file(const char *path, bool *absent, struct error *error)
{
    struct stat st;
    json_error_t why;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    *absent = fd < 0 && (errno == ENOENT || errno == ENOTDIR);
    if (fd < 0)
        return error_set(error, "it cannot be read: %s", strerror(errno)), NULL;
    json_t *root = NULL;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > MAX_BYTES)
        error_set(error, "not a regular file of at most %d bytes", MAX_BYTES);
    else if (!(root = json_loadfd(fd, JSON_REJECT_DUPLICATES, &why)))
        error_set(error, "line %d: %.100s", why.line, why.text);
    close(fd);
    return root;
}

bool settings_load(struct settings *out, struct error *error)
{
    char *path = path_of(), shown[200];
    struct settings s = settings_default();
    struct error inner;
    bool absent = true;
    *out = s;
    json_t *root = path ? read_file(path, &absent, &inner) : NULL;
    bool ok = absent || (root && read_object(root, &s, &inner));
    if (ok) {
        *out = s;
    } else {
        escape_text(shown, sizeof shown, path, strlen(path));
        error_set(error, "%s is ignored: %.250s", shown, inner.text);
    }
    json_decref(root);
    free(path);
    return ok;
}

/* ---- writing --------------------------------------------------------------------------------- */

static json_t *object_of(const struct settings *s)
{
    return json_pack("{s:b, s:b, s:b, s:b, s:f, s:s, s:b, s:s}", "color", s->color, "mouse", s->mouse, "ascii", s->ascii,
                     "log_scale", s->log_scale, "refresh", s->refresh, "sort", s->sort, "sort_reversed", s->sort_reversed,
                     "columns", s->columns);
}

bool settings_save(const struct settings *s, char **path, struct error *error)
{
    char *file = path_of();
    struct output out;
    if (path)
        *path = NULL;
    if (!file)
        return error_set(error, "neither XDG_CONFIG_HOME nor HOME names a folder for settings");
    output_make_folders(file);
    bool ok = output_open(&out, file, error);
    if (ok) {
        json_t *root = object_of(s);
        const size_t how = JSON_INDENT(2) | JSON_REAL_PRECISION(6);
        bool written = root && json_dumpf(root, out.file, how) == 0 && fputc('\n', out.file) != EOF;
        if (!written)
            error_set(error, "%.200s: cannot be written", file);
        ok = output_close(&out, written, error);
        json_decref(root);
    }
    if (path && ok)
        *path = file;
    else
        free(file);
    return ok;
}

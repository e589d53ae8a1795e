#include "output.h"

#include "special.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_special(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

/* As far as that can be told without opening it, which the other end of a pipe would see. */
static bool special_possible(const char *path, struct error *error)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return error_set(error, "%.200s: is a folder; expected the name of a file", path);
    return access(path, W_OK) == 0 || error_set(error, "%.200s: cannot be written: %s", path, strerror(errno));
}

bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return a && b && stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Not mkstemp: its file is private, and what a person writes is an ordinary one. */
static FILE *open_temporary(struct output *out)
{
    int fd;
    out->temporary = temporary_create(out->path, &fd);
    FILE *f = out->temporary ? stream_of(fd, "w") : NULL;
    if (!f)
        temporary_remove(out->temporary);
    return f;
}

static void forget(struct output *out)
{
    free(out->path);
    *out = (struct output){0};
}

bool output_open(struct output *out, const char *path, struct error *error)
{
    *out = (struct output){.path = strdup(path)};
    if (out->path)
        out->file = is_special(path) ? special_open(path, O_WRONLY, "w") : open_temporary(out);
    if (out->file)
        return true;
    error_set(error, "%.200s: cannot be written: %s", path, strerror(errno));
    forget(out);
    return false;
}

void output_make_folders(const char *path)
{
    char *copy = strdup(path);
    for (char *at = copy ? strchr(copy + 1, '/') : NULL; at; at = strchr(at + 1, '/')) {
        *at = 0;
        (void)mkdir(copy, 0700);
        *at = '/';
    }
    free(copy);
}

bool output_possible(const char *path, struct error *error)
{
    struct output out;
    if (is_special(path))
        return special_possible(path, error);
    if (!output_open(&out, path, error))
        return false;
    (void)output_close(&out, false, error);
    return true;
}

/* A name is on the disk when its folder is. Not all file systems can do that; the file is whole anyway. */
static void sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash > path ? strndup(path, (size_t)(slash - path)) : strdup(slash ? "/" : ".");
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(folder);
}

/* All its bytes are written, and on the disk where it is a file: 0, else errno. */
static int write_out(struct output *out)
{
    bool failed = ferror(out->file); /* some time ago: errno is that of something else by now */
    errno = EIO;
    bool written = fflush(out->file) == 0 && !failed && (!out->temporary || fsync(fileno(out->file)) == 0);
    int why = written ? 0 : errno;
    if (fclose(out->file) != 0 && written)
        why = errno;
    return why;
}

/* Into their places: 0, else errno. */
static int place(const struct output outs[], size_t count)
{
    struct temporary *files[OUTPUTS_TOGETHER] = {0};
    const char *paths[OUTPUTS_TOGETHER] = {0};
    for (size_t i = 0; i < count; i++) {
        files[i] = outs[i].temporary;
        paths[i] = outs[i].path;
    }
    int why = temporary_place(files, paths, count);
    for (size_t i = 0; i < count && !why; i++)
        if (files[i])
            sync_folder(paths[i]);
    return why;
}

bool outputs_close(struct output outs[], size_t count, bool ok, struct error *error)
{
    int why = 0;
    size_t at = count - 1; /* the one that the error names */
    for (size_t i = 0; i < count; i++) {
        int failed = write_out(&outs[i]);
        at = failed && !why ? i : at;
        why = why ? why : failed;
    }
    bool whole = ok && !why;
    if (whole)
        why = place(outs, count);
    for (size_t i = 0; i < count && !whole; i++)
        temporary_remove(outs[i].temporary);
    if (ok && why)
        error_set(error, "%.200s: cannot be written: %s", outs[at].path, strerror(why));
    for (size_t i = 0; i < count; i++)
        forget(&outs[i]);
    return ok && !why;
}

bool output_close(struct output *out, bool ok, struct error *error)
{
    return outputs_close(out, 1, ok, error);
}

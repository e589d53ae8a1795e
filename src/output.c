#include "output.h"

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

/* mkostemp makes a private file; what a person writes is an ordinary one. */
static bool make_ordinary(int fd)
{
    mode_t mask = umask(0);
    umask(mask);
    return fchmod(fd, 0666 & ~mask) == 0;
}

static FILE *open_temporary(struct output *out)
{
    if (asprintf(&out->temporary, "%s.XXXXXX", out->path) < 0) {
        out->temporary = NULL;
        return NULL;
    }
    int fd = mkostemp(out->temporary, O_CLOEXEC);
    FILE *f = fd >= 0 && make_ordinary(fd) ? fdopen(fd, "w") : NULL;
    if (!f && fd >= 0) {
        close(fd);
        unlink(out->temporary);
    }
    return f;
}

static void forget(struct output *out)
{
    free(out->path);
    free(out->temporary);
    *out = (struct output){0};
}

bool output_open(struct output *out, const char *path, struct error *error)
{
    *out = (struct output){.path = strdup(path)};
    if (out->path)
        out->file = is_special(path) ? fopen(path, "we") : open_temporary(out);
    if (out->file)
        return true;
    error_set(error, "%.200s: cannot be written: %s", path, strerror(errno));
    forget(out);
    return false;
}

bool output_possible(const char *path, struct error *error)
{
    struct output out;
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

bool output_close(struct output *out, bool ok, struct error *error)
{
    bool written = fflush(out->file) == 0 && (!out->temporary || fsync(fileno(out->file)) == 0);
    written = fclose(out->file) == 0 && written;
    written = written && (!ok || !out->temporary || rename(out->temporary, out->path) == 0);
    if (ok && !written)
        error_set(error, "%.200s: cannot be written: %s", out->path, strerror(errno));
    if (out->temporary && !(ok && written))
        unlink(out->temporary);
    else if (out->temporary)
        sync_folder(out->path);
    forget(out);
    return ok && written;
}

#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
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
static bool special_possible(const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        return false;
    }
    return access(path, W_OK) == 0;
}

static FILE *stream_of(int fd)
{
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!f && fd >= 0)
        close(fd);
    return f;
}

/* A pipe that nobody reads is an error, not something to wait for. */
static FILE *open_special(const char *path)
{
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0)
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    return stream_of(fd);
}

/* Not mkstemp: its file is private, and what a person writes is an ordinary one. */
static FILE *open_temporary(struct output *out)
{
    static atomic_uint number;
    int fd = -1;
    for (int i = 0; fd < 0 && i < 100 && (i == 0 || errno == EEXIST); i++) {
        free(out->temporary);
        if (asprintf(&out->temporary, "%s.%ld-%u", out->path, (long)getpid(), atomic_fetch_add(&number, 1)) < 0) {
            out->temporary = NULL;
            return NULL;
        }
        fd = open(out->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    }
    FILE *f = stream_of(fd);
    if (!f && fd >= 0)
        unlink(out->temporary);
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
        out->file = is_special(path) ? open_special(path) : open_temporary(out);
    if (out->file)
        return true;
    error_set(error, "%.200s: cannot be written: %s", path, strerror(errno));
    forget(out);
    return false;
}

bool output_possible(const char *path, struct error *error)
{
    struct output out;
    if (is_special(path))
        return special_possible(path) ||
               error_set(error, "%.200s: cannot be written: %s", path, strerror(errno));
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
    bool failed = ferror(out->file); /* some time ago: errno is that of something else by now */
    errno = EIO;
    bool written = fflush(out->file) == 0 && !failed && (!out->temporary || fsync(fileno(out->file)) == 0);
    int why = errno;
    if (fclose(out->file) != 0 && written) {
        why = errno;
        written = false;
    }
    if (written && ok && out->temporary && rename(out->temporary, out->path) != 0) {
        why = errno;
        written = false;
    }
    if (ok && !written)
        error_set(error, "%.200s: cannot be written: %s", out->path, strerror(why));
    if (out->temporary && !(ok && written))
        unlink(out->temporary);
    else if (out->temporary)
        sync_folder(out->path);
    forget(out);
    return ok && written;
}

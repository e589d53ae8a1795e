#include "mapped.h"

#include "base/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *kind_of(mode_t mode)
{
    return S_ISDIR(mode)    ? "a directory"
           : S_ISFIFO(mode) ? "a FIFO"
           : S_ISSOCK(mode) ? "a socket"
                            : "a device";
}

static bool map_descriptor(struct mapped_file *file, int fd, const char *shown, struct error *error)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return error_set(error, "%s: cannot be examined: %s", shown, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return error_set(error, "%s: is %s; expected a regular file", shown, kind_of(st.st_mode));
    if (st.st_size == 0)
        return error_set(error, "%s: is empty", shown);
    if ((uintmax_t)st.st_size > SIZE_MAX / 2)
        return error_set(error, "%s: is too large to map", shown);
    void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
        return error_set(error, "%s: cannot be mapped: %s", shown, strerror(errno));
    file->data = data;
    file->size = (size_t)st.st_size;
    return true;
}

bool mapped_file_open(struct mapped_file *file, const char *path, struct error *error)
{
    char shown[256];
    escape_text(shown, sizeof shown, path, strlen(path));
    *file = (struct mapped_file){0};
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return error_set(error, "%s: cannot be opened: %s", shown, strerror(errno));
    bool ok = map_descriptor(file, fd, shown, error);
    close(fd);
    if (ok && !(file->path = strdup(path))) {
        mapped_file_close(file);
        ok = error_set(error, "%s: not enough memory", shown);
    }
    return ok;
}

void mapped_file_close(struct mapped_file *file)
{
    if (file->data)
        munmap((void *)(uintptr_t)file->data, file->size);
    free(file->path);
    *file = (struct mapped_file){0};
}

bool path_is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

char *path_beside(const char *path, const char *name)
{
    char *copy = strdup(path), *out = NULL;
    if (copy && asprintf(&out, "%s/%s", path_is_folder(path) ? path : dirname(copy), name) < 0)
        out = NULL;
    free(copy);
    return out;
}

/* mapped.h - files that are read through a map and never written. */
#ifndef QTOP_MAPPED_H
#define QTOP_MAPPED_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct mapped_file {
    char *path;
    const uint8_t *data;
    size_t size;
};

/* Maps a regular file that is not empty. Never blocks (a FIFO is refused). The path is shown escaped
 * in errors. */
bool mapped_file_open(struct mapped_file *file, const char *path, struct error *error);
void mapped_file_close(struct mapped_file *file);

bool path_is_folder(const char *path);

/* FOLDER/NAME, where path is the folder or a file in it; the caller frees. Null when memory is short. */
char *path_beside(const char *path, const char *name);

#endif

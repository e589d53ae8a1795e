/* recent.h - the model files that were opened last, kept as recent.json in the folder of settings. */
#ifndef QTOP_RECENT_H
#define QTOP_RECENT_H

#include "base/error.h"

#include <stddef.h>

enum { RECENT_FILES = 20 };

struct recent {
    char *path[RECENT_FILES]; /* absolute, newest first */
    size_t count;
};

/* Reads the list: without a file it is empty. A broken file is an error, and an empty list. Free with recent_free. */
bool recent_load(struct recent *recent, struct error *error);
void recent_free(struct recent *recent);

/* Puts a file first, and writes the list whole or not at all. A path that JSON cannot hold is left out. */
bool recent_add(const char *path, struct error *error);

#endif

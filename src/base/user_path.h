/* user_path.h - where a user's files lie (XDG Base Directory Specification). */
#ifndef QTOP_USER_PATH_H
#define QTOP_USER_PATH_H

#include "error.h"

#include <stddef.h>

enum user_folder { USER_CACHE, USER_CONFIG, USER_STATE };

/* qtop/NAME in XDG_CACHE_HOME, XDG_CONFIG_HOME or XDG_STATE_HOME where that is an absolute path, else in .cache,
 * .config or .local/state of HOME. Null with an error where neither is; the caller frees. */
char *user_path(enum user_folder folder, const char *name, struct error *error);

/* A path as a person types it: ~ for HOME, where it lies there. Cut where out is too small. */
const char *user_path_short(const char *path, char *out, size_t size);

#endif

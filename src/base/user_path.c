#include "user_path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *variable, *in_home;
} folders[] = {
    [USER_CACHE] = {"XDG_CACHE_HOME", "/.cache"},
    [USER_CONFIG] = {"XDG_CONFIG_HOME", "/.config"},
    [USER_STATE] = {"XDG_STATE_HOME", "/.local/state"},
};

char *user_path(enum user_folder folder, const char *name, struct error *error)
{
    const char *chosen = getenv(folders[folder].variable), *home = getenv("HOME");
    bool is_chosen = chosen && *chosen == '/';
    char *path;
    if (!is_chosen && (!home || *home != '/'))
        error_set(error, "neither %s nor HOME is an absolute path", folders[folder].variable);
    else if (asprintf(&path, "%s%s/qtop/%s", is_chosen ? chosen : home, is_chosen ? "" : folders[folder].in_home,
                      name) >= 0)
        return path;
    else
        error_set(error, "not enough memory");
    return NULL;
}

const char *user_path_short(const char *path, char *out, size_t size)
{
    const char *home = getenv("HOME");
    size_t n = home ? strlen(home) : 0;
    bool inside = n > 1 && strncmp(path, home, n) == 0 && path[n] == '/';
    snprintf(out, size, "%s%s", inside ? "~" : "", inside ? path + n : path);
    return out;
}

#include "user_path.h"

#include <stdio.h>
#include <stdlib.h>

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

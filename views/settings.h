/* settings.h - what a person likes, kept in a file of their configuration folder: settings.json in qtop in
 * XDG_CONFIG_HOME, else in .config of HOME. */
#ifndef QTOP_SETTINGS_H
#define QTOP_SETTINGS_H

#include "base/error.h"

enum { SETTINGS_COLUMNS = 160, SETTINGS_SORT = 16 };

struct settings {
    bool color, mouse, ascii, log_scale;
    double refresh;                /* seconds between two drawings that no key asked for */
    char sort[SETTINGS_SORT];      /* the title of the column that layers are sorted by; "": the model's order */
    bool sort_reversed;            /* the other way round than that column sorts at first */
    char columns[SETTINGS_COLUMNS]; /* titles of those shown, between blanks; "": all */
};

struct settings settings_default(void);

/* Reads the file into *out; what the file leaves out has its default, and without a file all has. A broken file is
 * ignored as a whole: false, and an error that names it. */
bool settings_load(struct settings *out, struct error *error);

/* Writes it whole or not at all, and the folders above it where they are missing. path (may be null) becomes the
 * file's name, which the caller frees. */
bool settings_save(const struct settings *settings, char **path, struct error *error);

#endif

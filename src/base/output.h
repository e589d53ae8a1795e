/* output.h - files that are written whole or not at all: through a temporary file and rename. */
#ifndef QTOP_OUTPUT_H
#define QTOP_OUTPUT_H

#include "error.h"
#include "temporary.h"

#include <stdio.h>

struct output {
    FILE *file;                  /* write here */
    char *path;
    struct temporary *temporary; /* null where the path is not a regular file (a device, a pipe): written directly */
};

/* Opens a file beside path; one that is replaced keeps its permission bits. The error names the path. */
bool output_open(struct output *out, const char *path, struct error *error);

/* Whether two paths (either may be null) lead to one file that is there: writing to it would change what is read. */
bool same_file(const char *a, const char *b);

/* Makes every folder above a path; those that are there are fine. */
void output_make_folders(const char *path);

/* Whether a file could be written there, to check before long work. Leaves nothing. */
bool output_possible(const char *path, struct error *error);

/* Puts the file in its place when ok, else removes it; returns whether it is in place. Keeps the error
 * of the caller when ok is false. */
bool output_close(struct output *out, bool ok, struct error *error);

/* The same for files that belong together (at most OUTPUTS_TOGETHER): no signal comes between the first and the last
 * of them. */
enum { OUTPUTS_TOGETHER = 16 };
bool outputs_close(struct output outs[], size_t count, bool ok, struct error *error);

#endif

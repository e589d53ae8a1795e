/* opened.h - a model that the terminal program has open: its files, what was asked for on the command line, and the lab
 * that runs it. */
#ifndef QTOP_OPENED_H
#define QTOP_OPENED_H

#include "batch.h"

#include "lab/lab.h"
#include "lab/saved.h"

enum { OPENED_WITH = 6 };

struct opened {
    struct options options;
    char *path;          /* of a model that was opened from inside; else null, and options.model says it */
    struct batch batch;
    struct saved *saved; /* the session that it was opened from; or null */
    char session_path[256]; /* its file, or "" */
    struct opened_with with[OPENED_WITH]; /* what its sessions name */
    char *text;          /* that quality is measured on, read whole; or null */
    struct lab *lab;
    char name[128], reference[128]; /* as the title has them; reference "" without one */
};

/* Opens what the options say and starts its lab; with options.quiet from any thread. Takes over `path` (null: none), whose
 * model takes the place of the options' and of what belongs to that: schemes, reference, tokenizer and the like. Null with
 * an error and the exit status. */
struct opened *opened_begin(const struct options *options, char *path, int *status, struct error *error);

/* Stops the lab, writes its session where it has a file, and closes all; null is allowed. False with an error: the
 * session could not be written. */
bool opened_end(struct opened *opened, struct error *error);

#endif

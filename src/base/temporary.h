/* temporary.h - files that are not complete: PATH.PID-N, beside the PATH that they are to become.
 *
 * Each has a slot from before it exists until it is in its place or removed, so that a signal handler finds all
 * of them. What a process left that had no time for that (SIGKILL) is removed by the next one that writes the same
 * PATH. */
#ifndef QTOP_TEMPORARY_H
#define QTOP_TEMPORARY_H

#include <stdbool.h>
#include <stddef.h>

struct temporary;

/* A new file for path, open for writing in *fd, which the caller closes. It has the permission bits of the file at
 * path, without one those that new files have. Null with errno. Ended by temporary_place or temporary_remove. */
struct temporary *temporary_create(const char *path, int *fd);

/* Renames files to their paths, all of them or, where a signal came first, none: 0, else errno of the first that is not
 * in its place, after which those that follow are removed, too. Elements that are null are left out. */
int temporary_place(struct temporary *const files[], const char *const paths[], size_t count);

void temporary_remove(struct temporary *file);

/* Removes all of them; no other is created and none renamed from now on. Safe in a signal handler: to be called before
 * the process dies. */
void temporary_remove_all(void);

#endif

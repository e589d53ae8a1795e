/* child.h - the program from outside, without a terminal. */
#ifndef QTOP_TESTS_CHILD_H
#define QTOP_TESTS_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

/* Starts QTOP_BIN (./qtop without it) with a null-terminated list of arguments, an empty standard input, and its
 * standard streams in files. `prepare`, or null, runs in the child before. */
pid_t child_start(const char *const *words, const char *out, const char *err, void (*prepare)(void));

/* Whether it has not ended yet. */
bool child_runs(pid_t child);

/* The exit status, or 128 + the signal that it died of. */
int child_status(int status); /* of waitpid */
int child_wait(pid_t child);

#endif

/* job.h - long work in slices: one shape for what the terminal program runs beside the tokens and for what a
 * subcommand runs with a progress line.
 *
 * A class says how instances run; who opens an instance, with a function of its own, also closes it. */
#ifndef QTOP_JOB_H
#define QTOP_JOB_H

#include "error.h"

#include <stdbool.h>

struct job_class {
    const char *name; /* what is being done, as a progress line says it: "evaluating" */

    /* Works for about `seconds`, at least one unit of work. *done: finished. False with an error. */
    bool (*step)(void *job, double seconds, bool *done, struct error *error);
    double (*fraction)(const void *job);   /* done so far, 0..1 */
    const char *(*phase)(const void *job); /* what is being done now, instead of the name; or null */
    void (*close)(void *job);              /* frees it, finished or not; null is allowed */
};

static inline const char *job_phase(const struct job_class *class, const void *job)
{
    return class->phase ? class->phase(job) : class->name;
}

#endif

/* kept_search.h - a search that is kept while it goes on: whatever ends the program, what was measured is found again. */
#ifndef QTOP_KEPT_SEARCH_H
#define QTOP_KEPT_SEARCH_H

#include "base/job.h"
#include "quant/tune.h"

struct kept_search {
    struct tune *job;
    struct tune_plan plan;
    char *path;          /* of its file; null: it cannot be kept */
    struct error error;  /* why the last save, or the path, failed */
    size_t kept, tried;  /* parts measured that are in the file, or were to be */
    bool done;
};

/* Nothing is read yet. Null with an error: the plan cannot be searched. What the plan points to outlives it. */
struct kept_search *kept_search_open(const struct tune_plan *plan, struct error *error);

/* Whether an interrupted search of the same plan left a file. */
bool kept_search_is_there(const struct kept_search *search);

/* Goes on from that; false with an error. */
bool kept_search_resume(struct kept_search *search, struct error *error);

/* An interrupted search, and one that goes on and fails, stays; else the file goes with the search. */
void kept_search_close(struct kept_search *search, bool stays); /* null is fine */

/* How it runs as a job; one that is closed before its end stays. */
extern const struct job_class kept_search_class;

#endif

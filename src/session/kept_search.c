#include "kept_search.h"

#include "tune_state.h"

#include <stdlib.h>
#include <unistd.h>

struct kept_search *kept_search_open(const struct tune_plan *plan, struct error *error)
{
    struct kept_search *s = calloc(1, sizeof *s);
    if (!s) {
        error_set(error, "not enough memory");
        return NULL;
    }
    *s = (struct kept_search){.plan = *plan, .job = tune_open(plan, error)};
    if (!s->job) {
        free(s);
        return NULL;
    }
    s->path = tune_state_path(plan, &s->error);
    return s;
}

bool kept_search_is_there(const struct kept_search *s)
{
    return s->path && access(s->path, F_OK) == 0;
}

bool kept_search_resume(struct kept_search *s, struct error *error)
{
    bool ok = s->path ? tune_state_load(s->path, s->job, &s->plan, error) : error_set(error, "%s", s->error.text);
    if (ok)
        s->kept = tune_table(s->job).parts;
    s->tried = s->kept;
    return ok;
}

void kept_search_close(struct kept_search *s, bool stays)
{
    if (!s)
        return;
    if (s->path && s->kept > 0 && !stays)
        unlink(s->path);
    free(s->path);
    tune_close(s->job);
    free(s);
}

/* ---- the job ----------------------------------------------------------------------------------------- */

static void keep_state(struct kept_search *s)
{
    size_t measured = tune_table(s->job).parts;
    if (!s->path || measured == s->tried)
        return;
    s->tried = measured;
    if (tune_state_save(s->path, s->job, &s->plan, &s->error))
        s->kept = measured;
}

static bool step(void *job, double seconds, bool *done, struct error *error)
{
    struct kept_search *s = job;
    bool ok = tune_step(s->job, seconds, done, error);
    keep_state(s);
    s->done = ok && *done;
    return ok;
}

static double fraction(const void *job)
{
    return tune_fraction(((const struct kept_search *)job)->job);
}

static const char *phase(const void *job)
{
    return tune_work(((const struct kept_search *)job)->job);
}

static void close_job(void *job)
{
    const struct kept_search *s = job;
    kept_search_close(job, s && !s->done);
}

const struct job_class kept_search_class = {
    .name = "searching", .step = step, .fraction = fraction, .phase = phase, .close = close_job};

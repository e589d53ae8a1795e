/* Stored weights that lie in no file: a synthetic model's are made before they run. */
#include "jobs.h"
#include "pins.h"

static bool wanted(struct lab *lab, void *state, const void *running)
{
    (void)state, (void)running;
    return pins_wanted(lab);
}

static void *open_job(struct lab *lab, void *state, struct error *error)
{
    (void)state, (void)error;
    return lab;
}

static bool step(void *job, double seconds, bool *done, struct error *error)
{
    struct lab *lab = job;
    size_t count;
    bool ok = pins_step(lab, seconds, &count, error);
    *done = ok && lab->pins.ready;
    if (*done)
        lab->activity.name = NULL; /* the next frame may be a slow token away */
    return ok;
}

static double fraction(const void *job)
{
    return pins_fraction(job);
}

static void close_job(void *job)
{
    (void)job; /* the lab */
}

static void fail(struct lab *lab, void *state, const struct error *error)
{
    (void)state;
    if (lab->history.current > 0)
        lab_say(lab, true, "%s: u undoes the change", error->text);
}

static const struct job_class class = {
    .name = "generating random weights", .step = step, .fraction = fraction, .close = close_job};

const struct job_type materialize_job = {
    .class = &class,
    .of_set = true,
    .wanted = wanted,
    .open = open_job,
    .give_up = fail,
};

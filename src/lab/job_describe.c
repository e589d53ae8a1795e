/* Histograms and figures of the selected layer. */
#include "jobs.h"
#include "measure/detail.h"

#include <stdlib.h>

struct describing {
    struct detail *detail; /* of the last layer that was described */
    bool failed;           /* memory was short; tried again for another layer or set */
};

static struct qtensor *selected(const struct lab *lab)
{
    return lab->set->layer[lab->selection.tensor];
}

static bool wanted(struct lab *lab, void *state, const void *running)
{
    const struct describing *d = state;
    if (running)
        return ((const struct detail_job *)running)->q == selected(lab);
    return !d->failed && (!d->detail || d->detail->q != selected(lab));
}

static void *open_job(struct lab *lab, void *state, struct error *error)
{
    (void)state;
    struct detail_job *job = calloc(1, sizeof *job);
    if (job && detail_begin(job, lab->session->model, selected(lab)))
        return job;
    free(job);
    error_set(error, "not enough memory to describe the layer");
    return NULL;
}

static bool step(void *job, double seconds, bool *done, struct error *error)
{
    (void)error;
    *done = detail_step(job, seconds);
    return true;
}

static double fraction(const void *job)
{
    (void)job; /* it is not shown */
    return 0;
}

static void close_job(void *job)
{
    if (job)
        detail_end(job);
    free(job);
}

static void finish(struct lab *lab, void *state, void *running)
{
    (void)lab;
    struct describing *d = state;
    detail_unref(d->detail);
    d->detail = detail_take(running);
}

static void fail(struct lab *lab, void *state, const struct error *error)
{
    (void)lab, (void)error;
    ((struct describing *)state)->failed = true;
}

static void set_changed(struct lab *lab, void *state)
{
    (void)lab;
    ((struct describing *)state)->failed = false;
}

static void end(struct lab *lab, void *state)
{
    (void)lab;
    detail_unref(((struct describing *)state)->detail);
}

static void publish(const struct lab *lab, const void *state, const void *running, struct frame *f)
{
    (void)running;
    struct detail *detail = ((const struct describing *)state)->detail;
    if (!detail || detail->q != selected(lab))
        return;
    f->detail = detail;
    atomic_fetch_add(&detail->refs, 1);
}

static const struct job_class class = {
    .name = "describing", .step = step, .fraction = fraction, .close = close_job};

const struct job_type describe_job = {
    .class = &class,
    .silent = true,
    .state_size = sizeof(struct describing),
    .end = end,
    .wanted = wanted,
    .open = open_job,
    .finish = finish,
    .give_up = fail,
    .set_changed = set_changed,
    .publish = publish,
};

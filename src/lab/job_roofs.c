/* Measuring the roofs that bound kernels; those of an earlier run are recalled. */
#include "actions.h"
#include "jobs.h"
#include "measure/roofline.h"
#include "sys/topology.h"

#include <stdlib.h>

struct roofing {
    struct roofs_frame *roofs; /* or null */
    const char *reason;        /* why there are none; null where there are */
    bool asked;                /* they are to be measured */
    int again;                 /* times that they were measured again by themselves, since a person last asked */
};

static void take_roofs(struct lab *lab, struct roofing *r, const struct roofs *roofs,
                       const struct roofs_source *source)
{
    struct roofs_frame *f = calloc(1, sizeof *f);
    const struct read_roof *all = &roofs->reads[roofs->read_count - 1]; /* of all threads */
    if (!f) {
        r->reason = "not enough memory";
        return;
    }
    atomic_init(&f->refs, 1);
    f->roofs = *roofs;
    f->source = *source;
    roofs_frame_unref(r->roofs);
    r->roofs = f;
    r->reason = NULL;
    lab->peak_read = all->roof.samples > 0 ? metric_value(all->roof.rate.median)
                                           : metric_absent("not enough memory to measure it");
}

/* Those that were kept; without any they are measured when the meters have shown themselves. */
static bool begin(struct lab *lab, void *state, struct error *error)
{
    struct roofing *r = state;
    struct roofs roofs;
    struct roofs_source source;
    (void)error;
    r->reason = "not measured yet";
    lab->peak_read = metric_absent(r->reason);
    if (!roofs_possible(NULL)) {
        r->reason = "the topology is simulated: the figures would be another machine's";
        lab->peak_read = metric_absent(r->reason);
    } else if (roofs_recall(lab->session->pool, &roofs, &source)) {
        take_roofs(lab, r, &roofs, &source);
        r->asked = roofs_were_disturbed(&roofs);
    } else {
        r->asked = true;
        if (*source.load.text)
            lab_say(lab, true, "%s", source.load.text);
    }
    return true;
}

static void end(struct lab *lab, void *state)
{
    (void)lab;
    roofs_frame_unref(((struct roofing *)state)->roofs);
}

/* Decoding faster than the roof allows, though memory must be read. */
static bool is_exceeded(const struct lab *lab)
{
    size_t bytes = weights_bytes_per_token(lab->session->model, lab->set, 0);
    return meter_has_reading(&lab->meter) && lab->peak_read.valid && bytes >= topology()->last_level_cache &&
           lab->meter.rate * (double)bytes > ROOF_EXCEEDED * lab->peak_read.value;
}

/* Roofs that turn out too low are marked, in their file, too, and measured again. */
static void check_roofs(struct lab *lab, struct roofing *r)
{
    if (!r->roofs || r->roofs->roofs.exceeded || !is_exceeded(lab))
        return;
    struct roofs roofs = r->roofs->roofs;
    struct roofs_source source = {0};
    roofs.exceeded = true;
    roofs_replace(lab->session->pool, &roofs, &source);
    take_roofs(lab, r, &roofs, &source);
    r->asked |= r->again++ < ROOF_TRIES;
}

static bool wanted(struct lab *lab, void *state, const void *running)
{
    struct roofing *r = state;
    if (!running)
        check_roofs(lab, r);
    return running || (r->asked && (meter_has_reading(&lab->meter) || lab->paused));
}

static void *open_job(struct lab *lab, void *state, struct error *error)
{
    struct roofing *r = state;
    struct roofs_job *job = calloc(1, sizeof *job);
    if (job)
        roofs_begin(job, lab->session->pool);
    else
        error_set(error, "not enough memory to measure the roofs");
    r->asked = false;
    return job;
}

static bool step(void *job, double seconds, bool *done, struct error *error)
{
    (void)error;
    *done = roofs_step(job, seconds);
    return true;
}

static double fraction(const void *job)
{
    return roofs_fraction(job);
}

static void close_job(void *job)
{
    if (job)
        roofs_end(job);
    free(job);
}

static void finish(struct lab *lab, void *state, void *running)
{
    struct roofs roofs = roofs_take(running);
    struct roofs_source source = {0};
    roofs_keep(lab->session->pool, &roofs, &source);
    take_roofs(lab, state, &roofs, &source);
}

static void publish(const struct lab *lab, const void *state, const void *running, struct frame *f)
{
    const struct roofing *r = state;
    (void)lab, (void)running;
    f->speed.roofs_disturbed = r->roofs && roofs_were_disturbed(&r->roofs->roofs);
    f->roofs = roofs_frame_ref(r->roofs);
    f->roofs_reason = r->reason;
}

static const struct job_class class = {
    .name = "measuring roofs", .step = step, .fraction = fraction, .close = close_job};

const struct job_type roofs_job = {
    .class = &class,
    .state_size = sizeof(struct roofing),
    .begin = begin,
    .end = end,
    .wanted = wanted,
    .open = open_job,
    .finish = finish,
    .publish = publish,
};

static bool is_measuring(const struct lab *lab)
{
    const struct job_slot *job = job_slot_of(lab, &roofs_job);
    return job->running || ((const struct roofing *)job->state)->asked;
}

void measure_roofs(struct lab *lab, const struct command *c)
{
    struct roofing *r = job_state(lab, &roofs_job);
    (void)c;
    if (!roofs_possible(NULL)) {
        lab_say(lab, true, "no roofs: %s", r->reason);
        return;
    }
    r->asked = true;
    r->again = 0;
    lab_say_while(lab, is_measuring, false, "measuring the roofs again");
}

#include "jobs.h"

#include "actions.h"
#include "base/clock.h"
#include "pins.h"
#include "study.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifndef JOB_TYPES_MORE
#define JOB_TYPES_MORE /* rows that a test adds */
#endif

static const struct job_type *const job_types[] = {
    &materialize_job,
    &requantize_job,
    &describe_job,
    &calibrate_job,
    &export_job,
    &roofs_job,
    &stored_ratio_job,
    &prefill_job,
    &batch_job,
    &compare_methods_job,
    &tune_job,
    &advise_job,
    &time_snapshots_job,
    &against_job,
    &evaluate_job,
    &depth_job_type,
    &sensitivity_job_type,
    JOB_TYPES_MORE
};
enum { JOB_TYPES = sizeof job_types / sizeof *job_types };

/* ---- opening and closing ------------------------------------------------------------------------ */

bool jobs_open(struct lab *lab, struct error *error)
{
    lab->jobs = calloc(JOB_TYPES, sizeof *lab->jobs);
    if (!lab->jobs)
        return error_set(error, "not enough memory");
    for (size_t i = 0; i < JOB_TYPES; i++) {
        struct job_slot *job = &lab->jobs[i];
        job->type = job_types[i];
        job->state = calloc(1, job->type->state_size + 1);
        if (!job->state)
            return error_set(error, "not enough memory");
        lab->job_count = i + 1; /* those that jobs_close ends */
        if (job->type->begin && !job->type->begin(lab, job->state, error))
            return false;
    }
    return true;
}

void jobs_close(struct lab *lab)
{
    for (size_t i = 0; i < lab->job_count; i++) {
        struct job_slot *job = &lab->jobs[i];
        if (job->running)
            job_close(job, JOB_STOPPED);
        if (job->type->end)
            job->type->end(lab, job->state);
        free(job->state);
    }
    free(lab->jobs);
}

/* ---- what a job needs ----------------------------------------------------------------------------- */

enum provision { PROVIDED, UNDER_WAY, IMPOSSIBLE };

static const struct {
    unsigned need;
    enum text_kind kind;
} text_needs[] = {
    {NEED_EVALUATION_TEXT, TEXT_EVALUATION},
    {NEED_CALIBRATION_TEXT, TEXT_CALIBRATION},
    {NEED_TRAINING_TEXT, TEXT_TRAINING},
    {NEED_SEARCH_TEXT, TEXT_SEARCH},
};

static enum provision verdict(bool there, const struct error *error)
{
    return there ? PROVIDED : *error->text ? IMPOSSIBLE : UNDER_WAY;
}

/* One slice of what is missing. */
static enum provision provide(struct lab *lab, unsigned needs, double seconds, struct error *error)
{
    for (size_t i = 0; i < sizeof text_needs / sizeof *text_needs; i++) {
        if (!(needs & text_needs[i].need) || study_is_ready(lab, text_needs[i].kind))
            continue;
        study_text(lab, text_needs[i].kind, seconds, error);
        return verdict(false, error);
    }
    return needs & NEED_REFERENCE ? verdict(pins_reference(lab, seconds, error), error) : PROVIDED;
}

static const double SAME_RUN = 0.5; /* seconds between one instance and the next */

/* ---- running -------------------------------------------------------------------------------------- */

static void fail_job(struct lab *lab, struct job_slot *job, const struct error *error)
{
    if (job->running)
        job_close(job, JOB_FAILED);
    lab_say(lab, true, "%s", error->text);
    if (job->type->give_up)
        job->type->give_up(lab, job->state, error);
}

/* One that begins again at once goes on: layers are quantized one by one. */
static void begin_run(struct job_slot *job)
{
    double now = clock_seconds();
    if (job->outcome != JOB_DONE || now - job->ended > SAME_RUN)
        job->began = now;
    job->worked = 0;
    job->outcome = JOB_RUNNING;
}

/* Opens an instance, once all is there that it needs. False when it failed or is not ready yet. */
static bool open_job(struct lab *lab, struct job_slot *job, double seconds)
{
    struct error error = {"not enough memory"};
    unsigned needs = job->type->needs;
    enum provision p = PROVIDED;
    if (job->type->add_needs && !job->type->add_needs(lab, job->state, &needs, &error))
        p = IMPOSSIBLE;
    else
        p = provide(lab, needs, seconds, &error);
    if (p == PROVIDED && !(job->running = job->type->open(lab, job->state, &error)))
        p = IMPOSSIBLE;
    if (p == IMPOSSIBLE)
        fail_job(lab, job, &error);
    if (p == PROVIDED)
        begin_run(job);
    return p == PROVIDED;
}

static void show(struct lab *lab, const struct job_slot *job)
{
    const struct job_class *class = job->type->class;
    if (job->type->silent)
        return;
    snprintf(lab->activity_name, sizeof lab->activity_name, "%s", job_phase(class, job->running));
    lab->activity = (struct activity){lab->activity_name, class->fraction(job->running)};
}

static void step_job(struct lab *lab, struct job_slot *job, double seconds)
{
    const struct job_type *type = job->type;
    struct error error;
    bool done = false;
    show(lab, job);
    double begin = job->stepped = clock_seconds();
    bool ok = type->class->step(job->running, seconds, &done, &error);
    job->worked += clock_seconds() - begin;
    if (type->stepped)
        type->stepped(lab, job->state, job->running);
    if (!ok) {
        fail_job(lab, job, &error);
        return;
    }
    if (!done)
        return;
    if (type->finish)
        type->finish(lab, job->state, job->running);
    job_close(job, JOB_DONE);
}

/* One slice; true when there was work. */
static bool run_slice(struct lab *lab, struct job_slot *job, double seconds)
{
    if (!job->type->wanted(lab, job->state, job->running)) {
        job_cancel(lab, job);
        return false;
    }
    if (job->running || open_job(lab, job, seconds))
        step_job(lab, job, seconds);
    return true;
}

/* Slices that take too long keep keys and text waiting. What other programs do meanwhile does not count; what a machine
 * under this one does counts as the processor's, so one may be late. */
#ifdef QTOP_DEBUG
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
static const double LONGEST_SLICE = 5; /* seconds of the processor */
#else
static const double LONGEST_SLICE = 1;
#endif

enum { LATE_SLICES = 3 }; /* of the whole program */

static double thread_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool run_checked(struct lab *lab, struct job_slot *job, double seconds)
{
    static atomic_int late; /* of all labs: one may take the place of another */
    double begin = thread_seconds();
    bool worked = run_slice(lab, job, seconds);
    late += thread_seconds() - begin > LONGEST_SLICE;
    assert(late < LATE_SLICES);
    return worked;
}
#else
#define run_checked run_slice
#endif

static bool goes_first(const struct lab *lab, const struct job_slot *job)
{
    return job->type->waited_for && job->type->waited_for(lab, job->state);
}

bool jobs_step(struct lab *lab, double seconds)
{
    for (size_t i = 0; i < lab->job_count; i++)
        if (goes_first(lab, &lab->jobs[i]) && run_checked(lab, &lab->jobs[i], seconds))
            return true;
    for (size_t i = 0; i < lab->job_count; i++)
        if (run_checked(lab, &lab->jobs[i], seconds))
            return true;
    return false;
}

/* ---- for all ---------------------------------------------------------------------------------------- */

void jobs_set_changed(struct lab *lab)
{
    for (size_t i = 0; i < lab->job_count; i++) {
        struct job_slot *job = &lab->jobs[i];
        if (job->type->of_set)
            job_cancel(lab, job);
        if (job->type->set_changed)
            job->type->set_changed(lab, job->state);
    }
}

void jobs_leave_text(struct lab *lab)
{
    for (size_t i = 0; i < lab->job_count; i++) {
        const struct job_type *type = lab->jobs[i].type;
        if (type->text_changed || (type->needs & NEED_EVALUATION_TEXT))
            job_cancel(lab, &lab->jobs[i]);
    }
}

void jobs_text_changed(struct lab *lab)
{
    for (size_t i = 0; i < lab->job_count; i++)
        if (lab->jobs[i].type->text_changed)
            lab->jobs[i].type->text_changed(lab, lab->jobs[i].state);
}

static const double TURN = 0.5; /* seconds without a slice: another job goes first */

/* JOB_WAITING, too, of one whose instance is open while another has the turn. */
static enum job_state state_of(const struct lab *lab, const struct job_slot *job, bool wanted)
{
    bool waits = job->running ? clock_seconds() - job->stepped > TURN && lab->activity.name : wanted;
    return waits ? JOB_WAITING : job->running ? JOB_RUNNING : job->outcome;
}

/* What is being done, and what of it. */
static void name_job(const struct job_slot *job, char out[ACTIVITY_NAME])
{
    const struct job_class *class = job->type->class;
    const char *phase = job->running ? job_phase(class, job->running) : class->name;
    if (strcmp(phase, class->name) == 0)
        snprintf(out, ACTIVITY_NAME, "%s", class->name);
    else
        snprintf(out, ACTIVITY_NAME, "%s: %.64s", class->name, phase);
}

static void list_job(struct lab *lab, struct job_slot *job, struct frame *f)
{
    if (job->type->silent || f->job_count == JOB_ROWS)
        return;
    bool wanted = !job->running && job->type->wanted(lab, job->state, NULL);
    enum job_state state = state_of(lab, job, wanted);
    if (state == JOB_WAITING && !job->running && !wanted) /* it never had work */
        return;
    const struct job_class *class = job->type->class;
    struct job_frame *j = &f->jobs[f->job_count++];
    *j = (struct job_frame){
        .row = (int)(job - lab->jobs),
        .state = state,
        .fraction = job->running ? class->fraction(job->running) : 0,
        .seconds = job->running ? clock_seconds() - job->began : state == JOB_WAITING ? 0 : job->ended - job->began,
        .of_a_layer = job->type->of_a_layer,
        .can_stop = job->type->stop && state <= JOB_RUNNING};
    name_job(job, j->name);
    snprintf(j->kind, sizeof j->kind, "%s", class->name);
}

void jobs_publish(struct lab *lab, struct frame *f)
{
    for (size_t i = 0; i < lab->job_count; i++) {
        struct job_slot *job = &lab->jobs[i];
        if (job->type->publish)
            job->type->publish(lab, job->state, job->running, f);
        list_job(lab, job, f);
    }
}

void stop_job(struct lab *lab, const struct command *c)
{
    struct job_slot *job = c->index >= 0 && c->index < (int)lab->job_count ? &lab->jobs[c->index] : NULL;
    bool works = job && (job->running || job->type->wanted(lab, job->state, NULL));
    if (!works)
        lab_say(lab, true, "that job has nothing to do any more");
    else if (!job->type->stop)
        lab_say(lab, true, "%s: cannot be stopped; it is short, and comes by itself", job->type->class->name);
    else
        job->type->stop(lab, job->state);
}

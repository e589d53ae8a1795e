#include "jobs.h"

#include "base/clock.h"
#include "pins.h"
#include "study.h"

#include <assert.h>
#include <stdlib.h>
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
    &time_snapshots_job,
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
            job_close(job);
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

/* ---- running -------------------------------------------------------------------------------------- */

static void fail_job(struct lab *lab, struct job_slot *job, const struct error *error)
{
    if (job->running)
        job_close(job);
    lab_say(lab, true, "%s", error->text);
    if (job->type->give_up)
        job->type->give_up(lab, job->state, error);
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
    job->worked = 0;
    return p == PROVIDED;
}

static void show(struct lab *lab, const struct job_slot *job)
{
    const struct job_class *class = job->type->class;
    if (!job->type->silent)
        lab->activity = (struct activity){job_phase(class, job->running), class->fraction(job->running)};
}

static void step_job(struct lab *lab, struct job_slot *job, double seconds)
{
    const struct job_type *type = job->type;
    struct error error;
    bool done = false;
    show(lab, job);
    double begin = clock_seconds();
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
    job_close(job);
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
    static int late;
    double begin = thread_seconds();
    bool worked = run_slice(lab, job, seconds);
    late += thread_seconds() - begin > LONGEST_SLICE;
    assert(late < LATE_SLICES);
    return worked;
}
#else
#define run_checked run_slice
#endif

bool jobs_step(struct lab *lab, double seconds)
{
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

void jobs_publish(const struct lab *lab, struct frame *f)
{
    for (size_t i = 0; i < lab->job_count; i++) {
        const struct job_slot *job = &lab->jobs[i];
        if (job->type->publish)
            job->type->publish(lab, job->state, job->running, f);
    }
}

#include "lab.h"

#include "base/clock.h"
#include "commands.h"
#include "jobs.h"
#include "perf_sampler.h"
#include "pins.h"
#include "publish.h"
#include "sampled_steps.h"
#include "snapshots.h"
#include "study.h"
#include "sys/thread.h"
#include "target.h"
#include "text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double SLICE_SECONDS = 0.002;  /* tokens and jobs take turns of this length */
static const double PUBLISH_SECONDS = 0.08; /* between frames when nothing else asks for one */

/* ---- for views -------------------------------------------------------------------------------------- */

bool lab_send(struct lab *lab, const struct command *command)
{
    return mailbox_send(&lab->mailbox, command);
}

struct frame *lab_frame(struct lab *lab)
{
    return mailbox_newest(&lab->mailbox);
}

int lab_wake_descriptor(const struct lab *lab)
{
    return lab->mailbox.wake;
}

/* ---- the thread -------------------------------------------------------------------------------------- */

static bool apply_all(struct lab *lab)
{
    bool any = false;
    for (struct queued *q; (q = mailbox_take(&lab->mailbox)); any = true) {
        command_apply(lab, &q->command);
        lab->commands_applied++;
        queued_free(q);
    }
    return any;
}

/* What depends on the set in use, when another one is; *serial: of the one that was followed last. */
static void follow_set(struct lab *lab, uint64_t *serial)
{
    if (*serial == lab->set_serial)
        return;
    *serial = lab->set_serial;
    pins_follow(lab);
    meter_reset(&lab->meter);
    sampled_steps_reset(lab);
    perf_sampler_reset(lab);
    text_set_changed(lab);
    jobs_set_changed(lab);
}

static const double LONGEST_WORK = 0.1; /* seconds that a key waits for, at most */

/* As long as a token takes: jobs get about half of the time, however slow the model is. */
static double work_seconds(const struct lab *lab)
{
    double token = lab->meter.rate > 0 ? 1 / lab->meter.rate : 0;
    return fmin(fmax(token, SLICE_SECONDS), LONGEST_WORK);
}

/* One slice beside the tokens: of the reference's text, which holds up no job, and of the first job that has work. */
static bool work(struct lab *lab)
{
    lab->activity = (struct activity){0};
    bool follows = text_follow_reference(lab, SLICE_SECONDS);
    bool worked = jobs_step(lab, work_seconds(lab));
    if (!follows && !worked && !text_watches_reference(lab))
        pins_release_reference(lab);
    return follows || worked;
}

static void *run(void *arg)
{
    struct lab *lab = arg;
    double published = 0;
    const char *shown = NULL; /* the activity in the last frame */
    uint64_t serial = lab->set_serial;
    pool_bind_caller(lab->session->pool);
    perf_sampler_begin(lab);
    lab_publish(lab);
    while (!mailbox_is_quitting(&lab->mailbox)) {
        bool asked = apply_all(lab);
        follow_set(lab, &serial);
        bool worked = work(lab);
        follow_set(lab, &serial);
        lab->meter.skip_next |= worked;
        bool runs = !lab->paused && lab->pins.ready;
        if (runs) /* right before the frame, which then has a speed of the set that the work put in use */
            text_step(lab, SLICE_SECONDS);
        double now = clock_seconds();
        if (asked || lab->activity.name != shown || now - published >= PUBLISH_SECONDS) {
            lab_publish(lab);
            published = now;
            shown = lab->activity.name;
        }
        if (!runs && !worked)
            mailbox_wait(&lab->mailbox, PUBLISH_SECONDS);
    }
    return NULL;
}

/* ---- starting and stopping ---------------------------------------------------------------------------- */

static bool begin(struct lab *lab, struct error *error)
{
    lab->set = weights_ref(lab->session->stored);
    lab->changed_at = clock_seconds();
    if (!study_open(lab, error) || !target_open(lab, error) || !pins_open(lab, error) ||
        !sampled_steps_open(lab, error) || !perf_sampler_open(lab, error) || !text_open(lab, error) ||
        !jobs_open(lab, error))
        return false;
    pins_follow(lab);
    if (*lab->session->model->note)
        lab_say(lab, false, "%s", lab->session->model->note);
    return true;
}

static bool start_thread(struct lab *lab, struct error *error)
{
    int failure = thread_start(&lab->thread, run, lab);
    lab->threaded = failure == 0;
    return lab->threaded || error_set(error, "cannot start a thread: %s", strerror(failure));
}

struct lab *lab_start(struct session *session, const struct lab_options *options, struct error *error)
{
    struct lab *lab = calloc(1, sizeof *lab);
    if (!lab) {
        error_set(error, "not enough memory");
        return NULL;
    }
    lab->session = session;
    lab->options = *options;
    if (mailbox_open(&lab->mailbox, error) && begin(lab, error) && start_thread(lab, error))
        return lab;
    lab_stop(lab);
    return NULL;
}

void lab_stop(struct lab *lab)
{
    if (!lab)
        return;
    if (lab->threaded) {
        mailbox_quit(&lab->mailbox);
        pthread_join(lab->thread, NULL);
    }
    jobs_close(lab);
    text_close(lab);
    perf_sampler_close(lab);
    sampled_steps_close(lab);
    snapshots_close(lab);
    target_close(lab);
    pins_close(lab);
    study_close(lab);
    mailbox_close(&lab->mailbox);
    weights_unref(lab->set);
    free(lab);
}

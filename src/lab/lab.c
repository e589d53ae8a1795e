#include "lab.h"

#include "autosave.h"
#include "base/clock.h"
#include "commands.h"
#include "jobs.h"
#include "perf_sampler.h"
#include "pins.h"
#include "publish.h"
#include "sampled_steps.h"
#include "saved.h"
#include "snapshots.h"
#include "study.h"
#include "sys/thread.h"
#include "target.h"
#include "text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double SLICE_SECONDS = 0.002;  /* of the text, at least */
static const double JOB_SECONDS = 0.008;    /* of a job, between which commands are taken */
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

static const double LONGEST_WORK = 0.03;  /* seconds that the text waits for, unless a token takes longer, */
static const double LONGEST_TOKEN = 0.1;  /* but no more than this */
enum { WORK_PER_TOKEN = 4 };

/* Between two tokens, in slices: as long as some tokens take, so that jobs get most of the time; of a slow model as long
 * as one: about half. */
static double work_seconds(const struct lab *lab)
{
    double token = lab->meter.rate > 0 ? 1 / lab->meter.rate : 0;
    double wanted = fmin(WORK_PER_TOKEN * token, fmax(token, LONGEST_WORK));
    return fmin(fmax(wanted, SLICE_SECONDS), LONGEST_TOKEN);
}

/* One slice beside the tokens: of the reference's text, which holds up no job, and of the first job that has work. */
static bool work(struct lab *lab)
{
    lab->activity = (struct activity){0};
    bool follows = text_follow_reference(lab, SLICE_SECONDS);
    bool worked = jobs_step(lab, fmin(work_seconds(lab), JOB_SECONDS));
    if (!follows && !worked && !text_watches_reference(lab))
        pins_release_reference(lab);
    return follows || worked;
}

/* Work that begins by itself does so some time after the last change: then there was nothing to do. */
static const double AWAKE_SECONDS = 2;
static const double DOZE_SECONDS = 5; /* between two looks whether there is */

/* Waits for a command: a moment, or, where a frame has said that all is still, until one comes. */
static void rest(struct lab *lab, double busy_at)
{
    bool still = clock_seconds() - busy_at > AWAKE_SECONDS && lab_quiet(lab) > AWAKE_SECONDS;
    if (still != lab->sleeps) {
        lab->sleeps = still;
        lab_publish(lab);
    }
    mailbox_wait(&lab->mailbox, still ? DOZE_SECONDS : PUBLISH_SECONDS);
}

static void *run(void *arg)
{
    struct lab *lab = arg;
    double published = 0, busy_at = clock_seconds(), text_at = 0; /* when the text's last slice ended */
    char shown[ACTIVITY_NAME] = ""; /* the activity in the last frame */
    uint64_t serial = lab->set_serial;
    pool_bind_caller(lab->session->pool);
    perf_sampler_begin(lab);
    lab_publish(lab);
    while (!mailbox_is_quitting(&lab->mailbox)) {
        bool asked = apply_all(lab);
        if (asked && serial == lab->set_serial) /* at once, unless that would be a frame without a speed */
            lab_publish(lab);
        follow_set(lab, &serial);
        bool worked = work(lab);
        follow_set(lab, &serial);
        lab->meter.skip_next |= worked;
        bool runs = !lab->paused && !lab->idle && lab->pins.ready;
        if (asked || worked || runs) {
            busy_at = clock_seconds();
            lab->sleeps = false;
        }
        bool unknown = lab->meter.rate == 0; /* of the set that the work put in use: the frame is to have its speed */
        if (runs && (!worked || unknown || clock_seconds() - text_at >= work_seconds(lab))) {
            text_step(lab, SLICE_SECONDS);
            text_at = clock_seconds();
        }
        double now = clock_seconds();
        autosave_step(lab, now);
        const char *activity = lab->activity.name ? lab->activity.name : "";
        bool due = asked || strncmp(activity, shown, sizeof shown - 1) != 0 || now - published >= PUBLISH_SECONDS;
        if (due && !lab->sleeps) {
            lab_publish(lab);
            published = now;
            snprintf(shown, sizeof shown, "%s", activity);
        }
        if (!runs && !worked)
            rest(lab, busy_at);
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
    if (lab->options.saved && !saved_apply(lab, lab->options.saved, error))
        return false;
    autosave_open(lab);
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

static void end_thread(struct lab *lab)
{
    if (!lab->threaded)
        return;
    mailbox_quit(&lab->mailbox);
    pthread_join(lab->thread, NULL);
    lab->threaded = false;
}

bool lab_finish(struct lab *lab, struct error *error)
{
    end_thread(lab);
    return autosave_finish(lab, error);
}

void lab_stop(struct lab *lab)
{
    if (!lab)
        return;
    end_thread(lab);
    autosave_close(lab);
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

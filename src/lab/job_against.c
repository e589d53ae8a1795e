/* Two files side by side: begins by itself where there is another one. */
#include "actions.h"
#include "base/clock.h"
#include "jobs.h"
#include "study.h"

#include <stdlib.h>
#include <string.h>

static const double TAKE_SECONDS = 0.05; /* between two copies for frames */

struct comparing {
    bool asked;
    double taken_at;               /* clock_seconds of the last copy */
    struct against_frame *figures; /* as far as they are, or were; or null */
};

static bool begin(struct lab *lab, void *state, struct error *error)
{
    (void)error;
    ((struct comparing *)state)->asked = lab->session->other_model != NULL;
    return true;
}

/* Not before the first tokens: the screen has its meters first. */
static bool wanted(struct lab *lab, void *state, const void *running)
{
    const struct comparing *c = state;
    return c->asked && (running || lab->paused || lab_settled(lab));
}

static void *open_job(struct lab *lab, void *state, struct error *error)
{
    struct against_plan plan = {.session = lab->session, .what = AGAINST_ALL, .quality = study_quality_plan(lab)};
    (void)state;
    return against_open(&plan, error);
}

/* Figures so far, for frames. */
static void take_figures(struct lab *lab, struct comparing *c, const struct against *job, bool running)
{
    size_t count = lab_tensors(lab);
    struct against_frame *f = calloc(1, sizeof *f + count * sizeof *f->of);
    if (!f)
        return;
    atomic_init(&f->refs, 1);
    f->running = running;
    f->facts = against_facts_ref(against_facts(job));
    f->figures = *against_figures(job);
    snprintf(f->text, sizeof f->text, "%s", lab->study[TEXT_EVALUATION].source.name);
    f->count = count;
    memcpy(f->of, against_layers(job), count * sizeof *f->of);
    against_frame_unref(c->figures);
    c->figures = f;
    c->taken_at = clock_seconds();
}

static void stepped(struct lab *lab, void *state, const void *running)
{
    struct comparing *c = state;
    if (clock_seconds() - c->taken_at >= TAKE_SECONDS)
        take_figures(lab, c, running, true);
}

static void finish(struct lab *lab, void *state, void *running)
{
    struct comparing *c = state;
    char verdict[AGAINST_VERDICT];
    c->asked = false;
    take_figures(lab, c, running, false);
    against_verdict(against_figures(running), against_facts(running), verdict);
    lab_say(lab, false, "%s", verdict);
}

/* Frames may have the figures: what is no longer so becomes another copy. */
static void stop_running(struct comparing *c)
{
    struct against_frame *old = c->figures;
    size_t size = old ? sizeof *old + old->count * sizeof *old->of : 0;
    struct against_frame *f = old ? malloc(size) : NULL;
    if (!f)
        return;
    memcpy(f, old, size);
    atomic_init(&f->refs, 1);
    f->facts = against_facts_ref(old->facts);
    f->running = false;
    against_frame_unref(old);
    c->figures = f;
}

static void fail(struct lab *lab, void *state, const struct error *error)
{
    struct comparing *c = state;
    c->asked = false;
    stop_running(c);
    lab_say(lab, true, "the two files cannot be compared: %s", error->text);
}

static void cancelled(struct lab *lab, void *state)
{
    (void)lab;
    stop_running(state);
}

static void text_changed(struct lab *lab, void *state)
{
    ((struct comparing *)state)->asked = lab->session->other_model != NULL;
}

static void end(struct lab *lab, void *state)
{
    (void)lab;
    against_frame_unref(((struct comparing *)state)->figures);
}

static void publish(const struct lab *lab, const void *state, const void *running, struct frame *f)
{
    (void)lab, (void)running;
    f->against = against_frame_ref(((const struct comparing *)state)->figures);
}

static void stop(struct lab *lab, void *state)
{
    ((struct comparing *)state)->asked = false;
    job_cancel(lab, job_slot_of(lab, &against_job));
    lab_say(lab, false, "stopped: the figures so far are kept");
}

const struct job_type against_job = {
    .class = &against_class,
    .state_size = sizeof(struct comparing),
    .begin = begin,
    .end = end,
    .wanted = wanted,
    .needs = NEED_EVALUATION_TEXT | NEED_REFERENCE,
    .open = open_job,
    .stepped = stepped,
    .finish = finish,
    .give_up = fail,
    .cancelled = cancelled,
    .stop = stop,
    .text_changed = text_changed,
    .publish = publish,
};

/* While it runs: stops. */
void compare_files(struct lab *lab, const struct command *command)
{
    struct comparing *c = job_state(lab, &against_job);
    (void)command;
    if (!lab->session->other_model) {
        lab_say(lab, true, "there is no other file: --against FILE names one");
        return;
    }
    if (c->asked) {
        stop(lab, c);
        return;
    }
    c->asked = true;
    study_retry(lab);
    lab_say(lab, false, "comparing the two files (v stops)");
}

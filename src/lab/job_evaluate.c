/* What the schemes did to the model: its quality on a text. */
#include "actions.h"
#include "history.h"
#include "jobs.h"
#include "study.h"

/* One that comes by itself takes as many tokens of the text as would be evaluated in this time, at least so many. */
static const double AUTOMATIC_SECONDS = 120;
enum { AUTOMATIC_TOKENS = 128 };

struct evaluating {
    bool asked;
    uint64_t asked_of;  /* the set that was in use then */
    bool shortened;     /* the one that runs is of a part of the text: it was not asked for */
    bool stopped;       /* by the person; with this set none begins by itself */
    bool failed;        /* with this set; not tried again by itself */
    struct error error; /* why */
};

/* Tokens that set and reference evaluate in the time, at the speed of a prompt where that is known; at that of single
 * tokens, a lower bound, else. */
static size_t automatic_tokens(const struct lab *lab, size_t all)
{
    double rate = lab->prefill.rate.valid ? lab->prefill.rate.value : lab->meter.rate;
    size_t n = all;
    while (n / 2 >= AUTOMATIC_TOKENS && !(2 * (double)n <= rate * AUTOMATIC_SECONDS))
        n /= 2;
    return n;
}

/* Asked for, or by itself after an edit. */
static bool wanted(struct lab *lab, void *state, const void *running)
{
    const struct evaluating *e = state;
    if (running || e->asked)
        return true;
    return !lab_quality_is_known(lab) && !e->failed && !e->stopped && lab_quiet(lab) > SETTLE_SECONDS &&
           (lab->paused || meter_has_reading(&lab->meter));
}

/* A search or advice takes minutes; but layers that are being made come first. */
static bool waited_for(const struct lab *lab, const void *state)
{
    return ((const struct evaluating *)state)->asked && !lab_pending(lab);
}

static void *open_job(struct lab *lab, void *state, struct error *error)
{
    struct session *s = lab->session;
    struct quality_plan plan = study_quality_plan(lab);
    struct evaluating *e = state;
    size_t all = plan.count;
    if (!e->asked)
        plan.count = automatic_tokens(lab, all);
    e->shortened = plan.count < all;
    return quality_open(s->model, s->pool, &plan, s->reference, lab->set, error);
}

static void stepped(struct lab *lab, void *state, const void *running)
{
    struct quality_result r = quality_result(running);
    (void)state;
    if (r.scored > 0)
        lab->quality = (struct quality_frame){.valid = true, .running = !quality_is_complete(&r), .result = r,
                                              .set_serial = lab->set_serial, .text_serial = lab->text_serial};
}

static void finish(struct lab *lab, void *state, void *running)
{
    (void)running;
    lab->quality.running = false;
    ((struct evaluating *)state)->asked = false;
}

/* Figures of a part of the text are no figures of the set. */
static void forget_part(struct lab *lab)
{
    if (lab->quality.valid && !quality_is_complete(&lab->quality.result))
        lab->quality = (struct quality_frame){.valid = false};
}

static void fail(struct lab *lab, void *state, const struct error *error)
{
    struct evaluating *e = state;
    forget_part(lab);
    *e = (struct evaluating){.failed = true, .error = *error};
    lab_say(lab, true, "nothing can be evaluated: %s", error->text);
}

static void cancelled(struct lab *lab, void *state)
{
    (void)state;
    forget_part(lab);
}

static void set_changed(struct lab *lab, void *state)
{
    struct evaluating *e = state;
    e->failed = e->stopped = false;
    history_recall(lab);
}

/* Why there are no figures. */
static const char *missing(const struct lab *lab, const struct evaluating *e)
{
    const struct job_slot *own = job_slot_of(lab, &evaluate_job);
    if (e->failed)
        return "cannot be evaluated (e says why)";
    if (e->stopped)
        return "stopped (e evaluates)";
    return lab->activity.name && !own->running ? "waits for other work (e: now)" : "not evaluated yet (e evaluates)";
}

static void publish(const struct lab *lab, const void *state, const void *running, struct frame *f)
{
    const struct evaluating *e = state;
    (void)running;
    f->evaluation_seconds = e->asked ? job_worked(lab, &evaluate_job) : 0;
    f->quality = lab->quality;
    f->quality.stale = lab->quality.valid && (lab->quality.set_serial != lab->set_serial ||
                                              lab->quality.text_serial != lab->text_serial);
    if (!lab->quality.valid)
        f->quality.reason = missing(lab, e);
}

static void stop(struct lab *lab, void *state)
{
    *(struct evaluating *)state = (struct evaluating){.stopped = true};
    job_cancel(lab, job_slot_of(lab, &evaluate_job));
    lab_say(lab, false, "stopped: no evaluation of these schemes (e begins again)");
}

const struct job_type evaluate_job = {
    .class = &quality_class,
    .of_set = true,
    .state_size = sizeof(struct evaluating),
    .wanted = wanted,
    .waited_for = waited_for,
    .needs = NEED_EVALUATION_TEXT | NEED_REFERENCE,
    .open = open_job,
    .stepped = stepped,
    .finish = finish,
    .give_up = fail,
    .cancelled = cancelled,
    .stop = stop,
    .set_changed = set_changed,
    .text_changed = set_changed,
    .publish = publish,
};

static bool is_asked(const struct lab *lab)
{
    return ((const struct evaluating *)job_state(lab, &evaluate_job))->asked;
}

/* Says that it evaluates only where it can. While one runs that was asked for of the same set: stops. */
void evaluate_now(struct lab *lab, const struct command *c)
{
    struct evaluating *e = job_state(lab, &evaluate_job);
    struct error error;
    (void)c;
    if (e->asked && e->asked_of == lab->set_serial && job_slot_of(lab, &evaluate_job)->running) {
        stop(lab, e);
        return;
    }
    study_retry(lab);
    if (study_is_ready(lab, TEXT_EVALUATION)) {
        struct quality_plan plan = study_quality_plan(lab);
        if (quality_predictions(&plan, &error) == 0) {
            fail(lab, e, &error);
            return;
        }
    }
    if (e->shortened)
        job_cancel(lab, job_slot_of(lab, &evaluate_job));
    *e = (struct evaluating){.asked = true, .asked_of = lab->set_serial};
    lab_say_while(lab, is_asked, false, "evaluating against %s", model_reference_words(lab->session->model));
}

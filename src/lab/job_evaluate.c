/* What the schemes did to the model: its quality on a text. */
#include "actions.h"
#include "jobs.h"
#include "study.h"

static const double AUTOMATIC_SECONDS = 20; /* an evaluation longer than this waits to be asked for */

struct evaluating {
    bool asked;
    bool failed;        /* with this set; not tried again by itself */
    struct error error; /* why */
};

static bool begin(struct lab *lab, void *state, struct error *error)
{
    (void)state, (void)error;
    lab->quality = (struct quality_frame){.reason = "not evaluated yet (e evaluates)"};
    return true;
}

/* What an evaluation would take at the speed of single tokens, an upper bound, is short. */
static bool is_automatic(const struct lab *lab)
{
    double tokens = (double)study_evaluation_tokens(lab);
    return meter_has_reading(&lab->meter) && 2 * tokens / lab->meter.rate < AUTOMATIC_SECONDS;
}

/* Asked for, or short enough to come by itself after an edit. */
static bool wanted(struct lab *lab, void *state, const void *running)
{
    const struct evaluating *e = state;
    if (running || e->asked)
        return true;
    return !lab_quality_is_known(lab) && !e->failed && is_automatic(lab) && lab_quiet(lab) > SETTLE_SECONDS;
}

static void *open_job(struct lab *lab, void *state, struct error *error)
{
    struct session *s = lab->session;
    struct quality_plan plan = study_quality_plan(lab);
    (void)state;
    return quality_open(s->model, s->pool, &plan, s->reference, lab->set, error);
}

static void stepped(struct lab *lab, void *state, const void *running)
{
    struct quality_result r = quality_result(running);
    (void)state;
    if (r.scored > 0)
        lab->quality = (struct quality_frame){.valid = true, .running = !quality_is_complete(&r), .result = r,
                                              .set_serial = lab->set_serial};
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
        lab->quality = (struct quality_frame){.reason = "the evaluation did not end (e evaluates)"};
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
    (void)lab;
    ((struct evaluating *)state)->failed = false;
}

static void publish(const struct lab *lab, const void *state, const void *running, struct frame *f)
{
    const struct evaluating *e = state;
    (void)running;
    f->evaluation_seconds = job_worked(lab, &evaluate_job);
    f->quality = lab->quality;
    f->quality.stale = lab->quality.valid && lab->quality.set_serial != lab->set_serial;
    if (e->failed && !lab->quality.valid)
        f->quality.reason = "cannot be evaluated (e says why)";
}

const struct job_type evaluate_job = {
    .class = &quality_class,
    .of_set = true,
    .state_size = sizeof(struct evaluating),
    .begin = begin,
    .wanted = wanted,
    .needs = NEED_EVALUATION_TEXT | NEED_REFERENCE,
    .open = open_job,
    .stepped = stepped,
    .finish = finish,
    .give_up = fail,
    .cancelled = cancelled,
    .set_changed = set_changed,
    .publish = publish,
};

static bool is_asked(const struct lab *lab)
{
    return ((const struct evaluating *)job_state(lab, &evaluate_job))->asked;
}

/* Says that it evaluates only where it can. */
void evaluate_now(struct lab *lab, const struct command *c)
{
    struct evaluating *e = job_state(lab, &evaluate_job);
    struct error error;
    (void)c;
    study_retry(lab);
    if (study_is_ready(lab, TEXT_EVALUATION)) {
        struct quality_plan plan = study_quality_plan(lab);
        if (quality_predictions(&plan, &error) == 0) {
            fail(lab, e, &error);
            return;
        }
    }
    *e = (struct evaluating){.asked = true};
    lab_say_while(lab, is_asked, false, "evaluating against %s", model_reference_words(lab->session->model));
}

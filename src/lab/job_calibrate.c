/* Quantizing with methods that look at activations. All tensors that wait for one are made in one layer-wise pass of
 * a calibration text through the model (quant/quantization.h), once those that need none are there. */
#include "actions.h"
#include "jobs.h"
#include "study.h"
#include "training_curve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct calibrating {
    struct scheme *schemes;       /* schemes_count: what the instance makes */
    struct training_frame *curve; /* of the last training, or null */
};

static bool awaits(const struct lab *lab, int tensor)
{
    return tensor_pending(lab, tensor) && scheme_needs_calibration(&lab->target[tensor]);
}

static bool any_awaits(const struct lab *lab)
{
    for (int t = 0; t < (int)lab_tensors(lab); t++)
        if (awaits(lab, t))
            return true;
    return false;
}

/* A person may have changed their mind, and then it begins again from what is in use now. */
static bool wanted(struct lab *lab, void *state, const void *running)
{
    const struct calibrating *c = state;
    for (int t = 0; running && t < (int)lab_tensors(lab); t++)
        if (!scheme_equal(&c->schemes[t], &lab->target[t]))
            return false;
    return any_awaits(lab);
}

static struct quantization_plan plan_of(struct lab *lab, const struct scheme *schemes)
{
    return (struct quantization_plan){.model = lab->session->model,
                                      .pool = lab->session->pool,
                                      .from = lab->set,
                                      .stored = lab->session->stored,
                                      .schemes = schemes,
                                      .text = &lab->study[TEXT_CALIBRATION].source.windows,
                                      .training_text = &lab->study[TEXT_TRAINING].source.windows,
                                      .importance = lab->session->importance};
}

static bool add_needs(struct lab *lab, void *state, unsigned *out, struct error *error)
{
    (void)state;
    struct quantization_plan plan = plan_of(lab, lab->target);
    size_t tokens = quantization_training_tokens(&plan);
    if (tokens > 0) {
        study_set_training(lab, tokens);
        if (!study_is_ready(lab, TEXT_TRAINING) && !quantization_training_fits(&plan, tokens, error))
            return false;
        *out |= NEED_TRAINING_TEXT;
    }
    if (quantization_calibrates(&plan))
        *out |= NEED_CALIBRATION_TEXT;
    return true;
}

static void *open_job(struct lab *lab, void *state, struct error *error)
{
    struct calibrating *c = state;
    size_t n = schemes_count(lab->session->model);
    free(c->schemes);
    c->schemes = malloc(n * sizeof *c->schemes);
    if (!c->schemes) {
        error_set(error, "not enough memory");
        return NULL;
    }
    memcpy(c->schemes, lab->target, n * sizeof *c->schemes);
    struct quantization_plan plan = plan_of(lab, c->schemes);
    return quantization_open(&plan, error);
}

static void stepped(struct lab *lab, void *state, const void *running)
{
    (void)lab;
    struct training_figures now;
    if (quantization_figures(running, &now))
        training_curve_add(&((struct calibrating *)state)->curve, &now);
}

/* What cannot be made stays as it is. */
static void give_up(struct lab *lab)
{
    for (int t = 0; t < (int)lab_tensors(lab); t++)
        if (awaits(lab, t))
            lab->target[t] = qtensor_scheme(lab->set->layer[t]);
}

/* What the methods made is kept, so that to undo and redo it takes no time. The KV cache may have changed since. */
static void finish(struct lab *lab, void *state, void *running)
{
    struct weights *set = weights_take_kv(quantization_take(running), lab->set->kv);
    const char *note = quantization_note(running, 0);
    training_curve_end(&((struct calibrating *)state)->curve);
    if (!set) {
        give_up(lab);
        lab_say(lab, true, "not enough memory");
        return;
    }
    for (size_t t = 0; t < set->count; t++)
        if (set->layer[t] != lab->set->layer[t])
            cache_add(&lab->cache, set->layer[t]);
    if (note)
        lab_say(lab, false, "%s%s", note, quantization_note(running, 1) ? " (and more such notes)" : "");
    lab_use(lab, set);
}

static void cancelled(struct lab *lab, void *state)
{
    (void)lab;
    training_curve_end(&((struct calibrating *)state)->curve);
}

static void fail(struct lab *lab, void *state, const struct error *error)
{
    (void)error;
    cancelled(lab, state);
    give_up(lab);
    study_retry(lab); /* the next edit asks again */
}

static void end(struct lab *lab, void *state)
{
    (void)lab;
    struct calibrating *c = state;
    free(c->schemes);
    training_frame_unref(c->curve);
}

static void publish(const struct lab *lab, const void *state, const void *running, struct frame *f)
{
    snprintf(f->training_text, sizeof f->training_text, "%s", lab->study[TEXT_TRAINING].source.name);
    f->training = training_frame_ref(((const struct calibrating *)state)->curve);
    f->calibration_seconds = f->training && f->training->running ? 0 : job_worked(lab, &calibrate_job);
    for (int t = 0; running && t < (int)lab_tensors(lab); t++)
        if (awaits(lab, t))
            f->layers[t].progress = (float)quantization_fraction(running);
}

static void stop(struct lab *lab, void *state)
{
    (void)state;
    give_up(lab);
    job_cancel(lab, job_slot_of(lab, &calibrate_job));
    lab_say(lab, false, "stopped: the layers that waited stay as they were");
}

const struct job_type calibrate_job = {
    .class = &quantization_class,
    .state_size = sizeof(struct calibrating),
    .end = end,
    .wanted = wanted,
    .add_needs = add_needs,
    .open = open_job,
    .stepped = stepped,
    .finish = finish,
    .give_up = fail,
    .cancelled = cancelled,
    .stop = stop,
    .publish = publish,
};

/* ---- the command ------------------------------------------------------------------------------------- */

static bool is_training(const struct lab *lab)
{
    const struct job_slot *job = job_slot_of(lab, &calibrate_job);
    return job->running && training_curve_runs(((const struct calibrating *)job->state)->curve);
}

static bool any_to_train(const struct lab *lab)
{
    bool any = false;
    for (int t = 0; t < (int)lab_tensors(lab); t++)
        any |= tensor_pending(lab, t) && scheme_trains(&lab->target[t]);
    return any;
}

static bool waits_to_train(const struct lab *lab)
{
    return any_to_train(lab) && !is_training(lab);
}

static bool trains_nothing(const struct lab *lab)
{
    return !any_to_train(lab);
}

void stop_training(struct lab *lab, const struct command *command)
{
    (void)command;
    if (is_training(lab)) {
        quantization_stop_training(job_slot_of(lab, &calibrate_job)->running);
        lab_say(lab, false, "training stopped: the best weights so far are kept");
        return;
    }
    if (waits_to_train(lab))
        lab_say_while(lab, waits_to_train, true, "training has not begun: u undoes the change");
    else
        lab_say_while(lab, trains_nothing, true, "nothing is being trained: Enter offers qat");
}

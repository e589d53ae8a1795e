/* Quantizing with methods that look at activations. All tensors that wait for one are made in one walk of a
 * calibration text through the model (quantization.h), once those that need none are there. */
#include "internal.h"

#include <stdlib.h>

static bool awaits(const struct lab *lab, int tensor)
{
    return tensor_pending(lab, tensor) && scheme_calibrates(&lab->target[tensor]);
}

static bool any_awaits(const struct lab *lab)
{
    for (int t = 0; t < (int)lab->session->model->tensor_count; t++)
        if (awaits(lab, t))
            return true;
    return false;
}

static void stop(struct lab *lab)
{
    struct calibrating *c = &lab->calibrating;
    quantization_close(c->job);
    free(c->schemes);
    c->job = NULL;
    c->schemes = NULL;
}

void calibrating_end(struct lab *lab)
{
    stop(lab);
    selftext_close(lab->calibrating.writer);
    free(lab->calibrating.text.tokens);
}

/* What cannot be made stays as it is. */
static void give_up(struct lab *lab, const char *why)
{
    stop(lab);
    lab->comparing_asked = lab->tuning.asked = false; /* without a text nothing calibrates */
    for (int t = 0; t < (int)lab->session->model->tensor_count; t++)
        if (awaits(lab, t))
            lab->target[t] = lab->set->layer[t]->matrix.scheme;
    lab_say(lab, true, "%s", why);
}

/* ---- the text -------------------------------------------------------------------------------- */

static bool make_text(struct lab *lab, const struct tokens *tokens)
{
    struct session *s = lab->session;
    struct error error;
    if (calibration_text_make(&lab->calibrating.text, tokens->ids, tokens->count, session_bos(s), s->context,
                              &error))
        return true;
    give_up(lab, error.text);
    return false;
}

/* A person's own text, or one that the model writes. False while there is none. */
bool calibrating_text(struct lab *lab, double seconds)
{
    struct calibrating *c = &lab->calibrating;
    struct session *s = lab->session;
    struct error error;
    if (c->text.tokens)
        return true;
    if (s->calibration.count > 0)
        return make_text(lab, &s->calibration);
    if (!c->writer && !making_reference(lab, seconds, &error)) {
        if (*error.text)
            give_up(lab, error.text);
        return false;
    }
    if (!c->writer && !(c->writer = selftext_open(s, &error))) {
        give_up(lab, error.text);
        return false;
    }
    jobs_show(lab, "writing a text to calibrate on", selftext_fraction(c->writer));
    if (!selftext_step(c->writer, seconds))
        return false;
    selftext_take(c->writer, &c->text);
    selftext_close(c->writer);
    c->writer = NULL;
    return true;
}

/* ---- the job --------------------------------------------------------------------------------- */

static bool open_job(struct lab *lab)
{
    struct calibrating *c = &lab->calibrating;
    size_t n = schemes_count(lab->session->model);
    struct error error = {"not enough memory"};
    c->schemes = malloc(n * sizeof *c->schemes);
    if (c->schemes) {
        memcpy(c->schemes, lab->target, n * sizeof *c->schemes);
        struct quantization_plan plan = {.model = lab->session->model, .pool = lab->session->pool,
                                         .from = lab->set, .stored = lab->session->stored,
                                         .schemes = c->schemes, .text = &c->text};
        c->job = quantization_open(&plan, &error);
    }
    if (!c->job)
        give_up(lab, error.text);
    return c->job != NULL;
}

/* A person may have changed their mind, and then begins again from what is in use now. */
static bool is_wanted(const struct lab *lab)
{
    for (int t = 0; t < (int)lab->session->model->tensor_count; t++)
        if (!scheme_equal(&lab->calibrating.schemes[t], &lab->target[t]))
            return false;
    return true;
}

/* What the methods made is kept, so that to undo and redo it takes no time. */
static void take_over(struct lab *lab)
{
    struct calibrating *c = &lab->calibrating;
    struct weights *set = quantization_take(c->job);
    const char *note = quantization_note(c->job, 0);
    for (size_t t = 0; t < set->count; t++)
        if (set->layer[t] != lab->set->layer[t])
            cache_add(&lab->cache, set->layer[t]);
    if (note)
        lab_say(lab, false, "%s%s", note, quantization_note(c->job, 1) ? " (and more such notes)" : "");
    stop(lab);
    lab_use(lab, set);
}

bool calibrating_slice(struct lab *lab, double seconds)
{
    struct calibrating *c = &lab->calibrating;
    struct error error;
    bool done;
    if (c->job && !is_wanted(lab))
        stop(lab);
    if (!any_awaits(lab))
        return false;
    if (!calibrating_text(lab, seconds))
        return true;
    if (!c->job && !open_job(lab))
        return true;
    jobs_show(lab, quantization_work(c->job), quantization_fraction(c->job));
    if (!quantization_step(c->job, seconds, &done, &error))
        give_up(lab, error.text);
    else if (done)
        take_over(lab);
    return true;
}

float calibrating_progress(const struct lab *lab, int tensor)
{
    return lab->calibrating.job && awaits(lab, tensor) ? (float)quantization_fraction(lab->calibrating.job) : -1;
}

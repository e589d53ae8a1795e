/* Quantizing with methods that look at activations. All tensors that wait for one are made in one walk of a
 * calibration text through the model (quantization.h), once those that need none are there. */
#include "internal.h"

#include <stdlib.h>

static bool awaits(const struct lab *lab, int tensor)
{
    return tensor_pending(lab, tensor) && scheme_needs_calibration(&lab->target[tensor]);
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
    learning_over(lab);
    quantization_close(c->job);
    free(c->schemes);
    c->job = NULL;
    c->schemes = NULL;
}

static void forget(struct own_text *own)
{
    selftext_close(own->writer);
    free(own->text.tokens);
    *own = (struct own_text){0};
}

void calibrating_end(struct lab *lab)
{
    stop(lab);
    forget(&lab->calibrating.text);
    forget(&lab->calibrating.learning);
}

/* What cannot be made stays as it is. */
static void give_up(struct lab *lab, const char *why)
{
    stop(lab);
    for (int t = 0; t < (int)lab->session->model->tensor_count; t++)
        if (awaits(lab, t))
            lab->target[t] = qtensor_scheme(lab->set->layer[t]);
    lab_say(lab, true, "%s", why);
}

static struct quantization_plan plan_of(struct lab *lab, const struct scheme *schemes)
{
    return (struct quantization_plan){.model = lab->session->model, .pool = lab->session->pool, .from = lab->set,
                                      .stored = lab->session->stored, .schemes = schemes,
                                      .text = &lab->calibrating.text.text,
                                      .learning = &lab->calibrating.learning.text};
}

/* ---- the texts -------------------------------------------------------------------------------- */

/* A text that the model writes: `tokens` to learn from or, where that is 0, one to calibrate on. False with an
 * error (an empty one: it is not there yet). */
static bool write_own(struct lab *lab, struct own_text *own, size_t tokens, double seconds, struct error *error)
{
    struct session *s = lab->session;
    if (!own->writer && !making_reference(lab, seconds, error))
        return false;
    if (!own->writer &&
        !(own->writer = tokens ? selftext_open_to_learn(s, tokens, error) : selftext_open(s, error)))
        return false;
    error->text[0] = 0;
    jobs_show(lab, tokens ? "writing a text to learn from" : "writing a text to calibrate on",
              selftext_fraction(own->writer));
    if (!selftext_step(own->writer, seconds))
        return false;
    selftext_take(own->writer, &own->text);
    selftext_close(own->writer);
    own->writer = NULL;
    return true;
}

/* A person's own text, the first `most` tokens of it, or one that the model writes. False as write_own. */
static bool make_text(struct lab *lab, struct own_text *own, size_t most, size_t to_learn, double seconds,
                      struct error *error)
{
    struct session *s = lab->session;
    const struct tokens *given = &s->calibration;
    if (own->text.tokens)
        return true;
    if (given->count == 0)
        return write_own(lab, own, to_learn, seconds, error);
    return calibration_text_make_of(&own->text, given->ids, given->count, most, session_bos(s), s->context, error);
}

/* Without it nothing calibrates, nor do those who compare methods or search. */
bool calibrating_text(struct lab *lab, double seconds)
{
    struct error error;
    if (make_text(lab, &lab->calibrating.text, CALIBRATION_MOST, 0, seconds, &error))
        return true;
    if (*error.text) {
        comparing_stop(lab);
        tuning_stop(lab);
        give_up(lab, error.text);
    }
    return false;
}

/* What schemes learn from, where some do. */
static bool learning_text(struct lab *lab, const struct quantization_plan *plan, double seconds)
{
    struct calibrating *c = &lab->calibrating;
    size_t tokens = quantization_learns_from(plan);
    struct error error;
    if (tokens == 0)
        return true;
    if (tokens != c->learned)
        forget(&c->learning);
    c->learned = tokens;
    bool begun = c->learning.text.tokens || c->learning.writer;
    if ((begun || quantization_may_learn(plan, tokens, &error)) &&
        make_text(lab, &c->learning, tokens, tokens, seconds, &error))
        return true;
    if (*error.text)
        give_up(lab, error.text);
    return false;
}

/* Whether the texts are there that what was asked for needs; else works for them, or gives up. */
static bool needed_texts(struct lab *lab, double seconds)
{
    struct quantization_plan plan = plan_of(lab, lab->target);
    return learning_text(lab, &plan, seconds) &&
           (!quantization_calibrates(&plan) || calibrating_text(lab, seconds));
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
        struct quantization_plan plan = plan_of(lab, c->schemes);
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

/* What the methods made is kept, so that to undo and redo it takes no time. The KV cache may have changed since. */
static void take_over(struct lab *lab)
{
    struct calibrating *c = &lab->calibrating;
    struct weights *set = weights_take_kv(quantization_take(c->job), lab->set->kv);
    const char *note = quantization_note(c->job, 0);
    if (!set) {
        give_up(lab, "not enough memory");
        return;
    }
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
    if (!c->job && (!needed_texts(lab, seconds) || !open_job(lab)))
        return true;
    jobs_show(lab, quantization_work(c->job), quantization_fraction(c->job));
    if (!quantization_step(c->job, seconds, &done, &error)) {
        give_up(lab, error.text);
        return true;
    }
    learning_note(lab, c->job);
    if (done)
        take_over(lab);
    return true;
}

float calibrating_progress(const struct lab *lab, int tensor)
{
    return lab->calibrating.job && awaits(lab, tensor) ? (float)quantization_fraction(lab->calibrating.job) : -1;
}

/* Training tensors as a part of making a set: see quantization.h. */
#include "quantization_internal.h"

#include <stdio.h>
#include <stdlib.h>

static size_t first_of(const struct model *m, const bool *trains)
{
    size_t t = 0;
    while (t < m->tensor_count && !trains[t])
        t++;
    return t;
}

/* A plan without a text; at least one tensor trains. */
static struct training_plan plan_of(const struct quantization_plan *p, const bool *trains)
{
    const struct scheme *s = &p->schemes[first_of(p->model, trains)];
    return (struct training_plan){.model = p->model, .pool = p->pool, .set = p->from, .schemes = p->schemes,
                                  .trains = trains,
                                  .values = methods_values_of(&s->methods, scheme_method(s, PHASE_TRAINING))};
}

static struct training_plan plan_of_job(const struct quantization *q)
{
    const struct quantization_plan *p = &q->plan;
    const struct calibration_text *text = p->training_text && p->training_text->count > 0 ? p->training_text : p->text;
    struct training_plan plan = plan_of(p, q->trains);
    plan.set = q->set;
    if (text) {
        plan.tokens = text->tokens;
        plan.count = text->count;
        plan.window = text->window;
    }
    return plan;
}

/* Layers that train together are one run with one setting. */
static bool check_together(const struct quantization *q, struct error *error)
{
    const struct model *m = q->plan.model;
    const struct scheme *schemes = q->plan.schemes, *first = &schemes[first_of(m, q->trains)];
    for (size_t t = 0; t < m->tensor_count; t++)
        if (q->trains[t] && !methods_equal(&schemes[t].methods, &first->methods))
            return error_set(error, "%s: layers that train together need the same parameters of %s",
                             m->tensors[t].name, scheme_method(first, PHASE_TRAINING)->name);
    return true;
}

bool training_fits(const struct quantization *q, struct error *error)
{
    struct training_plan plan = plan_of_job(q);
    return check_together(q, error) && q->trainer->fits(&plan, error);
}

size_t quantization_training_tokens(const struct quantization_plan *p)
{
    size_t max = 0;
    for (int t = 0; t < (int)p->model->tensor_count; t++) {
        const struct scheme *s = &p->schemes[t];
        const struct method *method = scheme_method(s, PHASE_TRAINING);
        bool trains = method && quantization_pending(p, t);
        size_t text = trains ? method->trainer->text_tokens(methods_values_of(&s->methods, method)) : 0;
        max = text > max ? text : max;
    }
    return max;
}

bool quantization_training_fits(const struct quantization_plan *p, size_t tokens, struct error *error)
{
    bool *trains = calloc(p->model->tensor_count, sizeof *trains);
    if (!trains)
        return error_set(error, "not enough memory");
    for (int t = 0; t < (int)p->model->tensor_count; t++)
        trains[t] = scheme_trains(&p->schemes[t]) && quantization_pending(p, t);
    struct training_plan plan = plan_of(p, trains);
    plan.count = tokens;
    plan.window = CALIBRATION_WINDOW;
    const struct scheme *s = &p->schemes[first_of(p->model, trains)];
    bool ok = scheme_method(s, PHASE_TRAINING)->trainer->fits(&plan, error);
    free(trains);
    return ok;
}

/* What a person should know of it. */
static void tell(struct quantization *q)
{
    char text[NOTE];
    struct training_figures f = q->figures;
    const char *note = q->trainer->note(q->training);
    int first = (int)first_of(q->plan.model, q->trains);
    snprintf(text, sizeof text, "trained for %zu steps: KL on held-out text %.3g, before %.3g; best after step %zu",
             f.step, f.kl_best, f.kl_first, f.best_step);
    quantization_say(q, first, text);
    if (note)
        quantization_say(q, first, note);
}

static bool open_training(struct quantization *q, struct error *error)
{
    const struct quantization_plan *p = &q->plan;
    struct training_plan plan = plan_of_job(q);
    return pin_open(&q->pin, p->model, error) && pin_set(&q->pin, p->stored, p->pool, error) &&
           (q->training = q->trainer->open(&plan, error)) &&
           (!p->training_state || q->trainer->load(q->training, p->training_state, error));
}

bool training_step(struct quantization *q, double seconds, struct error *error)
{
    bool done = false;
    if (!q->training && !open_training(q, error))
        return false;
    if (!q->trainer->step(q->training, seconds, &done, error))
        return false;
    q->figures = q->trainer->figures(q->training);
    if (!done)
        return true;
    tell(q);
    q->next = 0;
    q->stage = STAGE_TRAINED;
    return true;
}

bool quantization_figures(const struct quantization *q, struct training_figures *out)
{
    *out = q->figures;
    return q->figures.steps > 0;
}

bool quantization_save_training(struct quantization *q, FILE *to)
{
    return q->training && q->stage == STAGE_TRAIN && q->trainer->save(q->training, to);
}

void quantization_stop_training(struct quantization *q)
{
    if (q->training)
        q->trainer->stop(q->training);
}

/* Packs the next tensor that was trained. */
bool training_pack(struct quantization *q, double seconds, struct error *error)
{
    const struct quantization_plan *p = &q->plan;
    int count = (int)p->model->tensor_count;
    bool done;
    while (!q->packing && q->next < count && !(q->trains[q->next] && q->pending[q->next]))
        q->next++;
    if (q->next == count) {
        q->trainer->close(q->training);
        q->training = NULL;
        pin_close(&q->pin);
        q->stage = STAGE_DONE;
        return true;
    }
    struct training_result r = q->trainer->result(q->training, q->next);
    struct calibrated c = {.trained = r.weights, .grids = r.grids};
    if (!q->packing &&
        !requant_begin_calibrated(&q->job, p->model, q->next, &p->schemes[q->next], &c, p->pool, error))
        return false;
    q->packing = true;
    return quantization_pack(q, seconds, &done, error);
}

/* What a set's tensors learn, as a part of its making: see quantization.h. */
#include "quantization_internal.h"

#include <stdio.h>
#include <stdlib.h>

static struct qat_plan qat_plan_of(const struct quantization *q)
{
    const struct quantization_plan *p = &q->plan;
    const struct calibration_text *text = p->learning && p->learning->count > 0 ? p->learning : p->text;
    struct qat_plan plan = {.model = p->model, .pool = p->pool, .set = q->set, .schemes = p->schemes,
                            .learns = q->learns};
    if (text) {
        plan.tokens = text->tokens;
        plan.count = text->count;
        plan.window = text->window;
    }
    return plan;
}

bool learn_fits(const struct quantization *q, struct error *error)
{
    struct qat_plan plan = qat_plan_of(q);
    return qat_fits(&plan, error);
}

size_t quantization_learns_from(const struct quantization_plan *p)
{
    size_t most = 0;
    for (int t = 0; t < (int)p->model->tensor_count; t++) {
        const struct scheme *s = &p->schemes[t];
        bool learns = scheme_learns(s) && quantization_pending(p, t);
        size_t text = learns ? (size_t)s->methods.value[PARAMETER_TEXT] : 0;
        most = text > most ? text : most;
    }
    return most;
}

bool quantization_may_learn(const struct quantization_plan *p, size_t tokens, struct error *error)
{
    struct qat_plan plan = {.model = p->model, .pool = p->pool, .set = p->from, .schemes = p->schemes,
                            .count = tokens, .window = CALIBRATION_WINDOW};
    bool *learns = calloc(p->model->tensor_count, sizeof *learns);
    if (!learns)
        return error_set(error, "not enough memory");
    for (int t = 0; t < (int)p->model->tensor_count; t++)
        learns[t] = scheme_learns(&p->schemes[t]) && quantization_pending(p, t);
    plan.learns = learns;
    bool ok = qat_fits(&plan, error);
    free(learns);
    return ok;
}

/* What a person should know of it. */
static void tell(struct quantization *q)
{
    char text[NOTE];
    struct qat_figures f = qat_figures(q->qat);
    int first = 0;
    while (!q->learns[first])
        first++;
    snprintf(text, sizeof text, "learned in %zu steps: KL of the text kept aside %.3g, before %.3g; best after %zu",
             f.step, f.kl_best, f.kl_first, f.best_step);
    quantization_say(q, first, text);
    if (qat_note(q->qat))
        quantization_say(q, first, qat_note(q->qat));
}

static bool open_learning(struct quantization *q, struct error *error)
{
    const struct quantization_plan *p = &q->plan;
    struct qat_plan plan = qat_plan_of(q);
    return pin_open(&q->pin, p->model, error) && pin_set(&q->pin, p->stored, p->pool, error) &&
           (q->qat = qat_open(&plan, error));
}

bool learn_step(struct quantization *q, double seconds, struct error *error)
{
    bool done = false;
    if (!q->qat && !open_learning(q, error))
        return false;
    if (!qat_step(q->qat, seconds, &done, error))
        return false;
    q->figures = qat_figures(q->qat);
    if (!done)
        return true;
    tell(q);
    q->next = 0;
    q->stage = STAGE_LEARNED;
    return true;
}

bool quantization_figures(const struct quantization *q, struct qat_figures *out)
{
    *out = q->figures;
    return q->figures.steps > 0;
}

void quantization_stop_learning(struct quantization *q)
{
    if (q->qat)
        qat_stop(q->qat);
}

/* Packs the next tensor that learned. */
bool learn_pack(struct quantization *q, double seconds, struct error *error)
{
    const struct quantization_plan *p = &q->plan;
    int count = (int)p->model->tensor_count;
    bool done;
    while (!q->packing && q->next < count && !(q->learns[q->next] && q->pending[q->next]))
        q->next++;
    if (q->next == count) {
        qat_close(q->qat);
        q->qat = NULL;
        pin_close(&q->pin);
        q->stage = STAGE_DONE;
        return true;
    }
    struct qat_result r = qat_result(q->qat, q->next);
    struct calibrated c = {.learned = r.weights, .grids = r.grids};
    if (!q->packing &&
        !requant_begin_calibrated(&q->job, p->model, q->next, &p->schemes[q->next], &c, p->pool, error))
        return false;
    q->packing = true;
    return quantization_pack(q, seconds, &done, error);
}

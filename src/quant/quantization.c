#include "base/clock.h"
#include "quantization_internal.h"

#include <stdlib.h>

/* ---- what is to be done ---------------------------------------------------------------------- */

static bool asks_for_sequence(const struct scheme *s)
{
    for (size_t i = 0; method_table[i]; i++) {
        const struct method *m = method_table[i];
        if (methods_have(&s->methods, m) && m->hessian && m->hessian(methods_values_of(&s->methods, m)).sequential)
            return true;
    }
    return false;
}

bool quantization_calibrates(const struct quantization_plan *p)
{
    bool any = false;
    for (int t = 0; t < (int)p->model->tensor_count; t++)
        any |= quantization_pending(p, t) && scheme_in_pass(p, &p->schemes[t]);
    return any;
}

static bool plan_tensor(struct quantization *q, int t, struct error *error)
{
    const struct quantization_plan *p = &q->plan;
    const struct scheme *s = &p->schemes[t];
    const struct qmatrix *stored = &p->model->tensors[t].stored;
    q->pending[t] = quantization_pending(p, t);
    if (!q->pending[t])
        return true;
    q->weights_all += stored->rows * stored->cols;
    q->trains[t] = scheme_trains(s);
    if (q->trains[t])
        q->trainer = scheme_method(s, PHASE_TRAINING)->trainer;
    if (!scheme_in_pass(p, s))
        return true;
    int input_group = input_group_of(p->model, t);
    if (input_group < 0)
        return error_set(error, "%s: %s, so there are no activations to calibrate on", p->model->tensors[t].name,
                         tensor_multiplies(p->model, t) ? "it comes before the blocks" : "not a matrix product");
    q->last_input_group = (size_t)input_group > q->last_input_group ? (size_t)input_group : q->last_input_group;
    q->sequence |= !p->on_stored && asks_for_sequence(s);
    return true;
}

struct quantization *quantization_open(const struct quantization_plan *plan, struct error *error)
{
    struct quantization *q = calloc(1, sizeof *q);
    size_t count = plan->model->tensor_count;
    if (!q) {
        error_set(error, "not enough memory");
        return NULL;
    }
    q->plan = *plan;
    q->set = weights_ref(plan->from);
    q->pending = calloc(count, sizeof *q->pending);
    q->trains = calloc(count, sizeof *q->trains);
    bool ok = q->pending && q->trains ? true : error_set(error, "not enough memory");
    for (int t = 0; ok && t < (int)count; t++)
        ok = plan_tensor(q, t, error);
    if (ok && quantization_calibrates(plan)) {
        const struct calibration_text *text = plan->text;
        ok = text && text->count > 0 ? true : error_set(error, "there is no calibration text");
        ok = ok && (q->pass = layerwise_open(plan->model, plan->pool, text->tokens, text->count, text->window,
                                        error));
    }
    if (ok && q->trainer)
        ok = training_fits(q, error);
    if (ok)
        return q;
    quantization_close(q);
    return NULL;
}

/* ---- one tensor ------------------------------------------------------------------------------ */

/* Whether a tensor is to be made without activations. */
static bool is_plain(const struct quantization *q, int t)
{
    const struct scheme *s = &q->plan.schemes[t];
    return q->pending[t] && (!scheme_needs_calibration(s) || scheme_from_imatrix(&q->plan, s));
}

static bool begin_plain(struct quantization *q, struct error *error)
{
    const struct quantization_plan *p = &q->plan;
    const struct scheme *s = &p->schemes[q->next];
    bool weighed = scheme_from_imatrix(p, s);
    quantization_forget(q);
    if (weighed && !quantization_prepare(q, q->next, NULL, error))
        return false;
    q->packing = requant_begin_calibrated(&q->job, p->model, q->next, s, weighed ? &q->calibrated : NULL, p->pool,
                                          error);
    if (q->packing && weighed)
        quantization_record(q, q->next);
    return q->packing;
}

/* The next tensor from q->next on that is pending and plain, or the end. */
static bool plain_step(struct quantization *q, double seconds, struct error *error)
{
    const struct quantization_plan *p = &q->plan;
    int count = (int)p->model->tensor_count;
    bool done = false;
    while (!q->packing && q->next < count && !is_plain(q, q->next))
        q->next++;
    if (q->next == count) {
        q->stage = q->pass ? STAGE_ADVANCE : stage_after_pass(q);
        return true;
    }
    if (!q->packing && !begin_plain(q, error))
        return false;
    return quantization_pack(q, seconds, &done, error);
}

/* ---- the job --------------------------------------------------------------------------------- */

static bool stage_step(struct quantization *q, double seconds, struct error *error)
{
    switch (q->stage) {
    case STAGE_PLAIN:
        return plain_step(q, seconds, error);
    case STAGE_ADVANCE:
        return input_group_advance(q, seconds, error);
    case STAGE_OBSERVE:
        return input_group_observe(q, seconds, error);
    case STAGE_SCALE:
        return input_group_search_scale(q, seconds, error);
    case STAGE_FACTOR:
        return input_group_factorize(q, seconds, error);
    case STAGE_RANGE:
        return input_group_choose_range(q, seconds, error);
    case STAGE_PACK:
        return input_group_pack(q, seconds, error);
    case STAGE_TRAIN:
        return training_step(q, seconds, error);
    case STAGE_TRAINED:
        return training_pack(q, seconds, error);
    case STAGE_DONE:
        break;
    }
    return true;
}

bool quantization_step(struct quantization *q, double seconds, bool *done, struct error *error)
{
    double begin = clock_seconds(), left = seconds;
    while (q->stage != STAGE_DONE && left >= 0) {
        if (!stage_step(q, left, error))
            return false;
        left = seconds - (clock_seconds() - begin);
    }
    *done = q->stage == STAGE_DONE;
    return true;
}

/* Without what trains. */
static double packed_fraction(const struct quantization *q)
{
    double passed = 0, packed = 1;
    if (q->weights_all > 0)
        packed = (double)q->weights_done / (double)q->weights_all;
    if (!q->pass)
        return packed;
    passed = ((double)layerwise_group(q->pass) + layerwise_fraction(q->pass)) / (double)(q->last_input_group + 1);
    return (passed + packed) / 2;
}

double quantization_fraction(const struct quantization *q)
{
    const double share = 0.95; /* of the whole, that training takes */
    if (q->stage == STAGE_DONE)
        return 1;
    if (!q->trainer)
        return packed_fraction(q);
    double trained = q->stage == STAGE_TRAINED ? 1 : q->training ? q->trainer->fraction(q->training) : 0;
    return (1 - share) * packed_fraction(q) + share * trained;
}

const char *quantization_work(const struct quantization *q)
{
    if (q->stage == STAGE_TRAIN)
        return q->figures.step > 0 ? "training" : "computing the teacher's outputs";
    return q->stage == STAGE_ADVANCE || q->stage == STAGE_OBSERVE ? "calibrating" : "quantizing";
}

struct weights *quantization_take(struct quantization *q)
{
    struct weights *set = q->set;
    q->set = NULL;
    return set;
}

void quantization_close(struct quantization *q)
{
    if (!q)
        return;
    if (q->packing)
        requant_end(&q->job);
    if (q->training)
        q->trainer->close(q->training);
    pin_close(&q->pin);
    free(q->trains);
    scaling_close(&q->scaling);
    static_range_close(&q->range);
    input_group_leave(q);
    layerwise_close(q->pass);
    weights_unref(q->set);
    free(q->pending);
    free(q->notes);
    free(q);
}

/* ---- as a job ---------------------------------------------------------------------------------- */

static bool step_job(void *job, double seconds, bool *done, struct error *error)
{
    return quantization_step(job, seconds, done, error);
}

static double job_fraction(const void *job)
{
    return quantization_fraction(job);
}

static const char *job_phase_now(const void *job)
{
    return quantization_work(job);
}

static void close_job(void *job)
{
    quantization_close(job);
}

const struct job_class quantization_class = {
    .name = "quantizing",
    .step = step_job,
    .fraction = job_fraction,
    .phase = job_phase_now,
    .close = close_job,
};

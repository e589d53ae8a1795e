/* One input group of a quantization: what its inputs look like, and its tensors one after the other. */
#include "sys/memory.h"
#include "base/clock.h"
#include "kernels/encode.h"
#include "model/on_demand.h"
#include "quantization_internal.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- an input group ---------------------------------------------------------------------------------- */

static const struct scheme *scheme_of(const struct quantization *q)
{
    return &q->plan.schemes[q->tensors[q->next]];
}

/* Whether tensor i of the input group is to be calibrated. */
static bool wanted(const struct quantization *q, size_t i)
{
    int t = q->tensors[i];
    return q->pending[t] && scheme_in_pass(&q->plan, &q->plan.schemes[t]);
}

/* The method of a scheme that needs a Hessian, or null. */
static const struct method *method_with_hessian(const struct scheme *s)
{
    for (size_t i = 0; method_table[i]; i++)
        if (methods_have(&s->methods, method_table[i]) && method_table[i]->needs.hessian)
            return method_table[i];
    return NULL;
}

static struct hessian_use hessian_use_of(const struct scheme *s)
{
    const struct method *method = method_with_hessian(s);
    return method ? method->hessian(methods_values_of(&s->methods, method)) : (struct hessian_use){0};
}

static bool wants_hessian(const struct quantization *q)
{
    bool any = false;
    for (size_t i = 0; i < q->tensor_count; i++)
        any |= wanted(q, i) && method_with_hessian(&q->plan.schemes[q->tensors[i]]);
    return any;
}

void input_group_leave(struct quantization *q)
{
    for (; q->held > 0; q->held--)
        model_release(q->plan.model, q->tensors[q->held - 1]);
    input_stats_free(&q->stats);
    hessian_free(&q->hessian);
    factor_free(&q->factor);
    quantization_forget(q);
    free(q->input_scale);
    q->input_scale = NULL;
    q->observed = 0;
    q->counted = false;
    q->tensor_count = 0;
}

/* Leads to the next tensor of the input group that is to be calibrated, or on. */
static void next_tensor(struct quantization *q, int from)
{
    q->next = from;
    while (q->next < (int)q->tensor_count && !wanted(q, (size_t)q->next))
        q->next++;
    q->stage = STAGE_SCALE;
    if (q->next < (int)q->tensor_count)
        return;
    size_t input_group = layerwise_group(q->pass);
    input_group_leave(q);
    q->stage = input_group < q->last_input_group ? STAGE_ADVANCE : stage_after_pass(q);
}

bool input_group_advance(struct quantization *q, double seconds, struct error *error)
{
    bool arrived, any = false;
    struct weights *set = q->sequence ? q->set : q->plan.stored;
    if (!layerwise_step(q->pass, set, seconds, &arrived, error))
        return false;
    if (!arrived)
        return true;
    q->tensor_count = input_group_tensors(q->plan.model, layerwise_group(q->pass), q->tensors);
    q->inputs = layerwise_input(q->pass);
    bool expert = q->plan.model->tensors[q->tensors[0]].expert >= 0;
    q->few = expert && q->inputs.count < EXPERT_TOKENS_MIN;
    for (size_t i = 0; i < q->tensor_count; i++)
        any |= wanted(q, i);
    if (any)
        q->stage = STAGE_OBSERVE;
    return true;
}

/* What a person should know of the input group's activations. */
static bool judge_activations(struct quantization *q, struct error *error)
{
    char text[160];
    const char *name = q->plan.model->tensors[q->tensors[0]].name;
    if (q->few) {
        snprintf(text, sizeof text, "%zu tokens of the calibration text use this expert; %d are needed: rounded",
                 q->inputs.count, EXPERT_TOKENS_MIN);
        quantization_say(q, q->tensors[0], text);
        return true;
    }
    if (q->stats.tokens == 0)
        return error_set(error, "%s: no token of the calibration text gives finite activations", name);
    if (q->stats.nonfinite_tokens == 0)
        return true;
    snprintf(text, sizeof text, "activations of %zu of %zu calibration tokens are not finite and left out",
             q->stats.nonfinite_tokens, q->stats.nonfinite_tokens + q->stats.tokens);
    quantization_say(q, q->tensors[0], text);
    return true;
}

/* Whether there is room for the Hessian, its factor and GPTQ of the largest tensor. */
static bool fits_gptq(const struct quantization *q, size_t cols, struct error *error)
{
    size_t rows = 0;
    for (size_t i = 0; i < q->tensor_count; i++) {
        size_t more = q->plan.model->tensors[q->tensors[i]].stored.rows;
        rows = wanted(q, i) && more > rows ? more : rows;
    }
    size_t bytes = cols * cols * (sizeof(float) + sizeof(double)) + rows * cols * 3 * sizeof(float);
    return memory_check("GPTQ of one layer", bytes, error);
}

/* The statistics are complete: what follows of them. */
static bool begin_hessian(struct quantization *q, struct error *error)
{
    const struct quantization_plan *p = &q->plan;
    size_t cols = q->stats.cols;
    q->counted = true;
    q->observed = 0;
    if (!judge_activations(q, error))
        return false;
    for (; q->held < (int)q->tensor_count; q->held++)
        if (!model_acquire(p->model, q->tensors[q->held], p->pool, error))
            return false;
    return !wants_hessian(q) || (fits_gptq(q, cols, error) && hessian_open(&q->hessian, cols, error));
}

enum { OBSERVED_TOGETHER = (int)HESSIAN_CHUNK < (int)STATS_CHUNK ? (int)HESSIAN_CHUNK : (int)STATS_CHUNK };

static bool is_observed(const struct quantization *q, size_t count)
{
    return q->counted && (!q->hessian.cols || q->observed == count);
}

/* The next tokens into the statistics or, once all are there, into the Hessian. */
static bool observe_some(struct quantization *q, size_t count, struct error *error)
{
    size_t left = count - q->observed, n = left < OBSERVED_TOGETHER ? left : OBSERVED_TOGETHER;
    const float *x = q->inputs.rows + q->observed * q->inputs.stride;
    if (q->counted)
        hessian_add(&q->hessian, q->plan.pool, x, q->inputs.stride, n);
    else if (n > 0)
        input_stats_add(&q->stats, q->plan.pool, x, q->inputs.stride, n);
    q->observed += n;
    return q->counted || q->observed < count || begin_hessian(q, error);
}

bool input_group_observe(struct quantization *q, double seconds, struct error *error)
{
    double begin = clock_seconds();
    size_t count = q->few ? 0 : q->inputs.count, cols = q->plan.model->tensors[q->tensors[0]].stored.cols;
    if (q->stats.cols == 0 && !input_stats_open(&q->stats, cols, count, error))
        return false;
    while (!is_observed(q, count)) {
        if (!observe_some(q, count, error))
            return false;
        if (clock_seconds() - begin > seconds && !is_observed(q, count))
            return true;
    }
    next_tensor(q, 0);
    return true;
}

/* ---- a calibrated tensor --------------------------------------------------------------------- */

/* Whether activations ever reached the input group. */
static bool reached(const struct quantization *q)
{
    bool any = false;
    for (size_t c = 0; c < q->stats.cols; c++)
        any |= input_largest(&q->stats, c) > 0;
    return any;
}

/* A slice of the search for an input scale; siblings of the same scheme share what was found. */
bool input_group_search_scale(struct quantization *q, double seconds, struct error *error)
{
    const struct scheme *s = scheme_of(q);
    double begin = clock_seconds();
    bool done = false;
    q->stage = STAGE_FACTOR;
    q->damp = hessian_use_of(s).damp;
    if (!scheme_scales_inputs(s) || (q->input_scale && scheme_equal(s, &q->scaled_for)))
        return true;
    q->stage = STAGE_SCALE;
    if (!q->searching && !(q->searching = scaling_open(&q->scaling, q->plan.model, q->plan.pool, q->tensors,
                                                       q->tensor_count, &q->stats, s, error))) {
        scaling_close(&q->scaling);
        return false;
    }
    while (!done) {
        if (!scaling_step(&q->scaling, &done, error))
            return false;
        if (!done && clock_seconds() - begin > seconds)
            return true;
    }
    free(q->input_scale);
    q->input_scale = q->scaling.best;
    q->scaling.best = NULL;
    q->alpha = q->scaling.best_alpha;
    q->scaled_for = *s;
    scaling_close(&q->scaling);
    q->searching = false;
    factor_free(&q->factor); /* of other scales */
    q->stage = STAGE_FACTOR;
    return true;
}

static const float *scale_of(const struct quantization *q)
{
    return scheme_scales_inputs(scheme_of(q)) ? q->input_scale : NULL;
}

static bool same_factor(const struct scheme *a, const struct scheme *b)
{
    struct hessian_use x = hessian_use_of(a), y = hessian_use_of(b);
    return scheme_scales_inputs(a) == scheme_scales_inputs(b) && x.damp == y.damp &&
           x.by_activation == y.by_activation && code_columns(a->format.weight) == code_columns(b->format.weight);
}

/* A slice of the factorization; the damping is raised until it succeeds. */
bool input_group_factorize(struct quantization *q, double seconds, struct error *error)
{
    const struct scheme *s = scheme_of(q);
    struct hessian_use use = hessian_use_of(s);
    double begin = clock_seconds();
    q->stage = STAGE_RANGE;
    if (!method_with_hessian(s) || !reached(q))
        return true;
    bool there = q->factor.cols && same_factor(s, &q->factored_for);
    if (there && q->factor.l.done == q->factor.cols)
        return true;
    q->stage = STAGE_FACTOR;
    if (!there) {
        factor_free(&q->factor);
        if (!factor_open(&q->factor, &q->hessian, scale_of(q), q->damp,
                         (struct column_order){use.by_activation, code_columns(s->format.weight)}, error))
            return false;
        q->factored_for = *s;
    }
    while (!factor_step(&q->factor, q->plan.pool))
        if (clock_seconds() - begin > seconds)
            return true;
    if (!q->factor.l.failed)
        return true;
    factor_free(&q->factor);
    q->damp *= 10;
    return q->damp <= 1e9 * use.damp_max ||
           error_set(error, "%s: the Hessian of its inputs cannot be factored",
                     q->plan.model->tensors[q->tensors[q->next]].name);
}

/* A slice of choosing the one scale of static activations. What the packing is to know begins here. */
bool input_group_choose_range(struct quantization *q, double seconds, struct error *error)
{
    const struct scheme *s = scheme_of(q);
    double begin = clock_seconds();
    if (!q->choosing) {
        quantization_forget(q);
        q->calibrated.input_scale = scale_of(q);
        if (s->act_range && !static_range_open(&q->range, s, &q->stats, scale_of(q), error))
            return false;
        q->choosing = true;
    }
    while (s->act_range && !static_range_step(&q->range, q->plan.pool))
        if (clock_seconds() - begin > seconds)
            return true;
    if (s->act_range) {
        struct act_params params = static_range_result(&q->range);
        q->calibrated.act_scale = params.scale;
        q->calibrated.act_zero = params.zero;
    }
    static_range_close(&q->range);
    q->choosing = false;
    q->stage = STAGE_PACK;
    return true;
}

static bool begin_packing(struct quantization *q, struct error *error)
{
    const struct quantization_plan *p = &q->plan;
    int tensor = q->tensors[q->next];
    if (!reached(q) && !q->few)
        quantization_say(q, tensor, "no activation of the calibration text reached it");
    if (!quantization_prepare(q, tensor, &q->stats, error))
        return false;
    q->packing = requant_begin_calibrated(&q->job, p->model, tensor, scheme_of(q), &q->calibrated, p->pool, error);
    if (q->packing)
        quantization_record(q, tensor);
    return q->packing;
}

bool input_group_pack(struct quantization *q, double seconds, struct error *error)
{
    bool done = false;
    if (!q->packing && !begin_packing(q, error))
        return false;
    if (!quantization_pack(q, seconds, &done, error))
        return false;
    if (done)
        next_tensor(q, q->next + 1);
    return true;
}


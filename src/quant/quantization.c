#include "quantization.h"

#include "../engine/hold.h"
#include "../engine/walk.h"
#include "../measure/clock.h"
#include "../model/resident.h"
#include "llmint8.h"
#include "qat.h"
#include "requant.h"
#include "scaling.h"
#include "static_range.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* What is under way. The stages of a site repeat for each of its tensors from STAGE_SCALE on. */
enum stage {
    STAGE_PLAIN,   /* tensors without calibration */
    STAGE_WALK,
    STAGE_OBSERVE, /* statistics and the Hessian */
    STAGE_SCALE,   /* the search for an input scale */
    STAGE_FACTOR,  /* of the Hessian */
    STAGE_PACK,
    STAGE_LEARN,   /* all tensors that do, together */
    STAGE_LEARNED, /* one after another is packed */
    STAGE_DONE
};

enum { NOTE = 200 };

struct quantization {
    struct quantization_plan plan;
    struct weights *set;
    enum stage stage;
    bool sequence;
    bool *pending;
    size_t weights_done, weights_all;
    struct quantization_choice *choices;
    char (*notes)[NOTE];
    size_t note_count;

    struct walk *walk;
    size_t walked;                /* tokens of the text */
    size_t last_site;             /* beyond which no tensor is pending */
    struct site_stats stats;      /* of the site */
    float *importance;            /* cols, see struct calibrated; of the tensor under way */
    struct hessian hessian;
    size_t observed;              /* tokens in the Hessian */
    int tensors[SITE_TENSORS], next; /* the site's, and the one under way (or next plain one) */
    size_t tensor_count;
    int held;                     /* of `tensors`, how many are acquired */

    struct scaling scaling;       /* of the tensor under way */
    bool searching;
    float *input_scale;           /* of the last search, for ... */
    struct scheme scaled_for;
    double alpha;
    struct factor factor;         /* of the last factorization, for ... */
    struct scheme factored_for;
    double damp;                  /* to try */
    struct requant job;
    bool packing;

    bool walking;                 /* there are tensors that the walk is for */
    bool learning;                /* there are tensors that are to learn */
    bool *learns;                 /* which ones */
    struct qat *qat;
    struct hold hold;             /* of the stored weights, meanwhile */
    bool stop_learning;
    char work[120];
};

static void note(struct quantization *q, int tensor, const char *text)
{
    char(*notes)[NOTE] = realloc(q->notes, (q->note_count + 1) * sizeof *notes);
    if (!notes)
        return;
    q->notes = notes;
    snprintf(q->notes[q->note_count++], NOTE, "%s: %.150s", q->plan.model->tensors[tensor].name, text);
}

const char *quantization_note(const struct quantization *q, size_t i)
{
    return i < q->note_count ? q->notes[i] : NULL;
}

/* ---- the text -------------------------------------------------------------------------------- */

bool calibration_text_make(struct calibration_text *out, const int32_t *tokens, size_t count, int32_t bos,
                           size_t context, struct error *error)
{
    return calibration_text_make_of(out, tokens, count, CALIBRATION_MOST, bos, context, error);
}

bool calibration_text_make_of(struct calibration_text *out, const int32_t *tokens, size_t count, size_t most,
                              int32_t bos, size_t context, struct error *error)
{
    *out = (struct calibration_text){.window = context < CALIBRATION_WINDOW ? context : CALIBRATION_WINDOW};
    if (count < CALIBRATION_LEAST)
        return error_set(error, "the calibration text has %zu tokens; expected at least %d", count,
                         CALIBRATION_LEAST);
    most = count < most ? count : most;
    out->tokens = malloc(2 * (most + 1) * sizeof *out->tokens);
    if (!out->tokens)
        return error_set(error, "not enough memory for a calibration text");
    for (size_t i = 0; i < most; i++) {
        if (bos >= 0 && out->window > 1 && out->count % out->window == 0)
            out->tokens[out->count++] = bos;
        out->tokens[out->count++] = tokens[i];
    }
    return true;
}

/* ---- what is to be done ---------------------------------------------------------------------- */

bool quantization_pending(const struct quantization_plan *p, int tensor)
{
    return !scheme_equal(&p->schemes[tensor], &p->from->layer[tensor]->matrix.scheme);
}

static bool asks_for_sequence(const struct scheme *s)
{
    return methods_have(&s->methods, METHOD_GPTQ) && s->methods.value[PARAMETER_SEQUENCE] != 0;
}

static bool learns(const struct scheme *s)
{
    return methods_have(&s->methods, METHOD_QAT) && !s->stored;
}

/* Whether a scheme calibrates in the walk. */
static bool walks(const struct scheme *s)
{
    return scheme_calibrates(s) && !learns(s);
}

size_t quantization_learns_from(const struct quantization_plan *p)
{
    size_t most = 0;
    for (int t = 0; t < (int)p->model->tensor_count; t++) {
        size_t text = (size_t)p->schemes[t].methods.value[PARAMETER_TEXT];
        if (quantization_pending(p, t) && learns(&p->schemes[t]) && text > most)
            most = text;
    }
    return most;
}

bool quantization_calibrates(const struct quantization_plan *p)
{
    bool any = false;
    for (int t = 0; t < (int)p->model->tensor_count; t++)
        any |= quantization_pending(p, t) && scheme_calibrates(&p->schemes[t]);
    return any;
}

static bool plan_tensor(struct quantization *q, int t, struct error *error)
{
    const struct quantization_plan *p = &q->plan;
    const struct scheme *s = &p->schemes[t];
    const struct qmatrix *stored = &p->model->tensors[t].stored;
    q->choices[t] = (struct quantization_choice){.alpha = NAN, .damp = NAN};
    q->pending[t] = quantization_pending(p, t);
    if (!q->pending[t])
        return true;
    q->weights_all += stored->rows * stored->cols;
    q->learns[t] = learns(s);
    q->learning |= learns(s);
    if (!walks(s))
        return true;
    q->walking = true;
    int site = walk_site_of(p->model, t);
    if (site < 0)
        return error_set(error, "%s: it multiplies no activations to calibrate on", p->model->tensors[t].name);
    q->last_site = (size_t)site > q->last_site ? (size_t)site : q->last_site;
    q->sequence |= asks_for_sequence(s);
    return true;
}

static struct qat_plan qat_plan_of(const struct quantization *q)
{
    const struct quantization_plan *p = &q->plan;
    return (struct qat_plan){p->model, p->pool, q->set, p->schemes, q->learns, p->text->tokens, p->text->count,
                             p->text->window};
}

/* Asked before anything is made. */
static bool learning_fits(const struct quantization *q, struct error *error)
{
    struct qat_plan plan = qat_plan_of(q);
    return qat_fits(&plan, error);
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
    q->choices = calloc(count, sizeof *q->choices);
    q->learns = calloc(count, sizeof *q->learns);
    bool ok = q->pending && q->choices && q->learns ? true : error_set(error, "not enough memory");
    for (int t = 0; ok && t < (int)count; t++)
        ok = plan_tensor(q, t, error);
    if (ok && quantization_calibrates(plan)) {
        const struct calibration_text *text = plan->text;
        ok = text && text->count > 0 ? true : error_set(error, "there is no text to calibrate on");
        q->walked = text && text->count < CALIBRATION_MOST ? text->count : CALIBRATION_MOST;
        ok = ok && (!q->walking || (q->walk = walk_open(plan->model, plan->pool, text->tokens, q->walked,
                                                        text->window, error)));
        ok = ok && (!q->learning || learning_fits(q, error));
    }
    if (ok)
        return q;
    quantization_close(q);
    return NULL;
}

/* ---- one tensor ------------------------------------------------------------------------------ */

/* The set with p in its place; takes over p. */
static bool put(struct quantization *q, struct packed *p, struct error *error)
{
    struct weights *next = weights_replace(q->set, p);
    q->weights_done += p->matrix.rows * p->matrix.cols;
    q->pending[p->tensor] = false;
    packed_unref(p);
    if (!next)
        return error_set(error, "not enough memory");
    weights_unref(q->set);
    q->set = next;
    return true;
}

/* A slice of packing; *done when the matrix is in the set. */
static bool pack_some(struct quantization *q, double seconds, bool *done, struct error *error)
{
    *done = requant_step(&q->job, q->plan.pool, seconds);
    if (!*done)
        return true;
    q->choices[q->job.tensor].rounded = q->job.gptq.rounded;
    struct packed *p = requant_take(&q->job);
    struct quantization_choice c = q->choices[q->job.tensor];
    p->found = (struct found){c.alpha, c.damp, c.rounded, c.outliers};
    requant_end(&q->job);
    q->packing = false;
    return put(q, p, error);
}

/* What comes when no tensor waits for the walk. */
static enum stage after_walk(const struct quantization *q)
{
    return q->learning ? STAGE_LEARN : STAGE_DONE;
}

/* The next tensor from q->next on that is pending without calibration, or the end. */
static bool plain_step(struct quantization *q, double seconds, struct error *error)
{
    const struct quantization_plan *p = &q->plan;
    int count = (int)p->model->tensor_count;
    bool done = false;
    while (!q->packing && q->next < count &&
           (!q->pending[q->next] || scheme_calibrates(&p->schemes[q->next])))
        q->next++;
    if (q->next == count) {
        q->stage = q->walk ? STAGE_WALK : after_walk(q);
        return true;
    }
    if (!q->packing && !requant_begin(&q->job, p->model, q->next, &p->schemes[q->next], p->pool, error))
        return false;
    q->packing = true;
    return pack_some(q, seconds, &done, error);
}

/* ---- a site ---------------------------------------------------------------------------------- */

static const struct scheme *scheme_of(const struct quantization *q)
{
    return &q->plan.schemes[q->tensors[q->next]];
}

/* Whether tensor i of the site is to be calibrated. */
static bool wanted(const struct quantization *q, size_t i)
{
    int t = q->tensors[i];
    return q->pending[t] && walks(&q->plan.schemes[t]);
}

static bool wants_hessian(const struct quantization *q)
{
    bool any = false;
    for (size_t i = 0; i < q->tensor_count; i++)
        any |= wanted(q, i) && methods_have(&q->plan.schemes[q->tensors[i]].methods, METHOD_GPTQ);
    return any;
}

/* Lets go of what belongs to one site. */
static void leave_site(struct quantization *q)
{
    for (; q->held > 0; q->held--)
        model_release(q->plan.model, q->tensors[q->held - 1]);
    site_stats_free(&q->stats);
    hessian_free(&q->hessian);
    factor_free(&q->factor);
    free(q->importance);
    free(q->input_scale);
    q->importance = q->input_scale = NULL;
    q->observed = 0;
    q->tensor_count = 0;
}

/* Leads to the next tensor of the site that is to be calibrated, or on. */
static void next_tensor(struct quantization *q, int from)
{
    q->next = from;
    while (q->next < (int)q->tensor_count && !wanted(q, (size_t)q->next))
        q->next++;
    q->stage = STAGE_SCALE;
    if (q->next < (int)q->tensor_count)
        return;
    size_t site = walk_site(q->walk);
    leave_site(q);
    q->stage = site < q->last_site ? STAGE_WALK : after_walk(q);
}

static bool walk_on(struct quantization *q, double seconds, struct error *error)
{
    bool arrived, any = false;
    struct weights *set = q->sequence ? q->set : q->plan.stored;
    if (!walk_step(q->walk, set, seconds, &arrived, error))
        return false;
    if (!arrived)
        return true;
    q->tensor_count = walk_site_tensors(q->plan.model, walk_site(q->walk), q->tensors);
    for (size_t i = 0; i < q->tensor_count; i++)
        any |= wanted(q, i);
    if (any)
        q->stage = STAGE_OBSERVE;
    return true;
}

/* What a person should know of the site's activations. */
static bool judge_activations(struct quantization *q, struct error *error)
{
    char text[160];
    const char *name = q->plan.model->tensors[q->tensors[0]].name;
    if (q->stats.tokens == 0)
        return error_set(error, "%s: no token of the calibration text gives finite activations", name);
    if (q->stats.odd == 0)
        return true;
    snprintf(text, sizeof text, "activations of %zu of %zu calibration tokens are not finite and left out",
             q->stats.odd, q->stats.odd + q->stats.tokens);
    note(q, q->tensors[0], text);
    return true;
}

static bool begin_site(struct quantization *q, struct error *error)
{
    const struct quantization_plan *p = &q->plan;
    size_t cols = p->model->tensors[q->tensors[0]].stored.cols;
    if (!site_stats_make(&q->stats, p->pool, walk_input(q->walk), walk_stride(q->walk), cols,
                         q->walked, error) ||
        !judge_activations(q, error))
        return false;
    q->importance = malloc(cols * sizeof *q->importance);
    if (!q->importance)
        return error_set(error, "not enough memory for calibration");
    for (; q->held < (int)q->tensor_count; q->held++)
        if (!model_acquire(p->model, q->tensors[q->held], p->pool, error))
            return false;
    return !wants_hessian(q) || hessian_open(&q->hessian, cols, error);
}

static bool observe(struct quantization *q, double seconds, struct error *error)
{
    double begin = clock_seconds();
    size_t count = q->walked, stride = walk_stride(q->walk);
    if (q->stats.cols == 0 && !begin_site(q, error))
        return false;
    while (q->hessian.cols && q->observed < count) {
        size_t left = count - q->observed, n = left < HESSIAN_CHUNK ? left : HESSIAN_CHUNK;
        hessian_add(&q->hessian, q->plan.pool, walk_input(q->walk) + q->observed * stride, stride, n);
        q->observed += n;
        if (clock_seconds() - begin > seconds && q->observed < count)
            return true;
    }
    next_tensor(q, 0);
    return true;
}

/* ---- a calibrated tensor --------------------------------------------------------------------- */

/* Whether activations ever reached the site. */
static bool reached(const struct quantization *q)
{
    bool any = false;
    for (size_t c = 0; c < q->stats.cols; c++)
        any |= site_largest(&q->stats, c) > 0;
    return any;
}

/* A slice of the search for an input scale; siblings of the same scheme share what was found. */
static bool search_scale(struct quantization *q, double seconds, struct error *error)
{
    const struct scheme *s = scheme_of(q);
    double begin = clock_seconds();
    bool done = false;
    q->stage = STAGE_FACTOR;
    q->damp = (double)s->methods.value[PARAMETER_DAMP];
    if (!scaling_of(s) || (q->input_scale && scheme_equal(s, &q->scaled_for)))
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
    return scaling_of(scheme_of(q)) ? q->input_scale : NULL;
}

static bool same_factor(const struct scheme *a, const struct scheme *b)
{
    return !scaling_of(a) == !scaling_of(b) &&
           a->methods.value[PARAMETER_DAMP] == b->methods.value[PARAMETER_DAMP] &&
           a->methods.value[PARAMETER_ACT_ORDER] == b->methods.value[PARAMETER_ACT_ORDER];
}

/* A slice of the factorization; the damping is raised until it succeeds. */
static bool factorize(struct quantization *q, double seconds, struct error *error)
{
    const struct scheme *s = scheme_of(q);
    const struct parameter_form *damp = &parameter_forms[PARAMETER_DAMP];
    double begin = clock_seconds();
    q->stage = STAGE_PACK;
    if (!methods_have(&s->methods, METHOD_GPTQ) || !reached(q))
        return true;
    bool there = q->factor.cols && same_factor(s, &q->factored_for);
    if (there && q->factor.l.done == q->factor.cols)
        return true;
    q->stage = STAGE_FACTOR;
    if (!there) {
        factor_free(&q->factor);
        if (!factor_open(&q->factor, &q->hessian, scale_of(q), q->damp,
                         s->methods.value[PARAMETER_ACT_ORDER] != 0, error))
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
    return q->damp <= 1e9 * (double)damp->most ||
           error_set(error, "%s: the Hessian of its inputs cannot be factored",
                     q->plan.model->tensors[q->tensors[q->next]].name);
}

static void tell_damping(struct quantization *q, int tensor, const struct scheme *s)
{
    char text[120];
    double wanted_damp = (double)s->methods.value[PARAMETER_DAMP];
    q->choices[tensor].damp = q->factor.damp;
    if (!(q->factor.damp > 5 * wanted_damp))
        return;
    snprintf(text, sizeof text, "damping raised from %g to %g: its Hessian is nearly singular", wanted_damp,
             q->factor.damp);
    note(q, tensor, text);
}

/* Mean of the squared activations that the matrix takes. */
static const float *weigh_columns(struct quantization *q, const float *input_scale)
{
    for (size_t c = 0; c < q->stats.cols; c++) {
        double scale = input_scale ? (double)input_scale[c] : 1;
        q->importance[c] = (float)(q->stats.sum_squares[c] / (double)q->stats.tokens / (scale * scale));
    }
    return q->importance;
}

static bool begin_packing(struct quantization *q, struct error *error)
{
    const struct quantization_plan *p = &q->plan;
    int tensor = q->tensors[q->next];
    const struct scheme *s = scheme_of(q);
    struct calibrated c = {.input_scale = scale_of(q)};
    struct act_grid grid;
    uint32_t *outliers = NULL;
    if (!reached(q))
        note(q, tensor, "no activation of the calibration text reached it");
    if (methods_have(&s->methods, METHOD_AWQ))
        c.importance = weigh_columns(q, c.input_scale);
    if (c.input_scale)
        q->choices[tensor].alpha = q->alpha;
    if (s->act_range) {
        if (!static_range_choose(s, &q->stats, c.input_scale, &grid, error))
            return false;
        c.act_scale = grid.scale;
        c.act_zero = grid.zero;
    }
    if (methods_have(&s->methods, METHOD_LLMINT8)) {
        outliers = malloc(q->stats.cols * sizeof *outliers);
        if (!outliers)
            return error_set(error, "not enough memory for outlier columns");
        c.outlier_count = outlier_columns(&q->stats, (double)s->methods.value[PARAMETER_THRESHOLD], outliers);
        c.outliers = outliers;
        q->choices[tensor].outliers = c.outlier_count;
    }
    if (q->factor.cols && methods_have(&s->methods, METHOD_GPTQ)) {
        c.factor = &q->factor;
        tell_damping(q, tensor, s);
    }
    q->packing = requant_begin_calibrated(&q->job, p->model, tensor, s, &c, p->pool, error);
    free(outliers); /* the matrix has its own */
    return q->packing;
}

static bool pack_calibrated(struct quantization *q, double seconds, struct error *error)
{
    bool done = false;
    if (!q->packing && !begin_packing(q, error))
        return false;
    if (!pack_some(q, seconds, &done, error))
        return false;
    if (done)
        next_tensor(q, q->next + 1);
    return true;
}

/* ---- learning -------------------------------------------------------------------------------- */

/* What a person should know of it. */
static void tell_learning(struct quantization *q)
{
    char text[NOTE];
    struct qat_figures f = qat_figures(q->qat);
    snprintf(text, sizeof text, "learned in %zu steps: KL of the text kept aside %.3g, from %.3g; best after %zu",
             f.step, f.kl_best, f.kl_first, f.best_step);
    int first = 0;
    while (!q->learns[first])
        first++;
    note(q, first, text);
    if (qat_note(q->qat))
        note(q, first, qat_note(q->qat));
}

static bool learn(struct quantization *q, double seconds, struct error *error)
{
    const struct quantization_plan *p = &q->plan;
    struct qat_plan plan = qat_plan_of(q);
    bool done = false;
    if (!q->qat && (!hold_open(&q->hold, p->model, error) || !hold_set(&q->hold, p->stored, p->pool, error) ||
                    !(q->qat = qat_open(&plan, error))))
        return false;
    if (q->stop_learning)
        qat_stop(q->qat);
    if (!qat_step(q->qat, seconds, &done, error))
        return false;
    if (!done)
        return true;
    tell_learning(q);
    q->next = 0;
    q->stage = STAGE_LEARNED;
    return true;
}

/* Packs the next tensor that learned. */
static bool pack_learned(struct quantization *q, double seconds, struct error *error)
{
    const struct quantization_plan *p = &q->plan;
    int count = (int)p->model->tensor_count;
    bool done;
    while (!q->packing && q->next < count && !(q->learns[q->next] && q->pending[q->next]))
        q->next++;
    if (q->next == count) {
        qat_close(q->qat);
        q->qat = NULL;
        hold_close(&q->hold);
        q->stage = STAGE_DONE;
        return true;
    }
    struct qat_result r = qat_result(q->qat, q->next);
    struct calibrated c = {.learned = r.weights, .grids = r.grids};
    if (!q->packing &&
        !requant_begin_calibrated(&q->job, p->model, q->next, &p->schemes[q->next], &c, p->pool, error))
        return false;
    q->packing = true;
    return pack_some(q, seconds, &done, error);
}

void quantization_stop_learning(struct quantization *q)
{
    q->stop_learning = true;
}

const struct qat *quantization_qat(const struct quantization *q)
{
    return q->qat;
}

/* ---- the job --------------------------------------------------------------------------------- */

static bool stage_step(struct quantization *q, double seconds, struct error *error)
{
    switch (q->stage) {
    case STAGE_PLAIN:
        return plain_step(q, seconds, error);
    case STAGE_WALK:
        return walk_on(q, seconds, error);
    case STAGE_OBSERVE:
        return observe(q, seconds, error);
    case STAGE_SCALE:
        return search_scale(q, seconds, error);
    case STAGE_FACTOR:
        return factorize(q, seconds, error);
    case STAGE_PACK:
        return pack_calibrated(q, seconds, error);
    case STAGE_LEARN:
        return learn(q, seconds, error);
    case STAGE_LEARNED:
        return pack_learned(q, seconds, error);
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

/* Without what learns. */
static double packed_fraction(const struct quantization *q)
{
    double walked = 0, packed = 1;
    if (q->weights_all > 0)
        packed = (double)q->weights_done / (double)q->weights_all;
    if (!q->walk)
        return packed;
    walked = ((double)walk_site(q->walk) + walk_fraction(q->walk)) / (double)(q->last_site + 1);
    return (walked + packed) / 2;
}

double quantization_fraction(const struct quantization *q)
{
    const double learning = 0.95; /* of the whole */
    if (q->stage == STAGE_DONE)
        return 1;
    if (!q->learning)
        return packed_fraction(q);
    double learned = q->stage == STAGE_LEARNED ? 1 : q->qat ? qat_fraction(q->qat) : 0;
    return (1 - learning) * packed_fraction(q) + learning * learned;
}

static const char *tell_work(struct quantization *q)
{
    struct qat_figures f = qat_figures(q->qat);
    if (f.step == 0)
        return "preparing to learn";
    snprintf(q->work, sizeof q->work, "learning: step %zu of %zu, loss %.4f, rate %.2g, gradient %.2g, KL %.4f",
             f.step, f.steps, f.loss, f.rate, f.gradient_norm, f.kl_last);
    return q->work;
}

const char *quantization_work(struct quantization *q)
{
    if (q->stage == STAGE_LEARN && q->qat)
        return tell_work(q);
    return q->stage == STAGE_WALK || q->stage == STAGE_OBSERVE ? "calibrating" : "quantizing";
}

struct weights *quantization_take(struct quantization *q)
{
    struct weights *set = q->set;
    q->set = NULL;
    return set;
}

struct quantization_choice quantization_choice(const struct quantization *q, int tensor)
{
    return q->choices[tensor];
}

void quantization_close(struct quantization *q)
{
    if (!q)
        return;
    if (q->packing)
        requant_end(&q->job);
    qat_close(q->qat);
    hold_close(&q->hold);
    free(q->learns);
    scaling_close(&q->scaling);
    leave_site(q);
    walk_close(q->walk);
    weights_unref(q->set);
    free(q->pending);
    free(q->choices);
    free(q->notes);
    free(q);
}

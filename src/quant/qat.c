/* The job: the stored model is the teacher; the quantized one, its student, trains on some windows and is validated
 * on those held out. */
#include "kernels/dispatch.h"
#include "base/clock.h"
#include "train/gradients.h"
#include "qat_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    VALIDATIONS = 20, /* in a whole run, besides the first */
    WARMUP_SHARE = 20,
    PIECE = 1 << 14, /* weights of an item of the optimizer's work */
};
static const double CLIP = 1.0; /* of the gradients' norm */

/* A scale's logarithm moves in shares of the scale, weights in units of which a scale is a few hundredths. */
static const double SCALES_FASTER = 10;

/* ---- windows --------------------------------------------------------------------------------- */

static void choose(struct training *q, size_t i, size_t window)
{
    size_t length = q->net.length;
    q->chosen[i] = window;
    memcpy(q->tokens + i * length, q->plan.tokens + window * length, length * sizeof *q->tokens);
}

/* The next windows to train on, each once before any comes again. */
static void choose_training(struct training *q)
{
    size_t count = q->windows - q->held_out;
    struct window_order *o = &q->order;
    qat_copy_order(&q->before, o, q->windows);
    for (size_t i = 0; i < q->batch; i++) {
        if (o->next >= count) {
            for (size_t w = 0; w < count; w++)
                o->of[w] = w;
            for (size_t w = count; w > 1; w--) {
                size_t other = (size_t)(sampler_bits(&o->random) % w), swap = o->of[w - 1];
                o->of[w - 1] = o->of[other];
                o->of[other] = swap;
            }
            o->next = 0;
        }
        choose(q, i, o->of[o->next++]);
    }
}

/* Windows first + next .. of `count`, the last again where fewer are left than a batch has. */
static void choose_next(struct training *q, size_t first, size_t count)
{
    for (size_t i = 0; i < q->batch; i++)
        choose(q, i, first + (q->next + i < count ? q->next + i : count - 1));
}

/* ---- the loss -------------------------------------------------------------------------------- */

struct scoring {
    struct training *q;
    struct loss loss;
    bool gradients;
};

static void score_rows(void *arg, size_t begin, size_t end, int thread)
{
    const struct scoring *s = arg;
    struct training *q = s->q;
    size_t vocab = q->plan.model->hyper.vocab, length = q->net.length;
    for (size_t t = begin; t < end; t++) {
        float *logits = q->net.logits + t * vocab, *teacher = q->teacher + t * vocab;
        float *d = s->gradients ? logits : NULL;
        q->losses[t] = 0;
        if (q->capped) {
            operators_current()->soft_cap(teacher, vocab, q->plan.model->hyper.logit_cap);
            memcpy(q->capped + t * vocab, logits, vocab * sizeof *logits);
        }
        if (t % length == length - 1) { /* nothing follows */
            if (d)
                memset(d, 0, vocab * sizeof *d);
            continue;
        }
        q->losses[t] = loss_gradient(&s->loss, teacher, logits, q->tokens[t + 1], vocab, d,
                                     q->loss_scratch + (size_t)thread * 2 * vocab);
    }
}

/* The mean loss of the pass's first `windows` windows; their gradient in place of the logits. */
static double score(struct training *q, double share, bool gradients, size_t windows)
{
    const struct hyper *h = &q->plan.model->hyper;
    size_t length = q->net.length, head = (size_t)model_find(q->plan.model, ROLE_OUTPUT, -1);
    double sum = 0, scored = (double)(windows * (length - 1));
    for (size_t i = 0; i < q->batch; i++)
        memcpy(q->net.scratch + i * length * h->dim, q->hidden + q->chosen[i] * length * h->dim,
               length * h->dim * sizeof(float));
    dense_forward(&q->net.dense, q->net.scratch, q->stored[head], q->net.n, h->vocab, h->dim, q->teacher);
    struct scoring s = {q, {share, 1 / scored}, gradients};
    pool_run(q->plan.pool, q->net.n, score_rows, &s);
    for (size_t t = 0; t < windows * length; t++)
        sum += q->losses[t];
    return sum / scored;
}

/* ---- a pass ---------------------------------------------------------------------------------- */

/* A part of the forward pass; true when the logits are there. */
static bool forward_some(struct training *q)
{
    size_t layers = q->plan.model->hyper.layers, at = q->at++;
    if (at == 0)
        network_embed(&q->net, q->tokens);
    else if (at <= layers)
        network_block(&q->net, at - 1);
    else
        network_head(&q->net);
    return at == layers + 1;
}

/* A part of the backward pass, after the head's; true when all gradients are there. */
static bool backward_some(struct training *q)
{
    size_t layers = q->plan.model->hyper.layers, back = q->at++ - (layers + 2);
    if (back < layers)
        network_block_back(&q->net, layers - 1 - back);
    else
        network_embed_back(&q->net);
    return back == layers;
}

static void round_weights(struct training *q)
{
    for (size_t i = 0; i < q->tensor_count; i++)
        fake_forward(&q->tensors[i].fake, q->tensors[i].w, q->tensors[i].rounded, q->plan.pool);
}

/* ---- the teacher ----------------------------------------------------------------------------- */

/* From the teacher to the student: layers that train round their weights, others are those of the set. */
static void swap_to_student(struct training *q)
{
    const struct model *m = q->plan.model;
    size_t head = (size_t)model_find(m, ROLE_OUTPUT, -1);
    for (size_t t = 0; t < m->tensor_count; t++) {
        struct network_tensor *p = &q->net.tensors[t];
        const struct qmatrix *now = &q->plan.set->layer[t]->matrix;
        if (!q->others[t])
            continue;
        p->weights = q->others[t];
        p->acts = now->input_transform ? NULL : now;
        if (t != head) {
            free(q->stored[t]);
            q->stored[t] = NULL;
        }
    }
    for (size_t i = 0; i < q->tensor_count; i++) {
        struct qat_tensor *l = &q->tensors[i];
        struct network_tensor *p = &q->net.tensors[l->tensor];
        *p = (struct network_tensor){l->rounded, l->gradient, &l->fake.m};
        if ((size_t)l->tensor != head) {
            free(q->stored[l->tensor]);
            q->stored[l->tensor] = NULL;
        }
    }
}

static void begin_validation(struct training *q)
{
    q->phase = PHASE_VALIDATE;
    q->next = q->at = 0;
    q->validation_loss = 0;
    round_weights(q);
}

static void teacher_forward(struct training *q)
{
    size_t floats = q->net.length * q->plan.model->hyper.dim;
    if (q->at == 0)
        choose_next(q, 0, q->windows);
    if (!forward_some(q))
        return;
    for (size_t i = 0; i < q->batch; i++)
        memcpy(q->hidden + q->chosen[i] * floats, q->net.normed + i * floats, floats * sizeof *q->hidden);
    q->at = 0;
    q->next += q->batch;
    if (q->next < q->windows)
        return;
    swap_to_student(q);
    if (q->begins == PHASE_TRAIN)
        q->phase = PHASE_TRAIN;
    else
        begin_validation(q);
}

/* ---- validation ------------------------------------------------------------------------------ */

static void keep_best(struct training *q)
{
    for (size_t i = 0; i < q->tensor_count; i++) {
        struct qat_tensor *l = &q->tensors[i];
        memcpy(l->best, l->w, l->count * sizeof *l->best);
        for (size_t g = 0; g < l->fake.grids; g++)
            l->best_grids[g] = fake_params(&l->fake, g);
    }
    q->figures.kl_best = q->figures.kl_last;
    q->figures.best_step = q->figures.step;
}

/* The end of a validation. False when the first one gives no finite loss. */
static bool conclude(struct training *q, struct error *error)
{
    struct training_figures *f = &q->figures;
    f->kl_last = q->validation_loss;
    if (isnan(f->kl_first)) {
        if (!isfinite(f->kl_last))
            return error_set(error, "qat: the quantized model's predictions are not finite before training");
        f->kl_first = f->kl_last;
        keep_best(q);
    } else if (f->kl_last < f->kl_best) {
        keep_best(q);
    }
    q->phase = f->step < q->steps && !q->stopped ? PHASE_TRAIN : PHASE_DONE;
    return true;
}

static bool validate_some(struct training *q, struct error *error)
{
    size_t first = q->windows - q->held_out;
    if (q->at == 0)
        choose_next(q, first, q->held_out);
    if (!forward_some(q))
        return true;
    size_t left = q->held_out - q->next, windows = left < q->batch ? left : q->batch;
    q->validation_loss += score(q, 1, false, windows) * (double)windows / (double)q->held_out;
    q->at = 0;
    q->next += q->batch;
    return q->next < q->held_out || conclude(q, error);
}

/* ---- training -------------------------------------------------------------------------------- */

struct update {
    const struct training *q;
    struct qat_tensor *l;
    double factor;
};

static void update_pieces(void *arg, size_t begin, size_t end, int thread)
{
    const struct update *u = arg;
    struct qat_tensor *l = u->l;
    (void)thread;
    for (size_t piece = begin; piece < end; piece++) {
        size_t at = piece * PIECE, n = l->count - at < PIECE ? l->count - at : PIECE;
        adamw_update(&u->q->adamw, l->w + at, l->gradient + at, u->factor, l->m + at, l->v + at, n,
                     u->q->figures.rate, u->q->figures.step);
    }
}

static void begin_step(struct training *q)
{
    choose_training(q);
    round_weights(q);
    for (size_t i = 0; i < q->tensor_count; i++)
        memset(q->tensors[i].gradient, 0, q->tensors[i].count * sizeof(float));
}

static void end_early(struct training *q)
{
    snprintf(q->note, sizeof q->note, "qat: stopped, the loss of step %zu is not a number; the best weights are "
                                      "those of step %zu", q->figures.step + 1, q->figures.best_step);
    q->phase = PHASE_DONE;
}

/* The gradients become those by weights and scales, and move them. */
static void update(struct training *q)
{
    struct training_figures *f = &q->figures;
    struct adamw scales = q->adamw;
    double squares = 0;
    for (size_t i = 0; i < q->tensor_count; i++) {
        struct qat_tensor *l = &q->tensors[i];
        fake_backward(&l->fake, l->w, l->rounded, l->gradient, q->plan.pool);
        squares += squares_sum(l->gradient, l->count);
    }
    f->gradient_norm = sqrt(squares);
    if (!isfinite(f->loss) || !isfinite(f->gradient_norm)) {
        end_early(q);
        return;
    }
    f->rate = cosine_rate(q->rate, f->step++, q->steps, q->steps / WARMUP_SHARE);
    scales.decay = 0;
    struct update u = {q, NULL, clip_factor(f->gradient_norm, CLIP)};
    for (size_t i = 0; i < q->tensor_count; i++) {
        u.l = &q->tensors[i];
        pool_run(q->plan.pool, (u.l->count + PIECE - 1) / PIECE, update_pieces, &u);
        adamw_update(&scales, u.l->fake.log_scales, u.l->fake.row_gradients, u.factor, u.l->scale_m, u.l->scale_v,
                     u.l->fake.grids, SCALES_FASTER * f->rate, f->step);
    }
}

static void train_some(struct training *q)
{
    size_t layers = q->plan.model->hyper.layers, every = (q->steps + VALIDATIONS - 1) / VALIDATIONS;
    if (q->at == 0)
        begin_step(q);
    if (q->at < layers + 2) {
        if (forward_some(q)) {
            q->figures.loss = score(q, q->share, true, q->batch);
            network_head_back(&q->net, q->capped);
        }
        return;
    }
    if (!backward_some(q))
        return;
    q->at = 0;
    update(q);
    if (q->phase == PHASE_TRAIN && (q->figures.step % every == 0 || q->figures.step == q->steps))
        begin_validation(q);
}

/* ---- the job --------------------------------------------------------------------------------- */

void qat_stop(struct training *q)
{
    q->stopped = true;
}

bool qat_step(struct training *q, double seconds, bool *done, struct error *error)
{
    double begin = clock_seconds();
    do {
        if (q->stopped && q->phase == PHASE_TRAIN && !isnan(q->figures.kl_best))
            q->phase = PHASE_DONE;
        if (q->phase == PHASE_TEACHER)
            teacher_forward(q);
        else if (q->phase == PHASE_TRAIN)
            train_some(q);
        else if (q->phase == PHASE_VALIDATE && !validate_some(q, error))
            return false;
    } while (q->phase != PHASE_DONE && clock_seconds() - begin < seconds);
    *done = q->phase == PHASE_DONE;
    return true;
}

double qat_fraction(const struct training *q)
{
    const double teacher_share = 0.05;
    if (q->phase == PHASE_DONE)
        return 1;
    if (q->phase == PHASE_TEACHER)
        return teacher_share * (double)q->next / (double)q->windows;
    return teacher_share + (1 - teacher_share) * (double)q->figures.step / (double)(q->steps + 1);
}

struct training_figures qat_figures(const struct training *q)
{
    return q->figures;
}

const char *qat_note(const struct training *q)
{
    return *q->note ? q->note : NULL;
}

struct training_result qat_result(const struct training *q, int tensor)
{
    for (size_t i = 0; i < q->tensor_count; i++)
        if (q->tensors[i].tensor == tensor)
            return (struct training_result){q->tensors[i].best, q->tensors[i].best_grids};
    return (struct training_result){NULL, NULL};
}

/* ---- the row of the table -------------------------------------------------------------------- */

static const struct parameter parameters[] = {
    [QAT_STEPS] = {"steps", 300, 1, 100000, true, false, "of the optimizer"},
    [QAT_RATE] = {"lr", 6e-5f, 1e-8f, 1, false, false, "the highest learning rate"},
    [QAT_BATCH] = {"batch", 2048, 16, 65536, true, false, "tokens a step"},
    [QAT_DISTILL] = {"distill", 1, 0, 1, false, false,
                     "share of the KL divergence from the stored model in the loss; the rest is cross entropy"},
    [QAT_DECAY] = {"decay", 0, 0, 1, false, false, "of weights, by AdamW"},
    [QAT_TEXT] = {"text", 262144, 128, 1048576, true, false, "tokens of text to train on, at most"},
    [QAT_SEED] = {"seed", 1, 0, 1e6f, true, false, "of the order of windows"},
};

static bool check(const struct scheme *s, const float *values, struct error *error)
{
    (void)values;
    return !s->act_range ||
           error_set(error, "qat needs activations with one scale a token: expected %s, not a static one",
                     dtypes[s->format.act].name);
}

size_t qat_text_tokens(const float *values)
{
    return (size_t)values[QAT_TEXT];
}

static const struct trainer trainer = {
    .text_tokens = qat_text_tokens,
    .fits = qat_fits,
    .open = qat_open,
    .close = qat_close,
    .step = qat_step,
    .stop = qat_stop,
    .fraction = qat_fraction,
    .figures = qat_figures,
    .note = qat_note,
    .result = qat_result,
    .save = qat_save,
    .load = qat_load,
};

const struct method qat_method = {
    .name = "qat",
    .summary = "weights and scales trained by gradients through their rounding",
    .phase = PHASE_TRAINING,
    .needs = {.activations = true, .gradients = true, .weights = WEIGHTS_SCALED},
    .parameters = parameters,
    .parameter_count = sizeof parameters / sizeof *parameters,
    .check = check,
    .trainer = &trainer,
};

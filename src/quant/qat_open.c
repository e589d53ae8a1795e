/* Whether quantization-aware training fits, and opening and closing it: see qat.h. */
#include "kernels/dispatch.h"
#include "engine/context.h"
#include "sys/memory.h"
#include "qat_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    WINDOWS_MIN = 4,
    HELD_OUT_SHARE = 8,   /* one window in so many is held out to validate on */
    HELD_OUT_MAX = 4096, /* tokens that are held out, at most about */
};

/* ---- whether it fits ------------------------------------------------------------------------- */

/* Tokens of a window, of which a text has some at least. */
static size_t length_of(const struct training_plan *p)
{
    size_t share = p->count / WINDOWS_MIN;
    return p->window < share ? p->window : share;
}

static size_t batch_of(const struct training_plan *p)
{
    size_t windows = (size_t)p->values[QAT_BATCH] / length_of(p);
    size_t there = p->count / length_of(p);
    return windows < 1 ? 1 : windows < there ? windows : there;
}

static size_t held_out_of(const struct training_plan *p)
{
    size_t length = length_of(p), windows = p->count / length, max = HELD_OUT_MAX / length;
    size_t held_out = windows / HELD_OUT_SHARE < max ? windows / HELD_OUT_SHARE : max;
    return held_out < 1 ? 1 : held_out;
}

/* Of a model that no text says yet how to cut, for windows of one batch. */
static bool count_bytes(const struct training_plan *p, size_t *bytes)
{
    const struct hyper *h = &p->model->hyper;
    size_t batch = batch_of(p), n = batch * length_of(p), trained = 0;
    if (!network_bytes(p->model, batch, length_of(p), pool_threads(p->pool), bytes))
        return false;
    for (size_t t = 0; t < p->model->tensor_count; t++)
        trained += p->trains[t] ? p->model->tensors[t].stored.rows * p->model->tensors[t].stored.cols : 0;
    double all = (double)*bytes + 4 * ((double)p->model->parameters * 2 + (double)trained * 6.5 +
                                       (double)p->count * (double)h->dim + 2 * (double)n * (double)h->vocab);
    *bytes = (size_t)all;
    return all < (double)(SIZE_MAX / 2);
}

bool qat_fits(const struct training_plan *p, struct error *error)
{
    size_t bytes;
    if (!network_trains(p->model, error))
        return false;
    if (p->count < WINDOWS_MIN * 16)
        return error_set(error, "a text of %zu tokens is too short to train on; expected at least %d", p->count,
                         WINDOWS_MIN * 16);
    if (!count_bytes(p, &bytes))
        return error_set(error, "qat: the memory it needs is too large to address");
    if (p->model->parameters > QAT_PARAMETERS_MAX)
        return error_set(error, "qat is for models of up to %d million parameters; this one has %.0f million and "
                                "would need %.1f GB", QAT_PARAMETERS_MAX / 1000000,
                         (double)p->model->parameters / 1e6, (double)bytes / 1e9);
    return memory_check("quantization-aware training", bytes, error);
}

static bool check_tensors(const struct training_plan *p, struct error *error)
{
    for (size_t t = 0; t < p->model->tensor_count; t++)
        if (p->trains[t] && roles[p->model->tensors[t].role].vector)
            return error_set(error, "%s: qat is for matrices", p->model->tensors[t].name);
    return true;
}

/* ---- opening --------------------------------------------------------------------------------- */

struct decoding {
    const struct qmatrix *m;
    float *out;
    bool stored;
};

static void decode_rows(void *arg, size_t begin, size_t end, int thread)
{
    const struct decoding *d = arg;
    (void)thread;
    for (size_t r = begin; r < end; r++)
        if (d->stored)
            isa_current()->decode_row(d->m, r, d->out + r * d->m->cols);
        else
            qmatrix_decode(d->m, r, 0, d->m->cols, d->out + r * d->m->cols);
}

static float *decode(struct training *q, const struct qmatrix *m, bool stored)
{
    float *out = malloc(m->rows * m->cols * sizeof *out);
    if (out)
        pool_run(q->plan.pool, m->rows, decode_rows, &(struct decoding){m, out, stored});
    return out;
}

static bool decode_all(struct training *q, struct error *error)
{
    const struct model *m = q->plan.model;
    bool ok = true;
    for (size_t t = 0; ok && t < m->tensor_count; t++) {
        const struct qmatrix *now = &q->plan.set->layer[t]->matrix;
        ok = (q->stored[t] = decode(q, &m->tensors[t].stored, true));
        q->net.tensors[t].weights = q->stored[t];
        if (ok && !now->format.stored && !q->plan.trains[t])
            ok = (q->others[t] = decode(q, now, false));
    }
    return ok || error_set(error, "not enough memory for training");
}

static bool open_tensor(struct training *q, struct qat_tensor *l, int tensor, struct error *error)
{
    const struct qmatrix *stored = &q->plan.model->tensors[tensor].stored;
    l->tensor = tensor;
    l->count = stored->rows * stored->cols;
    if (!fake_open(&l->fake, &q->plan.schemes[tensor].format, q->stored[tensor], stored->rows, stored->cols, error))
        return false;
    float **each[] = {&l->w, &l->rounded, &l->gradient, &l->m, &l->v, &l->best};
    bool ok = true;
    for (size_t i = 0; i < sizeof each / sizeof *each; i++)
        ok &= (*each[i] = calloc(l->count, sizeof(float))) != NULL;
    l->scale_m = calloc(l->fake.grids, sizeof *l->scale_m);
    l->scale_v = calloc(l->fake.grids, sizeof *l->scale_v);
    l->best_grids = calloc(l->fake.grids, sizeof *l->best_grids);
    if (!ok || !l->scale_m || !l->scale_v || !l->best_grids)
        return error_set(error, "not enough memory for training");
    memcpy(l->w, q->stored[tensor], l->count * sizeof *l->w);
    return true;
}

static void close_tensor(struct qat_tensor *l)
{
    fake_close(&l->fake);
    free(l->w);
    free(l->rounded);
    free(l->gradient);
    free(l->m);
    free(l->v);
    free(l->best);
    free(l->scale_m);
    free(l->scale_v);
    free(l->best_grids);
}

static bool open_tensors(struct training *q, struct error *error)
{
    const struct model *m = q->plan.model;
    q->tensors = calloc(m->tensor_count, sizeof *q->tensors);
    if (!q->tensors)
        return error_set(error, "not enough memory for training");
    for (int t = 0; t < (int)m->tensor_count; t++)
        if (q->plan.trains[t] && !open_tensor(q, &q->tensors[q->tensor_count++], t, error))
            return false;
    return true;
}

static bool open_buffers(struct training *q, struct error *error)
{
    const struct model *m = q->plan.model;
    const struct hyper *h = &m->hyper;
    size_t length = length_of(&q->plan), n = q->batch * length;
    q->stored = calloc(m->tensor_count, sizeof *q->stored);
    q->others = calloc(m->tensor_count, sizeof *q->others);
    q->hidden = malloc(q->windows * length * h->dim * sizeof *q->hidden);
    q->teacher = malloc(n * h->vocab * sizeof *q->teacher);
    if (h->logit_cap > 0)
        q->capped = malloc(n * h->vocab * sizeof *q->capped);
    q->loss_scratch = malloc((size_t)pool_threads(q->plan.pool) * 2 * h->vocab * sizeof *q->loss_scratch);
    q->losses = malloc(n * sizeof *q->losses);
    q->tokens = malloc(n * sizeof *q->tokens);
    q->chosen = malloc(q->batch * sizeof *q->chosen);
    q->order.of = calloc(q->windows, sizeof *q->order.of);
    q->before.of = calloc(q->windows, sizeof *q->before.of);
    return (rope_tables_open(q->rope, m, length) && q->stored && q->others && q->hidden && q->teacher && q->loss_scratch &&
            q->losses && q->tokens && q->chosen && q->order.of && q->before.of && (q->capped || !(h->logit_cap > 0))) ||
           error_set(error, "not enough memory for training");
}

struct training *qat_open(const struct training_plan *plan, struct error *error)
{
    struct training *q = NULL;
    if (!check_tensors(plan, error) || !qat_fits(plan, error))
        return NULL;
    if (!(q = calloc(1, sizeof *q))) {
        error_set(error, "not enough memory for training");
        return NULL;
    }
    q->plan = *plan;
    q->batch = batch_of(plan);
    q->windows = plan->count / length_of(plan);
    q->held_out = held_out_of(plan);
    q->steps = (size_t)plan->values[QAT_STEPS];
    q->rate = (double)plan->values[QAT_RATE];
    q->share = (double)plan->values[QAT_DISTILL];
    q->adamw = adamw_defaults();
    q->adamw.decay = (double)plan->values[QAT_DECAY];
    sampler_seed(&q->order.random, (uint64_t)plan->values[QAT_SEED]);
    q->order.next = SIZE_MAX;
    q->begins = PHASE_VALIDATE;
    q->figures = (struct training_figures){.steps = q->steps, .loss = NAN, .rate = NAN, .gradient_norm = NAN,
                                      .kl_first = NAN, .kl_last = NAN, .kl_best = NAN,
                                      .held_out = q->held_out * length_of(plan)};
    bool ok = open_buffers(q, error) &&
              network_open(&q->net, plan->model, plan->pool, q->batch, length_of(plan), q->rope, error);
    if (ok && decode_all(q, error) && open_tensors(q, error))
        return q;
    qat_close(q);
    return NULL;
}

void qat_close(struct training *q)
{
    if (!q)
        return;
    for (size_t i = 0; i < q->tensor_count; i++)
        close_tensor(&q->tensors[i]);
    for (size_t t = 0; t < q->plan.model->tensor_count; t++) {
        free(q->stored ? q->stored[t] : NULL);
        free(q->others ? q->others[t] : NULL);
    }
    network_close(&q->net);
    free(q->tensors);
    free(q->stored);
    free(q->others);
    rope_tables_close(q->rope);
    free(q->hidden);
    free(q->teacher);
    free(q->capped);
    free(q->loss_scratch);
    free(q->losses);
    free(q->tokens);
    free(q->chosen);
    free(q->order.of);
    free(q->before.of);
    free(q);
}

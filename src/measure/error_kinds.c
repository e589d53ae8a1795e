#include "error_kinds.h"

#include "base/clock.h"
#include "model/on_demand.h"

#include <math.h>
#include <stdlib.h>

struct error_kinds {
    const struct model *model;
    struct weights *set;
    float *before, *after; /* a row of the reference, and of the set */
    size_t next;           /* tensor */
    size_t count;
    struct error_kind of[ROLE_COUNT];
};

static bool has_errors(const struct model *m, const struct qtensor *q)
{
    return !q->error.exact && !qtensor_on_demand(m, q) && q->error.sum_w2 > 0 && isfinite(q->error.sum_e2);
}

static struct error_kind *kind_of(struct error_kinds *job, enum role role)
{
    size_t i = 0;
    while (i < job->count && job->of[i].role != role)
        i++;
    return &job->of[i];
}

static void add_layer(struct error_kinds *job, enum role role, const struct weight_error *e)
{
    struct error_kind *k = kind_of(job, role);
    if (k == &job->of[job->count])
        job->of[job->count++] = (struct error_kind){.role = role};
    k->layers++;
    k->sum_w2 += e->sum_w2;
    k->sum_e2 += e->sum_e2;
    k->largest = fmaxf(k->largest, e->max_abs);
}

/* Four times the largest relative error of a kind to both sides: nearly all of every histogram. */
static void choose_range(struct error_kinds *job)
{
    double most = 0;
    for (size_t i = 0; i < job->count; i++)
        most = fmax(most, sqrt(job->of[i].sum_e2 / job->of[i].sum_w2));
    for (size_t i = 0; i < job->count; i++)
        job->of[i].errors = histogram_over(-4 * most, 4 * most);
}

struct error_kinds *error_kinds_open(const struct model *m, struct weights *set, struct error *error)
{
    struct error_kinds *job = calloc(1, sizeof *job);
    size_t cols = 1;
    for (size_t t = 0; job && t < set->count; t++) {
        const struct qtensor *q = set->layer[t];
        if (!has_errors(m, q))
            continue;
        cols = q->matrix.cols > cols ? q->matrix.cols : cols;
        add_layer(job, m->tensors[t].role, &q->error);
    }
    if (job) {
        job->model = m;
        job->set = weights_ref(set);
        job->before = malloc(cols * sizeof *job->before);
        job->after = malloc(cols * sizeof *job->after);
        choose_range(job);
    }
    if (job && job->before && job->after)
        return job;
    error_kinds_close(job);
    error_set(error, "not enough memory");
    return NULL;
}

void error_kinds_close(struct error_kinds *job)
{
    if (!job)
        return;
    weights_unref(job->set);
    free(job->before);
    free(job->after);
    free(job);
}

const struct error_kind *error_kinds_result(const struct error_kinds *job, size_t *count)
{
    *count = job->count;
    return job->of;
}

static void count_layer(struct error_kinds *job, int tensor)
{
    const struct model *reference = model_weights_reference(job->model);
    const struct qtensor *q = job->set->layer[tensor];
    size_t rows = q->matrix.rows, cols = q->matrix.cols, n = rows < ERROR_KINDS_ROWS ? rows : ERROR_KINDS_ROWS;
    double rms = sqrt(q->error.sum_w2 / ((double)rows * (double)cols));
    struct histogram *h = &kind_of(job, job->model->tensors[tensor].role)->errors;
    for (size_t i = 0; i < n; i++) {
        size_t row = i * (rows / n);
        model_decode_row(reference, tensor, row, job->before);
        qmatrix_decode_row(&q->matrix, row, job->after);
        for (size_t c = 0; c < cols; c++)
            histogram_add(h, ((double)job->after[c] - (double)job->before[c]) / rms);
    }
}

static bool step(void *state, double seconds, bool *done, struct error *error)
{
    struct error_kinds *job = state;
    double begin = clock_seconds();
    (void)error;
    do {
        if (job->next < job->set->count && has_errors(job->model, job->set->layer[job->next]))
            count_layer(job, (int)job->next);
        job->next++;
    } while (job->next < job->set->count && clock_seconds() - begin < seconds);
    *done = job->next >= job->set->count;
    return true;
}

static double fraction(const void *state)
{
    const struct error_kinds *job = state;
    return fmin(1, (double)job->next / (double)job->set->count);
}

static void close_job(void *state)
{
    error_kinds_close(state);
}

const struct job_class error_kinds_class = {
    .name = "errors of weights", .step = step, .fraction = fraction, .close = close_job};

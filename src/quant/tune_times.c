/* How long a decode step takes with each candidate. Codes do not change how long a product takes: of blocks one row is
 * made, and copied. */
#include "kernels/quantize.h"
#include "tune_internal.h"

#include "base/clock.h"
#include "model/on_demand.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TIMED_STEPS = 12, TIMED_POSITIONS = 16 };
static const double TIMED_SECONDS = 0.3; /* after which fewer steps do */

/* ---- matrices to time ------------------------------------------------------------------------ */

/* Row 0, which all others become. */
static void fill_blocks(struct qmatrix *m, const float *row)
{
    uint8_t *codes = m->owned;
    quantize_blocks(m, 0, row, NULL);
    for (size_t r = 1; r < m->rows; r++)
        memcpy(codes + r * m->row_bytes, codes, m->row_bytes);
}

struct filling {
    struct qmatrix *m;
    const float *row;
};

static void fill_panels(void *arg, size_t begin, size_t end, int thread)
{
    struct filling *f = arg;
    (void)thread;
    for (size_t r = begin * PANEL_ROWS; r < end * PANEL_ROWS && r < f->m->rows; r++)
        quantize_row(f->m, r, f->row);
}

static bool fill(struct tune *t, struct qmatrix *m, struct error *error)
{
    float *row = malloc(m->cols * sizeof *row);
    if (!row)
        return error_set(error, "not enough memory to time a step");
    for (size_t c = 0; c < m->cols; c++)
        row[c] = (float)(c % 15) - 7;
    if (qmatrix_is_blocks(m)) {
        fill_blocks(m, row);
    } else {
        struct filling f = {m, row};
        if (m->format.granularity == GRANULARITY_TENSOR)
            quantize_tensor_scale(m, (struct value_range){-7, 7});
        pool_run(t->plan.pool, qmatrix_panels(m), fill_panels, &f);
    }
    free(row);
    return true;
}

/* A matrix of the item with the candidate, for its time only. Null with an error. */
static struct qtensor *make_timed(struct tune *t, size_t item, struct error *error)
{
    int tensor = t->tensors[item];
    const struct qmatrix *stored = &t->plan.model->tensors[tensor].stored;
    struct scheme s = tune_candidate(t, t->candidate, tensor);
    struct qtensor *q = calloc(1, sizeof *q);
    if (!q) {
        error_set(error, "not enough memory to time a step");
        return NULL;
    }
    atomic_init(&q->refs, 1);
    q->tensor = tensor;
    if (qmatrix_init(&q->matrix, &s.format, stored->rows, stored->cols, error) && fill(t, &q->matrix, error))
        return q;
    qtensor_unref(q);
    return NULL;
}

/* Puts the next item into t->timed. */
static bool add_item(struct tune *t, struct error *error)
{
    size_t item = t->timed_items++;
    int tensor = t->tensors[item];
    if (tune_item_bytes(t, t->candidate, tensor) == 0 || tune_candidate(t, t->candidate, tensor).format.stored)
        return true;
    struct qtensor *q = make_timed(t, item, error);
    struct weights *next = q ? weights_replace(t->timed, q) : NULL;
    bool ok = next || !q ? q != NULL : error_set(error, "not enough memory to time a step");
    qtensor_unref(q);
    if (!next)
        return ok;
    weights_unref(t->timed);
    t->timed = next;
    return true;
}

/* ---- steps ----------------------------------------------------------------------------------- */

struct timing {
    double *seconds, *min, total; /* of each tensor, in this step and at least; of the shortest step */
    float *logits;
};

/* The shortest time of each tensor over some decode steps: whatever else runs can only add to it. */
static void run_steps(const struct tune *t, struct context *c, struct timing *k)
{
    size_t n = schemes_count(t->plan.model);
    double began = clock_seconds();
    int32_t token = 0;
    c->tensor_seconds = k->seconds;
    for (size_t step = 0; step < TIMED_STEPS && (step < 3 || clock_seconds() - began < TIMED_SECONDS); step++) {
        memset(k->seconds, 0, n * sizeof *k->seconds);
        c->length = c->capacity > 1 ? 1 : 0;
        double begin = clock_seconds();
        context_run(c, t->timed, &token, 1, LOGITS_LAST, k->logits);
        k->total = fmin(k->total, clock_seconds() - begin);
        for (size_t i = 0; i < n; i++)
            k->min[i] = step == 0 ? k->seconds[i] : fmin(k->min[i], k->seconds[i]);
    }
}

static bool time_steps(struct tune *t, struct error *error)
{
    const struct model *m = t->plan.model;
    size_t n = schemes_count(m), positions = t->plan.context < TIMED_POSITIONS ? t->plan.context : TIMED_POSITIONS;
    struct timing k = {calloc(2 * n, sizeof *k.seconds), NULL, INFINITY, malloc(m->hyper.vocab * sizeof *k.logits)};
    struct context *c = context_open_kv(m, t->plan.pool, t->plan.kv, positions, error);
    bool ok = c && k.seconds && k.logits;
    if (ok) {
        k.min = k.seconds + n;
        run_steps(t, c, &k);
        for (size_t i = 0; i < t->items; i++)
            t->seconds[i * t->candidates + t->candidate] = k.min[t->tensors[i]];
        t->total_seconds[t->candidate] = k.total;
    } else if (c) {
        error_set(error, "not enough memory to time a step");
    }
    context_close(c);
    free(k.seconds);
    free(k.logits);
    return ok;
}

bool tune_time_step(struct tune *t, double seconds, bool *done, struct error *error)
{
    double begin = clock_seconds();
    *done = false;
    if (!t->timed) {
        t->timed = weights_ref(t->plan.stored);
        t->timed_items = 0;
    }
    while (t->timed_items < t->items) {
        if (!add_item(t, error))
            return false;
        if (clock_seconds() - begin > seconds)
            return true;
    }
    bool ok = time_steps(t, error);
    weights_unref(t->timed);
    t->timed = NULL;
    *done = ok;
    return ok;
}

#include "pair_error.h"

#include "base/clock.h"
#include "kernels/dispatch.h"
#include "model/on_demand.h"

#include <math.h>
#include <stdlib.h>

enum { ROWS = 64 /* that the pool shares out at once */ };

struct pair_errors {
    const struct model *a, *b;
    struct pool *pool;
    struct pair_error *of; /* tensors */
    int tensor;            /* the one under way, */
    size_t row;            /* and its next row */
    size_t weights;        /* compared so far */
    float *buffer;         /* two rows a thread */
    size_t cols;           /* of the widest tensor */
    struct pair_error rows[ROWS];
};

double pair_error_sqnr_db(const struct pair_error *e)
{
    if (e->sum_e2 == 0)
        return e->nonfinite > 0 && e->sum_w2 == 0 ? NAN : INFINITY;
    return 10 * log10(e->sum_w2 / e->sum_e2);
}

void pair_errors_close(struct pair_errors *p)
{
    if (!p)
        return;
    free(p->of);
    free(p->buffer);
    free(p);
}

struct pair_errors *pair_errors_open(const struct model *a, const struct model *b, struct pool *pool,
                                     struct error *error)
{
    struct pair_errors *p = calloc(1, sizeof *p);
    if (p) {
        p->a = a;
        p->b = b;
        p->pool = pool;
        for (size_t t = 0; t < a->tensor_count; t++)
            p->cols = a->tensors[t].stored.cols > p->cols ? a->tensors[t].stored.cols : p->cols;
        p->of = calloc(a->tensor_count, sizeof *p->of);
        p->buffer = calloc(2 * (size_t)pool_threads(pool) * p->cols, sizeof *p->buffer);
        if (p->of && p->buffer)
            return p;
    }
    pair_errors_close(p);
    error_set(error, "not enough memory to compare weights");
    return NULL;
}

const struct pair_error *pair_errors_of(const struct pair_errors *p, int tensor)
{
    return &p->of[tensor];
}

static void decode_row(const struct model *m, int tensor, size_t row, float *out)
{
    if (model_on_demand(m, tensor))
        model_decode_row(m, tensor, row, out);
    else
        isa_current()->decode_row(&m->tensors[tensor].stored, row, out);
}

static struct pair_error compare_row(const float *a, const float *b, size_t cols)
{
    struct pair_error s = {0};
    for (size_t c = 0; c < cols; c++) {
        double w = (double)a[c], e = (double)b[c] - w;
        if (!isfinite(e)) {
            s.nonfinite++;
            continue;
        }
        s.sum_w2 += w * w;
        s.sum_e2 += e * e;
        s.max_abs = fmaxf(s.max_abs, (float)fabs(e));
    }
    return s;
}

static void compare_rows(void *arg, size_t begin, size_t end, int thread)
{
    struct pair_errors *p = arg;
    float *a = p->buffer + 2 * (size_t)thread * p->cols, *b = a + p->cols;
    for (size_t i = begin; i < end; i++) {
        decode_row(p->a, p->tensor, p->row + i, a);
        decode_row(p->b, p->tensor, p->row + i, b);
        p->rows[i] = compare_row(a, b, p->a->tensors[p->tensor].stored.cols);
    }
}

/* Some rows of the tensor under way, summed in their order. */
static void compare_some(struct pair_errors *p)
{
    const struct qmatrix *m = &p->a->tensors[p->tensor].stored;
    struct pair_error *sum = &p->of[p->tensor];
    size_t left = m->rows - p->row, n = left < ROWS ? left : ROWS;
    pool_run(p->pool, n, compare_rows, p);
    for (size_t i = 0; i < n; i++) {
        const struct pair_error *row = &p->rows[i];
        sum->sum_w2 += row->sum_w2;
        sum->sum_e2 += row->sum_e2;
        sum->max_abs = fmaxf(sum->max_abs, row->max_abs);
        sum->nonfinite += row->nonfinite;
    }
    p->weights += n * m->cols;
    p->row += n;
    if (p->row < m->rows)
        return;
    sum->complete = true;
    p->row = 0;
    p->tensor++;
}

/* ---- as a job -------------------------------------------------------------------------------- */

static bool step(void *job, double seconds, bool *done, struct error *error)
{
    struct pair_errors *p = job;
    double begin = clock_seconds();
    (void)error; /* nothing fails once it is open */
    while (p->tensor < (int)p->a->tensor_count && clock_seconds() - begin < seconds)
        compare_some(p);
    *done = p->tensor == (int)p->a->tensor_count;
    return true;
}

static double fraction(const void *job)
{
    const struct pair_errors *p = job;
    return (double)p->weights / fmax((double)p->a->parameters, 1);
}

static void close_job(void *job)
{
    pair_errors_close(job);
}

const struct job_class pair_errors_class = {
    .name = "comparing the weights of both files", .step = step, .fraction = fraction, .close = close_job};

#include "weight_stats.h"

#include "kernels/dispatch.h"
#include "model/on_demand.h"

#include <stdlib.h>

/* Of one row: kept apart, so that totals do not depend on how rows were shared out. */
struct row_sums {
    double e2, wv, w2, v2, scale_min, scale_max, scale_sum;
    size_t weights, scales;
};

struct measuring {
    const struct qmatrix *reference, *m;
    bool scales_only;
    size_t clipped;
    struct row_sums *rows;
    float *buffer; /* two rows a thread */
};

static void add_row(struct row_sums *s, const float *w, const float *v, size_t cols)
{
    for (size_t c = 0; c < cols; c++) {
        double a = w[c], b = v[c], e = b - a;
        if (!isfinite(e))
            continue;
        s->e2 += e * e;
        s->wv += a * b;
        s->w2 += a * a;
        s->v2 += b * b;
        s->weights++;
    }
}

static void add_weights(const struct measuring *job, size_t r, float *w, float *v)
{
    isa_current()->decode_row(job->reference, r, w);
    isa_current()->decode_row(job->m, r, v);
    add_row(&job->rows[r], w, v, job->m->cols);
}

static void add_scales(const struct measuring *job, size_t r)
{
    struct row_sums *s = &job->rows[r];
    s->scale_min = INFINITY;
    s->scale_max = -INFINITY;
    s->scales = scales_of_row(job->m, r);
    for (size_t g = 0; g < s->scales; g++) {
        double scale = qmatrix_scale(job->m, r, g);
        s->scale_min = fmin(s->scale_min, scale);
        s->scale_max = fmax(s->scale_max, scale);
        s->scale_sum += scale;
    }
}

static void measure_rows(void *arg, size_t begin, size_t end, int thread)
{
    const struct measuring *job = arg;
    float *w = job->scales_only ? NULL : job->buffer + (size_t)thread * 2 * job->m->cols;
    for (size_t r = begin; r < end; r++) {
        add_scales(job, r);
        if (!job->scales_only)
            add_weights(job, r, w, w + job->m->cols);
    }
}

static struct weight_stats sum_up(const struct measuring *job)
{
    struct row_sums all = {.scale_min = INFINITY, .scale_max = -INFINITY};
    bool integers = dtypes[job->m->format.weight].kind == DTYPE_KIND_INTEGER;
    for (size_t r = 0; r < job->m->rows; r++) {
        const struct row_sums *s = &job->rows[r];
        all.e2 += s->e2;
        all.wv += s->wv;
        all.w2 += s->w2;
        all.v2 += s->v2;
        all.weights += s->weights;
        all.scales += s->scales;
        all.scale_sum += s->scale_sum;
        all.scale_min = fmin(all.scale_min, s->scale_min);
        all.scale_max = fmax(all.scale_max, s->scale_max);
    }
    struct weight_stats out = {all.weights, 0, 1, integers ? 0 : NAN, NAN, NAN, NAN};
    if (all.scales > 0) {
        out.scale_min = all.scale_min;
        out.scale_max = all.scale_max;
        out.scale_mean = all.scale_sum / (double)all.scales;
    }
    if (job->scales_only) {
        out.weights = job->m->rows * job->m->cols;
        return out;
    }
    double n = (double)all.weights; /* without any, NaN */
    out.mse = all.e2 / n;
    out.cosine = all.wv / (sqrt(all.w2) * sqrt(all.v2));
    if (integers)
        out.clipped = (double)job->clipped / n;
    return out;
}

bool weight_stats_measure(const struct model *model, const struct qtensor *q, struct pool *pool,
                          struct weight_stats *out, struct error *error)
{
    const struct model *reference = model_weights_reference(model);
    struct measuring job = {.reference = &reference->tensors[q->tensor].stored,
                            .m = &q->matrix,
                            .scales_only = q->error.exact,
                            .clipped = q->error.clipped};
    job.rows = calloc(job.m->rows, sizeof *job.rows);
    job.buffer = calloc((size_t)pool_threads(pool) * 2 * job.m->cols, sizeof *job.buffer);
    bool ok = (job.rows && job.buffer) || error_set(error, "not enough memory");
    if (ok && job.scales_only) { /* scales always lie in memory */
        pool_run(pool, job.m->rows, measure_rows, &job);
        *out = sum_up(&job);
    } else if (ok && (ok = model_acquire(reference, q->tensor, pool, error))) {
        ok = model_acquire(model, q->tensor, pool, error);
        if (ok) {
            pool_run(pool, job.m->rows, measure_rows, &job);
            *out = sum_up(&job);
            model_release(model, q->tensor);
        }
        model_release(reference, q->tensor);
    }
    free(job.rows);
    free(job.buffer);
    return ok;
}

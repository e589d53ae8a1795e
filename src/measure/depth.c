#include "depth.h"

#include "engine/forward.h"
#include "engine/pin.h"
#include "base/clock.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct depth_job {
    struct context *reference_context, *scheme_context;
    struct pin reference_pin, scheme_pin;
    struct weights *reference, *scheme;
    struct depth_profile *out;
    size_t done; /* points */
    int32_t tokens[DEPTH_TOKENS];
    size_t n;
};

struct depth_profile *depth_ref(struct depth_profile *p)
{
    if (p)
        atomic_fetch_add(&p->refs, 1);
    return p;
}

void depth_unref(struct depth_profile *p)
{
    if (p && atomic_fetch_sub(&p->refs, 1) == 1)
        free(p);
}

size_t depth_steepest(const struct depth_profile *p)
{
    size_t at = 0;
    double largest = 0;
    for (size_t i = 0; i < p->count; i++) {
        double rise = p->error[i] - (i > 0 ? p->error[i - 1] : 0);
        if (rise > largest) {
            largest = rise;
            at = i;
        }
    }
    return at;
}

const char *depth_name(const struct depth_profile *p, size_t point, char out[DEPTH_NAME])
{
    struct segment s = point > 0 ? model_segment(p->model, point - 1) : (struct segment){0};
    if (point == 0)
        snprintf(out, DEPTH_NAME, "embedding");
    else
        snprintf(out, DEPTH_NAME, "blk.%zu %s", s.block, segment_name(p->model, s));
    return out;
}

static bool open_profile(struct depth_job *job, const struct model *m, struct error *error)
{
    size_t count = 1 + model_segments(m);
    job->out = calloc(1, sizeof *job->out + count * sizeof *job->out->error);
    if (!job->out)
        return error_set(error, "not enough memory");
    atomic_init(&job->out->refs, 1);
    job->out->model = m;
    job->out->count = count;
    job->out->tokens = job->n;
    return true;
}

struct depth_job *depth_open(const struct model *model, struct pool *pool, const int32_t *tokens, size_t n,
                             struct weights *reference, struct weights *scheme, struct error *error)
{
    const struct model *reference_model = model_reference(model);
    struct depth_job *job = calloc(1, sizeof *job);
    if (!job) {
        error_set(error, "not enough memory");
        return NULL;
    }
    job->n = n < DEPTH_TOKENS ? n : DEPTH_TOKENS;
    memcpy(job->tokens, tokens, job->n * sizeof *tokens);
    job->reference = weights_ref(reference);
    job->scheme = weights_ref(scheme);
    bool ok = open_profile(job, model, error) &&
              pin_open(&job->reference_pin, reference_model, error) && pin_open(&job->scheme_pin, model, error) &&
              pin_set(&job->reference_pin, reference, pool, error) &&
              pin_set(&job->scheme_pin, scheme, pool, error) &&
              (job->reference_context = context_open(reference_model, pool, job->n, error)) &&
              (job->scheme_context = context_open_kv(model, pool, scheme->kv, job->n, error));
    if (ok)
        return job;
    depth_close(job);
    return NULL;
}

static double relative_error(const float *x, const float *reference, size_t n)
{
    double e2 = 0, x2 = 0;
    for (size_t i = 0; i < n; i++) {
        double e = (double)x[i] - reference[i];
        e2 += e * e;
        x2 += (double)reference[i] * reference[i];
    }
    return e2 == 0 ? 0 : sqrt(e2 / x2);
}

bool depth_step(struct depth_job *job, double seconds)
{
    double begin = clock_seconds();
    while (job->done < job->out->count) {
        forward_part(job->reference_context, job->reference, job->done, job->tokens, job->n);
        if (job->scheme != job->reference) {
            forward_part(job->scheme_context, job->scheme, job->done, job->tokens, job->n);
            job->out->error[job->done] =
                relative_error(job->scheme_context->reg[REG_X], job->reference_context->reg[REG_X],
                               job->n * job->scheme_context->model->hyper.dim);
        }
        job->done++;
        if (clock_seconds() - begin > seconds)
            break;
    }
    return job->done == job->out->count;
}

double depth_fraction(const struct depth_job *job)
{
    return (double)job->done / (double)job->out->count;
}

struct depth_profile *depth_take(struct depth_job *job)
{
    struct depth_profile *out = job->out;
    job->out = NULL;
    return out;
}

void depth_close(struct depth_job *job)
{
    if (!job)
        return;
    pin_close(&job->reference_pin);
    pin_close(&job->scheme_pin);
    context_close(job->reference_context);
    context_close(job->scheme_context);
    weights_unref(job->reference);
    weights_unref(job->scheme);
    free(job->out);
    free(job);
}

/* ---- as a job ---------------------------------------------------------------------------------- */

static bool step_job(void *job, double seconds, bool *done, struct error *error)
{
    (void)error; /* nothing fails once it is open */
    *done = depth_step(job, seconds);
    return true;
}

static double job_fraction(const void *job)
{
    return depth_fraction(job);
}

static void close_job(void *job)
{
    depth_close(job);
}

const struct job_class depth_class = {
    .name = "comparing hidden states",
    .step = step_job,
    .fraction = job_fraction,
    .close = close_job,
};

#include "calibration.h"

#include "linalg/gram.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

float input_largest(const struct input_stats *s, size_t c)
{
    return fmaxf(-s->min[c], s->max[c]);
}

double input_mean(const struct input_stats *s, size_t c)
{
    return s->tokens ? s->sum_abs[c] / (double)s->tokens : 0;
}

struct pass {
    struct input_stats *s;
    const float *x;
    size_t stride, n;
    bool *nonfinite;
};

static void find_nonfinite(void *arg, size_t begin, size_t end, int thread)
{
    const struct pass *p = arg;
    (void)thread;
    for (size_t t = begin; t < end; t++)
        p->nonfinite[t] = !all_finite(p->x + t * p->stride, p->s->cols);
}

/* Items are runs of columns, which go through the tokens in their order. */
enum { RUN = 64 };

static void add_token(struct input_stats *s, const float *x, size_t first, size_t last)
{
    for (size_t c = first; c < last; c++) {
        s->min[c] = x[c] < s->min[c] ? x[c] : s->min[c];
        s->max[c] = x[c] > s->max[c] ? x[c] : s->max[c];
        s->sum_abs[c] += fabs((double)x[c]);
        s->sum_squares[c] += (double)x[c] * (double)x[c];
    }
}

static void add_columns(void *arg, size_t begin, size_t end, int thread)
{
    const struct pass *p = arg;
    size_t first = begin * RUN, last = end * RUN < p->s->cols ? end * RUN : p->s->cols;
    (void)thread;
    for (size_t t = 0; t < p->n; t++)
        if (!p->nonfinite[t])
            add_token(p->s, p->x + t * p->stride, first, last);
}

/* Tokens that are due, or come after one that was and is not finite. */
static void take_sample(const struct pass *p)
{
    struct input_stats *s = p->s;
    size_t max = s->total < CALIBRATION_SAMPLES ? s->total : CALIBRATION_SAMPLES;
    for (size_t t = 0; t < p->n && s->samples < max; t++) {
        size_t at = s->tokens + s->nonfinite_tokens + t;
        if (at * max / s->total >= s->samples && !p->nonfinite[t])
            memcpy(s->sample + s->samples++ * s->cols, p->x + t * p->stride, s->cols * sizeof(float));
    }
}

bool input_stats_open(struct input_stats *s, size_t cols, size_t total, struct error *error)
{
    *s = (struct input_stats){.cols = cols, .total = total};
    s->min = calloc(cols, sizeof *s->min);
    s->max = calloc(cols, sizeof *s->max);
    s->sum_abs = calloc(cols, sizeof *s->sum_abs);
    s->sum_squares = calloc(cols, sizeof *s->sum_squares);
    s->sample = malloc(CALIBRATION_SAMPLES * cols * sizeof *s->sample);
    return (s->min && s->max && s->sum_abs && s->sum_squares && s->sample) ||
           error_set(error, "not enough memory for calibration");
}

void input_stats_add(struct input_stats *s, struct pool *pool, const float *x, size_t stride, size_t n)
{
    bool nonfinite[STATS_CHUNK];
    struct pass p = {s, x, stride, n, nonfinite};
    pool_run(pool, n, find_nonfinite, &p);
    pool_run(pool, (s->cols + RUN - 1) / RUN, add_columns, &p);
    take_sample(&p);
    for (size_t t = 0; t < n; t++)
        *(nonfinite[t] ? &s->nonfinite_tokens : &s->tokens) += 1;
}

bool input_stats_make(struct input_stats *s, struct pool *pool, const float *x, size_t stride, size_t cols,
                     size_t n, struct error *error)
{
    if (!input_stats_open(s, cols, n, error))
        return false;
    for (size_t done = 0, part; done < n; done += part) {
        part = n - done < STATS_CHUNK ? n - done : STATS_CHUNK;
        input_stats_add(s, pool, x + done * stride, stride, part);
    }
    return true;
}

void input_stats_free(struct input_stats *s)
{
    free(s->min);
    free(s->max);
    free(s->sum_abs);
    free(s->sum_squares);
    free(s->sample);
    *s = (struct input_stats){0};
}

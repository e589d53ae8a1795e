#include "scaling.h"

#include "kernels/dispatch.h"
#include "engine/product.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

enum {
    ALPHAS = 20,      /* 0, 1/20 ... 19/20 and 1 */
    TRIED_ROWS = 512, /* of a tensor, about, in trials */
};

static const struct qmatrix *stored_of(const struct scaling *s, size_t i)
{
    return &s->model->tensors[s->tensors[i]].stored;
}

/* ---- the rows of trials ---------------------------------------------------------------------- */

/* Of a large tensor trials look at every so manyth panel. */
static size_t panel_stride(const struct qmatrix *stored)
{
    size_t stride = qmatrix_panels(stored) / (TRIED_ROWS / PANEL_ROWS);
    return stride > 1 ? stride : 1;
}

static size_t tried_rows(const struct qmatrix *stored)
{
    size_t stride = panel_stride(stored), all = qmatrix_panels(stored), panels = (all + stride - 1) / stride;
    size_t filling = all * PANEL_ROWS - stored->rows;
    return panels * PANEL_ROWS - ((panels - 1) * stride == all - 1 ? filling : 0);
}

/* The tensor's row that is row r of a trial. */
static size_t tried_row(const struct qmatrix *stored, size_t r)
{
    return r / PANEL_ROWS * panel_stride(stored) * PANEL_ROWS + r % PANEL_ROWS;
}

/* ---- what the stored weights say ------------------------------------------------------------- */

static void find_weight_max(struct scaling *s)
{
    size_t cols = s->stats->cols;
    for (size_t i = 0; i < s->count; i++)
        for (size_t r = 0; r < stored_of(s, i)->rows; r++) {
            isa_current()->decode_row(stored_of(s, i), r, s->rows);
            for (size_t c = 0; c < cols; c++) {
                float size = fabsf(s->rows[c]);
                bool larger = size > s->weight_max[c] && size <= FLT_MAX;
                s->weight_max[c] = larger ? size : s->weight_max[c];
            }
        }
}

static void multiply(struct scaling *s, const struct qmatrix *m, float *y)
{
    products_run(s->pool, s->scratch, &m, 1, s->stats->sample, s->stats->samples, &y);
}

static size_t outputs(const struct scaling *s, size_t i)
{
    return tried_rows(stored_of(s, i)) * s->stats->samples;
}

/* What the stored weights make of the sample, in the rows of trials. */
static void find_reference(struct scaling *s, size_t i, float *out)
{
    const struct qmatrix *stored = stored_of(s, i);
    size_t rows = tried_rows(stored);
    multiply(s, stored, s->y);
    for (size_t t = 0; t < s->stats->samples; t++)
        for (size_t r = 0; r < rows; r++)
            out[t * rows + r] = s->y[t * stored->rows + tried_row(stored, r)];
}

bool scaling_open(struct scaling *s, const struct model *model, struct pool *pool, const int *tensors,
                  size_t count, const struct input_stats *stats, const struct scheme *scheme,
                  struct error *error)
{
    size_t cols = stats->cols, all = 0, most = 0;
    const struct method *method = scheme_method(scheme, PHASE_INPUT_SCALE);
    *s = (struct scaling){.model = model, .tensors = tensors, .count = count, .stats = stats, .pool = pool};
    s->method = method->input_scaling;
    double alpha = (double)methods_values_of(&scheme->methods, method)[s->method->alpha];
    s->format = scheme->format;
    s->fixed = alpha != (double)PARAMETER_SEARCH;
    s->best_loss = INFINITY;
    for (size_t i = 0; i < count; i++) {
        all += outputs(s, i);
        size_t whole = stored_of(s, i)->rows * stats->samples;
        most = whole > most ? whole : most;
    }
    s->weight_max = calloc(cols, sizeof(float));
    s->scale = malloc(cols * sizeof(float));
    s->best = malloc(cols * sizeof(float));
    s->rows = malloc((size_t)pool_threads(pool) * cols * sizeof(float));
    bool ok = s->weight_max && s->scale && s->best && s->rows;
    if (ok && !s->fixed) {
        s->reference = malloc((all + 1) * sizeof(float));
        s->y = malloc((most + 1) * sizeof(float));
        s->scratch = aligned_alloc(64, padded_bytes(products_scratch(cols, CALIBRATION_SAMPLES)));
        ok = s->reference && s->y && s->scratch;
    }
    if (!ok)
        return error_set(error, "not enough memory to search an input scale");
    if (s->method->weight_max)
        find_weight_max(s);
    float *y = s->reference;
    for (size_t i = 0; i < count && !s->fixed && stats->samples > 0; y += outputs(s, i), i++)
        find_reference(s, i, y);
    s->best_alpha = s->fixed ? alpha : 0;
    s->method->scale(stats, s->weight_max, s->best_alpha, s->best);
    return true;
}

void scaling_close(struct scaling *s)
{
    free(s->weight_max);
    free(s->scale);
    free(s->best);
    free(s->rows);
    free(s->reference);
    free(s->y);
    free(s->scratch);
    *s = (struct scaling){0};
}

/* ---- trials ---------------------------------------------------------------------------------- */

struct trial {
    struct scaling *s;
    const struct qmatrix *stored;
    struct qmatrix *m;          /* tried_rows x cols */
    struct value_range *ranges; /* of rows, where the whole tensor shares a scale */
};

/* Row r of the tensor, times the scales. */
static float *scaled_row(const struct trial *t, size_t r, int thread)
{
    float *row = t->s->rows + (size_t)thread * t->stored->cols;
    isa_current()->decode_row(t->stored, r, row);
    quantize_input_transform(t->m, 0, row); /* whatever the row: there are no outlier columns */
    return row;
}

static void range_panels(void *arg, size_t begin, size_t end, int thread)
{
    const struct trial *t = arg;
    for (size_t r = begin * PANEL_ROWS; r < end * PANEL_ROWS && r < t->stored->rows; r++)
        value_range_add(&t->ranges[r], scaled_row(t, r, thread), t->stored->cols);
}

static void pack_panels(void *arg, size_t begin, size_t end, int thread)
{
    const struct trial *t = arg;
    for (size_t r = begin * PANEL_ROWS; r < end * PANEL_ROWS && r < t->m->rows; r++)
        quantize_row(t->m, r, scaled_row(t, tried_row(t->stored, r), thread));
}

static bool pack_trial(struct trial *t, struct error *error)
{
    struct value_range all = {0, 0};
    if (t->s->format.granularity == GRANULARITY_TENSOR) {
        t->ranges = calloc(t->stored->rows, sizeof *t->ranges);
        if (!t->ranges)
            return error_set(error, "not enough memory to search an input scale");
        pool_run(t->s->pool, qmatrix_panels(t->stored), range_panels, t);
        for (size_t r = 0; r < t->stored->rows; r++) {
            all.min = fminf(all.min, t->ranges[r].min);
            all.max = fmaxf(all.max, t->ranges[r].max);
        }
        free(t->ranges);
    }
    quantize_tensor_scale(t->m, all);
    pool_run(t->s->pool, qmatrix_panels(t->m), pack_panels, t);
    return true;
}

static double squared_distance(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sum;
}

static double squared_size(const float *a, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)a[i];
    return sum > 0 ? sum : 1;
}

/* Packs one tensor with the scales under trial and adds what its outputs are off by. */
static bool try_tensor(struct scaling *s, size_t i, struct error *error)
{
    struct qmatrix m;
    const struct qmatrix *stored = stored_of(s, i);
    const float *reference = s->reference;
    for (size_t k = 0; k < i; k++)
        reference += outputs(s, k);
    if (!qmatrix_init(&m, &s->format, tried_rows(stored), stored->cols, error))
        return false;
    struct trial t = {s, stored, &m, NULL};
    bool ok = qmatrix_set_input_scale(&m, s->scale, error) && pack_trial(&t, error);
    if (ok) {
        multiply(s, &m, s->y);
        s->loss += squared_distance(s->y, reference, outputs(s, i)) / squared_size(reference, outputs(s, i));
    }
    qmatrix_free(&m);
    return ok;
}

bool scaling_step(struct scaling *s, bool *done, struct error *error)
{
    *done = s->fixed || s->stats->samples == 0 || s->step > ALPHAS;
    if (*done)
        return true;
    double alpha = (double)s->step / ALPHAS;
    if (s->at == 0) {
        s->loss = 0;
        s->method->scale(s->stats, s->weight_max, alpha, s->scale);
    }
    if (!try_tensor(s, s->at, error))
        return false;
    if (++s->at < s->count)
        return true;
    s->at = 0;
    s->step++;
    if (s->loss < s->best_loss) {
        s->best_loss = s->loss;
        s->best_alpha = alpha;
        float *scale = s->best;
        s->best = s->scale;
        s->scale = scale;
    }
    return true;
}

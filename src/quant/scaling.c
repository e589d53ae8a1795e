#include "scaling.h"

#include "kernels/dispatch.h"

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

static size_t outputs(const struct scaling *s, size_t i)
{
    return tried_rows(stored_of(s, i)) * s->stats->samples;
}

/* Where the outputs of tensor i stand in the reference. */
static float *reference_of(const struct scaling *s, size_t i)
{
    float *reference = s->reference;
    for (size_t k = 0; k < i; k++)
        reference += outputs(s, k);
    return reference;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Products of the sample are only for a search. */
static bool allocate(struct scaling *s)
{
    size_t cols = s->stats->cols, all = 0, max = 0;
    for (size_t i = 0; i < s->count; i++) {
        size_t whole = stored_of(s, i)->rows * s->stats->samples;
        all += outputs(s, i);
        max = whole > max ? whole : max;
    }
    s->weight_max = calloc(cols, sizeof(float));
    s->scale = malloc(cols * sizeof(float));
    s->best = malloc(cols * sizeof(float));
    s->rows = malloc((size_t)pool_threads(s->pool) * cols * sizeof(float));
    if (!s->weight_max || !s->scale || !s->best || !s->rows)
        return false;
    if (s->fixed)
        return true;
    s->reference = malloc((all + 1) * sizeof(float));
    s->y = malloc((max + 1) * sizeof(float));
    s->scratch = aligned_alloc(64, padded_bytes(activations_scratch(cols, CALIBRATION_SAMPLES)));
    return s->reference && s->y && s->scratch;
}

static void begin_reference(struct scaling *s)
{
    const struct qmatrix *stored = stored_of(s, s->at);
    sliced_product_begin(&s->product, stored, panel_stride(stored), s->stats->sample, s->stats->samples, s->scratch,
                         s->y);
    s->stage = SCALING_REFERENCE;
}

/* What weights say is known: without a search the scale is, too. */
static void begin_search(struct scaling *s)
{
    s->at = s->next = 0;
    s->method->scale(s->stats, s->weight_max, s->best_alpha, s->best);
    s->stage = SCALING_DONE;
    if (!s->fixed && s->stats->samples > 0)
        begin_reference(s);
}

bool scaling_open(struct scaling *s, const struct model *model, struct pool *pool, const int *tensors,
                  size_t count, const struct input_stats *stats, const struct scheme *scheme,
                  struct error *error)
{
    const struct method *method = scheme_method(scheme, PHASE_INPUT_SCALE);
    *s = (struct scaling){.model = model, .tensors = tensors, .count = count, .stats = stats, .pool = pool};
    s->method = method->input_scaling;
    s->format = scheme->format;
    double alpha = (double)methods_values_of(&scheme->methods, method)[s->method->alpha];
    s->fixed = alpha != (double)PARAMETER_SEARCH;
    s->best_alpha = s->fixed ? alpha : 0;
    s->best_loss = INFINITY;
    if (!allocate(s))
        return error_set(error, "not enough memory to search an input scale");
    if (!s->method->weight_max)
        begin_search(s);
    return true;
}

static void end_trial(struct scaling *s)
{
    qmatrix_free(&s->trial);
    free(s->ranges);
    s->ranges = NULL;
}

void scaling_close(struct scaling *s)
{
    end_trial(s);
    free(s->weight_max);
    free(s->scale);
    free(s->best);
    free(s->rows);
    free(s->reference);
    free(s->y);
    free(s->scratch);
    *s = (struct scaling){0};
}

/* ---- what the stored weights say ------------------------------------------------------------- */

/* How many panels of `all` are next, in a pass over weights that `threads` share. */
static size_t next_panels(struct scaling *s, size_t all, size_t threads)
{
    size_t panel = PANEL_ROWS * s->stats->cols, each = SCALING_WEIGHTS_STEP / panel;
    size_t max = (each > 1 ? each : 1) * threads, n = all - s->next < max ? all - s->next : max;
    s->work = n * panel;
    return n;
}

static void widen_weight_max(struct scaling *s, size_t r)
{
    isa_current()->decode_row(stored_of(s, s->at), r, s->rows);
    for (size_t c = 0; c < s->stats->cols; c++) {
        float size = fabsf(s->rows[c]);
        bool larger = size > s->weight_max[c] && size <= FLT_MAX;
        s->weight_max[c] = larger ? size : s->weight_max[c];
    }
}

static void weights_step(struct scaling *s)
{
    const struct qmatrix *stored = stored_of(s, s->at);
    size_t n = next_panels(s, qmatrix_panels(stored), 1), end = (s->next + n) * PANEL_ROWS;
    for (size_t r = s->next * PANEL_ROWS; r < end && r < stored->rows; r++)
        widen_weight_max(s, r);
    s->next += n;
    if (s->next < qmatrix_panels(stored))
        return;
    s->next = 0;
    if (++s->at == s->count)
        begin_search(s);
}

/* ---- trials ---------------------------------------------------------------------------------- */

static bool begin_trial(struct scaling *s, struct error *error)
{
    const struct qmatrix *stored = stored_of(s, s->at);
    bool whole = s->format.granularity == GRANULARITY_TENSOR;
    s->next = 0;
    if (s->at == 0) {
        s->loss = 0;
        s->method->scale(s->stats, s->weight_max, (double)s->alpha / ALPHAS, s->scale);
    }
    if (!qmatrix_init(&s->trial, &s->format, tried_rows(stored), stored->cols, error) ||
        !qmatrix_set_input_scale(&s->trial, s->scale, error))
        return false;
    s->ranges = whole ? calloc(stored->rows, sizeof *s->ranges) : NULL;
    if (whole && !s->ranges)
        return error_set(error, "not enough memory to search an input scale");
    if (!whole)
        quantize_tensor_scale(&s->trial, (struct value_range){0, 0});
    s->stage = whole ? SCALING_RANGE : SCALING_PACK;
    return true;
}

/* Gathers the outputs of the tensor in the rows of trials. */
static bool reference_step(struct scaling *s, struct error *error)
{
    const struct qmatrix *stored = stored_of(s, s->at);
    size_t rows = tried_rows(stored);
    float *out = reference_of(s, s->at);
    bool done = sliced_product_step(&s->product, s->pool);
    s->work = s->product.macs;
    if (!done)
        return true;
    for (size_t t = 0; t < s->stats->samples; t++)
        for (size_t r = 0; r < rows; r++)
            out[t * rows + r] = s->y[t * stored->rows + tried_row(stored, r)];
    if (++s->at < s->count) {
        begin_reference(s);
        return true;
    }
    s->at = 0;
    return begin_trial(s, error);
}

/* Row r of the tensor, times the scales. */
static float *scaled_row(struct scaling *s, size_t r, int thread)
{
    float *row = s->rows + (size_t)thread * s->stats->cols;
    isa_current()->decode_row(stored_of(s, s->at), r, row);
    quantize_input_transform(&s->trial, 0, row); /* whatever the row: there are no outlier columns */
    return row;
}

static void range_panels(void *arg, size_t begin, size_t end, int thread)
{
    struct scaling *s = arg;
    size_t rows = stored_of(s, s->at)->rows, last = (s->next + end) * PANEL_ROWS;
    for (size_t r = (s->next + begin) * PANEL_ROWS; r < last && r < rows; r++)
        value_range_add(&s->ranges[r], scaled_row(s, r, thread), s->stats->cols);
}

static void range_step(struct scaling *s)
{
    const struct qmatrix *stored = stored_of(s, s->at);
    struct value_range all = {0, 0};
    size_t n = next_panels(s, qmatrix_panels(stored), (size_t)pool_threads(s->pool));
    pool_run(s->pool, n, range_panels, s);
    s->next += n;
    if (s->next < qmatrix_panels(stored))
        return;
    for (size_t r = 0; r < stored->rows; r++) {
        all.min = fminf(all.min, s->ranges[r].min);
        all.max = fmaxf(all.max, s->ranges[r].max);
    }
    quantize_tensor_scale(&s->trial, all);
    s->next = 0;
    s->stage = SCALING_PACK;
}

static void pack_panels(void *arg, size_t begin, size_t end, int thread)
{
    struct scaling *s = arg;
    size_t last = (s->next + end) * PANEL_ROWS;
    for (size_t r = (s->next + begin) * PANEL_ROWS; r < last && r < s->trial.rows; r++)
        quantize_row(&s->trial, r, scaled_row(s, tried_row(stored_of(s, s->at), r), thread));
}

static void pack_step(struct scaling *s)
{
    size_t n = next_panels(s, qmatrix_panels(&s->trial), (size_t)pool_threads(s->pool));
    pool_run(s->pool, n, pack_panels, s);
    s->next += n;
    if (s->next < qmatrix_panels(&s->trial))
        return;
    sliced_product_begin(&s->product, &s->trial, 1, s->stats->sample, s->stats->samples, s->scratch, s->y);
    s->stage = SCALING_MULTIPLY;
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

/* All tensors had their trial of the alpha. */
static void finish_alpha(struct scaling *s)
{
    if (s->loss < s->best_loss) {
        s->best_loss = s->loss;
        s->best_alpha = (double)s->alpha / ALPHAS;
        float *scale = s->best;
        s->best = s->scale;
        s->scale = scale;
    }
    s->at = 0;
    s->alpha++;
}

/* Adds what the tensor's outputs are off by. */
static bool multiply_step(struct scaling *s, struct error *error)
{
    const float *reference = reference_of(s, s->at);
    size_t n = outputs(s, s->at);
    bool done = sliced_product_step(&s->product, s->pool);
    s->work = s->product.macs;
    if (!done)
        return true;
    s->loss += squared_distance(s->y, reference, n) / squared_size(reference, n);
    end_trial(s);
    if (++s->at == s->count)
        finish_alpha(s);
    if (s->alpha <= ALPHAS)
        return begin_trial(s, error);
    s->stage = SCALING_DONE;
    return true;
}

bool scaling_step(struct scaling *s, bool *done, struct error *error)
{
    bool ok = true;
    if (s->stage == SCALING_WEIGHTS)
        weights_step(s);
    else if (s->stage == SCALING_REFERENCE)
        ok = reference_step(s, error);
    else if (s->stage == SCALING_RANGE)
        range_step(s);
    else if (s->stage == SCALING_PACK)
        pack_step(s);
    else if (s->stage == SCALING_MULTIPLY)
        ok = multiply_step(s, error);
    *done = s->stage == SCALING_DONE;
    return ok;
}

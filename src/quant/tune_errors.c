/* What each candidate does to the output of each layer: its matrix is made of some rows, and their squared errors count
 * by the mean squares of the inputs on some of the calibration text. */
#include "kernels/dispatch.h"
#include "model/on_demand.h"
#include "tune_internal.h"

#include "base/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ERROR_TOKENS = 1024, ERROR_ROWS = 96, FEW_TOKENS = 16 };

/* ---- one matrix ------------------------------------------------------------------------------ */

struct sample {
    const struct qmatrix *stored;
    struct qmatrix made;     /* of some rows */
    const float *importance; /* cols, or null */
    float *rows;             /* two a thread */
    double *e2, *w2;         /* sums of each row */
};

static void measure_row(struct sample *s, size_t r, float *row, float *back)
{
    size_t cols = s->stored->cols;
    double e2 = 0, w2 = 0;
    isa_current()->decode_row(s->stored, r * s->stored->rows / s->made.rows, row);
    if (qmatrix_is_blocks(&s->made))
        quantize_blocks(&s->made, r, row, s->importance);
    else
        quantize_row(&s->made, r, row);
    qmatrix_decode_row(&s->made, r, back);
    for (size_t c = 0; c < cols; c++) {
        double h = s->importance ? (double)s->importance[c] : 1, w = (double)row[c], e = (double)back[c] - w;
        e2 += h * e * e;
        w2 += h * w * w;
    }
    s->e2[r] = e2;
    s->w2[r] = w2;
}

static void measure_panels(void *arg, size_t begin, size_t end, int thread)
{
    struct sample *s = arg;
    float *rows = s->rows + (size_t)thread * 2 * s->stored->cols;
    for (size_t r = begin * PANEL_ROWS; r < end * PANEL_ROWS && r < s->made.rows; r++)
        measure_row(s, r, rows, rows + s->stored->cols);
}

/* The squared error as a share of the squares; weights that are not finite have none. */
static double share_of(const struct sample *s)
{
    double e2 = 0, w2 = 0;
    for (size_t r = 0; r < s->made.rows; r++)
        if (isfinite(s->e2[r]) && isfinite(s->w2[r])) {
            e2 += s->e2[r];
            w2 += s->w2[r];
        }
    return w2 > 0 ? e2 / w2 : 0;
}

static bool measure(struct tune *t, size_t item, const float *importance, double *out, struct error *error)
{
    const struct qmatrix *stored = &t->plan.model->tensors[t->tensors[item]].stored;
    struct scheme scheme = tune_candidate(t, t->errors.candidate, t->tensors[item]);
    size_t rows = stored->rows < ERROR_ROWS ? stored->rows : ERROR_ROWS;
    struct sample s = {.stored = stored, .importance = importance};
    *out = 0;
    if (scheme.format.stored)
        return true;
    if (!qmatrix_init(&s.made, &scheme.format, rows, stored->cols, error))
        return false;
    s.rows = malloc((size_t)pool_threads(t->plan.pool) * 2 * stored->cols * sizeof *s.rows);
    s.e2 = calloc(2 * rows, sizeof *s.e2);
    bool ok = s.rows && s.e2 ? true : error_set(error, "not enough memory to search");
    if (ok) {
        s.w2 = s.e2 + rows;
        pool_run(t->plan.pool, qmatrix_panels(&s.made), measure_panels, &s);
        *out = share_of(&s);
    }
    qmatrix_free(&s.made);
    free(s.rows);
    free(s.e2);
    return ok;
}

/* ---- the pass -------------------------------------------------------------------------------- */

/* Windows from all over the text, as many as ERROR_TOKENS takes. */
static size_t take_windows(const struct calibration_text *text, int32_t *out)
{
    size_t windows = (text->count + text->window - 1) / text->window, wanted = ERROR_TOKENS / text->window, n = 0;
    wanted = wanted < 1 ? 1 : wanted < windows ? wanted : windows;
    for (size_t i = 0; i < wanted; i++) {
        size_t from = i * windows / wanted * text->window, left = text->count - from;
        size_t count = left < text->window ? left : text->window;
        memcpy(out + n, text->tokens + from, count * sizeof *out);
        n += count;
    }
    return n;
}

static bool open_pass(struct tune *t, struct error *error)
{
    struct tune_errors *e = &t->errors;
    const struct calibration_text *text = t->plan.text;
    e->tokens = malloc((text->count + 1) * sizeof *e->tokens);
    if (!e->tokens)
        return error_set(error, "not enough memory to search");
    size_t count = take_windows(text, e->tokens);
    e->pass = layerwise_open(t->plan.model, t->plan.pool, e->tokens, count, text->window, error);
    return e->pass != NULL;
}

/* The items that one input group has. */
static void list_group(struct tune *t)
{
    struct tune_errors *e = &t->errors;
    e->count = e->at = e->candidate = 0;
    for (size_t i = 0; i < t->items && e->count < INPUT_GROUP_TENSORS; i++)
        if (input_group_of(t->plan.model, t->tensors[i]) == (int)e->group)
            e->tensors[e->count++] = (int)i;
}

static void leave_group(struct tune *t)
{
    struct tune_errors *e = &t->errors;
    free(e->importance);
    e->importance = NULL;
    e->count = 0;
    e->arrived = false;
    e->group++;
}

/* Adds a token's squares as shares of their mean: norms undo how large a token is, and few are so large that all others
 * would not count. */
static void add_token(const float *x, size_t cols, float *importance)
{
    double mean = 0;
    for (size_t c = 0; c < cols; c++)
        mean += (double)x[c] * (double)x[c] / (double)cols;
    for (size_t c = 0; c < cols && mean > 0 && isfinite(mean); c++)
        importance[c] += (float)((double)x[c] * (double)x[c] / mean);
}

/* The mean squares of the inputs; none where too few tokens came, or nothing but zeros. */
static bool take_importance(struct tune *t, struct error *error)
{
    struct tune_errors *e = &t->errors;
    struct layerwise_input in = layerwise_input(e->pass);
    size_t cols = t->plan.model->tensors[t->tensors[e->tensors[0]]].stored.cols;
    double sum = 0;
    if (in.count < FEW_TOKENS)
        return true;
    e->importance = calloc(cols, sizeof *e->importance);
    if (!e->importance)
        return error_set(error, "not enough memory to search");
    for (size_t i = 0; i < in.count; i++)
        add_token(in.rows + i * in.stride, cols, e->importance);
    for (size_t c = 0; c < cols; c++)
        sum += (double)e->importance[c];
    if (!(sum > 0)) {
        free(e->importance);
        e->importance = NULL;
    }
    return true;
}

/* Leads to the inputs of e->group. */
static bool advance(struct tune *t, double seconds, struct error *error)
{
    struct tune_errors *e = &t->errors;
    if ((!e->pass && !open_pass(t, error)) || !layerwise_step(e->pass, t->plan.stored, seconds, &e->arrived, error))
        return false;
    if (!e->arrived)
        return true;
    e->group = layerwise_group(e->pass);
    list_group(t);
    if (e->count > 0)
        return take_importance(t, error);
    leave_group(t);
    return true;
}

/* ---- one unit of work ------------------------------------------------------------------------ */

/* An item with the next of its candidates; *over: there is no more of them. */
static bool measure_next(struct tune *t, size_t item, bool *over, struct error *error)
{
    struct tune_errors *e = &t->errors;
    double *out = &t->error[item * t->candidates + e->candidate];
    int tensor = t->tensors[item];
    bool ok = true;
    *out = NAN;
    if (tune_item_bytes(t, e->candidate, tensor) > 0) {
        ok = model_acquire(t->plan.model, tensor, t->plan.pool, error);
        if (ok) {
            ok = measure(t, item, e->importance, out, error);
            model_release(t->plan.model, tensor);
        }
    }
    *over = ++e->candidate == t->candidates;
    e->candidate = *over ? 0 : e->candidate;
    return ok;
}

/* Items that multiply nothing. False in *more when there are none left. */
static bool plain_unit(struct tune *t, bool *more, struct error *error)
{
    struct tune_errors *e = &t->errors;
    bool over;
    while (e->item < t->items && input_group_of(t->plan.model, t->tensors[e->item]) >= 0)
        e->item++;
    *more = e->item < t->items;
    if (!*more)
        return true;
    bool ok = measure_next(t, e->item, &over, error);
    e->item += over;
    return ok;
}

static bool group_unit(struct tune *t, double seconds, struct error *error)
{
    struct tune_errors *e = &t->errors;
    bool over;
    if (!e->arrived)
        return advance(t, seconds, error);
    bool ok = measure_next(t, (size_t)e->tensors[e->at], &over, error);
    e->at += over;
    if (e->at == e->count)
        leave_group(t);
    return ok;
}

bool tune_errors_step(struct tune *t, double seconds, bool *done, struct error *error)
{
    double begin = clock_seconds();
    *done = false;
    do {
        bool more;
        if (!plain_unit(t, &more, error))
            return false;
        if (!more && t->errors.group == t->plan.model->input_group_count)
            *done = true;
        else if (!more && !group_unit(t, seconds, error))
            return false;
    } while (!*done && clock_seconds() - begin <= seconds);
    if (*done)
        tune_errors_close(t);
    return true;
}

double tune_errors_fraction(const struct tune *t)
{
    return (double)t->errors.group / (double)t->plan.model->input_group_count;
}

void tune_errors_close(struct tune *t)
{
    layerwise_close(t->errors.pass);
    free(t->errors.tokens);
    free(t->errors.importance);
    t->errors = (struct tune_errors){0};
}

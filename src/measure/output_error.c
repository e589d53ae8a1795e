#include "output_error.h"

#include "kernels/activations.h"
#include "engine/pin.h"
#include "engine/product.h"
#include "model/on_demand.h"

#include <math.h>
#include <stdlib.h>

double output_error_sqnr_db(const struct output_error *e)
{
    if (e->tokens == 0)
        return NAN;
    return e->sum_e2 == 0 ? INFINITY : 10 * log10(e->sum_y2 / e->sum_e2);
}

/* Four times the first token's root mean square error: wide enough for most of what follows. */
static void open_histogram(struct output_error *e, const float *y, const float *reference, size_t rows)
{
    double sum = 0;
    for (size_t r = 0; r < rows; r++)
        sum += (double)(y[r] - reference[r]) * (y[r] - reference[r]);
    double reach = 4 * sqrt(sum / (double)rows);
    e->errors = histogram_over(-reach, reach);
}

/* Tokens whose outputs are compared together: the reference's weights are read once for all. */
enum { COMPARED_TOGETHER = 32 };

/* Floats of vectors of this many in all, up to the next cache line. */
static size_t padded(size_t n)
{
    return padded_bytes(n * sizeof(float)) / sizeof(float);
}

float *output_error_scratch(const struct model *m)
{
    size_t rows = 0, cols = 0;
    for (size_t i = 0; i < m->tensor_count; i++) {
        const struct qmatrix *w = &m->tensors[i].stored;
        rows = w->rows > rows ? w->rows : rows;
        cols = w->cols > cols ? w->cols : cols;
    }
    return aligned_alloc(LINE_BYTES, padded(COMPARED_TOGETHER * rows) * sizeof(float) +
                                         padded_bytes(products_scratch(cols, COMPARED_TOGETHER)));
}

/* Adds one token's outputs. In the order of tokens and rows: sums do not depend on threads. */
static void add_token(struct output_error *e, const float *y, const float *reference, size_t rows)
{
    if (e->tokens++ == 0)
        open_histogram(e, y, reference, rows);
    for (size_t r = 0; r < rows; r++) {
        double error = (double)y[r] - reference[r];
        e->sum_y2 += (double)reference[r] * reference[r];
        e->sum_e2 += error * error;
        histogram_add(&e->errors, error);
    }
}

void output_error_add(struct output_error *e, struct pool *pool, const struct qmatrix *reference,
                      const float *x, const float *y, size_t tokens, float *scratch)
{
    size_t rows = reference->rows, cols = reference->cols;
    float *expected = scratch, *rest = scratch + padded(COMPARED_TOGETHER * rows);
    for (size_t done = 0, n; done < tokens; done += n) {
        n = tokens - done < COMPARED_TOGETHER ? tokens - done : COMPARED_TOGETHER;
        products_run(pool, rest, &reference, 1, x + done * cols, n, &expected);
        for (size_t t = 0; t < n; t++)
            add_token(e, y + (done + t) * rows, expected + t * rows, rows);
    }
}

bool output_is_exact(const struct model *m, const struct qmatrix *w)
{
    return qformat_as_stored(&w->format) && model_weights_reference(m) == m;
}

struct collector {
    const struct model *model;
    struct pool *pool;
    struct output_error *errors;
    float *scratch;
    bool failed; /* with an error */
    struct error *error;
};

static void see(void *arg, const struct qtensor *w, const float *x, const float *y, size_t tokens)
{
    struct collector *c = arg;
    const struct model *m = model_weights_reference(c->model);
    if (output_is_exact(c->model, &w->matrix)) { /* the same product twice */
        c->errors[w->tensor].tokens += tokens;
        return;
    }
    if (c->failed || !model_acquire(m, w->tensor, c->pool, c->error)) {
        c->failed = true;
        return;
    }
    output_error_add(&c->errors[w->tensor], c->pool, &m->tensors[w->tensor].stored, x, y, tokens,
                     c->scratch);
    model_release(m, w->tensor);
}

bool outputs_are_exact(const struct model *m, const struct weights *weights)
{
    for (size_t i = 0; i < m->tensor_count; i++)
        if (!output_is_exact(m, &weights->layer[i]->matrix))
            return false;
    return true;
}

static bool count_exact(const struct model *m, size_t n, struct output_error *errors)
{
    for (size_t i = 0; i < m->tensor_count; i++)
        errors[i].tokens = tensor_multiplies(m, (int)i) ? n : 0;
    return true;
}

bool output_errors(const struct model *m, struct pool *pool, const struct weights *weights,
                   const int32_t *tokens, size_t n, struct output_error *errors, struct error *error)
{
    if (outputs_are_exact(m, weights))
        return count_exact(m, n, errors);
    const struct hyper *h = &m->hyper;
    struct collector collector = {.model = m, .pool = pool, .errors = errors, .error = error};
    collector.scratch = output_error_scratch(m);
    float *logits = malloc(h->vocab * sizeof *logits);
    struct pin pin;
    struct context *c = context_open_kv(m, pool, weights->kv, n, error);
    bool ok = pin_open(&pin, m, error) && c &&
              (collector.scratch && logits ? true : error_set(error, "not enough memory")) &&
              pin_set(&pin, weights, pool, error);
    if (ok) {
        c->hook = (struct hook){HOOK_ALL, see, &collector};
        context_prefill(c, weights, tokens, n, logits);
        ok = !collector.failed;
    }
    pin_close(&pin);
    context_close(c);
    free(logits);
    free(collector.scratch);
    return ok;
}

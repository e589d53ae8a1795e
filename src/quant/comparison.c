#include "comparison.h"

#include "engine/product.h"
#include "engine/layerwise.h"
#include "base/clock.h"
#include "measure/output_error.h"
#include "model/on_demand.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct comparison {
    struct comparison_plan plan;
    struct weights *set;
    int32_t tokens[COMPARISON_TOKENS];
    struct scheme *wanted;      /* schemes_count: the set's, but for the tensor */
    struct compared of[COMPARED_SCHEMES];
    size_t next;                /* of them */
    struct layerwise_pass *pass;          /* until the layer's inputs are there */
    float *x, *y;               /* tokens x cols, tokens x rows */
    size_t rows;                /* of x: of an expert those of the tokens that use it */
    float *scratch;             /* of output_error_add */
    void *products;             /* of products_run */
    struct quantization *making; /* the scheme under way */
};

static const struct qmatrix *matrix_of(const struct comparison *c)
{
    return &c->plan.model->tensors[c->plan.tensor].stored;
}

static bool allocate(struct comparison *c, struct error *error)
{
    const struct model *m = c->plan.model;
    size_t n = c->plan.token_count, count = schemes_count(m);
    c->wanted = malloc(count * sizeof *c->wanted);
    c->x = malloc(n * matrix_of(c)->cols * sizeof *c->x);
    c->y = malloc(n * matrix_of(c)->rows * sizeof *c->y);
    c->scratch = output_error_scratch(m);
    c->products = aligned_alloc(LINE_BYTES, padded_bytes(products_scratch(matrix_of(c)->cols, n)));
    if (!c->wanted || !c->x || !c->y || !c->scratch || !c->products)
        return error_set(error, "not enough memory to compare methods");
    for (size_t t = 0; t < m->tensor_count; t++)
        c->wanted[t] = qtensor_scheme(c->set->layer[t]);
    c->wanted[kv_index(m)] = scheme_default(c->set->kv);
    return true;
}

struct comparison *comparison_open(const struct comparison_plan *plan, struct error *error)
{
    struct comparison *c = calloc(1, sizeof *c);
    if (!c) {
        error_set(error, "not enough memory to compare methods");
        return NULL;
    }
    c->plan = *plan;
    c->plan.token_count = plan->token_count < COMPARISON_TOKENS ? plan->token_count : COMPARISON_TOKENS;
    c->set = weights_ref(plan->set);
    memcpy(c->tokens, plan->tokens, c->plan.token_count * sizeof *c->tokens);
    for (size_t i = 0; i < plan->count; i++)
        c->of[i].scheme = plan->schemes[i];
    if (allocate(c, error) && (c->pass = layerwise_open(plan->model, plan->pool, c->tokens, c->plan.token_count,
                                                   c->plan.token_count, error)))
        return c;
    comparison_close(c);
    return NULL;
}

void comparison_close(struct comparison *c)
{
    if (!c)
        return;
    quantization_close(c->making);
    layerwise_close(c->pass);
    weights_unref(c->set);
    free(c->wanted);
    free(c->x);
    free(c->y);
    free(c->scratch);
    free(c->products);
    free(c);
}

/* Brings the text to the layer; its inputs are then in c->x. */
static bool approach(struct comparison *c, double seconds, struct error *error)
{
    size_t input_group = (size_t)input_group_of(c->plan.model, c->plan.tensor), cols = matrix_of(c)->cols;
    bool arrived;
    if (!layerwise_step(c->pass, c->set, seconds, &arrived, error))
        return false;
    if (!arrived || layerwise_group(c->pass) != input_group)
        return true;
    struct layerwise_input in = layerwise_input(c->pass);
    c->rows = in.count;
    for (size_t t = 0; t < in.count; t++)
        memcpy(c->x + t * cols, in.rows + t * in.stride, cols * sizeof *c->x);
    layerwise_close(c->pass);
    c->pass = NULL;
    return true;
}

/* The output of the layer in the scheme that was made, against the reference's. */
static bool judge(struct comparison *c, const struct qtensor *p, struct compared *out, struct error *error)
{
    const struct model *reference = model_weights_reference(c->plan.model);
    struct output_error e = {0};
    if (!model_acquire(reference, c->plan.tensor, c->plan.pool, error))
        return false;
    if (c->rows > 0) {
        products_run(c->plan.pool, c->products, (const struct qmatrix *[]){&p->matrix}, 1, c->x, c->rows, &c->y);
        output_error_add(&e, c->plan.pool, &reference->tensors[c->plan.tensor].stored, c->x, c->y, c->rows, c->scratch);
    }
    model_release(reference, c->plan.tensor);
    out->weights_db = weight_error_sqnr_db(&p->error);
    out->output_db = output_error_sqnr_db(&e);
    out->calibration = p->calibration;
    out->done = true;
    return true;
}

static bool begin_scheme(struct comparison *c, struct error *error)
{
    c->wanted[c->plan.tensor] = c->of[c->next].scheme;
    struct quantization_plan plan = {.model = c->plan.model, .pool = c->plan.pool, .from = c->set,
                                     .stored = c->plan.stored, .schemes = c->wanted, .text = c->plan.text,
                                     .importance = c->plan.importance};
    c->making = quantization_open(&plan, error);
    return c->making != NULL;
}

static bool make_scheme(struct comparison *c, double seconds, struct error *error)
{
    bool done;
    if (!c->making && !begin_scheme(c, error))
        return false;
    if (!quantization_step(c->making, seconds, &done, error))
        return false;
    if (!done)
        return true;
    struct weights *set = quantization_take(c->making);
    quantization_close(c->making);
    c->making = NULL;
    bool ok = judge(c, set->layer[c->plan.tensor], &c->of[c->next], error);
    weights_unref(set);
    c->next++;
    return ok;
}

bool comparison_step(struct comparison *c, double seconds, bool *done, struct error *error)
{
    double begin = clock_seconds(), left = seconds;
    for (bool ok; left >= 0 && c->next < c->plan.count; left = seconds - (clock_seconds() - begin)) {
        ok = c->pass ? approach(c, left, error) : make_scheme(c, left, error);
        if (!ok)
            return false;
    }
    *done = c->next == c->plan.count;
    return true;
}

double comparison_fraction(const struct comparison *c)
{
    double part = c->making ? quantization_fraction(c->making) : 0;
    return c->plan.count > 0 ? ((double)c->next + part) / (double)c->plan.count : 1;
}

size_t comparison_count(const struct comparison *c)
{
    return c->plan.count;
}

size_t comparison_tokens(const struct comparison *c)
{
    return c->plan.token_count;
}

struct compared comparison_of(const struct comparison *c, size_t index)
{
    return c->of[index];
}

/* ---- as a job ---------------------------------------------------------------------------------- */

static bool step_job(void *job, double seconds, bool *done, struct error *error)
{
    return comparison_step(job, seconds, done, error);
}

static double job_fraction(const void *job)
{
    return comparison_fraction(job);
}

static void close_job(void *job)
{
    comparison_close(job);
}

const struct job_class comparison_class = {
    .name = "comparing methods",
    .step = step_job,
    .fraction = job_fraction,
    .close = close_job,
};

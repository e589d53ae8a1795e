/* The layers that passes are made of, forward and backward, over rows of all tokens. */
#include "kernels/dispatch.h"
#include "gradients.h"
#include "network_internal.h"

#include <string.h>

/* ---- rows of tokens, shared out -------------------------------------------------------------- */

static void treat_rows(void *arg, size_t begin, size_t end, int thread)
{
    const struct rows *r = arg;
    (void)thread;
    for (size_t i = begin; i < end; i++)
        r->treat(r, i);
}

void network_run_rows(struct rows *r, size_t count)
{
    pool_run(r->net->pool, count, treat_rows, r);
}

static void add_row(const struct rows *r, size_t i)
{
    operators_current()->add(r->out + i * r->size, r->in + i * r->size, r->size);
}

void network_add(struct network *net, float *x, const float *y, size_t size)
{
    network_run_rows(&(struct rows){.net = net, .treat = add_row, .in = y, .out = x, .size = size}, net->n);
}

/* ---- parameters ------------------------------------------------------------------------------ */

const struct network_tensor *network_find(const struct network *net, enum role role, int block)
{
    int t = model_find(net->model, role, block);
    return t < 0 ? NULL : &net->tensors[t];
}

static const struct network_tensor *bias_of(const struct network *net, enum role role, int block)
{
    enum role bias = role_bias(role);
    return bias == ROLE_NONE ? NULL : network_find(net, bias, block);
}

/* ---- values ---------------------------------------------------------------------------------- */

const float *network_value(const struct network *net, const struct layer *l, int block, size_t at, enum reg reg)
{
    int writer = layer_writer(l, at, reg);
    return writer < 0 ? net->blocks[block].x : net->blocks[block].value[writer];
}

/* ---- norms ----------------------------------------------------------------------------------- */

static void normalize_row(const struct rows *r, size_t i)
{
    const struct hyper *h = &r->net->model->hyper;
    const float *x = r->in + i * r->size;
    float *out = r->out + i * r->size;
    if (h->norm == NORM_LAYER)
        operators_current()->layernorm(out, x, r->weights, r->bias, r->size, h->norm_eps);
    else
        operators_current()->rmsnorm(out, x, r->weights, r->size, h->norm_eps);
}

void network_normalize(struct network *net, enum role role, int block, const float *x, size_t count, size_t size,
                       float *out)
{
    const struct network_tensor *bias = bias_of(net, role, block);
    struct rows r = {.net = net, .treat = normalize_row, .in = x,
                     .weights = network_find(net, role, block)->weights,
                     .bias = bias ? bias->weights : net->rounded, .out = out, .size = size};
    if (!bias)
        memset(net->rounded, 0, size * sizeof *net->rounded);
    network_run_rows(&r, count);
}

static void normalize_row_back(const struct rows *r, size_t i)
{
    const struct hyper *h = &r->net->model->hyper;
    const float *x = r->in + i * r->size, *dy = r->dy + i * r->size;
    float *dx = r->out + i * r->size;
    if (h->norm == NORM_LAYER)
        layernorm_gradient(x, r->weights, dy, r->size, h->norm_eps, dx, r->dw, r->db);
    else
        rmsnorm_gradient(x, r->weights, dy, r->size, h->norm_eps, dx, r->dw);
}

/* The gradients by weights are one row after another. */
void network_normalize_back(struct network *net, enum role role, int block, const float *x, const float *dy,
                            size_t count, size_t size, float *dx)
{
    const struct network_tensor *w = network_find(net, role, block), *bias = bias_of(net, role, block);
    struct rows r = {.net = net, .treat = normalize_row_back, .in = x, .weights = w->weights, .dy = dy,
                     .out = dx, .dw = w->gradient, .db = bias ? bias->gradient : NULL, .size = size};
    if (r.dw || r.db)
        treat_rows(&r, 0, count, 0);
    else
        network_run_rows(&r, count);
}

/* ---- linear layers --------------------------------------------------------------------------- */

struct rounding {
    const struct qmatrix *m;
    const float *x;
    float *out;
    size_t n, bytes;
    uint8_t *scratch;
};

/* What codes or values of one token stand for. */
static void decode_activations(const struct activations *a, size_t t, float *out)
{
    float scale = a->scales ? a->scales[t] : 1;
    for (size_t c = 0; c < a->cols; c++)
        out[c] = a->integers ? (float)(a->codes[t * a->cols + c] - a->zeros[t]) * scale
                             : a->values[t * a->cols + c] * scale;
}

static void round_some(void *arg, size_t begin, size_t end, int thread)
{
    const struct rounding *r = arg;
    for (size_t item = begin; item < end; item++) {
        struct activations a;
        size_t first = item * ROUNDED_TOGETHER, left = r->n - first, cols = r->m->cols;
        size_t n = left < ROUNDED_TOGETHER ? left : ROUNDED_TOGETHER;
        activations_prepare(isa_current(), r->m, r->x + first * cols, n, r->scratch + (size_t)thread * r->bytes,
                            &a);
        for (size_t t = 0; t < n; t++)
            decode_activations(&a, t, r->out + (first + t) * cols);
    }
}

void round_activations(const struct qmatrix *m, const float *x, size_t n, float *out, struct pool *pool,
                       uint8_t *scratch, size_t bytes)
{
    struct rounding r = {m, x, out, n, bytes, scratch};
    pool_run(pool, (n + ROUNDED_TOGETHER - 1) / ROUNDED_TOGETHER, round_some, &r);
}

/* The activations that a linear layer multiplies: x, or net->rounded. */
static const float *taken(struct network *net, const struct network_tensor *p, const float *x)
{
    if (!p->acts || p->acts->format.act == DTYPE_FP32)
        return x;
    round_activations(p->acts, x, net->n, net->rounded, net->pool, net->activations, net->activations_bytes);
    return net->rounded;
}

static void add_bias_row(const struct rows *r, size_t i)
{
    operators_current()->add(r->out + i * r->size, r->bias, r->size);
}

static struct tensor_shape shape_of(const struct network *net, enum role role, int block)
{
    const struct qmatrix *m = &net->model->tensors[model_find(net->model, role, block)].stored;
    return (struct tensor_shape){m->rows, m->cols};
}

void network_linear(struct network *net, enum role role, int block, const float *x, float *y)
{
    const struct network_tensor *p = network_find(net, role, block), *bias = bias_of(net, role, block);
    struct tensor_shape s = shape_of(net, role, block);
    dense_forward(&net->dense, taken(net, p, x), p->weights, net->n, s.rows, s.cols, y);
    if (bias)
        network_run_rows(&(struct rows){.net = net, .treat = add_bias_row, .bias = bias->weights, .out = y,
                                        .size = s.rows}, net->n);
}

void network_linear_back(struct network *net, enum role role, int block, const float *x, const float *dy, float *dx)
{
    const struct network_tensor *p = network_find(net, role, block), *bias = bias_of(net, role, block);
    struct tensor_shape s = shape_of(net, role, block);
    for (size_t t = 0; bias && bias->gradient && t < net->n; t++)
        operators_current()->add(bias->gradient, dy + t * s.rows, s.rows);
    if (p->gradient)
        dense_weight_gradient(&net->dense, dy, taken(net, p, x), net->n, s.rows, s.cols, p->gradient);
    dense_input_gradient(&net->dense, dy, p->weights, net->n, s.rows, s.cols, dx);
}

/* ---- parts of fused rows --------------------------------------------------------------------- */

static void take_row(const struct rows *r, size_t i)
{
    memcpy(r->out + i * r->size, r->in + i * r->all + r->first, r->size * sizeof *r->out);
}

static void put_row(const struct rows *r, size_t i)
{
    memcpy(r->out + i * r->all + r->first, r->in + i * r->size, r->size * sizeof *r->out);
}

static void part(struct network *net, row_fn *treat, const float *in, size_t all, size_t first, size_t size,
                 float *out)
{
    network_run_rows(&(struct rows){.net = net, .treat = treat, .in = in, .out = out, .size = size, .first = first,
                                    .all = all}, net->n);
}

void network_take(struct network *net, const float *in, size_t all, size_t first, size_t size, float *out)
{
    part(net, take_row, in, all, first, size, out);
}

void network_put(struct network *net, const float *in, size_t all, size_t first, size_t size, float *out)
{
    part(net, put_row, in, all, first, size, out);
}

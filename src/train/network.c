#include "network.h"

#include "../../kernels/dispatch.h"
#include "gradients.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDED_TOGETHER = 32 }; /* tokens */

static bool has(const struct model *m, enum role role)
{
    return m->has & ROLE_BIT(role);
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static bool gated(const struct model *m)
{
    return has(m, ROLE_FFN_GATE) || has(m, ROLE_FFN_GATE_UP);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* What a block keeps, and how many floats a token takes of it; 0: nothing. */
static size_t kept_list(const struct model *m, struct kept *k, float **at[15], size_t floats[15])
{
    const struct hyper *h = &m->hyper;
    size_t q = h->heads * h->head_size, kv = h->kv_heads * h->head_size, n = 0;
    const struct {
        float **at;
        size_t floats;
    } list[] = {
        {&k->x, h->dim},
        {&k->normed, h->dim},
        {&k->q_raw, has(m, ROLE_ATTN_Q_NORM) ? q : 0},
        {&k->k_raw, has(m, ROLE_ATTN_K_NORM) ? kv : 0},
        {&k->q, q},
        {&k->k, kv},
        {&k->v, kv},
        {&k->attended, q},
        {&k->projected, has(m, ROLE_ATTN_POST_NORM) ? h->dim : 0},
        {&k->mid, h->dim},
        {&k->normed_mid, h->dim},
        {&k->gate, h->hidden},
        {&k->up, gated(m) ? h->hidden : 0},
        {&k->active, h->hidden},
        {&k->added, has(m, ROLE_FFN_POST_NORM) ? h->dim : 0},
    };
    for (; n < sizeof list / sizeof *list; n++) {
        at[n] = list[n].at;
        floats[n] = list[n].floats;
    }
    return n;
}

/* The widest row that anything but the head gives or takes. */
static size_t widest_of(const struct model *m)
{
    const struct hyper *h = &m->hyper;
    size_t q = h->heads * h->head_size, kv = h->kv_heads * h->head_size;
    return larger(larger(h->dim, q + 2 * kv), 2 * h->hidden);
}

/* Gives every vector its place; with memory null it only adds up. False on overflow. */
static bool place(struct network *net, float *memory, size_t *floats)
{
    const struct model *m = net->model;
    const struct hyper *h = &m->hyper;
    float **at[15];
    size_t each[15], used = 0, part;
    for (size_t b = 0; b < h->layers; b++) {
        struct kept none = {0}, *k = memory ? &net->blocks[b] : &none;
        size_t count = kept_list(m, k, at, each);
        for (size_t i = 0; i < count; i++) {
            if (memory)
                *at[i] = each[i] ? memory + used : NULL;
            if (__builtin_mul_overflow(each[i], net->n, &part) || __builtin_add_overflow(used, part, &used))
                return false;
        }
    }
    const struct {
        float **at;
        size_t floats;
    } list[] = {{&net->x, h->dim}, {&net->normed, h->dim}, {&net->logits, h->vocab}, {&net->dx, h->dim},
                {&net->scratch[0], net->widest}, {&net->scratch[1], net->widest},
                {&net->scratch[2], net->widest}, {&net->scratch[3], net->widest},
                {&net->rounded, net->widest}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        if (memory)
            *list[i].at = memory + used;
        if (__builtin_mul_overflow(list[i].floats, net->n, &part) || __builtin_add_overflow(used, part, &used))
            return false;
    }
    *floats = used;
    return used < SIZE_MAX / 8;
}

static void measure(struct network *net)
{
    net->n = net->windows * net->length;
    net->widest = widest_of(net->model);
    net->activations_bytes = padded_bytes(activations_scratch(net->widest, ROUNDED_TOGETHER));
}

bool network_bytes(const struct model *model, size_t windows, size_t length, int threads, size_t *bytes)
{
    struct network net = {.model = model, .windows = windows, .length = length};
    size_t floats, products = 0, attention = (size_t)threads * causal_floats(&model->hyper, length) * 4;
    measure(&net);
    if (!place(&net, NULL, &floats))
        return false;
    for (size_t t = 0; t < model->tensor_count; t++)
        products = larger(products, dense_bytes(net.n, model->tensors[t].stored.rows,
                                                model->tensors[t].stored.cols));
    *bytes = floats * sizeof(float) + products + attention + (size_t)threads * net.activations_bytes;
    return true;
}

bool network_open(struct network *net, const struct model *model, struct pool *pool, size_t windows,
                  size_t length, float *cosines, float *sines, struct error *error)
{
    size_t floats, threads = (size_t)pool_threads(pool);
    *net = (struct network){.model = model, .pool = pool, .windows = windows, .length = length,
                            .cosines = cosines, .sines = sines, .dense.pool = pool};
    measure(net);
    net->tensors = calloc(model->tensor_count, sizeof *net->tensors);
    net->blocks = calloc(model->hyper.layers, sizeof *net->blocks);
    net->attention = aligned_alloc(64, padded_bytes(threads * causal_floats(&model->hyper, length) * 4));
    net->activations = aligned_alloc(64, threads * net->activations_bytes);
    if (!net->tensors || !net->blocks || !net->attention || !net->activations || !place(net, NULL, &floats) ||
        !(net->memory = aligned_alloc(64, padded_bytes(floats * sizeof(float)))))
        return error_set(error, "not enough memory for training");
    place(net, net->memory, &floats);
    bool ok = true;
    for (size_t t = 0; ok && t < model->tensor_count; t++)
        if (!roles[model->tensors[t].role].vector)
            ok = dense_reserve(&net->dense, net->n, model->tensors[t].stored.rows, model->tensors[t].stored.cols,
                               error);
    return ok;
}

void network_close(struct network *net)
{
    dense_close(&net->dense);
    free(net->tensors);
    free(net->blocks);
    free(net->attention);
    free(net->activations);
    free(net->memory);
    *net = (struct network){0};
}

/* ---- rows of tokens, shared out -------------------------------------------------------------- */

struct rows;
typedef void row_fn(const struct rows *r, size_t row);

struct rows {
    struct network *net;
    row_fn *treat;
    const float *in, *weights, *bias, *dy;
    float *out, *other, *dw, *db;
    size_t size, first, all; /* elements of a row; where it stands in one of `all` */
    size_t heads;
};

static void treat_rows(void *arg, size_t begin, size_t end, int thread)
{
    const struct rows *r = arg;
    (void)thread;
    for (size_t i = begin; i < end; i++)
        r->treat(r, i);
}

static void run_rows(struct rows *r, size_t count)
{
    pool_run(r->net->pool, count, treat_rows, r);
}

static void add_row(const struct rows *r, size_t i)
{
    operators_current()->add(r->out + i * r->size, r->in + i * r->size, r->size);
}

/* x += y, n x size. */
static void add(struct network *net, float *x, const float *y, size_t size)
{
    run_rows(&(struct rows){.net = net, .treat = add_row, .in = y, .out = x, .size = size}, net->n);
}

/* ---- parameters ------------------------------------------------------------------------------ */

static const struct network_tensor *find(const struct network *net, enum role role, int block)
{
    int t = model_find(net->model, role, block);
    return t < 0 ? NULL : &net->tensors[t];
}

static const struct network_tensor *bias_of(const struct network *net, enum role role, int block)
{
    enum role next = role + 1;
    return next < ROLE_COUNT && roles[next].bias_of == role ? find(net, next, block) : NULL;
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

/* out = norm of `count` vectors of `size` elements. A bias that the model does not have is 0. */
static void normalize(struct network *net, enum role role, int block, const float *x, size_t count, size_t size,
                      float *out)
{
    const struct network_tensor *bias = bias_of(net, role, block);
    struct rows r = {.net = net, .treat = normalize_row, .in = x, .weights = find(net, role, block)->weights,
                     .bias = bias ? bias->weights : net->rounded, .out = out, .size = size};
    if (!bias)
        memset(net->rounded, 0, size * sizeof *net->rounded);
    run_rows(&r, count);
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

/* dx += the gradient by what was normalized. Those by weights are one row after another. */
static void normalize_back(struct network *net, enum role role, int block, const float *x, const float *dy,
                           size_t count, size_t size, float *dx)
{
    const struct network_tensor *w = find(net, role, block), *bias = bias_of(net, role, block);
    struct rows r = {.net = net, .treat = normalize_row_back, .in = x, .weights = w->weights, .dy = dy,
                     .out = dx, .dw = w->gradient, .db = bias ? bias->gradient : NULL, .size = size};
    if (r.dw || r.db)
        treat_rows(&r, 0, count, 0);
    else
        run_rows(&r, count);
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
    if (!p->acts || p->acts->scheme.act == DTYPE_FP32)
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

/* y = W x + b. */
static void linear(struct network *net, enum role role, int block, const float *x, float *y)
{
    const struct network_tensor *p = find(net, role, block), *bias = bias_of(net, role, block);
    struct tensor_shape s = shape_of(net, role, block);
    dense_forward(&net->dense, taken(net, p, x), p->weights, net->n, s.rows, s.cols, y);
    if (bias)
        run_rows(&(struct rows){.net = net, .treat = add_bias_row, .bias = bias->weights, .out = y,
                                .size = s.rows}, net->n);
}

/* dx += the gradient by x. */
static void linear_back(struct network *net, enum role role, int block, const float *x, const float *dy, float *dx)
{
    const struct network_tensor *p = find(net, role, block), *bias = bias_of(net, role, block);
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
    run_rows(&(struct rows){.net = net, .treat = treat, .in = in, .out = out, .size = size, .first = first,
                            .all = all}, net->n);
}

static void zero(float *x, size_t n)
{
    memset(x, 0, n * sizeof *x);
}

/* ---- attention ------------------------------------------------------------------------------- */

static void turn_row(const struct rows *r, size_t i)
{
    const struct hyper *h = &r->net->model->hyper;
    const struct operators *ops = operators_current();
    size_t n = hyper_turned(h), at = i % r->net->length * (n / 2);
    const float *cosines = r->net->cosines + at, *sines = r->net->sines + at;
    for (size_t k = 0; k < r->heads; k++) {
        float *x = r->out + (i * r->heads + k) * h->head_size;
        bool halves = h->rope == ROPE_HALVES;
        if (r->first) /* backward */
            (halves ? rope_halves_gradient : rope_gradient)(x, cosines, sines, n);
        else
            (halves ? ops->rope_halves : ops->rope)(x, cosines, sines, n);
    }
}

static void turn(struct network *net, float *x, size_t heads, bool back)
{
    if (net->model->hyper.rope != ROPE_NONE)
        run_rows(&(struct rows){.net = net, .treat = turn_row, .out = x, .heads = heads, .first = back}, net->n);
}

static struct causal causal_of(struct network *net, size_t block)
{
    const struct kept *k = &net->blocks[block];
    return (struct causal){.hyper = &net->model->hyper, .layer = block, .windows = net->windows,
                           .length = net->length, .q = k->q, .k = k->k, .v = k->v, .out = k->attended,
                           .scratch = net->attention};
}

static void project(struct network *net, int block, struct kept *k)
{
    const struct model *m = net->model;
    const struct hyper *h = &m->hyper;
    size_t q = h->heads * h->head_size, kv = h->kv_heads * h->head_size, all = q + 2 * kv;
    float *q_to = k->q_raw ? k->q_raw : k->q, *k_to = k->k_raw ? k->k_raw : k->k;
    if (has(m, ROLE_ATTN_QKV)) {
        linear(net, ROLE_ATTN_QKV, block, k->normed, net->scratch[0]);
        part(net, take_row, net->scratch[0], all, 0, q, q_to);
        part(net, take_row, net->scratch[0], all, q, kv, k_to);
        part(net, take_row, net->scratch[0], all, q + kv, kv, k->v);
    } else {
        linear(net, ROLE_ATTN_Q, block, k->normed, q_to);
        linear(net, ROLE_ATTN_K, block, k->normed, k_to);
        linear(net, ROLE_ATTN_V, block, k->normed, k->v);
    }
    if (k->q_raw)
        normalize(net, ROLE_ATTN_Q_NORM, block, k->q_raw, net->n * h->heads, h->head_size, k->q);
    if (k->k_raw)
        normalize(net, ROLE_ATTN_K_NORM, block, k->k_raw, net->n * h->kv_heads, h->head_size, k->k);
    turn(net, k->q, h->heads, false);
    turn(net, k->k, h->kv_heads, false);
}

/* The gradient by what goes into a projection, from that by its output as it is (post null) or normalized. */
static const float *before_post(struct network *net, enum role post, int block, const float *projected,
                                float *scratch)
{
    size_t dim = net->model->hyper.dim;
    if (!projected)
        return net->dx;
    zero(scratch, net->n * dim);
    normalize_back(net, post, block, projected, net->dx, net->n, dim, scratch);
    return scratch;
}

/* dq, dk, dv to d_normed. */
static void project_back(struct network *net, int block, const struct kept *k, float *dq, float *dk, float *dv,
                         float *d_normed)
{
    const struct model *m = net->model;
    const struct hyper *h = &m->hyper;
    size_t q = h->heads * h->head_size, kv = h->kv_heads * h->head_size, all = q + 2 * kv;
    if (has(m, ROLE_ATTN_QKV)) {
        float *fused = net->scratch[3];
        part(net, put_row, dq, all, 0, q, fused);
        part(net, put_row, dk, all, q, kv, fused);
        part(net, put_row, dv, all, q + kv, kv, fused);
        linear_back(net, ROLE_ATTN_QKV, block, k->normed, fused, d_normed);
        return;
    }
    linear_back(net, ROLE_ATTN_Q, block, k->normed, dq, d_normed);
    linear_back(net, ROLE_ATTN_K, block, k->normed, dk, d_normed);
    linear_back(net, ROLE_ATTN_V, block, k->normed, dv, d_normed);
}

static void attention_back(struct network *net, int block, const struct kept *k)
{
    const struct hyper *h = &net->model->hyper;
    size_t q = h->heads * h->head_size, kv = h->kv_heads * h->head_size, n = net->n;
    float *dout = net->scratch[0], *dq = net->scratch[1], *dk = net->scratch[2], *dv = dk + n * kv;
    float *raw = net->scratch[0];
    const float *d = before_post(net, ROLE_ATTN_POST_NORM, block, k->projected, net->scratch[1]);
    zero(dout, n * q);
    linear_back(net, ROLE_ATTN_OUT, block, k->attended, d, dout);
    struct causal a = causal_of(net, (size_t)block);
    a.dout = dout;
    a.dq = dq;
    a.dk = dk;
    a.dv = dv;
    causal_backward(&a, net->pool);
    turn(net, dq, h->heads, true);
    turn(net, dk, h->kv_heads, true);
    if (k->q_raw) {
        zero(raw, n * q);
        normalize_back(net, ROLE_ATTN_Q_NORM, block, k->q_raw, dq, n * h->heads, h->head_size, raw);
        memcpy(dq, raw, n * q * sizeof *dq);
    }
    if (k->k_raw) {
        zero(raw, n * kv);
        normalize_back(net, ROLE_ATTN_K_NORM, block, k->k_raw, dk, n * h->kv_heads, h->head_size, raw);
        memcpy(dk, raw, n * kv * sizeof *dk);
    }
    float *d_normed = net->scratch[0];
    zero(d_normed, n * h->dim);
    project_back(net, block, k, dq, dk, dv, d_normed);
    normalize_back(net, ROLE_ATTN_NORM, block, k->x, d_normed, n, h->dim, net->dx);
}

/* ---- feed-forward layers --------------------------------------------------------------------- */

static void activate_row(const struct rows *r, size_t i)
{
    const struct hyper *h = &r->net->model->hyper;
    const struct operators *ops = operators_current();
    float *out = r->out + i * r->size;
    memcpy(out, r->in + i * r->size, r->size * sizeof *out);
    if (r->dy && h->activation == ACTIVATION_SILU) {
        ops->swiglu(out, r->dy + i * r->size, r->size);
        return;
    }
    (h->activation == ACTIVATION_GELU ? ops->gelu : ops->gelu_tanh)(out, r->size);
    if (r->dy)
        ops->multiply(out, r->dy + i * r->size, r->size);
}

static void feed(struct network *net, int block, struct kept *k)
{
    const struct model *m = net->model;
    size_t hidden = m->hyper.hidden;
    if (has(m, ROLE_FFN_GATE_UP)) {
        linear(net, ROLE_FFN_GATE_UP, block, k->normed_mid, net->scratch[0]);
        part(net, take_row, net->scratch[0], 2 * hidden, 0, hidden, k->gate);
        part(net, take_row, net->scratch[0], 2 * hidden, hidden, hidden, k->up);
    } else if (has(m, ROLE_FFN_GATE)) {
        linear(net, ROLE_FFN_GATE, block, k->normed_mid, k->gate);
        linear(net, ROLE_FFN_UP, block, k->normed_mid, k->up);
    } else {
        linear(net, ROLE_FFN_UP, block, k->normed_mid, k->gate);
    }
    run_rows(&(struct rows){.net = net, .treat = activate_row, .in = k->gate, .dy = k->up, .out = k->active,
                            .size = hidden}, net->n);
}

/* in: gate, weights: up (or null), dy -> out: by the gate, other: by up. */
static void activate_row_back(const struct rows *r, size_t i)
{
    const struct hyper *h = &r->net->model->hyper;
    const struct operators *ops = operators_current();
    const float *gate = r->in + i * r->size, *dy = r->dy + i * r->size;
    const float *up = r->weights ? r->weights + i * r->size : NULL;
    float *dgate = r->out + i * r->size, *dup = r->other + i * r->size;
    bool exact = h->activation == ACTIVATION_GELU;
    if (up && h->activation == ACTIVATION_SILU) {
        swiglu_gradient(gate, up, dy, r->size, dgate, dup);
        return;
    }
    memcpy(dgate, dy, r->size * sizeof *dgate);
    if (up) {
        memcpy(dup, gate, r->size * sizeof *dup);
        (exact ? ops->gelu : ops->gelu_tanh)(dup, r->size);
        ops->multiply(dup, dy, r->size);
        ops->multiply(dgate, up, r->size);
    }
    (exact ? gelu_gradient : gelu_tanh_gradient)(gate, dgate, r->size);
}

static void feed_back(struct network *net, int block, const struct kept *k)
{
    const struct model *m = net->model;
    const struct hyper *h = &m->hyper;
    size_t n = net->n, hidden = h->hidden;
    float *d_active = net->scratch[0], *dgate = net->scratch[1], *dup = dgate + n * hidden;
    const float *d = before_post(net, ROLE_FFN_POST_NORM, block, k->added, net->scratch[2]);
    zero(d_active, n * hidden);
    linear_back(net, ROLE_FFN_DOWN, block, k->active, d, d_active);
    run_rows(&(struct rows){.net = net, .treat = activate_row_back, .in = k->gate, .weights = k->up,
                            .dy = d_active, .out = dgate, .other = dup, .size = hidden}, n);
    float *d_normed = net->scratch[0];
    zero(d_normed, n * h->dim);
    if (has(m, ROLE_FFN_GATE_UP)) {
        part(net, put_row, dgate, 2 * hidden, 0, hidden, net->scratch[2]);
        part(net, put_row, dup, 2 * hidden, hidden, hidden, net->scratch[2]);
        linear_back(net, ROLE_FFN_GATE_UP, block, k->normed_mid, net->scratch[2], d_normed);
    } else {
        linear_back(net, has(m, ROLE_FFN_GATE) ? ROLE_FFN_GATE : ROLE_FFN_UP, block, k->normed_mid, dgate,
                    d_normed);
        if (has(m, ROLE_FFN_GATE))
            linear_back(net, ROLE_FFN_UP, block, k->normed_mid, dup, d_normed);
    }
    normalize_back(net, ROLE_FFN_NORM, block, k->mid, d_normed, n, h->dim, net->dx);
}

/* ---- the passes ------------------------------------------------------------------------------ */

/* Where block b leaves its output. */
static float *output_of(struct network *net, size_t block)
{
    return block + 1 < net->model->hyper.layers ? net->blocks[block + 1].x : net->x;
}

void network_embed(struct network *net, const int32_t *tokens)
{
    const struct hyper *h = &net->model->hyper;
    const struct network_tensor *positions = find(net, ROLE_POSITIONS, -1);
    float *x = h->layers ? net->blocks[0].x : net->x;
    net->tokens = tokens;
    for (size_t t = 0; t < net->n; t++, x += h->dim) {
        memcpy(x, net->tensors[0].weights + (size_t)tokens[t] * h->dim, h->dim * sizeof *x);
        for (size_t i = 0; h->embedding_scale > 0 && i < h->dim; i++)
            x[i] *= h->embedding_scale;
        if (positions)
            operators_current()->add(x, positions->weights + t % net->length * h->dim, h->dim);
    }
}

void network_block(struct network *net, size_t block)
{
    struct kept *k = &net->blocks[block];
    size_t dim = net->model->hyper.dim, n = net->n;
    float *out = output_of(net, block), *projected = k->projected ? k->projected : net->scratch[1];
    int b = (int)block;
    normalize(net, ROLE_ATTN_NORM, b, k->x, n, dim, k->normed);
    project(net, b, k);
    struct causal a = causal_of(net, block);
    causal_forward(&a, net->pool);
    linear(net, ROLE_ATTN_OUT, b, k->attended, projected);
    memcpy(k->mid, k->x, n * dim * sizeof *k->mid);
    if (k->projected)
        normalize(net, ROLE_ATTN_POST_NORM, b, projected, n, dim, net->scratch[1]);
    add(net, k->mid, net->scratch[1], dim);
    normalize(net, ROLE_FFN_NORM, b, k->mid, n, dim, k->normed_mid);
    feed(net, b, k);
    float *added = k->added ? k->added : net->scratch[1];
    linear(net, ROLE_FFN_DOWN, b, k->active, added);
    memcpy(out, k->mid, n * dim * sizeof *out);
    if (k->added)
        normalize(net, ROLE_FFN_POST_NORM, b, added, n, dim, net->scratch[1]);
    add(net, out, net->scratch[1], dim);
}

static void cap_row(const struct rows *r, size_t i)
{
    operators_current()->soft_cap(r->out + i * r->size, r->size, r->net->model->hyper.logit_cap);
}

void network_head(struct network *net)
{
    const struct hyper *h = &net->model->hyper;
    normalize(net, ROLE_OUTPUT_NORM, -1, net->x, net->n, h->dim, net->normed);
    linear(net, ROLE_OUTPUT, -1, net->normed, net->logits);
    if (h->logit_cap > 0)
        run_rows(&(struct rows){.net = net, .treat = cap_row, .out = net->logits, .size = h->vocab}, net->n);
}

static void cap_row_back(const struct rows *r, size_t i)
{
    soft_cap_gradient(r->in + i * r->size, r->out + i * r->size, r->size, r->net->model->hyper.logit_cap);
}

void network_head_back(struct network *net, const float *capped)
{
    const struct hyper *h = &net->model->hyper;
    float *d_normed = net->scratch[0];
    if (capped)
        run_rows(&(struct rows){.net = net, .treat = cap_row_back, .in = capped, .out = net->logits,
                                .size = h->vocab}, net->n);
    zero(d_normed, net->n * h->dim);
    zero(net->dx, net->n * h->dim);
    linear_back(net, ROLE_OUTPUT, -1, net->normed, net->logits, d_normed);
    normalize_back(net, ROLE_OUTPUT_NORM, -1, net->x, d_normed, net->n, h->dim, net->dx);
}

void network_block_back(struct network *net, size_t block)
{
    feed_back(net, (int)block, &net->blocks[block]);
    attention_back(net, (int)block, &net->blocks[block]);
}

void network_embed_back(struct network *net)
{
    const struct hyper *h = &net->model->hyper;
    float *table = net->tensors[0].gradient, scale = h->embedding_scale > 0 ? h->embedding_scale : 1;
    const struct network_tensor *positions = find(net, ROLE_POSITIONS, -1);
    for (size_t t = 0; t < net->n; t++) {
        const float *d = net->dx + t * h->dim;
        float *row = table ? table + (size_t)net->tokens[t] * h->dim : NULL;
        for (size_t i = 0; row && i < h->dim; i++)
            row[i] += scale * d[i];
        if (positions && positions->gradient)
            operators_current()->add(positions->gradient + t % net->length * h->dim, d, h->dim);
    }
}

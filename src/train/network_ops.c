/* The ops of a block's steps, forward and backward. */
#include "engine/activate.h"
#include "kernels/dispatch.h"
#include "gradients.h"
#include "network_internal.h"

#include <string.h>

static size_t width(const struct pass *p, enum reg reg)
{
    return layer_width(p->net->model, p->layer, reg);
}

static const float *value(const struct pass *p, enum reg reg)
{
    return network_value(p->net, p->layer, p->block, p->at, reg);
}

/* The gradient by a register, zeros where nothing was added to it yet. */
static float *gradient(const struct pass *p, enum reg reg)
{
    if (!p->net->there[reg])
        memset(p->net->gradient[reg], 0, p->net->n * width(p, reg) * sizeof(float));
    p->net->there[reg] = true;
    return p->net->gradient[reg];
}

/* The gradient by what the step wrote, which no step before it wrote: it ends here. */
static const float *take_gradient(const struct pass *p)
{
    p->net->there[p->step->out] = false;
    return p->net->gradient[p->step->out];
}

/* ---- norms ----------------------------------------------------------------------------------- */

static size_t norm_size(const struct pass *p)
{
    return model_norm_size(p->net->model, p->layer, p->step);
}

static void norm_forward(const struct pass *p, float *out)
{
    size_t size = norm_size(p), count = p->net->n * (width(p, p->step->in) / size);
    network_normalize(p->net, p->step->role, p->block, value(p, p->step->in), count, size, out);
}

static void norm_backward(const struct pass *p)
{
    struct network *net = p->net;
    size_t size = norm_size(p), floats = net->n * width(p, p->step->in);
    const float *dy = take_gradient(p);
    if (p->step->in == p->step->out) { /* dx takes the place of dy */
        memcpy(net->scratch, dy, floats * sizeof *dy);
        dy = net->scratch;
    }
    network_normalize_back(net, p->step->role, p->block, value(p, p->step->in), dy, floats / size, size,
                           gradient(p, p->step->in));
}

/* ---- matrices -------------------------------------------------------------------------------- */

static void linear_forward(const struct pass *p, float *out)
{
    network_linear(p->net, p->step->role, p->block, value(p, p->step->in), out);
}

static void linear_backward(const struct pass *p)
{
    network_linear_back(p->net, p->step->role, p->block, value(p, p->step->in), take_gradient(p),
                        gradient(p, p->step->in));
}

static void split_forward(const struct pass *p, float *out)
{
    network_take(p->net, value(p, p->step->in), width(p, p->step->in), p->step->first, width(p, p->step->out), out);
}

static void split_backward(const struct pass *p)
{
    network_put(p->net, take_gradient(p), width(p, p->step->in), p->step->first, width(p, p->step->out),
                gradient(p, p->step->in));
}

/* ---- attention ------------------------------------------------------------------------------- */

/* factor: 1 forward, -1 backward. */
static void rotate_row(const struct rows *r, size_t i)
{
    const struct rotary *rotary = &r->net->model->rotary[r->layer->rotary];
    const struct rope_tables *table = &r->net->rope[r->layer->rotary];
    const struct operators *ops = operators_current();
    size_t size = r->layer->head_size, at = i % r->net->length * (rotary->dims / 2);
    bool halves = rotary->pairs == ROPE_HALVES;
    for (size_t k = 0; k < r->size / size; k++) {
        float *x = r->out + i * r->size + k * size;
        if (r->factor < 0)
            (halves ? rope_halves_gradient : rope_gradient)(x, table->cosines + at, table->sines + at, rotary->dims);
        else
            (halves ? ops->rope_halves : ops->rope)(x, table->cosines + at, table->sines + at, rotary->dims);
    }
}

static void rotate_forward(const struct pass *p, float *out)
{
    network_run_rows(&(struct rows){.net = p->net, .treat = rotate_row, .out = out, .size = width(p, p->step->out),
                                    .layer = p->layer, .factor = 1}, p->net->n);
}

static void rotate_backward(const struct pass *p)
{
    network_run_rows(&(struct rows){.net = p->net, .treat = rotate_row, .out = gradient(p, p->step->out),
                                    .size = width(p, p->step->out), .layer = p->layer, .factor = -1}, p->net->n);
}

static struct causal causal_of(const struct pass *p)
{
    return (struct causal){.layer = p->layer, .cap = p->net->model->hyper.attention_cap,
                           .windows = p->net->windows, .length = p->net->length, .q = value(p, REG_Q),
                           .k = value(p, REG_K), .v = value(p, REG_V), .scratch = p->net->attention};
}

static void attend_forward(const struct pass *p, float *out)
{
    struct causal a = causal_of(p);
    a.out = out;
    causal_forward(&a, p->net->pool);
}

static void attend_backward(const struct pass *p)
{
    struct causal a = causal_of(p);
    a.dout = take_gradient(p);
    a.dq = gradient(p, REG_Q);
    a.dk = gradient(p, REG_K);
    a.dv = gradient(p, REG_V);
    causal_backward(&a, p->net->pool);
}

/* ---- activations ----------------------------------------------------------------------------- */

static void activate_row(const struct rows *r, size_t i)
{
    enum activation kind = r->net->model->hyper.activation;
    const struct operators *ops = operators_current();
    const float *up = r->weights ? r->weights + i * r->size : NULL;
    float *out = r->out + i * r->size;
    memcpy(out, r->in + i * r->size, r->size * sizeof *out);
    if (up && kind == ACTIVATION_SILU) {
        ops->swiglu(out, up, r->size);
        return;
    }
    activate(kind, out, r->size);
    if (up)
        ops->multiply(out, up, r->size);
}

static void activate_forward(const struct pass *p, float *out)
{
    bool gated = p->step->with != REG_NONE;
    network_run_rows(&(struct rows){.net = p->net, .treat = activate_row, .in = value(p, p->step->in),
                                    .weights = gated ? value(p, p->step->with) : NULL, .out = out,
                                    .size = width(p, p->step->out)}, p->net->n);
}

static void (*const gradients[ACTIVATIONS])(const float *x, float *d, size_t n) = {
    [ACTIVATION_SILU] = silu_gradient, [ACTIVATION_GELU_TANH] = gelu_tanh_gradient, [ACTIVATION_GELU] = gelu_gradient,
    [ACTIVATION_RELU] = relu_gradient, [ACTIVATION_RELU_SQUARED] = relu_squared_gradient};

/* in: gate, weights: up (or null), dy -> out: by the gate, other: by up. */
static void activate_row_back(const struct rows *r, size_t i)
{
    enum activation kind = r->net->model->hyper.activation;
    const struct operators *ops = operators_current();
    const float *gate = r->in + i * r->size, *dy = r->dy + i * r->size;
    const float *up = r->weights ? r->weights + i * r->size : NULL;
    float *dgate = r->out + i * r->size, *dup = up ? r->other + i * r->size : NULL;
    if (up && kind == ACTIVATION_SILU) {
        swiglu_gradient(gate, up, dy, r->size, dgate, dup);
        return;
    }
    memcpy(dgate, dy, r->size * sizeof *dgate);
    if (up) {
        memcpy(dup, gate, r->size * sizeof *dup);
        activate(kind, dup, r->size);
        ops->multiply(dup, dy, r->size);
        ops->multiply(dgate, up, r->size);
    }
    gradients[kind](gate, dgate, r->size);
}

static void activate_backward(const struct pass *p)
{
    struct network *net = p->net;
    bool gated = p->step->with != REG_NONE;
    size_t size = width(p, p->step->out);
    memcpy(net->scratch, take_gradient(p), net->n * size * sizeof(float));
    network_run_rows(&(struct rows){.net = net, .treat = activate_row_back, .in = value(p, p->step->in),
                                    .weights = gated ? value(p, p->step->with) : NULL, .dy = net->scratch,
                                    .out = gradient(p, p->step->in),
                                    .other = gated ? gradient(p, p->step->with) : NULL, .size = size}, net->n);
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void scale_row(const struct rows *r, size_t i)
{
    for (size_t k = 0; k < r->size; k++)
        r->out[i * r->size + k] *= r->factor;
}

static void scale_by(const struct pass *p, float *x)
{
    network_run_rows(&(struct rows){.net = p->net, .treat = scale_row, .out = x, .size = width(p, p->step->out),
                                    .factor = p->layer->scalar[p->step->scalar]}, p->net->n);
}

static void scale_forward(const struct pass *p, float *out)
{
    scale_by(p, out);
}

static void scale_backward(const struct pass *p)
{
    scale_by(p, gradient(p, p->step->out));
}

static void temper_row(const struct rows *r, size_t i)
{
    float factor = layer_temper(r->layer, i % r->net->length);
    for (size_t k = 0; k < r->size; k++)
        r->out[i * r->size + k] *= factor;
}

static void temper(const struct pass *p, float *x)
{
    network_run_rows(&(struct rows){.net = p->net, .treat = temper_row, .out = x, .size = width(p, p->step->out),
                                    .layer = p->layer}, p->net->n);
}

static void temper_forward(const struct pass *p, float *out)
{
    temper(p, out);
}

static void temper_backward(const struct pass *p)
{
    temper(p, gradient(p, p->step->out));
}

static void add_forward(const struct pass *p, float *out)
{
    network_add(p->net, out, value(p, p->step->in), width(p, p->step->out));
}

static void add_backward(const struct pass *p)
{
    network_add(p->net, gradient(p, p->step->in), gradient(p, p->step->out), width(p, p->step->out));
}

const struct network_op network_ops[STEP_OPS] = {
    [STEP_NORM] = {norm_forward, norm_backward, .needs_in = true},
    [STEP_LINEAR] = {linear_forward, linear_backward, .needs_in = true},
    [STEP_SPLIT] = {split_forward, split_backward},
    [STEP_ROTATE] = {rotate_forward, rotate_backward},
    [STEP_ATTEND] = {attend_forward, attend_backward, .needs_in = true},
    [STEP_ACTIVATE] = {activate_forward, activate_backward, .needs_in = true, .needs_with = true},
    [STEP_SCALE] = {scale_forward, scale_backward},
    [STEP_TEMPER] = {temper_forward, temper_backward},
    [STEP_ADD] = {add_forward, add_backward},
};

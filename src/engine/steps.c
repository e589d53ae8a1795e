#include "steps.h"

#include "base/clock.h"
#include "kernels/dispatch.h"
#include "activate.h"
#include "experts.h"
#include "multiply.h"
#include "product.h"

#include <math.h>
#include <string.h>

/* Multiply-adds that one thread does in a nanosecond: what decides whether attention is worth the pool. */
static const double ATTENTION_RATE = 5;

/* Activations that one thread does in a nanosecond, likewise. */
static const double ACTIVATION_RATE = 1.5;

/* ---- matrices -------------------------------------------------------------------------------- */

/* The tensor with a role in a block (-1: outside), or null. */
static const struct qtensor *find(const struct context *c, const struct weights *w, enum role role, int block)
{
    int tensor = role == ROLE_NONE ? -1 : model_find(c->model, role, block);
    return tensor < 0 ? NULL : w->layer[tensor];
}

void steps_linear(struct context *c, const struct weights *w, enum role role, int block, const float *x, size_t n,
                  float *y)
{
    context_multiply(c, find(c, w, role, block), x, n, y);
    context_add_bias(c, find(c, w, role_bias(role), block), c->norm, y, n);
}

/* The steps from `step` on that multiply the same input, at most MAX_TOGETHER. */
static size_t count_together(const struct step *step, const struct step *end)
{
    size_t count = 1;
    while (count < MAX_TOGETHER && step + count < end && step[count].op == STEP_LINEAR &&
           step[count].in == step->in && step[count].out != step->in)
        count++;
    return count;
}

static void multiply_together(struct context *c, const struct weights *w, int block, const struct step *step,
                              size_t count, size_t n)
{
    const struct qtensor *tensor[MAX_TOGETHER] = {NULL};
    float *y[MAX_TOGETHER] = {NULL};
    for (size_t i = 0; i < count; i++) {
        tensor[i] = find(c, w, step[i].role, block);
        y[i] = c->reg[step[i].out];
    }
    context_multiply_together(c, tensor, count, c->reg[step->in], n, y);
    for (size_t i = 0; i < count; i++)
        context_add_bias(c, find(c, w, role_bias(step[i].role), block), c->norm, y[i], n);
}

/* Weights and biases of a norm of n elements, one after the other; ones and zeros where there are none. Returns how many
 * of each: n, or those of all heads. */
static size_t decode_norm(struct context *c, const struct weights *w, enum role role, int block, size_t n)
{
    const struct qtensor *weight = find(c, w, role, block);
    const struct qtensor *bias = role == ROLE_NONE ? NULL : find(c, w, role_bias(role), block);
    size_t cols = weight ? weight->matrix.cols : n;
    if (weight)
        isa_current()->decode_row(&weight->matrix, 0, c->norm);
    for (size_t i = 0; !weight && i < n; i++)
        c->norm[i] = 1;
    if (bias)
        isa_current()->decode_row(&bias->matrix, 0, c->norm + cols);
    else
        memset(c->norm + cols, 0, n * sizeof *c->norm);
    return cols;
}

void steps_norm(struct context *c, const struct weights *w, enum role role, int block, const float *x, size_t count,
                size_t n, float *out)
{
    const struct hyper *h = &c->model->hyper;
    size_t cols = decode_norm(c, w, role, block, n);
    const float *bias = c->norm + cols;
    for (size_t i = 0; i < count; i++) {
        const float *weight = c->norm + i * n % cols;
        if (h->norm == NORM_LAYER)
            c->ops->layernorm(out + i * n, x + i * n, weight, bias, n, h->norm_eps);
        else
            c->ops->rmsnorm(out + i * n, x + i * n, weight, n, h->norm_eps);
    }
}

/* ---- steps ----------------------------------------------------------------------------------- */

/* What a step works on. */
struct run {
    struct context *c;
    const struct weights *w;
    const struct layer *layer;
    size_t block, n;         /* n: tokens */
};

typedef void step_fn(const struct run *r, const struct step *s);

static size_t width(const struct run *r, enum reg reg)
{
    return layer_width(r->c->model, r->layer, reg);
}

static void run_norm(const struct run *r, const struct step *s)
{
    struct context *c = r->c;
    size_t size = model_norm_size(c->model, r->layer, s), vectors = width(r, s->in) / size;
    steps_norm(c, r->w, s->role, (int)r->block, c->reg[s->in], r->n * vectors, size, c->reg[s->out]);
}

static void run_split(const struct run *r, const struct step *s)
{
    size_t all = width(r, s->in), size = width(r, s->out);
    for (size_t t = 0; t < r->n; t++)
        memcpy(r->c->reg[s->out] + t * size, r->c->reg[s->in] + t * all + s->first, size * sizeof(float));
}

static void run_rotate(const struct run *r, const struct step *s)
{
    const struct context *c = r->c;
    const struct rotary *rotary = &c->model->rotary[r->layer->rotary];
    const struct rope_tables *table = &c->rope[r->layer->rotary];
    size_t size = r->layer->head_size, heads = width(r, s->out) / size, half = rotary->dims / 2;
    bool halves = rotary->pairs == ROPE_HALVES;
    for (size_t i = 0; i < r->n * heads; i++) {
        size_t at = context_position(c, i / heads) * half;
        (halves ? c->ops->rope_halves : c->ops->rope)(c->reg[s->out] + i * size, table->cosines + at,
                                                      table->sines + at, rotary->dims);
    }
}

/* The gated SiLU of gpt-oss (OpenAI 2025): (up + 1) gate sigmoid(alpha gate), gate and up within a limit. */
static void swiglu_clamped(const struct hyper *h, float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float g = gate[i] > h->swiglu_limit ? h->swiglu_limit : gate[i];
        float u = up[i] > h->swiglu_limit ? h->swiglu_limit : up[i] < -h->swiglu_limit ? -h->swiglu_limit : up[i];
        gate[i] = (u + 1) * g / (1 + expf(-h->swiglu_alpha * g));
    }
}

/* gate (n) = activation(gate), times up where it is not null. */
static void activate_numbers(const struct run *r, float *gate, const float *up, size_t n)
{
    const struct context *c = r->c;
    enum activation kind = c->model->hyper.activation;
    if (up && kind == ACTIVATION_SWIGLU_CLAMPED) {
        swiglu_clamped(&c->model->hyper, gate, up, n);
        return;
    }
    if (up && kind == ACTIVATION_SILU) {
        c->ops->swiglu(gate, up, n);
        return;
    }
    if (kind == ACTIVATION_XIELU)
        xielu(&r->layer->xielu, gate, n);
    else
        activate(kind, gate, n);
    if (up)
        c->ops->multiply(gate, up, n);
}

struct activation_task {
    const struct run *run;
    float *gate;
    const float *up;
    size_t width;
};

static void activate_tokens(void *arg, size_t begin, size_t end, int thread)
{
    const struct activation_task *a = arg;
    (void)thread;
    activate_numbers(a->run, a->gate + begin * a->width, a->up ? a->up + begin * a->width : NULL,
                     (end - begin) * a->width);
}

static void run_activate(const struct run *r, const struct step *s)
{
    struct context *c = r->c;
    struct activation_task a = {r, c->reg[s->out], s->with == REG_NONE ? NULL : c->reg[s->with], width(r, s->out)};
    if (pool_worthwhile(c->pool, (double)(r->n * a.width) / ACTIVATION_RATE))
        pool_run(c->pool, r->n, activate_tokens, &a);
    else
        activate_tokens(&a, 0, r->n, 0);
}

static void run_sigmoid(const struct run *r, const struct step *s)
{
    float *x = r->c->reg[s->out];
    for (size_t i = 0; i < r->n * width(r, s->out); i++)
        x[i] = 1 / (1 + expf(-x[i]));
}

static void run_multiply(const struct run *r, const struct step *s)
{
    size_t size = width(r, s->out);
    float *x = r->c->reg[s->out];
    if (width(r, s->in) == size)
        r->c->ops->multiply(x, r->c->reg[s->in], r->n * size);
    else
        for (size_t t = 0; t < r->n; t++)
            steps_scale(x + t * size, size, r->c->reg[s->in][t]);
}

static void run_scale(const struct run *r, const struct step *s)
{
    steps_scale(r->c->reg[s->out], r->n * width(r, s->out), r->layer->scalar[s->scalar]);
}

static void run_clamp(const struct run *r, const struct step *s)
{
    float *x = r->c->reg[s->out], bound = r->layer->scalar[s->scalar];
    for (size_t i = 0; i < r->n * width(r, s->out); i++)
        x[i] = x[i] > bound ? bound : x[i] < -bound ? -bound : x[i];
}

static void round_token(float *x, size_t n, float steps)
{
    float largest = 1e-5f; /* and no less (BitNet b1.58) */
    for (size_t i = 0; i < n; i++)
        largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
    float scale = steps / largest;
    for (size_t i = 0; i < n; i++)
        x[i] = rintf(x[i] * scale) / scale;
}

static void run_round(const struct run *r, const struct step *s)
{
    size_t size = width(r, s->out);
    for (size_t t = 0; t < r->n; t++)
        round_token(r->c->reg[s->out] + t * size, size, r->layer->scalar[s->scalar]);
}

static void run_unit(const struct run *r, const struct step *s)
{
    float *x = r->c->reg[s->out];
    size_t n = r->layer->head_size, heads = r->n * width(r, s->out) / n;
    for (size_t i = 0; i < heads; i++) {
        float squares = 0;
        for (size_t k = 0; k < n; k++)
            squares += x[i * n + k] * x[i * n + k];
        steps_scale(x + i * n, n, 1 / sqrtf(squares / (float)n + r->c->model->hyper.norm_eps));
    }
}

static void run_temper(const struct run *r, const struct step *s)
{
    size_t size = width(r, s->out);
    for (size_t t = 0; t < r->n; t++)
        steps_scale(r->c->reg[s->out] + t * size, size, layer_temper(r->layer, context_position(r->c, t)));
}

static void run_weigh(const struct run *r, const struct step *s)
{
    const struct qmatrix *w = &find(r->c, r->w, s->role, (int)r->block)->matrix;
    size_t size = width(r, s->out);
    float *x = r->c->reg[s->out], *by = r->c->norm;
    isa_current()->decode_row(w, 0, by);
    if (w->cols == 1)
        steps_scale(x, r->n * size, *by);
    for (size_t t = 0; w->cols > 1 && t < r->n; t++)
        r->c->ops->multiply(x + t * size, by, size);
}

static void run_add(const struct run *r, const struct step *s)
{
    r->c->ops->add(r->c->reg[s->out], r->c->reg[s->in], r->n * width(r, s->out));
}

static void run_route(const struct run *r, const struct step *s)
{
    const struct qtensor *choice = find(r->c, r->w, ROLE_ROUTER_CHOICE, (int)r->block);
    const float *bias = NULL;
    if (choice) {
        isa_current()->decode_row(&choice->matrix, 0, r->c->norm);
        bias = r->c->norm;
    }
    experts_route(r->c, r->layer, bias, r->c->reg[s->in], r->n);
    const struct qtensor *scale = find(r->c, r->w, ROLE_ROUTER_SCALE, (int)r->block);
    if (!scale)
        return;
    isa_current()->decode_row(&scale->matrix, 0, r->c->norm);
    for (size_t i = 0; i < r->n * r->layer->mixture.used; i++)
        r->c->reg[REG_SHARE][i] *= r->c->norm[(size_t)r->c->reg[REG_CHOSEN][i]];
}

static void run_experts(const struct run *r, const struct step *s)
{
    experts_multiply(r->c, r->w, r->layer, s, r->n);
}

static void run_combine(const struct run *r, const struct step *s)
{
    experts_combine(r->c, &r->layer->mixture, r->c->reg[s->in], r->n, r->c->reg[s->out]);
}

/* ---- attention ------------------------------------------------------------------------------- */

struct attend {
    const struct run *run;
    const float *sinks;      /* of each head; null: none */
};

/* Tokens whose queries share a pass over one cache. */
static size_t attention_tokens(const struct context *c, const struct layer *l)
{
    return c->batched || l->chunk ? 1 : ATTENTION_TOKENS;
}

/* Items are (token group, head of the cache) pairs: each reads one stream of keys and one of values,
 * once for all query heads that share them. */
static void attend_heads(void *arg, size_t begin, size_t end, int thread)
{
    const struct attend *a = arg;
    struct context *c = a->run->c;
    const struct layer *l = a->run->layer;
    size_t shared = l->heads / l->kv_heads, group = attention_tokens(c, l);
    for (size_t i = begin; i < end; i++) {
        size_t token = i / l->kv_heads * group, head = i % l->kv_heads;
        size_t left = a->run->n - token, offset = (token * l->heads + head * shared) * l->head_size;
        struct attention one = {.kv = kv_head(context_cache(c, token), l->kv_from, head),
                                .q = c->reg[REG_Q] + offset,
                                .out = c->reg[REG_ATTENDED] + offset,
                                .tokens = left < group ? left : group,
                                .heads = shared,
                                .stride = l->heads * l->head_size,
                                .window = layer_window(l, context_position(c, token)),
                                .scale = l->attention_scale,
                                .cap = c->model->hyper.attention_cap,
                                .sinks = a->sinks ? a->sinks + head * shared : NULL,
                                .length = context_position(c, token) + 1,
                                .scratch = c->attention + (size_t)thread * c->attention_floats};
        c->ops->attention(&one);
    }
}

/* Puts new keys and values into the cache of their layer. */
static void append_positions(const struct run *r)
{
    struct context *c = r->c;
    size_t kv = r->layer->kv_heads * r->layer->head_size;
    for (size_t t = 0; t < r->n; t++)
        kv_put(context_cache(c, t), r->block, context_position(c, t), c->reg[REG_K] + t * kv, c->reg[REG_V] + t * kv);
}

static const float *decode_sinks(const struct run *r)
{
    const struct qtensor *sinks = find(r->c, r->w, ROLE_ATTN_SINKS, (int)r->block);
    if (!sinks)
        return NULL;
    isa_current()->decode_row(&sinks->matrix, 0, r->c->norm);
    return r->c->norm;
}

static void run_attend(const struct run *r, const struct step *s)
{
    struct context *c = r->c;
    const struct layer *l = r->layer;
    double begin = c->tensor_seconds ? clock_seconds() : 0;
    (void)s;
    if (l->kv_from == r->block)
        append_positions(r);
    struct attend a = {r, decode_sinks(r)};
    size_t group = attention_tokens(c, l), items = (r->n + group - 1) / group * l->kv_heads;
    double work = (double)(r->n * l->heads * l->head_size * 2 * (c->length + r->n));
    if (pool_worthwhile(c->pool, work / ATTENTION_RATE))
        pool_run(c->pool, items, attend_heads, &a);
    else
        attend_heads(&a, 0, items, 0);
    if (c->tensor_seconds)
        c->tensor_seconds[kv_index(c->model)] += clock_seconds() - begin;
}

/* ---- all ------------------------------------------------------------------------------------- */

static step_fn *const ops[STEP_OPS] = {
    [STEP_WEIGH] = run_weigh,
    [STEP_NORM] = run_norm,         [STEP_SPLIT] = run_split,       [STEP_ROTATE] = run_rotate,
    [STEP_ATTEND] = run_attend,     [STEP_ACTIVATE] = run_activate, [STEP_SIGMOID] = run_sigmoid,
    [STEP_MULTIPLY] = run_multiply, [STEP_SCALE] = run_scale,       [STEP_ADD] = run_add,
    [STEP_ROUTE] = run_route,       [STEP_EXPERTS] = run_experts,   [STEP_COMBINE] = run_combine,
    [STEP_CLAMP] = run_clamp,       [STEP_ROUND] = run_round,       [STEP_TEMPER] = run_temper,
    [STEP_UNIT] = run_unit,
};

void steps_run(struct context *c, const struct weights *w, size_t block, size_t begin, size_t end, size_t n)
{
    const struct run r = {c, w, &c->model->layers[block], block, n};
    const struct step *last = r.layer->steps + end;
    for (const struct step *s = r.layer->steps + begin; s < last;) {
        size_t count = s->op == STEP_LINEAR ? count_together(s, last) : 1;
        if (s->op == STEP_LINEAR)
            multiply_together(c, w, (int)block, s, count, n);
        else
            ops[s->op](&r, s);
        s += count;
    }
}

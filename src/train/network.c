/* The passes, block by block: attention, feed-forward layers, embedding and head. */
#include "kernels/dispatch.h"
#include "gradients.h"
#include "network_internal.h"

#include <string.h>

static void zero(float *x, size_t n)
{
    memset(x, 0, n * sizeof *x);
}

/* ---- attention ------------------------------------------------------------------------------- */

static void turn_row(const struct rows *r, size_t i)
{
    const struct hyper *h = &r->net->model->hyper;
    const struct operators *ops = operators_current();
    size_t n = rotary_dims(h), at = i % r->net->length * (n / 2);
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
        network_run_rows(&(struct rows){.net = net, .treat = turn_row, .out = x, .heads = heads,
                                        .first = back}, net->n);
}

static struct causal causal_of(struct network *net, size_t block)
{
    const struct saved_activations *k = &net->blocks[block];
    return (struct causal){.hyper = &net->model->hyper, .layer = block, .windows = net->windows,
                           .length = net->length, .q = k->q, .k = k->k, .v = k->v, .out = k->attended,
                           .scratch = net->attention};
}

static void project(struct network *net, int block, struct saved_activations *k)
{
    const struct model *m = net->model;
    const struct hyper *h = &m->hyper;
    size_t q = h->heads * h->head_size, kv = h->kv_heads * h->head_size, all = q + 2 * kv;
    float *q_to = k->q_raw ? k->q_raw : k->q, *k_to = k->k_raw ? k->k_raw : k->k;
    if (network_has(m, ROLE_ATTN_QKV)) {
        network_linear(net, ROLE_ATTN_QKV, block, k->normed, net->scratch[0]);
        network_take(net, net->scratch[0], all, 0, q, q_to);
        network_take(net, net->scratch[0], all, q, kv, k_to);
        network_take(net, net->scratch[0], all, q + kv, kv, k->v);
    } else {
        network_linear(net, ROLE_ATTN_Q, block, k->normed, q_to);
        network_linear(net, ROLE_ATTN_K, block, k->normed, k_to);
        network_linear(net, ROLE_ATTN_V, block, k->normed, k->v);
    }
    if (k->q_raw)
        network_normalize(net, ROLE_ATTN_Q_NORM, block, k->q_raw, net->n * h->heads, h->head_size, k->q);
    if (k->k_raw)
        network_normalize(net, ROLE_ATTN_K_NORM, block, k->k_raw, net->n * h->kv_heads, h->head_size, k->k);
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
    network_normalize_back(net, post, block, projected, net->dx, net->n, dim, scratch);
    return scratch;
}

/* dq, dk, dv to d_normed. */
static void project_back(struct network *net, int block, const struct saved_activations *k, float *dq, float *dk,
                         float *dv, float *d_normed)
{
    const struct model *m = net->model;
    const struct hyper *h = &m->hyper;
    size_t q = h->heads * h->head_size, kv = h->kv_heads * h->head_size, all = q + 2 * kv;
    if (network_has(m, ROLE_ATTN_QKV)) {
        float *fused = net->scratch[3];
        network_put(net, dq, all, 0, q, fused);
        network_put(net, dk, all, q, kv, fused);
        network_put(net, dv, all, q + kv, kv, fused);
        network_linear_back(net, ROLE_ATTN_QKV, block, k->normed, fused, d_normed);
        return;
    }
    network_linear_back(net, ROLE_ATTN_Q, block, k->normed, dq, d_normed);
    network_linear_back(net, ROLE_ATTN_K, block, k->normed, dk, d_normed);
    network_linear_back(net, ROLE_ATTN_V, block, k->normed, dv, d_normed);
}

static void attention_back(struct network *net, int block, const struct saved_activations *k)
{
    const struct hyper *h = &net->model->hyper;
    size_t q = h->heads * h->head_size, kv = h->kv_heads * h->head_size, n = net->n;
    float *dout = net->scratch[0], *dq = net->scratch[1], *dk = net->scratch[2], *dv = dk + n * kv;
    float *raw = net->scratch[0];
    const float *d = before_post(net, ROLE_ATTN_POST_NORM, block, k->projected, net->scratch[1]);
    zero(dout, n * q);
    network_linear_back(net, ROLE_ATTN_OUT, block, k->attended, d, dout);
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
        network_normalize_back(net, ROLE_ATTN_Q_NORM, block, k->q_raw, dq, n * h->heads, h->head_size, raw);
        memcpy(dq, raw, n * q * sizeof *dq);
    }
    if (k->k_raw) {
        zero(raw, n * kv);
        network_normalize_back(net, ROLE_ATTN_K_NORM, block, k->k_raw, dk, n * h->kv_heads, h->head_size, raw);
        memcpy(dk, raw, n * kv * sizeof *dk);
    }
    float *d_normed = net->scratch[0];
    zero(d_normed, n * h->dim);
    project_back(net, block, k, dq, dk, dv, d_normed);
    network_normalize_back(net, ROLE_ATTN_NORM, block, k->x, d_normed, n, h->dim, net->dx);
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

static void feed(struct network *net, int block, struct saved_activations *k)
{
    const struct model *m = net->model;
    size_t hidden = m->hyper.hidden;
    if (network_has(m, ROLE_FFN_GATE_UP)) {
        network_linear(net, ROLE_FFN_GATE_UP, block, k->normed_mid, net->scratch[0]);
        network_take(net, net->scratch[0], 2 * hidden, 0, hidden, k->gate);
        network_take(net, net->scratch[0], 2 * hidden, hidden, hidden, k->up);
    } else if (network_has(m, ROLE_FFN_GATE)) {
        network_linear(net, ROLE_FFN_GATE, block, k->normed_mid, k->gate);
        network_linear(net, ROLE_FFN_UP, block, k->normed_mid, k->up);
    } else {
        network_linear(net, ROLE_FFN_UP, block, k->normed_mid, k->gate);
    }
    network_run_rows(&(struct rows){.net = net, .treat = activate_row, .in = k->gate, .dy = k->up,
                                    .out = k->active, .size = hidden}, net->n);
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

static void feed_back(struct network *net, int block, const struct saved_activations *k)
{
    const struct model *m = net->model;
    const struct hyper *h = &m->hyper;
    size_t n = net->n, hidden = h->hidden;
    float *d_active = net->scratch[0], *dgate = net->scratch[1], *dup = dgate + n * hidden;
    const float *d = before_post(net, ROLE_FFN_POST_NORM, block, k->added, net->scratch[2]);
    zero(d_active, n * hidden);
    network_linear_back(net, ROLE_FFN_DOWN, block, k->active, d, d_active);
    network_run_rows(&(struct rows){.net = net, .treat = activate_row_back, .in = k->gate, .weights = k->up,
                                    .dy = d_active, .out = dgate, .other = dup, .size = hidden}, n);
    float *d_normed = net->scratch[0];
    zero(d_normed, n * h->dim);
    if (network_has(m, ROLE_FFN_GATE_UP)) {
        network_put(net, dgate, 2 * hidden, 0, hidden, net->scratch[2]);
        network_put(net, dup, 2 * hidden, hidden, hidden, net->scratch[2]);
        network_linear_back(net, ROLE_FFN_GATE_UP, block, k->normed_mid, net->scratch[2], d_normed);
    } else {
        network_linear_back(net, network_has(m, ROLE_FFN_GATE) ? ROLE_FFN_GATE : ROLE_FFN_UP, block, k->normed_mid,
                            dgate, d_normed);
        if (network_has(m, ROLE_FFN_GATE))
            network_linear_back(net, ROLE_FFN_UP, block, k->normed_mid, dup, d_normed);
    }
    network_normalize_back(net, ROLE_FFN_NORM, block, k->mid, d_normed, n, h->dim, net->dx);
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
    const struct network_tensor *positions = network_find(net, ROLE_POSITIONS, -1);
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
    struct saved_activations *k = &net->blocks[block];
    size_t dim = net->model->hyper.dim, n = net->n;
    float *out = output_of(net, block), *projected = k->projected ? k->projected : net->scratch[1];
    int b = (int)block;
    network_normalize(net, ROLE_ATTN_NORM, b, k->x, n, dim, k->normed);
    project(net, b, k);
    struct causal a = causal_of(net, block);
    causal_forward(&a, net->pool);
    network_linear(net, ROLE_ATTN_OUT, b, k->attended, projected);
    memcpy(k->mid, k->x, n * dim * sizeof *k->mid);
    if (k->projected)
        network_normalize(net, ROLE_ATTN_POST_NORM, b, projected, n, dim, net->scratch[1]);
    network_add(net, k->mid, net->scratch[1], dim);
    network_normalize(net, ROLE_FFN_NORM, b, k->mid, n, dim, k->normed_mid);
    feed(net, b, k);
    float *added = k->added ? k->added : net->scratch[1];
    network_linear(net, ROLE_FFN_DOWN, b, k->active, added);
    memcpy(out, k->mid, n * dim * sizeof *out);
    if (k->added)
        network_normalize(net, ROLE_FFN_POST_NORM, b, added, n, dim, net->scratch[1]);
    network_add(net, out, net->scratch[1], dim);
}

static void cap_row(const struct rows *r, size_t i)
{
    operators_current()->soft_cap(r->out + i * r->size, r->size, r->net->model->hyper.logit_cap);
}

void network_head(struct network *net)
{
    const struct hyper *h = &net->model->hyper;
    network_normalize(net, ROLE_OUTPUT_NORM, -1, net->x, net->n, h->dim, net->normed);
    network_linear(net, ROLE_OUTPUT, -1, net->normed, net->logits);
    if (h->logit_cap > 0)
        network_run_rows(&(struct rows){.net = net, .treat = cap_row, .out = net->logits, .size = h->vocab}, net->n);
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
        network_run_rows(&(struct rows){.net = net, .treat = cap_row_back, .in = capped, .out = net->logits,
                                        .size = h->vocab}, net->n);
    zero(d_normed, net->n * h->dim);
    zero(net->dx, net->n * h->dim);
    network_linear_back(net, ROLE_OUTPUT, -1, net->normed, net->logits, d_normed);
    network_normalize_back(net, ROLE_OUTPUT_NORM, -1, net->x, d_normed, net->n, h->dim, net->dx);
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
    const struct network_tensor *positions = network_find(net, ROLE_POSITIONS, -1);
    for (size_t t = 0; t < net->n; t++) {
        const float *d = net->dx + t * h->dim;
        float *row = table ? table + (size_t)net->tokens[t] * h->dim : NULL;
        for (size_t i = 0; row && i < h->dim; i++)
            row[i] += scale * d[i];
        if (positions && positions->gradient)
            operators_current()->add(positions->gradient + t % net->length * h->dim, d, h->dim);
    }
}

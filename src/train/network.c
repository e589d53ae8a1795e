/* The passes: embedding, the steps of the blocks, head. */
#include "kernels/dispatch.h"
#include "gradients.h"
#include "network_internal.h"

#include <string.h>

static void zero(float *x, size_t n)
{
    memset(x, 0, n * sizeof *x);
}

/* ---- values ---------------------------------------------------------------------------------- */

/* Where block b leaves its output. */
static float *output_of(const struct network *net, size_t block)
{
    return block + 1 < net->model->hyper.layers ? net->blocks[block + 1].x : net->x;
}

/* Whether the backward pass of a step reads a register. */
static bool reads_back(const struct step *s, enum reg reg)
{
    const struct network_op *op = &network_ops[s->op];
    bool keys = s->op == STEP_ATTEND && (reg == REG_K || reg == REG_V);
    return (op->needs_in && (s->in == reg || keys)) || (op->needs_with && s->with == reg);
}

bool network_needs(const struct layer *l, int at, enum reg reg)
{
    for (size_t i = (size_t)(at + 1); i < l->step_count; i++) {
        if (reads_back(&l->steps[i], reg))
            return true;
        if (step_writes(&l->steps[i]) & REG_BIT(reg))
            return false;
    }
    return false;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static struct pass pass_at(struct network *net, size_t block, size_t at)
{
    const struct layer *l = &net->model->layers[block];
    return (struct pass){net, l, (int)block, at, &l->steps[at]};
}

void network_block(struct network *net, size_t block)
{
    const struct layer *l = &net->model->layers[block];
    const float *last = net->blocks[block].x;
    for (size_t i = 0; i < l->step_count; i++) {
        struct pass p = pass_at(net, block, i);
        const struct network_op *op = &network_ops[p.step->op];
        float *out = net->blocks[block].value[i];
        size_t size = layer_width(net->model, l, p.step->out);
        const float *before = step_changes(p.step) ? network_value(net, l, (int)block, i, p.step->out) : out;
        if (before != out)
            memcpy(out, before, net->n * size * sizeof *out);
        op->forward(&p, out);
        last = p.step->out == REG_X ? out : last;
    }
    memcpy(output_of(net, block), last, net->n * net->model->hyper.dim * sizeof *last);
}

void network_block_back(struct network *net, size_t block)
{
    const struct layer *l = &net->model->layers[block];
    for (enum reg reg = 0; reg < REG_COUNT; reg++)
        net->there[reg] = reg == REG_X;
    for (size_t i = l->step_count; i > 0; i--) {
        struct pass p = pass_at(net, block, i - 1);
        if (net->there[p.step->out])
            network_ops[p.step->op].backward(&p);
    }
}

/* What a step of a block does that has no backward pass, or null. */
static const char *untrained(const struct model *m, const struct step *s)
{
    static const char *const names[STEP_OPS] = {
        [STEP_WEIGH] = "a scale of the hidden state",
        [STEP_SIGMOID] = "a sigmoid", [STEP_MULTIPLY] = "a product of activations", [STEP_ROUTE] = "a router",
        [STEP_EXPERTS] = "experts", [STEP_COMBINE] = "experts", [STEP_CLAMP] = "queries, keys and values that are clamped",
        [STEP_ROUND] = "activations that are rounded",
        [STEP_UNIT] = "heads by their root mean squares"};
    if (s->op == STEP_NORM && s->role == ROLE_NONE)
        return "a norm without weights";
    if (s->op == STEP_NORM && model_norm_size(m, &m->layers[0], s) < model_role_shape(m, &m->layers[0], s->role).cols)
        return "norms with weights for every head";
    return network_ops[s->op].backward ? NULL : names[s->op];
}

bool network_trains(const struct model *m, struct error *error)
{
    if (m->hyper.activation == ACTIVATION_XIELU)
        return error_set(error, "qat: the activation is xIELU, which training does not differentiate; expected a model "
                                "with another, or another method");
    for (size_t b = 0; b < m->hyper.layers; b++) {
        const struct layer *l = &m->layers[b];
        const char *what = l->has & ROLE_BIT(ROLE_ATTN_SINKS) ? "attention sinks"
                           : l->has & ROLE_BIT(ROLE_INPUT_GATE) ? "an input of its own"
                           : l->kv_from != b                  ? "another block's keys and values"
                           : l->chunk > 0                     ? "attention in chunks"
                                                              : NULL;
        for (size_t i = 0; i < l->step_count && !what; i++)
            what = untrained(m, &l->steps[i]);
        if (what)
            return error_set(error, "qat: block %zu has %s, which training does not differentiate; expected a model "
                                    "without, or another method", b, what);
    }
    return true;
}

/* ---- embedding and head ---------------------------------------------------------------------- */

void network_embed(struct network *net, const int32_t *tokens)
{
    const struct hyper *h = &net->model->hyper;
    const struct network_tensor *positions = network_find(net, ROLE_POSITIONS, -1);
    float *x = net->blocks[0].x;
    net->tokens = tokens;
    for (size_t t = 0; t < net->n; t++, x += h->dim) {
        memcpy(x, net->tensors[0].weights + (size_t)tokens[t] * h->dim, h->dim * sizeof *x);
        for (size_t i = 0; h->embedding_scale > 0 && i < h->dim; i++)
            x[i] *= h->embedding_scale;
        if (positions)
            operators_current()->add(x, positions->weights + (h->first_position + t % net->length) * h->dim, h->dim);
    }
}

static void scale_row(const struct rows *r, size_t i)
{
    for (size_t k = 0; k < r->size; k++)
        r->out[i * r->size + k] *= r->factor;
}

/* Logits, or the gradient by them. */
static void scale_logits(struct network *net)
{
    const struct hyper *h = &net->model->hyper;
    if (h->logit_scale > 0)
        network_run_rows(&(struct rows){.net = net, .treat = scale_row, .out = net->logits, .size = h->vocab,
                                        .factor = h->logit_scale}, net->n);
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
    scale_logits(net);
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
    float *d_normed = net->scratch;
    if (capped)
        network_run_rows(&(struct rows){.net = net, .treat = cap_row_back, .in = capped, .out = net->logits,
                                        .size = h->vocab}, net->n);
    scale_logits(net);
    zero(d_normed, net->n * h->dim);
    zero(net->gradient[REG_X], net->n * h->dim);
    network_linear_back(net, ROLE_OUTPUT, -1, net->normed, net->logits, d_normed);
    network_normalize_back(net, ROLE_OUTPUT_NORM, -1, net->x, d_normed, net->n, h->dim, net->gradient[REG_X]);
}

void network_embed_back(struct network *net)
{
    const struct hyper *h = &net->model->hyper;
    float *table = net->tensors[0].gradient, scale = h->embedding_scale > 0 ? h->embedding_scale : 1;
    const struct network_tensor *positions = network_find(net, ROLE_POSITIONS, -1);
    for (size_t t = 0; t < net->n; t++) {
        const float *d = net->gradient[REG_X] + t * h->dim;
        float *row = table ? table + (size_t)net->tokens[t] * h->dim : NULL;
        for (size_t i = 0; row && i < h->dim; i++)
            row[i] += scale * d[i];
        if (positions && positions->gradient)
            operators_current()->add(positions->gradient + (h->first_position + t % net->length) * h->dim, d, h->dim);
    }
}

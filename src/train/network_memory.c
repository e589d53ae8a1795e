/* What passes keep, and its memory: bytes, places, opening and closing. */
#include "kernels/activations.h"
#include "network_internal.h"

#include <stdlib.h>

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* The widest row that anything but the head gives or takes. */
static size_t widest_of(const struct model *m)
{
    size_t widest = m->hyper.dim;
    for (enum reg reg = 0; reg < REG_COUNT; reg++)
        widest = larger(widest, model_width(m, reg));
    return widest;
}

/* Where floats are given out; with memory null they are only counted. */
struct placing {
    float *memory;
    size_t used, n;  /* n: rows */
    bool overflow;
};

static float *give(struct placing *p, size_t floats)
{
    float *at = p->memory ? p->memory + p->used : NULL;
    size_t part;
    p->overflow |= __builtin_mul_overflow(floats, p->n, &part) || __builtin_add_overflow(p->used, part, &p->used);
    return at;
}

/* The step whose place step `at` goes on with, since it changes what no backward pass reads; or -1. */
static int goes_on_with(const struct layer *l, size_t at)
{
    enum reg out = l->steps[at].out;
    int before = layer_writer(l, at, out);
    return step_changes(&l->steps[at]) && before >= 0 && !network_needs(l, before, out) ? before : -1;
}

/* Whether a backward pass reads what step `at` wrote, or what the steps that go on with its place make of it. */
static bool is_kept(const struct layer *l, size_t at)
{
    for (size_t i = at + 1; i < l->step_count; i++)
        if (goes_on_with(l, i) == (int)at)
            return is_kept(l, i);
    return network_needs(l, (int)at, l->steps[at].out);
}

/* The places of a block's values. */
static void place_block(struct network *net, struct placing *p, size_t block)
{
    const struct model *m = net->model;
    const struct layer *l = &m->layers[block];
    struct network_block none = {0}, *b = p->memory ? &net->blocks[block] : &none;
    b->x = give(p, m->hyper.dim);
    for (size_t i = 0; i < l->step_count; i++) {
        enum reg out = l->steps[i].out;
        int before = goes_on_with(l, i);
        float *at = before >= 0 ? (p->memory ? b->value[before] : NULL)
                    : is_kept(l, i) ? give(p, layer_width(m, l, out))
                                    : net->reg[out];
        if (p->memory)
            b->value[i] = at;
    }
}

/* Gives every vector its place; with memory null it only adds up. False on overflow. */
static bool place(struct network *net, float *memory, size_t *floats)
{
    const struct model *m = net->model;
    const struct hyper *h = &m->hyper;
    struct placing p = {memory, 0, net->n, false};
    for (enum reg reg = 0; reg < REG_COUNT; reg++) {
        net->reg[reg] = give(&p, model_width(m, reg));
        net->gradient[reg] = give(&p, model_width(m, reg));
    }
    net->x = give(&p, h->dim);
    net->normed = give(&p, h->dim);
    net->logits = give(&p, h->vocab);
    net->scratch = give(&p, net->widest);
    net->rounded = give(&p, net->widest);
    for (size_t b = 0; b < h->layers; b++)
        place_block(net, &p, b);
    *floats = p.used;
    return !p.overflow && p.used < SIZE_MAX / 8;
}

static void measure(struct network *net)
{
    net->n = net->windows * net->length;
    net->widest = widest_of(net->model);
    net->activations_bytes = padded_bytes(activations_scratch(net->widest, ROUNDED_TOGETHER));
}

/* The largest head of any layer. */
static size_t largest_head(const struct model *m)
{
    size_t size = 0;
    for (size_t b = 0; b < m->hyper.layers; b++)
        size = larger(size, m->layers[b].head_size);
    return size;
}

bool network_bytes(const struct model *model, size_t windows, size_t length, int threads, size_t *bytes)
{
    struct network net = {.model = model, .windows = windows, .length = length};
    size_t floats, products = 0, attention = (size_t)threads * causal_floats(largest_head(model), length) * 4;
    measure(&net);
    if (!place(&net, NULL, &floats))
        return false;
    for (size_t t = 0; t < model->tensor_count; t++)
        products = larger(products, dense_bytes(net.n, model->tensors[t].stored.rows,
                                                model->tensors[t].stored.cols));
    *bytes = floats * sizeof(float) + products + attention + (size_t)threads * net.activations_bytes;
    return true;
}

static bool open_blocks(struct network *net)
{
    const struct model *m = net->model;
    bool ok = (net->blocks = calloc(m->hyper.layers, sizeof *net->blocks)) != NULL;
    for (size_t b = 0; ok && b < m->hyper.layers; b++)
        ok = (net->blocks[b].value = calloc(m->layers[b].step_count + 1, sizeof *net->blocks[b].value)) != NULL;
    return ok;
}

bool network_open(struct network *net, const struct model *model, struct pool *pool, size_t windows,
                  size_t length, const struct rope_tables *rope, struct error *error)
{
    size_t floats, threads = (size_t)pool_threads(pool);
    *net = (struct network){.model = model, .pool = pool, .windows = windows, .length = length, .rope = rope,
                            .dense.pool = pool};
    measure(net);
    net->tensors = calloc(model->tensor_count, sizeof *net->tensors);
    net->attention = aligned_alloc(64, padded_bytes(threads * causal_floats(largest_head(model), length) * 4));
    net->activations = aligned_alloc(64, threads * net->activations_bytes);
    if (!net->tensors || !open_blocks(net) || !net->attention || !net->activations || !place(net, NULL, &floats) ||
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
    for (size_t b = 0; net->blocks && b < net->model->hyper.layers; b++)
        free(net->blocks[b].value);
    free(net->tensors);
    free(net->blocks);
    free(net->attention);
    free(net->activations);
    free(net->memory);
    *net = (struct network){0};
}

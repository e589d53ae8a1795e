/* What passes keep, and its memory: bytes, places, opening and closing. */
#include "kernels/activations.h"
#include "network_internal.h"

#include <stdlib.h>

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static bool gated(const struct model *m)
{
    return network_has(m, ROLE_FFN_GATE) || network_has(m, ROLE_FFN_GATE_UP);
}

/* What a block keeps, and how many floats a token takes of it; 0: nothing. */
static size_t saved_list(const struct model *m, struct saved_activations *k, float **at[15], size_t floats[15])
{
    const struct hyper *h = &m->hyper;
    size_t q = h->heads * h->head_size, kv = h->kv_heads * h->head_size, n = 0;
    const struct {
        float **at;
        size_t floats;
    } list[] = {
        {&k->x, h->dim},
        {&k->normed, h->dim},
        {&k->q_raw, network_has(m, ROLE_ATTN_Q_NORM) ? q : 0},
        {&k->k_raw, network_has(m, ROLE_ATTN_K_NORM) ? kv : 0},
        {&k->q, q},
        {&k->k, kv},
        {&k->v, kv},
        {&k->attended, q},
        {&k->projected, network_has(m, ROLE_ATTN_POST_NORM) ? h->dim : 0},
        {&k->mid, h->dim},
        {&k->normed_mid, h->dim},
        {&k->gate, h->hidden},
        {&k->up, gated(m) ? h->hidden : 0},
        {&k->active, h->hidden},
        {&k->added, network_has(m, ROLE_FFN_POST_NORM) ? h->dim : 0},
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
        struct saved_activations none = {0}, *k = memory ? &net->blocks[b] : &none;
        size_t count = saved_list(m, k, at, each);
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

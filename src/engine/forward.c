/* The forward pass: see context.h. */
#include "forward.h"

#include "kernels/dispatch.h"
#include "steps.h"

#include <math.h>

/* The input that every layer has of its own (Gemma 3n, 2025; Gemma 4, 2026): of each token a row of a table, and a norm of
 * what a matrix makes of the embedding, layer by layer. */
static void embed_layers(struct context *c, const struct weights *w, const int32_t *tokens, size_t n)
{
    const struct hyper *h = &c->model->hyper;
    size_t size = h->layer_input, all = h->layers * size;
    float *inputs = c->reg[REG_LAYER_INPUTS];
    const struct qmatrix *table = &w->layer[model_find(c->model, ROLE_LAYERS_EMBEDDING, -1)]->matrix;
    steps_linear(c, w, ROLE_LAYERS_PROJECTION, -1, c->reg[REG_X], n, inputs);
    steps_scale(inputs, n * all, 1 / sqrtf((float)h->dim));
    steps_norm(c, w, ROLE_LAYERS_NORM, -1, inputs, n * h->layers, size, inputs);
    for (size_t t = 0; t < n; t++) {
        isa_current()->decode_row(table, (size_t)tokens[t], c->norm);
        steps_scale(c->norm, all, sqrtf((float)size));
        c->ops->add(inputs + t * all, c->norm, all);
    }
    steps_scale(inputs, n * all, 1 / sqrtf(2));
}

void forward_embed(struct context *c, const struct weights *w, const int32_t *tokens, size_t n)
{
    const struct hyper *h = &c->model->hyper;
    c->ops = operators_current();
    int learned = model_find(c->model, ROLE_POSITIONS, -1);
    for (size_t t = 0; t < n; t++) {
        float *x = c->reg[REG_X] + t * h->dim;
        isa_current()->decode_row(&w->layer[0]->matrix, (size_t)tokens[t], x);
        if (h->embedding_scale > 0)
            steps_scale(x, h->dim, h->embedding_scale);
        if (learned >= 0) {
            isa_current()->decode_row(&w->layer[learned]->matrix, h->first_position + context_position(c, t), c->norm);
            c->ops->add(x, c->norm, h->dim);
        }
    }
    if (h->layer_input > 0)
        embed_layers(c, w, tokens, n);
}

void forward_output_input(struct context *c, const struct weights *w, size_t skip, size_t n)
{
    size_t dim = c->model->hyper.dim;
    steps_norm(c, w, ROLE_OUTPUT_NORM, -1, c->reg[REG_X] + skip * dim, n, dim, c->reg[REG_NORMED]);
}

void forward_segment(struct context *c, const struct weights *w, struct segment s, size_t n)
{
    steps_run(c, w, s.block, s.begin, s.end, n);
}

size_t forward_parts(const struct model *m)
{
    return 1 + model_segments(m);
}

void forward_part(struct context *c, const struct weights *w, size_t part, const int32_t *tokens, size_t n)
{
    if (part == 0)
        forward_embed(c, w, tokens, n);
    else
        forward_segment(c, w, model_segment(c->model, part - 1), n);
}

static double segment_weights(const struct model *m, size_t segment)
{
    size_t block = model_segment(m, segment).block;
    int first = model_first_of_block(m, (int)block), end = model_first_of_block(m, (int)block + 1);
    double weights = 0;
    for (int t = first; t < end; t++)
        if (model_segment_of(m, t) == segment)
            weights += (double)m->tensors[t].stored.rows * (double)m->tensors[t].stored.cols * tensor_share(m, t);
    return weights;
}

double forward_largest_part(const struct model *m)
{
    double largest = 0;
    for (size_t s = 0; s < model_segments(m); s++)
        largest = fmax(largest, segment_weights(m, s));
    return largest;
}

size_t forward_tokens(double weights)
{
    enum { LEAST = 16 };
    static const double WORK = 1e9; /* tokens x weights */
    double n = WORK / fmax(weights, 1);
    size_t most = n < FORWARD_MOST ? (size_t)n / LEAST * LEAST : FORWARD_MOST;
    return most > LEAST ? most : LEAST;
}

void forward_logits(struct context *c, const struct weights *w, size_t skip, size_t count, float *logits)
{
    const struct hyper *h = &c->model->hyper;
    forward_output_input(c, w, skip, count);
    steps_linear(c, w, ROLE_OUTPUT, -1, c->reg[REG_NORMED], count, logits);
    if (h->logit_scale > 0)
        steps_scale(logits, count * h->vocab, h->logit_scale);
    if (h->logit_cap > 0)
        c->ops->soft_cap(logits, count * h->vocab, h->logit_cap);
}

void forward_finish(struct context *c, const struct weights *w, size_t n, enum logits which, float *logits)
{
    size_t skip = which == LOGITS_LAST ? n - 1 : 0;
    c->length += c->batched ? 1 : n;
    if (which != LOGITS_NONE)
        forward_logits(c, w, skip, n - skip, logits);
}

void context_run(struct context *c, const struct weights *w, const int32_t *tokens, size_t n,
                 enum logits which, float *logits)
{
    forward_embed(c, w, tokens, n);
    for (size_t b = 0; b < c->model->hyper.layers; b++)
        steps_run(c, w, b, 0, c->model->layers[b].step_count, n);
    forward_finish(c, w, n, which, logits);
}

void context_step(struct context *c, const struct weights *w, const int32_t *tokens, float *logits)
{
    c->batched = c->sequences > 1;
    context_run(c, w, tokens, c->sequences, LOGITS_ALL, logits);
    c->batched = false;
}

void context_prefill(struct context *c, const struct weights *w, const int32_t *tokens, size_t n,
                     float *logits)
{
    for (size_t done = 0; done < n; done += CONTEXT_CHUNK) {
        size_t part = n - done < CONTEXT_CHUNK ? n - done : CONTEXT_CHUNK;
        bool last = done + part == n;
        context_run(c, w, tokens + done, part, last && logits ? LOGITS_LAST : LOGITS_NONE, logits);
    }
}

#include "layerwise.h"

#include "base/clock.h"
#include "forward.h"
#include "pin.h"
#include "steps.h"
#include "sys/memory.h"

#include <stdlib.h>
#include <string.h>

struct layerwise_pass {
    const struct model *model;
    struct context *context;
    struct pin pin;        /* of the stored weights of one block */
    int pinned_block;      /* -1 before the first */
    const int32_t *tokens; /* count */
    size_t count, window;
    size_t stride;         /* floats, of the most that a token keeps */
    float *kept;           /* registers that are alive (count, stride) */
    float **shared;        /* of each layer whose keys and values others read: both of every token; else null */
    float *expert;         /* rows of the tokens of one expert (count, the widest of them); null without experts */
    size_t expert_rows;    /* that are there */
    size_t input_group;    /* reached or on the way to */
    size_t done;           /* tokens that are there */
};

/* ---- places ---------------------------------------------------------------------------------- */

/* A place in the forward pass: before a step of a block; before the head, or before everything, where block is the
 * number of layers, or -1. */
struct place {
    int block;
    size_t step;
};

static struct place place_of(const struct model *m, size_t input_group)
{
    const struct input_group *g = &m->input_groups[input_group];
    return g->block < 0 ? (struct place){(int)m->hyper.layers, 0} : (struct place){g->block, (size_t)g->step};
}

/* Where the tokens come from. */
static struct place place_before(const struct model *m, size_t input_group)
{
    return input_group > 0 ? place_of(m, input_group - 1) : (struct place){-1, 0};
}

static bool same_place(struct place a, struct place b)
{
    return a.block == b.block && a.step == b.step;
}

/* Registers that are alive there; before the head its input, too. */
static reg_set alive_at(const struct model *m, struct place p)
{
    if (p.block == (int)m->hyper.layers)
        return REG_BIT(REG_X) | REG_BIT(REG_NORMED);
    return p.block < 0 ? 0 : layer_live(&m->layers[p.block], p.step);
}

/* A register's width there. */
static size_t width_at(const struct model *m, struct place p, enum reg reg)
{
    return p.block == (int)m->hyper.layers ? m->hyper.dim : layer_width(m, &m->layers[p.block], reg);
}

static size_t kept_floats(const struct model *m, struct place p)
{
    size_t floats = 0;
    reg_set alive = alive_at(m, p);
    for (enum reg reg = 0; reg < REG_COUNT; reg++)
        floats += alive & REG_BIT(reg) ? width_at(m, p, reg) : 0;
    return floats;
}

/* Where a register's floats begin in what a token keeps. */
static size_t kept_at(const struct model *m, struct place p, enum reg reg)
{
    size_t at = 0;
    reg_set alive = alive_at(m, p);
    for (enum reg r = 0; r < reg; r++)
        at += alive & REG_BIT(r) ? width_at(m, p, r) : 0;
    return at;
}

/* ---- from place to place --------------------------------------------------------------------- */

/* Between the registers of a context and what n tokens keep. */
static void move(struct layerwise_pass *w, struct place p, size_t first, size_t n, bool keep)
{
    reg_set alive = alive_at(w->model, p);
    float *at = w->kept + first * w->stride;
    for (enum reg reg = 0; reg < REG_COUNT; reg++) {
        if (!(alive & REG_BIT(reg)))
            continue;
        size_t width = width_at(w->model, p, reg);
        for (size_t t = 0; t < n; t++) {
            float *kept = at + t * w->stride, *row = w->context->reg[reg] + t * width;
            memcpy(keep ? kept : row, keep ? row : kept, width * sizeof *row);
        }
        at += width;
    }
}

/* ---- keys and values that later layers read -------------------------------------------------- */

/* Floats of a token's keys, or values. */
static size_t kv_width(const struct layerwise_pass *w, size_t layer)
{
    return layer_width(w->model, &w->model->layers[layer], REG_K);
}

static bool attends(const struct layer *l, size_t begin, size_t end)
{
    bool any = false;
    for (size_t i = begin; i < end; i++)
        any |= l->steps[i].op == STEP_ATTEND;
    return any;
}

static void save_shared(struct layerwise_pass *w, size_t layer, size_t first, size_t n)
{
    size_t width = kv_width(w, layer);
    for (size_t t = 0; t < n; t++) {
        float *row = w->shared[layer] + (first + t) * 2 * width;
        memcpy(row, w->context->reg[REG_K] + t * width, width * sizeof *row);
        memcpy(row + width, w->context->reg[REG_V] + t * width, width * sizeof *row);
    }
}

/* Puts those of the window's tokens into the cache, where another window's were put since. */
static void restore_shared(struct layerwise_pass *w, size_t layer, size_t first, size_t n)
{
    size_t width = kv_width(w, layer);
    for (size_t t = 0; t < n; t++) {
        const float *row = w->shared[layer] + (first + t) * 2 * width;
        kv_put(&w->context->cache, layer, w->context->length + t, row, row + width);
    }
}

/* Steps of a block for tokens first .. first + n - 1. */
static void run_steps(struct layerwise_pass *w, const struct weights *set, size_t block, size_t begin, size_t end,
                      size_t first, size_t n)
{
    const struct layer *l = &w->model->layers[block];
    bool attending = attends(l, begin, end);
    if (attending && l->kv_from != block)
        restore_shared(w, l->kv_from, first, n);
    steps_run(w->context, set, block, begin, end, n);
    if (attending && w->shared[block])
        save_shared(w, block, first, n);
}

/* Tokens first .. first + n - 1 from the place of the input group before to that of w->input_group. */
static void advance(struct layerwise_pass *w, const struct weights *set, size_t first, size_t n)
{
    const struct model *m = w->model;
    struct context *c = w->context;
    struct place from = place_before(m, w->input_group), to = place_of(m, w->input_group);
    move(w, from, first, n, false);
    c->ops = operators_current();
    if (from.block < 0)
        forward_embed(c, set, w->tokens + first, n);
    for (int b = from.block < 0 ? 0 : from.block; b <= to.block && b < (int)m->hyper.layers; b++)
        run_steps(w, set, (size_t)b, b == from.block ? from.step : 0,
                  b == to.block ? to.step : m->layers[b].step_count, first, n);
    if (to.block == (int)m->hyper.layers)
        forward_output_input(c, set, 0, n);
    move(w, to, first, n, true);
}

/* The stored weights of a block and the one before, and no others. */
static bool pin_block(struct layerwise_pass *w, const struct weights *set, struct error *error)
{
    const struct model *m = w->model;
    int block = place_of(m, w->input_group).block, before = place_before(m, w->input_group).block;
    if (w->pinned_block != block)
        pin_trim(&w->pin, NULL);
    for (int t = 0; t < (int)m->tensor_count; t++) {
        int of = m->tensors[t].block;
        bool wanted = of < 0 || of == block || of == before;
        if (wanted && pin_missing(&w->pin, set, t) && !pin_add(&w->pin, t, w->context->pool, error))
            return false;
    }
    w->pinned_block = block;
    return true;
}

/* ---- the tokens of an expert ----------------------------------------------------------------- */

/* Which of its experts a token uses as number `expert`, or the number of them. */
static size_t slot_of(const struct layerwise_pass *w, const struct mixture *x, struct place p, size_t token, int expert)
{
    const float *chosen = w->kept + token * w->stride + kept_at(w->model, p, REG_CHOSEN);
    size_t slot = 0;
    while (slot < x->used && (int)chosen[slot] != expert)
        slot++;
    return slot;
}

/* The rows of the tokens that use the expert of the group that is reached. */
static void gather_expert(struct layerwise_pass *w)
{
    const struct model *m = w->model;
    const struct input_group *g = &m->input_groups[w->input_group];
    const struct mixture *x = &m->layers[g->block].mixture;
    struct place p = place_of(m, w->input_group);
    enum reg in = m->layers[g->block].steps[g->step].in;
    bool own = reg_is_per_expert(in); /* a row an expert, not one for all */
    size_t width = width_at(m, p, in) / (own ? x->used : 1), at = kept_at(m, p, in);
    w->expert_rows = 0;
    for (size_t t = 0; t < w->count; t++) {
        size_t slot = slot_of(w, x, p, t, g->expert);
        if (slot < x->used)
            memcpy(w->expert + w->expert_rows++ * width, w->kept + t * w->stride + at + (own ? slot * width : 0),
                   width * sizeof(float));
    }
}

bool layerwise_step(struct layerwise_pass *w, const struct weights *set, double seconds, bool *arrived,
                    struct error *error)
{
    double begin = clock_seconds();
    if (w->done == w->count) {
        w->input_group++;
        w->done = 0;
    }
    if (!pin_block(w, set, error))
        return false;
    if (same_place(place_before(w->model, w->input_group), place_of(w->model, w->input_group)))
        w->done = w->count; /* another expert of the same step */
    while (w->done < w->count) {
        size_t at = w->done % w->window, n = w->window - at;
        n = n < w->context->chunk ? n : w->context->chunk;
        n = n < w->count - w->done ? n : w->count - w->done;
        w->context->length = at;
        advance(w, set, w->done, n);
        w->done += n;
        if (clock_seconds() - begin >= seconds)
            break;
    }
    *arrived = w->done == w->count;
    if (*arrived && w->model->input_groups[w->input_group].expert >= 0)
        gather_expert(w);
    return true;
}

/* ---- the pass itself ------------------------------------------------------------------------- */

/* The most that a token keeps anywhere, and the widest row of an expert. */
static void measure(const struct model *m, size_t *kept, size_t *expert)
{
    *kept = *expert = 0;
    for (size_t g = 0; g < m->input_group_count; g++) {
        size_t floats = kept_floats(m, place_of(m, g));
        *kept = floats > *kept ? floats : *kept;
    }
    for (size_t b = 0; b < m->hyper.layers; b++) {
        const struct mixture *x = &m->layers[b].mixture;
        size_t widest = m->hyper.dim > x->hidden ? m->hyper.dim : x->hidden;
        *expert = x->experts > 0 && widest > *expert ? widest : *expert;
    }
}

/* Floats of a token's keys and values in the layers that others read; where `take`, room for them. */
static bool share_layers(struct layerwise_pass *w, bool take, size_t *floats)
{
    const struct model *m = w->model;
    bool ok = true;
    *floats = 0;
    for (size_t b = 0; ok && b < m->hyper.layers; b++) {
        size_t from = m->layers[b].kv_from;
        if (from == b || (take && w->shared[from]))
            continue;
        *floats += 2 * kv_width(w, from);
        if (take)
            ok = (w->shared[from] = malloc(w->count * 2 * kv_width(w, from) * sizeof(float)));
    }
    return ok;
}

static bool take_memory(struct layerwise_pass *w, struct error *error)
{
    size_t expert, shared, floats, bytes;
    measure(w->model, &w->stride, &expert);
    share_layers(w, false, &shared);
    if (__builtin_mul_overflow(w->count, w->stride + expert + shared, &floats) ||
        __builtin_mul_overflow(floats, sizeof(float), &bytes))
        return error_set(error, "%zu tokens are too many to calibrate with", w->count);
    if (!memory_check("the activations of calibration", bytes, error))
        return false;
    w->kept = malloc(w->count * w->stride * sizeof *w->kept);
    w->expert = expert ? malloc(w->count * expert * sizeof *w->expert) : NULL;
    w->shared = calloc(w->model->hyper.layers, sizeof *w->shared);
    return (w->shared && share_layers(w, true, &shared) && w->kept && (w->expert || !expert)) ||
           error_set(error, "not enough memory for calibration");
}

struct layerwise_pass *layerwise_open(const struct model *m, struct pool *pool, const int32_t *tokens, size_t count,
                                      size_t window, struct error *error)
{
    struct layerwise_pass *w = calloc(1, sizeof *w);
    if (!w) {
        error_set(error, "not enough memory for calibration");
        return NULL;
    }
    *w = (struct layerwise_pass){.model = m, .pinned_block = -1, .tokens = tokens, .count = count, .window = window};
    if (take_memory(w, error) && pin_open(&w->pin, m, error) && (w->context = context_open(m, pool, window, error)))
        return w;
    layerwise_close(w);
    return NULL;
}

void layerwise_close(struct layerwise_pass *w)
{
    if (!w)
        return;
    pin_close(&w->pin);
    context_close(w->context);
    free(w->kept);
    free(w->expert);
    for (size_t b = 0; w->shared && b < w->model->hyper.layers; b++)
        free(w->shared[b]);
    free(w->shared);
    free(w);
}

size_t layerwise_group(const struct layerwise_pass *w)
{
    return w->input_group;
}

double layerwise_fraction(const struct layerwise_pass *w)
{
    return (double)w->done / (double)w->count;
}

struct layerwise_input layerwise_input(const struct layerwise_pass *w)
{
    const struct model *m = w->model;
    const struct input_group *g = &m->input_groups[w->input_group];
    struct place p = place_of(m, w->input_group);
    enum reg in = g->block < 0 ? REG_NORMED : (enum reg)m->layers[g->block].steps[g->step].in;
    if (g->expert < 0)
        return (struct layerwise_input){w->kept + kept_at(m, p, in), w->stride, w->count};
    bool own = reg_is_per_expert(in);
    size_t width = width_at(m, p, in) / (own ? m->layers[g->block].mixture.used : 1);
    return (struct layerwise_input){w->expert, width, w->expert_rows};
}

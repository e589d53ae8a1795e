/* The tensors that a model's hyper-parameters and roles ask for, in the order of the forward pass. */
#include "arch.h"
#include "format.h"
#include "input_group.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- shapes ---------------------------------------------------------------------------------- */

static struct tensor_shape row_of(size_t cols)
{
    return (struct tensor_shape){1, cols};
}

static struct tensor_shape vector_shape(const struct model *m, const struct layer *l, enum role role)
{
    enum role of = roles[role].bias_of;
    bool every_head = m->hyper.norm_all_heads || m->hyper.norm_each_head;
    switch (role) {
    case ROLE_ATTN_Q_NORM: return row_of(every_head ? layer_width(m, l, REG_Q) : l->head_size);
    case ROLE_ATTN_K_NORM: return row_of(every_head ? layer_width(m, l, REG_K) : l->head_size);
    case ROLE_ATTN_SINKS: return row_of(l->heads);
    case ROLE_ATTN_SUB_NORM: return row_of(layer_width(m, l, REG_ATTENDED));
    case ROLE_FFN_SUB_NORM: return row_of(l->hidden);
    case ROLE_ROUTER_CHOICE:
    case ROLE_ROUTER_SCALE: return row_of(l->mixture.experts);
    case ROLE_LAYERS_NORM: return row_of(m->hyper.layer_input);
    case ROLE_LAYER_SCALE: return row_of(1);
    default: return row_of(of && !roles[of].vector ? model_role_shape(m, l, of).rows : m->hyper.dim);
    }
}

/* The register that a matrix of a block writes, and the one that it reads where that is not as wide as the hidden
 * state. */
static const struct {
    enum reg out, in;
} ends_of[ROLE_COUNT] = {
    [ROLE_ATTN_QKV] = {REG_QKV, REG_X},
    [ROLE_ATTN_Q] = {REG_Q, REG_X},
    [ROLE_ATTN_K] = {REG_K, REG_X},
    [ROLE_ATTN_V] = {REG_V, REG_X},
    [ROLE_ATTN_OUT] = {REG_ATTN, REG_ATTENDED},
    [ROLE_ROUTER] = {REG_ROUTER, REG_X},
    [ROLE_SHARED_SCALE] = {REG_SHARED_GATE, REG_X},
    [ROLE_INPUT_GATE] = {REG_INPUT_GATE, REG_X},
    [ROLE_INPUT_PROJECTION] = {REG_X, REG_INPUT_GATE},
};

struct tensor_shape model_role_shape(const struct model *m, const struct layer *l, enum role role)
{
    size_t dim = m->hyper.dim;
    if (roles[role].vector)
        return vector_shape(m, l, role);
    switch (role) {
    case ROLE_LAYERS_EMBEDDING: return (struct tensor_shape){m->hyper.vocab, m->hyper.layers * m->hyper.layer_input};
    case ROLE_LAYERS_PROJECTION: return (struct tensor_shape){m->hyper.layers * m->hyper.layer_input, dim};
    case ROLE_POSITIONS: return (struct tensor_shape){m->hyper.first_position + m->hyper.trained_context, dim};
    case ROLE_EMBEDDING:
    case ROLE_OUTPUT: return (struct tensor_shape){m->hyper.vocab, dim};
    case ROLE_FFN_GATE_UP: return (struct tensor_shape){2 * l->hidden, dim};
    case ROLE_FFN_GATE:
    case ROLE_FFN_UP: return (struct tensor_shape){l->hidden, dim};
    case ROLE_FFN_DOWN: return (struct tensor_shape){dim, l->hidden};
    case ROLE_GATE_EXPERTS:
    case ROLE_UP_EXPERTS: return (struct tensor_shape){l->mixture.hidden, dim};
    case ROLE_DOWN_EXPERTS: return (struct tensor_shape){dim, l->mixture.hidden};
    case ROLE_GATE_SHARED:
    case ROLE_UP_SHARED: return (struct tensor_shape){l->mixture.shared_hidden, dim};
    case ROLE_DOWN_SHARED: return (struct tensor_shape){dim, l->mixture.shared_hidden};
    default: return (struct tensor_shape){layer_width(m, l, ends_of[role].out), layer_width(m, l, ends_of[role].in)};
    }
}

size_t model_norm_size(const struct model *m, const struct layer *l, const struct step *s)
{
    if (s->role == ROLE_NONE)
        return s->in == REG_Q || s->in == REG_K || s->in == REG_V ? l->head_size : layer_width(m, l, s->in);
    bool of_heads = m->hyper.norm_each_head && (s->role == ROLE_ATTN_Q_NORM || s->role == ROLE_ATTN_K_NORM);
    return of_heads ? l->head_size : model_role_shape(m, l, s->role).cols;
}

/* ---- layers ---------------------------------------------------------------------------------- */

static void make_rotary(struct model *m)
{
    const struct hyper *h = &m->hyper;
    m->rotary[ROTARY_ALL] = (struct rotary){
        .pairs = h->rope, .dims = rotary_dims(h), .base = h->rope_base, .magnitude = h->rope_magnitude,
        .factors = m->rope_factors, .beyond = m->rope_beyond, .original = h->rope_original, .growth = h->rope_growth};
    m->rotary[ROTARY_WINDOWED] = (struct rotary){
        .pairs = h->rope, .dims = h->window_head_size ? h->window_head_size : rotary_dims(h), .base = h->window_rope_base};
}

bool model_make_layers(struct model *m, struct error *error)
{
    const struct hyper *h = &m->hyper;
    free(m->layers);
    free(m->kv_layers);
    m->layers = calloc(h->layers, sizeof *m->layers);
    m->kv_layers = calloc(h->layers, sizeof *m->kv_layers);
    if (!m->layers || !m->kv_layers)
        return error_set(error, "not enough memory for %zu layers", h->layers);
    for (size_t b = 0; b < h->layers; b++)
        m->layers[b] = model_layer(h, b);
    make_rotary(m);
    return true;
}

/* ---- tensors --------------------------------------------------------------------------------- */

static void add_tensor(struct model *m, enum role role, int block, int expert)
{
    struct tensor *t = &m->tensors[m->tensor_count++];
    struct tensor_shape shape = model_role_shape(m, block < 0 ? NULL : &m->layers[block], role);
    *t = (struct tensor){.role = role, .block = block, .expert = expert};
    if (block < 0)
        snprintf(t->name, sizeof t->name, "%s", roles[role].name);
    else if (expert < 0)
        snprintf(t->name, sizeof t->name, "blk.%d.%s", block, roles[role].name);
    else
        snprintf(t->name, sizeof t->name, "blk.%d.%s.%d", block, roles[role].name, expert);
    t->stored.rows = shape.rows;
    t->stored.cols = shape.cols;
}

/* Roles outside the blocks that come before them, or after them. */
static void add_outside(struct model *m, enum role first, enum role end)
{
    for (enum role role = first; role < end; role++)
        if (!roles[role].in_block && (m->has & ROLE_BIT(role))) {
            m->outside[role] = (int)m->tensor_count;
            add_tensor(m, role, -1, -1);
        }
}

/* Tensors of a role in a layer. */
static size_t tensors_of(const struct layer *l, enum role role)
{
    if (!roles[role].in_block || !(l->has & ROLE_BIT(role)))
        return 0;
    return roles[role].of_expert ? l->mixture.experts : 1;
}

static void add_block(struct model *m, int block)
{
    struct layer *l = &m->layers[block];
    for (enum role role = 0; role < ROLE_COUNT; role++) {
        size_t count = tensors_of(l, role);
        l->tensor[role] = count > 0 ? (int)m->tensor_count : -1;
        for (size_t e = 0; e < count; e++)
            add_tensor(m, role, block, roles[role].of_expert ? (int)e : -1);
    }
}

static size_t count_tensors(const struct model *m)
{
    size_t count = 0;
    for (enum role role = 0; role < ROLE_COUNT; role++) {
        count += !roles[role].in_block && m->has & ROLE_BIT(role);
        for (size_t b = 0; b < m->hyper.layers; b++)
            count += tensors_of(&m->layers[b], role);
    }
    return count;
}

/* The roles of a model whose blocks are all alike. */
static void give_roles(struct model *m)
{
    for (size_t b = 0; b < m->hyper.layers; b++)
        if (!m->layers[b].has)
            for (enum role role = 0; role < ROLE_COUNT; role++)
                m->layers[b].has |= roles[role].in_block ? m->has & ROLE_BIT(role) : 0;
}

static bool resolve_layers(struct model *m, struct error *error)
{
    const struct step *table = m->hyper.parallel ? arch_of(m)->parallel_steps : arch_of(m)->steps;
    size_t segments = 0;
    for (size_t b = 0; b < m->hyper.layers; b++) {
        struct layer *l = &m->layers[b];
        if (!layer_resolve(m, b, table, error))
            return false;
        l->first_segment = segments;
        segments += layer_segments(l);
        m->kv_layers[b] = (struct kv_layer){l->kv_from == b ? l->kv_heads : 0, l->head_size};
    }
    return true;
}

bool model_make_tensors(struct model *m, struct error *error)
{
    if (!m->layers && !model_make_layers(m, error))
        return false;
    if (m->tied)
        m->has &= ~ROLE_BIT(ROLE_OUTPUT);
    give_roles(m);
    m->tensors = calloc(count_tensors(m), sizeof *m->tensors);
    if (!m->tensors)
        return error_set(error, "not enough memory for %zu layers", m->hyper.layers);
    for (int role = 0; role < ROLE_COUNT; role++)
        m->outside[role] = -1;
    add_outside(m, 0, ROLE_ATTN_NORM);
    for (int b = 0; b < (int)m->hyper.layers; b++)
        add_block(m, b);
    add_outside(m, ROLE_ATTN_NORM, ROLE_COUNT);
    return resolve_layers(m, error) && input_groups_make(m, error);
}

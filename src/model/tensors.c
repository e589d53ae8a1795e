/* The tensors that a model's hyper-parameters and roles ask for, in the order of the forward pass. */
#include "format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct tensor_shape vector_shape(const struct hyper *h, enum role role)
{
    if (role == ROLE_ATTN_Q_NORM || role == ROLE_ATTN_K_NORM)
        return (struct tensor_shape){1, h->head_size};
    enum role of = roles[role].bias_of;
    return (struct tensor_shape){1, of && !roles[of].vector ? model_role_shape(h, of).rows : h->dim};
}

struct tensor_shape model_role_shape(const struct hyper *h, enum role role)
{
    size_t q = h->heads * h->head_size, kv = h->kv_heads * h->head_size;
    if (roles[role].vector)
        return vector_shape(h, role);
    switch (role) {
    case ROLE_POSITIONS:
        return (struct tensor_shape){h->trained_context, h->dim};
    case ROLE_ATTN_QKV:
        return (struct tensor_shape){q + 2 * kv, h->dim};
    case ROLE_ATTN_Q:
        return (struct tensor_shape){q, h->dim};
    case ROLE_ATTN_K:
    case ROLE_ATTN_V:
        return (struct tensor_shape){kv, h->dim};
    case ROLE_ATTN_OUT:
        return (struct tensor_shape){h->dim, q};
    case ROLE_FFN_GATE_UP:
        return (struct tensor_shape){2 * h->hidden, h->dim};
    case ROLE_FFN_GATE:
    case ROLE_FFN_UP:
        return (struct tensor_shape){h->hidden, h->dim};
    case ROLE_FFN_DOWN:
        return (struct tensor_shape){h->dim, h->hidden};
    default:
        return (struct tensor_shape){h->vocab, h->dim};
    }
}

static void add_tensor(struct model *m, enum role role, int block)
{
    struct tensor *t = &m->tensors[m->tensor_count++];
    struct tensor_shape shape = model_role_shape(&m->hyper, role);
    *t = (struct tensor){.role = role, .block = block};
    if (block >= 0)
        snprintf(t->name, sizeof t->name, "blk.%d.%s", block, roles[role].name);
    else
        snprintf(t->name, sizeof t->name, "%s", roles[role].name);
    t->stored.rows = shape.rows;
    t->stored.cols = shape.cols;
}

/* Roles outside the blocks that come before them, or after them. */
static void add_outside(struct model *m, enum role first, enum role end)
{
    for (enum role role = first; role < end; role++)
        if (!roles[role].in_block && (m->has & ROLE_BIT(role))) {
            m->index[role] = (int)m->tensor_count;
            add_tensor(m, role, -1);
        }
}

static void add_block(struct model *m, int block)
{
    int first = (int)m->tensor_count;
    for (enum role role = 0; role < ROLE_COUNT; role++)
        if (roles[role].in_block && (m->has & ROLE_BIT(role))) {
            m->index[role] = (int)m->tensor_count - first;
            add_tensor(m, role, block);
        }
    m->block_tensors = (int)m->tensor_count - first;
}

bool model_make_tensors(struct model *m, struct error *error)
{
    m->tensors = calloc(m->hyper.layers * ROLE_COUNT + ROLE_COUNT, sizeof *m->tensors);
    if (!m->tensors)
        return error_set(error, "not enough memory for %zu layers", m->hyper.layers);
    if (m->tied)
        m->has &= ~ROLE_BIT(ROLE_OUTPUT);
    for (int role = 0; role < ROLE_COUNT; role++)
        m->index[role] = -1;
    add_outside(m, 0, ROLE_ATTN_NORM);
    m->first_block = (int)m->tensor_count;
    for (int b = 0; b < (int)m->hyper.layers; b++)
        add_block(m, b);
    add_outside(m, ROLE_ATTN_NORM, ROLE_COUNT);
    return true;
}

int model_find(const struct model *m, enum role role, int block)
{
    if (role == ROLE_OUTPUT && m->tied)
        role = ROLE_EMBEDDING;
    bool inside = block >= 0 && block < (int)m->hyper.layers;
    if (m->index[role] < 0 || roles[role].in_block != inside)
        return -1;
    return m->index[role] + (inside ? m->first_block + block * m->block_tensors : 0);
}

int model_find_name(const struct model *m, const char *name)
{
    if (m->tied && strcmp(name, roles[ROLE_OUTPUT].name) == 0)
        name = roles[ROLE_EMBEDDING].name;
    for (size_t i = 0; i < m->tensor_count; i++)
        if (strcmp(m->tensors[i].name, name) == 0)
            return (int)i;
    return -1;
}

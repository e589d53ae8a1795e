#include "input_group.h"

#include <stdlib.h>

static bool multiplies(const struct step *s)
{
    return s->op == STEP_LINEAR || s->op == STEP_EXPERTS;
}

/* Whether two steps of a layer multiply the same rows. */
static bool same_input(const struct layer *l, size_t a, size_t b)
{
    const struct step *x = &l->steps[a], *y = &l->steps[b];
    return x->in == y->in && layer_writer(l, a, x->in) == layer_writer(l, b, y->in);
}

/* Whether a step is the first of its kind that multiplies its input. */
static bool is_first(const struct layer *l, size_t step)
{
    if (!multiplies(&l->steps[step]))
        return false;
    for (size_t i = 0; i < step; i++)
        if (l->steps[i].op == l->steps[step].op && same_input(l, i, step))
            return false;
    return true;
}

/* Groups that begin at a step. */
static size_t groups_at(const struct layer *l, size_t step)
{
    if (!is_first(l, step))
        return 0;
    return l->steps[step].op == STEP_EXPERTS ? l->mixture.experts : 1;
}

static size_t count_groups(const struct model *m)
{
    size_t count = 1;
    for (size_t b = 0; b < m->hyper.layers; b++)
        for (size_t i = 0; i < m->layers[b].step_count; i++)
            count += groups_at(&m->layers[b], i);
    return count;
}

static void add_groups(struct model *m, size_t block)
{
    const struct layer *l = &m->layers[block];
    for (size_t i = 0; i < l->step_count; i++) {
        size_t count = groups_at(l, i);
        bool experts = l->steps[i].op == STEP_EXPERTS;
        for (size_t e = 0; e < count; e++)
            m->input_groups[m->input_group_count++] =
                (struct input_group){(int)block, (int)i, experts ? (int)e : -1};
    }
}

bool input_groups_make(struct model *m, struct error *error)
{
    int tensors[INPUT_GROUP_TENSORS];
    m->input_groups = malloc(count_groups(m) * sizeof *m->input_groups);
    m->input_group_of = malloc((m->tensor_count + 1) * sizeof *m->input_group_of);
    if (!m->input_groups || !m->input_group_of)
        return error_set(error, "not enough memory");
    m->input_group_count = 0;
    for (size_t b = 0; b < m->hyper.layers; b++)
        add_groups(m, b);
    m->input_groups[m->input_group_count++] = (struct input_group){-1, 0, -1};
    for (size_t t = 0; t < m->tensor_count; t++)
        m->input_group_of[t] = -1;
    for (size_t g = 0; g < m->input_group_count; g++)
        for (size_t n = input_group_tensors(m, g, tensors); n > 0; n--)
            m->input_group_of[tensors[n - 1]] = (int)g;
    return true;
}

size_t input_group_tensors(const struct model *m, size_t group, int tensors[INPUT_GROUP_TENSORS])
{
    const struct input_group *g = &m->input_groups[group];
    size_t n = 0;
    if (g->block < 0) {
        tensors[0] = model_find(m, ROLE_OUTPUT, -1);
        return 1;
    }
    const struct layer *l = &m->layers[g->block];
    for (size_t i = (size_t)g->step; i < l->step_count && n < INPUT_GROUP_TENSORS; i++)
        if (l->steps[i].op == l->steps[g->step].op && same_input(l, i, (size_t)g->step))
            tensors[n++] = l->tensor[l->steps[i].role] + (g->expert < 0 ? 0 : g->expert);
    return n;
}

int input_group_of(const struct model *m, int tensor)
{
    return m->input_group_of[tensor];
}

size_t input_group_source(const struct model *m, size_t group)
{
    const struct input_group *g = &m->input_groups[group];
    const struct layer *l = g->block < 0 ? NULL : &m->layers[g->block];
    size_t source = group;
    bool per_expert = l && reg_is_per_expert(l->steps[g->step].in);
    for (size_t i = group; l && !per_expert && i > 0 && m->input_groups[i - 1].block == g->block; i--)
        if (same_input(l, (size_t)m->input_groups[i - 1].step, (size_t)g->step))
            source = i - 1;
    return source;
}

#include "format.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- sizes ----------------------------------------------------------------------------------- */

static void set_window(const struct hyper *h, struct layer *l, size_t window)
{
    bool own = window && h->window_rope_base > 0;
    l->window = window;
    l->head_size = window && h->window_head_size ? h->window_head_size : h->head_size;
    l->kv_heads = window && h->window_kv_heads ? h->window_kv_heads : h->kv_heads;
    l->rotary = h->rope == ROPE_NONE ? ROTARY_NONE : own ? ROTARY_WINDOWED : ROTARY_ALL;
}

struct layer model_layer(const struct hyper *h, size_t block)
{
    struct layer l = {
        .heads = h->heads,
        .hidden = h->hidden,
        .kv_from = block,
        .attention_scale = hyper_attention_scale(h, block),
        .scalar[SCALAR_RESIDUAL] = h->residual_scale,
        .scalar[SCALAR_QKV_CLIP] = h->qkv_clip,
        .scalar[SCALAR_STEPS] = h->ternary ? INT8_MAX : 0,
    };
    if (block >= h->dense_layers)
        l.mixture = h->mixture;
    set_window(h, &l, hyper_window(h, block));
    return l;
}

void model_set_window(struct model *m, size_t block, size_t window)
{
    set_window(&m->hyper, &m->layers[block], window);
}

/* ---- widths ---------------------------------------------------------------------------------- */

static bool layer_has(const struct layer *l, enum role role)
{
    return l->has & ROLE_BIT(role);
}

/* Of the dense feed-forward layers, or of the shared experts, which stand in their place. */
static size_t hidden_of(const struct layer *l)
{
    return layer_has(l, ROLE_DOWN_SHARED) ? l->mixture.shared_hidden : l->hidden;
}

size_t layer_width(const struct model *m, const struct layer *l, enum reg reg)
{
    const struct mixture *x = &l->mixture;
    size_t q = l->heads * l->head_size, kv = l->kv_heads * l->head_size;
    switch (reg) {
    case REG_LAYER_INPUTS: return m->hyper.layers * m->hyper.layer_input;
    case REG_LAYER_INPUT:
    case REG_INPUT_GATE: return m->hyper.layer_input;
    case REG_QKV: return layer_has(l, ROLE_ATTN_QKV) ? q + 2 * kv : 0;
    case REG_Q:
    case REG_ATTENDED: return q;
    case REG_K:
    case REG_V: return kv;
    case REG_GATE_UP: return layer_has(l, ROLE_FFN_GATE_UP) ? 2 * l->hidden : 0;
    case REG_GATE:
    case REG_UP: return hidden_of(l);
    case REG_ROUTER: return x->experts;
    case REG_CHOSEN:
    case REG_SHARE: return x->used;
    case REG_EXPERT_GATE:
    case REG_EXPERT_UP: return x->used * x->hidden;
    case REG_EXPERT_OUT: return x->used * m->hyper.dim;
    case REG_SHARED: return layer_has(l, ROLE_DOWN_SHARED) || layer_has(l, ROLE_DENSE_POST_NORM) ? m->hyper.dim : 0;
    case REG_SHARED_GATE: return 1;
    default: return m->hyper.dim;
    }
}

size_t model_width(const struct model *m, enum reg reg)
{
    size_t widest = 0;
    for (size_t b = 0; b < m->hyper.layers; b++) {
        size_t width = layer_width(m, &m->layers[b], reg);
        widest = width > widest ? width : widest;
    }
    return widest;
}

size_t layer_window(const struct layer *l, size_t position)
{
    return l->chunk ? position % l->chunk + 1 : l->window;
}

float layer_temper(const struct layer *l, size_t position)
{
    return (float)(1 + (double)l->query_growth * log(1 + (double)((l->query_first + position) / l->query_span)));
}

/* ---- what steps read and write --------------------------------------------------------------- */

static reg_set bit_of(enum reg reg)
{
    return reg == REG_NONE ? 0 : REG_BIT(reg);
}

bool step_changes(const struct step *s)
{
    enum step_op op = s->op;
    return op == STEP_ROTATE || op == STEP_SIGMOID || op == STEP_MULTIPLY || op == STEP_SCALE || op == STEP_CLAMP ||
           op == STEP_ROUND || op == STEP_UNIT || op == STEP_TEMPER || op == STEP_ADD || op == STEP_WEIGH;
}

/* What an op reads besides its operands. */
static const reg_set also_reads[STEP_OPS] = {
    [STEP_EXPERTS] = REG_BIT(REG_CHOSEN),
    [STEP_COMBINE] = REG_BIT(REG_SHARE),
};

reg_set step_reads(const struct step *s)
{
    return bit_of(s->in) | bit_of(s->with) | also_reads[s->op] | (step_changes(s) ? bit_of(s->out) : 0);
}

reg_set step_writes(const struct step *s)
{
    return s->op == STEP_ROUTE ? REG_BIT(REG_CHOSEN) | REG_BIT(REG_SHARE) : bit_of(s->out);
}

/* What is there before a block and behind it. */
static reg_set around(const struct layer *l)
{
    return REG_BIT(REG_X) | (layer_has(l, ROLE_INPUT_GATE) ? REG_BIT(REG_LAYER_INPUTS) : 0);
}

reg_set layer_live(const struct layer *l, size_t at)
{
    reg_set live = around(l);
    for (size_t i = l->step_count; i > at; i--)
        live = (live & ~step_writes(&l->steps[i - 1])) | step_reads(&l->steps[i - 1]);
    return live;
}

int layer_writer(const struct layer *l, size_t at, enum reg reg)
{
    int i = (int)at - 1;
    while (i >= 0 && !(step_writes(&l->steps[i]) & REG_BIT(reg)))
        i--;
    return i;
}

/* Tensors that steps use besides their role's. */
static const struct {
    enum role role;
    enum step_op op;
} used_by[] = {{ROLE_ATTN_SINKS, STEP_ATTEND}, {ROLE_ROUTER_CHOICE, STEP_ROUTE},
             {ROLE_ROUTER_SCALE, STEP_ROUTE}};

int layer_step_of(const struct layer *l, enum role role)
{
    if (roles[role].bias_of)
        role = roles[role].bias_of;
    for (size_t i = 0; i < l->step_count; i++) {
        if (l->steps[i].role == role)
            return (int)i;
        for (size_t k = 0; k < sizeof used_by / sizeof *used_by; k++)
            if (used_by[k].role == role && used_by[k].op == l->steps[i].op)
                return (int)i;
    }
    return -1;
}

/* ---- from a table to a layer's steps --------------------------------------------------------- */

static bool wanted(const struct layer *l, const struct step *s)
{
    if (s->role != ROLE_NONE && !layer_has(l, s->role))
        return false;
    if ((s->needs && !(l->has & s->needs)) || l->has & s->lacks)
        return false;
    if (s->op == STEP_ROTATE)
        return l->rotary != ROTARY_NONE;
    if (s->op == STEP_UNIT)
        return l->unit_heads;
    if (s->op == STEP_TEMPER)
        return l->query_growth > 0;
    bool scaled = s->op == STEP_SCALE || s->op == STEP_CLAMP || s->op == STEP_ROUND;
    return !scaled || l->scalar[s->scalar] != 0;
}

/* The role whose tensor a step is for: its own, or the first that it needs. */
static enum role role_of(const struct step *s)
{
    enum role role = 0;
    if (s->role != ROLE_NONE || !s->needs)
        return s->role;
    while (!(s->needs & ROLE_BIT(role)))
        role++;
    return role;
}

/* The tensors that would have written a register: "attn_q or attn_qkv". */
static void name_writers(const struct step *table, enum reg reg, char out[200])
{
    size_t used = 0;
    *out = 0;
    for (const struct step *s = table; s->op != STEP_END; s++)
        if (role_of(s) != ROLE_NONE && step_writes(s) & REG_BIT(reg) && !(step_reads(s) & REG_BIT(reg)) && used < 150)
            used += (size_t)snprintf(out + used, 200 - used, "%s%s", used ? " or " : "", roles[role_of(s)].name);
}

/* Whether every step reads what a step before it wrote. */
static bool check_reads(const struct layer *l, size_t block, const struct step *table, struct error *error)
{
    reg_set there = around(l);
    for (size_t i = 0; i < l->step_count; i++) {
        reg_set absent = step_reads(&l->steps[i]) & ~there;
        for (enum reg reg = 0; reg < REG_COUNT; reg++)
            if (absent & REG_BIT(reg)) {
                char names[200];
                name_writers(table, reg, names);
                return error_set(error, "block %zu has no tensor %s", block, *names ? names : "that one of its steps needs");
            }
        there |= step_writes(&l->steps[i]);
    }
    return true;
}

/* Every split takes the columns behind those of the one before it, or the block's own. */
static void place_splits(const struct model *m, struct layer *l, size_t block)
{
    for (size_t i = 0; i < l->step_count; i++)
        if (l->steps[i].op == STEP_SPLIT && l->steps[i].in == REG_LAYER_INPUTS)
            l->steps[i].first = block * layer_width(m, l, l->steps[i].out);
    for (size_t i = 1; i < l->step_count; i++) {
        const struct step *before = &l->steps[i - 1];
        if (l->steps[i].op == STEP_SPLIT && before->op == STEP_SPLIT && before->in == l->steps[i].in)
            l->steps[i].first = before->first + layer_width(m, l, before->out);
    }
}

bool layer_resolve(struct model *m, size_t block, const struct step *table, struct error *error)
{
    struct layer *l = &m->layers[block];
    size_t count = 0;
    while (table[count].op != STEP_END)
        count++;
    free(l->steps);
    l->steps = malloc((count + 1) * sizeof *l->steps);
    l->step_count = 0;
    if (!l->steps)
        return error_set(error, "not enough memory");
    for (size_t i = 0; i < count; i++)
        if (wanted(l, &table[i]))
            l->steps[l->step_count++] = table[i];
    l->steps[l->step_count] = table[count];
    place_splits(m, l, block);
    return check_reads(l, block, table, error);
}

/* ---- segments -------------------------------------------------------------------------------- */

/* The end of the segment that begins at step `at`: behind the first addition after which only the hidden state is
 * alive, or the end where nothing more is added. */
static size_t segment_end(const struct layer *l, size_t at)
{
    size_t end = l->step_count;
    for (size_t i = l->step_count; i > at; i--) {
        const struct step *s = &l->steps[i - 1];
        bool adds = s->op == STEP_ADD && s->out == REG_X;
        if (adds && (end == l->step_count || layer_live(l, i) == around(l)))
            end = i;
    }
    bool more = false;
    for (size_t i = end; i < l->step_count; i++)
        more |= l->steps[i].op == STEP_ADD && l->steps[i].out == REG_X;
    return more ? end : l->step_count;
}

size_t layer_segments(const struct layer *l)
{
    size_t count = 0;
    for (size_t at = 0; at < l->step_count; at = segment_end(l, at))
        count++;
    return count;
}

size_t model_segments(const struct model *m)
{
    const struct layer *last = &m->layers[m->hyper.layers - 1];
    return last->first_segment + layer_segments(last);
}

struct segment model_segment(const struct model *m, size_t s)
{
    size_t block = m->hyper.layers - 1, at = 0;
    while (m->layers[block].first_segment > s)
        block--;
    const struct layer *l = &m->layers[block];
    for (size_t i = l->first_segment; i < s; i++)
        at = segment_end(l, at);
    return (struct segment){block, at, segment_end(l, at)};
}

size_t model_segment_of(const struct model *m, int tensor)
{
    const struct tensor *t = &m->tensors[tensor];
    const struct layer *l = &m->layers[t->block];
    int step = layer_step_of(l, t->role);
    size_t s = l->first_segment;
    for (size_t end = segment_end(l, 0); step >= 0 && end <= (size_t)step; end = segment_end(l, end))
        s++;
    return s;
}

const char *segment_name(const struct model *m, struct segment s)
{
    bool attention = false, ffn = false;
    for (size_t i = s.begin; i < s.end; i++) {
        const struct step *step = &m->layers[s.block].steps[i];
        attention |= step->op == STEP_ADD && step->in == REG_ATTN;
        ffn |= step->op == STEP_ADD && step->in == REG_FFN;
    }
    return attention == ffn ? "block" : attention ? "attention" : "ffn";
}

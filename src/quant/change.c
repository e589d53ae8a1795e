#include "change.h"

#include "recipe.h"

#include <stdlib.h>

enum { CHOICES = 32 };

static const enum dtype weight_order[] = {
    DTYPE_FP32,    DTYPE_FP16,  DTYPE_BF16,   DTYPE_INT8,    DTYPE_INT4,  DTYPE_FP8E4M3, DTYPE_FP8E5M2, DTYPE_Q8_0,
    DTYPE_Q6_K,    DTYPE_Q5_K,  DTYPE_Q4_K,   DTYPE_IQ4_XS,  DTYPE_Q3_K,  DTYPE_IQ3_S,   DTYPE_IQ3_XXS, DTYPE_Q2_K,
    DTYPE_IQ2_S,   DTYPE_IQ2_XS, DTYPE_IQ2_XXS, DTYPE_IQ1_M, DTYPE_IQ1_S, DTYPE_MXFP4,   DTYPE_NVFP4,
    DTYPE_NF4};
static const enum dtype act_order[] = {DTYPE_FP32,    DTYPE_FP16,    DTYPE_BF16, DTYPE_INT8,
                                       DTYPE_FP8E4M3, DTYPE_FP8E5M2};
static const uint32_t group_order[] = {256, 128, 64, 32, 16};

#define COUNT(array) (sizeof(array) / sizeof *(array))

struct list {
    struct scheme *out;
    size_t count, max;
};

static void add(struct list *l, struct scheme s)
{
    if (l->count < l->max && scheme_check(&s, NULL))
        l->out[l->count++] = s;
}

static void kv_choices(struct list *l)
{
    for (size_t i = 0; kv_dtypes[i] != DTYPE_COUNT; i++)
        add(l, scheme_default(kv_dtypes[i]));
}

void scales_choice_note(struct scales_choice *c, const struct scheme *s)
{
    const struct qformat *f = &s->format, usual = qformat_default(f->weight);
    if (f->stored || !dtype_takes_granularity(f->weight))
        return;
    if (dtypes[f->weight].kind == DTYPE_KIND_INTEGER)
        c->asym = f->asym;
    if (f->granularity == usual.granularity && f->group == usual.group)
        return;
    c->granular = true;
    c->granularity = f->granularity;
    c->group = f->group;
}

/* Granularity and symmetry as they were chosen, where the datatype has scales and the matrix has such groups. */
static void keep_scales(struct scheme *s, const struct tensor *t, const struct scales_choice *chosen)
{
    enum dtype_kind kind = dtypes[s->format.weight].kind;
    s->format.asym = kind == DTYPE_KIND_INTEGER && chosen->asym;
    if (dtype_takes_granularity(s->format.weight) && chosen->granular && chosen->group < t->stored.cols) {
        s->format.granularity = chosen->granularity;
        s->format.group = chosen->group;
    }
}

/* The scheme of another weight datatype, which keeps what it can. */
static struct scheme with_weight(enum dtype weight, const struct tensor *t, const struct scheme *from,
                                 const struct scales_choice *chosen)
{
    struct scheme s = scheme_default(weight);
    if (!qformat_as_stored(&from->format)) {
        s.format.act = from->format.act;
        s.format.act_asym = from->format.act_asym;
        s.act_range = from->act_range;
        s.methods = from->methods;
    }
    keep_scales(&s, t, chosen);
    struct methods methods = s.methods;
    if (!scheme_check(&s, NULL))
        s.methods = (struct methods){0};
    if (!scheme_check(&s, NULL)) {
        s.format.act = DTYPE_FP32, s.format.act_asym = false, s.act_range = ACT_DYNAMIC;
        s.methods = methods; /* activations alone may have been in the way */
    }
    if (!scheme_check(&s, NULL))
        s.methods = (struct methods){0};
    return s;
}

/* The place in weight_order of the datatype that is nearest to a stored one in bits; behind it where that is the same. */
static size_t first_weight(enum dtype stored)
{
    size_t best = 0;
    for (size_t i = 0; i < COUNT(weight_order); i++)
        if (weight_order[i] == stored && dtypes[stored].kind != DTYPE_KIND_BLOCK)
            return i + 1;
    for (size_t i = 1; i < COUNT(weight_order) && dtypes[weight_order[i]].kind != DTYPE_KIND_BLOCK; i++)
        if (abs((int)dtypes[weight_order[i]].bits - (int)dtypes[stored].bits) <
            abs((int)dtypes[weight_order[best]].bits - (int)dtypes[stored].bits))
            best = i;
    return best;
}

/* The stored weights, then those of other datatypes from the nearest on, round about. */
static void weight_choices(struct list *l, const struct tensor *t, const struct scheme *from,
                           const struct scales_choice *chosen)
{
    enum dtype stored = t->stored.format.weight;
    struct scheme unchanged = scheme_stored(&t->stored);
    bool blocks_stored = dtypes[stored].kind == DTYPE_KIND_BLOCK, int8 = from->format.act == DTYPE_INT8;
    if (blocks_stored && dtype_of_integers(stored) && int8 && !from->format.act_asym && !from->act_range)
        unchanged.format.act = DTYPE_INT8;
    add(l, unchanged);
    for (size_t i = 0, first = first_weight(stored); i < COUNT(weight_order); i++) {
        enum dtype weight = weight_order[(first + i) % COUNT(weight_order)];
        bool blocks = dtypes[weight].kind == DTYPE_KIND_BLOCK;
        bool divides = !blocks || (!roles[t->role].vector && t->stored.cols % dtypes[weight].block == 0);
        if (divides && (weight != DTYPE_FP32 || stored != DTYPE_FP32))
            add(l, with_weight(weight, t, from, chosen));
    }
}

static void act_choices(struct list *l, const struct scheme *from)
{
    for (size_t i = 0; i < COUNT(act_order); i++) {
        struct scheme s = *from;
        s.format.act = act_order[i];
        s.format.act_asym = false;
        s.act_range = ACT_DYNAMIC;
        add(l, s);
        s.format.act_asym = true;
        if (dtypes[s.format.act].kind == DTYPE_KIND_INTEGER)
            add(l, s);
    }
}

static void granularity_choices(struct list *l, const struct tensor *t, const struct scheme *from)
{
    struct scheme s = *from;
    s.format.group = 0;
    s.format.granularity = GRANULARITY_TENSOR;
    add(l, s);
    s.format.granularity = GRANULARITY_CHANNEL;
    add(l, s);
    s.format.granularity = GRANULARITY_GROUP;
    for (size_t i = 0; i < COUNT(group_order); i++) {
        s.format.group = group_order[i];
        bool here = from->format.granularity == GRANULARITY_GROUP && from->format.group == s.format.group;
        if (s.format.group < t->stored.cols || here)
            add(l, s);
    }
}

/* A method that the scheme has keeps its parameters. */
static void method_choices(struct list *l, const struct model *m, int tensor, const struct scheme *from)
{
    struct methods offered[CHOICES];
    size_t n = methods_offered(offered, CHOICES);
    for (size_t i = 0; i < n; i++) {
        struct scheme s = *from;
        for (size_t k = 0; method_table[k]; k++)
            if (methods_have(&offered[i], method_table[k]))
                methods_add(&s.methods, method_table[k]);
            else
                methods_remove(&s.methods, method_table[k]);
        struct scheme fits = scheme_for_tensor(m, tensor, s);
        if (scheme_equal(&fits, &s))
            add(l, s);
    }
}

static const char *const kv_reasons[] = {
    [CHANGE_ACT] = "the cache multiplies with queries and weights in fp32: only its datatype changes (d)",
    [CHANGE_GRANULARITY] = "int8 and fp8 have one scale a head and token: only the datatype changes (d)",
    [CHANGE_SYMMETRY] = "the cache's int8 is symmetric: only its datatype changes (d)",
    [CHANGE_METHOD] = "keys and values are rounded to nearest as they come: only the datatype changes (d)",
};

/* Of stored weights. */
static const char *const stored_reasons[] = {
    [CHANGE_ACT] = "choose a datatype first (d): stored floats multiply fp32 activations",
    [CHANGE_GRANULARITY] = "choose a datatype first (d): stored weights have the scales of their file",
    [CHANGE_SYMMETRY] = "choose a datatype first (d): stored weights have the zero points of their file",
    [CHANGE_METHOD] = "choose a datatype first (d): stored weights are not rounded, which methods improve",
};

/* Why a field cannot be chosen, or null. */
static const char *inapplicable(const struct model *m, int tensor, const struct scheme *from,
                                enum change change)
{
    enum dtype_kind kind = dtypes[from->format.weight].kind;
    if (change == CHANGE_WEIGHT)
        return NULL;
    if (tensor == kv_index(m))
        return kv_reasons[change];
    if (change == CHANGE_ACT && kind == DTYPE_KIND_BLOCK && !dtype_of_integers(from->format.weight))
        return "values of this type are no integers: it multiplies fp32 activations";
    if (change == CHANGE_ACT && kind == DTYPE_KIND_BLOCK)
        return tensor_multiplies(m, tensor) ? NULL : "not a matrix product: no activations";
    if (from->format.stored)
        return stored_reasons[change];
    if (kind == DTYPE_KIND_BLOCK && change != CHANGE_METHOD)
        return "blocks of this type have their own scales";
    if (change == CHANGE_ACT && !tensor_multiplies(m, tensor))
        return "not a matrix product: no activations";
    if (change == CHANGE_GRANULARITY && kind == DTYPE_KIND_FLOAT)
        return "this datatype has no scales to share: granularity is for int8, int4 and fp8";
    if (change == CHANGE_METHOD && kind == DTYPE_KIND_FLOAT)
        return "this datatype has no scales to choose: methods are for int8, int4 and fp8";
    if (change == CHANGE_SYMMETRY && kind != DTYPE_KIND_INTEGER)
        return "only integers have a zero point";
    return NULL;
}

static size_t choices_of(const struct model *m, int tensor, const struct scheme *from, enum change change,
                         const struct scales_choice *chosen, struct scheme *out, size_t max)
{
    struct list l = {out, 0, max};
    if (inapplicable(m, tensor, from, change))
        return 0;
    if (tensor == kv_index(m)) {
        kv_choices(&l);
        return l.count;
    }
    const struct tensor *t = &m->tensors[tensor];
    switch (change) {
    case CHANGE_WEIGHT:
        weight_choices(&l, t, from, chosen);
        for (size_t i = 0; i < l.count; i++)
            out[i] = scheme_for_tensor(m, tensor, out[i]);
        break;
    case CHANGE_ACT:
        act_choices(&l, from);
        break;
    case CHANGE_GRANULARITY:
        granularity_choices(&l, t, from);
        break;
    case CHANGE_SYMMETRY:
        for (int asym = 0; asym < 2; asym++) {
            struct scheme s = *from;
            s.format.asym = asym;
            add(&l, s);
        }
        break;
    case CHANGE_METHOD:
        method_choices(&l, m, tensor, from);
        break;
    }
    return l.count;
}

size_t scheme_choices(const struct model *m, int tensor, const struct scheme *from,
                      enum change change, struct scheme *out, size_t max)
{
    struct scales_choice chosen = {0};
    scales_choice_note(&chosen, from);
    return choices_of(m, tensor, from, change, &chosen, out, max);
}

static bool same_choice(const struct scheme *a, const struct scheme *b, enum change change)
{
    if (change == CHANGE_WEIGHT)
        return a->format.stored == b->format.stored && (a->format.stored || a->format.weight == b->format.weight);
    if (change == CHANGE_ACT)
        return a->format.act == b->format.act && a->format.act_asym == b->format.act_asym &&
               a->act_range == b->act_range;
    if (change == CHANGE_GRANULARITY)
        return a->format.granularity == b->format.granularity && a->format.group == b->format.group;
    if (change == CHANGE_METHOD)
        return a->methods.set == b->methods.set;
    return a->format.asym == b->format.asym;
}

static size_t place_of(const struct scheme *choices, size_t n, const struct scheme *s, enum change change)
{
    size_t at = 0;
    while (at < n && !same_choice(&choices[at], s, change))
        at++;
    return at;
}

/* Groups begin with the one that was chosen. */
static void begin_groups(const struct scheme *choices, size_t n, const struct scheme *from,
                         const struct scales_choice *chosen, struct scheme *to)
{
    struct scheme s = *to;
    s.format.group = chosen->group;
    size_t at = place_of(choices, n, &s, CHANGE_GRANULARITY);
    if (from->format.granularity == GRANULARITY_CHANNEL && s.format.granularity == GRANULARITY_GROUP && at < n)
        *to = choices[at];
}

/* To train takes minutes: that is for a person to choose, not to pass over. A layer that trains is left to round. */
static void leave_training(struct scheme *s)
{
    if (scheme_trains(s))
        methods_remove(&s->methods, methods_of_phase(&s->methods, PHASE_TRAINING));
}

bool scheme_cycle(const struct model *m, int tensor, const struct scheme *from, enum change change,
                  int direction, struct scales_choice *chosen, struct scheme *to, struct error *why)
{
    struct scheme choices[CHOICES];
    struct scales_choice none = {0};
    const char *reason = inapplicable(m, tensor, from, change);
    if (reason)
        return error_set(why, "%s: %s", layer_name(m, tensor), reason);
    chosen = chosen ? chosen : &none;
    if (change != CHANGE_GRANULARITY || !chosen->granular) /* sizes that a cycle passes over are not chosen */
        scales_choice_note(chosen, from);
    size_t n = choices_of(m, tensor, from, change, chosen, choices, CHOICES), step = direction > 0 ? 1 : n - 1;
    size_t at = place_of(choices, n, from, change);
    if (at == n) /* a value of the person's own, such as g48: begin at the end it leaves towards */
        at = direction > 0 ? n - 1 : 0;
    at = (at + step) % n;
    if (change == CHANGE_METHOD && scheme_trains(&choices[at]))
        at = (at + step) % n;
    struct scheme next = choices[at];
    if (change == CHANGE_GRANULARITY && direction > 0)
        begin_groups(choices, n, from, chosen, &next);
    leave_training(&next);
    *to = next;
    return true;
}

bool scheme_follow(const struct model *m, int tensor, const struct scheme *from, enum change change,
                   const struct scheme *to, const struct scales_choice *chosen, struct scheme *out)
{
    struct scheme choices[CHOICES];
    size_t n = choices_of(m, tensor, from, change, chosen, choices, CHOICES), at = place_of(choices, n, to, change);
    *out = at < n ? choices[at] : *from;
    bool falls_back = at == n && change == CHANGE_WEIGHT && tensor != kv_index(m);
    if (falls_back)
        *out = scheme_for_tensor(m, tensor, *to);
    return at < n || falls_back;
}

const char *scheme_print_field(const struct scheme *s, enum change change, char buffer[SCHEME_TEXT])
{
    switch (change) {
    case CHANGE_WEIGHT:
        return s->format.stored ? "stored" : dtypes[s->format.weight].name;
    case CHANGE_ACT:
        return scheme_print_act(s, buffer);
    case CHANGE_GRANULARITY:
        return scheme_print_granularity(s, buffer);
    case CHANGE_SYMMETRY:
        return scheme_symmetry(s);
    case CHANGE_METHOD:
        methods_print_names(&s->methods, buffer, SCHEME_TEXT);
    }
    return buffer;
}

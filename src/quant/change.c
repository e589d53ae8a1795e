#include "change.h"

#include "recipe.h"

enum { CHOICES = 16 };

static const enum dtype weight_order[] = {DTYPE_FP32, DTYPE_FP16,    DTYPE_BF16,   DTYPE_INT8,
                                          DTYPE_INT4, DTYPE_FP8E4M3, DTYPE_FP8E5M2};
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

/* A new weight datatype keeps the activations and the symmetry where it can. */
static void weight_choices(struct list *l, const struct tensor *t, const struct scheme *from)
{
    add(l, scheme_stored(&t->stored));
    for (size_t i = 0; i < COUNT(weight_order); i++) {
        struct scheme s = scheme_default(weight_order[i]);
        s.format.act = from->format.stored ? DTYPE_FP32 : from->format.act;
        s.format.act_asym = !from->format.stored && from->format.act_asym;
        s.format.asym = dtypes[s.format.weight].kind == DTYPE_KIND_INTEGER && from->format.asym && !from->format.stored;
        s.act_range = from->format.stored ? ACT_DYNAMIC : from->act_range;
        s.methods = from->format.stored ? (struct methods){0} : from->methods;
        if (!scheme_check(&s, NULL))
            s.methods = (struct methods){0};
        if (!scheme_check(&s, NULL))
            s.format.act = DTYPE_FP32, s.format.act_asym = false, s.act_range = ACT_DYNAMIC;
        if (s.format.weight != DTYPE_FP32 || t->stored.format.weight != DTYPE_FP32)
            add(l, s);
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
    [CHANGE_ACT] = "choose a datatype first (d): stored weights multiply fp32 activations",
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
    if (from->format.stored)
        return stored_reasons[change];
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

size_t scheme_choices(const struct model *m, int tensor, const struct scheme *from,
                      enum change change, struct scheme *out, size_t max)
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
        weight_choices(&l, t, from);
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

bool scheme_cycle(const struct model *m, int tensor, const struct scheme *from, enum change change,
                  int direction, struct scheme *to, struct error *why)
{
    struct scheme choices[CHOICES];
    const char *reason = inapplicable(m, tensor, from, change);
    if (reason)
        return error_set(why, "%s: %s", layer_name(m, tensor), reason);
    size_t n = scheme_choices(m, tensor, from, change, choices, CHOICES), at = 0;
    while (at < n && !same_choice(&choices[at], from, change))
        at++;
    if (at == n) /* a value of the person's own, such as g48: begin at the end it leaves towards */
        at = direction > 0 ? n - 1 : 0;
    *to = choices[(at + n + (size_t)(direction > 0 ? 1 : n - 1)) % n];
    return true;
}

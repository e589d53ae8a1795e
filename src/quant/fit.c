#include "fit.h"

#include <stdio.h>

/* ---- rows that blocks do not divide --------------------------------------------------------------- */

/* Blocks of 32 columns in place of larger ones. */
static const struct {
    enum dtype from, to;
} fallbacks[] = {
    {DTYPE_IQ1_S, DTYPE_IQ4_NL},  {DTYPE_IQ1_M, DTYPE_IQ4_NL},  {DTYPE_IQ2_XXS, DTYPE_IQ4_NL},
    {DTYPE_IQ2_XS, DTYPE_IQ4_NL}, {DTYPE_IQ2_S, DTYPE_IQ4_NL},  {DTYPE_IQ3_XXS, DTYPE_IQ4_NL},
    {DTYPE_IQ3_S, DTYPE_IQ4_NL},  {DTYPE_IQ4_XS, DTYPE_IQ4_NL}, {DTYPE_Q2_0, DTYPE_Q4_0},
    {DTYPE_Q2_K, DTYPE_Q4_0},     {DTYPE_Q3_K, DTYPE_Q4_0},     {DTYPE_TQ1_0, DTYPE_Q4_0},
    {DTYPE_TQ2_0, DTYPE_Q4_0},    {DTYPE_Q4_K, DTYPE_Q5_0},     {DTYPE_Q5_K, DTYPE_Q5_1},
    {DTYPE_Q6_K, DTYPE_Q8_0},     {DTYPE_NF4, DTYPE_IQ4_NL},
};

enum { SMALL_BLOCK = 32 };

enum dtype block_fallback(enum dtype type, size_t cols)
{
    size_t block = dtypes[type].block;
    if (dtypes[type].kind != DTYPE_KIND_BLOCK || cols % block == 0)
        return type;
    for (size_t i = 0; i < sizeof fallbacks / sizeof *fallbacks; i++)
        if (fallbacks[i].from == type)
            return cols % dtypes[fallbacks[i].to].block == 0 ? fallbacks[i].to : DTYPE_FP16;
    return block <= SMALL_BLOCK ? DTYPE_FP16 : DTYPE_ALL;
}

/* ---- fitting --------------------------------------------------------------------------------------- */

static bool kv_fits(const struct scheme *s, struct error *error)
{
    char text[SCHEME_TEXT];
    struct scheme plain = scheme_default(s->format.weight);
    if (kv_takes(s->format.weight) && scheme_equal(s, &plain))
        return true;
    return error_set(error, "kv: the cache cannot be %s; expected " KV_EXPECTED, scheme_print(s, text));
}

bool scheme_fits(const struct model *m, int tensor, const struct scheme *s, struct error *error)
{
    if (tensor == kv_index(m))
        return qformat_as_stored(&s->format) || kv_fits(s, error);
    if (s->format.stored)
        return true;
    const struct tensor *t = &m->tensors[tensor];
    if (block_fallback(s->format.weight, t->stored.cols) != DTYPE_ALL)
        return true;
    return error_set(error,
                     "%s: %zu columns, which blocks of %s do not divide; expected a multiple of %zu, or another "
                     "type",
                     t->name, t->stored.cols, dtypes[s->format.weight].name, dtypes[s->format.weight].block);
}

static struct scheme fit_blocks(struct scheme s, size_t cols)
{
    enum dtype type = block_fallback(s.format.weight, cols);
    if (type == s.format.weight)
        return s;
    struct scheme fits = scheme_default(type == DTYPE_ALL ? DTYPE_FP16 : type);
    if (dtypes[fits.format.weight].kind == DTYPE_KIND_BLOCK) {
        fits = s;
        fits.format.weight = type;
    }
    fits.substituted = true;
    fits.asked = s.format.weight;
    return fits;
}

bool stored_takes_act(const struct model *m, int tensor, enum dtype act)
{
    enum dtype weight = m->tensors[tensor].stored.format.weight;
    bool integers = dtypes[weight].kind == DTYPE_KIND_BLOCK && dtype_of_integers(weight);
    return act == DTYPE_FP32 || (integers && tensor_multiplies(m, tensor));
}

/* Stored weights that are no blocks keep their activations. */
static struct scheme stored_with_act(const struct model *m, int tensor, enum dtype act)
{
    struct scheme s = scheme_stored(&m->tensors[tensor].stored);
    if (stored_takes_act(m, tensor, act))
        s.format.act = act;
    return s;
}

struct scheme scheme_for_tensor(const struct model *m, int tensor, struct scheme s)
{
    if (tensor == kv_index(m))
        return scheme_default(s.format.stored ? DTYPE_FP32 : s.format.weight);
    if (s.format.stored)
        return stored_with_act(m, tensor, s.format.act);
    s = fit_blocks(s, m->tensors[tensor].stored.cols);
    if (!tensor_multiplies(m, tensor)) {
        s.format.act = DTYPE_FP32;
        s.format.act_asym = false;
        s.act_range = ACT_DYNAMIC;
        methods_remove_calibrated(&s.methods);
    }
    return s;
}

/* ---- notes ------------------------------------------------------------------------------------------ */

/* Whether two tensors have the same fallback, for as many columns. */
static bool same_fallback(const struct model *m, const struct scheme *schemes, size_t a, size_t b)
{
    return schemes[a].substituted && schemes[b].substituted && schemes[a].asked == schemes[b].asked &&
           schemes[a].format.weight == schemes[b].format.weight &&
           m->tensors[a].stored.cols == m->tensors[b].stored.cols;
}

static bool is_first(const struct model *m, const struct scheme *schemes, size_t tensor)
{
    bool first = schemes[tensor].substituted;
    for (size_t i = 0; first && i < tensor; i++)
        first = !same_fallback(m, schemes, i, tensor);
    return first;
}

static void print_fallback(const struct model *m, const struct scheme *schemes, size_t first, char *out, size_t size)
{
    const struct scheme *s = &schemes[first];
    size_t matrices = 0;
    for (size_t i = first; i < m->tensor_count; i++)
        matrices += same_fallback(m, schemes, first, i);
    size_t used = (size_t)snprintf(out, size, "%s instead of %s: its blocks of %zu do not divide the %zu columns of %s",
                                   dtypes[s->format.weight].name, dtypes[s->asked].name, dtypes[s->asked].block,
                                   m->tensors[first].stored.cols, m->tensors[first].name);
    if (matrices > 1 && used < size)
        snprintf(out + used, size - used, " and %zu more", matrices - 1);
}

/* Matrices inside blocks that keep fp32 activations beside others of stored/int8. */
static bool print_untouched(const struct model *m, const struct scheme *schemes, char *out, size_t size)
{
    size_t first = 0, untouched = 0, taken = 0;
    for (size_t t = m->tensor_count; t-- > 0;)
        if (role_takes_schemes(m->tensors[t].role) && schemes[t].format.stored) {
            bool takes = schemes[t].format.act != DTYPE_FP32, blocks = stored_takes_act(m, (int)t, DTYPE_INT8);
            taken += takes;
            untouched += !takes && !blocks;
            first = !takes && !blocks ? t : first;
        }
    if (taken > 0 && untouched > 0)
        snprintf(out, size, "%s and %zu more are not stored in blocks: they multiply fp32 activations",
                 m->tensors[first].name, untouched - 1);
    return taken > 0 && untouched > 0;
}

bool fallback_note(const struct model *m, const struct scheme *schemes, size_t i, char *out, size_t size)
{
    for (size_t t = 0; t < m->tensor_count; t++)
        if (is_first(m, schemes, t) && i-- == 0) {
            print_fallback(m, schemes, t, out, size);
            return true;
        }
    return i == 0 && print_untouched(m, schemes, out, size);
}

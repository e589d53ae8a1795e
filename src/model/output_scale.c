#include "output_scale.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Roles that llama.cpp looks for scales of. */
static const role_set scaled =
    ROLE_BIT(ROLE_ATTN_QKV) | ROLE_BIT(ROLE_ATTN_Q) | ROLE_BIT(ROLE_ATTN_K) | ROLE_BIT(ROLE_ATTN_V) |
    ROLE_BIT(ROLE_ATTN_OUT) | ROLE_BIT(ROLE_FFN_GATE_UP) | ROLE_BIT(ROLE_FFN_GATE) | ROLE_BIT(ROLE_FFN_UP) |
    ROLE_BIT(ROLE_FFN_DOWN) | ROLE_BIT(ROLE_GATE_EXPERTS) | ROLE_BIT(ROLE_UP_EXPERTS) | ROLE_BIT(ROLE_DOWN_EXPERTS) |
    ROLE_BIT(ROLE_GATE_SHARED) | ROLE_BIT(ROLE_UP_SHARED) | ROLE_BIT(ROLE_DOWN_SHARED) | ROLE_BIT(ROLE_OUTPUT);

/* Those whose bias it adds before it scales, which NVFP4 does not mean. */
static const role_set scaled_last =
    ROLE_BIT(ROLE_FFN_GATE_UP) | ROLE_BIT(ROLE_FFN_GATE) | ROLE_BIT(ROLE_FFN_UP) | ROLE_BIT(ROLE_FFN_DOWN);

/* ---- finding --------------------------------------------------------------------------------- */

/* An architecture may have a tensor of its own with such a name. */
static bool is_own(const struct model *m, const struct tensor *t)
{
    return t->role == ROLE_DOWN_EXPERTS && m->layers[t->block].has & ROLE_BIT(ROLE_ROUTER_SCALE);
}

static const struct entry *find_beside(const struct model *m, const struct arch *a, const struct naming *n,
                                       const struct tensor *t, const char *ending)
{
    char name[NAMING_MAX];
    static const char weight[] = ".weight";
    if (!naming_name(a, n, t->role, t->block, t->expert, name))
        return NULL;
    size_t length = strlen(name), cut = sizeof weight - 1;
    if (length < cut || strcmp(name + length - cut, weight) != 0)
        return NULL;
    snprintf(name + length - cut, sizeof name - (length - cut), "%s", ending);
    return catalog_find(&m->files, name);
}

struct output_scales output_scales_find(const struct model *m, const struct arch *a, const struct naming *n,
                                        const struct tensor *t)
{
    if (!n->gguf || !(scaled & ROLE_BIT(t->role)))
        return (struct output_scales){0};
    return (struct output_scales){is_own(m, t) ? NULL : find_beside(m, a, n, t, ".scale"),
                                  find_beside(m, a, n, t, ".input_scale")};
}

/* ---- reading --------------------------------------------------------------------------------- */

/* One number, or one an expert. */
static bool check_shape(const struct model *m, const struct tensor *t, const struct entry *e, struct error *error)
{
    size_t expected = t->expert < 0 ? 1 : m->layers[t->block].mixture.experts;
    size_t last = e->dimensions ? e->shape[e->dimensions - 1] : 1;
    char found[ENTRY_SHAPE_TEXT];
    shape_print(found, e->dimensions, e->shape);
    if (e->dtype != DTYPE_FP32)
        return error_set(error, "tensor %.80s: %s; expected fp32", e->name, entry_type_name(e->dtype));
    return (last == expected && e->bytes == expected * sizeof(float)) ||
           error_set(error, "tensor %.80s: shape %s; expected %zu", e->name, found, expected);
}

/* Where llama.cpp would not multiply the product by it. */
static bool check_place(const struct model *m, const struct tensor *t, const struct entry *e, struct error *error)
{
    enum dtype type = t->stored.format.weight;
    enum role bias = role_bias(t->role);
    bool biased = t->block >= 0 && bias != ROLE_NONE && m->layers[t->block].has & ROLE_BIT(bias);
    if (t->role == ROLE_OUTPUT && type != DTYPE_NVFP4)
        return error_set(error, "tensor %.80s: stands beside weights of %s; expected nvfp4, whose scale the head's is",
                         e->name, dtypes[type].name);
    return !(biased && scaled_last & ROLE_BIT(t->role)) ||
           error_set(error, "tensor %.80s: stands beside %s; expected a scale or a bias, not both", e->name,
                     m->tensors[model_find(m, bias, t->block)].name);
}

static bool take_scale(const struct model *m, struct tensor *t, const struct entry *e, struct error *error)
{
    float scale;
    if (!check_shape(m, t, e, error) || !check_place(m, t, e, error))
        return false;
    memcpy(&scale, e->data + (t->expert < 0 ? 0 : (size_t)t->expert) * sizeof scale, sizeof scale);
    if (!(scale > 0 && isfinite(scale)))
        return error_set(error, "tensor %.80s: %s is %g; expected a positive finite number", e->name, t->name,
                         (double)scale);
    t->stored.output_scale = scale;
    t->stored.bytes += sizeof scale;
    return true;
}

bool output_scales_read(struct model *m, const struct arch *a, const struct naming *n, struct error *error)
{
    size_t inputs = 0;
    for (size_t i = 0; i < m->tensor_count; i++) {
        struct tensor *t = &m->tensors[i];
        struct output_scales found = output_scales_find(m, a, n, t);
        if ((found.scale && !take_scale(m, t, found.scale, error)) ||
            (found.input_scale && !check_shape(m, t, found.input_scale, error)))
            return false;
        inputs += found.input_scale && t->expert <= 0;
    }
    if (inputs > 0)
        model_add_note(m, "%zu input scales, for engines that quantize activations by them, are not used", inputs);
    return true;
}

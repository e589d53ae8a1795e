#include "qformat.h"

#include "encode.h"

struct qformat qformat_default(enum dtype weight)
{
    struct qformat f = {.weight = weight, .act = DTYPE_FP32, .granularity = GRANULARITY_CHANNEL};
    if (weight == DTYPE_INT4) {
        f.granularity = GRANULARITY_GROUP;
        f.group = GROUP_DEFAULT;
    }
    return f;
}

bool qformat_equal(const struct qformat *a, const struct qformat *b)
{
    if (a->stored || b->stored)
        return a->stored == b->stored && a->act == b->act;
    return a->weight == b->weight && a->act == b->act && a->act_asym == b->act_asym &&
           a->granularity == b->granularity && a->group == b->group && a->asym == b->asym;
}

/* Blocks in files or made here: untouched activations, or such as ggml's integer dot products take. */
static bool check_block_acts(const struct qformat *f, const char *name, struct error *error)
{
    bool integers = dtypes[f->weight].kind != DTYPE_KIND_BLOCK || dtype_of_integers(f->weight);
    if (f->act != DTYPE_FP32 && !integers)
        return error_set(error, "%s weights multiply fp32 activations, not %s%s", name, dtypes[f->act].name,
                         f->act == DTYPE_INT8 ? ": their values are no integers" : "");
    if (f->act != DTYPE_FP32 && f->act != DTYPE_INT8)
        return error_set(error, "%s weights multiply fp32 or int8 activations, not %s", name, dtypes[f->act].name);
    if (f->act_asym)
        return error_set(error, "int8 activations of %s weights have no zero point", name);
    return true;
}

/* What a block type leaves open: only the activations. */
static bool check_blocks(const struct qformat *f, struct error *error)
{
    const char *name = dtypes[f->weight].name;
    if (!can_encode(f->weight))
        return error_set(error, "%s is a file type that weights cannot be quantized to; expected " WEIGHTS_EXPECTED,
                         name);
    if (!check_block_acts(f, name, error))
        return false;
    if (f->asym || f->granularity != GRANULARITY_CHANNEL)
        return error_set(error, "%s weights have the scales of their blocks", name);
    return true;
}

bool qformat_check(const struct qformat *f, struct error *error)
{
    enum dtype_kind weight = dtypes[f->weight].kind, act = dtypes[f->act].kind;
    if (f->stored)
        return check_block_acts(f, "stored", error);
    if (weight == DTYPE_KIND_BLOCK)
        return check_blocks(f, error);
    if (f->act == DTYPE_INT4)
        return error_set(error, "activations cannot be int4: expected " ACTS_EXPECTED);
    if (f->act_asym && act != DTYPE_KIND_INTEGER)
        return error_set(error, "%s activations have no zero point", dtypes[f->act].name);
    if (f->asym && weight != DTYPE_KIND_INTEGER)
        return error_set(error, "%s weights have no zero point", dtypes[f->weight].name);
    if (weight == DTYPE_KIND_FLOAT && f->granularity != GRANULARITY_CHANNEL)
        return error_set(error, "%s weights have no scales to share", dtypes[f->weight].name);
    if (f->granularity == GRANULARITY_GROUP ? f->group < GROUP_MIN : f->group != 0)
        return error_set(error, "group size %u: expected at least %d, with groups only",
                         f->group, GROUP_MIN);
    if (act == DTYPE_KIND_INTEGER && weight != DTYPE_KIND_INTEGER)
        return error_set(error, "int8 activations need int8 or int4 weights: an integer dot product "
                                "cannot read %s codes", dtypes[f->weight].name);
    if (act == DTYPE_KIND_SCALED_FLOAT && weight != DTYPE_KIND_SCALED_FLOAT)
        return error_set(error, "fp8 activations need fp8 weights, not %s", dtypes[f->weight].name);
    return true;
}

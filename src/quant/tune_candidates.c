/* What a search tries, and what that costs in memory or in a file. */
#include "recipe.h"
#include "tune_internal.h"

/* The schemes that are tried, small first: in memory, and of those for files each that the format holds. Matrices that
 * are looked up have no use for methods that look at activations: scheme_for_tensor leaves those out. A file has room
 * for input scales only where all matrices behind a norm share one. */
static const struct {
    const char *scheme;
    bool memory, file;
} candidates[] = {
    {"int4:g128:asym:awq+gptq", true, false},  {"int4:g64:asym:awq+gptq", true, false},
    {"int4:g32:asym:awq+gptq", true, false},   {"int4:g16:asym:awq+gptq", true, false},
    {"int4:g128:asym:clip+gptq", false, true}, {"int4:g64:asym:clip+gptq", false, true},
    {"int4:g32:clip+gptq", false, true},       {"int4:g32:asym:clip+gptq", false, true},
    {"int8:channel:gptq", true, true},         {"int8:g32:gptq", true, true},
    {"fp16", true, true},
};

enum { CANDIDATES = sizeof candidates / sizeof *candidates };
_Static_assert((int)CANDIDATES <= (int)TUNE_CANDIDATES, "a search has room for all of them");

struct scheme tune_candidate(const struct tune *t, size_t candidate, int tensor)
{
    struct scheme s;
    const struct qmatrix *stored = &t->plan.model->tensors[tensor].stored;
    scheme_parse(candidates[t->rows[candidate]].scheme, &s, NULL);
    if (s.format.granularity == GRANULARITY_GROUP && s.format.group >= stored->cols) {
        s.format.granularity = GRANULARITY_CHANNEL;
        s.format.group = 0;
    }
    return scheme_for_tensor(t->plan.model, tensor, s);
}

size_t tune_item_bytes(const struct tune *t, size_t candidate, int tensor)
{
    const struct tune_file *file = t->plan.file;
    const struct qmatrix *stored = &t->plan.model->tensors[tensor].stored;
    struct scheme s = tune_candidate(t, candidate, tensor);
    size_t bytes = 0;
    if (file)
        return file->tensor_bytes(file->context, tensor, &s);
    return scheme_bytes(&s, stored->rows, stored->cols, &bytes) ? bytes : 0;
}

void tune_list_candidates(struct tune *t)
{
    for (size_t row = 0; row < CANDIDATES; row++) {
        bool held = !t->plan.file && candidates[row].memory;
        t->rows[t->candidates] = row;
        for (size_t i = 0; t->plan.file && candidates[row].file && !held && i < t->items; i++)
            held = tune_item_bytes(t, t->candidates, t->tensors[i]) > 0;
        t->candidates += held;
    }
}

void tune_all_stored(struct tune *t)
{
    for (size_t i = 0; i < t->plan.model->tensor_count; i++)
        t->schemes[i] = scheme_stored(&t->plan.model->tensors[i].stored);
    t->schemes[kv_index(t->plan.model)] = scheme_default(t->plan.kv);
}

size_t tune_file_bytes(const struct tune *t, struct error *error)
{
    return t->plan.file->bytes(t->plan.file->context, t->schemes, error);
}

/* What a file has beside the items: with all of them as the last candidate, which any format holds. */
static bool other_bytes_of_file(struct tune *t, struct error *error)
{
    double items = 0;
    tune_all_stored(t);
    for (size_t i = 0; i < t->items; i++) {
        t->schemes[t->tensors[i]] = tune_candidate(t, t->candidates - 1, t->tensors[i]);
        items += (double)tune_item_bytes(t, t->candidates - 1, t->tensors[i]);
    }
    size_t all = tune_file_bytes(t, error);
    t->other_bytes = (double)all - items;
    return all > 0;
}

static void other_bytes_in_memory(struct tune *t)
{
    t->other_bytes = (double)weights_size(t->plan.stored);
    for (size_t i = 0; i < t->items; i++)
        t->other_bytes -= (double)t->plan.model->tensors[t->tensors[i]].stored.bytes;
}

bool tune_find_other_bytes(struct tune *t, struct error *error)
{
    bool ok = true;
    if (t->plan.file)
        ok = t->candidates > 0 ? other_bytes_of_file(t, error)
                               : error_set(error, "%s holds no scheme of the search", t->plan.budget.format);
    else
        other_bytes_in_memory(t);
    if (t->plan.budget.max_bits > 0)
        t->other_bytes = 0;
    return ok;
}

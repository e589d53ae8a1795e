/* What a search tries, and what that costs in memory or in a file. */
#include "recipe.h"
#include "tune_internal.h"

#include <math.h>
#include <string.h>

enum { IN_MEMORY = 1, IN_FILES = 2, IN_GGUF = 4 };

/* The schemes that are tried: in memory, and of those for files each that the format holds. Matrices that are looked up
 * have no use for methods that look at activations: scheme_for_tensor leaves those out. A file has room for input scales
 * only where all matrices behind a norm share one. GGUF has block types, and what the model's own file has. */
static const struct {
    const char *scheme;
    unsigned where;
} candidates[] = {
    {"int4:g128:asym:awq+gptq", IN_MEMORY}, {"int4:g64:asym:awq+gptq", IN_MEMORY},
    {"int4:g32:asym:awq+gptq", IN_MEMORY},  {"int4:g16:asym:awq+gptq", IN_MEMORY},
    {"int4:g128:asym:clip+gptq", IN_FILES}, {"int4:g64:asym:clip+gptq", IN_FILES},
    {"int4:g32:clip+gptq", IN_FILES},       {"int4:g32:asym:clip+gptq", IN_FILES},
    {"iq1_s:imatrix+gptq", IN_GGUF},        {"iq1_m:imatrix+gptq", IN_GGUF},
    {"iq2_xxs:imatrix+gptq", IN_GGUF},      {"iq2_xs:imatrix+gptq", IN_GGUF},
    {"iq2_s:imatrix+gptq", IN_GGUF},        {"q2_k:imatrix+gptq", IN_GGUF},
    {"iq3_xxs:imatrix+gptq", IN_GGUF},      {"iq3_s:imatrix+gptq", IN_GGUF},
    {"q3_k:imatrix+gptq", IN_GGUF},         {"iq4_xs:imatrix+gptq", IN_GGUF},
    {"mxfp4:imatrix+gptq", IN_GGUF},        {"iq4_nl:imatrix+gptq", IN_GGUF},
    {"q4_k:imatrix+gptq", IN_GGUF},         {"q4_0:imatrix+gptq", IN_GGUF},
    {"q4_1:imatrix+gptq", IN_GGUF},         {"q5_k:imatrix+gptq", IN_GGUF},
    {"q5_0:imatrix+gptq", IN_GGUF},         {"q5_1:imatrix+gptq", IN_GGUF},
    {"q6_k:imatrix+gptq", IN_GGUF},         {"q8_0:imatrix+gptq", IN_GGUF},
    {"int8:channel:gptq", IN_MEMORY | IN_FILES}, {"int8:g32:gptq", IN_MEMORY | IN_FILES},
    {"stored", IN_GGUF},                    {"fp16", IN_MEMORY | IN_FILES | IN_GGUF},
};

enum { CANDIDATES = sizeof candidates / sizeof *candidates };

/* The scheme of a row, without the last of its methods where the type's codes cannot be chosen so. False for blocks that
 * nothing makes. */
static bool parse_row(size_t row, struct scheme *out)
{
    const char *text = candidates[row].scheme, *last = strrchr(text, '+');
    char shorter[SCHEME_TEXT] = "";
    memcpy(shorter, text, last ? (size_t)(last - text) : 0);
    return scheme_parse(text, out, NULL) || (last && scheme_parse(shorter, out, NULL));
}

struct scheme tune_candidate(const struct tune *t, size_t candidate, int tensor)
{
    struct scheme s = {0};
    const struct qmatrix *stored = &t->plan.model->tensors[tensor].stored;
    parse_row(t->rows[candidate], &s);
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
    if (s.substituted) /* by another candidate */
        return 0;
    if (file)
        return file->tensor_bytes(file->context, tensor, &s);
    return scheme_bytes(&s, stored->rows, stored->cols, &bytes) ? bytes : 0;
}

/* Whether any item can have the candidate of the last row. */
static bool is_held(const struct tune *t)
{
    struct scheme s;
    bool held = false;
    if (!parse_row(t->rows[t->candidates], &s))
        return false;
    for (size_t i = 0; !held && i < t->items; i++)
        held = tune_item_bytes(t, t->candidates, t->tensors[i]) > 0;
    return held;
}

void tune_list_candidates(struct tune *t)
{
    bool gguf = strcmp(t->plan.budget.format, "gguf") == 0;
    unsigned where = !t->plan.file ? IN_MEMORY : gguf ? IN_GGUF : IN_FILES;
    for (size_t row = 0; row < CANDIDATES && t->candidates < TUNE_CANDIDATES; row++) {
        t->rows[t->candidates] = row;
        t->candidates += (candidates[row].where & where) && is_held(t);
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

bool tune_find_bytes(struct tune *t, struct error *error)
{
    bool ok = true;
    for (size_t i = 0; i < t->items; i++)
        for (size_t c = 0; c < t->candidates; c++)
            t->bytes[i * t->candidates + c] = (double)tune_item_bytes(t, c, t->tensors[i]);
    if (t->plan.file)
        ok = t->candidates > 0 ? other_bytes_of_file(t, error)
                               : error_set(error, "%s holds no scheme of the search", t->plan.budget.format);
    else
        other_bytes_in_memory(t);
    if (t->plan.budget.max_bits > 0 && t->plan.budget.max_size == 0)
        t->other_bytes = 0;
    return ok;
}

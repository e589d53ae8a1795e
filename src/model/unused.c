#include "unused.h"

#include "output_scale.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What GGUF files hold besides weights: factors that gguf_model.c reads. Readers of other formats leave
 * out what is none. */
static const char *const not_weights[] = {"rope_freqs.weight", "rope_factors_*.weight"};

static bool is_weight(const struct arch *a, const struct naming *n, const char *name)
{
    if (!n->gguf && a->hf_numbers && fnmatch(a->hf_numbers, name, 0) == 0)
        return false;
    for (size_t i = 0; i < sizeof not_weights / sizeof *not_weights; i++)
        if (fnmatch(not_weights[i], name, 0) == 0)
            return false;
    return true;
}

/* Whether a tensor's name begins with a block, and its number. */
static bool in_block(const struct arch *a, const struct naming *n, const char *name, size_t *block)
{
    char before[NAMING_MAX], *end;
    int length = snprintf(before, sizeof before, "%s%s", n->gguf ? "" : n->prefix, n->gguf ? "blk." : a->hf_block);
    if (strncmp(name, before, (size_t)length) != 0)
        return false;
    *block = strtoul(name + length, &end, 10);
    return end > name + length && *end == '.';
}

/* What predicts further tokens than the next. */
static bool is_spare(const struct model *m, const struct arch *a, const struct naming *n, const char *name)
{
    size_t block;
    bool beyond = in_block(a, n, name, &block) && block >= m->hyper.layers;
    return (a->predicts_more && beyond) || (a->unused && fnmatch(a->unused, name, 0) == 0);
}

/* Parts of models around one that writes text; and what guesses further tokens beside it. */
static const char *const other_parts[] = {"audio_tower", "connector",    "embed_audio",  "embed_vision",
                                          "image_newline", "mm_projector", "mtp",        "multi_modal_projector",
                                          "vision_model", "vision_tower", "visual"};

/* Of which of them a tensor is; null: of none. */
static const char *other_part(const char *name)
{
    const char *at = strncmp(name, "model.", 6) == 0 ? name + 6 : name;
    size_t length = strcspn(at, ".");
    for (size_t i = 0; i < sizeof other_parts / sizeof *other_parts; i++)
        if (strlen(other_parts[i]) == length && strncmp(at, other_parts[i], length) == 0)
            return other_parts[i];
    return NULL;
}

/* Whether a tensor has a role that its block does without. */
static bool is_without(const struct model *m, const struct arch *a, const struct naming *n, const struct entry *e)
{
    size_t block;
    bool there = in_block(a, n, e->name, &block) && block < m->hyper.layers;
    role_set without = there ? m->layers[block].without : 0;
    for (enum role role = 0; role < ROLE_COUNT && without; role++)
        if (without & ROLE_BIT(role) && naming_find(m, a, n, role, (int)block) == e)
            return true;
    return false;
}

/* Tensors that are left out, and of what. */
struct left_out {
    size_t count;
    char parts[120];
};

static void leave_out(struct left_out *l, const char *part)
{
    size_t used = strlen(l->parts);
    l->count++;
    if (!strstr(l->parts, part) && used + strlen(part) + 3 < sizeof l->parts)
        snprintf(l->parts + used, sizeof l->parts - used, "%s%s", used ? ", " : "", part);
}

static int by_address(const void *a, const void *b)
{
    const struct entry *const *p = a, *const *q = b;
    return (*p > *q) - (*p < *q);
}

/* Those of all tensors; the caller frees. Null when memory is short. */
static const struct entry **used_entries(const struct model *m, const struct arch *a, const struct naming *n,
                                         size_t *count)
{
    size_t all = 1;
    for (size_t i = 0; i < m->tensor_count; i++)
        all += naming_parts(m, a, n, &m->tensors[i]) + 4;
    const struct entry **used = malloc(all * sizeof *used);
    for (size_t i = 0; used && i < m->tensor_count; i++) {
        const struct tensor *t = &m->tensors[i];
        size_t parts = naming_parts(m, a, n, t);
        for (size_t k = 0; k < parts; k++)
            used[(*count)++] = naming_find_part(m, a, n, t->role, t->block, (int)k);
        if (parts == 0)
            used[(*count)++] = naming_find_part(m, a, n, t->role, t->block, t->expert);
        if (naming_packs(a, n, t->role))
            used[(*count)++] = naming_find_scales(m, a, n, t->role, t->block, t->expert);
        struct output_scales beside = output_scales_find(m, a, n, t);
        used[(*count)++] = beside.scale;
        used[(*count)++] = beside.input_scale;
    }
    return used;
}

bool unused_check(struct model *m, const struct arch *a, const struct naming *n, struct error *error)
{
    size_t count = 0;
    const struct entry **used = used_entries(m, a, n, &count);
    if (!used)
        return error_set(error, "not enough memory");
    qsort(used, count, sizeof *used, by_address);
    struct left_out left = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < m->files.count; i++) {
        const struct entry *e = &m->files.entries[i];
        bool head = m->tied && naming_find(m, a, n, ROLE_OUTPUT, -1) == e;
        if (bsearch(&e, used, count, sizeof *used, by_address) || head || e->bytes == 0 || !is_weight(a, n, e->name))
            continue;
        if (is_spare(m, a, n, e->name))
            leave_out(&left, "what predicts further tokens");
        else if (other_part(e->name))
            leave_out(&left, other_part(e->name));
        else if (is_without(m, a, n, e))
            leave_out(&left, "keys and values of blocks that use another's");
        else
            ok = error_set(error, "tensor %.100s is not part of the architecture %s with %zu layers",
                           e->name, a->name, m->hyper.layers);
    }
    free(used);
    if (ok && left.count > 0)
        model_add_note(m, "%zu tensors that the model of text does not use are left out (%s)", left.count, left.parts);
    return ok;
}

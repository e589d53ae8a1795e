/* What all formats add to an export: the tensors of the file, notes, refusals, files beside it. */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void export_note_add(struct export *job, const char *format, ...)
{
    char line[400];
    va_list list;
    va_start(list, format);
    vsnprintf(line, sizeof line, format, list);
    va_end(list);
    char **notes = realloc(job->notes, (job->note_count + 1) * sizeof *notes);
    if (notes)
        job->notes = notes;
    if (notes && (notes[job->note_count] = strdup(line)))
        job->note_count++;
}

FILE *export_beside(struct export *job, const char *path, struct error *error)
{
    struct output *out = &job->outs[job->out_count];
    if (job->out_count == OUTPUTS_TOGETHER)
        return error_set(error, "%.200s: too many files beside the export", path), NULL;
    if (!output_open(out, path, error))
        return NULL;
    job->out_count++;
    return out->file;
}

bool export_refuse(const struct export *job, int tensor, const char *format, const struct scheme *nearest,
                   const char *why, struct error *error)
{
    char scheme[SCHEME_TEXT], other[SCHEME_TEXT];
    const struct qmatrix *m = &job->plan.weights->layer[tensor]->matrix;
    struct scheme own = qtensor_scheme(job->plan.weights->layer[tensor]);
    scheme_print(&own, scheme);
    const char *name = job->plan.model->tensors[tensor].name;
    const char *what = m->format.stored ? dtypes[m->format.weight].name : scheme;
    if (strcmp(scheme_print(nearest, other), scheme) == 0) /* it is this matrix that cannot be stored so */
        return error_set(error, "%s: %s cannot store %s%s%s", name, format, what, why ? ": " : "", why ? why : "");
    return error_set(error, "%s: %s cannot store %s%s%s; the nearest that it can is %s", name, format, what,
                     why ? ": " : "", why ? why : "", other);
}

struct export_item *export_add(struct export *job, const struct naming *naming, int tensor,
                               const struct export_type *type, size_t row_bytes, struct error *error)
{
    if (job->count == job->room) {
        size_t room = job->room ? 2 * job->room : 64;
        struct export_item *items = realloc(job->items, room * sizeof *items);
        if (!items)
            return error_set(error, "not enough memory"), NULL;
        job->items = items;
        job->room = room;
    }
    struct export_item *item = &job->items[job->count++];
    *item = (struct export_item){.type = type, .tensor = tensor, .rows = 1, .row_bytes = row_bytes};
    if (tensor < 0)
        return item;
    const struct tensor *t = &job->plan.model->tensors[tensor];
    bool vector = roles[t->role].vector;
    const struct arch *a = naming->gguf ? arch_in_gguf(job->arch) : job->arch;
    naming_name(a, naming, t->role, t->block, t->expert, item->name);
    item->dimensions = vector ? 1 : 2;
    item->shape[0] = vector ? t->stored.cols : t->stored.rows;
    item->shape[1] = vector ? 0 : t->stored.cols;
    item->rows = vector ? 1 : t->stored.rows;
    if (job->plan.model->hyper.norm_each_head && (t->role == ROLE_ATTN_Q_NORM || t->role == ROLE_ATTN_K_NORM)) {
        item->dimensions = 2;
        item->shape[1] = job->plan.model->layers[t->block].head_size;
        item->shape[0] = t->stored.cols / item->shape[1];
    }
    if (t->expert >= 0 && naming_joins(a, naming, t->role)) {
        memmove(item->shape + 1, item->shape, item->dimensions * sizeof *item->shape);
        item->shape[0] = job->plan.model->layers[t->block].mixture.experts;
        item->dimensions++;
        item->joined = t->expert > 0;
    }
    bool turns = t->role == ROLE_ATTN_Q || t->role == ROLE_ATTN_K || t->role == ROLE_ATTN_Q_BIAS ||
                 t->role == ROLE_ATTN_K_BIAS;
    enum rope mine = job->plan.model->hyper.rope, theirs = naming->gguf ? a->gguf_rope : a->hf_rope;
    if (turns && mine != theirs)
        item->order = theirs == ROPE_NEIGHBOURS ? ROWS_TO_NEIGHBOURS : ROWS_TO_HALVES;
    return item;
}

bool export_rope_is_linear(const struct export *job, float *factor)
{
    const struct model *m = job->plan.model;
    bool linear = m->hyper.rope_magnitude == 0;
    *factor = m->rope_factors ? m->rope_factors[0] : 1;
    for (size_t i = 0; linear && m->rope_factors && i < rotary_dims(&m->hyper) / 2; i++)
        linear = m->rope_factors[i] == *factor;
    return linear;
}

#include "model.h"

#include "base/note.h"
#include "base/output.h"
#include "on_demand.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool model_reads(const struct model *m, const char *path)
{
    bool reads = same_file(path, m->path);
    for (size_t i = 0; i < m->files.file_count; i++)
        reads = reads || same_file(path, m->files.files[i].path);
    return reads || (m->reference && model_reads(m->reference, path));
}

void model_close(struct model *m)
{
    if (!m)
        return;
    on_demand_close(m);
    for (size_t i = 0; i < m->tensor_count; i++)
        qmatrix_free(&m->tensors[i].stored);
    for (size_t b = 0; m->layers && b < m->hyper.layers; b++)
        free(m->layers[b].steps);
    free(m->layers);
    free(m->kv_layers);
    free(m->input_groups);
    free(m->input_group_of);
    free(m->tensors);
    free(m->rope_factors);
    free(m->rope_beyond);
    catalog_close(&m->files);
    free(m->path);
    free(m);
}

bool model_ends_text(const struct model *m, int32_t token)
{
    for (size_t i = 0; i < m->end_count; i++)
        if (m->ends[i] == token)
            return true;
    return false;
}

void model_add_note(struct model *m, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    note_add(m->note, sizeof m->note, format, args);
    va_end(args);
}

const char *model_reference_words(const struct model *m)
{
    return m->reference ? "the reference" : "the stored weights";
}

int model_find(const struct model *m, enum role role, int block)
{
    if (role == ROLE_OUTPUT && m->tied)
        role = ROLE_EMBEDDING;
    bool inside = block >= 0 && block < (int)m->hyper.layers;
    if (roles[role].in_block != inside)
        return -1;
    return inside ? m->layers[block].tensor[role] : m->outside[role];
}

int model_find_name(const struct model *m, const char *name)
{
    if (m->tied && strcmp(name, roles[ROLE_OUTPUT].name) == 0)
        name = roles[ROLE_EMBEDDING].name;
    for (size_t i = 0; i < m->tensor_count; i++)
        if (strcmp(m->tensors[i].name, name) == 0)
            return (int)i;
    return -1;
}

int model_first_of_block(const struct model *m, int block)
{
    int first = (int)m->tensor_count;
    if (block < (int)m->hyper.layers) {
        for (enum role role = 0; role < ROLE_COUNT; role++) {
            int t = m->layers[block].tensor[role];
            first = t >= 0 && t < first ? t : first;
        }
        return first;
    }
    while (first > 0 && m->tensors[first - 1].block < 0)
        first--;
    return first;
}

double tensor_share(const struct model *m, int tensor)
{
    const struct tensor *t = &m->tensors[tensor];
    if (t->expert < 0)
        return 1;
    const struct mixture *x = &m->layers[t->block].mixture;
    return (double)x->used / (double)x->experts;
}

double tensor_share_of_any(const struct model *m, int tensor, double n)
{
    return 1 - pow(1 - tensor_share(m, tensor), n);
}

double model_active_parameters(const struct model *m)
{
    double sum = 0;
    for (int t = 0; t < (int)m->tensor_count; t++)
        sum += tensor_share(m, t) * (double)m->tensors[t].stored.rows * (double)m->tensors[t].stored.cols;
    return sum;
}

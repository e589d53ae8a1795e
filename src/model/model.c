#include "model.h"

#include "base/note.h"
#include "on_demand.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void model_close(struct model *m)
{
    if (!m)
        return;
    on_demand_close(m);
    for (size_t i = 0; i < m->tensor_count; i++)
        qmatrix_free(&m->tensors[i].stored);
    free(m->tensors);
    free(m->rope_factors);
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

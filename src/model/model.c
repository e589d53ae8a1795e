#include "model.h"

#include "on_demand.h"

#include <stdlib.h>

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

const char *model_reference_words(const struct model *m)
{
    return m->reference ? "the reference" : "the stored weights";
}

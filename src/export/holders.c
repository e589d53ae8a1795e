#include "holders.h"

#include "internal.h"
#include "safetensors_types.h"

#include <stdlib.h>
#include <string.h>

enum { FORMATS = 8 };

struct export_holders {
    struct export_plan plan;
    struct export *jobs[FORMATS]; /* in the order of the table; null: it cannot hold the model */
    bool holds[FORMATS];
};

struct export_holders *export_holders_open(const struct model *model)
{
    struct export_holders *h = calloc(1, sizeof *h);
    for (size_t i = 0; h && i < FORMATS && export_formats[i]; i++) {
        h->plan = (struct export_plan){.model = model, .format = export_formats[i]->name};
        h->jobs[i] = export_layers_open(&h->plan, NULL);
    }
    if (h)
        export_holders_begin(h);
    return h;
}

void export_holders_close(struct export_holders *h)
{
    for (size_t i = 0; h && i < FORMATS; i++)
        export_close(h->jobs[i]);
    free(h);
}

/* A layout remembers the layers that it holds: it begins again. */
static bool begin_again(struct export *job)
{
    if (!job->layout)
        return true;
    json_decref(job->quantized);
    job->quantized = NULL;
    return job->layout->begin(job);
}

void export_holders_begin(struct export_holders *h)
{
    for (size_t i = 0; i < FORMATS; i++)
        h->holds[i] = h->jobs[i] && begin_again(h->jobs[i]);
}

/* Formats whose layers are all alike have no floats inside blocks. */
static bool may_hold(const struct export *job, int tensor, const struct scheme *s)
{
    const struct tensor *t = &job->plan.model->tensors[tensor];
    bool quantized = !s->format.stored && dtypes[s->format.weight].kind != DTYPE_KIND_FLOAT;
    return job->format->mixes || quantized || !role_takes_schemes(t->role);
}

void export_holders_add(struct export_holders *h, int tensor, const struct scheme *scheme)
{
    for (size_t i = 0; i < FORMATS; i++)
        h->holds[i] = h->holds[i] && may_hold(h->jobs[i], tensor, scheme) &&
                      export_tensor_bytes(h->jobs[i], tensor, scheme) > 0;
}

void export_holders_add_all(struct export_holders *h, const struct scheme *schemes)
{
    const struct model *m = h->plan.model;
    role_set seen[DTYPE_ALL] = {0};
    for (size_t i = 0; i < m->tensor_count; i++) {
        enum dtype type = schemes[i].format.weight;
        if (seen[type] & ROLE_BIT(m->tensors[i].role))
            continue;
        seen[type] |= ROLE_BIT(m->tensors[i].role);
        export_holders_add(h, (int)i, &schemes[i]);
    }
}

const char *export_holders_names(const struct export_holders *h, char out[EXPORT_NAMES])
{
    size_t used = 0;
    snprintf(out, EXPORT_NAMES, "none");
    for (size_t i = 0; i < FORMATS && used < EXPORT_NAMES; i++)
        if (h->holds[i])
            used += (size_t)snprintf(out + used, EXPORT_NAMES - used, "%s%s", used ? " " : "", export_formats[i]->name);
    return out;
}

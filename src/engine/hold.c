#include "hold.h"

#include "../model/resident.h"
#include "memory.h"

#include <stdlib.h>

bool hold_open(struct hold *h, const struct model *model, struct error *error)
{
    *h = (struct hold){model, calloc(model->tensor_count, sizeof *h->tensors)};
    return h->tensors || error_set(error, "not enough memory");
}

void hold_close(struct hold *h)
{
    hold_trim(h, NULL);
    free(h->tensors);
    *h = (struct hold){0};
}

bool hold_lacks(const struct hold *h, const struct weights *set, int tensor)
{
    return !h->tensors[tensor] && packed_is_made(h->model, set->layer[tensor]);
}

bool hold_add(struct hold *h, int tensor, struct pool *pool, struct error *error)
{
    if (!h->tensors[tensor])
        h->tensors[tensor] = model_acquire(h->model, tensor, pool, error);
    return h->tensors[tensor];
}

void hold_trim(struct hold *h, const struct weights *set)
{
    for (int t = 0; h->tensors && t < (int)h->model->tensor_count; t++) {
        if (!h->tensors[t] || (set && packed_is_made(h->model, set->layer[t])))
            continue;
        model_release(h->model, t);
        h->tensors[t] = false;
    }
}

bool hold_set(struct hold *h, const struct weights *set, struct pool *pool, struct error *error)
{
    hold_trim(h, set);
    size_t bytes = weights_absent_bytes(h->model, set);
    bool ok = bytes == 0 || memory_check("this set of weights", bytes, error);
    for (int t = 0; ok && t < (int)set->count; t++)
        if (hold_lacks(h, set, t))
            ok = hold_add(h, t, pool, error);
    return ok;
}

size_t weights_absent_bytes(const struct model *m, const struct weights *set)
{
    size_t bytes = 0;
    for (int t = 0; t < (int)set->count; t++)
        if (packed_is_made(m, set->layer[t]))
            bytes += model_absent_bytes(m, t);
    return bytes;
}

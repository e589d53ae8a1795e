#include "pin.h"

#include "model/on_demand.h"
#include "sys/memory.h"

#include <stdlib.h>

bool pin_open(struct pin *h, const struct model *model, struct error *error)
{
    *h = (struct pin){model, calloc(model->tensor_count, sizeof *h->tensors)};
    return h->tensors || error_set(error, "not enough memory");
}

void pin_close(struct pin *h)
{
    pin_trim(h, NULL);
    free(h->tensors);
    *h = (struct pin){0};
}

bool pin_missing(const struct pin *h, const struct weights *set, int tensor)
{
    return !h->tensors[tensor] && qtensor_on_demand(h->model, set->layer[tensor]);
}

bool pin_add(struct pin *h, int tensor, struct pool *pool, struct error *error)
{
    if (!h->tensors[tensor])
        h->tensors[tensor] = model_acquire(h->model, tensor, pool, error);
    return h->tensors[tensor];
}

void pin_trim(struct pin *h, const struct weights *set)
{
    for (int t = 0; h->tensors && t < (int)h->model->tensor_count; t++) {
        if (!h->tensors[t] || (set && qtensor_on_demand(h->model, set->layer[t])))
            continue;
        model_release(h->model, t);
        h->tensors[t] = false;
    }
}

bool pin_set(struct pin *h, const struct weights *set, struct pool *pool, struct error *error)
{
    pin_trim(h, set);
    size_t bytes = weights_absent_bytes(h->model, set);
    bool ok = bytes == 0 || memory_check("this set of weights", bytes, error);
    for (int t = 0; ok && t < (int)set->count; t++)
        if (pin_missing(h, set, t))
            ok = pin_add(h, t, pool, error);
    return ok;
}

size_t weights_absent_bytes(const struct model *m, const struct weights *set)
{
    size_t bytes = 0;
    for (int t = 0; t < (int)set->count; t++)
        if (qtensor_on_demand(m, set->layer[t]))
            bytes += model_absent_bytes(m, t);
    return bytes;
}

#include "pin.h"

#include "model/on_demand.h"
#include "sys/memory.h"

#include <stdlib.h>

bool pin_open(struct pin *p, const struct model *model, struct error *error)
{
    *p = (struct pin){model, calloc(model->tensor_count, sizeof *p->tensors)};
    return p->tensors || error_set(error, "not enough memory");
}

void pin_close(struct pin *p)
{
    pin_trim(p, NULL);
    free(p->tensors);
    *p = (struct pin){0};
}

bool pin_missing(const struct pin *p, const struct weights *set, int tensor)
{
    return !p->tensors[tensor] && qtensor_on_demand(p->model, set->layer[tensor]);
}

bool pin_add(struct pin *p, int tensor, struct pool *pool, struct error *error)
{
    if (!p->tensors[tensor])
        p->tensors[tensor] = model_acquire(p->model, tensor, pool, error);
    return p->tensors[tensor];
}

void pin_trim(struct pin *p, const struct weights *set)
{
    for (int t = 0; p->tensors && t < (int)p->model->tensor_count; t++) {
        if (!p->tensors[t] || (set && qtensor_on_demand(p->model, set->layer[t])))
            continue;
        model_release(p->model, t);
        p->tensors[t] = false;
    }
}

bool pin_set(struct pin *p, const struct weights *set, struct pool *pool, struct error *error)
{
    pin_trim(p, set);
    size_t bytes = weights_absent_bytes(p->model, set);
    bool ok = bytes == 0 || memory_check("this set of weights", bytes, error);
    for (int t = 0; ok && t < (int)set->count; t++)
        if (pin_missing(p, set, t))
            ok = pin_add(p, t, pool, error);
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

/* pin.h - keeps the stored weights that a set borrows from its model in memory while the set is run.
 * Where they lie in a mapped file there is nothing to keep, and every function returns at once. */
#ifndef QTOP_PIN_H
#define QTOP_PIN_H

#include "sys/pool.h"
#include "weights.h"

struct pin {
    const struct model *model;
    bool *tensors; /* which ones are pinned (model->tensor_count) */
};

/* Pins nothing yet. pin_close releases everything; it may follow a failure, or {0}. */
bool pin_open(struct pin *pin, const struct model *model, struct error *error);
void pin_close(struct pin *pin);

/* Whether running the set needs stored weights of this tensor that are not pinned. */
bool pin_missing(const struct pin *pin, const struct weights *set, int tensor);

/* Pins one tensor's stored weights, which the pool materializes where they are absent (model_acquire). */
bool pin_add(struct pin *pin, int tensor, struct pool *pool, struct error *error);

/* Unpins what running the set does not need; everything where it is null. */
void pin_trim(struct pin *pin, const struct weights *set);

/* Pins all that running the set needs, and nothing else. Checks that there is memory for all of it before
 * anything is materialized. */
bool pin_set(struct pin *pin, const struct weights *set, struct pool *pool, struct error *error);

/* Bytes of stored weights to materialize before the set can run, whoever pins them. */
size_t weights_absent_bytes(const struct model *model, const struct weights *set);

#endif

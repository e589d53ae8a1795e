/* pin.h - keeps the stored weights that a set borrows from its model in memory while the set is run.
 * Where they lie in a mapped file there is nothing to keep, and every function returns at once. */
#ifndef QTOP_PIN_H
#define QTOP_PIN_H

#include "sys/pool.h"
#include "weights.h"

struct pin {
    const struct model *model;
    bool *tensors; /* which ones are held */
};

/* Holds nothing yet. pin_close lets go of everything; it may follow a failure, or {0}. */
bool pin_open(struct pin *pin, const struct model *model, struct error *error);
void pin_close(struct pin *pin);

/* Whether running the set needs stored weights of this tensor that are not held. */
bool pin_missing(const struct pin *pin, const struct weights *set, int tensor);

/* Holds one tensor's stored weights, made by the pool where nobody has them; model_acquire. */
bool pin_add(struct pin *pin, int tensor, struct pool *pool, struct error *error);

/* Lets go of what running the set does not need; of everything where it is null. */
void pin_trim(struct pin *pin, const struct weights *set);

/* Holds all that running the set needs, and nothing else. The memory is asked for as a whole before
 * anything is made. */
bool pin_set(struct pin *pin, const struct weights *set, struct pool *pool, struct error *error);

/* Bytes that have to be made before the set can run, held by whomever. */
size_t weights_absent_bytes(const struct model *model, const struct weights *set);

#endif

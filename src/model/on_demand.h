/* on_demand.h - stored weights that lie in no file: materialized when somebody needs them, dropped when nobody
 * does.
 *
 * The tensors of such a model have addresses from the beginning, but memory only while they are
 * acquired; at other times their codes read as zeros. For a model whose weights lie in a file all of
 * this does nothing, so that callers need not know which kind they have. */
#ifndef QTOP_ON_DEMAND_H
#define QTOP_ON_DEMAND_H

#include "model.h"

struct pool;

/* Columns that are generated together: a part of a row begins at a multiple of them. */
enum { GENERATOR_RUN = 256 };

/* Where such weights come from. The same call gives the same bytes, from any thread and in any order. */
struct weight_generator {
    /* Writes the codes of n columns of a row of a tensor, from column `first` on. */
    void (*generate)(const void *arg, int tensor, size_t row, size_t first, size_t n, uint8_t *codes);
    void (*close)(void *arg);
    void *arg;
};

/* For formats: gives every matrix whose codes are null its address, to be filled by the generator when it
 * is acquired. Their codes have no scales. Takes over generator->arg, also when it fails. */
bool on_demand_open(struct model *model, const struct weight_generator *generator, struct error *error);
void on_demand_close(struct model *model); /* by model_close */

/* Whether the tensor's weights are generated rather than read from a file. */
bool model_on_demand(const struct model *model, int tensor);

/* Bytes of memory that acquiring the tensor would take now: 0 when it is there. */
size_t model_absent_bytes(const struct model *model, int tensor);

/* Keeps the tensor's stored weights in memory until as many releases; the first materializes them,
 * by the pool's threads where there is one (whose caller this must be) and in the order of the rows.
 * Fails, before anything is taken, when they do not fit in memory. */
bool model_acquire(const struct model *model, int tensor, struct pool *pool, struct error *error);
void model_release(const struct model *model, int tensor);

/* Decodes a row of the stored weights into cols floats, whether the tensor is in memory or not. */
void model_decode_row(const struct model *model, int tensor, size_t row, float *out);

#endif

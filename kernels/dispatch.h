/* dispatch.h - the instruction sets: one row of functions each, chosen once at start. */
#ifndef QTOP_DISPATCH_H
#define QTOP_DISPATCH_H

#include "activations.h"

struct isa {
    const char *name;
    const char *description;
    bool (*available)(void); /* the processor has it and the operating system enabled it */
    /* Rows row0..row1 of Y = W X, on the packed codes. y[t * m->rows + r] receives row r of token t.
     * Any split of the rows gives the same bits. */
    void (*matmul)(const struct qmatrix *m, const struct activations *x, size_t row0, size_t row1,
                   float *y);
};

/* The instruction set in use: the best available one, or what isa_select chose. */
const struct isa *isa_current(void);

/* Selects by name; fails for a name that is unknown or that this machine lacks. Call before any
 * thread computes. */
bool isa_select(const char *name, struct error *error);

/* The rows of the table, best last; null past the end. */
const struct isa *isa_at(size_t i);

#endif

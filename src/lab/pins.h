/* pins.h - brings stored weights that lie in no file into memory, in slices, and keeps them there while they are
 * run. */
#ifndef QTOP_LAB_PINS_H
#define QTOP_LAB_PINS_H

#include "state.h"

/* After the edits, whose target must fit. pins_close may follow a failure. */
bool pins_open(struct lab *lab, struct error *error);
void pins_close(struct lab *lab);

/* Lets go of what the set in use does not need, and finds out whether it can run. */
void pins_follow(struct lab *lab);

/* Materializes what the set in use lacks, but for what is about to be replaced, for about `seconds`; *count:
 * tensors. False with an error. */
bool pins_step(struct lab *lab, double seconds, size_t *count, struct error *error);

/* The share of the set in use that is there, 0..1. */
double pins_fraction(const struct lab *lab);

/* Whether one tensor of the set in use is missing that pins_step would bring. */
bool pins_wanted(const struct lab *lab);

/* The same of the reference: true when all is there; else false, with an error (an empty one: more slices are
 * needed). It stays until pins_release_reference. */
bool pins_reference(struct lab *lab, double seconds, struct error *error);
void pins_release_reference(struct lab *lab);

/* The reference's tensor that is selected, all at once. */
bool pins_compared(struct lab *lab);

#endif

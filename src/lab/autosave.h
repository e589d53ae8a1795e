/* autosave.h - the session's file: written when a person names it, each minute from then on, and at the end. Without a
 * name it is kept meanwhile in the user's state folder, to go on from after a crash. */
#ifndef QTOP_LAB_AUTOSAVE_H
#define QTOP_LAB_AUTOSAVE_H

#include "state.h"

/* Says so where an earlier run of this model did not end by itself. */
void autosave_open(struct lab *lab);

/* Writes the file when it is due. */
void autosave_step(struct lab *lab, double now);

/* The last time: false with an error where the named file could not be written. */
bool autosave_finish(struct lab *lab, struct error *error);
void autosave_close(struct lab *lab);

#endif

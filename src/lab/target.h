/* target.h - the schemes that a person asked for, and the set that follows them: at once where matrices are cached,
 * through a job where they must be made. One mechanism serves edits, undo and redo, snapshots and searches. */
#ifndef QTOP_LAB_TARGET_H
#define QTOP_LAB_TARGET_H

#include "state.h"

/* With the schemes of the options; the set in use gets its KV cache at once. target_close may follow a failure. */
bool target_open(struct lab *lab, struct error *error);
void target_close(struct lab *lab);

/* Makes `schemes` (schemes_count) the target, as one change that can be undone. */
void target_use(struct lab *lab, const struct scheme *schemes);

/* A copy of the target, the caller's; null when memory is short. */
struct scheme *target_copy(const struct lab *lab);

/* Undoes the last change, or redoes it; false where there is none. */
bool target_undo(struct lab *lab);
bool target_redo(struct lab *lab);

/* Goes to the step of the history with that index; false where there is none. */
bool target_go(struct lab *lab, size_t step);

/* A tensor of the scheme that is stored, in use or cached, with a new reference, or null. */
struct qtensor *target_find(struct lab *lab, int tensor, const struct scheme *scheme);

#endif

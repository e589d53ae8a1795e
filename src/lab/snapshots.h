/* snapshots.h - schemes that a person kept, with the figures that they reached while they were in use. */
#ifndef QTOP_LAB_SNAPSHOTS_H
#define QTOP_LAB_SNAPSHOTS_H

#include "state.h"

void snapshots_close(struct lab *lab);

/* Keeps the target; false: why not has been said. */
bool snapshots_keep(struct lab *lab);

/* Index of the snapshot in use, whose schemes make the same model as the target, however it came to be; -1: none. */
int snapshots_current(const struct lab *lab);

/* What a file of the snapshot in use has, which must be one; takes over the reference, or null: it is for none. */
void snapshots_give_file(struct lab *lab, struct file_sizes *file);

/* The target was written as a recipe. */
void snapshots_written(struct lab *lab);

/* The set of a snapshot, as far as its matrices are stored, in use or cached; null where one has to be made. */
struct weights *snapshots_set(struct lab *lab, const struct snapshot *snapshot);

/* Figures that the frame, which is otherwise complete, shows of the set in use become those of the snapshot in use;
 * then fills the frame's snapshots. */
void snapshots_publish(struct lab *lab, struct frame *frame);

#endif

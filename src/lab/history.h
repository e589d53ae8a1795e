/* history.h - the states of the schemes that undo and redo go through, and what each reached while it was in use. */
#ifndef QTOP_LAB_HISTORY_H
#define QTOP_LAB_HISTORY_H

#include "state.h"

/* With one step: the target. */
bool history_open(struct lab *lab, struct error *error);
void history_close(struct lab *lab);

/* Forgets all steps; one is to be appended at once. */
void history_clear(struct lab *lab);

/* A step behind the last, the current one, with the target's schemes; null when memory is short. */
struct history_step *history_append(struct lab *lab);

/* The step's quality is known. */
void history_take_quality(struct history_step *step);

/* Where all layers are as the current step has them, and its quality is known: that is the quality of the set in use,
 * and nothing needs to be evaluated. */
void history_recall(struct lab *lab);

/* What steps reached was measured on another text than what follows: it is not known any more. */
void history_text_changed(struct lab *lab);

/* The target is about to become another: the current step keeps it as it is now. What could be redone is forgotten, and
 * the oldest step where there is no room. The new step is the current one; false when memory is short: there is none. */
bool history_add(struct lab *lab);

/* Makes the step with that index the current one; its schemes, the history's. */
const struct scheme *history_go(struct lab *lab, size_t index);

/* Figures that the frame, which is otherwise complete, shows of the set in use become those of the current step; then
 * fills the frame's steps. */
void history_publish(struct lab *lab, struct frame *frame);

#endif

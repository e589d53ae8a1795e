/* tune_state.h - what an interrupted search had measured, in a file beside its recipe, to go on from. */
#ifndef QTOP_TUNE_STATE_H
#define QTOP_TUNE_STATE_H

#include "options.h"
#include "quant/tune.h"

/* Of a recipe's path: the file's, RECIPE.state; null when memory is short. The caller frees. */
char *tune_state_path(const char *recipe);

/* Writes the schemes that every layer was measured in. False with an error. */
bool tune_state_save(const char *path, struct tune *job, const struct tune_plan *plan, struct error *error);

/* Takes them over into a job that was just opened. False with an error: the file is of another model, text, machine or
 * set of options, or none. */
bool tune_state_load(const char *path, struct tune *job, const struct tune_plan *plan, struct error *error);

#endif

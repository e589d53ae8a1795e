/* tune_state.h - what a search has measured, in a file to go on from. */
#ifndef QTOP_TUNE_STATE_H
#define QTOP_TUNE_STATE_H

#include "quant/tune.h"

/* The file of a search: qtop/tune-DIGEST in XDG_STATE_HOME, else in ~/.local/state. The digest is of all that what is
 * measured depends on: the model, both texts, the schemes on offer, threads and instruction set. Null with an error.
 * The caller frees. */
char *tune_state_path(const struct tune_plan *plan, struct error *error);

/* Writes the parts that were measured. False with an error. */
bool tune_state_save(const char *path, struct tune *job, const struct tune_plan *plan, struct error *error);

/* Takes them over into a job that was just opened. False with an error where there is no such file or it is damaged. */
bool tune_state_load(const char *path, struct tune *job, const struct tune_plan *plan, struct error *error);

/* The same of bytes, which the error calls `path`. */
bool tune_state_parse(const void *data, size_t size, const char *path, struct tune *job, const struct tune_plan *plan,
                      struct error *error);

#endif

/* training_state.h - the file of an interrupted training, whose last whole step it holds (quant/training.h). */
#ifndef QTOP_TRAINING_STATE_H
#define QTOP_TRAINING_STATE_H

#include "session.h"

/* qtop/qat-DIGEST in the user's state folder (state_file.h): of the model, the schemes and the text to train on. Null
 * with an error; the caller frees. */
char *training_state_path(const struct quantization_plan *plan, struct error *error);

/* Opens it for reading. Null with an error where there is none. */
FILE *training_state_open(const char *path, struct error *error);

/* Keeps where the job is; the note says so. True when there was something to keep, and it is kept. */
bool training_state_save(const char *path, struct quantization *job, struct error *note);

#endif

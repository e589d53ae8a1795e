/* state_file.h - where interrupted work leaves what it has done, to resume from: a file in the user's state folder,
 * named by a digest of all that the work depends on. */
#ifndef QTOP_STATE_FILE_H
#define QTOP_STATE_FILE_H

#include "base/digest.h"
#include "model/model.h"

/* A digest with a model's tensors: by name and shape, and by the values of those that are no matrices, in which models
 * of one shape, and those with injected outliers, differ. */
uint64_t digest_layers(uint64_t digest, const struct model *model);

/* The same with its file's size and time. */
uint64_t digest_model(uint64_t digest, const struct model *model);

/* KIND-DIGEST among the user's state files (user_path.h). Null with an error; the caller frees. */
char *state_file_path(const char *kind, uint64_t digest, struct error *error);

#endif

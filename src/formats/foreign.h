/* foreign.h - files that hold no weights of a model, though people open them as one: what they are, and what to do. */
#ifndef QTOP_FOREIGN_H
#define QTOP_FOREIGN_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/* Where a file begins like one of those: false with an error that says what it is and what to open instead. */
bool foreign_check(const uint8_t *data, size_t size, struct error *error);

/* Whether it may be JSON, which some files beside weights are. */
bool foreign_is_json(const uint8_t *data, size_t size);

/* The same by what is in a folder. */
bool foreign_check_folder(const char *path, struct error *error);

/* By a tensor's name: of an adapter, or of a model within a training program's wrapper. */
bool foreign_check_tensor(const char *name, struct error *error);

#endif

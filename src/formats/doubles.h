/* doubles.h - tensors of F64, which no kernel multiplies: they are rounded to fp32 once, when a file is read. */
#ifndef QTOP_DOUBLES_H
#define QTOP_DOUBLES_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/* The n doubles at `data`, at any address, rounded to the nearest floats, NaN and infinity as they are; the caller
 * frees. Null where memory is short or a finite number rounds to none: the error names the tensor and the number. */
float *doubles_round(const uint8_t *data, size_t n, const char *name, struct error *error);

#endif

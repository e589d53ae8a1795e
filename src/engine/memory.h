/* memory.h - how much memory a plan may take, asked before it is taken. */
#ifndef QTOP_MEMORY_H
#define QTOP_MEMORY_H

#include "../../kernels/error.h"

#include <stddef.h>

/* Bytes that can still be allocated: the smaller of the kernel's MemAvailable and what the cgroup
 * leaves (versions 1 and 2). SIZE_MAX when neither says. */
size_t memory_available(void);

/* Fails with a line that names `what` when bytes exceed what is available. */
bool memory_check(const char *what, size_t bytes, struct error *error);

#endif

/* memory.h - how much memory a plan may take, asked before it is taken. */
#ifndef QTOP_MEMORY_H
#define QTOP_MEMORY_H

#include "../../kernels/error.h"

#include <stddef.h>

/* Bytes that can still be allocated: the smaller of the kernel's MemAvailable and what this process's
 * cgroup and those above it leave (versions 1 and 2; pages of files count as free). SIZE_MAX when
 * neither says. */
size_t memory_available(void);

/* The same from a copy of /proc and /sys/fs/cgroup under a folder; "" is the machine itself. */
size_t memory_available_in(const char *root);

/* Fails with a line that names `what` when bytes exceed what is available. */
bool memory_check(const char *what, size_t bytes, struct error *error);

#endif

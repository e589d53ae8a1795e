/* memory.h - how much memory a plan may take, asked before it is taken. */
#ifndef QTOP_MEMORY_H
#define QTOP_MEMORY_H

#include "base/error.h"

#include <stddef.h>

/* Bytes that can still be allocated: the smaller of the kernel's MemAvailable and what this process's
 * cgroup and those above it leave (versions 1 and 2; pages of files count as free). SIZE_MAX when
 * neither says. */
size_t memory_available(void);

/* The same from a copy of /proc and /sys/fs/cgroup under a folder; "" is the machine itself. */
size_t memory_available_in(const char *root);

/* Fails with a line that names `what` when bytes exceed what is available. */
bool memory_check(const char *what, size_t bytes, struct error *error);

/* When the system backs memory with huge pages, from a copy of /sys under root ("" is the machine
 * itself): "always", "madvise" (where a program asks for them, as qtop does) or "never". Fails where
 * the system does not say. */
bool memory_huge_pages(const char *root, char mode[16], struct error *error);

/* Gives freed memory back to the system, which an allocator may keep: for when much was freed. */
void memory_give_back(void);

#endif

/* sysfs.h - the PMUs that the kernel describes in /sys/bus/event_source/devices: their type, how their
 * events are encoded, and on which CPUs they are opened (Linux, Documentation/ABI/testing/
 * sysfs-bus-event_source-devices-format and -events). */
#ifndef QTOP_SYSFS_H
#define QTOP_SYSFS_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

enum { SYSFS_TEXT = 512, SYSFS_CONFIGS = 4 };

/* Calls see for the folder of every PMU, in the order of their names, imc_2 before imc_10. root is ""
 * for this machine, else a folder with a copy of its /sys. Returns how many there are. */
typedef void sysfs_fn(const char *folder, void *arg);
size_t sysfs_devices(const char *root, sysfs_fn *see, void *arg);

/* The first line of a file in a folder. False when it is missing, empty or does not fit. */
bool sysfs_text(const char *folder, const char *name, char *out, size_t size);

/* What perf_event_open calls the PMU. False when there is no such number. */
bool sysfs_type(const char *folder, uint32_t *type);

/* The registers of an event that is written in terms ("event=0x4,umask=0x3"), as the PMU's format files
 * place them. Fails on a term without a format file, a malformed format, and a value that is too
 * large. */
bool sysfs_encode(const char *folder, const char *terms, uint64_t config[SYSFS_CONFIGS],
                  struct error *error);

/* How many bytes one count of an event is, by its .scale and .unit files. 0 where it has neither; fails
 * where one is missing or malformed, or the unit is not one of bytes. */
bool sysfs_bytes(const char *folder, const char *event, double *bytes, struct error *error);

/* The numbers of a list like "0,28" or "0-3,8", at most `max`; false when it is malformed or longer. */
bool sysfs_cpus(const char *list, int *out, size_t max, size_t *count);

#endif

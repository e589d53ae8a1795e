/* events_internal.h - what the two halves of events.h share. */
#ifndef QTOP_EVENTS_INTERNAL_H
#define QTOP_EVENTS_INTERNAL_H

#include <perfmon/pfmlib.h>
#include <stdbool.h>
#include <stddef.h>

/* Starts libpfm4 once, from any thread. False where it does not start. */
bool events_ready(void);

/* A PMU of libpfm4 by its number; false where there is none of that number. */
bool events_pmu(int number, pfm_pmu_info_t *info);

/* Writes the names nearest to `name`, separated by commas; "" where there is none. */
void events_nearest(const char *name, char *out, size_t size);

/* The name of a usual event, null beyond the last. */
const char *events_usual_name(size_t index);

#endif

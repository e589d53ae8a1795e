/* events_internal.h - what the files that implement events.h share. */
#ifndef QTOP_EVENTS_INTERNAL_H
#define QTOP_EVENTS_INTERNAL_H

#include <perfmon/pfmlib.h>
#include <stdbool.h>
#include <stddef.h>

/* ---- libpfm4 (events_list.c) ----------------------------------------------------------------- */

/* Starts libpfm4 once, from any thread. False where it does not start. */
bool events_ready(void);

/* A PMU of libpfm4 by its number; false where there is none of that number. */
bool events_pmu(int number, pfm_pmu_info_t *info);

/* Writes the names nearest to `name`, separated by commas; "" where there is none. */
void events_nearest(const char *name, char *out, size_t size);

/* ---- default events (events_default.c) ------------------------------------------------------- */

enum { EVENT_PARTS = 3, EVENT_SPELLINGS = 8, DEFAULT_EVENTS = 12 };

struct event_spelling {
    const char *part[EVENT_PARTS]; /* libpfm4's names, counted beside each other and added */
};

struct default_event {
    const char *name, *description;
    const char *absent; /* why none of the spellings is known */
    struct event_spelling spelling[EVENT_SPELLINGS]; /* the first that this CPU has */
};
extern const struct default_event default_events[DEFAULT_EVENTS];

#endif

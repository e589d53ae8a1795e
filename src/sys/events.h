/* events.h - what can be counted here: events by name, found and encoded with libpfm4, and the
 * default ones that every CPU has under some name. */
#ifndef QTOP_EVENTS_H
#define QTOP_EVENTS_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

enum { EVENT_NAME = 160, EVENT_CODES = 8, EVENT_RAW = 4 };

/* What perf_event_open is asked for. */
struct event_code {
    uint32_t type;
    uint64_t config, config1, config2;
    bool exclude_user, exclude_kernel;
    unsigned pmu;  /* the perf type of the PMU that counts: only codes of the same one share a group */
    unsigned part; /* an event is the sum of its parts. Codes of one part are the same event on the
                      PMUs of a hybrid CPU: a thread is on one of them at a time. */
};

struct perf_event {
    char name[EVENT_NAME]; /* as it was asked for: "cycles", "skl::MEM_LOAD_RETIRED:L3_MISS" */
    const char *description; /* static text */
    size_t codes;
    struct event_code code[EVENT_CODES];
    bool software;     /* the kernel counts it, without a PMU */
    bool in_kernel;    /* happens in the kernel only: user space alone would always count 0 */
    const char *absent; /* why there is no code, static text; null where there is one */
};

/* Finds an event: one of the default names (events_default), else what libpfm4 knows, EVENT[:UMASK...] with
 * or without PMU:: in front, in any case of letters. Without the PMU, it is sought in every core PMU
 * that is present, and in all of them together it is one event. root is "" for this machine, else a
 * folder with a copy of its /sys/bus/event_source/devices: which PMUs a hybrid CPU has.
 * Fails where the name does not exist, with the nearest ones. */
bool event_find(const char *root, const char *name, struct perf_event *out, struct error *error);

/* The default events: software events, which always count, then cycles, instructions, branches, caches,
 * and the cache lines that are filled from memory. Writes at most `max` and returns how many there
 * are; an event that this machine does not have is among them and says why. */
size_t events_default(const char *root, struct perf_event *out, size_t max);

/* The name among the default ones of the event that counts lines filled from memory. */
#define EVENT_FILLS "memory-fills"

struct event_info {
    const char *pmu;         /* libpfm4's name of it: "perf", "skl" */
    const char *name;        /* PMU::EVENT or PMU::EVENT:UMASK: event_find takes it */
    const char *description; /* of the event, or of its unit mask */
};

/* Both texts live as long as the call. */
typedef void event_fn(const struct event_info *info, void *arg);

/* Calls see for every event of the PMUs that are present or, where pmu is not null, of that one, also
 * when it is absent; of those only, where pattern is not null, whose name or description has the
 * pattern, in any case of letters. Returns how many. */
size_t events_list(const char *pmu, const char *pattern, event_fn *see, void *arg);

/* The registers' values of an event in libpfm4's own form, which it also gives for absent PMUs where
 * LIBPFM_ENCODE_INACTIVE is set. At most EVENT_RAW values. */
bool event_raw(const char *name, uint64_t values[EVENT_RAW], size_t *count, struct error *error);

#endif

/* counters.h - a set of chosen events, counted for each thread of a pool and for all of them.
 *
 * Counts are differences between two readings, so that whoever measures sets its own interval. What is
 * not counted is absent and says why: it is never 0. */
#ifndef QTOP_COUNTERS_H
#define QTOP_COUNTERS_H

#include "events.h"
#include "perf.h"

struct counters;

/* The values of all counters at one moment; free with free(). */
struct counts;

/* Opens the events for every thread id, user space alone where counting in the kernel is not permitted.
 * Events of one PMU are counted in groups, each for the same time; `calls` must outlive the result, the
 * events are copied. Null only when memory is short: a counter that did not open says why. */
struct counters *counters_open(const struct perf_event *events, size_t event_count, const pid_t *threads,
                               size_t thread_count, const struct perf_calls *calls);
void counters_close(struct counters *counters);

size_t counters_events(const struct counters *counters);
size_t counters_threads(const struct counters *counters);
const struct perf_event *counters_event(const struct counters *counters, size_t index);

/* The index of the event with that name, SIZE_MAX where it was not chosen. */
size_t counters_find(const struct counters *counters, const char *name);

/* Why an event does not count on any thread, or null. Static text. */
const char *counters_reason(const struct counters *counters, size_t event);

/* Room for a reading, not yet read. Null when memory is short. */
struct counts *counts_new(const struct counters *counters);
void counters_read(const struct counters *counters, struct counts *out);

/* Sets a reading to nothing counted in no time, and adds to such a sum what was counted between two readings:
 * the intervals need not be adjacent. A counter that could not be read once stays absent. */
void counts_clear(struct counts *sum);
void counts_add(struct counts *sum, const struct counts *before, const struct counts *after);

enum { COUNTERS_ALL = -1 }; /* as a thread: all of them together */

struct count {
    struct metric value; /* of the event, in its unit; scaled to the whole time when multiplexed */
    double share;        /* of the time in which it was counted: 1 where nothing was estimated */
    bool user_only;      /* the kernel's part is not in it */
};

/* What one thread, or all, counted between two readings. */
struct count counters_between(const struct counters *counters, const struct counts *before,
                              const struct counts *after, size_t event, int thread);

/* ---- derived figures, absent with the reason of what they need ------------------------------- */

/* Instructions a cycle, from the default events "instructions" and "cycles". */
struct metric counters_ipc(const struct counters *counters, const struct counts *before,
                           const struct counts *after, int thread);

/* Bytes that came from memory: EVENT_FILLS times the bytes of a cache line, 0 where that is unknown. */
struct metric counters_memory_bytes(const struct counters *counters, const struct counts *before,
                                    const struct counts *after, int thread, size_t line_bytes);

/* A count a token. */
struct metric counters_per_token(struct metric count, size_t tokens);

/* The bytes of a cache line on this machine, 0 where the system does not say. */
size_t counters_line_bytes(void);

#endif

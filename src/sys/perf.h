/* perf.h - the four system calls of perf_event as one table, and what their failures mean.
 *
 * Everything that counts goes through a table, so that tests can make every failure and every value. */
#ifndef QTOP_PERF_H
#define QTOP_PERF_H

#include "base/metric.h"

#include <linux/perf_event.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Each returns what the system call of its name returns: -1 with errno set when it fails. */
struct perf_calls {
    int (*open)(struct perf_event_attr *attr, pid_t thread, int cpu, int group, unsigned long flags);
    int (*ioctl)(int descriptor, unsigned long request, unsigned long argument);
    ssize_t (*read)(int descriptor, void *buffer, size_t size);
    int (*close)(int descriptor);
};

/* The kernel's own. */
extern const struct perf_calls perf_system;

/* What a counter covers: it decides which permission would help. */
enum perf_scope { PERF_THREAD, PERF_SYSTEM_WIDE };

/* Why nothing is counted, for an errno value of open, ioctl or read: what would help, and the errno's
 * name. Static text, never null. */
const char *perf_reason(int number, enum perf_scope scope);

/* Opens an event, closed on exec, trying again when a signal interrupts. Where counting a thread in the
 * kernel is refused, the event counts in user space, and *user_only becomes true; where it is true
 * already, only that is tried. What attr excludes itself stays as it is, and so does an event of a
 * whole CPU (thread -1). Returns the descriptor, or -1 with errno set. */
int perf_open(const struct perf_calls *calls, struct perf_event_attr *attr, pid_t thread, int cpu,
              int group, bool *user_only);

/* A counter's value, with times in nanoseconds. */
struct perf_reading {
    uint64_t value;
    uint64_t enabled; /* time in which it was to count */
    uint64_t running; /* time in which it did: less, when the kernel multiplexed */
};

/* What was counted between two readings, not scaled. Counters that wrap at 2^64 are followed. */
struct perf_reading perf_difference(struct perf_reading before, struct perf_reading after);

/* False when a difference is of counters that went backwards. */
bool perf_plausible(struct perf_reading difference);

/* A difference scaled to the whole time. Absent, saying why, when the counter never counted, although
 * it was to, and when it went backwards. Nothing is what a thread counts that did not run. */
struct metric perf_scale(struct perf_reading difference);

#endif

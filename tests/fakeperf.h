/* fakeperf.h - a kernel's perf_event made up for the tests: every refusal, every value. */
#ifndef QTOP_TESTS_FAKEPERF_H
#define QTOP_TESTS_FAKEPERF_H

#include "sys/perf.h"

enum { FAKE_EVENTS = 256, FAKE_FIRST = 5 }; /* descriptors are FAKE_FIRST and up */

struct fake_event {
    struct perf_event_attr attr;
    pid_t thread;
    int cpu, group; /* the leader's descriptor, or -1 */
    unsigned long flags;
    bool open, enabled;
    uint64_t value, time_enabled, time_running; /* times are the leader's */
};

struct fake_perf {
    struct fake_event event[FAKE_EVENTS]; /* in the order of opening */
    size_t count, attempts, still_open;
    /* The errno with which an opening is refused, 0 to let it; null lets all. */
    int (*refuse)(const struct perf_event_attr *attr, pid_t thread, int cpu, int group);
    int read_failure, ioctl_failure; /* errno */
    ssize_t read_length;             /* instead of the right one; -1: the right one */
};

extern struct fake_perf fake;
extern const struct perf_calls fake_calls;

/* Forgets everything. */
void fake_reset(void);

/* Adds to an event's value and to its times. */
void fake_advance(size_t event, uint64_t value, uint64_t enabled, uint64_t running);

#endif

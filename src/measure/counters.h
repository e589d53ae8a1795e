/* counters.h - hardware events through libpfm4 and perf_event, or the reason why there are none. */
#ifndef QTOP_COUNTERS_H
#define QTOP_COUNTERS_H

#include <stdint.h>

struct counters;

/* Opens the event that counts last-level cache misses in user space, for the calling thread and all
 * that are started from it later.
 * Never null unless memory is short; a counter that did not open says why. */
struct counters *counters_open(void);
void counters_close(struct counters *counters);

/* Why nothing is counted, or null. Static text. */
const char *counters_reason(const struct counters *counters);

/* Last-level misses since opening, scaled when the kernel multiplexed; 0 when nothing is counted:
 * ask counters_reason first. */
double counters_misses(const struct counters *counters);

#endif

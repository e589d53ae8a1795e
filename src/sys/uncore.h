/* uncore.h - what the memory controllers moved, for the whole machine.
 *
 * Three sources, the first that counts: PMUs that the kernel describes in sysfs (Intel's controllers and
 * their free-running counters, AMD's UMC and data fabric, Arm's CMN), Intel's controllers as libpfm4
 * encodes them, and resctrl. Everything that runs on the machine is in the count. */
#ifndef QTOP_UNCORE_H
#define QTOP_UNCORE_H

#include "base/error.h"
#include "perf.h"

struct uncore;

/* The values of all counters at one moment; free with free(). */
struct uncore_counts;

enum traffic { TRAFFIC_READ, TRAFFIC_WRITE, TRAFFIC_ALL };

/* Opens one descriptor for every PMU, event and CPU of the PMU's cpumask. root is "" for this machine,
 * else a folder with a copy of its /sys; libpfm4 is asked for this machine only. Null only when memory is
 * short; where nothing counts, uncore_reason says why. Both arguments outlive it. */
struct uncore *uncore_open(const char *root, const struct perf_calls *calls);
void uncore_close(struct uncore *uncore);

/* Why nothing is counted, or null. `uncore_detail` has the whole line, with the file that is to blame. */
const char *uncore_reason(const struct uncore *uncore);
const char *uncore_detail(const struct uncore *uncore);

/* What is counted, to be shown beside the number: "memory controllers (uncore_imc: cas_count_read,
 * cas_count_write), system-wide". "" where nothing is. */
const char *uncore_label(const struct uncore *uncore);

/* How many descriptors are open. */
size_t uncore_descriptors(const struct uncore *uncore);

/* Room for a reading, not yet read. Null when memory is short. */
struct uncore_counts *uncore_counts_new(const struct uncore *uncore);
void uncore_read(const struct uncore *uncore, struct uncore_counts *out);

/* Bytes between two readings, scaled where the kernel multiplexed. Absent, saying why, where nothing is
 * counted, one of the counters could not be read, or reads and writes are not told apart. */
struct metric uncore_bytes(const struct uncore *uncore, const struct uncore_counts *before,
                           const struct uncore_counts *after, enum traffic traffic);

#endif

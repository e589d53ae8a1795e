/* resctrl.h - memory traffic as the kernel's resctrl counts it (Linux, Documentation/arch/x86/resctrl.rst). */
#ifndef QTOP_RESCTRL_H
#define QTOP_RESCTRL_H

#include "base/metric.h"

/* Whether a resctrl with a monitor of memory bandwidth is mounted. root is "" for this machine, else a
 * folder with a copy of its /sys/fs/resctrl. */
bool resctrl_present(const char *root);

/* Bytes of all memory traffic, reads and writes, since some time ago: mbm_total_bytes of every last-level
 * cache, added. System-wide: of all that runs in resctrl's default group. Absent, saying why, when one
 * of them is "Unavailable" or no number. */
struct metric resctrl_bytes(const char *root);

#endif

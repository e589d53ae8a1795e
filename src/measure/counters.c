#include "counters.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <perfmon/pfmlib_perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct counters {
    int descriptor;
    const char *reason;
};

static const char *reason_of(int number)
{
    switch (number) {
    case ENOENT:
    case ENODEV:
    case EOPNOTSUPP:
        return "no PMU (a virtual machine?)";
    case EACCES:
    case EPERM:
        return "not permitted: lower kernel.perf_event_paranoid or grant CAP_PERFMON";
    case ENOSYS:
        return "perf_event_open is blocked (ENOSYS)";
    default:
        return "perf_event_open failed";
    }
}

/* User space only: that is what the kernels do, and what an ordinary user may count. */
static int open_event(const char *name, const char **reason)
{
    struct perf_event_attr attr = {.size = sizeof attr};
    pfm_perf_encode_arg_t arg = {.attr = &attr, .size = sizeof arg};
    if (pfm_initialize() != PFM_SUCCESS ||
        pfm_get_os_event_encoding(name, PFM_PLM3, PFM_OS_PERF_EVENT_EXT, &arg) != PFM_SUCCESS) {
        *reason = "libpfm4 does not know the event here";
        return -1;
    }
    attr.exclude_kernel = 1;
    attr.inherit = 1;
    attr.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING;
    int fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0)
        *reason = reason_of(errno);
    return fd;
}

struct counters *counters_open(void)
{
    struct counters *c = calloc(1, sizeof *c);
    if (c)
        c->descriptor = open_event("PERF_COUNT_HW_CACHE_MISSES", &c->reason);
    return c;
}

void counters_close(struct counters *c)
{
    if (c && c->descriptor >= 0)
        close(c->descriptor);
    free(c);
}

const char *counters_reason(const struct counters *c)
{
    return c ? c->reason : "not enough memory";
}

double counters_misses(const struct counters *c)
{
    struct {
        uint64_t value, enabled, running;
    } r;
    if (!c || c->descriptor < 0 || read(c->descriptor, &r, sizeof r) != sizeof r || r.running == 0)
        return 0;
    return (double)r.value * ((double)r.enabled / (double)r.running);
}

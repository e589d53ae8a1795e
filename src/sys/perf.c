#include "perf.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- the system ------------------------------------------------------------------------------ */

static int system_open(struct perf_event_attr *attr, pid_t thread, int cpu, int group,
                       unsigned long flags)
{
    return (int)syscall(SYS_perf_event_open, attr, thread, cpu, group, flags);
}

static int system_ioctl(int descriptor, unsigned long request, unsigned long argument)
{
    return ioctl(descriptor, request, argument);
}

const struct perf_calls perf_system = {
    .open = system_open,
    .ioctl = system_ioctl,
    .read = read,
    .close = close,
};

/* ---- failures -------------------------------------------------------------------------------- */

struct failure {
    int number;
    const char *thread, *system_wide; /* the latter null where it is the same */
};

static const struct failure failures[] = {
    {EACCES,
     "not permitted (EACCES): set kernel.perf_event_paranoid to 2 or less, or grant CAP_PERFMON",
     "not permitted (EACCES): counting system-wide needs kernel.perf_event_paranoid at 0 or less, "
     "or CAP_PERFMON"},
    {EPERM,
     "blocked (EPERM): a seccomp filter, a container's usually, or a missing CAP_PERFMON",
     NULL},
    {ENOSYS, "blocked (ENOSYS): this kernel has no perf_event_open, or a seccomp filter hides it", NULL},
    {ENOENT, "no PMU for it (ENOENT): a virtual machine?", NULL},
    {ENODEV, "no PMU for it (ENODEV): this CPU does not count it", NULL},
    {EOPNOTSUPP, "blocked (EOPNOTSUPP): the PMU does not support this way of counting", NULL},
    {ENXIO, "blocked (ENXIO): the kernel knows no such PMU; its driver may not be loaded", NULL},
    {EINVAL, "blocked (EINVAL): the kernel refuses the event's encoding or group", NULL},
    {EBUSY, "busy (EBUSY): another program holds the PMU; end it to count", NULL},
    {ENOSPC, "no free counter (ENOSPC): choose fewer events", NULL},
    {EMFILE, "too many open files (EMFILE): raise the limit with ulimit -n", NULL},
    {ENFILE, "too many open files on the machine (ENFILE): raise fs.file-max", NULL},
    {ENOMEM, "not enough memory (ENOMEM)", NULL},
    {ESRCH, "the thread has ended (ESRCH)", NULL},
    {E2BIG, "blocked (E2BIG): the kernel is older than this event", NULL},
};

const char *perf_reason(int number, enum perf_scope scope)
{
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++)
        if (failures[i].number == number)
            return scope == PERF_SYSTEM_WIDE && failures[i].system_wide ? failures[i].system_wide
                                                                        : failures[i].thread;
#ifdef __GLIBC__
    const char *name = strerrorname_np(number);
    if (name)
        return name;
#endif
    return "the kernel gave an error without a name";
}

/* ---- opening --------------------------------------------------------------------------------- */

static int open_again(const struct perf_calls *calls, struct perf_event_attr *attr, pid_t thread,
                      int cpu, int group)
{
    int fd;
    do
        fd = calls->open(attr, thread, cpu, group, PERF_FLAG_FD_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    return fd;
}

int perf_open(const struct perf_calls *calls, struct perf_event_attr *attr, pid_t thread, int cpu,
              int group, bool *user_only)
{
    attr->size = sizeof *attr;
    bool whole = !attr->exclude_kernel && !attr->exclude_user && thread >= 0;
    if (whole && *user_only)
        attr->exclude_kernel = attr->exclude_hv = 1;
    int fd = open_again(calls, attr, thread, cpu, group);
    /* Some architectures say EPERM for what they cannot exclude or include. */
    if (fd >= 0 || !whole || *user_only || (errno != EACCES && errno != EPERM))
        return fd;
    attr->exclude_kernel = attr->exclude_hv = 1;
    fd = open_again(calls, attr, thread, cpu, group);
    *user_only = fd >= 0;
    return fd;
}

/* ---- values ---------------------------------------------------------------------------------- */

struct perf_reading perf_difference(struct perf_reading before, struct perf_reading after)
{
    return (struct perf_reading){after.value - before.value, after.enabled - before.enabled,
                                 after.running - before.running};
}

/* No counter counts so much between two readings: it was less before. */
static bool backwards(uint64_t difference)
{
    return difference > UINT64_MAX / 2;
}

bool perf_plausible(struct perf_reading d)
{
    return !backwards(d.value) && !backwards(d.enabled) && !backwards(d.running);
}

struct metric perf_scale(struct perf_reading d)
{
    if (!perf_plausible(d))
        return metric_absent("the counter went backwards");
    if (d.running == 0 && d.enabled > 0)
        return metric_absent("never got a counter: choose fewer events, or set kernel.nmi_watchdog to 0");
    if (d.running == 0)
        return metric_value(0);
    double scale = d.enabled > d.running ? (double)d.enabled / (double)d.running : 1;
    return metric_value((double)d.value * scale);
}

#include "fakeperf.h"

#include <errno.h>
#include <string.h>

struct fake_perf fake;

void fake_reset(void)
{
    memset(&fake, 0, sizeof fake);
    fake.read_length = -1;
}

void fake_advance(size_t event, uint64_t value, uint64_t enabled, uint64_t running)
{
    fake.event[event].value += value;
    fake.event[event].time_enabled += enabled;
    fake.event[event].time_running += running;
}

static int fake_open(struct perf_event_attr *attr, pid_t thread, int cpu, int group,
                     unsigned long flags)
{
    fake.attempts++;
    int failure = fake.refuse ? fake.refuse(attr, thread, cpu, group) : 0;
    if (fake.count == FAKE_EVENTS)
        failure = EMFILE;
    if (failure) {
        errno = failure;
        return -1;
    }
    fake.event[fake.count] = (struct fake_event){*attr, thread, cpu, group, flags, true,
                                                 !attr->disabled, 0, 0, 0};
    fake.still_open++;
    return FAKE_FIRST + (int)fake.count++;
}

static struct fake_event *find(int descriptor)
{
    size_t i = (size_t)(descriptor - FAKE_FIRST);
    return descriptor >= FAKE_FIRST && i < fake.count && fake.event[i].open ? &fake.event[i] : NULL;
}

static int fake_ioctl(int descriptor, unsigned long request, unsigned long argument)
{
    struct fake_event *e = find(descriptor);
    errno = !e ? EBADF : fake.ioctl_failure;
    if (errno)
        return -1;
    if (request == PERF_EVENT_IOC_ENABLE)
        for (size_t i = 0; i < fake.count; i++)
            fake.event[i].enabled |= &fake.event[i] == e ||
                                     (argument == PERF_IOC_FLAG_GROUP && fake.event[i].group == descriptor);
    return 0;
}

static size_t read_whole_group(int descriptor, const struct fake_event *leader, uint64_t *out)
{
    size_t n = 3;
    out[1] = leader->time_enabled;
    out[2] = leader->time_running;
    out[n++] = leader->value;
    for (size_t i = 0; i < fake.count; i++)
        if (fake.event[i].open && fake.event[i].group == descriptor)
            out[n++] = fake.event[i].value;
    out[0] = n - 3;
    return n;
}

static ssize_t fake_read(int descriptor, void *buffer, size_t size)
{
    uint64_t out[FAKE_EVENTS + 3];
    const struct fake_event *e = find(descriptor);
    errno = !e ? EBADF : fake.read_failure;
    if (errno)
        return -1;
    size_t n = 3;
    if (e->attr.read_format & PERF_FORMAT_GROUP) {
        n = read_whole_group(descriptor, e, out);
    } else {
        out[0] = e->value;
        out[1] = e->time_enabled;
        out[2] = e->time_running;
    }
    size_t bytes = n * sizeof *out;
    if (bytes > size) {
        errno = ENOSPC;
        return -1;
    }
    memcpy(buffer, out, bytes);
    return fake.read_length >= 0 ? fake.read_length : (ssize_t)bytes;
}

static int fake_close(int descriptor)
{
    struct fake_event *e = find(descriptor);
    if (!e) {
        errno = EBADF;
        return -1;
    }
    e->open = false;
    fake.still_open--;
    return 0;
}

const struct perf_calls fake_calls = {fake_open, fake_ioctl, fake_read, fake_close};

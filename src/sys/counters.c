#include "counters.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* Events a group: more than that do not fit on every CPU's counters at once, and a group that does not
 * fit never counts. Descriptors that are left for the rest of the program. */
enum { GROUP_EVENTS = 4, DESCRIPTORS_LEFT = 64 };

static const char no_memory[] = "not enough memory";

/* One code of one event on one thread. */
struct slot {
    int fd;             /* -1: not counted, for this reason */
    const char *reason; /* static text */
    bool user_only;
};

/* Slots that the kernel counts together; the first one leads. */
struct group {
    unsigned pmu;
    size_t thread, count;
    size_t slot[GROUP_EVENTS];
};

struct counters {
    const struct perf_calls *calls;
    struct perf_event *events;
    size_t event_count, thread_count;
    size_t codes;         /* of all events */
    struct slot *slots;   /* threads × codes */
    struct group *groups; /* at most as many as slots */
    size_t group_count;
    bool user_only;       /* counting in the kernel was refused once */
    uint64_t max_fd;
};

struct counts {
    size_t count;
    struct slot_reading {
        struct perf_reading reading;
        const char *reason; /* why there is none; null where there is one */
    } slots[]; /* threads × codes */
};

/* Where an event's slots of one thread begin. */
static size_t first_slot(const struct counters *c, size_t event, size_t thread)
{
    size_t at = thread * c->codes;
    for (size_t e = 0; e < event; e++)
        at += c->events[e].codes;
    return at;
}

/* ---- opening --------------------------------------------------------------------------------- */

static int open_slot(struct counters *c, struct slot *s, const struct event_code *code, pid_t thread,
                     int leader)
{
    struct perf_event_attr attr = {
        .type = code->type,
        .config = code->config,
        .config1 = code->config1,
        .config2 = code->config2,
        .exclude_user = code->exclude_user,
        .exclude_kernel = code->exclude_kernel,
        .disabled = leader < 0,
        .read_format = PERF_FORMAT_GROUP | PERF_FORMAT_TOTAL_TIME_ENABLED |
                       PERF_FORMAT_TOTAL_TIME_RUNNING,
    };
    s->user_only = c->user_only;
    s->fd = perf_open(c->calls, &attr, thread, -1, leader, &s->user_only);
    if (s->fd >= 0 && (uint64_t)s->fd >= c->max_fd) {
        c->calls->close(s->fd);
        s->fd = -1;
        errno = EMFILE;
    }
    return s->fd >= 0 ? 0 : errno;
}

/* The group of this thread and PMU that has room, or null. */
static struct group *find_group(struct counters *c, size_t thread, unsigned pmu)
{
    for (size_t g = c->group_count; g > 0 && c->groups[g - 1].thread == thread; g--)
        if (c->groups[g - 1].pmu == pmu)
            return c->groups[g - 1].count < GROUP_EVENTS ? &c->groups[g - 1] : NULL;
    return NULL;
}

static void join(struct counters *c, struct group *g, size_t thread, unsigned pmu, size_t slot)
{
    if (!g) {
        g = &c->groups[c->group_count++];
        *g = (struct group){.pmu = pmu, .thread = thread};
    }
    g->slot[g->count++] = slot;
}

/* What happens in the kernel only must not be counted in user space alone: that is 0. */
static bool drop_in_kernel(struct counters *c, struct slot *s, const struct perf_event *e)
{
    if (!e->in_kernel || !s->user_only)
        return false;
    c->calls->close(s->fd);
    s->fd = -1;
    s->reason = "happens in the kernel, which may not be counted: set kernel.perf_event_paranoid to 1 "
                "or less, or grant CAP_PERFMON";
    return true;
}

/* A group that is full for the kernel refuses with EINVAL: the event then leads the next one. */
static void open_code(struct counters *c, const struct perf_event *e, const struct event_code *code,
                      size_t slot, size_t thread, pid_t id)
{
    struct slot *s = &c->slots[slot];
    struct group *g = find_group(c, thread, code->pmu);
    int failure = open_slot(c, s, code, id, g ? c->slots[g->slot[0]].fd : -1);
    if (g && (failure == EINVAL || failure == ENOSPC)) {
        g = NULL;
        failure = open_slot(c, s, code, id, -1);
    }
    if (failure) {
        s->reason = perf_reason(failure, PERF_THREAD);
        return;
    }
    if (drop_in_kernel(c, s, e))
        return;
    c->user_only |= s->user_only;
    join(c, g, thread, code->pmu, slot);
}

static void open_thread(struct counters *c, size_t thread, pid_t id)
{
    size_t slot = thread * c->codes;
    for (size_t e = 0; e < c->event_count; e++)
        for (size_t k = 0; k < c->events[e].codes; k++)
            open_code(c, &c->events[e], &c->events[e].code[k], slot++, thread, id);
}

/* Groups begin to count as wholes. */
static void enable(struct counters *c, const struct group *g)
{
    int leader = c->slots[g->slot[0]].fd;
    if (c->calls->ioctl(leader, PERF_EVENT_IOC_ENABLE, PERF_IOC_FLAG_GROUP) == 0)
        return;
    for (size_t i = 0; i < g->count; i++)
        c->slots[g->slot[i]].reason = perf_reason(errno, PERF_THREAD);
}

static bool allocate(struct counters *c, const struct perf_event *events, size_t event_count)
{
    for (size_t e = 0; e < event_count; e++)
        c->codes += events[e].codes;
    size_t slots = c->codes * c->thread_count;
    c->event_count = event_count;
    c->events = calloc(event_count + 1, sizeof *c->events);
    c->slots = calloc(slots + 1, sizeof *c->slots);
    c->groups = calloc(slots + 1, sizeof *c->groups);
    if (!c->events || !c->slots || !c->groups)
        return false;
    for (size_t e = 0; e < event_count; e++) /* of none, there may be no array */
        c->events[e] = events[e];
    for (size_t i = 0; i < slots; i++)
        c->slots[i].fd = -1;
    return true;
}

static uint64_t max_descriptor(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return INT_MAX;
    return limit.rlim_cur > DESCRIPTORS_LEFT ? limit.rlim_cur - DESCRIPTORS_LEFT : 0;
}

struct counters *counters_open(const struct perf_event *events, size_t event_count, const pid_t *threads,
                               size_t thread_count, const struct perf_calls *calls)
{
    struct counters *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->calls = calls;
    c->thread_count = thread_count;
    c->max_fd = max_descriptor();
    if (!allocate(c, events, event_count)) {
        counters_close(c);
        return NULL;
    }
    for (size_t t = 0; t < thread_count; t++)
        open_thread(c, t, threads[t]);
    for (size_t g = 0; g < c->group_count; g++)
        enable(c, &c->groups[g]);
    return c;
}

void counters_close(struct counters *c)
{
    if (!c)
        return;
    for (size_t i = c->slots ? c->codes * c->thread_count : 0; i > 0; i--)
        if (c->slots[i - 1].fd >= 0)
            c->calls->close(c->slots[i - 1].fd);
    free(c->events);
    free(c->slots);
    free(c->groups);
    free(c);
}

/* ---- what is counted ------------------------------------------------------------------------- */

size_t counters_events(const struct counters *c)
{
    return c ? c->event_count : 0;
}

size_t counters_threads(const struct counters *c)
{
    return c ? c->thread_count : 0;
}

const struct perf_event *counters_event(const struct counters *c, size_t index)
{
    return &c->events[index];
}

size_t counters_find(const struct counters *c, const char *name)
{
    for (size_t e = 0; e < counters_events(c); e++)
        if (strcmp(c->events[e].name, name) == 0)
            return e;
    return SIZE_MAX;
}

const char *counters_reason(const struct counters *c, size_t event)
{
    if (!c)
        return no_memory;
    if (event >= c->event_count)
        return "the event was not chosen";
    const struct perf_event *e = &c->events[event];
    if (e->codes == 0)
        return e->absent ? e->absent : "the event has no encoding";
    for (size_t t = 0; t < c->thread_count; t++)
        for (size_t k = 0, first = first_slot(c, event, t); k < e->codes; k++)
            if (c->slots[first + k].reason)
                return c->slots[first + k].reason;
    return c->thread_count ? NULL : "there are no threads to count";
}

/* ---- reading --------------------------------------------------------------------------------- */

struct counts *counts_new(const struct counters *c)
{
    size_t n = c ? c->codes * c->thread_count : 0;
    struct counts *out = calloc(1, sizeof *out + n * sizeof *out->slots);
    if (!out)
        return NULL;
    out->count = n;
    for (size_t i = 0; i < n; i++)
        out->slots[i].reason = "not read yet";
    return out;
}

/* The kernel's layout of a group: how many values, both times, the values in the order of joining. */
static void read_group(const struct counters *c, const struct group *g, struct counts *out)
{
    struct {
        uint64_t count, enabled, running, value[GROUP_EVENTS];
    } r;
    const char *reason = NULL;
    ssize_t expected = (ssize_t)((3 + g->count) * sizeof(uint64_t));
    ssize_t got = c->calls->read(c->slots[g->slot[0]].fd, &r, sizeof r);
    if (got < 0)
        reason = perf_reason(errno, PERF_THREAD);
    else if (got == 0)
        reason = "the kernel stopped counting: another program took the counter";
    else if (got != expected || r.count != g->count)
        reason = "the kernel's answer has another length than expected";
    for (size_t i = 0; i < g->count; i++) {
        struct slot_reading *s = &out->slots[g->slot[i]];
        s->reason = reason;
        if (!reason)
            s->reading = (struct perf_reading){r.value[i], r.enabled, r.running};
    }
}

void counters_read(const struct counters *c, struct counts *out)
{
    for (size_t g = 0; c && out && g < c->group_count; g++)
        read_group(c, &c->groups[g], out);
}

void counts_clear(struct counts *sum)
{
    for (size_t i = 0; sum && i < sum->count; i++)
        sum->slots[i] = (struct slot_reading){0};
}

/* A difference that is not possible is kept as it is, so that it is absent and says why. */
void counts_add(struct counts *sum, const struct counts *before, const struct counts *after)
{
    for (size_t i = 0; sum && before && after && i < sum->count; i++) {
        struct slot_reading *s = &sum->slots[i];
        const struct slot_reading *a = &before->slots[i], *b = &after->slots[i];
        struct perf_reading d = perf_difference(a->reading, b->reading);
        s->reason = s->reason ? s->reason : a->reason ? a->reason : b->reason;
        if (!s->reason && !perf_plausible(d))
            s->reason = perf_scale(d).reason;
        if (s->reason)
            continue;
        s->reading.value += d.value;
        s->reading.enabled += d.enabled;
        s->reading.running += d.running;
    }
}

/* ---- differences ----------------------------------------------------------------------------- */

/* Adds to *sum what one thread counted of one part of an event. The codes of a part are the same event
 * on different PMUs, of which the thread was on one at a time: their times add up, too. Null, or why
 * there is no count. */
static const char *add_part(const struct counters *c, const struct counts *before,
                            const struct counts *after, const struct perf_event *e, size_t first,
                            unsigned part, struct perf_reading *sum)
{
    uint64_t enabled = 0;
    for (size_t k = 0; k < e->codes; k++) {
        const struct slot *slot = &c->slots[first + k];
        const struct slot_reading *a = &before->slots[first + k], *b = &after->slots[first + k];
        if (e->code[k].part != part)
            continue;
        if (slot->reason || a->reason || b->reason)
            return slot->reason ? slot->reason : a->reason ? a->reason : b->reason;
        struct perf_reading d = perf_difference(a->reading, b->reading);
        if (!perf_plausible(d))
            return perf_scale(d).reason;
        sum->value += d.value;
        sum->running += d.running;
        enabled = d.enabled > enabled ? d.enabled : enabled;
    }
    sum->enabled += enabled;
    return NULL;
}

/* Adds one thread's count of an event, all parts. */
static const char *add_thread(const struct counters *c, const struct counts *before,
                              const struct counts *after, size_t event, size_t thread,
                              struct count *total, struct perf_reading *times)
{
    const struct perf_event *e = &c->events[event];
    size_t first = first_slot(c, event, thread);
    for (unsigned part = 0; part <= e->code[e->codes - 1].part; part++) {
        struct perf_reading sum = {0};
        const char *reason = add_part(c, before, after, e, first, part, &sum);
        struct metric m = reason ? metric_absent(reason) : perf_scale(sum);
        if (!m.valid)
            return m.reason;
        total->value.value += m.value;
        times->enabled += sum.enabled;
        times->running += sum.running < sum.enabled ? sum.running : sum.enabled;
    }
    for (size_t k = 0; k < e->codes; k++)
        total->user_only |= c->slots[first + k].user_only;
    return NULL;
}

struct count counters_between(const struct counters *c, const struct counts *before,
                              const struct counts *after, size_t event, int thread)
{
    struct count total = {.value = metric_value(0), .share = 1};
    struct perf_reading times = {0};
    bool all = thread == COUNTERS_ALL, known = c && event < c->event_count && c->events[event].codes;
    size_t begin = all ? 0 : (size_t)thread, end = all ? counters_threads(c) : begin + 1;
    if (!known || begin >= end || end > c->thread_count)
        return (struct count){metric_absent(known ? "no such thread" : counters_reason(c, event)), 0, false};
    if (!before || !after)
        return (struct count){metric_absent(no_memory), 0, false};
    for (size_t t = begin; t < end; t++) {
        const char *reason = add_thread(c, before, after, event, t, &total, &times);
        if (reason)
            return (struct count){metric_absent(reason), 0, total.user_only};
    }
    if (times.enabled > 0)
        total.share = (double)times.running / (double)times.enabled;
    return total;
}

/* ---- derived --------------------------------------------------------------------------------- */

static struct metric by_name(const struct counters *c, const struct counts *before,
                             const struct counts *after, const char *name, int thread)
{
    return counters_between(c, before, after, counters_find(c, name), thread).value;
}

struct metric counters_ipc(const struct counters *c, const struct counts *before,
                           const struct counts *after, int thread)
{
    struct metric instructions = by_name(c, before, after, "instructions", thread);
    struct metric cycles = by_name(c, before, after, "cycles", thread);
    if (!instructions.valid || !cycles.valid)
        return instructions.valid ? cycles : instructions;
    return cycles.value > 0 ? metric_value(instructions.value / cycles.value)
                            : metric_absent("no cycles were counted");
}

struct metric counters_memory_bytes(const struct counters *c, const struct counts *before,
                                    const struct counts *after, int thread, size_t line_bytes)
{
    struct metric fills = by_name(c, before, after, EVENT_FILLS, thread);
    if (fills.valid && line_bytes == 0)
        return metric_absent("the size of a cache line is unknown");
    return fills.valid ? metric_value(fills.value * (double)line_bytes) : fills;
}

struct metric counters_per_token(struct metric count, size_t tokens)
{
    if (count.valid && tokens == 0)
        return metric_absent("no tokens were generated");
    return count.valid ? metric_value(count.value / (double)tokens) : count;
}

size_t counters_line_bytes(void)
{
    unsigned long bytes = 0;
    long known = sysconf(_SC_LEVEL1_DCACHE_LINESIZE);
    if (known > 0)
        return (size_t)known;
    FILE *f = fopen("/sys/devices/system/cpu/cpu0/cache/index0/coherency_line_size", "re");
    if (f && fscanf(f, "%4lu", &bytes) != 1)
        bytes = 0;
    if (f)
        fclose(f);
    return bytes;
}

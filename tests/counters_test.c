/* Counters: groups, permissions, multiplexing and every failure on a made-up kernel; the encodings of
 * events; software counters on this machine. */
#include "sys/pool.h"
#include "base/clock.h"
#include "sys/counters.h"
#include "fakeperf.h"
#include "support.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- what is counted in these tests ----------------------------------------------------------- */

enum { EVENTS = 8, THREADS = 2 };
static const pid_t ids[THREADS] = {71, 72};

static struct perf_event one_code(const char *name, uint32_t type, uint64_t config)
{
    struct perf_event e = {.codes = 1, .description = ""};
    snprintf(e.name, sizeof e.name, "%s", name);
    e.code[0] = (struct event_code){.type = type, .config = config, .pmu = type};
    e.software = type == PERF_TYPE_SOFTWARE;
    e.in_kernel = e.software && config == PERF_COUNT_SW_CONTEXT_SWITCHES;
    return e;
}

static struct perf_event core_event(const char *name, uint64_t config)
{
    return one_code(name, PERF_TYPE_RAW, config);
}

/* Counters with a reading before and one after. */
struct run {
    struct counters *c;
    struct counts *before, *after;
};

static struct run begin(const struct perf_event *events, size_t count, size_t threads)
{
    struct run r = {.c = counters_open(events, count, ids, threads, &fake_calls)};
    assert_non_null(r.c);
    r.before = counts_new(r.c);
    r.after = counts_new(r.c);
    counters_read(r.c, r.before);
    return r;
}

static struct count finish(struct run *r, size_t event, int thread)
{
    counters_read(r->c, r->after);
    return counters_between(r->c, r->before, r->after, event, thread);
}

static void end(struct run *r)
{
    counters_close(r->c);
    free(r->before);
    free(r->after);
    assert_int_equal(fake.still_open, 0);
}

static void expect(struct count c, double value, double share)
{
    assert_true(c.value.valid);
    assert_true(fabs(c.value.value - value) <= 1e-12 * value);
    assert_true(fabs(c.share - share) <= 1e-12);
}

static void expect_absent(struct metric m, const char *word)
{
    assert_false(m.valid);
    assert_true(m.value == 0);
    assert_non_null(m.reason);
    if (!strstr(m.reason, word))
        fail_msg("'%s' does not say '%s'", m.reason, word);
}

static int set_up(void **state)
{
    (void)state;
    fake_reset();
    return 0;
}

/* ---- opening --------------------------------------------------------------------------------- */

static void test_groups(void **state)
{
    (void)state;
    struct perf_event events[EVENTS];
    for (uint64_t i = 0; i < EVENTS; i++) /* 1 software event, 7 of the core PMU */
        events[i] = i == 2 ? one_code("clock", PERF_TYPE_SOFTWARE, 1) : core_event("core", i);
    struct run r = begin(events, EVENTS, THREADS);
    assert_int_equal(fake.count, EVENTS * THREADS);
    size_t leaders = 0, members[FAKE_FIRST + FAKE_EVENTS] = {0};
    for (size_t i = 0; i < fake.count; i++) {
        const struct fake_event *e = &fake.event[i];
        bool leads = e->group < 0;
        leaders += leads;
        assert_int_equal(e->thread, ids[i / EVENTS]);
        assert_int_equal(e->cpu, -1);
        assert_int_equal(e->attr.size, sizeof e->attr);
        assert_int_equal(e->attr.disabled, leads);
        assert_false(e->attr.inherit || e->attr.exclude_kernel);
        assert_int_equal(e->flags, PERF_FLAG_FD_CLOEXEC);
        assert_int_equal(e->attr.read_format, PERF_FORMAT_GROUP | PERF_FORMAT_TOTAL_TIME_ENABLED |
                                                  PERF_FORMAT_TOTAL_TIME_RUNNING);
        assert_true(e->enabled);
        if (leads)
            continue;
        const struct fake_event *leader = &fake.event[e->group - FAKE_FIRST];
        assert_true(leader->group < 0);
        assert_int_equal(leader->thread, e->thread);
        assert_int_equal(leader->attr.type, e->attr.type);
        assert_true(++members[e->group] <= 3); /* and the leader */
    }
    assert_int_equal(leaders, 3 * THREADS);
    end(&r);
}

/* Each value comes back to its own event and thread. */
static void test_values_find_their_events(void **state)
{
    (void)state;
    struct perf_event events[EVENTS];
    for (uint64_t i = 0; i < EVENTS; i++)
        events[i] = i % 3 ? core_event("core", i) : one_code("clock", PERF_TYPE_SOFTWARE, i);
    struct run r = begin(events, EVENTS, THREADS);
    for (size_t i = 0; i < fake.count; i++)
        fake_advance(i, 1000 + i, 7, 7);
    for (size_t e = 0; e < EVENTS; e++) {
        for (size_t t = 0; t < THREADS; t++)
            expect(finish(&r, e, (int)t), (double)(1000 + t * EVENTS + e), 1);
        expect(finish(&r, e, COUNTERS_ALL), (double)(2000 + EVENTS + 2 * e), 1);
    }
    assert_int_equal(counters_events(r.c), EVENTS);
    assert_int_equal(counters_threads(r.c), THREADS);
    assert_int_equal(counters_find(r.c, "clock"), 0);
    assert_true(counters_find(r.c, "none") == SIZE_MAX);
    expect_absent(finish(&r, 0, THREADS).value, "thread");
    expect_absent(finish(&r, EVENTS, 0).value, "not chosen");
    end(&r);
}

static int full_group(const struct perf_event_attr *attr, pid_t thread, int cpu, int group)
{
    (void)attr, (void)thread, (void)cpu;
    return group >= 0 ? EINVAL : 0;
}

static void test_a_full_group(void **state)
{
    (void)state;
    struct perf_event events[] = {core_event("a", 1), core_event("b", 2)};
    fake.refuse = full_group;
    struct run r = begin(events, 2, 1);
    assert_int_equal(fake.count, 2);
    fake_advance(0, 3, 1, 1);
    fake_advance(1, 4, 1, 1);
    expect(finish(&r, 0, 0), 3, 1);
    expect(finish(&r, 1, 0), 4, 1);
    end(&r);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static int refusal, refusals_left;

static int refuse_all(const struct perf_event_attr *attr, pid_t thread, int cpu, int group)
{
    (void)attr, (void)thread, (void)cpu, (void)group;
    return refusals_left-- > 0 ? refusal : 0;
}

static void test_every_errno(void **state)
{
    (void)state;
    struct perf_event events[] = {core_event("cycles", 1), core_event("instructions", 2)};
    for (refusal = 1; refusal < 134; refusal++) {
        if (refusal == EINTR || !strerrorname_np(refusal))
            continue;
        fake_reset();
        refusals_left = INT_MAX;
        fake.refuse = refuse_all;
        struct run r = begin(events, 2, THREADS);
        const char *name = strerrorname_np(refusal);
        assert_non_null(counters_reason(r.c, 0));
        expect_absent(finish(&r, 1, 0).value, name);
        expect_absent(finish(&r, 0, COUNTERS_ALL).value, name);
        expect_absent(counters_ipc(r.c, r.before, r.after, COUNTERS_ALL), name);
        end(&r);
    }
    assert_non_null(perf_reason(123456, PERF_THREAD));
}

static void test_what_would_help(void **state)
{
    (void)state;
    static const struct {
        int number;
        const char *words[2];
    } cases[] = {
        {EACCES, {"perf_event_paranoid", "CAP_PERFMON"}}, {EPERM, {"seccomp", "blocked"}},
        {ENOSYS, {"blocked", "seccomp"}},                 {EOPNOTSUPP, {"blocked", "EOPNOTSUPP"}},
        {ENXIO, {"blocked", "ENXIO"}},                    {EINVAL, {"blocked", "EINVAL"}},
        {ENOENT, {"no PMU", "virtual machine"}},          {EMFILE, {"ulimit -n", "EMFILE"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t k = 0; k < 2; k++)
            expect_absent(metric_absent(perf_reason(cases[i].number, PERF_THREAD)), cases[i].words[k]);
    expect_absent(metric_absent(perf_reason(EACCES, PERF_SYSTEM_WIDE)), "0 or less");
    expect_absent(metric_absent(perf_reason(ENOENT, PERF_SYSTEM_WIDE)), "ENOENT");
}

static void test_interrupted(void **state)
{
    (void)state;
    struct perf_event event = core_event("a", 1);
    refusal = EINTR;
    refusals_left = 3;
    fake.refuse = refuse_all;
    struct run r = begin(&event, 1, 1);
    assert_null(counters_reason(r.c, 0));
    end(&r);
}

static int refuse_kernel(const struct perf_event_attr *attr, pid_t thread, int cpu, int group)
{
    (void)thread, (void)cpu, (void)group;
    return attr->exclude_kernel ? 0 : refusal;
}

static void test_user_space_only(void **state)
{
    (void)state;
    static const int refusals[] = {EACCES, EPERM};
    for (size_t i = 0; i < 2; i++) {
        struct perf_event events[] = {core_event("a", 1), core_event("b", 2),
                                 one_code("switches", PERF_TYPE_SOFTWARE,
                                          PERF_COUNT_SW_CONTEXT_SWITCHES),
                                 core_event("kernel", 4), core_event("user", 5)};
        events[3].code[0].exclude_user = true; /* asked for so: user space is no substitute */
        events[4].code[0].exclude_kernel = true;
        fake_reset();
        refusal = refusals[i];
        fake.refuse = refuse_kernel;
        struct run r = begin(events, 5, THREADS);
        assert_int_equal(fake.attempts, 5 * THREADS + 1); /* the kernel is asked for once */
        for (size_t e = 0; e < fake.count; e++)
            fake_advance(e, 5, 1, 1);
        struct count a = finish(&r, 0, COUNTERS_ALL);
        expect(a, 10, 1);
        assert_true(a.user_only);
        expect_absent(finish(&r, 2, COUNTERS_ALL).value, "perf_event_paranoid to 1");
        expect_absent(finish(&r, 3, COUNTERS_ALL).value, strerrorname_np(refusal));
        expect(finish(&r, 4, COUNTERS_ALL), 10, 1);
        end(&r);
    }
    struct perf_event switches =
        one_code("switches", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CONTEXT_SWITCHES);
    fake_reset();
    struct run r = begin(&switches, 1, 1); /* nothing is refused */
    assert_false(finish(&r, 0, 0).user_only);
    assert_true(finish(&r, 0, 0).value.valid);
    end(&r);
    fake_reset();
    struct perf_event user = core_event("user", 1);
    user.code[0].exclude_kernel = true;
    r = begin(&user, 1, 1);
    assert_true(fake.event[0].attr.exclude_kernel && !fake.event[0].attr.exclude_user);
    end(&r);
}

static int refuse_second_thread(const struct perf_event_attr *attr, pid_t thread, int cpu, int group)
{
    (void)attr, (void)cpu, (void)group;
    return thread == ids[1] ? ESRCH : 0;
}

/* A sum over all threads without one of them would be too small. */
static void test_a_thread_that_ended(void **state)
{
    (void)state;
    struct perf_event event = core_event("a", 1);
    fake.refuse = refuse_second_thread;
    struct run r = begin(&event, 1, THREADS);
    fake_advance(0, 5, 1, 1);
    expect(finish(&r, 0, 0), 5, 1);
    expect_absent(finish(&r, 0, 1).value, "ESRCH");
    expect_absent(finish(&r, 0, COUNTERS_ALL).value, "ESRCH");
    assert_non_null(counters_reason(r.c, 0));
    end(&r);
}

static void test_failures_later(void **state)
{
    (void)state;
    struct perf_event events[] = {core_event("a", 1), core_event("b", 2)};
    struct run r = begin(events, 2, 1);
    struct counts *never = counts_new(r.c);
    expect_absent(counters_between(r.c, never, r.before, 0, 0).value, "not read");
    free(never);
    fake.read_failure = EIO;
    expect_absent(finish(&r, 1, 0).value, "EIO");
    fake.read_failure = 0;
    fake.read_length = 0;
    expect_absent(finish(&r, 1, 0).value, "stopped");
    for (fake.read_length = 1; fake.read_length < 48; fake.read_length++)
        if (fake.read_length != 40)
            expect_absent(finish(&r, 1, 0).value, "length");
    fake.read_length = -1;
    assert_true(finish(&r, 1, 0).value.valid);
    end(&r);
    fake_reset();
    fake.ioctl_failure = ENOTTY;
    r = begin(events, 2, 1);
    expect_absent(finish(&r, 1, 0).value, "ENOTTY");
    end(&r);
}

/* ---- values ---------------------------------------------------------------------------------- */

static void test_multiplexed(void **state)
{
    (void)state;
    struct perf_event event = core_event("a", 1);
    fake_reset();
    struct run r = begin(&event, 1, THREADS);
    fake_advance(0, 1000, 1000, 1000);
    counters_read(r.c, r.before); /* what was before does not count, nor its share */
    fake_advance(0, 10, 100, 25);
    fake_advance(1, 5, 100, 75);
    expect(finish(&r, 0, 0), 40, 0.25);
    expect(finish(&r, 0, 1), 5 / 0.75, 0.75);
    expect(finish(&r, 0, COUNTERS_ALL), 40 + 5 / 0.75, 0.5);
    end(&r);
}

static void test_never_running(void **state)
{
    (void)state;
    struct perf_event event = core_event("a", 1);
    struct run r = begin(&event, 1, THREADS);
    fake_advance(0, 7, 100, 100);
    expect(finish(&r, 0, 1), 0, 1); /* this thread did not run at all: nothing is what it did */
    expect(finish(&r, 0, COUNTERS_ALL), 7, 1);
    fake_advance(1, 0, 100, 0);
    expect_absent(finish(&r, 0, 1).value, "counter");
    expect_absent(finish(&r, 0, COUNTERS_ALL).value, "counter");
    expect(finish(&r, 0, 0), 7, 1);
    end(&r);
}

static void test_wraps(void **state)
{
    (void)state;
    struct perf_event event = core_event("a", 1);
    struct run r = begin(&event, 1, 1);
    fake_advance(0, UINT64_MAX - 4, UINT64_MAX, UINT64_MAX - 1);
    counters_read(r.c, r.before);
    fake_advance(0, 12, 6, 6);
    expect(finish(&r, 0, 0), 12, 1);
    fake_advance(0, (uint64_t)-100, 1, 1);
    expect_absent(finish(&r, 0, 0).value, "backwards");
    end(&r);
}

static struct perf_event hybrid_event(void)
{
    struct perf_event e = core_event("cycles", 0);
    e.codes = 2;
    e.code[0].pmu = 4;
    e.code[1] = (struct event_code){.type = 0, .config = UINT64_C(10) << 32, .pmu = 10};
    return e;
}

static int refuse_small_cores(const struct perf_event_attr *attr, pid_t thread, int cpu, int group)
{
    (void)thread, (void)cpu, (void)group;
    return attr->config >> 32 == 10 ? ENOENT : 0;
}

static void test_hybrid(void **state)
{
    (void)state;
    struct perf_event event = hybrid_event();
    struct run r = begin(&event, 1, 1);
    assert_int_equal(fake.event[1].group, -1); /* no group across PMUs */
    fake_advance(0, 600, 100, 60);
    fake_advance(1, 50, 100, 40);
    expect(finish(&r, 0, 0), 650, 1); /* 60 there and 40 here are the whole time */
    counters_read(r.c, r.before);
    fake_advance(0, 300, 100, 30);
    fake_advance(1, 25, 100, 20);
    expect(finish(&r, 0, 0), 650, 0.5);
    counters_read(r.c, r.before);
    fake_advance(0, 300, 100, 100);
    fake_advance(1, 0, 100, 0); /* never on the small cores */
    expect(finish(&r, 0, 0), 300, 1);
    fake_advance(0, 300, 100, 50);
    fake_advance(1, (uint64_t)-20, 100, 50); /* less than the other went forward */
    expect_absent(finish(&r, 0, 0).value, "backwards");
    end(&r);
    fake_reset();
    fake.refuse = refuse_small_cores;
    r = begin(&event, 1, 1);
    expect_absent(finish(&r, 0, 0).value, "ENOENT");
    end(&r);
}

static void test_parts_are_added(void **state)
{
    (void)state;
    struct perf_event event = core_event(EVENT_FILLS, 0);
    event.codes = 3;
    for (unsigned p = 0; p < 3; p++)
        event.code[p] = (struct event_code){.type = 4, .config = p, .pmu = 4 + p, .part = p};
    struct run r = begin(&event, 1, 1);
    fake_advance(0, 10, 100, 100);
    fake_advance(1, 10, 100, 50);
    fake_advance(2, 10, 100, 50);
    struct count c = finish(&r, 0, 0);
    assert_true(c.value.valid && c.value.value == 50);
    assert_true(c.share > 0.66 && c.share < 0.67);
    fake_advance(2, 0, 100, 0);
    counters_read(r.c, r.before);
    fake_advance(2, 0, 100, 0);
    expect_absent(finish(&r, 0, 0).value, "counter");
    end(&r);
}

static void test_derived(void **state)
{
    (void)state;
    struct perf_event events[] = {core_event("cycles", 0), core_event("instructions", 1),
                             core_event(EVENT_FILLS, 2)};
    struct run r = begin(events, 3, 1);
    counters_read(r.c, r.after);
    expect_absent(counters_ipc(r.c, r.before, r.after, 0), "no cycles");
    fake_advance(0, 200, 1, 1);
    fake_advance(1, 500, 1, 1);
    fake_advance(2, 30, 1, 1);
    counters_read(r.c, r.after);
    struct metric ipc = counters_ipc(r.c, r.before, r.after, 0);
    struct metric bytes = counters_memory_bytes(r.c, r.before, r.after, COUNTERS_ALL, 64);
    assert_true(ipc.valid && ipc.value == 2.5);
    assert_true(bytes.valid && bytes.value == 1920);
    assert_true(counters_per_token(bytes, 10).value == 192);
    expect_absent(counters_per_token(bytes, 0), "no tokens");
    expect_absent(counters_per_token(metric_absent("why"), 10), "why");
    expect_absent(counters_memory_bytes(r.c, r.before, r.after, 0, 0), "line");
    end(&r);
    r = begin(events, 1, 1);
    expect_absent(counters_ipc(r.c, r.before, r.after, 0), "not chosen");
    end(&r);
    expect_absent(counters_between(NULL, NULL, NULL, 0, 0).value, "memory");
}

/* ---- names ----------------------------------------------------------------------------------- */

static void test_default_names(void **state)
{
    (void)state;
    struct perf_event events[32], found;
    size_t n = events_default("", events, 32);
    assert_true(n >= 12 && n <= 32);
    for (size_t i = 0; i < n; i++) {
        struct error error = {""};
        bool known = event_find("", events[i].name, &found, &error);
        assert_int_equal(known, events[i].absent == NULL);
        assert_int_equal(known, events[i].codes > 0);
        assert_string_equal(found.name, events[i].name);
        assert_true(*events[i].description);
        if (!known)
            assert_true(*events[i].absent && *error.text);
    }
    assert_true(events[0].software && !events[0].in_kernel);
    assert_true(event_find("", "Context-Switches", &found, NULL) && found.in_kernel);
    assert_true(event_find("", "cycles", &found, NULL) && !found.software);
    assert_true(event_find("", "LLC-Misses", &found, NULL));
    assert_string_equal(found.name, "llc-misses");
}

static void expect_nearest(const char *name, const char *nearest)
{
    struct perf_event found;
    struct error error;
    assert_false(event_find("", name, &found, &error));
    if (!strstr(error.text, nearest))
        fail_msg("'%s' does not suggest %s", error.text, nearest);
}

static void test_names_that_do_not_exist(void **state)
{
    (void)state;
    expect_nearest("cycels", "cycles");
    expect_nearest("page-falts", "page-faults");
    expect_nearest("perf::CONTEXT-SWITCHS", "perf::CONTEXT-SWITCHES");
    expect_nearest("perf::PERF_COUNT_HW_CACHE_L1D:REED", "perf::PERF_COUNT_HW_CACHE_L1D:READ");
    expect_nearest("", "expected");
    char *longer = make(400);
    memset(longer, 'a', 399);
    longer[399] = 0;
    expect_nearest(longer, "expected");
    free(longer);
    struct perf_event found;
    struct error error;
    assert_false(event_find("", "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq", &found, &error));
    assert_null(strstr(error.text, "nearest"));
}

struct seen {
    size_t count, findable;
    bool miss;
};

static void see_event(const struct event_info *info, void *arg)
{
    struct seen *s = arg;
    struct perf_event found;
    s->count++;
    assert_true(*info->pmu && strstr(info->name, "::"));
    s->miss |= strcmp(info->name, "skl::MEM_LOAD_RETIRED:L3_MISS") == 0;
    s->findable += event_find("", info->name, &found, NULL);
}

static void test_listing(void **state)
{
    (void)state;
    struct seen all = {0}, some = {0}, absent = {0}, none = {0};
    size_t listed = events_list("perf", NULL, see_event, &all);
    assert_int_equal(listed, all.count);
    listed = events_list("perf", "PaGe-fAu", see_event, &some);
    assert_int_equal(listed, some.count);
    assert_true(all.count > 40 && some.count >= 1 && some.count < 5);
    assert_int_equal(some.findable, some.count);
    assert_true(events_list("skl", "l3_miss", see_event, &absent) > 1);
    assert_true(absent.miss);
    assert_true(events_list("skl", "SPECULATIVE mispred", see_event, &(struct seen){0}) > 0);
    assert_int_equal(events_list("no such PMU", NULL, see_event, &none), 0);
    assert_int_equal(events_list(NULL, "no such text at all", see_event, &none), 0);
}

/* ---- encodings, in a child: libpfm4 looks into its environment once ---------------------------- */

static int encode_in_child(int count, char **names)
{
    for (int i = 0; i < count; i++) {
        uint64_t values[EVENT_RAW];
        size_t n;
        struct perf_event e;
        struct error error;
        if (strstr(names[i], "::") ? event_raw(names[i], values, &n, &error) : (n = 0, false))
            for (size_t k = 0; k < n; k++)
                printf("%llx%s", (unsigned long long)values[k], k + 1 < n ? "," : "\n");
        else if (!strstr(names[i], "::") && event_find("", names[i], &e, &error))
            for (size_t k = 0; k < e.codes; k++)
                printf("%u/%u:%llx%s", e.code[k].part, e.code[k].type,
                       (unsigned long long)e.code[k].config, k + 1 < e.codes ? "," : "\n");
        else
            puts("refused");
    }
    return 0;
}

static void expect_encoded(const char *pmu, const char *name, const char *expected)
{
    char self[PATH_MAX] = "", *command, line[256] = "";
    assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    assert_true(asprintf(&command, "LIBPFM_FORCE_PMU=%s LIBPFM_ENCODE_INACTIVE=1 '%s' encode '%s'", pmu,
                         self, name) > 0);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    assert_int_equal(pclose(f), 0);
    line[strcspn(line, "\n")] = 0;
    assert_string_equal(line, expected);
    free(command);
}

/* As the library's own tests (tests/validate_x86.c of libpfm4) have them. */
static void test_encodings(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"skl::MEM_LOAD_RETIRED:L3_MISS", "5320d1"},
        {"skl::offcore_response_0:l3_miss", "5301b7,3f84018007"},
        {"skl::FRONTEND_RETIRED:L2_MISS:u", "5101c6,13"},
        {"skl::uops_dispatched_port:port_0", "5301a1"},
        {"skl::cycle_activity:0x6:c=6", "65306a3"},
        {"skl::cycle_activity:stalls_mem_any:c=6", "refused"},
        {"hsw_ep::mem_load_uops_l3_miss_retired:remote_dram", "5304d3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_encoded("skl", cases[i][0], cases[i][1]);
}

static void test_fills_of_each_cpu(void **state)
{
    (void)state;
    expect_encoded("skl", EVENT_FILLS, "0/4:412e");
    expect_encoded("amd64_fam19h_zen3", EVENT_FILLS, "0/4:4844");
    expect_encoded("amd64_fam19h_zen4", EVENT_FILLS, "0/4:4844");
    expect_encoded("amd64_fam17h_zen2", EVENT_FILLS, "0/4:4843,1/4:4859,2/4:485a");
    expect_encoded("amd64_fam17h_zen1", EVENT_FILLS, "refused");
    expect_encoded("skl", "cycles", "0/0:0");
    expect_encoded("skl", "MEM_LOAD_RETIRED:L3_MISS", "0/4:20d1");
}

/* ---- generic events on hybrid CPUs ------------------------------------------------------------ */

static void put(const char *folder, const char *name, const char *text)
{
    char *path;
    assert_true(asprintf(&path, "%s/%s", folder, name) > 0);
    for (char *slash = path + strlen(folder); (slash = strchr(slash + 1, '/'));) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
    free(path);
}

static void test_generic_events_of_hybrid_cpus(void **state)
{
    (void)state;
    char tree[] = "/tmp/qtop-hybrid-XXXXXX", command[64];
    struct perf_event e;
    assert_non_null(mkdtemp(tree));
    put(tree, "sys/bus/event_source/devices/cpu_core/type", "4\n");
    put(tree, "sys/bus/event_source/devices/cpu_core/cpus", "0-15\n");
    assert_true(event_find(tree, "cycles", &e, NULL));
    assert_int_equal(e.codes, 1);
    assert_int_equal(e.code[0].config, PERF_COUNT_HW_CPU_CYCLES);
    put(tree, "sys/bus/event_source/devices/cpu_atom/type", "10\n");
    put(tree, "sys/bus/event_source/devices/cpu_atom/cpus", "16-23\n");
    put(tree, "sys/bus/event_source/devices/uncore_imc/type", "11\n"); /* not of a core */
    assert_true(event_find(tree, "instructions", &e, NULL));
    assert_int_equal(e.codes, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(e.code[i].type, PERF_TYPE_HARDWARE);
        assert_int_equal(e.code[i].part, 0);
        assert_int_equal(e.code[i].pmu, i == 0 ? 10 : 4); /* by name */
        assert_int_equal(e.code[i].config, (uint64_t)e.code[i].pmu << 32 | PERF_COUNT_HW_INSTRUCTIONS);
    }
    assert_true(event_find(tree, "task-clock", &e, NULL));
    assert_int_equal(e.codes, 1);
    snprintf(command, sizeof command, "rm -r '%s'", tree);
    assert_int_equal(system(command), 0);
}

/* ---- this machine ---------------------------------------------------------------------------- */

static void burn(double seconds)
{
    for (double until = clock_seconds() + seconds; clock_seconds() < until;)
        ;
}

/* Every event of this machine has a number or a reason; the software events have numbers that move. */
static void test_this_machine(void **state)
{
    (void)state;
    enum { PAGES = 64 };
    struct perf_event events[32];
    size_t n = events_default("", events, 32), page = (size_t)sysconf(_SC_PAGESIZE);
    pid_t self = gettid();
    struct counters *c = counters_open(events, n, &self, 1, &perf_system);
    assert_non_null(c);
    struct counts *before = counts_new(c), *after = counts_new(c);
    counters_read(c, before);
    char *pages = aligned_alloc(page, PAGES * page);
    for (size_t i = 0; i < PAGES; i++)
        ((volatile char *)pages)[i * page] = 1;
    free(pages);
    burn(0.02);
    usleep(1000); /* a context switch */
    counters_read(c, after);
    for (size_t e = 0; e < n; e++) {
        struct metric m = counters_between(c, before, after, e, COUNTERS_ALL).value;
        print_message("# %s: %g %s\n", events[e].name, m.value, m.valid ? "" : m.reason);
        assert_true(m.valid ? m.value >= 0 : m.reason && *m.reason && m.value == 0);
        assert_int_equal(m.valid, counters_reason(c, e) == NULL);
    }
    struct metric time = counters_between(c, before, after, 0, 0).value;
    struct metric faults = counters_between(c, before, after, 1, 0).value;
    struct metric switches = counters_between(c, before, after, 2, 0).value;
    assert_true(!time.valid || (time.value > 0 && time.value < 1e10));
    assert_true(!faults.valid || faults.value >= 1); /* huge pages may hold all of them */
    assert_true(!switches.valid || switches.value >= 1);
    counters_close(c);
    free(before);
    free(after);
}

struct meeting {
    int threads;
    atomic_int here;
    atomic_bool came[3]; /* by thread */
    double until;
};

/* Every thread waits for the others: none does all the work before they wake. */
static void burn_items(void *arg, size_t begin_item, size_t end_item, int thread)
{
    struct meeting *m = arg;
    if (!atomic_exchange(&m->came[thread], true))
        atomic_fetch_add(&m->here, 1);
    while (atomic_load(&m->here) < m->threads && clock_seconds() < m->until)
        sched_yield();
    for (; begin_item < end_item; begin_item++)
        burn(0.001);
}

static void test_threads_of_a_pool(void **state)
{
    (void)state;
    enum { POOL = 3 };
    struct error error;
    struct perf_event clock_event;
    pid_t threads[POOL];
    struct pool *pool = pool_create(POOL, &error);
    assert_non_null(pool);
    pool_thread_ids(pool, threads);
    assert_int_equal(threads[0], gettid());
    assert_true(threads[1] > 0 && threads[2] > 0 && threads[1] != threads[2] &&
                threads[1] != threads[0] && threads[2] != threads[0]);
    assert_true(event_find("", "task-clock", &clock_event, &error));
    struct counters *c = counters_open(&clock_event, 1, threads, POOL, &perf_system);
    struct counts *before = counts_new(c), *after = counts_new(c);
    counters_read(c, before);
    struct meeting meeting = {.threads = POOL, .until = clock_seconds() + PATIENCE};
    pool_run(pool, 60, burn_items, &meeting);
    counters_read(c, after);
    struct metric all = counters_between(c, before, after, 0, COUNTERS_ALL).value;
    double sum = 0;
    for (int t = 0; t < POOL; t++)
        sum += counters_between(c, before, after, 0, t).value.value;
    assert_true(!all.valid || (all.value > 0 && sum == all.value));
    assert_true(!all.valid || counters_between(c, before, after, 0, 0).value.value < all.value);
    counters_close(c);
    free(before);
    free(after);
    pool_destroy(pool);
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "encode") == 0)
        return encode_in_child(argc - 2, argv + 2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_groups, set_up),
        cmocka_unit_test_setup(test_values_find_their_events, set_up),
        cmocka_unit_test_setup(test_a_full_group, set_up),
        cmocka_unit_test_setup(test_every_errno, set_up),
        cmocka_unit_test_setup(test_what_would_help, set_up),
        cmocka_unit_test_setup(test_interrupted, set_up),
        cmocka_unit_test_setup(test_user_space_only, set_up),
        cmocka_unit_test_setup(test_a_thread_that_ended, set_up),
        cmocka_unit_test_setup(test_failures_later, set_up),
        cmocka_unit_test_setup(test_multiplexed, set_up),
        cmocka_unit_test_setup(test_never_running, set_up),
        cmocka_unit_test_setup(test_wraps, set_up),
        cmocka_unit_test_setup(test_hybrid, set_up),
        cmocka_unit_test_setup(test_parts_are_added, set_up),
        cmocka_unit_test_setup(test_derived, set_up),
        cmocka_unit_test(test_default_names),
        cmocka_unit_test(test_names_that_do_not_exist),
        cmocka_unit_test(test_listing),
        cmocka_unit_test(test_encodings),
        cmocka_unit_test(test_fills_of_each_cpu),
        cmocka_unit_test(test_generic_events_of_hybrid_cpus),
        cmocka_unit_test(test_this_machine),
        cmocka_unit_test(test_threads_of_a_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

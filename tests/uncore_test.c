/* Memory controllers: made-up trees of /sys for each kind of controller, malformed files among them, on
 * a made-up kernel; resctrl. */
#include "sys/resctrl.h"
#include "sys/sysfs.h"
#include "sys/uncore.h"
#include "fakeperf.h"
#include "support.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- trees ----------------------------------------------------------------------------------- */

static char tree[64];

static void uproot(void)
{
    char command[96];
    if (!*tree)
        return;
    snprintf(command, sizeof command, "rm -r '%s'", tree);
    assert_int_equal(system(command), 0);
    *tree = 0;
}

static int plant(void **state)
{
    (void)state;
    fake_reset();
    strcpy(tree, "/tmp/qtop-uncore-XXXXXX");
    return mkdtemp(tree) ? 0 : -1;
}

static int fell(void **state)
{
    (void)state;
    uproot();
    return 0;
}

static void put_at(const char *folder, const char *name, const char *text)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s/%s", tree, folder, name);
    for (char *slash = path + strlen(tree); (slash = strchr(slash + 1, '/'));) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

/* A file of a PMU; text null: not there. */
static void put(const char *pmu, const char *name, const char *text)
{
    char folder[128], path[PATH_MAX];
    snprintf(folder, sizeof folder, "sys/bus/event_source/devices/%s", pmu);
    snprintf(path, sizeof path, "%s/%s/%s", tree, folder, name);
    if (text)
        put_at(folder, name, text);
    else
        unlink(path);
}

static void put_event(const char *pmu, const char *event, const char *terms, const char *scale,
                      const char *unit)
{
    char name[96];
    snprintf(name, sizeof name, "events/%s", event);
    put(pmu, name, terms);
    snprintf(name, sizeof name, "events/%s.scale", event);
    put(pmu, name, scale);
    snprintf(name, sizeof name, "events/%s.unit", event);
    put(pmu, name, unit);
}

static const char mib[] = "6.103515625e-5\n"; /* 64 bytes in MiB, as the kernel's drivers write it */

static void plant_imc(const char *pmu, const char *type)
{
    put(pmu, "type", type);
    put(pmu, "cpumask", "0,28\n"); /* two sockets */
    put(pmu, "format/event", "config:0-7\n");
    put(pmu, "format/umask", "config:8-15\n");
    put_event(pmu, "cas_count_read", "event=0x04,umask=0x03\n", mib, "MiB\n");
    put_event(pmu, "cas_count_write", "event=0x04,umask=0x0c\n", mib, "MiB\n");
}

/* ---- helpers --------------------------------------------------------------------------------- */

struct run {
    struct uncore *u;
    struct uncore_counts *before, *after;
};

static struct run begin(void)
{
    struct run r = {.u = uncore_open(tree, &fake_calls)};
    assert_non_null(r.u);
    r.before = uncore_counts_new(r.u);
    r.after = uncore_counts_new(r.u);
    uncore_read(r.u, r.before);
    return r;
}

static struct metric finish(struct run *r, enum traffic traffic)
{
    uncore_read(r->u, r->after);
    return uncore_bytes(r->u, r->before, r->after, traffic);
}

static void end(struct run *r)
{
    uncore_close(r->u);
    free(r->before);
    free(r->after);
    assert_int_equal(fake.still_open, 0);
}

static void expect(struct metric m, double value)
{
    if (!m.valid)
        fail_msg("%s", m.reason);
    if (!(fabs(m.value - value) <= 1e-9 * value))
        fail_msg("%.17g; expected %.17g", m.value, value);
}

static void expect_absent(struct metric m, const char *word)
{
    assert_false(m.valid);
    assert_true(m.value == 0);
    if (!strstr(m.reason, word))
        fail_msg("'%s' does not say '%s'", m.reason, word);
}

/* Nothing is open, and both texts say why. */
static void expect_nothing(const char *reason, const char *detail)
{
    struct run r = begin();
    expect_absent(finish(&r, TRAFFIC_ALL), reason);
    expect_absent(finish(&r, TRAFFIC_READ), reason);
    assert_non_null(uncore_reason(r.u));
    if (!strstr(uncore_detail(r.u), detail))
        fail_msg("'%s' does not say '%s'", uncore_detail(r.u), detail);
    assert_string_equal(uncore_label(r.u), "");
    assert_int_equal(uncore_descriptors(r.u), 0);
    assert_int_equal(fake.still_open, 0);
    end(&r);
}

static void expect_opened(size_t index, uint32_t type, uint64_t config, int cpu)
{
    assert_true(index < fake.count);
    const struct fake_event *e = &fake.event[index];
    assert_int_equal(e->attr.type, type);
    assert_int_equal(e->attr.config, config);
    assert_int_equal(e->cpu, cpu);
    assert_int_equal(e->thread, -1);
    assert_int_equal(e->group, -1);
    assert_false(e->attr.exclude_kernel || e->attr.exclude_user || e->attr.disabled);
}

/* ---- the controllers ------------------------------------------------------------------------- */

static void test_intel_server(void **state)
{
    (void)state;
    plant_imc("uncore_imc_10", "30\n");
    plant_imc("uncore_imc_2", "22\n");
    plant_imc("uncore_imc_x", "99\n"); /* no number: something else */
    put("cpu", "type", "4\n");
    struct run r = begin();
    assert_null(uncore_reason(r.u));
    assert_int_equal(uncore_descriptors(r.u), 8);
    assert_int_equal(fake.count, 8);
    for (size_t i = 0; i < 8; i++) /* a PMU's reads on both sockets, its writes, the next PMU */
        expect_opened(i, i < 4 ? 22 : 30, i % 4 < 2 ? 0x304 : 0xc04, i % 2 ? 28 : 0);
    for (size_t i = 0; i < 8; i++)
        fake_advance(i, (uint64_t)1 << i, 9, 9);
    expect(finish(&r, TRAFFIC_READ), 64 * (1 + 2 + 16 + 32));
    expect(finish(&r, TRAFFIC_WRITE), 64 * (4 + 8 + 64 + 128));
    expect(finish(&r, TRAFFIC_ALL), 64 * 255);
    assert_non_null(strstr(uncore_label(r.u), "uncore_imc: cas_count_read, cas_count_write"));
    assert_non_null(strstr(uncore_label(r.u), "system-wide"));
    end(&r);
}

static void test_intel_client(void **state)
{
    (void)state;
    put("uncore_imc", "type", "12\n");
    put("uncore_imc", "cpumask", "0\n");
    put("uncore_imc", "format/event", "config:0-7\n");
    put_event("uncore_imc", "data_reads", "event=0x01\n", mib, "MiB\n");
    put_event("uncore_imc", "data_writes", "event=0x02\n", mib, "MiB\n");
    struct run r = begin();
    assert_int_equal(fake.count, 2);
    expect_opened(0, 12, 1, 0);
    expect_opened(1, 12, 2, 0);
    fake_advance(0, 1000, 1, 1);
    expect(finish(&r, TRAFFIC_READ), 64000);
    expect(finish(&r, TRAFFIC_WRITE), 0);
    end(&r);
}

static void test_free_running(void **state)
{
    (void)state;
    static const char *const events[][2] = {{"data_read", "data_write"}, {"read", "write"}};
    for (size_t k = 0; k < 2; k++) {
        for (int i = 0; i < 2; i++) {
            char pmu[64], type[16];
            snprintf(pmu, sizeof pmu, "uncore_imc_free_running_%d", i);
            snprintf(type, sizeof type, "%d\n", 40 + i);
            put(pmu, "type", type);
            put(pmu, "cpumask", "0\n");
            put(pmu, "format/event", "config:0-7\n");
            put(pmu, "format/umask", "config:8-15\n");
            put_event(pmu, events[k][0], "event=0xff,umask=0x20\n", "6.103515625e-5", "MiB\n");
            put_event(pmu, events[k][1], "event=0xff,umask=0x30\n", "6.103515625e-5", "MiB\n");
            put_event(pmu, "data_total", "event=0xff,umask=0x10\n", "6.103515625e-5", "MiB\n");
        }
        struct run r = begin();
        assert_int_equal(fake.count, 4);
        expect_opened(0, 40, 0x20ff, 0);
        expect_opened(3, 41, 0x30ff, 0);
        fake_advance(0, 3, 1, 1);
        fake_advance(3, 4, 1, 1);
        expect(finish(&r, TRAFFIC_READ), 192);
        expect(finish(&r, TRAFFIC_ALL), 448);
        end(&r);
        fell(NULL);
        plant(NULL);
    }
}

static void test_amd_umc(void **state)
{
    (void)state;
    put("amd_umc_0", "type", "15\n");
    put("amd_umc_0", "cpumask", "0\n");
    put("amd_umc_0", "format/event", "config:0-7\n");
    put("amd_umc_0", "format/rdwrmask", "config:8-9\n");
    struct run r = begin();
    assert_int_equal(fake.count, 2);
    expect_opened(0, 15, 0x10a, 0);
    expect_opened(1, 15, 0x20a, 0);
    fake_advance(0, 5, 1, 1);
    fake_advance(1, 2, 1, 1);
    expect(finish(&r, TRAFFIC_READ), 320);
    expect(finish(&r, TRAFFIC_ALL), 448);
    end(&r);
}

static void test_amd_data_fabric(void **state)
{
    (void)state;
    static const uint64_t configs[] = {0x3807,        0x3847,        0x3887,        0x38c7,
                                       0x100003807, 0x100003847, 0x100003887, 0x1000038c7};
    put("amd_df", "type", "14\n");
    put("amd_df", "cpumask", "0,64\n");
    put("amd_df", "format/event", "config:0-7,32-35,59-60\n");
    put("amd_df", "format/umask", "config:8-15\n");
    struct run r = begin();
    assert_int_equal(fake.count, 16);
    for (size_t i = 0; i < 16; i++)
        expect_opened(i, 14, configs[i / 2], i % 2 ? 64 : 0);
    for (size_t i = 0; i < 16; i++) /* eight events on four counters */
        fake_advance(i, 10, 100, 50);
    expect(finish(&r, TRAFFIC_ALL), 64 * 320);
    expect_absent(finish(&r, TRAFFIC_READ), "together");
    expect_absent(finish(&r, TRAFFIC_WRITE), "together");
    end(&r);
    /* A later fabric: other events under the same numbers. */
    put("amd_df", "format/event", "config:0-7,32-37\n");
    expect_nothing("no memory controllers", "no memory controllers");
}

static void test_arm_mesh(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        const char *pmu = i ? "arm_cmn_1" : "arm_cmn_0";
        put(pmu, "type", i ? "21\n" : "20\n");
        put(pmu, "cpumask", i ? "64\n" : "0\n");
        put(pmu, "format/type", "config:0-15\n");
        put(pmu, "format/eventid", "config:16-26\n");
        put_event(pmu, "hnf_mc_reqs", "type=0x5,eventid=0xd\n", NULL, NULL);
    }
    struct run r = begin();
    assert_int_equal(fake.count, 2);
    expect_opened(0, 20, 0xd0005, 0);
    expect_opened(1, 21, 0xd0005, 64);
    fake_advance(0, 1, 1, 1);
    fake_advance(1, 2, 1, 1);
    expect(finish(&r, TRAFFIC_ALL), 192);
    expect_absent(finish(&r, TRAFFIC_READ), "together");
    end(&r);
}

/* A controller whose writes cannot be counted would make the sum too small. */
static void test_half_a_controller(void **state)
{
    (void)state;
    plant_imc("uncore_imc_0", "22\n");
    put("uncore_imc_0", "events/cas_count_write", NULL);
    expect_nothing("no memory controllers", "no memory controllers");
}

/* ---- malformed files ------------------------------------------------------------------------- */

static void expect_malformed(const char *name, const char *text)
{
    plant_imc("uncore_imc_0", "22\n");
    plant_imc("uncore_imc_1", "23\n");
    put("uncore_imc_1", name, text); /* the first controller is right, and must not stay open */
    expect_nothing("malformed", "uncore_imc_1");
    uproot();
    plant(NULL);
}

static void test_malformed_files(void **state)
{
    (void)state;
    static const char *const formats[] = {
        "",          "\n",          "config\n",      "config:\n",       "config:a\n",  "config:5-2\n",
        "config:0-64\n", "config4:0-7\n", "config:0-7,\n", "config:0--7\n", "config:-7\n", "umask:8-15\n",
        "config:0-7-9\n", "config:99999999999999999999\n", "config: 0-7\n", "config:0\n", "config:60-64\n",
    };
    static const char *const terms[] = {"event=\n",          "event=x\n",       "event=0x04,umsk=3\n",
                                        "event=-1\n",        "event=0x104\n",   ",\n",
                                        "event=4 umask=3\n", "event=0x4,umask=?\n", "../format/event=4\n",
                                        "event=0x99999999999999999\n"};
    static const char *const scales[] = {"abc\n", "-1\n", "0\n", "1e400\n", "nan\n", "inf\n", "1 2\n",
                                         "6,1e-5\n", NULL};
    static const char *const units[] = {"Joules\n", "\n", "mib\n", NULL};
    static const char *const masks[] = {"\n", "a\n", "3-1\n", "0-\n", ",\n", "0,\n", "0-99999999\n",
                                        "-1\n", "0;1\n", "99999999999999999999\n", NULL};
    static const char *const types[] = {"x\n", "-1\n", "4294967296\n", "\n", NULL};
    static const struct {
        const char *file;
        const char *const *texts;
        size_t count;
    } cases[] = {
        {"format/umask", formats, sizeof formats / sizeof *formats},
        {"events/cas_count_read", terms, sizeof terms / sizeof *terms},
        {"events/cas_count_write.scale", scales, sizeof scales / sizeof *scales},
        {"events/cas_count_write.unit", units, sizeof units / sizeof *units},
        {"cpumask", masks, sizeof masks / sizeof *masks},
        {"type", types, sizeof types / sizeof *types},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t k = 0; k < cases[i].count; k++)
            expect_malformed(cases[i].file, cases[i].texts[k]);
    char *longer = make(2000);
    memset(longer, '1', 1999);
    longer[1999] = 0;
    expect_malformed("cpumask", longer);
    expect_malformed("type", longer);
    for (size_t i = 1; i < 1999; i += 2) /* a list that would be right wherever it is cut */
        longer[i] = ',';
    expect_malformed("cpumask", longer);
    free(longer);
}

static void test_formats(void **state)
{
    (void)state;
    uint64_t config[SYSFS_CONFIGS];
    char folder[128];
    struct error error;
    snprintf(folder, sizeof folder, "%s/sys/bus/event_source/devices/p", tree);
    put("p", "format/split", "config:0-3,8-11,60-63\n");
    put("p", "format/second", "config1:0-63\n");
    put("p", "format/bit", "config2:5\n");
    put("p", "format/third", "config3:1-2\n");
    assert_true(sysfs_encode(folder, "split=0xabc,second=0xffffffffffffffff,bit,third=2", config, &error));
    assert_true(config[0] == 0xa000000000000b0c);
    assert_true(config[1] == UINT64_MAX);
    assert_int_equal(config[2], 32);
    assert_int_equal(config[3], 4);
    assert_true(sysfs_encode(folder, "config=0x1234,bit=0", config, &error));
    assert_true(config[0] == 0x1234 && config[1] == 0 && config[2] == 0);
    assert_false(sysfs_encode(folder, "split=0x1000", config, &error));
    assert_false(sysfs_encode(folder, "bit=2", config, &error));
    assert_false(sysfs_encode(folder, "second=0x1ffffffffffffffff", config, &error));
    assert_false(sysfs_encode(folder, "", config, &error));
}

static void test_cpu_lists(void **state)
{
    (void)state;
    int cpus[8];
    size_t n;
    assert_true(sysfs_cpus("0-2,5,7-7", cpus, 8, &n));
    assert_int_equal(n, 5);
    assert_true(cpus[0] == 0 && cpus[2] == 2 && cpus[3] == 5 && cpus[4] == 7);
    assert_true(sysfs_cpus("0-7", cpus, 8, &n) && n == 8);
    assert_false(sysfs_cpus("0-8", cpus, 8, &n));
    assert_false(sysfs_cpus("0-7,9", cpus, 8, &n));
    assert_false(sysfs_cpus("2147483648", cpus, 8, &n));
}

/* ---- refusals and values --------------------------------------------------------------------- */

static int refusal;
static size_t allowed;

static int refuse_after(const struct perf_event_attr *attr, pid_t thread, int cpu, int group)
{
    (void)attr, (void)thread, (void)cpu, (void)group;
    return fake.count >= allowed ? refusal : 0;
}

static void test_every_errno(void **state)
{
    (void)state;
    plant_imc("uncore_imc_0", "22\n");
    for (refusal = 1; refusal < 134; refusal++) {
        const char *name = strerrorname_np(refusal);
        if (refusal == EINTR || !name)
            continue;
        for (allowed = 0; allowed < 4; allowed++) {
            fake_reset();
            fake.refuse = refuse_after;
            expect_nothing(name, name);
            assert_int_equal(fake.attempts, allowed + 1); /* user space alone is no substitute here */
        }
    }
    fake_reset();
    refusal = EACCES;
    allowed = 0;
    fake.refuse = refuse_after;
    expect_nothing("perf_event_paranoid at 0 or less", "CPU 0");
}

static void test_values(void **state)
{
    (void)state;
    plant_imc("uncore_imc_0", "22\n");
    struct run r = begin();
    for (size_t i = 0; i < 4; i++)
        fake_advance(i, UINT64_MAX - 1, 7, 7);
    uncore_read(r.u, r.before);
    for (size_t i = 0; i < 4; i++)
        fake_advance(i, 3, 100, i < 2 ? 25 : 100); /* wraps; the reads are multiplexed */
    expect(finish(&r, TRAFFIC_READ), 64 * 24);
    expect(finish(&r, TRAFFIC_WRITE), 64 * 6);
    uncore_read(r.u, r.before);
    fake_advance(3, 0, 100, 0);
    expect_absent(finish(&r, TRAFFIC_ALL), "counter");
    fake_advance(3, (uint64_t)-50, 100, 100);
    expect_absent(finish(&r, TRAFFIC_ALL), "backwards");
    uncore_read(r.u, r.before);
    fake.read_failure = ENODEV;
    expect_absent(finish(&r, TRAFFIC_ALL), "ENODEV");
    fake.read_failure = 0;
    fake.read_length = 8;
    expect_absent(finish(&r, TRAFFIC_ALL), "EIO");
    expect_absent(uncore_bytes(r.u, NULL, r.after, TRAFFIC_ALL), "memory");
    end(&r);
    assert_non_null(uncore_reason(NULL));
}

/* ---- resctrl --------------------------------------------------------------------------------- */

static void put_domain(const char *domain, const char *text)
{
    char folder[96];
    snprintf(folder, sizeof folder, "sys/fs/resctrl/mon_data/%s", domain);
    put_at(folder, "mbm_total_bytes", text);
}

static void test_resctrl(void **state)
{
    (void)state;
    assert_false(resctrl_present(tree));
    expect_absent(resctrl_bytes(tree), "not mounted");
    put_domain("mon_L3_00", "1000\n");
    put_domain("mon_L3_01", "20000000000\n");
    assert_true(resctrl_present(tree));
    expect(resctrl_bytes(tree), 20000001000.0);
    struct run r = begin();
    assert_null(uncore_reason(r.u));
    assert_non_null(strstr(uncore_label(r.u), "resctrl"));
    assert_non_null(strstr(uncore_label(r.u), "system-wide"));
    put_domain("mon_L3_00", "1640\n");
    expect(finish(&r, TRAFFIC_ALL), 640);
    expect_absent(finish(&r, TRAFFIC_READ), "together");
    put_domain("mon_L3_01", "Unavailable\n");
    expect_absent(finish(&r, TRAFFIC_ALL), "Unavailable");
    static const char *const wrong[] = {"", "\n", "x\n", "-5\n", "12 34\n", "99999999999999999999999\n", "Error\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        put_domain("mon_L3_01", wrong[i]);
        expect_absent(finish(&r, TRAFFIC_ALL), "resctrl");
    }
    put_domain("mon_L3_01", "0\n");
    expect_absent(finish(&r, TRAFFIC_ALL), "backwards");
    end(&r);
}

/* Controllers come first; where they are refused, resctrl counts. */
static void test_order_of_sources(void **state)
{
    (void)state;
    plant_imc("uncore_imc_0", "22\n");
    put_domain("mon_L3_00", "5\n");
    struct run r = begin();
    assert_non_null(strstr(uncore_label(r.u), "uncore_imc"));
    end(&r);
    refusal = EACCES;
    allowed = 0;
    fake.refuse = refuse_after;
    r = begin();
    assert_null(uncore_reason(r.u));
    assert_non_null(strstr(uncore_label(r.u), "resctrl"));
    end(&r);
}

/* What two sources fail with: the first reason and its own line. */
static void test_first_reason_stays(void **state)
{
    (void)state;
    plant_imc("uncore_imc_0", "22\n");
    put("amd_umc_0", "type", "x\n");
    refusal = EACCES;
    allowed = 0;
    fake.refuse = refuse_after;
    expect_nothing("EACCES", "uncore_imc_0 on CPU 0");
}

static void test_nothing_at_all(void **state)
{
    (void)state;
    expect_nothing("no memory controllers", "resctrl");
}

static void test_this_machine(void **state)
{
    (void)state;
    struct uncore *u = uncore_open("", &perf_system);
    struct uncore_counts *a = uncore_counts_new(u), *b = uncore_counts_new(u);
    uncore_read(u, a);
    uncore_read(u, b);
    struct metric m = uncore_bytes(u, a, b, TRAFFIC_ALL);
    print_message("# %s%s\n", uncore_label(u), m.valid ? "" : m.reason);
    assert_true(m.valid ? m.value >= 0 && *uncore_label(u) : *m.reason);
    assert_true((uncore_reason(u) == NULL) == (*uncore_label(u) != 0));
    free(a);
    free(b);
    uncore_close(u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_intel_server, plant, fell),
        cmocka_unit_test_setup_teardown(test_intel_client, plant, fell),
        cmocka_unit_test_setup_teardown(test_free_running, plant, fell),
        cmocka_unit_test_setup_teardown(test_amd_umc, plant, fell),
        cmocka_unit_test_setup_teardown(test_amd_data_fabric, plant, fell),
        cmocka_unit_test_setup_teardown(test_arm_mesh, plant, fell),
        cmocka_unit_test_setup_teardown(test_half_a_controller, plant, fell),
        cmocka_unit_test_setup_teardown(test_malformed_files, plant, fell),
        cmocka_unit_test_setup_teardown(test_formats, plant, fell),
        cmocka_unit_test_setup_teardown(test_cpu_lists, plant, fell),
        cmocka_unit_test_setup_teardown(test_every_errno, plant, fell),
        cmocka_unit_test_setup_teardown(test_values, plant, fell),
        cmocka_unit_test_setup_teardown(test_resctrl, plant, fell),
        cmocka_unit_test_setup_teardown(test_order_of_sources, plant, fell),
        cmocka_unit_test_setup_teardown(test_first_reason_stays, plant, fell),
        cmocka_unit_test_setup_teardown(test_nothing_at_all, plant, fell),
        cmocka_unit_test(test_this_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

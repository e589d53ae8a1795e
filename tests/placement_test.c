/* Where threads are put: simulated machines, restricted ones, quotas of control groups, what -t
 * refuses. Every machine is looked at in a child process, because it is read once. */
#include "sys/cgroup.h"
#include "sys/memory.h"
#include "sys/pool.h"
#include "sys/topology.h"
#include "support.h"

#include <math.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- machines in a child --------------------------------------------------------------------- */

/* Runs look in a child and returns what it wrote (the caller frees). */
typedef void look_fn(FILE *out, const void *arg);

static char *in_child(look_fn *look, const void *arg)
{
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(ends[0]);
        FILE *out = fdopen(ends[1], "w");
        look(out, arg);
        fclose(out);
        _exit(0);
    }
    close(ends[1]);
    FILE *in = fdopen(ends[0], "r");
    char *text = make(1 << 16);
    size_t n = fread(text, 1, (1 << 16) - 1, in);
    text[n] = 0;
    fclose(in);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    return text;
}

struct simulated {
    const char *machine; /* as HWLOC_SYNTHETIC takes it */
    int threads;
    const char *places;  /* node.core.processor of every thread, - for any */
};

static void number(FILE *out, int n, char after)
{
    if (n < 0)
        fprintf(out, "-%c", after);
    else
        fprintf(out, "%d%c", n, after);
}

static void look_at_places(FILE *out, const void *arg)
{
    const struct simulated *s = arg;
    setenv("HWLOC_SYNTHETIC", s->machine, 1);
    for (int i = 0; i < s->threads; i++) {
        struct place p = topology_place(i, s->threads);
        number(out, p.node, '.');
        number(out, p.core, '.');
        number(out, p.processor, ' ');
    }
}

static void test_places(void **state)
{
    (void)state;
    static const struct simulated cases[] = {
        {"node:1 core:2 pu:1", 1, "0.-.- "},
        {"node:1 core:2 pu:1", 2, "0.0.- 0.1.- "},
        {"node:1 core:4 pu:2", 4, "0.0.- 0.1.- 0.2.- 0.3.- "},
        {"node:1 core:2 pu:2", 3, "0.0.0 0.1.2 0.1.3 "},
        {"node:1 core:2 pu:2", 4, "0.0.0 0.0.1 0.1.2 0.1.3 "},
        {"node:2 core:2 pu:2", 2, "0.-.- 1.-.- "},
        {"node:2 core:2 pu:2", 3, "0.-.- 1.-.- 1.-.- "},
        {"node:2 core:2 pu:2", 4, "0.0.- 0.1.- 1.2.- 1.3.- "},
        {"node:2 core:2 pu:2", 6, "0.0.0 0.1.2 0.1.3 1.2.4 1.3.6 1.3.7 "},
        {"node:2 core:2 pu:2", 8, "0.0.0 0.0.1 0.1.2 0.1.3 1.2.4 1.2.5 1.3.6 1.3.7 "},
        {"node:1 core:1 pu:2", 5, "0.0.0 0.0.1 0.0.0 0.0.1 0.0.0 "}, /* beyond it: again */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *places = in_child(look_at_places, &cases[i]);
        assert_string_equal(places, cases[i].places);
        free(places);
    }
}

static void look_at_cover(FILE *out, const void *arg)
{
    const char *machine = arg;
    setenv("HWLOC_SYNTHETIC", machine, 1);
    int cores = topology()->cores, processors = topology()->processors;
    for (int threads = 1; threads <= processors; threads++) {
        int on[64] = {0}, used[64] = {0}, last = 0, most = 0;
        for (int i = 0; i < threads; i++) {
            struct place p = topology_place(i, threads);
            if (p.node < last)
                fprintf(out, "%d of %d goes back a node\n", i, threads);
            last = p.node;
            if (p.core >= 0 && ++on[p.core] > most)
                most = on[p.core];
            if (p.processor >= 0 && used[p.processor]++)
                fprintf(out, "processor %d twice for %d\n", p.processor, threads);
        }
        for (int c = 0; c < cores && threads >= cores; c++)
            if (on[c] == 0 || on[c] < most - 1)
                fprintf(out, "%d threads: %d on core %d, %d on another\n", threads, on[c], c, most);
    }
    fprintf(out, "%d cores, %d processors, %d nodes", cores, processors, topology()->nodes);
}

static void test_cores_first_then_siblings(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"node:1 core:1 pu:1", "1 cores, 1 processors, 1 nodes"},
        {"node:2 core:5 pu:2", "10 cores, 20 processors, 2 nodes"},
        {"package:2 node:2 core:4 pu:2", "16 cores, 32 processors, 4 nodes"},
        {"node:1 core:3 pu:4", "3 cores, 12 processors, 1 nodes"},
        {"node:3 core:7 pu:1", "21 cores, 21 processors, 3 nodes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *found = in_child(look_at_cover, cases[i][0]);
        assert_string_equal(found, cases[i][1]);
        free(found);
    }
}

static void look_at_tree(FILE *out, const void *arg)
{
    struct topology_line lines[64];
    setenv("HWLOC_SYNTHETIC", arg, 1);
    size_t n = topology_tree(lines, 64);
    for (size_t i = 0; i < n && i < 64; i++)
        fprintf(out, "%d %d %d %s\n", lines[i].depth, lines[i].node, lines[i].core, lines[i].text);
    struct topology_line few[2];
    if (topology_tree(few, 2) != n || strcmp(few[1].text, n > 1 ? lines[1].text : "") != 0)
        fprintf(out, "another tree where there is less room\n");
}

/* Depth, node, core, text: two sockets, one core, clusters with caches of different sizes. */
static void test_tree(void **state)
{
    static const char *const cases[][2] = {
        {"pack:2 [numa(memory=1GB)] l3:1(size=8MB) core:2 pu:2",
         "0 -1 -1 machine\n"
         "1 -1 -1 package 0\n"
         "2 0 -1 NUMA node 0, 953.7 MiB\n"
         "2 -1 -1 L3 7.629 MiB\n"
         "3 -1 0 core 0, hardware threads 0 1\n"
         "3 -1 1 core 1, hardware threads 2 3\n"
         "1 -1 -1 package 1\n"
         "2 1 -1 NUMA node 1, 953.7 MiB\n"
         "2 -1 -1 L3 7.629 MiB\n"
         "3 -1 2 core 2, hardware threads 4 5\n"
         "3 -1 3 core 3, hardware threads 6 7\n"},
        {"pack:1 l2:1(size=1048576) l1d:1(size=32768) core:1 pu:1",
         "0 -1 -1 machine, package 0\n"
         "1 0 -1 NUMA node 0, 1 GiB\n"
         "1 -1 0 L2 1 MiB, L1 32 KiB, core 0, hardware thread 0\n"},
        {"l2:2(size=2097152) core:2 pu:1",
         "0 -1 -1 machine\n"
         "1 0 -1 NUMA node 0, 1 GiB\n"
         "1 -1 -1 L2 2 MiB\n"
         "2 -1 0 core 0, hardware thread 0\n"
         "2 -1 1 core 1, hardware thread 1\n"
         "1 -1 -1 L2 2 MiB\n"
         "2 -1 2 core 2, hardware thread 2\n"
         "2 -1 3 core 3, hardware thread 3\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *found = in_child(look_at_tree, cases[i][0]);
        assert_string_equal(found, cases[i][1]);
        free(found);
    }
}

/* A simulated machine decides neither how many threads run nor where. */
static void look_at_simulation(FILE *out, const void *arg)
{
    cpu_set_t before, after;
    struct error error = {""};
    char text[256];
    sched_getaffinity(0, sizeof before, &before);
    setenv("HWLOC_SYNTHETIC", arg, 1);
    const struct topology *t = topology();
    if (t->runnable != CPU_COUNT(&before) || t->threads > CPU_COUNT(&before) || t->threads > t->cores)
        fprintf(out, "runnable %d, threads %d; ", t->runnable, t->threads);
    struct pool *pool = pool_create(2, NULL);
    pool_bind_caller(pool);
    pool_binding(pool, text, sizeof text);
    pool_destroy(pool);
    sched_getaffinity(0, sizeof after, &after);
    if (topology_bind(0, 2, &error) || strcmp(text, error.text) != 0 || !CPU_EQUAL(&before, &after))
        fprintf(out, "bound; ");
    fprintf(out, "%s", text);
}

static void test_a_simulated_machine_binds_nothing(void **state)
{
    (void)state;
    static const char *const machines[] = {"node:1 core:1 pu:1", "node:1 core:2 pu:1",
                                           "node:4 core:16 pu:2"};
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
        char *found = in_child(look_at_simulation, machines[i]);
        assert_string_equal(found, "threads are not bound: the topology is simulated (HWLOC_SYNTHETIC)");
        free(found);
    }
}

/* ---- this machine ---------------------------------------------------------------------------- */

static void say_affinity(void *arg, size_t begin, size_t end, int thread)
{
    cpu_set_t *sets = arg;
    (void)begin, (void)end;
    sched_getaffinity(0, sizeof *sets, &sets[thread]);
}

static void look_at_binding(FILE *out, const void *arg)
{
    (void)arg;
    char text[256];
    cpu_set_t sets[64];
    memset(sets, 0, sizeof sets);
    int threads = topology()->cores < 64 ? topology()->cores : 64;
    struct pool *pool = pool_create(threads, NULL);
    pool_bind_caller(pool);
    for (int i = 0; i < 200; i++)
        pool_run(pool, 64, say_affinity, sets);
    pool_binding(pool, text, sizeof text);
    fprintf(out, "%d of %d: %s\n", threads, topology()->cores, text);
    for (int i = 0; i < threads; i++)
        for (int j = 0; j < i; j++) {
            cpu_set_t both;
            CPU_AND(&both, &sets[i], &sets[j]);
            if (CPU_COUNT(&both) > 0)
                fprintf(out, "threads %d and %d share a processor\n", j, i);
        }
    pool_destroy(pool);
}

static void test_a_full_pool_has_a_core_a_thread(void **state)
{
    (void)state;
    char *found = in_child(look_at_binding, NULL);
    if (strstr(found, "not bound")) {
        print_message("skipped: %s\n", found);
        free(found);
        skip();
    }
    assert_non_null(strstr(found, "each to its core"));
    assert_null(strstr(found, "share a processor"));
    free(found);
}

static void look_when_restricted(FILE *out, const void *arg)
{
    cpu_set_t all, one;
    (void)arg;
    sched_getaffinity(0, sizeof all, &all);
    CPU_ZERO(&one);
    for (int i = CPU_SETSIZE - 1; i >= 0 && CPU_COUNT(&one) == 0; i--)
        if (CPU_ISSET((size_t)i, &all))
            CPU_SET((size_t)i, &one);
    sched_setaffinity(0, sizeof one, &one);
    const struct topology *t = topology();
    fprintf(out, "%d %d %d %d", t->cores, t->processors, t->runnable, t->threads);
}

static void test_one_allowed_processor_is_one_thread(void **state)
{
    (void)state;
    char *found = in_child(look_when_restricted, NULL);
    assert_string_equal(found, "1 1 1 1");
    free(found);
}

/* Runs the program with a machine that hwloc simulates; its output, then the exit status. */
static void look_at_program(FILE *out, const void *arg)
{
    const char *binary = getenv("QTOP_BIN");
    setenv("HWLOC_SYNTHETIC", "node:2 core:64 pu:2", 1);
    dup2(fileno(out), STDOUT_FILENO);
    dup2(fileno(out), STDERR_FILENO);
    execl(binary ? binary : "./qtop", "qtop", "bench", "-n", "2", "-t", (const char *)arg,
          (char *)NULL);
    _exit(127);
}

static void test_too_many_threads_are_wrong_usage(void **state)
{
    (void)state;
    int ends[2], status;
    char text[1024] = "", expected[128];
    cpu_set_t set;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    int processors = CPU_COUNT(&set);
    if (processors >= 200)
        skip(); /* the simulated machine has 256, and 200 of them are not too many here */
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0)
        look_at_program(fdopen(ends[1], "w"), "200");
    close(ends[1]);
    size_t n = 0;
    for (ssize_t got; n < sizeof text - 1 && (got = read(ends[0], text + n, sizeof text - 1 - n)) > 0;)
        n += (size_t)got;
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 2);
    snprintf(expected, sizeof expected, "qtop: --threads 200: this process may use %d processor%s\n",
             processors, processors == 1 ? "" : "s");
    assert_string_equal(text, expected);
}

/* ---- control groups -------------------------------------------------------------------------- */

static char *tree;

static void put(const char *path, const char *text)
{
    char name[512];
    snprintf(name, sizeof name, "%s/%s", tree, path);
    for (char *at = strchr(name + strlen(tree) + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = 0;
        mkdir(name, 0700);
        *at = '/';
    }
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int plant(void **state)
{
    (void)state;
    const char *folder = getenv("TMPDIR");
    if (asprintf(&tree, "%s/qtop-cgroup-XXXXXX", folder ? folder : "/tmp") < 0)
        return -1;
    return mkdtemp(tree) ? 0 : -1;
}

static int fell(void **state)
{
    (void)state;
    char *command;
    int failed = asprintf(&command, "rm -r '%s'", tree) < 0 || system(command) != 0;
    free(command);
    free(tree);
    return failed ? -1 : 0;
}

static void expect_quota(double expected)
{
    double quota = cgroup_cpu_quota(tree);
    assert_true(fabs(quota - expected) <= 1e-9);
}

static void test_quota_version_2(void **state)
{
    (void)state;
    expect_quota(0); /* nothing there at all */
    put("proc/self/cgroup", "0::/a/b\n");
    expect_quota(0);
    put("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    expect_quota(0);
    put("sys/fs/cgroup/a/b/cpu.max", "150000 100000\n");
    expect_quota(1.5);
    put("sys/fs/cgroup/a/cpu.max", "300000 100000\n");
    expect_quota(1.5);
    put("sys/fs/cgroup/a/cpu.max", "20000 100000\n"); /* the one above is tighter */
    expect_quota(0.2);
}

static void test_quota_at_the_root_only(void **state)
{
    (void)state;
    put("proc/self/cgroup", "0::/of/the/host\n"); /* a container that shows its own group as root */
    put("sys/fs/cgroup/cpu.max", "250000 100000\n");
    expect_quota(2.5);
    put("proc/self/cgroup", "0::/\n");
    expect_quota(2.5);
    put("proc/self/cgroup", "0::/../../elsewhere\n"); /* outside of what is mounted */
    put("sys/elsewhere/cpu.max", "100000 100000\n");
    expect_quota(2.5);
}

static void test_quota_version_1(void **state)
{
    (void)state;
    put("proc/self/cgroup", "12:cpuset:/x\n3:cpu,cpuacct:/docker/me\n1:name=systemd:/\n0::/\n");
    put("sys/fs/cgroup/cpu,cpuacct/docker/me/cpu.cfs_quota_us", "-1\n");
    put("sys/fs/cgroup/cpu,cpuacct/docker/me/cpu.cfs_period_us", "100000\n");
    put("sys/fs/cgroup/cpuset/x/cpu.cfs_quota_us", "1000\n"); /* not of this controller */
    put("sys/fs/cgroup/cpuset/x/cpu.cfs_period_us", "100000\n");
    expect_quota(0);
    put("sys/fs/cgroup/cpu,cpuacct/docker/me/cpu.cfs_quota_us", "350000\n");
    expect_quota(3.5);
    put("sys/fs/cgroup/cpu/docker/cpu.cfs_quota_us", "50000\n"); /* through the other name */
    put("sys/fs/cgroup/cpu/docker/cpu.cfs_period_us", "25000\n");
    expect_quota(2);
}

static void test_quota_from_broken_files(void **state)
{
    (void)state;
    static const char *const lines[] = {"", "\n", ":", "::", "0::\n", "0:::\n", "0::relative\n",
                                        "x:cpu\n", "0::/a\n", "7:cpu:/a"};
    static const char *const limits[] = {"", "max", "0 0", "-5 100000", "100000 0", "nan nan",
                                         "100000", "words and words"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        for (size_t j = 0; j < sizeof limits / sizeof *limits; j++) {
            put("proc/self/cgroup", lines[i]);
            put("sys/fs/cgroup/a/cpu.max", limits[j]);
            put("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", limits[j]);
            expect_quota(0);
        }
}

static void test_memory_of_the_group(void **state)
{
    (void)state;
    assert_true(memory_available_in(tree) == SIZE_MAX);
    put("proc/meminfo", "MemTotal: 900 kB\nMemAvailable:    800 kB\n");
    assert_int_equal(memory_available_in(tree), 800 * 1024);
    put("proc/self/cgroup", "4:memory:/one\n0::/two/three\n");
    put("sys/fs/cgroup/memory/one/memory.limit_in_bytes", "700000\n");
    put("sys/fs/cgroup/memory/one/memory.usage_in_bytes", "100000\n");
    assert_int_equal(memory_available_in(tree), 600000);
    put("sys/fs/cgroup/two/memory.max", "500000\n");
    put("sys/fs/cgroup/two/memory.current", "300000\n");
    put("sys/fs/cgroup/two/three/memory.max", "max\n");
    put("sys/fs/cgroup/two/three/memory.current", "300000\n");
    assert_int_equal(memory_available_in(tree), 200000);
    put("sys/fs/cgroup/two/memory.stat", "anon 1\ninactive_file 50000\nactive_file 30000\n");
    assert_int_equal(memory_available_in(tree), 280000); /* pages of files can go */
    put("sys/fs/cgroup/two/memory.current", "900000\n");
    assert_int_equal(memory_available_in(tree), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_cores_first_then_siblings),
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_a_simulated_machine_binds_nothing),
        cmocka_unit_test(test_a_full_pool_has_a_core_a_thread),
        cmocka_unit_test(test_one_allowed_processor_is_one_thread),
        cmocka_unit_test(test_too_many_threads_are_wrong_usage),
        cmocka_unit_test_setup_teardown(test_quota_version_2, plant, fell),
        cmocka_unit_test_setup_teardown(test_quota_at_the_root_only, plant, fell),
        cmocka_unit_test_setup_teardown(test_quota_version_1, plant, fell),
        cmocka_unit_test_setup_teardown(test_quota_from_broken_files, plant, fell),
        cmocka_unit_test_setup_teardown(test_memory_of_the_group, plant, fell),
    };
    return cmocka_run_group_tests_name("placement", tests, NULL, NULL);
}

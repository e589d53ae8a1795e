/* Roofs: what measuring promises, the file they are kept in and what is wrong with such files, rates in
 * writing, and what a sweep reads. */
#include "sys/memory.h"
#include "engine/weights.h"
#include "base/clock.h"
#include "measure/known_roofs.h"
#include "measure/roofs_cache.h"
#include "sys/topology.h"
#include "model/synthetic.h"
#include "quant/recipe.h"
#include "caches.h"
#include "modelfile.h"
#include "support.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct pool *pool;
static char *folder, *file;
static struct roofs made; /* figures of this machine's shape that were not measured */
static const char mine[] = "qtop 1; a processor; 2 threads";

/* ---- figures --------------------------------------------------------------------------------- */

static struct roof roof_of(double median)
{
    return (struct roof){{median, median * 0.7, median * 1.1}, 5};
}

static void make_up_figures(void)
{
    int counts[MAX_READ_ROOFS];
    made = (struct roofs){.threads = 5, .seconds = 0.1 + 0.2, .measured = 1700000000};
    made.read_count = roofs_thread_counts(5, counts);
    for (size_t i = 0; i < made.read_count; i++)
        made.reads[i] = (struct read_roof){counts[i], 1 << 20, roof_of(1e10 / 3 * counts[i]), {""}};
    for (size_t i = 0; isa_at(i); i++) {
        if (!isa_at(i)->available())
            continue;
        struct peak_roof *set = &made.sets[made.set_count++];
        set->isa = isa_at(i);
        for (size_t k = 0; k < PEAK_COUNT; k++)
            if (peaks[k].of(set->isa))
                set->of[k] = roof_of(1e11 / 7 * (double)(k + 1));
    }
}

static int set_up(void **state)
{
    (void)state;
    folder = folder_make();
    file = path_in(folder, "cache/qtop/roofs.json");
    pool = pool_create(topology()->threads, NULL);
    make_up_figures();
    return folder && file && pool ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    pool_destroy(pool);
    free(file);
    folder_remove(folder);
    return 0;
}

static bool same_roof(const struct roof *a, const struct roof *b)
{
    return a->samples == b->samples && memcmp(&a->rate, &b->rate, sizeof a->rate) == 0;
}

static void assert_same(const struct roofs *a, const struct roofs *b)
{
    assert_int_equal(a->threads, b->threads);
    assert_int_equal(a->read_count, b->read_count);
    assert_int_equal(a->set_count, b->set_count);
    assert_int_equal(a->measured, b->measured);
    assert_true(memcmp(&a->seconds, &b->seconds, sizeof a->seconds) == 0);
    for (size_t i = 0; i < a->read_count; i++) {
        assert_int_equal(a->reads[i].threads, b->reads[i].threads);
        assert_int_equal(a->reads[i].buffer, b->reads[i].buffer);
        assert_true(same_roof(&a->reads[i].roof, &b->reads[i].roof));
    }
    for (size_t i = 0; i < a->set_count; i++) {
        assert_ptr_equal(a->sets[i].isa, b->sets[i].isa);
        for (size_t k = 0; k < PEAK_COUNT; k++)
            assert_true(same_roof(&a->sets[i].of[k], &b->sets[i].of[k]));
    }
}

/* ---- measuring ------------------------------------------------------------------------------- */

static void test_thread_counts(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 1024; threads++) {
        int counts[MAX_READ_ROOFS];
        size_t n = roofs_thread_counts(threads, counts);
        assert_in_range(n, 1, MAX_READ_ROOFS);
        assert_int_equal(counts[0], 1);
        assert_int_equal(counts[n - 1], threads);
        for (size_t i = 1; i < n; i++)
            assert_true(counts[i] > counts[i - 1] && (counts[i] > 8 || counts[i] == (int)i + 1));
    }
}

static void assert_measured(const struct roof *r, const char *what)
{
    bool right = r->samples >= 3 && r->rate.min > 0 && r->rate.min <= r->rate.median &&
                 r->rate.median <= r->rate.max && isfinite(r->rate.max);
    if (!right)
        fail_msg("%s: %g, %g to %g of %zu", what, r->rate.median, r->rate.min, r->rate.max,
                 r->samples);
}

static void assert_all_measured(const struct roofs *r)
{
    int counts[MAX_READ_ROOFS];
    assert_int_equal(r->threads, pool_threads(pool));
    assert_int_equal(r->read_count, roofs_thread_counts(r->threads, counts));
    for (size_t i = 0; i < r->read_count; i++) {
        assert_int_equal(r->reads[i].threads, counts[i]);
        assert_true(r->reads[i].buffer >= 4 * topology()->last_level_cache);
        assert_measured(&r->reads[i].roof, "reading");
    }
    for (size_t i = 0; i < r->set_count; i++) {
        assert_true(r->sets[i].isa->available());
        for (size_t k = 0; k < PEAK_COUNT; k++)
            if (peaks[k].of(r->sets[i].isa))
                assert_measured(&r->sets[i].of[k], peaks[k].name);
            else
                assert_int_equal(r->sets[i].of[k].samples, 0);
    }
    assert_true(r->seconds > 0 && r->measured > 1600000000);
}

static void test_a_job_in_slices(void **state)
{
    (void)state;
    struct roofs_job job;
    double before = 0;
    size_t steps = 1;
    roofs_begin(&job, pool);
    assert_true(roofs_fraction(&job) == 0);
    for (; !roofs_step(&job, 0); steps++) {
        double fraction = roofs_fraction(&job);
        assert_true(fraction >= before && fraction <= 1);
        before = fraction;
    }
    assert_true(roofs_fraction(&job) == 1);
    assert_true(steps >= 4 * job.out.read_count); /* a sweep each, and one to warm up */
    struct roofs out = roofs_take(&job);
    roofs_end(&job);
    assert_all_measured(&out);
}

static void add_one(void *arg, size_t begin, size_t end, int thread)
{
    (void)thread;
    atomic_fetch_add((atomic_size_t *)arg, end - begin);
}

/* At any point, nothing is left behind (a sanitizer sees to that) and the pool goes on. */
static void test_a_job_can_be_cancelled(void **state)
{
    (void)state;
    for (size_t steps = 0; steps < 14; steps++) {
        struct roofs_job job;
        atomic_size_t done = 0;
        roofs_begin(&job, pool);
        for (size_t i = 0; i < steps; i++)
            (void)roofs_step(&job, 0);
        roofs_end(&job);
        assert_null(job.probe.buffer);
        roofs_end(&job); /* again */
        pool_run(pool, 1000, add_one, &done);
        assert_int_equal(atomic_load(&done), 1000);
    }
}

enum { SLEEP = 2000 /* microseconds */ };
static const double MACS = 5e6;
static atomic_size_t runs;

static double pretend(size_t rounds)
{
    assert_true(rounds > 0);
    atomic_fetch_add(&runs, 1);
    usleep(SLEEP);
    return MACS;
}

/* The clock here spans more than the one there, and a sleep is never shorter than it was asked to be. */
static void test_a_peak_is_work_by_time(void **state)
{
    (void)state;
    atomic_store(&runs, 0);
    double begin = clock_seconds(), rate = roofs_peak(pretend, pool), end = clock_seconds();
    size_t done = atomic_load(&runs), threads = (size_t)pool_threads(pool);
    assert_int_equal(done % threads, 0);
    assert_true(rate >= MACS * (double)done / (end - begin));
    assert_true(rate <= MACS * (double)done / ((double)(done / threads) * SLEEP * 1e-6));
}

/* ---- on another topology --------------------------------------------------------------------- */

/* Starts this program with the name of a look on a simulated machine. */
static void assert_on(const char *synthetic, const char *look)
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        caches_restore();
        setenv("HWLOC_SYNTHETIC", synthetic, 1);
        execl("/proc/self/exe", "roofs_test", look, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

enum { CACHE = 1000000 };

/* topology() is read once a process, so these run in this program started anew: see main. */
static bool buffers_exceed_the_caches_in_reach(void)
{
    struct pool *four = pool_create(4, NULL);
    bool right = topology()->last_level_cache == CACHE && topology()->last_level_caches == 2;
    for (int threads = 1; threads <= 4 && right; threads++) {
        struct bandwidth_probe probe;
        size_t caches = threads < 2 ? 1 : 2;
        right = bandwidth_open_narrow(&probe, four, threads, NULL) &&
                probe.size >= 4 * caches * CACHE && probe.size < 4 * caches * CACHE + (1 << 16);
        for (size_t i = 0; right && i < probe.size; i++)
            right = probe.buffer[i] == 1; /* all of it was touched */
        right = right && bandwidth_sweep(&probe) > 0;
        bandwidth_close(&probe);
    }
    pool_destroy(four);
    return right;
}

static bool nothing_is_measured(void)
{
    struct roofs roofs;
    struct roofs_source source;
    struct error error = {""};
    struct pool *one = pool_create(1, NULL);
    bool right = topology_simulated() && !roofs_here(one, true, &roofs, &source, &error) &&
                 strstr(error.text, "simulated");
    pool_destroy(one);
    return right;
}

static const struct {
    const char *name;
    bool (*look)(void);
} looks[] = {{"buffers", buffers_exceed_the_caches_in_reach}, {"nothing", nothing_is_measured}};

static void test_buffers_exceed_the_caches_in_reach(void **state)
{
    (void)state;
    assert_on("pack:2 l3:1(size=1000000) core:2 pu:1", looks[0].name);
}

static void test_nothing_is_measured_for_a_simulated_machine(void **state)
{
    (void)state;
    assert_on("pack:2 core:2 pu:1", looks[1].name);
}

/* ---- what a sweep reads ---------------------------------------------------------------------- */

static struct {
    unsigned char *buffer;
    size_t size, page;
    atomic_bool read[1 << 16]; /* by page */
} watched;

/* A page that was read the first time becomes readable. */
static void note_page(int signal, siginfo_t *info, void *context)
{
    size_t at = (size_t)((unsigned char *)info->si_addr - watched.buffer);
    (void)signal;
    (void)context;
    if (at >= watched.size)
        _exit(1);
    atomic_store(&watched.read[at / watched.page], true);
    mprotect(watched.buffer + at / watched.page * watched.page, watched.page, PROT_READ | PROT_WRITE);
}

/* No page may be read until it is: then it is noted. */
static size_t pages_read(const struct bandwidth_probe *probe)
{
    struct sigaction before, catch = {.sa_sigaction = note_page, .sa_flags = SA_SIGINFO};
    size_t count = 0;
    memset(&watched, 0, sizeof watched);
    watched.buffer = probe->buffer;
    watched.size = probe->size;
    watched.page = (size_t)sysconf(_SC_PAGESIZE);
    assert_true(probe->size / watched.page <= sizeof watched.read / sizeof *watched.read);
    assert_int_equal(sigaction(SIGSEGV, &catch, &before), 0);
    assert_int_equal(mprotect(probe->buffer, probe->size, PROT_NONE), 0);
    (void)bandwidth_sweep(probe);
    assert_int_equal(sigaction(SIGSEGV, &before, NULL), 0);
    assert_int_equal(mprotect(probe->buffer, probe->size, PROT_READ | PROT_WRITE), 0);
    for (size_t i = 0; i < probe->size / watched.page; i++)
        count += atomic_load(&watched.read[i]);
    return count;
}

/* tests/bench sweep compares its speed with a plain loop's. */
static void test_a_sweep_reads_every_page(void **state)
{
    (void)state;
    for (int threads = 1; threads <= pool_threads(pool); threads++) {
        struct bandwidth_probe probe;
        struct error error;
        if (!bandwidth_open_narrow(&probe, pool, threads, &error))
            fail_msg("%s", error.text);
        size_t read = pages_read(&probe);
        assert_int_equal(read, probe.size / watched.page);
        bandwidth_close(&probe);
    }
}

/* ---- the file -------------------------------------------------------------------------------- */

static void test_figures_come_back(void **state)
{
    (void)state;
    struct roofs back;
    struct error error = {""};
    assert_int_equal(roofs_load(file, mine, &back, &error), ROOFS_ABSENT);
    if (!roofs_save(file, mine, &made, &error)) /* makes the folders */
        fail_msg("%s", error.text);
    if (roofs_load(file, mine, &back, &error) != ROOFS_FOUND)
        fail_msg("%s", error.text);
    assert_same(&made, &back);
    assert_true(roofs_save(file, mine, &made, &error)); /* over itself */
    assert_int_equal(unlink(file), 0);
}

static void refuse(const char *path, const char *fingerprint, const char *word, const char *what)
{
    struct roofs back;
    struct error error = {""};
    enum roofs_found found = roofs_load(path, fingerprint, &back, &error);
    if (found != ROOFS_REFUSED || !strstr(error.text, word) || !strstr(error.text, "is not used"))
        fail_msg("%s: found %d: '%s'; expected '%s'", what, (int)found, error.text, word);
    assert_int_equal(back.threads, 0);
}

static void refuse_text(const char *text, size_t n, const char *word)
{
    write_file(file, text, n);
    refuse(file, mine, word, text);
}

static void test_another_fingerprint(void **state)
{
    (void)state;
    struct error error;
    assert_true(roofs_save(file, mine, &made, &error));
    refuse(file, "qtop 1; a processor; 3 threads", "another machine or setting", "other threads");
    refuse(file, "", "another machine or setting", "none");
}

/* Every file that was cut short. */
static void test_truncated_files(void **state)
{
    (void)state;
    struct error error;
    size_t n;
    assert_true(roofs_save(file, mine, &made, &error));
    char *whole = read_whole(file, &n);
    assert_non_null(whole);
    while (n > 0 && whole[n - 1] != '}')
        n--;
    for (size_t cut = 0; cut < n; cut += 1 + cut / 50)
        refuse_text(whole, cut, "it: ");
    free(whole);
}

/* The file with one piece replaced by another. */
static void refuse_edited(const char *whole, const char *from, const char *to, const char *word)
{
    char edited[1 << 15];
    const char *at = strstr(whole, from);
    if (!at)
        fail_msg("no '%s' in what was written", from);
    int n = snprintf(edited, sizeof edited, "%.*s%s%s", (int)(at - whole), whole, to,
                     at + strlen(from));
    refuse_text(edited, (size_t)n, word);
}

static void test_foreign_files(void **state)
{
    (void)state;
    static const char *const edits[][3] = {
        {"\"qtop_roofs\": 1", "\"qtop_roofs\": 2", "qtop_roofs"},
        {"\"qtop_roofs\": 1,", "", "qtop_roofs"},
        {"\"fingerprint\": \"", "\"fingerprint_\": \"", "fingerprint"},
        {"\"threads\": 5", "\"threads\": 0", "threads"},
        {"\"threads\": 5", "\"threads\": 4", "reads"},
        {"\"threads\": 5", "\"threads\": 5.0", "threads"},
        {"\"threads\": 5", "\"threads\": 99999999999", "threads"},
        {"\"measured\": 1700000000", "\"measured\": -1", "measured"},
        {"\"measured\": 1700000000", "\"measured\": \"now\"", "measured"},
        {"\"seconds\": 0.3", "\"seconds\": -0.3", "seconds"},
        {"\"samples\": 5", "\"samples\": 0", "bytes_per_second"},
        {"\"samples\": 5", "\"samples\": 1001", "bytes_per_second"},
        {"\"median\": 3333333333.3", "\"median\": 9333333333.3", "bytes_per_second"},
        {"\"median\": 3333333333.3", "\"median\": 333.3", "bytes_per_second"},
        {"\"median\": 3333333333.3", "\"median\": null, \"x\": 1.3", "bytes_per_second"},
        {"\"buffer_bytes\": 1048576", "\"buffer_bytes\": 0", "buffer_bytes"},
        {"\"isa\": \"c\"", "\"isa\": \"x\"", "isa"},
        {"\"fp32\": null", "\"fp32\": {\"median\": 1e9, \"least\": 1e9, \"most\": 1e9, \"samples\": 3}",
         "fp32"},
        {"\"reads\": [", "\"reads_\": [", "reads"},
        {"\"sets\": [", "\"sets\": [], \"sets_\": [", "isa"},
    };
    struct error error;
    size_t n;
    assert_true(roofs_save(file, mine, &made, &error));
    char *whole = read_whole(file, &n);
    assert_non_null(whole);
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++)
        refuse_edited(whole, edits[i][0], edits[i][1], edits[i][2]);
    refuse_edited(whole, "\n}", "\n} x", "it: ");
    free(whole);
    refuse_text("[]", 2, "a list");
    refuse_text("{}", 2, "qtop_roofs");
    refuse_text("\x7f""ELF\0\0", 6, "it: ");
    refuse_text("{\"a\":[[[[[[[[[]]]]]]]]]}", 23, "nested");
}

static void test_things_that_are_no_such_file(void **state)
{
    (void)state;
    char *large = make(1 << 17);
    memset(large, ' ', 1 << 17);
    refuse_text(large, 1 << 17, "131072 bytes");
    free(large);
    unlink(file);
    assert_int_equal(mkfifo(file, 0600), 0);
    refuse(file, mine, "not a regular file", "a pipe");
    unlink(file);
    assert_int_equal(mkdir(file, 0700), 0);
    refuse(file, mine, "not a regular file", "a folder");
    rmdir(file);
}

/* Below a file there is no folder to be made, even for root. */
static void test_a_folder_that_cannot_be_written(void **state)
{
    (void)state;
    struct error error = {""};
    char *plain = path_in(folder, "plain"), *below = path_in(folder, "plain/qtop/roofs.json");
    struct roofs back;
    write_file(plain, "x", 1);
    assert_false(roofs_save(below, mine, &made, &error));
    assert_non_null(strstr(error.text, "cannot be written"));
    assert_int_equal(roofs_load(below, mine, &back, &error), ROOFS_ABSENT);
    free(plain);
    free(below);
}

static void test_roofs_with_a_gap_are_not_kept(void **state)
{
    (void)state;
    struct roofs gap = made;
    struct error error = {""};
    unlink(file);
    gap.reads[0].roof = (struct roof){0};
    error_set(&gap.reads[0].reason, "no memory today");
    assert_false(roofs_save(file, mine, &gap, &error));
    assert_string_equal(error.text, "no memory today");
    assert_int_equal(access(file, F_OK), -1);
}

/* ---- where it is ----------------------------------------------------------------------------- */

static void expect_path(const char *cache, const char *home, const char *start)
{
    struct error error = {""};
    if (cache)
        setenv("XDG_CACHE_HOME", cache, 1);
    else
        unsetenv("XDG_CACHE_HOME");
    if (home)
        setenv("HOME", home, 1);
    else
        unsetenv("HOME");
    char *path = roofs_cache_path(mine, &error);
    if (start && (!path || strncmp(path, start, strlen(start)) != 0 || !strstr(path, ".json")))
        fail_msg("'%s': expected one below %s", path ? path : error.text, start);
    if (!start && (path || !strstr(error.text, "HOME")))
        fail_msg("'%s': expected an error", path ? path : error.text);
    free(path);
}

static void test_where_the_file_is(void **state)
{
    (void)state;
    char *home = getenv("HOME") ? strdup(getenv("HOME")) : NULL;
    char *cache = getenv("XDG_CACHE_HOME") ? strdup(getenv("XDG_CACHE_HOME")) : NULL;
    expect_path("/a/b", "/home/me", "/a/b/qtop/roofs-");
    expect_path("relative", "/home/me", "/home/me/.cache/qtop/roofs-");
    expect_path("", "/home/me", "/home/me/.cache/qtop/roofs-");
    expect_path(NULL, "/home/me", "/home/me/.cache/qtop/roofs-");
    expect_path(NULL, "", NULL);
    expect_path("x", NULL, NULL);
    char *one = (setenv("HOME", "/h", 1), roofs_cache_path("one", NULL));
    char *two = roofs_cache_path("two", NULL);
    assert_string_not_equal(one, two);
    free(one);
    free(two);
    if (home)
        setenv("HOME", home, 1);
    if (cache)
        setenv("XDG_CACHE_HOME", cache, 1);
    free(home);
    free(cache);
}

static void make_steady(struct roofs *r)
{
    for (size_t i = 0; i < r->read_count; i++)
        r->reads[i].roof.rate.min = r->reads[i].roof.rate.max = r->reads[i].roof.rate.median =
            r->reads[0].roof.rate.median;
    for (size_t i = 0; i < r->set_count * PEAK_COUNT; i++) {
        struct stats *s = &r->sets[i / PEAK_COUNT].of[i % PEAK_COUNT].rate;
        s->min = s->max = s->median;
    }
    r->exceeded = false;
}

/* The worst run, and the best, of a roof with a median of 100: what counts as the mark of a busy machine. */
static void test_disturbed_roofs(void **state)
{
    (void)state;
    static const struct {
        double min, max;
        bool disturbed;
    } cases[] = {{100, 100, false}, {90, 120, false}, {95, 126, true}, {60, 100, true}, {70, 104, false}};
    struct roof steady = {{110, 100, 120}, 9}, none = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct roof r = {{100, cases[i].min, cases[i].max}, 9};
        assert_int_equal(roof_was_disturbed(&r), cases[i].disturbed);
        assert_true(roof_is_better(&steady, &r) && !roof_is_better(&r, &steady));
    }
    assert_false(roof_was_disturbed(&none));
    struct roof slow = {{50, 20, 100}, 9}, fast = {{80, 20, 100}, 9}; /* both disturbed */
    assert_true(roof_is_better(&fast, &slow) && !roof_is_better(&slow, &fast));
}

/* Any roof makes all suspect: each is one of a figure's denominators. */
static void test_one_disturbed_roof_is_enough(void **state)
{
    (void)state;
    struct roofs all = roofs_measure(pool);
    make_steady(&all);
    assert_false(roofs_were_disturbed(&all));
    for (size_t i = 0; i < all.read_count; i++) {
        struct roofs one = all;
        one.reads[i].roof.rate.max *= 2;
        assert_true(roofs_were_disturbed(&one));
    }
    for (size_t i = 0; i < all.set_count * PEAK_COUNT; i++) {
        struct roofs one = all;
        struct roof *r = &one.sets[i / PEAK_COUNT].of[i % PEAK_COUNT];
        r->rate.min /= 2;
        assert_int_equal(roofs_were_disturbed(&one), r->samples > 0);
    }
    for (size_t i = 1; i < all.read_count; i++) { /* more threads do not read slower by much */
        struct roofs one = all;
        struct stats *s = &one.reads[i].roof.rate;
        s->median = s->min = s->max = all.reads[0].roof.rate.median / 1.3;
        assert_true(roofs_fall_short(&one, i) && roofs_were_disturbed(&one));
        s->median = s->min = s->max = all.reads[0].roof.rate.median / 1.2;
        assert_true(!roofs_fall_short(&one, 0) && (i > 1 || !roofs_fall_short(&one, i)));
    }
    all.exceeded = true;
    assert_true(roofs_were_disturbed(&all));
}

/* Disturbed ones are kept for want of better, measured again when they are asked for, and never take the place of good
 * ones. */
static void test_disturbed_roofs_are_not_kept_as_good(void **state)
{
    (void)state;
    char print[FINGERPRINT_TEXT];
    struct roofs roofs = roofs_measure(pool), found;
    struct roofs_source source = {0};
    struct error error = {""};
    char *cache = path_in(folder, "busy");
    setenv("XDG_CACHE_HOME", cache, 1);
    roofs_fingerprint(pool_threads(pool), print);
    char *path = roofs_cache_path(print, &error);
    for (int exceeded = 0; exceeded < 2; exceeded++) {
        make_steady(&roofs);
        struct roofs busy = roofs;
        busy.exceeded = exceeded;
        busy.reads[0].roof.rate.max *= exceeded ? 1 : 2;
        unlink(path);
        roofs_keep(pool, &busy, &source);
        assert_true(roofs_recall(pool, &found, &source) && roofs_were_disturbed(&found));
        assert_int_equal(found.exceeded, exceeded);
        assert_true(roofs_here(pool, false, &found, &source, &error));
        assert_false(source.cached);
        roofs_keep(pool, &roofs, &source);
        roofs_keep(pool, &busy, &source);
        assert_true(roofs_recall(pool, &found, &source) && !roofs_were_disturbed(&found));
        roofs_replace(pool, &busy, &source); /* what is known to be too low goes */
        assert_true(roofs_recall(pool, &found, &source) && roofs_were_disturbed(&found));
    }
    free(path);
    free(cache);
    unsetenv("XDG_CACHE_HOME");
}

/* One measurement serves until it is asked for another; what is broken is measured again. */
static void test_figures_are_kept(void **state)
{
    (void)state;
    char print[FINGERPRINT_TEXT];
    struct roofs first, next;
    struct roofs_source source;
    struct error error;
    char *cache = path_in(folder, "kept");
    setenv("XDG_CACHE_HOME", cache, 1);
    roofs_fingerprint(pool_threads(pool), print);
    char *path = roofs_cache_path(print, &error);
    assert_true(roofs_here(pool, false, &first, &source, &error));
    assert_false(source.cached);
    assert_string_equal(source.load.text, "");
    assert_string_equal(source.save.text, "");
    assert_all_measured(&first);
    make_steady(&first); /* as on a machine that did nothing else */
    assert_true(roofs_save(path, print, &first, &error));
    assert_true(roofs_here(pool, false, &next, &source, &error));
    assert_true(source.cached);
    assert_same(&first, &next);
    assert_true(roofs_here(pool, true, &next, &source, &error));
    assert_false(source.cached);
    assert_true(next.seconds != first.seconds);
    write_file(path, "{", 1);
    assert_true(roofs_here(pool, false, &next, &source, &error));
    assert_false(source.cached);
    assert_non_null(strstr(source.load.text, "is not used"));
    assert_int_equal(roofs_load(path, print, &next, &error), ROOFS_FOUND); /* mended */
    free(path);
    free(cache);
    unsetenv("XDG_CACHE_HOME");
}

static void test_a_fingerprint_has_what_matters(void **state)
{
    (void)state;
    char one[FINGERPRINT_TEXT], two[FINGERPRINT_TEXT];
    roofs_fingerprint(1, one);
    roofs_fingerprint(2, two);
    assert_string_not_equal(one, two);
    assert_non_null(strstr(one, topology()->processor));
    assert_non_null(strstr(one, isa_current()->name));
    assert_non_null(strstr(one, "qtop "));
}

/* ---- rates in writing ------------------------------------------------------------------------ */

static void test_rates(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double rate;
    } good[] = {{"2TB/s", 2e12},    {"50GB/s", 50e9},   {"68.5 GB/s", 68.5e9}, {"900e9", 900e9},
                {"900e9B/s", 9e11}, {"1MB/s", 1e6},     {"50gb/s", 50e9},      {"h100", 3.35e12},
                {"H100", 3.35e12},  {"a100", 2e12},     {"rtx4090", 1.008e12}, {"M2-Ultra", 800e9},
                {"ddr5-5600", 89.6e9}};
    static const char *const bad[] = {"",      "abc",     "2",      "2TB",     "-2GB/s", "nanGB/s",
                                      "0GB/s", "infTB/s", "inf",    "2GB/sx",  "1e99TB/s", "h",
                                      "h1000", "GB/s",    "2 GB /s", "0.5MB/s", "2,5GB/s"};
    const struct known_roof *known;
    double rate;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct error error = {""};
        if (!roof_parse(good[i].text, &rate, &known, &error))
            fail_msg("%s", error.text);
        assert_true(fabs(rate / good[i].rate - 1) < 1e-12);
        assert_int_equal(known != NULL, i >= 7);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct error error = {""};
        if (roof_parse(bad[i], &rate, &known, &error) || !strstr(error.text, "expected") ||
            !strstr(error.text, "2TB/s") || !strstr(error.text, "h100"))
            fail_msg("'%s': %s", bad[i], error.text);
    }
}

/* 14 GB at 2 TB/s are 143 tokens a second; Llama 2's 7 B have 6.74e9 weights, 131e6 of which are
 * embeddings that a token reads one row of. */
static void test_seven_billion_weights_at_two_terabytes(void **state)
{
    (void)state;
    struct scheme schemes[512];
    struct weights_totals totals;
    struct model *m = synthetic_open(shape_find("llama2-7b", NULL), NULL);
    assert_non_null(m);
    assert_true(schemes_count(m) <= 512);
    for (size_t i = 0; i < m->tensor_count; i++)
        schemes[i] = scheme_stored(&m->tensors[i].stored); /* fp16 */
    schemes[kv_index(m)] = scheme_default(DTYPE_FP32);
    assert_true(schemes_totals(m, schemes, 0, &totals));
    assert_true(fabs(roof_tokens_per_second(2e12, 14000000000) - 143) < 0.5);
    double speed = roof_tokens_per_second(2e12, totals.bytes_per_token);
    double expected = 143 * 14e9 / (2 * (6738.4e6 - 131.1e6));
    if (!(fabs(speed / expected - 1) < 0.005))
        fail_msg("%g tokens/s of %zu bytes a token; expected %g", speed, totals.bytes_per_token, expected);
    assert_true(isnan(roof_tokens_per_second(2e12, 0)));
    model_close(m);
}

/* ---- huge pages ------------------------------------------------------------------------------ */

static void test_huge_pages(void **state)
{
    (void)state;
    static const char *const lines[][2] = {{"always [madvise] never\n", "madvise"},
                                           {"[always] madvise never\n", "always"},
                                           {"always madvise [never]", "never"},
                                           {"always madvise never\n", NULL},
                                           {"[]", NULL},
                                           {"", NULL}};
    struct error error = {""};
    char mode[16], *path = path_in(folder, "sys");
    for (const char *part = "/kernel/mm/transparent_hugepage"; path;) {
        mkdir(path, 0700);
        size_t next = strlen(part) ? 1 + strcspn(part + 1, "/") : 0;
        if (next == 0)
            break;
        char *longer;
        assert_true(asprintf(&longer, "%s%.*s", path, (int)next, part) > 0);
        free(path);
        path = longer;
        part += next;
    }
    assert_false(memory_huge_pages(folder, mode, &error));
    assert_non_null(strstr(error.text, "cannot be read"));
    free(path);
    path = path_in(folder, "sys/kernel/mm/transparent_hugepage/enabled");
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        write_file(path, lines[i][0], strlen(lines[i][0]));
        bool known = memory_huge_pages(folder, mode, &error);
        assert_int_equal(known, lines[i][1] != NULL);
        if (known)
            assert_string_equal(mode, lines[i][1]);
    }
    free(path);
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof looks / sizeof *looks; i++)
        if (strcmp(argv[1], looks[i].name) == 0)
            return looks[i].look() ? 0 : 1;
    caches_shrink();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thread_counts),
        cmocka_unit_test(test_a_job_in_slices),
        cmocka_unit_test(test_a_job_can_be_cancelled),
        cmocka_unit_test(test_a_peak_is_work_by_time),
        cmocka_unit_test(test_buffers_exceed_the_caches_in_reach),
        cmocka_unit_test(test_nothing_is_measured_for_a_simulated_machine),
        cmocka_unit_test(test_a_sweep_reads_every_page),
        cmocka_unit_test(test_figures_come_back),
        cmocka_unit_test(test_another_fingerprint),
        cmocka_unit_test(test_truncated_files),
        cmocka_unit_test(test_foreign_files),
        cmocka_unit_test(test_things_that_are_no_such_file),
        cmocka_unit_test(test_a_folder_that_cannot_be_written),
        cmocka_unit_test(test_roofs_with_a_gap_are_not_kept),
        cmocka_unit_test(test_where_the_file_is),
        cmocka_unit_test(test_figures_are_kept),
        cmocka_unit_test(test_disturbed_roofs),
        cmocka_unit_test(test_one_disturbed_roof_is_enough),
        cmocka_unit_test(test_disturbed_roofs_are_not_kept_as_good),
        cmocka_unit_test(test_a_fingerprint_has_what_matters),
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_seven_billion_weights_at_two_terabytes),
        cmocka_unit_test(test_huge_pages),
    };
    return cmocka_run_group_tests_name("roofs", tests, set_up, tear_down);
}

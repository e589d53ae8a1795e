/* The thread pool: every item once, shares kept, a held-up thread costs one chunk, nested calls, many
 * short tasks, sleeping and waking, a busy machine. And memory in huge pages. */
#include "base/pages.h"
#include "sys/pool.h"
#include "base/clock.h"
#include "sys/topology.h"
#include "support.h"

#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static void nap(double seconds)
{
    struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&t, NULL);
}

/* ---- every item once ------------------------------------------------------------------------- */

struct tally {
    _Atomic unsigned char *seen; /* by item */
    atomic_int wrong;
    int threads;
    size_t n;
    double pause; /* of odd threads, seconds */
};

static void count_items(void *arg, size_t begin, size_t end, int thread)
{
    struct tally *t = arg;
    if (begin >= end || end > t->n || thread < 0 || thread >= t->threads)
        atomic_fetch_add(&t->wrong, 1);
    if (t->pause > 0 && thread % 2)
        nap(t->pause);
    for (size_t i = begin; i < end && i < t->n; i++)
        atomic_fetch_add(&t->seen[i], 1);
}

static void expect_each_once(struct pool *pool, size_t n, double pause)
{
    struct tally t = {make(n), 0, pool_threads(pool), n, pause};
    memset((void *)t.seen, 0, n);
    pool_run(pool, n, count_items, &t);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(t.seen[i], 1);
    assert_int_equal(t.wrong, 0);
    free((void *)t.seen);
}

static const int thread_counts[] = {1, 2, 3, 4, 7, 16};
enum { COUNTS = sizeof thread_counts / sizeof *thread_counts };

static void test_every_item_once(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 64, 65, 1000, 65537, 200001};
    for (size_t c = 0; c < COUNTS; c++) {
        struct pool *pool = pool_create(thread_counts[c], NULL);
        assert_non_null(pool);
        assert_int_equal(pool_threads(pool), thread_counts[c]);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            expect_each_once(pool, sizes[i], 0);
        for (size_t n = 0; n < 80; n++)
            expect_each_once(pool, n, 0);
        pool_destroy(pool);
    }
}

static void test_every_item_once_when_others_take_over(void **state)
{
    (void)state;
    for (size_t c = 1; c < COUNTS; c++) {
        struct pool *pool = pool_create(thread_counts[c], NULL);
        for (size_t n = 1; n < 200; n += 13)
            expect_each_once(pool, n, 0.0002);
        pool_destroy(pool);
    }
}

/* More chunks than a claim can count must not be made: one pool of very many threads. */
static void test_many_threads(void **state)
{
    (void)state;
    struct pool *pool = pool_create(200, NULL);
    assert_non_null(pool);
    expect_each_once(pool, 100003, 0);
    expect_each_once(pool, 3, 0);
    pool_destroy(pool);
}

struct sums {
    uint64_t total;
    uint64_t part[16];
};

/* What was written by others before the task, and by threads in it, is seen after it. */
static void add_items(void *arg, size_t begin, size_t end, int thread)
{
    struct sums *s = arg;
    for (size_t i = begin; i < end; i++)
        s->part[thread] += i + s->total % 2;
}

static void test_many_short_tasks(void **state)
{
    (void)state;
    enum { TASKS = 20000, ITEMS = 37 };
    for (int threads = 2; threads <= 4; threads++) {
        struct pool *pool = pool_create(threads, NULL);
        struct sums s = {0};
        uint64_t expected = 0;
        for (int task = 0; task < TASKS; task++) {
            size_t n = (size_t)(task % ITEMS);
            memset(s.part, 0, sizeof s.part);
            expected += n * (n - (n > 0)) / 2 + n * (expected % 2);
            pool_run(pool, n, add_items, &s);
            uint64_t sum = 0;
            for (int t = 0; t < threads; t++)
                sum += s.part[t];
            s.total += sum;
            assert_int_equal(s.total, expected);
        }
        pool_destroy(pool);
    }
}

/* ---- who does what --------------------------------------------------------------------------- */

struct owners {
    atomic_int here;
    int threads;
    bool meet;      /* every thread waits in its first range until all have come */
    double until;
    _Atomic int *owner; /* by item */
    atomic_int ranges[256];
};

static void own_items(void *arg, size_t begin, size_t end, int thread)
{
    struct owners *o = arg;
    if (atomic_fetch_add(&o->ranges[thread], 1) == 0 && o->meet) {
        atomic_fetch_add(&o->here, 1);
        while (atomic_load(&o->here) < o->threads && clock_seconds() < o->until)
            nap(0.0001);
    }
    for (size_t i = begin; i < end; i++)
        atomic_store(&o->owner[i], thread);
}

/* Every thread waits in its first range for the others, so none takes over before all have begun: that
 * first range must be the first of the thread's own share. */
static void test_items_begin_with_their_owner(void **state)
{
    (void)state;
    enum { N = 6720 }; /* cut evenly for every count of threads */
    for (size_t c = 0; c < COUNTS; c++) {
        int threads = thread_counts[c];
        struct pool *pool = pool_create(threads, NULL);
        for (int round = 0; round < 10; round++) {
            struct owners o = {.threads = threads, .meet = true, .until = clock_seconds() + PATIENCE};
            o.owner = make(N * sizeof *o.owner);
            pool_run(pool, N, own_items, &o);
            assert_int_equal(o.here, threads);
            for (int t = 0; t < threads; t++)
                assert_int_equal(o.owner[(size_t)t * N / (size_t)threads], t);
            free((void *)o.owner);
        }
        pool_destroy(pool);
    }
}

/* A worker that does not come on holds up the one range it has: others do the rest. */
struct stuck {
    atomic_size_t done;
    size_t n;
    double until;
    atomic_bool held, released;
    atomic_size_t left_behind;
};

static void stay_in_one(void *arg, size_t begin, size_t end, int thread)
{
    struct stuck *s = arg;
    if (thread == 1 && !atomic_exchange(&s->held, true)) {
        while (atomic_load(&s->done) + (end - begin) < s->n && clock_seconds() < s->until)
            nap(0.0001);
        atomic_store(&s->left_behind, s->n - atomic_load(&s->done) - (end - begin));
        atomic_store(&s->released, true);
    } else {
        while (!atomic_load(&s->held) && clock_seconds() < s->until)
            nap(0.0001); /* until that one has its first */
    }
    atomic_fetch_add(&s->done, end - begin);
}

static void test_a_held_up_thread_holds_up_one_range(void **state)
{
    (void)state;
    for (int threads = 2; threads <= 4; threads++) {
        struct pool *pool = pool_create(threads, NULL);
        struct stuck s = {.n = 1000, .until = clock_seconds() + PATIENCE};
        pool_run(pool, s.n, stay_in_one, &s);
        assert_true(s.held && s.released);
        assert_int_equal(s.left_behind, 0);
        assert_int_equal(s.done, s.n);
        pool_destroy(pool);
    }
}

struct nested {
    struct pool *pool;
    atomic_int inner_calls, wrong;
};

struct inner {
    struct nested *outer;
    int thread;
    size_t items;
};

static void inner_task(void *arg, size_t begin, size_t end, int thread)
{
    struct inner *i = arg;
    if (thread != i->thread)
        atomic_fetch_add(&i->outer->wrong, 1);
    i->items += end - begin;
}

static void outer_task(void *arg, size_t begin, size_t end, int thread)
{
    struct nested *o = arg;
    for (size_t i = begin; i < end; i++) {
        struct inner inner = {o, thread, 0};
        pool_run(o->pool, 11, inner_task, &inner);
        if (inner.items != 11)
            atomic_fetch_add(&o->wrong, 1);
        atomic_fetch_add(&o->inner_calls, 1);
    }
}

static void test_nested_runs_stay_on_their_thread(void **state)
{
    (void)state;
    for (size_t c = 0; c < COUNTS; c++) {
        struct nested o = {.pool = pool_create(thread_counts[c], NULL)};
        pool_run(o.pool, 50, outer_task, &o);
        pool_run(o.pool, 50, outer_task, &o);
        assert_int_equal(o.inner_calls, 100);
        assert_int_equal(o.wrong, 0);
        pool_destroy(o.pool);
    }
}

/* ---- sleeping, waking, a busy machine -------------------------------------------------------- */

static void test_sleepers_wake(void **state)
{
    (void)state;
    for (int threads = 2; threads <= 4; threads++) {
        struct pool *pool = pool_create(threads, NULL);
        for (int round = 0; round < 30; round++) {
            nap(round % 3 ? 0.002 : 0.0001);
            struct owners o = {.threads = threads, .meet = true, .until = clock_seconds() + PATIENCE};
            o.owner = make(64 * sizeof *o.owner);
            pool_run(pool, 64, own_items, &o);
            assert_int_equal(o.here, threads); /* all came, none was left asleep */
            free((void *)o.owner);
        }
        pool_destroy(pool);
    }
}

/* Whether all threads of this program but the one that asks sleep. */
static bool others_sleep(void)
{
    bool all = true;
    DIR *d = opendir("/proc/self/task");
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        char path[300], state = 'S';
        snprintf(path, sizeof path, "/proc/self/task/%s/stat", e->d_name);
        FILE *f = atoi(e->d_name) > 0 && atoi(e->d_name) != gettid() ? fopen(path, "re") : NULL;
        if (f && fscanf(f, "%*d (%*[^)]) %c", &state) == 1)
            all &= state == 'S';
        if (f)
            fclose(f);
    }
    closedir(d);
    return all;
}

/* A thread that looked for work all the time would be found asleep now and then at most. */
static void test_idle_pools_cost_nothing(void **state)
{
    enum { LOOKS = 20 };
    (void)state;
    struct pool *pool = pool_create(3, NULL);
    int asleep = 0;
    expect_each_once(pool, 100, 0);
    for (double until = clock_seconds() + PATIENCE; asleep < LOOKS && clock_seconds() < until;) {
        nap(0.002);
        asleep = others_sleep() ? asleep + 1 : 0;
    }
    assert_int_equal(asleep, LOOKS);
    pool_destroy(pool);
}

static atomic_bool enough;

static void *burn(void *unused)
{
    (void)unused;
    while (!atomic_load(&enough))
        continue;
    return NULL;
}

static void test_results_under_load(void **state)
{
    (void)state;
    pthread_t load[4];
    atomic_store(&enough, false);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&load[i], NULL, burn, NULL), 0);
    for (size_t c = 0; c < COUNTS; c++) {
        struct pool *pool = pool_create(thread_counts[c], NULL);
        for (size_t n = 1; n < 2000; n += 197)
            expect_each_once(pool, n, 0);
        pool_destroy(pool);
    }
    atomic_store(&enough, true);
    for (int i = 0; i < 4; i++)
        pthread_join(load[i], NULL);
}

static void test_pools_come_and_go(void **state)
{
    (void)state;
    pool_destroy(NULL);
    for (int i = 0; i < 200; i++) {
        struct pool *pool = pool_create(1 + i % 5, NULL);
        assert_non_null(pool);
        if (i % 3)
            expect_each_once(pool, (size_t)i, 0);
        pool_destroy(pool);
    }
}

/* ---- what is worth it ------------------------------------------------------------------------ */

static void *bind_here(void *pool)
{
    pool_bind_caller(pool);
    return NULL;
}

static void test_small_work_stays_alone(void **state)
{
    (void)state;
    struct pool *one = pool_create(1, NULL);
    assert_true(pool_cost(one) == 0);
    assert_false(pool_worthwhile(one, 1e12));
    pool_destroy(one);
    for (int threads = 2; threads < 5; threads++) {
        struct pool *pool = pool_create(threads, NULL);
        pthread_t caller; /* binding is for good, and this thread has other tests to run */
        assert_int_equal(pthread_create(&caller, NULL, bind_here, pool), 0);
        pthread_join(caller, NULL);
        double cost = pool_cost(pool);
        print_message("# %d threads come together in %.0f ns\n", threads, cost);
        assert_true(cost > 0 && cost <= 2000 + 100 * threads);
        assert_false(pool_worthwhile(pool, 0));
        assert_false(pool_worthwhile(pool, 2 * cost));
        assert_true(pool_worthwhile(pool, 8 * cost));
        pool_destroy(pool);
    }
}

/* ---- huge pages ------------------------------------------------------------------------------ */

/* Kilobytes of huge pages in the mapping that holds an address; -1 when the system does not tell. */
static long huge_kilobytes(const void *memory)
{
    FILE *f = fopen("/proc/self/smaps", "r");
    char line[512];
    unsigned long from = 0, to = 0, value;
    long found = -1;
    bool inside = false;
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = (uintptr_t)memory >= from && (uintptr_t)memory < to;
        else if (inside && sscanf(line, "AnonHugePages: %lu", &value) == 1)
            found = (long)value;
    }
    if (f)
        fclose(f);
    return found;
}

static void test_large_memory_is_in_huge_pages(void **state)
{
    (void)state;
    size_t n;
    char *mode = read_whole("/sys/kernel/mm/transparent_hugepage/enabled", &n);
    bool never = !mode || strstr(mode, "[never]");
    free(mode);
    if (never) {
        print_message("skipped: the system gives no transparent huge pages\n");
        skip();
    }
    size_t size = 16 * (size_t)PAGES_HUGE;
    char *memory = pages_alloc(size);
    assert_non_null(memory);
    memset(memory, 1, size);
    long kilobytes = huge_kilobytes(memory);
    pages_free(memory);
    if (kilobytes < 0) {
        print_message("skipped: /proc/self/smaps does not tell of huge pages\n");
        skip();
    }
    assert_true(kilobytes >= (long)(size / 2048)); /* half of it: memory may be in pieces */
}

static void test_memory_is_aligned(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 63, 64, 65, 4095, 4096, 40961, PAGES_HUGE - 1, PAGES_HUGE,
                                   PAGES_HUGE + 1, 5 * (size_t)PAGES_HUGE + 77};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *memory = pages_alloc(sizes[i]);
        assert_non_null(memory);
        size_t alignment = sizes[i] >= PAGES_HUGE ? PAGES_HUGE : sizes[i] >= 4096 ? 4096 : 64;
        assert_int_equal((uintptr_t)memory % alignment, 0);
        memset(memory, 7, sizes[i]);
        for (size_t skip_bytes = 0; skip_bytes < sizes[i] && skip_bytes < 3; skip_bytes++)
            memory_advise_huge(memory + skip_bytes, sizes[i] - skip_bytes);
        assert_true(sizes[i] == 0 || (memory[0] == 7 && memory[sizes[i] - 1] == 7));
        pages_free(memory);
    }
    pages_free(NULL);
    memory_advise_huge(NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_item_once),
        cmocka_unit_test(test_every_item_once_when_others_take_over),
        cmocka_unit_test(test_many_threads),
        cmocka_unit_test(test_many_short_tasks),
        cmocka_unit_test(test_items_begin_with_their_owner),
        cmocka_unit_test(test_a_held_up_thread_holds_up_one_range),
        cmocka_unit_test(test_nested_runs_stay_on_their_thread),
        cmocka_unit_test(test_sleepers_wake),
        cmocka_unit_test(test_idle_pools_cost_nothing),
        cmocka_unit_test(test_results_under_load),
        cmocka_unit_test(test_pools_come_and_go),
        cmocka_unit_test(test_small_work_stays_alone),
        cmocka_unit_test(test_large_memory_is_in_huge_pages),
        cmocka_unit_test(test_memory_is_aligned),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}

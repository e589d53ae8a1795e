#include "pool.h"

#include "base/clock.h"
#include "topology.h"
#include "thread.h"

#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LINE = 64, CHUNKS_PER_THREAD = 4, CHUNK_BITS = 16, MAX_CHUNKS = (1 << CHUNK_BITS) - 1 };

/* Longer than most serial sections between two matrices of a token. */
static const double SPIN_SECONDS = 50e-6;

struct worker {
    struct pool *pool;
    pthread_t thread;
    atomic_int id; /* the kernel's; 0 until it has started */
    int index;
};

/* What of a thread's own chunks has been claimed: (generation << CHUNK_BITS | chunks). One of an older
 * generation counts as none. */
struct share {
    _Alignas(LINE) _Atomic uint64_t claimed;
};

/* A task is cut into chunks. Chunk k is of the share of thread k * threads / chunks, which claims its
 * own ones first and then others', one by one, so that a thread which the system keeps from running
 * holds up at most one chunk.
 *
 * `task` is (generation << CHUNK_BITS | chunks): what a thread read there alone decides what it may
 * claim, and while a claimed chunk is not done the task cannot end, so fn, arg and items stay as they
 * are. A task ends when every chunk was claimed, so every share that is not empty has then reached the
 * task's generation and refuses whoever comes late. */
struct pool {
    _Alignas(LINE) _Atomic uint64_t task;
    pool_fn *fn; /* written before task changes, as arg and items */
    void *arg;
    size_t items;
    _Alignas(LINE) atomic_size_t done; /* chunks */
    _Alignas(LINE) _Atomic uint32_t bell; /* changes with every task; sleepers wait on it */
    atomic_int sleepers;
    atomic_bool quit;
    struct share *shares;
    struct worker *workers; /* threads - 1 */
    int threads;
    double cost;            /* nanoseconds */
    pthread_mutex_t lock;   /* of what follows */
    int bound;              /* threads that are at their places */
    struct error why_not;   /* of the first that is not */
};

/* The pool whose task this thread is working on, and as which thread. */
static _Thread_local struct {
    const struct pool *pool;
    int thread;
} inside;

/* ---- waiting --------------------------------------------------------------------------------- */

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* A pause takes 40 to 140 cycles, so the clock says how long to spin. */
struct spin {
    unsigned rounds;
    double until;
};

/* False when the time is over. */
static bool spin(struct spin *s)
{
    relax();
    if (++s->rounds % 32 != 0)
        return true;
    double now = clock_seconds();
    if (s->until == 0)
        s->until = now + SPIN_SECONDS;
    return now < s->until;
}

static void futex(_Atomic uint32_t *word, int operation, uint32_t value)
{
    syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

/* The next task. */
static uint64_t wait_for_task(struct pool *p, uint64_t seen)
{
    uint64_t task;
    for (struct spin s = {0}; (task = atomic_load(&p->task)) == seen;) {
        if (spin(&s))
            continue;
        uint32_t bell = atomic_load(&p->bell);
        atomic_fetch_add(&p->sleepers, 1);
        if (atomic_load(&p->task) == seen)
            futex(&p->bell, FUTEX_WAIT_PRIVATE, bell);
        atomic_fetch_sub(&p->sleepers, 1);
    }
    return task;
}

/* ---- working --------------------------------------------------------------------------------- */

static unsigned chunks_of(uint64_t task)
{
    return task & MAX_CHUNKS;
}

/* The first chunk of a share; that of share `threads` is the end. */
static unsigned first_chunk(const struct pool *p, uint64_t task, int share)
{
    unsigned threads = (unsigned)p->threads;
    return ((unsigned)share * chunks_of(task) + threads - 1) / threads;
}

static bool claim(struct pool *p, uint64_t task, int share, unsigned *chunk)
{
    uint64_t generation = task >> CHUNK_BITS, claimed_chunks, next;
    unsigned first = first_chunk(p, task, share), count = first_chunk(p, task, share + 1) - first;
    uint64_t claimed = atomic_load(&p->shares[share].claimed);
    do {
        claimed_chunks = claimed >> CHUNK_BITS == generation ? claimed & MAX_CHUNKS : 0;
        if (claimed >> CHUNK_BITS > generation || claimed_chunks >= count)
            return false;
        next = generation << CHUNK_BITS | (claimed_chunks + 1);
    } while (!atomic_compare_exchange_weak(&p->shares[share].claimed, &claimed, next));
    *chunk = first + (unsigned)claimed_chunks;
    return true;
}

static void run_share(struct pool *p, uint64_t task, int share, int thread)
{
    size_t finished = 0;
    for (unsigned chunk; claim(p, task, share, &chunk); finished++) {
        size_t part = p->items / chunks_of(task), extra = p->items % chunks_of(task);
        size_t begin = chunk * part + (chunk < extra ? chunk : extra);
        p->fn(p->arg, begin, begin + part + (chunk < extra), thread);
    }
    if (finished > 0)
        atomic_fetch_add(&p->done, finished);
}

static void run_shares(struct pool *p, uint64_t task, int thread)
{
    run_share(p, task, thread, thread);
    for (int i = 1; i < p->threads && atomic_load(&p->done) < chunks_of(task); i++)
        run_share(p, task, (thread + i) % p->threads, thread);
}

static void bind(struct pool *p, int thread)
{
    struct error error;
    bool bound = topology_bind(thread, p->threads, &error);
    pthread_mutex_lock(&p->lock);
    if (bound)
        p->bound++;
    else if (!p->why_not.text[0])
        p->why_not = error;
    pthread_mutex_unlock(&p->lock);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    inside.pool = w->pool;
    inside.thread = w->index;
    atomic_store(&w->id, gettid());
    bind(w->pool, w->index);
    for (uint64_t task = 0; task = wait_for_task(w->pool, task), !atomic_load(&w->pool->quit);)
        run_shares(w->pool, task, w->index);
    return NULL;
}

/* A new task, whose chunks can be claimed from now on. Wakes no more sleepers than it has work for. */
static uint64_t announce(struct pool *p, size_t chunks, int wake)
{
    uint64_t generation = (atomic_load(&p->task) >> CHUNK_BITS) + 1;
    uint64_t task = generation << CHUNK_BITS | chunks;
    atomic_store(&p->task, task);
    atomic_fetch_add(&p->bell, 1); /* after the task: who saw the old task has the old bell */
    if (atomic_load(&p->sleepers) > 0)
        futex(&p->bell, FUTEX_WAKE_PRIVATE, (uint32_t)wake);
    return task;
}

static void run(struct pool *p, size_t n, size_t chunks, pool_fn *fn, void *arg)
{
    p->fn = fn;
    p->arg = arg;
    p->items = n;
    atomic_store(&p->done, 0);
    const struct pool *outer = inside.pool;
    int outer_thread = inside.thread;
    inside.pool = p;
    inside.thread = 0;
    run_shares(p, announce(p, chunks, (int)chunks - 1), 0);
    inside.pool = outer;
    inside.thread = outer_thread;
    for (struct spin s = {0}; atomic_load(&p->done) < chunks;)
        if (!spin(&s))
            sched_yield();
}

void pool_run(struct pool *p, size_t n, pool_fn *fn, void *arg)
{
    size_t chunks = (size_t)p->threads * CHUNKS_PER_THREAD;
    chunks = chunks < MAX_CHUNKS ? chunks : MAX_CHUNKS;
    chunks = chunks < n ? chunks : n;
    bool again = inside.pool == p;
    if (chunks > 0 && (again || p->threads == 1))
        fn(arg, 0, n, again ? inside.thread : 0);
    else if (chunks > 0)
        run(p, n, chunks, fn, arg);
}

/* ---- the cost of a task ---------------------------------------------------------------------- */

/* Nanoseconds that are believed until it was measured, and at most: the quickest rendezvous took longer
 * only because something else had the processors. */
static double unknown_cost(int threads)
{
    return threads > 1 ? 2000 + 100 * threads : 0;
}

static const double RENDEZVOUS_SECONDS = 0.02;
enum { MEETINGS = 32 };

struct rendezvous {
    atomic_int here;
    int threads;
    double until;
};

/* One item a thread, and nobody goes on before all have come, or time is over. */
static void meet(void *arg, size_t begin, size_t end, int thread)
{
    struct rendezvous *m = arg;
    (void)begin, (void)end, (void)thread;
    atomic_fetch_add(&m->here, 1);
    for (unsigned i = 1; atomic_load(&m->here) < m->threads; i++, relax())
        if (i % 32 == 0 && clock_seconds() > m->until)
            break;
}

static double measure_cost(struct pool *p)
{
    double shortest = unknown_cost(p->threads);
    struct rendezvous m = {.threads = p->threads, .until = clock_seconds() + RENDEZVOUS_SECONDS};
    for (int i = 0; i < MEETINGS && clock_seconds() < m.until; i++) {
        double before = clock_seconds();
        atomic_store(&m.here, 0);
        run(p, (size_t)p->threads, (size_t)p->threads, meet, &m);
        double nanoseconds = 1e9 * (clock_seconds() - before);
        if (atomic_load(&m.here) == p->threads && nanoseconds < shortest)
            shortest = nanoseconds;
    }
    return shortest;
}

double pool_cost(const struct pool *p)
{
    return p->cost;
}

bool pool_worthwhile(const struct pool *p, double nanoseconds)
{
    double saved = nanoseconds * (p->threads - 1) / p->threads;
    return saved > 2 * p->cost;
}

/* ---- opening and closing --------------------------------------------------------------------- */

static struct pool *allocate(int threads)
{
    size_t n = (size_t)threads;
    struct pool *p = aligned_alloc(LINE, sizeof *p);
    struct share *shares = aligned_alloc(LINE, n * sizeof *shares);
    struct worker *workers = calloc(n, sizeof *workers);
    if (!p || !shares || !workers) {
        free(p);
        free(shares);
        free(workers);
        return NULL;
    }
    memset(p, 0, sizeof *p);
    memset(shares, 0, n * sizeof *shares);
    p->shares = shares;
    p->workers = workers;
    p->threads = threads;
    p->cost = unknown_cost(threads);
    pthread_mutex_init(&p->lock, NULL);
    return p;
}

static void stop(struct pool *p, int workers)
{
    atomic_store(&p->quit, true);
    announce(p, 0, INT_MAX);
    for (int i = 0; i < workers; i++)
        pthread_join(p->workers[i].thread, NULL);
    pthread_mutex_destroy(&p->lock);
    free(p->shares);
    free(p->workers);
    free(p);
}

struct pool *pool_create(int threads, struct error *error)
{
    struct pool *p = allocate(threads);
    if (!p) {
        error_set(error, "not enough memory for %d threads", threads);
        return NULL;
    }
    topology(); /* is read once, before there are threads */
    for (int i = 1; i < threads; i++) {
        struct worker *w = &p->workers[i - 1];
        w->pool = p;
        w->index = i;
        int failure = thread_start(&w->thread, work, w);
        if (failure != 0) {
            error_set(error, "cannot start thread %d of %d: %s", i + 1, threads, strerror(failure));
            stop(p, i - 1);
            return NULL;
        }
    }
    return p;
}

void pool_destroy(struct pool *p)
{
    if (p)
        stop(p, p->threads - 1);
}

int pool_threads(const struct pool *p)
{
    return p->threads;
}

void pool_thread_ids(struct pool *p, pid_t *out)
{
    out[0] = gettid();
    for (int i = 1; i < p->threads; i++)
        while ((out[i] = atomic_load(&p->workers[i - 1].id)) == 0)
            sched_yield();
}

void pool_bind_caller(struct pool *p)
{
    bind(p, 0);
    if (p->threads > 1)
        p->cost = measure_cost(p);
}

void pool_binding(struct pool *p, char *out, size_t size)
{
    pthread_mutex_lock(&p->lock);
    if (p->why_not.text[0])
        snprintf(out, size, "%s", p->why_not.text);
    else
        snprintf(out, size, "%d of %d threads bound, each to its %s", p->bound, p->threads,
                 topology_place_kind(p->threads));
    pthread_mutex_unlock(&p->lock);
}

#include "pool.h"

#include "thread.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* About 20 microseconds: longer than the serial stretch between two matrices of a token. */
enum { SPINS = 4000 };

struct worker {
    struct pool *pool;
    pthread_t thread;
    int index;
};

/* A task is cut into chunks that threads claim one by one, so that a thread which the system keeps
 * from running holds up at most one chunk. The ticket is (generation << 32 | chunks << 16 | next chunk)
 * and alone decides whether a claim succeeds; while a claimed chunk is not done the task cannot end,
 * so its fields stay as they are. */
struct pool {
    int threads;
    struct worker *workers; /* threads - 1 */
    pool_fn *fn;            /* the task; written before the ticket changes */
    void *arg;
    size_t items, chunks;
    _Atomic uint64_t ticket;
    atomic_size_t done;     /* chunks */
    atomic_int sleepers;
    atomic_bool quit;
    pthread_mutex_t lock;
    pthread_cond_t wake;
};

enum { CHUNKS_PER_THREAD = 4, MOST_CHUNKS = 0xffff };

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static uint64_t generation_of(struct pool *p)
{
    return atomic_load(&p->ticket) >> 32;
}

static bool claim(struct pool *p, uint64_t generation, size_t *chunk)
{
    uint64_t ticket = atomic_load(&p->ticket);
    do {
        *chunk = ticket & 0xffff;
        if (ticket >> 32 != generation || *chunk >= (ticket >> 16 & 0xffff))
            return false;
    } while (!atomic_compare_exchange_weak(&p->ticket, &ticket, ticket + 1));
    return true;
}

static void run_chunks(struct pool *p, uint64_t generation, int thread)
{
    for (size_t chunk; claim(p, generation, &chunk);) {
        size_t share = p->items / p->chunks, extra = p->items % p->chunks;
        size_t begin = chunk * share + (chunk < extra ? chunk : extra);
        p->fn(p->arg, begin, begin + share + (chunk < extra), thread);
        atomic_fetch_add(&p->done, 1);
    }
}

static bool wait_for_task(struct pool *p, uint64_t seen)
{
    for (int i = 0; i < SPINS; i++, relax())
        if (generation_of(p) != seen)
            return !atomic_load(&p->quit);
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleepers, 1);
    while (generation_of(p) == seen)
        pthread_cond_wait(&p->wake, &p->lock);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->lock);
    return !atomic_load(&p->quit);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    for (uint64_t seen = 0; wait_for_task(w->pool, seen);) {
        seen = generation_of(w->pool);
        run_chunks(w->pool, seen, w->index);
    }
    return NULL;
}

/* A new generation, whose chunks can be claimed from now on. Returns it. */
static uint64_t announce(struct pool *p)
{
    uint64_t generation = (generation_of(p) + 1) & UINT32_MAX;
    atomic_store(&p->ticket, generation << 32 | (uint64_t)p->chunks << 16);
    if (atomic_load(&p->sleepers) > 0) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->lock);
    }
    return generation;
}

struct pool *pool_create(int threads, struct error *error)
{
    struct pool *p = calloc(1, sizeof *p);
    struct worker *workers = calloc((size_t)threads, sizeof *workers);
    if (!p || !workers) {
        free(p);
        free(workers);
        error_set(error, "not enough memory for %d threads", threads);
        return NULL;
    }
    p->workers = workers;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    for (p->threads = 1; p->threads < threads; p->threads++) {
        struct worker *w = &workers[p->threads - 1];
        *w = (struct worker){.pool = p, .index = p->threads};
        int failure = thread_start(&w->thread, work, w);
        if (failure != 0) {
            error_set(error, "cannot start thread %d of %d: %s", p->threads + 1, threads,
                      strerror(failure));
            break;
        }
    }
    if (p->threads == threads)
        return p;
    pool_destroy(p);
    return NULL;
}

void pool_destroy(struct pool *p)
{
    if (!p)
        return;
    atomic_store(&p->quit, true);
    announce(p);
    for (int i = 0; i < p->threads - 1; i++)
        pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p->workers);
    free(p);
}

int pool_threads(const struct pool *p)
{
    return p->threads;
}

void pool_run(struct pool *p, size_t n, pool_fn *fn, void *arg)
{
    size_t chunks = (size_t)p->threads * CHUNKS_PER_THREAD;
    if (p->threads == 1 && n > 0)
        fn(arg, 0, n, 0);
    if (p->threads == 1 || n == 0)
        return;
    p->fn = fn;
    p->arg = arg;
    p->items = n;
    chunks = chunks < MOST_CHUNKS ? chunks : MOST_CHUNKS;
    p->chunks = chunks < n ? chunks : n;
    atomic_store(&p->done, 0);
    run_chunks(p, announce(p), 0);
    for (int i = 0; atomic_load(&p->done) < p->chunks; i++) {
        if (i < SPINS)
            relax();
        else
            sched_yield();
    }
}

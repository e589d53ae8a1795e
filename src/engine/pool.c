#include "pool.h"

#include "thread.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* About 20 microseconds: longer than the serial stretch between two matrices of a token. */
enum { SPINS = 4000 };

struct worker {
    struct pool *pool;
    pthread_t thread;
    int index;
};

struct pool {
    int threads;
    struct worker *workers; /* threads - 1 */
    pool_fn *fn;            /* the task; written before generation changes */
    void *arg;
    size_t items;
    atomic_uint generation;
    atomic_int pending;  /* workers still at the task */
    atomic_int sleepers;
    atomic_bool quit;
    pthread_mutex_t lock;
    pthread_cond_t wake;
};

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void run_part(struct pool *p, int thread)
{
    size_t share = p->items / (size_t)p->threads, extra = p->items % (size_t)p->threads;
    size_t t = (size_t)thread;
    size_t begin = t * share + (t < extra ? t : extra);
    size_t end = begin + share + (t < extra);
    if (begin < end)
        p->fn(p->arg, begin, end, thread);
}

static bool wait_for_task(struct pool *p, unsigned seen)
{
    for (int i = 0; i < SPINS; i++, relax())
        if (atomic_load(&p->generation) != seen)
            return !atomic_load(&p->quit);
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleepers, 1);
    while (atomic_load(&p->generation) == seen)
        pthread_cond_wait(&p->wake, &p->lock);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->lock);
    return !atomic_load(&p->quit);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    unsigned seen = 0;
    for (; wait_for_task(w->pool, seen); seen++) {
        run_part(w->pool, w->index);
        atomic_fetch_sub(&w->pool->pending, 1);
    }
    return NULL;
}

static void announce(struct pool *p)
{
    atomic_fetch_add(&p->generation, 1);
    if (atomic_load(&p->sleepers) > 0) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->lock);
    }
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
    p->fn = fn;
    p->arg = arg;
    p->items = n;
    atomic_store(&p->pending, p->threads - 1);
    if (p->threads > 1)
        announce(p);
    run_part(p, 0);
    for (int i = 0; atomic_load(&p->pending) > 0; i++) {
        if (i < SPINS)
            relax();
        else
            sched_yield();
    }
}

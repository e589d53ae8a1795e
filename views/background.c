#include "background.h"

#include "base/clock.h"
#include "sys/thread.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct background {
    pthread_t thread;
    void (*work)(void *arg);
    void *arg;
    double began; /* clock_seconds */
    atomic_bool done;
};

static void *run(void *arg)
{
    struct background *b = arg;
    b->work(b->arg);
    atomic_store(&b->done, true);
    return NULL;
}

struct background *background_start(void (*work)(void *), void *arg, struct error *error)
{
    struct background *b = calloc(1, sizeof *b);
    if (!b) {
        error_set(error, "not enough memory");
        return NULL;
    }
    b->work = work;
    b->arg = arg;
    b->began = clock_seconds();
    atomic_init(&b->done, false);
    int failure = thread_start(&b->thread, run, b);
    if (failure == 0)
        return b;
    error_set(error, "cannot start a thread: %s", strerror(failure));
    free(b);
    return NULL;
}

bool background_is_done(const struct background *b)
{
    return atomic_load(&b->done);
}

double background_seconds(const struct background *b)
{
    return clock_seconds() - b->began;
}

void background_end(struct background *b)
{
    if (!b)
        return;
    pthread_join(b->thread, NULL);
    free(b);
}

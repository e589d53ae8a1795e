#include "thread.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

enum { THREAD_STACK = 8 << 20 }; /* bytes: what the kernel gives a program as a rule, whatever its limit is here */

struct start {
    void *(*run)(void *);
    void *arg;
};

void thread_signal_stack(char *stack)
{
    stack_t now;
    if (sigaltstack(NULL, &now) == 0 && now.ss_flags & SS_DISABLE)
        sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = SIGNAL_STACK}, NULL);
}

/* The signal stack lies at the bottom of the thread's own. */
static void *begin(void *arg)
{
    _Alignas(16) char stack[SIGNAL_STACK];
    struct start start = *(struct start *)arg;
    stack_t old;
    free(arg);
    sigaltstack(NULL, &old);
    thread_signal_stack(stack);
    void *result = start.run(start.arg);
    sigaltstack(&old, NULL);
    return result;
}

static int create(pthread_t *thread, struct start *start)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    sigset_t blocked, old;
    pthread_attr_t attributes;
    int failure = pthread_attr_init(&attributes);
    if (failure)
        return failure;
    (void)pthread_attr_setstacksize(&attributes, THREAD_STACK);
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &old);
    failure = pthread_create(thread, &attributes, begin, start);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attributes);
    return failure;
}

int thread_start(pthread_t *thread, void *(*run)(void *), void *arg)
{
    struct start *start = malloc(sizeof *start);
    if (!start)
        return ENOMEM;
    *start = (struct start){run, arg};
    int failure = create(thread, start);
    if (failure)
        free(start);
    return failure;
}

#include "thread.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <ucontext.h>
#include <unistd.h>

enum { THREAD_STACK = 8 << 20 }; /* bytes: what the kernel gives a program as a rule, whatever its limit is here */

enum { MIN_STACK = 1 << 20 }; /* bytes that are enough everywhere: kernels decode into 128 KiB of it */

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

/* ---- the program's own stack ------------------------------------------------------------------ */

static struct {
    void (*run)(void *arg);
    void *arg;
} program;

static void run_program(void)
{
    program.run(program.arg);
}

/* With a page at its end that cannot be written. */
static void *new_stack(void)
{
    void *stack = mmap(NULL, THREAD_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED)
        return NULL;
    (void)mprotect(stack, (size_t)sysconf(_SC_PAGESIZE), PROT_NONE);
    return stack;
}

bool thread_with_stack(void (*run)(void *arg), void *arg)
{
    struct rlimit limit;
    ucontext_t here, there;
    if (getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur >= MIN_STACK) {
        run(arg);
        return true;
    }
    void *stack = new_stack();
    if (!stack || getcontext(&there) != 0)
        return false;
    program.run = run;
    program.arg = arg;
    there.uc_stack = (stack_t){.ss_sp = stack, .ss_size = THREAD_STACK};
    there.uc_link = &here;
    makecontext(&there, run_program, 0);
    bool ok = swapcontext(&here, &there) == 0;
    munmap(stack, THREAD_STACK);
    return ok;
}

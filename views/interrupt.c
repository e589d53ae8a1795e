#include "interrupt.h"

#include "base/clock.h"
#include "base/temporary.h"
#include "sys/thread.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* Of these the default is not to end a program; the last two cannot be caught. */
static const int harmless[] = {SIGCHLD, SIGCONT, SIGURG, SIGWINCH, SIGTSTP, SIGTTIN, SIGTTOU, SIGKILL, SIGSTOP};
/* Those that the processor raises: a sanitizer may have a handler, which comes after ours. */
static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};

enum { PATIENCE = 1000 /* milliseconds */ };

static struct sigaction before[NSIG];
static pthread_t main_thread;
static atomic_bool dying, halted;
static void (*volatile restore)(void);
static volatile sig_atomic_t deferred; /* the first SIGINT only cancels */
static volatile sig_atomic_t asked;    /* it came */
static double asked_at;                /* clock_seconds; of the handler alone */
static const double SAME_MOMENT = 0.3; /* seconds */

static bool is_among(int number, const int *list, size_t count)
{
    bool any = false;
    for (size_t i = 0; i < count; i++)
        any |= list[i] == number;
    return any;
}

/* A mapped file that is cut short while it is read raises SIGBUS. */
static void explain_sigbus(void)
{
    static const char line[] = "qtop: the model file was cut short or became unreadable while it was "
                               "in use\n";
    ssize_t ignored = write(STDERR_FILENO, line, sizeof line - 1);
    (void)ignored;
}

/* Our own write beyond the limit of a file's size: an error like a full disk, which write reports. */
static bool is_own_limit(int number, const siginfo_t *info)
{
    return number == SIGXFSZ && info->si_code <= 0 && info->si_pid == getpid();
}

/* The first SIGINT, or one of the same moment: timeout(1) sends it to the program and to its group. */
static bool is_first(void)
{
    double now = clock_seconds();
    if (!asked)
        asked_at = now;
    asked = 1;
    return now - asked_at < SAME_MOMENT;
}

/* The thread that draws would go on while another one dies: it stops first, unless it does not get to it. */
static void halt_main_thread(int number)
{
    if (pthread_equal(pthread_self(), main_thread) || pthread_kill(main_thread, number) != 0)
        return;
    for (int i = 0; i < PATIENCE && !halted; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* Another thread is about to end the program. */
static void halt(void)
{
    halted = true;
    for (;;)
        pause();
}

static void die(int number, siginfo_t *info, void *context)
{
    (void)context;
    if (is_own_limit(number, info))
        return;
    if (number == SIGINT && deferred && is_first())
        return;
    if (atomic_exchange(&dying, true))
        halt();
    halt_main_thread(number);
    temporary_remove_all();
    if (restore)
        restore();
    if (number == SIGBUS)
        explain_sigbus();
    sigaction(number, &before[number], NULL);
    raise(number); /* comes when this handler returns: by the same signal, to whoever had it before */
}

static void catch(int number)
{
    struct sigaction sa = {.sa_sigaction = die, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    struct sigaction *old = &before[number];
    bool fault = is_among(number, faults, sizeof faults / sizeof *faults);
    sigfillset(&sa.sa_mask);
    if (sigaction(number, NULL, old) == 0 && old->sa_handler != SIG_IGN && (old->sa_handler == SIG_DFL || fault))
        sigaction(number, &sa, NULL);
}

void interrupt_begin(void)
{
    static _Alignas(16) char stack[SIGNAL_STACK];
    main_thread = pthread_self();
    thread_signal_stack(stack);
    for (int number = 1; number < NSIG; number++)
        if (!is_among(number, harmless, sizeof harmless / sizeof *harmless))
            catch(number);
}

void interrupt_restores(void (*function)(void))
{
    restore = function;
}

static bool is_ended(void *arg)
{
    (void)arg;
    return asked != 0;
}

void interrupt_catch(struct session *session)
{
    session->cancelled = is_ended;
    deferred = 1;
}

void interrupt_release(void)
{
    deferred = 0;
    if (!asked)
        return;
    fflush(stdout); /* what was finished */
    raise(SIGINT);
}

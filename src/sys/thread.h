/* thread.h - threads that leave signals to the one that owns the terminal. */
#ifndef QTOP_THREAD_H
#define QTOP_THREAD_H

#include <pthread.h>
#include <stdbool.h>

/* pthread_create with every signal blocked but those of the thread's own faults (a mapped file that
 * was cut short raises SIGBUS wherever it is read), and a stack of one size whatever the limit of the program's own.
 * Returns 0 or an errno value. */
int thread_start(pthread_t *thread, void *(*run)(void *), void *arg);

/* Calls run(arg) on the calling thread: on a stack of its own where the limit of the program's (ulimit -s) is less than
 * kernels need. False, without a call, when memory is short. */
bool thread_with_stack(void (*run)(void *arg), void *arg);

/* Where handlers of the calling thread run, so that they have room when its own stack has none: SIGNAL_STACK bytes that
 * outlive the thread. One that a sanitizer has given it stays. */
enum { SIGNAL_STACK = 1 << 16 };
void thread_signal_stack(char *stack);

#endif

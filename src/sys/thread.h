/* thread.h - threads that leave signals to the one that owns the terminal. */
#ifndef QTOP_THREAD_H
#define QTOP_THREAD_H

#include <pthread.h>

/* pthread_create with every signal blocked but those of the thread's own faults (a mapped file that
 * was cut short raises SIGBUS wherever it is read). Returns 0 or an errno value. */
int thread_start(pthread_t *thread, void *(*run)(void *), void *arg);

#endif

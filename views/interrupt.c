#include "interrupt.h"

#include <signal.h>

static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
enum { ENDING = sizeof ending / sizeof *ending };
static struct sigaction before[ENDING];
static volatile sig_atomic_t ended_by;

static void remember(int number)
{
    ended_by = number;
}

static bool is_ended(void *arg)
{
    (void)arg;
    return ended_by != 0;
}

void interrupt_catch(struct session *session)
{
    session->cancelled = is_ended;
    for (int i = 0; i < ENDING; i++) {
        sigaction(ending[i], NULL, &before[i]);
        if (before[i].sa_handler != SIG_IGN)
            sigaction(ending[i], &(struct sigaction){.sa_handler = remember}, NULL);
    }
}

void interrupt_release(void)
{
    for (int i = 0; i < ENDING; i++)
        sigaction(ending[i], &before[i], NULL);
    if (ended_by)
        raise(ended_by);
}

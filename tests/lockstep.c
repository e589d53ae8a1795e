#include "lockstep.h"

#include "lab/jobs.h"
#include "lab/mailbox.h"

#include <math.h>
#include <pthread.h>

/* The linker puts the first four in the place of the others (-Wl,--wrap). */
bool __wrap_jobs_step(struct lab *lab, double seconds);
void __wrap_mailbox_put(struct mailbox *box, struct frame *f);
struct frame *__wrap_mailbox_newest(struct mailbox *box);
void __wrap_mailbox_quit(struct mailbox *box);
bool __real_jobs_step(struct lab *lab, double seconds);
void __real_mailbox_put(struct mailbox *box, struct frame *f);
struct frame *__real_mailbox_newest(struct mailbox *box);
void __real_mailbox_quit(struct mailbox *box);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool waits, is_new; /* the lab, for its frames to be taken; the newest frame, which nobody has taken */
static const double LONGEST_SLICE = 0.002; /* seconds, in a round */

static void set_waits(bool on)
{
    pthread_mutex_lock(&lock);
    waits = on;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

int lockstep_begin(void **state)
{
    (void)state;
    set_waits(true);
    return 0;
}

int lockstep_end(void **state)
{
    (void)state;
    set_waits(false);
    return 0;
}

/* A slice is as long as a token takes, which on a busy machine may be the whole of a short job. */
bool __wrap_jobs_step(struct lab *lab, double seconds)
{
    pthread_mutex_lock(&lock);
    double most = waits ? LONGEST_SLICE : seconds;
    pthread_mutex_unlock(&lock);
    return __real_jobs_step(lab, fmin(seconds, most));
}

/* A command that means nothing asks for the next round's frame. */
void __wrap_mailbox_put(struct mailbox *box, struct frame *f)
{
    static const struct command nothing = {.kind = COMMAND_KINDS};
    pthread_mutex_lock(&lock);
    __real_mailbox_put(box, f);
    is_new = true;
    if (waits)
        mailbox_send(box, &nothing);
    while (waits && is_new && !mailbox_is_quitting(box))
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

struct frame *__wrap_mailbox_newest(struct mailbox *box)
{
    pthread_mutex_lock(&lock);
    struct frame *f = __real_mailbox_newest(box);
    is_new = false;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return f;
}

void __wrap_mailbox_quit(struct mailbox *box)
{
    __real_mailbox_quit(box);
    pthread_mutex_lock(&lock);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

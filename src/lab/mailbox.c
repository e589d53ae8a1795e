#include "mailbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

bool mailbox_open(struct mailbox *box, struct error *error)
{
    pthread_condattr_t monotonic;
    *box = (struct mailbox){.wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&box->lock, NULL);
    pthread_cond_init(&box->arrived, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return box->wake >= 0 || error_set(error, "eventfd: %s", strerror(errno));
}

void mailbox_close(struct mailbox *box)
{
    for (struct queued *q; (q = mailbox_take(box));)
        queued_free(q);
    frame_unref(box->newest);
    if (box->wake >= 0)
        close(box->wake);
    pthread_cond_destroy(&box->arrived);
    pthread_mutex_destroy(&box->lock);
}

/* ---- commands -------------------------------------------------------------------------------- */

void queued_free(struct queued *q)
{
    free((void *)(uintptr_t)q->command.tensors);
    free((void *)(uintptr_t)q->command.text);
    free((void *)(uintptr_t)q->command.ids);
    free(q);
}

/* A copy of n bytes; of none too, so that null means failure. */
static void *copy_of(const void *from, size_t n)
{
    void *copy = malloc(n + 1);
    return copy && n > 0 ? memcpy(copy, from, n) : copy;
}

static struct queued *queued_new(const struct command *c)
{
    struct queued *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    q->command = *c;
    q->command.text = c->text ? strdup(c->text) : NULL;
    q->command.tensors = copy_of(c->tensors, c->tensor_count * sizeof *c->tensors);
    q->command.ids = copy_of(c->ids, c->id_count * sizeof *c->ids);
    if (q->command.tensors && q->command.ids && (!c->text || q->command.text))
        return q;
    queued_free(q);
    return NULL;
}

bool mailbox_send(struct mailbox *box, const struct command *command)
{
    struct queued *q = queued_new(command);
    if (!q)
        return false;
    pthread_mutex_lock(&box->lock);
    if (box->last)
        box->last->next = q;
    else
        box->first = q;
    box->last = q;
    pthread_cond_signal(&box->arrived);
    pthread_mutex_unlock(&box->lock);
    return true;
}

struct queued *mailbox_take(struct mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    struct queued *q = box->first;
    if (q) {
        box->first = q->next;
        if (!box->first)
            box->last = NULL;
    }
    pthread_mutex_unlock(&box->lock);
    return q;
}

void mailbox_wait(struct mailbox *box, double seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(seconds * 1e9);
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&box->lock);
    if (!box->first && !box->quit)
        pthread_cond_timedwait(&box->arrived, &box->lock, &until);
    pthread_mutex_unlock(&box->lock);
}

void mailbox_quit(struct mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    box->quit = true;
    pthread_cond_signal(&box->arrived);
    pthread_mutex_unlock(&box->lock);
}

bool mailbox_is_quitting(struct mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    bool quit = box->quit;
    pthread_mutex_unlock(&box->lock);
    return quit;
}

/* ---- frames ---------------------------------------------------------------------------------- */

void mailbox_put(struct mailbox *box, struct frame *f)
{
    pthread_mutex_lock(&box->lock);
    struct frame *old = box->newest;
    box->newest = f;
    pthread_mutex_unlock(&box->lock);
    frame_unref(old);
    uint64_t one = 1;
    if (write(box->wake, &one, sizeof one) < 0)
        return; /* it is readable already */
}

struct frame *mailbox_newest(struct mailbox *box)
{
    uint64_t count;
    if (read(box->wake, &count, sizeof count) < 0)
        count = 0; /* nothing new: the last one again */
    pthread_mutex_lock(&box->lock);
    struct frame *f = box->newest ? frame_ref(box->newest) : NULL;
    pthread_mutex_unlock(&box->lock);
    return f;
}

/* mailbox.h - what crosses between the lab's thread and the others: commands in, frames out. */
#ifndef QTOP_LAB_MAILBOX_H
#define QTOP_LAB_MAILBOX_H

#include "base/error.h"
#include "command.h"
#include "frame.h"

#include <pthread.h>

struct queued {
    struct command command; /* with copies of what it points to */
    struct queued *next;
};

struct mailbox {
    pthread_mutex_t lock;        /* of everything here but `wake` */
    pthread_cond_t arrived;      /* a command, or quit; on CLOCK_MONOTONIC */
    struct queued *first, *last; /* oldest first */
    struct frame *newest;        /* a reference, or null */
    int wake;                    /* eventfd: readable when a newer frame was put */
    bool quit;
};

/* mailbox_close may follow a failure. */
bool mailbox_open(struct mailbox *box, struct error *error);
void mailbox_close(struct mailbox *box);

/* Queues a copy and returns at once; false when memory is short. */
bool mailbox_send(struct mailbox *box, const struct command *command);

/* The oldest command, or null; the caller frees it. */
struct queued *mailbox_take(struct mailbox *box);
void queued_free(struct queued *queued);

/* Waits for a command, at most `seconds`. */
void mailbox_wait(struct mailbox *box, double seconds);

/* Puts a frame in the place of the newest; takes over the reference. */
void mailbox_put(struct mailbox *box, struct frame *frame);

/* The newest frame, with a reference for the caller, or null. */
struct frame *mailbox_newest(struct mailbox *box);

void mailbox_quit(struct mailbox *box);
bool mailbox_is_quitting(struct mailbox *box);

#endif

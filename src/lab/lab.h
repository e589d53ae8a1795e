/* lab.h - one open model under study: applies commands, runs the engine, publishes frames.
 *
 * The lab runs on its own thread and owns everything that changes. Views send commands, which never
 * wait, and take the newest frame. */
#ifndef QTOP_LAB_H
#define QTOP_LAB_H

#include "session/session.h"
#include "command.h"
#include "frame.h"

/* One in so many decode steps at most is timed tensor by tensor, and one in so much time: reading the clock is to
 * cost less than a hundredth of decode speed. */
enum { SAMPLE_EVERY = 16 };
#define SAMPLE_SECONDS 0.01

/* An option that the model was opened with, and its value. */
struct opened_with {
    const char *name, *value;
    bool is_file; /* the value is a path, if there is such a file */
};

struct saved;
struct lab_options {
    const struct scheme *schemes; /* to begin with (schemes_count); null: stored */
    const char *text;             /* that quality is measured on; null: the model's own */
    size_t text_size;
    const struct tokens *text_ids; /* that text where there is no tokenizer; null: none */
    size_t text_tokens;           /* of it that are used; 0: all */
    const char *text_name;        /* as it stands beside figures; null: "" */
    enum protocol protocol;
    size_t window;                /* 0: the smaller of the context and 512 */
    const char *prompt;           /* null: none */
    const char *system;           /* the system's text of a turn; null: what the chat template says */
    uint64_t seed;
    float temperature, top_p;
    const struct opened_with *opened; /* options that its sessions are to name; they outlive the lab */
    size_t opened_count;
    const struct saved *saved;    /* a session to go on with, whose schemes `schemes` are; null: none */
    double save_seconds;          /* between writes of the session; 0: a minute */
    const char *saved_as;         /* the file of `saved`, which the session is kept in; null: not */
    bool keeps_session;           /* without a name too, in the user's state folder, for a crash */
    double tokens_per_second;     /* reading speed of the text; 0: as fast as it comes */
};

struct lab;

/* Starts the thread. The session stays the caller's and must outlive the lab. */
struct lab *lab_start(struct session *session, const struct lab_options *options,
                      struct error *error);

/* Ends the thread and, where a session is named, writes it. False with an error: it could not be written. lab_stop
 * follows. */
bool lab_finish(struct lab *lab, struct error *error);

/* Ends the thread and frees everything; frames already taken stay valid while the session lives. */
void lab_stop(struct lab *lab);

/* Queues a command and returns at once; false when memory is short. */
bool lab_send(struct lab *lab, const struct command *command);

/* The newest frame, with a reference for the caller; null before the first one. */
struct frame *lab_frame(struct lab *lab);

/* A descriptor that is readable when a frame newer than the last taken exists. */
int lab_wake_descriptor(const struct lab *lab);

#endif

/* state.h - what the rooms of the lab share. Each job's own state is private to its file; what a job needs of
 * another it reads here.
 *
 * Everything belongs to the lab's thread, but for the mailbox. */
#ifndef QTOP_LAB_STATE_H
#define QTOP_LAB_STATE_H

#include "cache.h"
#include "engine/pin.h"
#include "lab.h"
#include "mailbox.h"
#include "meter.h"
#include "session/text_source.h"

/* The stored weights that must be in memory; where they lie in a mapped file there is nothing to do (pins.h). */
struct pins {
    struct pin set;       /* of the set in use: text and meters run when all are there */
    struct pin reference; /* of the reference, while something runs it */
    struct pin compared;  /* of the reference's selected tensor, with which an output is compared */
    bool ready;           /* the set in use can run */
    bool failed;          /* it cannot: memory is short */
};

/* A state of the schemes that undo and redo go through, with what it reached. */
struct history_step {
    struct scheme *schemes; /* schemes_count; of the current one, as it was when it was made */
    struct step_frame figures;
    struct quality_result quality; /* where figures.kl is valid */
};

struct history {
    struct history_step *of;  /* HISTORY_STEPS, oldest first */
    size_t count;     /* from 1 */
    size_t current;   /* index of the one in use: the target */
    uint64_t made;    /* steps, since the start */
    bool described;   /* a message has said what made the current step */
};

struct log {
    struct log_entry *of; /* LOG_ENTRIES; null: none was made */
    size_t count;
    uint64_t total; /* since the start */
    struct log_frame *published; /* with these entries; null: with earlier ones */
};

struct snapshots {
    struct snapshot of[SNAPSHOTS];
    size_t count;
};

/* The weight that a person looks at. */
struct selection {
    int tensor;
    size_t row, col;
};

/* One of the texts of text_source.h. */
struct study_text {
    struct text_source source;
    bool failed;        /* with the error; asking again tries again */
    struct error error;
};

/* How fast a prompt is processed. */
struct prefill_speed {
    struct metric rate; /* tokens per second */
    size_t tokens;      /* that it was timed with */
    uint64_t set_serial; /* of the set that was timed */
    bool is_timed;      /* the prompt of fixed length was, since the set last changed, or could not be */
};

/* The session's file. */
struct autosave {
    char *path;       /* null: it is not kept */
    bool named;       /* by a person */
    bool written;     /* in this run */
    double saved_at;  /* clock_seconds */
    uint64_t entries; /* of the log, then */
};

struct job_slot {
    const struct job_type *type; /* a row of the table (jobs.h) */
    void *state;                 /* type->state_size bytes, the job's own */
    void *running;               /* an instance of type->class; null: none is open */
    double worked;               /* seconds that its slices took so far */
    double began, ended;         /* clock_seconds of the last run */
    double stepped;              /* of the last slice */
    enum job_state outcome;      /* of it; JOB_WAITING: it never ran */
};

struct lab {
    struct session *session;
    struct lab_options options;
    struct mailbox mailbox;
    pthread_t thread;
    bool threaded;

    struct scheme *target;    /* schemes_count: what the person asked for */
    struct scales_choice *scales; /* schemes_count: what they chose of scales, for schemes to come */
    struct weights *set;      /* what is in use */
    uint64_t set_serial;      /* grows whenever the set changes */
    double changed_at;        /* clock_seconds when it last did */
    struct pins pins;
    struct cache cache;
    struct history history;
    struct log log;
    struct autosave autosave;
    struct snapshots snapshots;
    struct selection selection;

    struct meter meter;
    struct prefill_speed prefill;
    struct metric peak_read;        /* bytes/s of all threads */
    struct perf_sampler *sampler;   /* perf_sampler.h */
    struct sampled_steps *sampled;  /* sampled_steps.h */
    bool watches_outputs;           /* sampled steps compare the output of every layer */
    struct text *text;              /* text.h */
    struct study_text study[TEXT_KINDS];
    uint64_t text_serial;           /* grows whenever the text to evaluate on is exchanged */
    struct study_frame *study_frame; /* that text for frames, once it is there; or null */
    struct quality_frame quality;   /* of the last evaluation */

    struct job_slot *jobs;          /* in the order of the table */
    size_t job_count;
    struct activity activity;
    char activity_name[ACTIVITY_NAME]; /* of a job, which may be closed before the next frame */
    struct status status;
    bool (*status_holds)(const struct lab *lab); /* what the status says is still so; null: it happened, and stays */
    bool status_published;
    bool paused, idle;
    bool sleeps;              /* nothing runs and nothing is to be done before a command comes */
    uint64_t frame_serial;
    uint64_t commands_applied;
};

/* Says what was done, or what went wrong. */
void lab_say(struct lab *lab, bool is_error, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same of something that is so for a while: frames after the first that has it have it as long as `holds`. */
void lab_say_while(struct lab *lab, bool (*holds)(const struct lab *lab), bool is_error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts a set in use; takes over the reference. What depends on the set follows before the next token. */
void lab_use(struct lab *lab, struct weights *set);

/* Whether a tensor, or the KV cache, has another scheme than the one that was asked for. */
bool tensor_pending(const struct lab *lab, int tensor);

/* Whether any has. */
bool lab_pending(const struct lab *lab);

/* The number of tensors. */
size_t lab_tensors(const struct lab *lab);

/* The KV cache's index among schemes. */
int lab_kv(const struct lab *lab);

/* The set in use has this quality, on the text in use. */
void lab_know_quality(struct lab *lab, const struct quality_result *result);

/* Whether the last evaluation is of the set in use, and complete. */
bool lab_quality_is_known(const struct lab *lab);

/* Seconds since the set last changed, and so many before measuring begins. */
double lab_quiet(const struct lab *lab);
static const double SETTLE_SECONDS = 0.4;

/* Whether speed may be timed: decode has a reading (not a rough figure), and the set has not changed for half of
 * SETTLE_SECONDS. */
bool lab_settled(const struct lab *lab);

#endif

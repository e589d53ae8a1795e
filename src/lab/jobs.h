/* jobs.h - everything that shares the machine with the tokens: a table of jobs, run in bounded slices.
 *
 * The order of the table is the order of priority. One file a job: its row and, private to it, its state. Adding a
 * job is one file and one row. */
#ifndef QTOP_LAB_JOBS_H
#define QTOP_LAB_JOBS_H

#include "state.h"

#include <jansson.h>

/* What is brought about before a job opens. */
enum {
    NEED_REFERENCE = 1 << 0,        /* the reference's weights in memory */
    NEED_EVALUATION_TEXT = 1 << 1,
    NEED_SEARCH_TEXT = 1 << 2,
    NEED_CALIBRATION_TEXT = 1 << 3,
    NEED_TRAINING_TEXT = 1 << 4
};

/* A row. `state` is the job's own; `running` an instance of its class, null where none is open. Slots that may be
 * null are marked (null). */
struct job_type {
    const struct job_class *class; /* step, fraction, phase and close of an instance */
    bool silent;                   /* too short to be shown as what the machine works on */
    bool of_a_layer;               /* an instance makes one layer of those that wait: its share is not of all */
    bool of_set;                   /* an instance works on the set in use: another set closes it */
    unsigned needs;                /* NEED_ bits: what must be there before it opens */
    size_t state_size;             /* bytes of its state, zero at first */

    /* As the lab starts and ends. (null) */
    bool (*begin)(struct lab *lab, void *state, struct error *error);
    void (*end)(struct lab *lab, void *state);

    /* Whether a person waits for it: then it goes before those above it in the table. (null) */
    bool (*waited_for)(const struct lab *lab, const void *state);

    /* Whether there is work; an instance that is no longer wanted is closed. */
    bool (*wanted)(struct lab *lab, void *state, const void *running);

    /* What it needs besides, where that depends on what is asked for; false with an error: it cannot be done. (null) */
    bool (*add_needs)(struct lab *lab, void *state, unsigned *needs, struct error *error);

    /* An instance; null with an error. */
    void *(*open)(struct lab *lab, void *state, struct error *error);

    /* After a step: figures so far. (null) */
    void (*stepped)(struct lab *lab, void *state, const void *running);

    /* When an instance has finished, before it is closed. (null) */
    void (*finish)(struct lab *lab, void *state, void *running);

    /* When it could not be done: gives up what was asked for, so that it is not tried again by itself. (null) */
    void (*give_up)(struct lab *lab, void *state, const struct error *error);

    /* When an instance was closed before its end. (null) */
    void (*cancelled)(struct lab *lab, void *state);

    /* Gives up what was asked for, and says so: what its key does while it runs. (null: it cannot be stopped) */
    void (*stop)(struct lab *lab, void *state);

    /* When another set is in use; an instance of a row that is of_set has been closed before. (null) */
    void (*set_changed)(struct lab *lab, void *state);

    /* Adds what took time to a session, as one member; takes it over from one; `speeds`: they are of this machine. False
     * with an error: it is damaged. (null) */
    void (*save)(const struct lab *lab, const void *state, json_t *root);
    bool (*load)(struct lab *lab, void *state, const json_t *root, bool speeds, struct error *error);
    /* When another text is there to evaluate on; an instance that needs that text, or whose row has this slot, has been
     * closed before. (null) */
    void (*text_changed)(struct lab *lab, void *state);

    /* Puts what it knows into a frame. (null) */
    void (*publish)(const struct lab *lab, const void *state, const void *running, struct frame *frame);
};

/* The slot of a row, and its state (job_slots.c). */
struct job_slot *job_slot_of(const struct lab *lab, const struct job_type *type);
void *job_state(const struct lab *lab, const struct job_type *type);

/* Seconds of work in the open instance of a row; 0: there is none. */
double job_worked(const struct lab *lab, const struct job_type *type);

/* Closes the open instance, if there is one, and tells the row. */
void job_cancel(struct lab *lab, struct job_slot *job);

/* Closes the open instance, which has come to this. */
void job_close(struct job_slot *job, enum job_state outcome);

/* The rows. */
extern const struct job_type materialize_job, requantize_job, describe_job, calibrate_job, export_job, roofs_job,
    stored_ratio_job, prefill_job, batch_job, compare_methods_job, tune_job, advise_job, time_snapshots_job, against_job,
    evaluate_job, depth_job_type, sensitivity_job_type;

bool jobs_open(struct lab *lab, struct error *error);
void jobs_close(struct lab *lab);

/* One slice of the first job that has work, of about `seconds`; true when one ran. */
bool jobs_step(struct lab *lab, double seconds);

/* Another set is in use. */
void jobs_set_changed(struct lab *lab);
void jobs_publish(struct lab *lab, struct frame *frame);

/* Closes what works on the text to evaluate on, so that it may be exchanged; after that, tells who depends on it. */
void jobs_leave_text(struct lab *lab);
void jobs_text_changed(struct lab *lab);

#endif

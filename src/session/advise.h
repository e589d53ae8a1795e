/* advise.h - which schemes are worth considering for a model on this machine: schemes and mixes from a table, each made,
 * timed and evaluated in turn, best guesses first, until the front of size, speed and KL is known. A job in bounded
 * slices; nothing of the session changes.
 *
 * A row goes through states; its figures are valid from the state on that measures them. Rows that cannot be made, or
 * do not fit in memory, are left out with the reason. Speed is timed in a context of its own, quality against the
 * session's reference on the first tokens of one text, as many for all rows. */
#ifndef QTOP_ADVISE_H
#define QTOP_ADVISE_H

#include "base/job.h"
#include "base/stats.h"
#include "export/export.h"
#include "measure/quality.h"
#include "session.h"

/* What counts most where several rows would do. */
enum advise_goal { GOAL_BALANCE, GOAL_SIZE, GOAL_SPEED, GOAL_QUALITY, GOALS };

/* The goal called name ("size"), or GOALS; null is GOAL_BALANCE. */
enum advise_goal advise_goal_by_name(const char *name);
const char *advise_goal_name(enum advise_goal goal);

/* Whether a row keeps as much as the goal asks for: where none does, the one with the least KL is chosen. */
struct advise_row;
bool advise_goal_met(enum advise_goal goal, const struct advise_row *row);

/* Whether it does so by two standard errors. */
bool advise_goal_sure(enum advise_goal goal, const struct advise_row *row);

/* What the recommended row is, as in "smallest that keeps top-1 over 95 %". */
const char *advise_goal_words(enum advise_goal goal);

/* What that asks for, as in "none keeps top-1 over 95 %". */
const char *advise_goal_keeps(enum advise_goal goal);

/* 0 asks for nothing. */
struct advise_limits {
    double max_memory; /* bytes of weights and the KV cache of the whole context */
    double max_file;   /* bytes */
    double min_rate;   /* decode tokens/s */
    double max_kl;     /* nats */
};

/* Limits in writing: some of "memory 2G", "file 700M", "rate 20" and "kl 0.01", in any order; "" asks for nothing. */
enum { LIMITS_TEXT = 128 };
bool advise_limits_parse(const char *text, struct advise_limits *out, struct error *error);
const char *advise_limits_print(const struct advise_limits *limits, char out[LIMITS_TEXT]);

struct advise_plan {
    struct session *session;
    struct quality_plan quality;  /* of a text that outlives the job */
    size_t tokens;                /* of it; 0: up to ADVISE_TOKENS, fewer where the machine would take long */
    const struct calibration_text *text; /* for methods that calibrate; outlives the job; null: those rows are left out */
    const struct tune_file *file; /* of the format of files; outlives the job; null: no file size */
    const char *format;           /* its name, or null */
    enum dtype kv;
    double read;                  /* bytes a second that speed is predicted from; NaN: unknown */
    enum advise_goal goal;
    struct advise_limits limits;
    const char *const *schemes;   /* to measure beside the stored weights instead of those worth considering, as -s takes */
    size_t scheme_count;          /* them; the model can have each of them. 0: those worth considering */
    const struct advise_row *known; /* rows of an earlier job of the same model, cache, text and window, copied: those
                                     * that were measured are not measured again; or null */
    size_t known_count;
};

enum { ADVISE_TOKENS = 2048 };

enum advise_state {
    ADVISE_WAITING,    /* sizes and the predicted speed are known */
    ADVISE_MAKING,
    ADVISE_TIMING,
    ADVISE_EVALUATING, /* speed is known */
    ADVISE_MEASURED,   /* so is quality */
    ADVISE_LEFT_OUT    /* see reason */
};

struct advise_row {
    char scheme[SCHEME_TEXT];      /* as -s takes it */
    struct scheme *schemes;        /* schemes_count; the job's */
    size_t size;                   /* bytes in memory */
    size_t memory;                 /* with the KV cache of the whole context */
    size_t file;                   /* bytes of a file; 0: the format does not hold it */
    double bits_per_weight_all;
    char exports[EXPORT_NAMES];    /* formats that hold it, "gguf safetensors"; "none" */
    double predicted;              /* decode tokens/s, read bandwidth / bytes a token; NaN: unknown */
    enum advise_state state;
    struct error reason;
    struct stats decode, prefill;  /* tokens/s */
    struct quality_result quality; /* while it is evaluated: so far */
    double seconds;                /* that it took to make and measure */
    bool calibrates;               /* making it calibrates on a text */
    bool front;                    /* of those measured none is as small and as close to the reference */
    char verdict[160];             /* in words; "" until it is measured */
};

struct advise;

/* Whether its speed is known. */
bool advise_is_timed(const struct advise_row *row);

/* The size that it is judged by: of the file, where there is one, else in memory. */
size_t advise_bytes(const struct advise_row *row);

/* Null with an error. */
struct advise *advise_open(const struct advise_plan *plan, struct error *error);
void advise_close(struct advise *job); /* null is fine */

/* Whether the samples of a row's speed lie so far apart that other work on the machine must have slowed some. */
bool advise_disturbed(const struct advise_row *row);

/* The rows in the order in which they are measured. */
const struct advise_row *advise_rows(const struct advise *job, size_t *count);

/* The row to take by what is known so far; null: none does what is asked for, or none was measured yet. */
const struct advise_row *advise_choice(const struct advise *job);

/* Other limits from now on; rows are judged again. */
void advise_limit(struct advise *job, const struct advise_limits *limits);

/* The same of rows that no job has: front and verdict of each. And which of them to take; count: none. */
void advise_judge(const struct advise_limits *limits, struct advise_row *rows, size_t count);
size_t advise_pick(const struct advise_limits *limits, enum advise_goal goal, const struct advise_row *rows,
                   size_t count);

/* Tokens that quality is measured on; 0: not known yet. */
size_t advise_tokens(const struct advise *job);

/* How a struct advise runs as a job. */
extern const struct job_class advise_class;

#endif

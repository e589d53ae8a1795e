/* internal.h - the lab's own state, shared by the files of this folder only. */
#ifndef QTOP_LAB_INTERNAL_H
#define QTOP_LAB_INTERNAL_H

#include "lab.h"

#include "engine/pin.h"
#include "engine/sampler.h"
#include "export/export.h"
#include "measure/output_error.h"
#include "measure/roofline.h"
#include "quant/quantization.h"
#include "quant/requant.h"
#include "quant/tune.h"
#include "session/selftext.h"
#include "tokenizer/stream.h"

#include <pthread.h>

/* ---- text: one generation with its history (text.c) ------------------------------------------- */

struct generation {
    struct context *context;
    struct sampler sampler;
    struct tokens tokens;      /* BOS and prompt first */
    struct candidate_token *candidates; /* CANDIDATES for each token */
    size_t candidate_room;
    float *logits, *probabilities;
    int32_t *order;
    bool ended;                /* the text is over, or the context is full */
};

/* ---- the cache of packed matrices (cache.c) ---------------------------------------------------- */

struct cache_entry {
    struct qtensor *packed;
    uint64_t used;
};

struct cache {
    struct cache_entry *entries;
    size_t count, room;
    size_t budget; /* bytes */
    uint64_t clock;
};

/* A packed matrix of the scheme, with a new reference, or null. */
struct qtensor *cache_find(struct cache *cache, int tensor, const struct scheme *scheme);

/* Adds (with a reference of its own) and drops the longest unused beyond the budget. */
void cache_add(struct cache *cache, struct qtensor *packed);
void cache_free(struct cache *cache);

/* ---- a meter of decode steps ------------------------------------------------------------------ */

struct meter {
    double seconds;      /* of the steps counted since the last reading */
    size_t steps;
    double rate;         /* tokens per second of the last reading; 0: none */
    bool cold;           /* a job ran since the last step: the next one does not count */
    float history[HISTORY];
    size_t history_count;
};

/* ---- what the processor counts (counting.c) ----------------------------------------------------- */

enum { MOST_EVENTS = 24 };

struct tally {
    struct perf_event events[MOST_EVENTS];
    size_t event_count;
    struct counts *before, *after; /* of the stretch under way */
    struct counts *zero, *sum;     /* of all stretches since the last frame */
    size_t tokens;                 /* decoded in them ... */
    double seconds;                /* ... in this time */
    bool running;
    size_t steps;
    double started, cost, next;    /* of the stretch; of one reading; when the next stretch may begin */
    struct uncore *uncore;         /* or null */
    struct uncore_counts *traffic_before, *traffic_after;
    double traffic_at, framed_at;
    struct counters_frame *frame;
    struct event_list *list;       /* once it was asked for */
};

/* ---- methods that look at activations (calibrating.c) --------------------------------------------- */

struct own_text {
    struct selftext *writer;       /* while the text is written */
    struct calibration_text text;  /* tokens null: none yet */
};

struct calibrating {
    struct own_text text, learning; /* to calibrate on; to learn from, ... */
    size_t learned;                /* ... of so many tokens */
    struct quantization *job;      /* or null */
    struct scheme *schemes;        /* that it makes */
};

/* ---- the search within a budget (tuning.c) -------------------------------------------------------- */

struct tuning {
    bool asked;
    struct budget budget;
    struct writer *writer;  /* while the text is written that it measures on */
    struct tokens searched; /* that text */
    struct tune *job;
};

/* ---- the set in use and the stored weights, timed in turns (timings.c) ----------------------------- */

enum { TURNS = 9 };
struct turns {
    bool over;
    const char *reason;      /* why there are none, once it is over */
    struct context *context; /* while it is timed */
    double ratios[TURNS];    /* decode speed of the set / of the stored weights, a pair each */
    size_t count;
};

/* What a layer alone costs, and the scheme that it had. */
struct alone {
    struct scheme scheme;
    struct sensitivity figures;
};

struct lab {
    struct session *session;
    struct lab_options options;
    char *prompt;
    pthread_t thread;
    bool threaded;

    /* Shared with other threads, under lock. */
    pthread_mutex_t lock;
    pthread_cond_t arrived;
    struct queued *first, *last;
    struct frame *newest;
    int wake; /* eventfd */
    bool quit;

    /* The thread's own. */
    bool paused;
    struct scheme *target;      /* schemes_count: what the person asked for */
    struct weights *set;        /* what is in use */
    struct pin pin;           /* of its stored weights; text and meters run when it is ready */
    struct pin reference_pin; /* of the reference's, while it runs */
    struct pin compared_pin;  /* of its selected tensor's, with which an output is compared */
    bool ready, making_failed;
    struct cache cache;
    struct scheme **undo, **redo;
    size_t undo_count, redo_count;
    struct snapshot snapshots[SNAPSHOTS];
    size_t snapshot_count;
    int current_snapshot;

    int selected;
    size_t row, col;
    struct detail *detail;
    struct output_error output;
    float *output_scratch;
    struct columns *columns, *columns_frame; /* of the selected layer's inputs; a copy, null when it is old */

    struct generation text, reference;
    size_t prompt_tokens;       /* with those before the text */
    size_t text_begin;          /* tokens before the text: BOS, or what an empty prompt starts from */
    bool watch_text;
    uint64_t seed;
    double next_token_due, text_over_at;
    struct text_frame *text_frame; /* of the texts as they are; null when they changed */

    struct meter meter;
    double *tensor_seconds;     /* sums over sampled tokens, one a tensor and attention's */
    double *sampled;            /* of one token */
    size_t sampled_tokens;
    size_t unsampled;           /* steps since the last sampled one */
    double sampled_at;          /* when that was */
    struct metric prefill, peak_read;
    struct tally tally;

    /* Jobs, in this order of priority (jobs.c). */
    bool requantizing, describing;
    struct requant requant;
    struct calibrating calibrating;
    struct tuning tuning;
    struct race_job *race;           /* or null */
    struct export *exporting;        /* or null */
    struct comparison *comparing;    /* or null */
    bool comparing_asked;
    int compared_tensor;
    struct comparison_frame *comparison; /* as far as it is, or was */
    struct learning_frame *learning;     /* the same */
    struct detail_job describe;
    struct writer *writer;
    struct tokens evaluation;   /* the text that quality is measured on, once it is known */
    bool evaluation_ready;
    const char *evaluation_reason; /* why there is none */
    struct quality *quality;
    struct quality_frame quality_frame;
    bool evaluation_asked;
    double changed_at;          /* when the set last changed */
    bool prefill_known;         /* timed since the set last changed */
    size_t prefill_tokens;      /* that it was timed with */
    struct turns turns;         /* the set in use and the stored weights */
    struct roofs_frame *roofs;
    const char *roofs_reason;   /* why there are none */
    bool roofs_wanted, measuring_roofs;
    struct roofs_job roofs_job;
    size_t batch_wanted, batch_count; /* sequences; sizes that are measured */
    struct metric batch[BATCHES];
    struct depth_job *depth;
    struct depth_profile *depth_profile; /* of the set in use */
    bool depth_tried;
    bool sensitivity_asked;
    struct sensitivity_job *sensitivity;
    struct alone *alone;        /* one a tensor */
    const char *job;
    double job_fraction;

    uint64_t serial;
    char status[256];
    uint64_t status_serial;
    bool status_is_error;
};

/* lab.c */
void lab_say(struct lab *lab, bool is_error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void lab_use(struct lab *lab, struct weights *set); /* takes over the reference */

/* edits.c: commands that change schemes */
bool edits_begin(struct lab *lab, struct error *error);
void edits_end(struct lab *lab);
void edits_apply(struct lab *lab, const struct command *command);
void edits_reconcile(struct lab *lab); /* brings the set towards the target as far as is instant */
void edits_use(struct lab *lab, const struct scheme *schemes); /* as one change */
bool edits_snapshot(struct lab *lab); /* false: why not has been said */
bool tensor_pending(const struct lab *lab, int tensor);

/* text.c: the text being generated, and its meters */
bool texts_begin(struct lab *lab, struct error *error);
void texts_end(struct lab *lab);
void texts_restart(struct lab *lab);
bool texts_change_kv(struct lab *lab, enum dtype kv, struct error *error);
bool texts_prompt(struct lab *lab, const char *text);
void texts_step(struct lab *lab, double seconds); /* at least one decode step, unless paused */
bool texts_follow_reference(struct lab *lab, double seconds); /* true while there is more to do */
struct text_frame *texts_frame(struct lab *lab);
void meter_reset(struct lab *lab);

/* jobs.c: everything that shares the machine with the tokens */
bool jobs_begin(struct lab *lab, struct error *error);
void jobs_end(struct lab *lab);
bool jobs_step(struct lab *lab, double seconds); /* true when a slice ran */
void jobs_set_changed(struct lab *lab);
double jobs_quiet(const struct lab *lab); /* seconds since the set last changed ... */
static const double SETTLE_SECONDS = 0.4; /* ... and so many before measuring begins */
void jobs_show(struct lab *lab, const char *name, double fraction); /* what runs now: a static text */

/* calibrating.c: methods that look at activations */
bool calibrating_slice(struct lab *lab, double seconds);
void calibrating_end(struct lab *lab);
float calibrating_progress(const struct lab *lab, int tensor); /* 0..1; -1: it is not being made so */
bool calibrating_text(struct lab *lab, double seconds); /* whether it is there; else works for it, or gives up */

/* learning.c: the curve of quantization-aware training */
void learning_note(struct lab *lab, const struct quantization *job);
void learning_over(struct lab *lab); /* the curve stays */
void learning_ask_stop(struct lab *lab);
void learning_end(struct lab *lab);

/* comparing.c: methods side by side */
bool comparing_slice(struct lab *lab, double seconds);
void comparing_ask(struct lab *lab);
void comparing_stop(struct lab *lab); /* what is known stays */
void comparing_end(struct lab *lab);

/* tuning.c: the search within a budget */
bool tuning_slice(struct lab *lab, double seconds);
void tuning_ask(struct lab *lab, const char *budget); /* while one runs: stops */
void tuning_stop(struct lab *lab);                    /* and forgets what it found */
void tuning_end(struct lab *lab);

/* racing.c: all snapshots in interleaved rounds */
bool racing_slice(struct lab *lab, double seconds);
void racing_ask(struct lab *lab); /* while it runs: stops */
void racing_end(struct lab *lab);

/* exporting.c: the set in use as a file */
bool exporting_slice(struct lab *lab, double seconds);
void exporting_ask(struct lab *lab, const char *text); /* while it runs: stops */
void exporting_end(struct lab *lab);

/* timings.c: jobs that time */
void timings_begin(struct lab *lab);
void timings_end(struct lab *lab);
void timings_set_changed(struct lab *lab);
bool roofs_slice(struct lab *lab, double seconds);
bool turns_slice(struct lab *lab, double seconds);
bool prefill_slice(struct lab *lab, double seconds);
bool batch_slice(struct lab *lab, double seconds);
void roofs_ask(struct lab *lab);
void batch_ask(struct lab *lab, int direction);
size_t batch_size(size_t index); /* sequences of the batch at an index of lab->batch */

/* judging.c: jobs that judge */
bool judging_begin(struct lab *lab, struct error *error);
void judging_end(struct lab *lab);
void judging_set_changed(struct lab *lab);
bool write_slice(struct lab *lab, double seconds);
bool evaluate_slice(struct lab *lab, double seconds);
bool depth_slice(struct lab *lab, double seconds);
bool sensitivity_slice(struct lab *lab, double seconds);
void sensitivity_ask(struct lab *lab);
struct quality_plan judging_plan(const struct lab *lab); /* of an evaluation, once its text is ready */

/* counting.c: what the processor counts */
void counting_begin(struct lab *lab); /* on the thread that runs the model */
void counting_end(struct lab *lab);
void counting_toggle(struct lab *lab, const char *event);
void counting_list(struct lab *lab);
void counting_start(struct lab *lab); /* before a decode step that counts ... */
void counting_step(struct lab *lab);  /* ... after it ... */
void counting_stop(struct lab *lab);  /* ... and before anything else */
struct counters_frame *counting_frame(struct lab *lab); /* with a reference for the caller; or null */

/* making.c: stored weights that lie in no file. Begins after the edits, whose target must fit. */
bool making_begin(struct lab *lab, struct error *error);
void making_end(struct lab *lab);
void making_set_changed(struct lab *lab);
bool making_slice(struct lab *lab, double seconds); /* of the set in use; a job */
bool making_compared(struct lab *lab);              /* of the selected tensor, all at once */

/* Of the reference. True when they are all there; else false, with an error (an empty one: more slices
 * are needed). They stay until jobs_step has nothing left to do. */
bool making_reference(struct lab *lab, double seconds, struct error *error);

/* publish.c */
void lab_publish(struct lab *lab);

#endif

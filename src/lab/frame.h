/* frame.h - what a view draws: everything at one moment, immutable, shared by reference count.
 *
 * Whatever can be absent is a metric with a validity bit and, when absent, the reason. */
#ifndef QTOP_FRAME_H
#define QTOP_FRAME_H

#include "engine/weights.h"
#include "measure/columns.h"
#include "sys/counters.h"
#include "measure/depth.h"
#include "measure/detail.h"
#include "base/metric.h"
#include "measure/quality.h"
#include "measure/roofs_cache.h"
#include "measure/sensitivity.h"
#include "sys/uncore.h"
#include "quant/comparison.h"
#include "quant/qat.h"
#include "session/advise.h"
#include "session/against.h"
#include "tokenizer/tokenizer.h"

#include <time.h>

enum { HISTORY_STEPS = 201 /* of undo and redo */, LOG_ENTRIES = 400, JOB_ROWS = 24 };
enum { HISTORY = 120, CANDIDATES = 5, SNAPSHOTS = 26, BATCHES = 6 /* 2, 4 ... MAX_SEQUENCES */ };

/* What is in use and on its way for one tensor. The set says what is in use. */
struct layer_frame {
    struct scheme wanted;     /* what the person asked for; equals the set's unless pending */
    bool pending;
    float progress;           /* 0..1 of the work on it; -1 while it waits */
    struct metric seconds;    /* of one decode step */
    struct metric output_sqnr_db; /* of its output on the text being generated; +infinity: exact */
    struct metric sensitivity; /* KL divergence in nats with this layer alone as in the set */
    double sensitivity_stderr; /* its standard error, nats */
    bool sensitivity_partial;  /* of a part of the tokens so far */
    struct metric used;        /* of an expert: the share of the texts' tokens that used it */
};

struct output_frame {
    const struct qtensor *q; /* whose output it is, in the set in use; null: of none yet */
    struct metric sqnr_db;   /* +infinity: exact */
    size_t tokens;
    struct histogram errors;
};

struct candidate_token {
    int32_t id;
    float probability;
};

/* The text being generated and, where it runs, the reference's from the same seed. */
struct text_frame {
    atomic_int refs;
    uint64_t seed;
    float temperature;
    size_t prompt_tokens;       /* BOS, or what an empty prompt starts from, included */
    bool chat;                  /* the prompt is what a user says, in a turn of the model's chat template */
    char *text, *reference;     /* UTF-8, whole characters; reference null where it does not run */
    size_t tokens, reference_tokens;
    size_t earlier_tokens;      /* that sets before the one in use chose or, in the prompt, ran; 0: none */
    bool diverged;
    size_t divergence;          /* index of the first token that differs */
    size_t text_offset, reference_offset; /* bytes before that token */
    struct candidate_token here[CANDIDATES], there[CANDIDATES]; /* at that token */
    bool ended;
};

struct quality_frame {
    bool valid, running;
    bool stale;                 /* of an earlier set, or of an earlier text */
    uint64_t text_serial;       /* of the text that it was measured on (struct study_frame) */
    uint64_t set_serial;        /* of the set that was measured */
    struct quality_result result;
    const char *reason;         /* when not valid */
};

/* One event over the stretches of decode steps that were counted. */
struct event_frame {
    char name[EVENT_NAME];
    const char *description, *reason; /* static texts; why it does not count, or null */
    struct count total;               /* of all threads */
};

struct counters_frame {
    atomic_int refs;
    size_t tokens;              /* decoded in the intervals that were counted */
    double seconds;             /* that those intervals took */
    size_t events, threads;
    struct event_frame *event;  /* events */
    struct count *by_thread;    /* events x threads */
    struct metric ipc;          /* instructions a cycle */
    struct metric bytes_per_token, cache_misses_per_token;
    struct metric traffic[TRAFFIC_ALL + 1]; /* of the whole machine's memory, bytes/s, over all the time */
    char traffic_label[200];    /* what counts it; "" where nothing does */
    char traffic_detail[200];   /* with the events that count it, or the whole reason */
};

/* The text that quality is measured on. */
enum { STUDY_SHOWN = 1 << 20 };
struct study_frame {
    atomic_int refs;
    uint64_t serial;      /* another one for each text */
    char name[TEXT_NAME];
    size_t tokens;        /* of the text */
    size_t count;         /* of those, the first that are here: at most STUDY_SHOWN */
    int32_t ids[];        /* count */
};

/* What libpfm4 can count here. */
struct event_line {
    char *name, *description;
};

struct event_list {
    atomic_int refs;
    size_t count;
    struct event_line *line;
};

/* Methods side by side on one layer. */
struct comparison_frame {
    atomic_int refs;
    int tensor;
    size_t tokens;          /* that outputs are compared on, the first of a text: */
    char text[TEXT_NAME];
    size_t count;
    struct compared of[COMPARED_SCHEMES];
};

/* The schemes worth considering, as far as they are measured. */
struct advise_frame {
    atomic_int refs;
    char text[TEXT_NAME]; /* that quality is measured on */
    size_t tokens;        /* of it; 0: not known yet */
    size_t pick[GOALS];   /* the row to take; count: none */
    size_t count;
    struct advise_row of[]; /* their schemes are not there */
};

/* Two files side by side, as far as they are compared. */
struct against_frame {
    atomic_int refs;
    bool running;
    struct against_facts *facts; /* or null: not yet */
    struct against_figures figures;
    char text[TEXT_NAME];        /* that quality is measured on */
    size_t count;
    struct against_layer of[];   /* tensors */
};

/* What a run of quantization-aware training came to: the loss of its steps and, at some of them (else NAN), the KL
 * divergence of the text kept aside. Of a long run some steps are left out. */
enum { TRAINING_POINTS = 256 };
struct training_point {
    size_t step;
    double loss, kl;
};

struct training_frame {
    atomic_int refs;
    bool running;
    struct training_figures figures;
    size_t count;
    struct training_point of[TRAINING_POINTS];
};

struct roofs_frame {
    atomic_int refs;
    struct roofs roofs;
    struct roofs_source source;
};

/* The schemes of a snapshot, shared. */
struct kept_schemes {
    atomic_int refs;
    struct scheme of[]; /* schemes_count */
};

/* What a file of a snapshot's schemes has, where a search chose them for a format. */
struct file_sizes {
    atomic_int refs;
    char format[16];
    size_t size;                                 /* bytes of the whole file */
    double bits_per_weight, bits_per_weight_all; /* as in struct frame, of the file's bytes */
    size_t tensor[];                             /* tensors: bytes of each in it; 0: it is not there */
};

/* Decode tokens/s of a snapshot in rounds that time all snapshots one after the other. */
enum { INTERLEAVED_ROUNDS = 31 };
struct interleaved {
    size_t rounds; /* 0: it took no part */
    double rate[INTERLEAVED_ROUNDS];
};

/* A scheme that a person kept. */
enum { SNAPSHOT_NAME = 32, SNAPSHOT_NOTE = 160 };
struct snapshot {
    char label;               /* 'A'..., of this one as long as it is kept */
    char name[SNAPSHOT_NAME]; /* that a person gave it, or "" */
    char note[SNAPSHOT_NOTE]; /* the same */
    struct kept_schemes *schemes;
    struct file_sizes *file; /* or null */
    struct interleaved timed;
    struct metric sqnr_db;  /* of the linear matrices inside blocks that have errors, together; +infinity: none */
    size_t size, bytes_per_token;
    double bits_per_weight;
    char summary[SCHEME_TEXT]; /* the common scheme, or how many differ */
    struct metric decode, prefill;
    size_t position, prefill_tokens; /* where the two were measured */
    size_t kv_bytes;                 /* of the cache, a position */
    enum peak peak;                  /* the one its kernels run into; PEAK_COUNT: none */
    struct quality_frame quality;
    bool written; /* its schemes were written as a recipe */
};

/* How fast the set in use runs, and what bounds it. */
struct speed_frame {
    struct metric decode;       /* tokens/s, of steps that no job disturbed, unless it is rough */
    bool is_rough;              /* of few steps, or of steps right after a job: not enough others yet */
    struct metric prefill;      /* tokens/s */
    size_t prefill_tokens;      /* that prefill was measured with */
    struct metric vs_stored;    /* decode speed / the stored weights', of interleaved pairs: the median */
    double vs_stored_low, vs_stored_high; /* smallest and largest of the pairs */
    bool disturbed;             /* a job shares the machine */
    float history[HISTORY];     /* decode tokens/s, newest last */
    size_t history_count;
    size_t bytes_per_token;     /* at the position of the text */
    struct metric bandwidth;    /* bytes/s, computed */
    struct metric peak_read;    /* bytes/s, measured */
    bool roofs_disturbed;       /* they were measured while the machine was busy: they may be too low */
    bool in_cache;              /* a token's bytes fit in the last-level cache: memory is not read */
    struct metric cache_misses; /* last-level misses a token */
    struct metric batch[BATCHES]; /* tokens/s of batches of 2, 4, 8 ... sequences */
    size_t batch_wanted;        /* sequences up to which batches are measured; below 2: none */
    enum peak peak;             /* the one that the set's kernels run into; PEAK_COUNT: none */
};

/* The last thing that was done or went wrong, in words. */
struct status {
    char text[256];  /* "": nothing, or it is over */
    uint64_t serial; /* grows with each */
    bool is_error;
};

/* What a state of the schemes reached while it was in use; what it did not is not valid. */
struct step_frame {
    uint64_t serial;      /* from 1, in the order in which they were made */
    size_t size;          /* bytes in memory */
    double bits_per_weight_all;
    struct metric decode; /* tokens/s */
    struct metric kl, top1; /* of a complete evaluation: nats, a share */
    double kl_stderr;
};

/* Something that was done, or said. */
struct log_entry {
    time_t time;
    uint64_t step;  /* serial of the step that it describes; 0: of none */
    bool is_error;
    char text[256];
};

struct log_frame {
    atomic_int refs;
    uint64_t total;        /* entries since the start: the newest one's number */
    size_t count;
    struct log_entry of[]; /* oldest first */
};

enum { ACTIVITY_NAME = 96 };

/* A row of the table of jobs that has work, or has had some. */
enum job_state { JOB_WAITING, JOB_RUNNING, JOB_DONE, JOB_STOPPED, JOB_FAILED };
struct job_frame {
    char name[ACTIVITY_NAME]; /* "advising: q4_k_m" */
    char kind[40];     /* "advising" */
    int row;           /* of the table */
    enum job_state state;
    double fraction;   /* 0..1, of one that is open: of one layer, where of_a_layer */
    bool of_a_layer;   /* of the frame's pending ones */
    double seconds;    /* since it began, or that it took */
    bool can_stop;
};

/* What the machine works on beside the tokens. */
struct activity {
    const char *name; /* null: nothing; in a frame, its own text */
    double fraction;  /* 0..1 */
};

struct frame {
    atomic_int refs;
    uint64_t serial;
    const struct model *model;
    struct weights *set;
    uint64_t set_serial;        /* another one for each set that was in use */
    struct layer_frame *layers; /* one a tensor and, last, the KV cache's (kv_index) */
    size_t pending;             /* layers on their way */

    struct speed_frame speed;
    size_t size, stored_size;   /* bytes of the set in use, and of the stored weights */
    double bits_per_weight, bits_per_weight_all; /* see struct weights_totals */
    size_t position, capacity;  /* of the text in its KV cache */
    struct counters_frame *counters; /* or null */
    struct event_list *events;  /* once it was asked for, or null */
    struct roofs_frame *roofs;  /* or null */
    const char *roofs_reason;   /* why there are none; null where there are */

    struct quality_frame quality;
    struct study_frame *study;  /* what that is measured on, or null: it is not there yet */
    struct depth_profile *depth; /* of the set in use, or null */
    struct comparison_frame *comparison; /* or null; of whatever layer was asked for last */
    bool comparison_stale;      /* another layer has changed since */
    struct advise_frame *advise; /* or null: it was not asked for */
    struct advise_limits advise_limits; /* that its verdicts and picks keep to */
    struct against_frame *against; /* or null: there is no other file */
    struct training_frame *training; /* or null; of the last run */
    char training_text[TEXT_NAME]; /* what it trains on, and of which a part is held out */
    struct detail *detail;      /* of the selected layer, or null while it is being made */
    struct output_frame output; /* of the selected layer */
    struct columns *columns;    /* its inputs, or null */
    struct weight_view weight;
    struct text_frame *text;

    struct snapshot snapshots[SNAPSHOTS];
    size_t snapshot_count;
    int current_snapshot;       /* -1: none */

    bool session_named;         /* the session is kept in a file, and written at the end */
    bool tuning, exporting;     /* a search runs; a file is written */
    bool advising;              /* schemes are measured */
    /* Of work in those that run; 0: none does. Of evaluations only those that a person asked for. */
    double evaluation_seconds, sensitivity_seconds, calibration_seconds;
    uint64_t budgets_refused;   /* of searches, since the start: they cannot be met */
    struct activity activity;
    char activity_name[ACTIVITY_NAME];
    struct status status;
    bool paused;
    bool idle;   /* it rests because nobody looks */
    bool sleeps; /* nothing runs until a command comes: this is the last frame before */
    uint64_t commands_applied; /* that were sent, since the start */
    struct step_frame steps[HISTORY_STEPS]; /* oldest first; those after the current one can be redone */
    size_t step_count, current_step;
    struct log_frame *log;      /* or null */
    struct job_frame jobs[JOB_ROWS];
    size_t job_count;
};

/* What is known of one tensor of the set in use; null where the frame has it of another one: a screen's cursor is
 * ahead of the lab for a moment. */
const struct detail *frame_detail(const struct frame *frame, const struct qtensor *q);
const struct columns *frame_columns(const struct frame *frame, const struct qtensor *q);
const struct output_frame *frame_output(const struct frame *frame, const struct qtensor *q);

/* The sizes in the file that a search chose the set in use for; null where it did not: sizes are then of memory. */
const struct file_sizes *frame_file(const struct frame *frame);

/* Whether some layers wait while a job works on others; not where one job works on all. */
bool frame_has_queue(const struct frame *frame);

/* Decode tokens/s of a snapshot: of rounds that timed all, where there were enough (LEAST_ROUNDS), else what was seen
 * while it was in use. */
enum { LEAST_ROUNDS = 5 };
struct metric snapshot_decode(const struct snapshot *snapshot);

/* The complete evaluation that those of other snapshots must be comparable with: that of the snapshot `base` or, where
 * it has none, of the first that has. Null: there is none. */
const struct quality_result *frame_basis(const struct frame *frame, size_t base);

/* Why a snapshot's quality is not comparable with it; null where it is, or is not known. */
const char *frame_incomparable(const struct frame *frame, size_t base, const struct snapshot *snapshot);

struct frame *frame_ref(struct frame *frame);
void frame_unref(struct frame *frame);
struct text_frame *text_frame_ref(struct text_frame *text);
void text_frame_unref(struct text_frame *text);

struct log_frame *log_frame_ref(struct log_frame *log);
void log_frame_unref(struct log_frame *log);
struct counters_frame *counters_frame_ref(struct counters_frame *counters);
void counters_frame_unref(struct counters_frame *counters);
/* Chosen events that do not count here; and why, where all have one reason, else null. */
size_t counters_frame_broken(const struct counters_frame *counters);
const char *counters_frame_reason(const struct counters_frame *counters);

struct event_list *event_list_ref(struct event_list *list);
void event_list_unref(struct event_list *list);
/* Room for `count` of them, to be filled; null when memory is short. */
struct kept_schemes *kept_schemes_new(size_t count);
struct kept_schemes *kept_schemes_ref(struct kept_schemes *schemes);
void kept_schemes_unref(struct kept_schemes *schemes);
struct file_sizes *file_sizes_ref(struct file_sizes *sizes);
void file_sizes_unref(struct file_sizes *sizes);
struct advise_frame *advise_frame_ref(struct advise_frame *advise);
void advise_frame_unref(struct advise_frame *advise);
struct against_frame *against_frame_ref(struct against_frame *against);
void against_frame_unref(struct against_frame *against);
struct study_frame *study_frame_ref(struct study_frame *study);
void study_frame_unref(struct study_frame *study);
struct comparison_frame *comparison_frame_ref(struct comparison_frame *comparison);
void comparison_frame_unref(struct comparison_frame *comparison);
struct training_frame *training_frame_ref(struct training_frame *training);
void training_frame_unref(struct training_frame *training);
struct roofs_frame *roofs_frame_ref(struct roofs_frame *roofs);
void roofs_frame_unref(struct roofs_frame *roofs);

#endif

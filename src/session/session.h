/* session.h - an open model with what is needed to run it. */
#ifndef QTOP_SESSION_H
#define QTOP_SESSION_H

#include "engine/context.h"
#include "measure/quality.h"
#include "sys/counters.h"
#include "model/outliers.h"
#include "model/synthetic.h"
#include "quant/quantization.h"
#include "tokenizer/tokenizer.h"

struct session_options {
    const char *model_path;
    const struct shape *synthetic; /* a model of this shape with random weights instead; or null */
    const char *reference_path; /* another model whose weights are the reference; null: the model's own */
    const char *against_path;   /* another model to hold beside the model; or null */
    struct outliers outliers;   /* to inject into the model, which then is its own reference */
    const char *tokenizer_path; /* null: looked for beside the model */
    int threads;                /* 0: one per usable physical core */
    size_t context;             /* positions, beyond the trained ones where they are rotary; 0: the default */
    size_t least_context;       /* positions that the default, the smaller of the trained ones and 4096, must have */
};

/* Told during work that may take long, what it is and how many of all weights are done. */
typedef void progress_fn(void *arg, const char *work, size_t done, size_t all);

/* Whether a person, or a signal, has asked to stop. */
typedef bool cancelled_fn(void *arg);

/* Told one line that a person should know, though nothing failed. */
typedef void note_fn(void *arg, const char *line);

/* The name of a text that a model writes itself. */
#define TEXT_SELF "self"

struct session {
    struct model *model;
    struct tokenizer *tokenizer;   /* null where there is none */
    struct error tokenizer_error;  /* why there is none */
    struct pool *pool;
    struct counters *counters;     /* of the pool's threads; null before session_count */
    const struct perf_calls *perf; /* what counts: the kernel's own calls, unless a test puts others here */
    const char *system_root;       /* "", or a folder with a copy of /sys */
    size_t context;                /* positions */
    struct weights *stored;        /* the set that a session opens with */
    struct model *reference_model; /* null where the model is its own reference */
    struct weights *reference;     /* the reference's stored weights; `stored` without another model */
    struct model *other_model;     /* that is held beside the model (against.h), read only; or null */
    struct tokenizer *other_tokenizer;     /* its own; null where there is none */
    struct error other_tokenizer_error;    /* why there is none */
    struct weights *other;         /* its stored weights; or null */
    progress_fn *progress;         /* or null */
    void *progress_arg;            /* of progress and cancelled */
    cancelled_fn *cancelled;       /* or null */
    note_fn *note;                 /* or null */
    void *note_arg;
    struct tokens calibration;     /* to calibrate on, without BOS; none: the model writes its own */
    bool calibration_is_default;   /* nobody named it: training has a text that the model writes */
    char calibration_name[TEXT_NAME]; /* as it stands beside figures; "" is TEXT_SELF */
    struct importance *importance; /* of --imatrix, which then stands for the text in what columns weigh; or null */
    struct calibration_text calibration_text; /* in windows, once it was needed */
    struct calibration_text training_text;    /* in windows, once it was needed */
    size_t training_tokens;                   /* that training_text was asked for with */
    bool resume;                              /* a training goes on from where it was interrupted */
};

/* Fails when the model does not open, a named tokenizer does not, another model does not fit as the reference, or one
 * cannot be held beside it (models_compare). */
bool session_open(struct session *session, const struct session_options *options,
                  struct error *error);
void session_close(struct session *session);

/* Reads an importance matrix for the session's model, once. Notes (session->note) say which layers it has no data of
 * and which of its entries name none. */
bool session_read_imatrix(struct session *session, const char *path, struct error *error);

/* Where another model is the reference, measures the errors that the stored weights themselves have against
 * it: reads all of both. Until then they count as exact. For the caller of the pool, before any set is made from
 * `stored`, which it replaces. */
bool session_measure_stored(struct session *session, struct error *error);

/* Opens events for the calling thread, which is to run the model, and the pool's other ones; what the
 * session counted before is closed. Raises this process's limit of open files where it can: a descriptor
 * is needed for every event and thread. session->counters is null afterwards only when memory is short. */
void session_count(struct session *session, const struct perf_event *events, size_t count);

/* The id that the model's own tokenizer puts before a text, -1 where it puts none; without a tokenizer the one that the
 * model's own files name, or -1. */
int32_t session_bos(const struct session *session);

/* What a model that is given no text begins to write from: BOS, else EOS, else token 0. */
int32_t session_start(const struct session *session);

/* Begins an empty list of tokens: with BOS where texts begin with it, and with session_start where they do not
 * and no text will follow. The tokens that this adds are no text. False when memory is short. */
bool session_begin(const struct session *session, bool text_follows, struct tokens *tokens);

/* What is known of the model's chat template: of a model without a tokenizer that it has none. */
struct chat session_chat(const struct session *session);

/* Whether a model that writes this token has finished. */
bool session_ends_text(const struct session *session, int32_t token);

/* Whether a set with these schemes (schemes_count) fits in memory: matrices that must be packed, stored
 * weights that must be made, and one of those that others are packed from. */
bool session_fits(const struct session *session, const struct scheme *schemes, struct error *error);

/* The model's stored schemes (schemes_count), the KV cache in fp32; the caller frees. */
struct scheme *session_schemes(const struct session *session, struct error *error);

/* Whether a file may be written there: not over one of the model, of the reference or of the tokenizer, which are read
 * as long as the session is open. */
bool session_check_output(const struct session *session, const char *path, struct error *error);

/* Whether it was asked to stop. */
bool session_cancelled(const struct session *session);

/* Runs a job to its end, telling session->progress, in slices between which session->cancelled is asked. False with
 * an error; a cancelled job ends with *cancelled and none. For the caller of the pool. */
bool session_run(const struct session *session, const struct job_class *class, void *job, bool *cancelled,
                 struct error *error);

#endif

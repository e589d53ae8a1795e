/* batch.h - what the subcommands share: opening a session from options, text and JSON output. */
#ifndef QTOP_BATCH_H
#define QTOP_BATCH_H

#include "base/units.h"
#include "engine/pin.h"
#include "session/session_weights.h"
#include "session/text_source.h"
#include "options.h"
#include "texts.h"

#include <jansson.h>

/* Prints "qtop: LINE" on standard error and returns the exit status. */
int complain(const struct error *error, int status);

/* Prints "qtop: note: TEXT" on standard error: what a person should know, though nothing failed. */
void note(const char *text);

/* The path of the built-in model: beside the build tree's data, else as installed. Null with an error
 * when it is nowhere. The caller frees. */
char *builtin_model_path(struct error *error);

/* Whether -t is no more than may run here, and the instruction set that --isa or QTOP_ISA names can be
 * used, which it then is. */
bool check_kernels(const struct options *options, struct error *error);

/* The progress line on standard error: percent done and time left. */
struct progress_line {
    double opened;    /* clock_seconds when the model was open */
    double began;     /* clock_seconds when this job began, */
    double from;      /* and how much of it was done then, 0..1: more than nothing where it was resumed */
    double fraction;  /* done so far */
    const char *work; /* what is being done, a static text or one of the job's own; null before the first */
};

/* What an interrupted command says that has no figures yet. */
#define NOTHING_FINISHED "interrupted before anything was measured"

/* A session with the schemes that -s and -r ask for. */
struct batch {
    struct session session;
    struct scheme *schemes;   /* schemes_count */
    struct weights *weights;  /* packed accordingly; null until batch_pack */
    struct pin pin;         /* of their stored weights, from batch_pack on */
    char *path;               /* of the built-in model */
    char scheme_text[256];    /* how the schemes are called in output */
    const char *calibration;  /* what --calibration says; or null */
    bool calibration_known;   /* the session has its tokens, if it has any */
    struct progress_line progress;
};

/* Opens; on failure *status is the exit status that fits. */
bool batch_open(struct batch *batch, const struct options *options, int *status,
                struct error *error);
bool batch_pack(struct batch *batch, struct error *error);

/* Reads the text to calibrate on into the session, unless it is there: for whoever may calibrate. */
bool batch_calibration(struct batch *batch, struct error *error);

/* Whether any of these schemes (schemes_count) takes the importance matrix that --imatrix names; true without one. */
bool batch_uses_imatrix(const struct batch *batch, const struct scheme *schemes);

/* The error where none does: an importance matrix that nothing would look at is a mistake. */
bool batch_unused_imatrix(const struct batch *batch, struct error *error);

/* A set of these schemes (session_weights), with that text where one calibrates. */
struct weights *batch_weights(struct batch *batch, const struct scheme *schemes, struct error *error);

/* Whether -o, if it is given, names what can be written, and no file that is being read: that would destroy it. */
bool batch_check_output(const struct batch *batch, const struct options *options, struct error *error);

/* See session_measure_stored. */
bool batch_measure(struct batch *batch, struct error *error);
void batch_close(struct batch *batch);

/* How the schemes of -s and -r are called in output. */
void scheme_words(const struct options *options, char out[256]);

/* Whether every scheme of several -s, and of --vs, is one. */
bool check_candidates(const struct options *options, struct error *error);

/* Applies --kv, -s and -r to schemes (schemes_count, all stored at first). */
bool apply_schemes(const struct options *options, const struct model *model,
                   struct scheme *schemes, struct error *error);

/* A JSON string of any text: what is not UTF-8, or a control character, is escaped. */
json_t *json_text(const char *text);

/* Why the field "reference" is null. */
#define NO_REFERENCE "the stored weights are the reference"

/* Whether records are written instead of text: --json or --csv. */
bool wants_records(const struct options *options);

/* Writes one JSON object and a newline or, with --csv, a line of its values (the first time after one of its keys),
 * flushed, and releases it. */
void print_record(json_t *object, const struct options *options, bool first);

/* A number, or null beside a KEY_reason when it is not finite or the reason is given. */
void json_add(json_t *object, const char *key, double value, const char *reason);

/* A text to measure on: the caller frees list.ids. */
struct study_tokens {
    struct tokens list;   /* without BOS */
    char name[TEXT_NAME]; /* what figures call it */
};

/* The tokens that a search measures on. */
bool search_tokens(const struct session *session, struct study_tokens *out, struct error *error);

/* `count` tokens (0: all) of the text that quality is measured on: of the file --text, of the default text, or written
 * by the reference. */
bool quality_tokens(const struct batch *batch, const struct options *options, size_t count, struct study_tokens *out,
                    struct error *error);

/* The same with as many tokens as -n says; without it all of --text, or DEFAULT_TOKENS. */
bool evaluation_tokens(const struct batch *batch, const struct options *options, struct study_tokens *out,
                       struct error *error);

/* Adds text_name and text_tokens: what figures of quality were measured on. */
void json_add_text(json_t *object, const char *name, size_t tokens);

/* The window of --window, or the default one. */
bool evaluation_window(const struct session *session, const struct options *options, size_t *window,
                       struct error *error);

#endif

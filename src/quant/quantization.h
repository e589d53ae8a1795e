/* quantization.h - a whole set of weights from an array of schemes, with what methods need to know of
 * activations: a job in bounded slices.
 *
 * Tensors whose scheme needs no calibration come first. The others follow in the order of a walk (engine/walk.h)
 * that brings a calibration text through the model: at each input group the inputs of its layers are observed, the
 * layers quantized, and the text goes on. Where one of them is a GPTQ that asks for it (sequence=1, the usual),
 * the walk goes through what is quantized already, so that each layer is calibrated on what those before it
 * give now (Frantar et al. 2022, section 4); else through the stored weights, all at once. Last of all, with the
 * others as they are then, those learn whose method is `qat` (qat.h). */
#ifndef QTOP_QUANTIZATION_H
#define QTOP_QUANTIZATION_H

#include "base/job.h"
#include "sys/pool.h"
#include "engine/weights.h"
#include "scheme.h"

/* A text to calibrate on, in windows of `window` tokens that know nothing of each other, each with BOS first
 * where texts begin with it. */
struct calibration_text {
    int32_t *tokens;
    size_t count, window;
};

enum {
    CALIBRATION_LEAST = 128,  /* tokens that a text must have */
    CALIBRATION_MOST = 8192,  /* tokens of it that are used */
    CALIBRATION_WINDOW = 512,
};

/* Cuts a text (without BOS) into windows of the smaller of context and CALIBRATION_WINDOW; bos -1: none. Fails
 * when it is too short. The caller frees out->tokens. */
bool calibration_text_make(struct calibration_text *out, const int32_t *tokens, size_t count, int32_t bos,
                           size_t context, struct error *error);

/* The same of the first `most` tokens. */
bool calibration_text_make_of(struct calibration_text *out, const int32_t *tokens, size_t count, size_t most,
                              int32_t bos, size_t context, struct error *error);

struct quantization_plan {
    const struct model *model;
    struct pool *pool;              /* whose caller runs the job */
    struct weights *from;           /* what the set begins as; tensors that have their scheme stay */
    struct weights *stored;         /* the model's stored weights */
    const struct scheme *schemes;   /* schemes_count */
    const struct calibration_text *text; /* may be null where no scheme calibrates */
    const struct calibration_text *learning; /* that `qat` learns from, in windows as those; null: text */
};

struct quantization;

/* Whether a tensor of `from` is to be made anew; whether any of those needs a text. */
bool quantization_pending(const struct quantization_plan *plan, int tensor);
bool quantization_calibrates(const struct quantization_plan *plan);

/* Tokens that the pending tensors which learn ask for at most; 0 where none does. */
size_t quantization_learns_from(const struct quantization_plan *plan);

/* Whether what is to learn may: the model is small enough. Before a text of tokens is made. */
bool quantization_may_learn(const struct quantization_plan *plan, size_t tokens, struct error *error);

/* What the plan names must outlive the job; sets are referenced. Null with an error. */
struct quantization *quantization_open(const struct quantization_plan *plan, struct error *error);
void quantization_close(struct quantization *job);

/* Works for about `seconds`; *done: the set is finished. False with an error. */
bool quantization_step(struct quantization *job, double seconds, bool *done, struct error *error);

/* 0..1, and what is being done, a static text: "calibrating", "quantizing", "learning" and the like. */
double quantization_fraction(const struct quantization *job);
const char *quantization_work(const struct quantization *job);

/* How far what learns has come; false while nothing does. */
struct training_figures;
bool quantization_figures(const struct quantization *job, struct training_figures *out);

/* Ends the learning at its next step, with the best so far. */
void quantization_stop_learning(struct quantization *job);

/* The finished set, now the caller's. */
struct weights *quantization_take(struct quantization *job);

/* What a person should know about how a tensor came about (damping that had to be raised, activations that are
 * not finite or never came), one line each; null past the end. */
const char *quantization_note(const struct quantization *job, size_t i);

/* How a struct quantization runs as a job. */
extern const struct job_class quantization_class;

#endif

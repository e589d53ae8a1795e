/* quantization.h - a whole set of weights from an array of schemes, with what methods need to know of
 * activations: a job in bounded slices.
 *
 * Tensors come first whose scheme needs no calibration, or none but for importance that an importance matrix says. The
 * others follow in a layer-wise calibration pass (engine/layerwise.h): at each input group the inputs of its layers are
 * observed and the layers quantized before the pass continues. Where a method asks for it (gptq with sequence=1, the
 * default), the pass runs through the layers that are quantized already, so that each is calibrated on what those before
 * it give now (Frantar et al. 2022, section 4); else through the stored weights. Last of all, with the others as they are
 * then, those whose method trains are trained together (training.h). */
#ifndef QTOP_QUANTIZATION_H
#define QTOP_QUANTIZATION_H

#include "base/job.h"
#include "sys/pool.h"
#include "engine/weights.h"
#include "importance.h"
#include "scheme.h"

#include <stdio.h>

/* A text to calibrate on, in windows of `window` tokens that know nothing of each other, each with BOS first
 * where texts begin with it. */
struct calibration_text {
    int32_t *tokens;
    size_t count, window;
};

enum {
    CALIBRATION_MIN = 128,  /* tokens that a text must have */
    CALIBRATION_MAX = 16384, /* tokens of it that are used */
    CALIBRATION_WINDOW = 512,
};

/* Cuts a text (without BOS) into windows of the smaller of context and CALIBRATION_WINDOW; bos -1: none. Fails
 * when it is too short. The caller frees out->tokens. */
bool calibration_text_make(struct calibration_text *out, const int32_t *tokens, size_t count, int32_t bos,
                           size_t context, struct error *error);

/* The same of the first `max` tokens. */
bool calibration_text_make_of(struct calibration_text *out, const int32_t *tokens, size_t count, size_t max,
                              int32_t bos, size_t context, struct error *error);

/* The same in windows of `window`. */
bool calibration_text_make_in(struct calibration_text *out, const int32_t *tokens, size_t count, size_t max,
                              int32_t bos, size_t window, struct error *error);

/* As llama.cpp cuts texts for importance matrices: BOS, where texts begin with it, and the text in windows of `window`
 * tokens, the first of each replaced by BOS, the last dropped where it is not whole. Fails when no window is whole. */
bool calibration_text_make_replacing(struct calibration_text *out, const int32_t *tokens, size_t count, int32_t bos,
                                     size_t window, struct error *error);

struct quantization_plan {
    const struct model *model;
    struct pool *pool;              /* whose caller runs the job */
    struct weights *from;           /* what the set begins as; tensors that have their scheme stay */
    struct weights *stored;         /* the model's stored weights */
    const struct scheme *schemes;   /* schemes_count */
    const struct calibration_text *text; /* to calibrate on; may be null where no scheme needs it */
    const struct calibration_text *training_text; /* to train on; null: text */
    FILE *training_state;                         /* an interrupted training to go on from, or null */
    const struct importance *importance; /* what columns weigh, instead of what the text says; or null */
    bool on_stored; /* every layer is calibrated on what the stored weights give, whatever its method asks for */
};

struct quantization;

/* Whether a tensor of `from` is to be made anew; whether any of those needs a text. */
bool quantization_pending(const struct quantization_plan *plan, int tensor);
bool quantization_calibrates(const struct quantization_plan *plan);

/* Tokens of text that the pending tensors which train ask for, at most; 0 where none does. */
size_t quantization_training_tokens(const struct quantization_plan *plan);

/* Whether the pending tensors can be trained on so many tokens: asked before a text is made. At least one trains. */
bool quantization_training_fits(const struct quantization_plan *plan, size_t tokens, struct error *error);

/* What the plan names must outlive the job; sets are referenced. Null with an error. */
struct quantization *quantization_open(const struct quantization_plan *plan, struct error *error);
void quantization_close(struct quantization *job);

/* Works for about `seconds`; *done: the set is finished. False with an error. */
bool quantization_step(struct quantization *job, double seconds, bool *done, struct error *error);

/* 0..1, and what is being done, a static text: "calibrating", "quantizing", "training" and the like. */
double quantization_fraction(const struct quantization *job);
const char *quantization_work(const struct quantization *job);

/* How far the training is; false while there is none. */
struct training_figures;
bool quantization_figures(const struct quantization *job, struct training_figures *out);

/* Writes the training's last whole step (struct trainer's save); false where nothing trains, or not yet. The job can
 * only be closed afterwards. */
bool quantization_save_training(struct quantization *job, FILE *to);

/* Ends the training at its next step, with the best so far. */
void quantization_stop_training(struct quantization *job);

/* The finished set, now the caller's. */
struct weights *quantization_take(struct quantization *job);

/* What a person should know about how a tensor came about (damping that had to be raised, activations that are
 * not finite or never came), one line each; null past the end. */
const char *quantization_note(const struct quantization *job, size_t i);

/* How a struct quantization runs as a job. */
extern const struct job_class quantization_class;

#endif

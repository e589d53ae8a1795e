#include "session_weights.h"

#include "quant/qat.h"
#include "text_source.h"
#include "training_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- texts ------------------------------------------------------------------------------------ */

/* Runs a source to its end; what it comes to is now the caller's. */
static bool make_windows(const struct session *s, enum text_kind kind, size_t tokens, struct calibration_text *out,
                         struct error *error)
{
    struct text_source source;
    bool cancelled;
    text_source_open(&source, s, kind, tokens);
    bool ok = session_run(s, &text_source_class, &source, &cancelled, error);
    if (ok) {
        *out = source.windows;
        source.windows = (struct calibration_text){0};
    }
    text_source_close(&source);
    return ok;
}

bool session_calibration_text(struct session *s, struct error *error)
{
    return s->calibration_text.count > 0 || make_windows(s, TEXT_CALIBRATION, 0, &s->calibration_text, error);
}

bool session_training_text(struct session *s, size_t tokens, struct error *error)
{
    struct calibration_text *out = &s->training_text;
    if (out->count > 0 && s->training_tokens == tokens)
        return true;
    free(out->tokens);
    *out = (struct calibration_text){0};
    s->training_tokens = tokens;
    return make_windows(s, TEXT_TRAINING, tokens, out, error);
}

/* ---- sets --------------------------------------------------------------------------------------- */

/* A quantization whose phase shows the figures of what trains. */
struct training {
    struct quantization *job;
    char phase[120];
};

static bool step_training(void *job, double seconds, bool *done, struct error *error)
{
    struct training *t = job;
    struct training_figures f;
    bool ok = quantization_step(t->job, seconds, done, error);
    t->phase[0] = 0;
    if (ok && quantization_figures(t->job, &f) && f.step > 0)
        snprintf(t->phase, sizeof t->phase, "training: %zu/%zu, loss %.4f, rate %.0e, gradient %.2g, KL %.4f", f.step,
                 f.steps, f.loss, f.rate, f.gradient_norm, f.kl_last);
    return ok;
}

static double fraction_of_training(const void *job)
{
    return quantization_fraction(((const struct training *)job)->job);
}

static const char *phase_of_training(const void *job)
{
    const struct training *t = job;
    return *t->phase ? t->phase : quantization_work(t->job);
}

static const struct job_class training_class = {
    .name = "quantizing",
    .step = step_training,
    .fraction = fraction_of_training,
    .phase = phase_of_training,
};

/* An interrupted training is kept, one that has ended is not. */
static void keep_training(const struct session *s, const char *path, struct quantization *q, bool ended)
{
    struct error note = {""};
    if (ended)
        unlink(path);
    else if (training_state_save(path, q, &note) && s->note)
        s->note(s->note_arg, note.text);
}

static struct weights *run_plan(const struct session *s, const struct quantization_plan *plan, const char *state,
                                struct error *error)
{
    struct quantization *q = quantization_open(plan, error);
    struct weights *set = NULL;
    struct training t = {q, ""};
    bool cancelled = false, ok = q && session_run(s, &training_class, &t, &cancelled, error);
    if (state && (ok || cancelled))
        keep_training(s, state, q, ok);
    for (size_t i = 0; ok && s->note && quantization_note(q, i); i++)
        s->note(s->note_arg, quantization_note(q, i));
    if (ok)
        set = quantization_take(q);
    quantization_close(q);
    return set;
}

/* With the file that an interruption leaves, or has left. */
static struct weights *train(const struct session *s, struct quantization_plan *plan, struct error *error)
{
    struct error none;
    char *path = training_state_path(plan, s->resume ? error : &none);
    struct weights *set = NULL;
    if (s->resume && path)
        plan->training_state = training_state_open(path, error);
    if (!s->resume || plan->training_state)
        set = run_plan(s, plan, path, error);
    if (plan->training_state)
        fclose(plan->training_state);
    free(path);
    return set;
}

bool session_may_train(const struct session *s, const struct scheme *schemes, struct error *error)
{
    struct quantization_plan plan = {.model = s->model, .pool = s->pool, .from = s->stored, .stored = s->stored,
                                     .schemes = schemes, .importance = s->importance};
    size_t tokens = quantization_training_tokens(&plan);
    return !tokens || quantization_training_fits(&plan, tokens, error);
}

struct weights *session_weights(struct session *s, const struct scheme *schemes, struct error *error)
{
    struct quantization_plan plan = {.model = s->model, .pool = s->pool, .from = s->stored,
                                     .stored = s->stored, .schemes = schemes,
                                     .text = &s->calibration_text, .training_text = &s->training_text,
                                     .importance = s->importance};
    bool ok = session_fits(s, schemes, error);
    size_t tokens = quantization_training_tokens(&plan);
    ok = ok && session_may_train(s, schemes, error);
    if (ok && s->resume && !tokens)
        ok = error_set(error, "--resume: no layer of these schemes trains; expected the method qat");
    ok = ok && (!quantization_calibrates(&plan) || session_calibration_text(s, error));
    ok = ok && (!tokens || session_training_text(s, tokens, error));
    struct weights *made = !ok ? NULL : tokens ? train(s, &plan, error) : run_plan(s, &plan, NULL, error);
    struct weights *set = weights_take_kv(made, schemes[kv_index(s->model)].format.weight);
    if (made && !set)
        error_set(error, "not enough memory");
    return set;
}

/* Jobs that judge what the schemes did to the model: its quality on a text, where divergence begins, and what
 * each layer alone costs. */
#include "internal.h"

#include "base/clock.h"

#include <stdlib.h>

enum { SELF_TEXT = 1024 };
static const double AUTOMATIC_SECONDS = 20; /* an evaluation longer than this waits to be asked for */

bool judging_begin(struct lab *lab, struct error *error)
{
    struct session *s = lab->session;
    lab->quality_frame = (struct quality_frame){.reason = "not evaluated yet (e evaluates)"};
    lab->alone = calloc(s->model->tensor_count, sizeof *lab->alone);
    if (!lab->alone)
        return error_set(error, "not enough memory");
    if (!lab->options.text)
        return true;
    if (!s->tokenizer)
        return error_set(error, "--text needs a tokenizer: %.300s", s->tokenizer_error.text);
    if (!tokenizer_encode(s->tokenizer, lab->options.text, lab->options.text_size, &lab->evaluation,
                          error))
        return false;
    lab->evaluation_ready = true;
    return true;
}

void judging_end(struct lab *lab)
{
    writer_close(lab->writer);
    quality_close(lab->quality);
    depth_close(lab->depth);
    depth_unref(lab->depth_profile);
    sensitivity_close(lab->sensitivity);
    free(lab->evaluation.ids);
    free(lab->alone);
}

void judging_set_changed(struct lab *lab)
{
    quality_close(lab->quality);
    lab->quality = NULL;
    lab->quality_frame.stale = lab->quality_frame.valid;
    lab->quality_frame.running = false;
    depth_close(lab->depth);
    lab->depth = NULL;
    depth_unref(lab->depth_profile);
    lab->depth_profile = NULL;
    lab->depth_tried = false;
}

/* ---- quality on a text ----------------------------------------------------------------------- */

/* What an evaluation would take at the speed of single tokens: an upper bound. */
static bool automatic(const struct lab *lab)
{
    double n = lab->evaluation_ready ? (double)lab->evaluation.count : SELF_TEXT;
    return lab->meter.rate > 0 && 2 * n / lab->meter.rate < AUTOMATIC_SECONDS;
}

/* Whether an evaluation was asked for, or is short enough to come by itself after an edit. */
static bool is_due(const struct lab *lab)
{
    return lab->evaluation_asked || (automatic(lab) && jobs_quiet(lab) > SETTLE_SECONDS);
}

/* While the reference's weights are being made there is work; when they cannot be, no evaluation. */
static bool reference_unfinished(struct lab *lab, const struct error *error)
{
    if (!*error->text)
        return true;
    lab->evaluation_reason = "the stored weights do not fit in memory";
    lab_say(lab, true, "%s", error->text);
    return false;
}

bool write_slice(struct lab *lab, double seconds)
{
    struct error error;
    bool wanted = is_due(lab) || lab->sensitivity_asked || lab->comparing_asked || lab->tuning.asked;
    if (lab->evaluation_ready || lab->evaluation_reason || !wanted)
        return false;
    if (!lab->writer && !making_reference(lab, seconds, &error))
        return reference_unfinished(lab, &error);
    if (!lab->writer)
        lab->writer = writer_open(lab->session, SELF_TEXT, SELF_TEXT_EVALUATION_SEED, &error);
    if (!lab->writer) {
        lab->evaluation_reason = "not enough memory for a text";
        return false;
    }
    jobs_show(lab, "writing a text to evaluate on",
             (double)writer_tokens(lab->writer)->count / SELF_TEXT);
    if (!writer_step(lab->writer, seconds))
        return true;
    writer_take(lab->writer, &lab->evaluation);
    writer_close(lab->writer);
    lab->writer = NULL;
    lab->evaluation_ready = true;
    return true;
}

struct quality_plan judging_plan(const struct lab *lab)
{
    struct quality_plan plan = {.tokens = lab->evaluation.ids,
                                .count = lab->evaluation.count,
                                .bos = session_bos(lab->session),
                                .protocol = lab->options.protocol,
                                .window = lab->options.window};
    if (plan.window == 0)
        plan.window = quality_default_window(lab->session->context);
    return plan;
}

static bool open_quality(struct lab *lab)
{
    struct error error;
    struct quality_plan plan = judging_plan(lab);
    lab->quality = quality_open(lab->session->model, lab->session->pool, &plan,
                                lab->session->reference, lab->set, &error);
    if (!lab->quality) {
        lab->evaluation_reason = "the text cannot be evaluated";
        lab_say(lab, true, "%s", error.text);
    }
    return lab->quality != NULL;
}

static void finish_quality(struct lab *lab)
{
    quality_close(lab->quality);
    lab->quality = NULL;
    lab->quality_frame.running = false;
    lab->evaluation_asked = false;
}

bool evaluate_slice(struct lab *lab, double seconds)
{
    struct quality_frame *f = &lab->quality_frame;
    struct error error;
    if (!lab->evaluation_ready || lab->evaluation_reason || (!lab->quality && !is_due(lab)) ||
        (f->valid && !f->stale && !f->running))
        return false;
    if (!lab->quality && !making_reference(lab, seconds, &error))
        return reference_unfinished(lab, &error);
    if (!lab->quality && !open_quality(lab))
        return false;
    bool done = quality_step(lab->quality, seconds);
    struct quality_result r = quality_result(lab->quality);
    jobs_show(lab, "evaluating", (double)r.scored / (double)r.planned);
    if (r.scored > 0)
        *f = (struct quality_frame){.valid = true, .running = !done, .result = r};
    if (done)
        finish_quality(lab);
    return true;
}

/* ---- where divergence begins ----------------------------------------------------------------- */

/* Short, and of no use without the evaluation's text: it follows an evaluation. */
bool depth_slice(struct lab *lab, double seconds)
{
    struct session *s = lab->session;
    struct error error;
    size_t n = lab->evaluation.count < s->context ? lab->evaluation.count : s->context;
    if (!lab->evaluation_ready || lab->depth_profile || lab->depth_tried || n == 0 ||
        !lab->quality_frame.valid || lab->quality_frame.stale || lab->quality_frame.running)
        return false;
    if (!lab->depth && !making_reference(lab, seconds, &error))
        return reference_unfinished(lab, &error);
    if (!lab->depth)
        lab->depth = depth_open(s->model, s->pool, lab->evaluation.ids, n, s->reference, lab->set, &error);
    lab->depth_tried = !lab->depth;
    if (!lab->depth)
        return false;
    jobs_show(lab, "comparing hidden states", depth_fraction(lab->depth));
    if (!depth_step(lab->depth, seconds))
        return true;
    lab->depth_profile = depth_take(lab->depth);
    depth_close(lab->depth);
    lab->depth = NULL;
    return true;
}

/* ---- each layer alone ------------------------------------------------------------------------ */

static void stop_sensitivity(struct lab *lab)
{
    sensitivity_close(lab->sensitivity);
    lab->sensitivity = NULL;
    lab->sensitivity_asked = false;
}

void sensitivity_ask(struct lab *lab)
{
    if (lab->sensitivity_asked) {
        stop_sensitivity(lab);
        lab_say(lab, false, "stopped: what was measured of the layers alone stays");
        return;
    }
    lab->sensitivity_asked = true;
    lab_say(lab, false, "measuring what each layer alone costs (E stops it)");
}

/* Figures of layers whose scheme has changed meanwhile are those of the scheme that was measured. */
static void keep_alone(struct lab *lab)
{
    const struct weights *set = sensitivity_set(lab->sensitivity);
    for (int t = 0; t < (int)set->count; t++) {
        struct sensitivity s = sensitivity_of(lab->sensitivity, t);
        if (s.scored > 0)
            lab->alone[t] = (struct alone){qtensor_scheme(set->layer[t]), s};
    }
}

static bool open_sensitivity(struct lab *lab)
{
    struct session *s = lab->session;
    struct error error;
    struct sensitivity_plan plan = {lab->evaluation.ids, lab->evaluation.count, session_bos(s), s->context};
    lab->sensitivity = sensitivity_open(s->model, s->pool, &plan, s->stored, lab->set, &error);
    if (!lab->sensitivity) {
        lab->sensitivity_asked = false;
        lab_say(lab, true, "%s", error.text);
    }
    return lab->sensitivity != NULL;
}

bool sensitivity_slice(struct lab *lab, double seconds)
{
    struct error error;
    if (lab->sensitivity_asked && lab->evaluation_reason) {
        lab_say(lab, true, "no layer can be measured alone: %s", lab->evaluation_reason);
        stop_sensitivity(lab);
    }
    if (!lab->sensitivity_asked || !lab->evaluation_ready)
        return false;
    if (!lab->sensitivity && !making_reference(lab, seconds, &error))
        return reference_unfinished(lab, &error);
    if (!lab->sensitivity && !open_sensitivity(lab))
        return false;
    bool done, ok = sensitivity_step(lab->sensitivity, seconds, &done, &error);
    jobs_show(lab, "each layer alone", sensitivity_fraction(lab->sensitivity));
    keep_alone(lab);
    if (!ok) {
        stop_sensitivity(lab);
        lab_say(lab, true, "%s", error.text);
    } else if (done) {
        bool any = !weights_same_layers(sensitivity_set(lab->sensitivity), lab->session->stored);
        stop_sensitivity(lab);
        lab_say(lab, false, any ? "measured what each layer alone costs: column ALONE"
                                : "every layer is stored: none of them costs anything");
    }
    return true;
}

/* Jobs: everything that shares the machine with the tokens, in bounded slices. One runs at a time;
 * the order of the table is the order of priority. */
#include "internal.h"

#include "../measure/clock.h"

#include <math.h>
#include <stdlib.h>

enum { SELF_TEXT = 1024, PREFILL_TOKENS = 64 };
static const double SETTLE_SECONDS = 0.4;   /* of quiet after an edit before measuring begins */
static const double AUTOMATIC_SECONDS = 20; /* an evaluation longer than this waits to be asked for */

static double quiet_seconds(const struct lab *lab)
{
    return clock_seconds() - lab->changed_at;
}

static void show_job(struct lab *lab, const char *name, double fraction)
{
    lab->job = name;
    lab->job_fraction = fraction;
}

/* ---- requantizing ------------------------------------------------------------------------------ */

/* The selected tensor first: that is where the person looks. */
static int next_pending(const struct lab *lab)
{
    if (tensor_pending(lab, lab->selected))
        return lab->selected;
    for (int t = 0; t < (int)lab->session->model->tensor_count; t++)
        if (tensor_pending(lab, t))
            return t;
    return -1;
}

static void give_up(struct lab *lab, int tensor, const struct error *error)
{
    lab->target[tensor] = lab->set->layer[tensor]->matrix.scheme;
    lab_say(lab, true, "%s", error->text);
}

/* The person may have changed their mind since the work began. */
static bool still_wanted(const struct lab *lab)
{
    return scheme_equal(&lab->requant.out->matrix.scheme, &lab->target[lab->requant.tensor]) &&
           tensor_pending(lab, lab->requant.tensor);
}

static bool requantize_slice(struct lab *lab, double seconds)
{
    struct error error;
    if (lab->requantizing && !still_wanted(lab)) {
        requant_end(&lab->requant);
        lab->requantizing = false;
    }
    if (!lab->requantizing) {
        int t = next_pending(lab);
        if (t < 0)
            return false;
        lab->requantizing = requant_begin(&lab->requant, lab->session->model, t, &lab->target[t],
                                          lab->session->pool, &error);
        if (!lab->requantizing) {
            give_up(lab, t, &error);
            return true;
        }
    }
    show_job(lab, "quantizing", requant_fraction(&lab->requant));
    if (!requant_step(&lab->requant, lab->session->pool, seconds))
        return true;
    struct packed *p = requant_take(&lab->requant);
    requant_end(&lab->requant);
    lab->requantizing = false;
    cache_add(&lab->cache, p);
    struct weights *set = weights_replace(lab->set, p);
    packed_unref(p);
    if (set)
        lab_use(lab, set);
    return true;
}

/* ---- describing the selected layer ------------------------------------------------------------- */

static bool describe_slice(struct lab *lab, double seconds)
{
    struct packed *p = lab->set->layer[lab->selected];
    if (lab->detail && lab->detail->packed == p)
        return false;
    if (lab->describing && lab->describe.packed != p) {
        detail_end(&lab->describe);
        lab->describing = false;
    }
    if (!lab->describing)
        lab->describing = detail_begin(&lab->describe, lab->session->model, p);
    if (!lab->describing || !detail_step(&lab->describe, seconds))
        return lab->describing;
    detail_unref(lab->detail);
    lab->detail = detail_take(&lab->describe);
    detail_end(&lab->describe);
    lab->describing = false;
    return true;
}

/* ---- quality ----------------------------------------------------------------------------------- */

/* What an evaluation would take at the speed of single tokens: an upper bound. */
static bool automatic(const struct lab *lab)
{
    double n = lab->evaluation_ready ? (double)lab->evaluation.count : SELF_TEXT;
    return lab->meter.rate > 0 && 2 * n / lab->meter.rate < AUTOMATIC_SECONDS;
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

static bool write_slice(struct lab *lab, double seconds)
{
    struct error error;
    if (lab->evaluation_ready || lab->evaluation_reason ||
        !(lab->evaluation_asked || (automatic(lab) && quiet_seconds(lab) > SETTLE_SECONDS)))
        return false;
    if (!lab->writer && !making_reference(lab, seconds, &error))
        return reference_unfinished(lab, &error);
    if (!lab->writer)
        lab->writer = writer_open(lab->session, SELF_TEXT, SELF_TEXT_EVALUATION_SEED, &error);
    if (!lab->writer) {
        lab->evaluation_reason = "not enough memory for a text";
        return false;
    }
    show_job(lab, "writing a text to evaluate on",
             (double)writer_tokens(lab->writer)->count / SELF_TEXT);
    if (!writer_step(lab->writer, seconds))
        return true;
    const struct tokens *t = writer_tokens(lab->writer);
    bool ok = true;
    for (size_t i = 0; ok && i < t->count; i++)
        ok = tokens_add(&lab->evaluation, t->ids[i]);
    writer_close(lab->writer);
    lab->writer = NULL;
    lab->evaluation_ready = ok;
    lab->evaluation_reason = ok ? NULL : "not enough memory for a text";
    return true;
}

static bool open_quality(struct lab *lab)
{
    struct error error;
    struct quality_plan plan = {.tokens = lab->evaluation.ids,
                                .count = lab->evaluation.count,
                                .bos = session_bos(lab->session),
                                .protocol = lab->options.protocol,
                                .window = lab->options.window};
    if (plan.window == 0)
        plan.window = quality_default_window(lab->session->context);
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

static bool evaluate_slice(struct lab *lab, double seconds)
{
    struct quality_frame *f = &lab->quality_frame;
    struct error error;
    bool wanted = lab->evaluation_asked || (automatic(lab) && quiet_seconds(lab) > SETTLE_SECONDS);
    if (!lab->evaluation_ready || lab->evaluation_reason || (!lab->quality && !wanted) ||
        (f->valid && !f->stale && !f->running))
        return false;
    if (!lab->quality && !making_reference(lab, seconds, &error))
        return reference_unfinished(lab, &error);
    if (!lab->quality && !open_quality(lab))
        return false;
    bool done = quality_step(lab->quality, seconds);
    struct quality_result r = quality_result(lab->quality);
    show_job(lab, "evaluating", (double)r.scored / (double)r.planned);
    if (r.scored > 0)
        *f = (struct quality_frame){.valid = true, .running = !done, .result = r};
    if (done)
        finish_quality(lab);
    return true;
}

/* ---- speed ------------------------------------------------------------------------------------- */

/* Prefill of a fixed length in a context of its own, in one slice: as many tokens as take little
 * longer than a few decode steps. */
static bool prefill_slice(struct lab *lab, double seconds)
{
    struct session *s = lab->session;
    struct error error;
    (void)seconds;
    if (lab->prefill_known || lab->meter.rate == 0 || quiet_seconds(lab) < SETTLE_SECONDS / 2)
        return false;
    size_t n = PREFILL_TOKENS;
    while (n > 8 && (double)n / lab->meter.rate > 0.2)
        n /= 2;
    n = n < s->context ? n : s->context;
    lab->prefill_known = true;
    struct context *c = context_open_kv(s->model, s->pool, lab->set->kv, n, &error);
    if (!c) {
        lab->prefill = metric_absent("not enough memory to measure it");
        return false;
    }
    int32_t tokens[PREFILL_TOKENS];
    for (size_t i = 0; i < n; i++)
        tokens[i] = (int32_t)(i * 7919 % s->model->hyper.vocab);
    double best = 0;
    for (int i = 0; i < 2; i++) { /* the first warms the caches */
        c->length = 0;
        double begin = clock_seconds();
        context_prefill(c, lab->set, tokens, n, lab->text.probabilities);
        best = (double)n / (clock_seconds() - begin);
    }
    context_close(c);
    lab->prefill = metric_value(best);
    return true;
}

/* The stored weights' own decode speed, where the program did not begin with them: a few steps, of
 * which the fastest counts, since nothing else may disturb them. Weights that would have to be made
 * for it alone are not: it waits until they are there for an evaluation. */
static bool baseline_slice(struct lab *lab, double seconds)
{
    enum { STEPS = 8 };
    struct session *s = lab->session;
    struct error error;
    (void)seconds;
    if (lab->baseline.valid || lab->baseline_tried || lab->meter.rate == 0 ||
        weights_absent_bytes(s->model, s->stored) > 0)
        return false;
    lab->baseline_tried = true;
    struct context *c = context_open(s->model, s->pool, s->context < STEPS ? s->context : STEPS,
                                     &error);
    if (!c)
        return false;
    double best = 0;
    int32_t token = session_start(s);
    for (size_t i = 0; i < c->capacity; i++) {
        double begin = clock_seconds();
        context_run(c, s->stored, &token, 1, LOGITS_LAST, lab->text.probabilities);
        best = fmax(best, 1 / (clock_seconds() - begin));
    }
    context_close(c);
    lab->baseline = metric_value(best);
    return true;
}

static bool roof_slice(struct lab *lab, double seconds)
{
    struct error error;
    (void)seconds;
    if (lab->sweep_count == SWEEPS || lab->meter.rate == 0)
        return false;
    if (!lab->probe.buffer && !bandwidth_open(&lab->probe, lab->session->pool, &error)) {
        lab->sweep_count = SWEEPS;
        lab->peak_read = metric_absent("not enough memory to measure it");
        return false;
    }
    lab->sweeps[lab->sweep_count++] = bandwidth_sweep(&lab->probe);
    if (lab->sweep_count == SWEEPS) {
        lab->peak_read = metric_value(spread_of(lab->sweeps, SWEEPS).median);
        bandwidth_close(&lab->probe);
    }
    return true;
}

/* ---- all of them ------------------------------------------------------------------------------- */

static bool (*const slices[])(struct lab *, double) = {
    making_slice,   requantize_slice, describe_slice, roof_slice,
    baseline_slice, prefill_slice,    write_slice,    evaluate_slice,
};

bool jobs_begin(struct lab *lab, struct error *error)
{
    struct session *s = lab->session;
    lab->peak_read = metric_absent("not measured yet");
    lab->quality_frame = (struct quality_frame){.reason = "not evaluated yet (e evaluates)"};
    lab->changed_at = clock_seconds();
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

void jobs_end(struct lab *lab)
{
    requant_end(&lab->requant);
    if (lab->describing)
        detail_end(&lab->describe);
    detail_unref(lab->detail);
    writer_close(lab->writer);
    quality_close(lab->quality);
    free(lab->evaluation.ids);
    bandwidth_close(&lab->probe);
}

bool jobs_step(struct lab *lab, double seconds)
{
    lab->job = NULL;
    bool worked = texts_follow_reference(lab, seconds); /* part of the text: holds up no job */
    for (size_t i = 0; i < sizeof slices / sizeof *slices; i++)
        if (slices[i](lab, seconds))
            return true;
    if (!worked && !lab->watch_text)
        hold_trim(&lab->reference_hold, NULL);
    return worked;
}

void jobs_set_changed(struct lab *lab)
{
    quality_close(lab->quality);
    lab->quality = NULL;
    lab->quality_frame.stale = lab->quality_frame.valid;
    lab->quality_frame.running = false;
    lab->prefill_known = false;
    lab->changed_at = clock_seconds();
}

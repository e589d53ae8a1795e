/* qtop advise: which schemes and mixes are worth considering here, measured, with a verdict. */
#include "advise_plan.h"
#include "batch.h"
#include "interrupt.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- records --------------------------------------------------------------------------------- */

static const char *const state_reasons[] = {
    [ADVISE_WAITING] = "interrupted before it was measured", [ADVISE_MAKING] = "interrupted before it was measured",
    [ADVISE_TIMING] = "interrupted before it was measured", [ADVISE_EVALUATING] = "interrupted before it was evaluated"};

/* Why the figures of a state are not there; null where they are. */
static const char *lacks(const struct advise_row *r, enum advise_state from)
{
    return r->state == ADVISE_LEFT_OUT ? r->reason.text : r->state < from ? state_reasons[r->state] : NULL;
}

static void add_quality(json_t *j, const struct advise_row *r)
{
    const char *why = lacks(r, ADVISE_MEASURED);
    const struct quality_result *q = &r->quality;
    json_add(j, "kl_divergence", q->kl, why ? why : quality_reason(q->kl));
    json_add(j, "kl_stderr", q->kl_stderr, why ? why : quality_reason(q->kl_stderr));
    json_add(j, "top1_agreement", q->top1, why ? why : quality_reason(q->top1));
    json_add(j, "top1_stderr", quality_top1_stderr(q), why ? why : quality_reason(q->top1));
    json_add(j, "perplexity", q->perplexity, why ? why : quality_reason(q->perplexity));
    json_add(j, "perplexity_reference", q->perplexity_reference,
             why ? why : quality_reason(q->perplexity_reference));
    json_add(j, "tokens", (double)q->scored, why);
}

static void add_speed(json_t *j, const struct advise_row *r)
{
    const char *why = lacks(r, ADVISE_EVALUATING);
    json_add(j, "predicted_tokens_per_second", r->predicted,
             isfinite(r->predicted) ? NULL : "the read bandwidth is not known");
    json_add(j, "decode_tokens_per_second", r->decode.median, why);
    json_add(j, "decode_tokens_per_second_min", r->decode.min, why);
    json_add(j, "decode_tokens_per_second_max", r->decode.max, why);
    json_add(j, "prefill_tokens_per_second", r->prefill.median, why);
}

static void report_json(const struct advise_row *r, const struct advise_plan *plan, const struct options *o, bool taken,
                        bool first)
{
    json_t *j = json_object();
    json_object_set_new(j, "scheme", json_string(r->scheme));
    json_add(j, "size_bytes", (double)r->size, NULL);
    json_add(j, "memory_bytes", (double)r->memory, NULL);
    json_add(j, "bits_per_weight_all", r->bits_per_weight_all, NULL);
    json_object_set_new(j, "format", plan->format ? json_string(plan->format) : json_null());
    if (!plan->format)
        json_object_set_new(j, "format_reason", json_string("no format of files holds this model"));
    json_add(j, "file_bytes", (double)r->file, r->file ? NULL : "the format does not hold it");
    json_object_set_new(j, "exports", json_string(r->exports));
    add_speed(j, r);
    add_quality(j, r);
    json_add_text(j, plan->quality.text, plan->quality.count);
    json_add(j, "seconds", r->seconds, NULL);
    json_object_set_new(j, "front", json_boolean(r->front));
    json_object_set_new(j, "verdict", json_string(r->verdict));
    json_object_set_new(j, "goal", json_string(advise_goal_name(plan->goal)));
    json_object_set_new(j, "recommended", json_boolean(taken));
    json_object_set_new(j, "partial", json_boolean(r->state < ADVISE_MEASURED));
    print_record(j, o, first);
}

/* ---- text ------------------------------------------------------------------------------------ */

static const char *rate_text(char out[32], double rate, bool measured)
{
    if (!isfinite(rate))
        snprintf(out, 32, "n/a");
    else
        snprintf(out, 32, rate < 10 ? "%s%.2f" : "%s%.1f", measured ? "" : "~", rate);
    return out;
}

static void print_row(const struct advise_row *r, bool taken)
{
    char size[16], memory[16], file[16], rate[34], prefill[32], kl[32] = "", top1[32] = "";
    bool timed = advise_is_timed(r);
    if (r->state == ADVISE_MEASURED && isfinite(r->quality.kl)) {
        format_kl(kl, r->quality.kl, r->quality.kl_stderr, false);
        snprintf(top1, sizeof top1, "%.1f+-%.1f%%", 100 * r->quality.top1, 100 * quality_top1_stderr(&r->quality));
    }
    rate_text(rate, timed ? r->decode.median : r->predicted, timed);
    if (timed && advise_disturbed(r))
        strcat(rate, "?");
    printf("%c %-20s %7s %7s %7s %8s %7s  %-15s %-11s  %s\n", taken ? '>' : r->front ? '*' : ' ', r->scheme,
           format_bytes(size, (double)r->size), format_bytes(memory, (double)r->memory),
           r->file ? format_bytes(file, (double)r->file) : "none",
           rate,
           timed ? rate_text(prefill, r->prefill.median, true) : "", kl, top1, r->verdict);
}

static void print_choice(const struct advise_row *r, const struct advise_plan *plan, const struct options *o)
{
    char size[16], kl[32];
    if (!r) {
        printf("none of them keeps within what was asked for\n");
        return;
    }
    bool met = advise_goal_met(plan->goal, r);
    if (!met)
        printf("none        %s; the closest is taken\n", advise_goal_keeps(plan->goal));
    printf("take        %s: KL %s, top-1 %.1f %%, %s, %.1f tokens/s (%s%s%s)\n", r->scheme,
           format_kl(kl, r->quality.kl, r->quality.kl_stderr, false), 100 * r->quality.top1,
           format_bytes(size, (double)advise_bytes(r)), r->decode.median, advise_goal_name(plan->goal),
           met ? ": " : "", met ? advise_goal_words(plan->goal) : "");
    if (r->file && o->model)
        printf("export      qtop export %s -s %s -o FILE.%s\n", o->model, r->scheme, plan->format);
}

static void report_text(const struct advise *job, const struct advise_plan *plan, const struct options *o)
{
    size_t count, measured = 0;
    const struct advise_row *rows = advise_rows(job, &count), *taken = advise_choice(job);
    if (isnan(plan->read))
        printf("read bandwidth n/a: speed is not predicted\n");
    printf("text        %s, %zu tokens, windows of %zu; context of %zu positions\n", plan->quality.text,
           advise_tokens(job), plan->quality.window, plan->session->context);
    printf("  %-20s %7s %7s %7s %8s %7s  %-15s %-11s  %s\n", "SCHEME", "SIZE", "MEMORY", "FILE", "DECODE", "PREFILL",
           "KL", "TOP-1", "VERDICT");
    for (size_t i = 0; i < count; i++) {
        print_row(&rows[i], &rows[i] == taken);
        measured += rows[i].state >= ADVISE_MEASURED;
    }
    if (measured < count)
        printf("partial     interrupted after %zu of %zu schemes; ~ is predicted\n", measured, count);
    print_choice(taken, plan, o);
}

static void report(const struct advise *job, const struct advise_plan *plan, const struct options *o)
{
    size_t count;
    const struct advise_row *rows = advise_rows(job, &count), *taken = advise_choice(job);
    if (!wants_records(o)) {
        report_text(job, plan, o);
        return;
    }
    for (size_t i = 0; i < count; i++)
        report_json(&rows[i], plan, o, &rows[i] == taken, i == 0);
}

/* ---- the command ----------------------------------------------------------------------------- */

static bool advise(struct batch *b, const struct options *o, struct advise_plan *plan, struct error *error)
{
    struct session *s = &b->session;
    struct study_tokens text = {0};
    bool cancelled = false;
    bool ok = advise_plan_open(b, o, plan, &text, error) && advise_plan_calibrate(b, plan, error);
    struct advise *job = ok ? advise_open(plan, error) : NULL;
    ok = job && (session_run(s, &advise_class, job, &cancelled, error) || cancelled);
    if (ok)
        report(job, plan, o);
    if (ok && !cancelled && !advise_choice(job))
        ok = error_set(error, "no scheme keeps within what was asked for; expected less of it");
    else if (session_cancelled(s))
        note(NOTHING_FINISHED);
    advise_close(job);
    advise_plan_close(plan, &text);
    return ok;
}

int run_advise(const struct options *o)
{
    struct batch batch;
    struct error error;
    struct advise_plan plan = {0};
    int status;
    if (!advise_plan_limits(o, &plan, &error))
        return complain(&error, EXIT_USAGE);
    if (!batch_open(&batch, o, &status, &error))
        return complain(&error, status);
    pool_bind_caller(batch.session.pool);
    interrupt_catch(&batch.session);
    bool ok = advise(&batch, o, &plan, &error);
    batch_close(&batch);
    interrupt_release();
    return ok ? EXIT_DONE : complain(&error, EXIT_FAILED);
}

/* qtop eval: perplexity, KL divergence and top-1 agreement against the reference. */
#include "batch.h"

#include "interrupt.h"
#include "report_against.h"

#include "measure/depth.h"
#include "session/selftext.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void add_figure(json_t *object, const char *key, double figure)
{
    json_add(object, key, figure, quality_reason(figure));
}

static bool is_finite(const struct depth_profile *d)
{
    bool finite = true;
    for (size_t i = 0; i < d->count; i++)
        finite &= isfinite(d->error[i]);
    return finite;
}

/* An array, a point after the embedding and after each half of a block. */
static void add_depth(json_t *object, const struct depth_profile *d, const char *reason)
{
    if (!d) {
        json_add(object, "hidden_state_error", NAN, *reason ? reason : "interrupted");
        json_add(object, "hidden_state_tokens", NAN, *reason ? reason : "interrupted");
        return;
    }
    json_t *list = is_finite(d) ? json_array() : NULL;
    for (size_t i = 0; list && i < d->count; i++)
        json_array_append_new(list, json_real(d->error[i]));
    if (list)
        json_object_set_new(object, "hidden_state_error", list);
    else
        json_add(object, "hidden_state_error", NAN, "a hidden state is not finite");
    json_add(object, "hidden_state_tokens", (double)d->tokens, NULL);
}

static void report_json(const struct batch *b, const struct quality_plan *p, const struct quality_result *r,
                        const struct depth_profile *d, const struct options *o)
{
    json_t *j = json_object();
    json_object_set_new(j, "scheme", json_text(b->scheme_text));
    json_object_set_new(j, "kv", json_string(dtypes[b->weights->kv].name));
    json_add(j, "tokens", (double)r->scored, NULL);
    json_add(j, "window", (double)p->window, NULL);
    json_object_set_new(j, "protocol", json_string(protocol_name(p->protocol)));
    bool self = strcmp(r->basis.text, TEXT_SELF) == 0;
    json_object_set_new(j, "text", self ? json_null() : json_text(o->text ? o->text : r->basis.text));
    if (self)
        json_object_set_new(j, "text_reason", json_string(o->reference ? "the reference wrote its own text"
                                                              : "the model wrote its own text"));
    json_add_text(j, r->basis.text, r->basis.tokens);
    json_object_set_new(j, "reference", o->reference ? json_text(o->reference) : json_null());
    if (!o->reference)
        json_object_set_new(j, "reference_reason", json_string(NO_REFERENCE));
    add_figure(j, "perplexity", r->perplexity);
    add_figure(j, "perplexity_reference", r->perplexity_reference);
    add_figure(j, "kl_divergence", r->kl);
    add_figure(j, "kl_stderr", r->kl_stderr);
    add_figure(j, "kl_median", r->kl_median);
    add_figure(j, "kl_p99", r->kl_p99);
    add_figure(j, "kl_max", r->kl_max);
    add_figure(j, "top1_agreement", r->top1);
    json_add(j, "kv_overflowed", (double)r->kv_overflowed, NULL);
    add_depth(j, d, b->session.model->reference_reason);
    json_object_set_new(j, "partial", json_boolean(session_cancelled(&b->session)));
    print_record(j, o, true);
}

static void report_figures(const struct quality_result *r)
{
    const char *why = quality_reason(r->perplexity_reference);
    char kl[32];
    if (why)
        printf("perplexity  n/a: of the reference %s\n", why);
    else if ((why = quality_reason(r->perplexity)))
        printf("perplexity  n/a: %s (reference %.6f)\n", why, r->perplexity_reference);
    else
        printf("perplexity  %.6f (reference %.6f, %+.3f %%)\n", r->perplexity, r->perplexity_reference,
               100 * (r->perplexity / r->perplexity_reference - 1));
    if ((why = quality_reason(r->kl))) {
        printf("KL          n/a: %s\ntop-1       n/a: %s\n", why, why);
        return;
    }
    printf("KL          %s, median %.4g, p99 %.4g, max %.4g\n", format_kl(kl, r->kl, r->kl_stderr, false),
           r->kl_median, r->kl_p99, r->kl_max);
    printf("top-1       %.2f %%\n", 100 * r->top1);
}

/* At the end, where it is worst as a rule, and where it rises most. */
static void report_depth(const struct depth_profile *d, const char *reason)
{
    char name[DEPTH_NAME];
    size_t steepest = d ? depth_steepest(d) : 0;
    if (!d)
        printf("hidden      n/a: %s\n", reason);
    else if (!is_finite(d))
        printf("hidden      n/a: a hidden state is not finite\n");
    else if (steepest == 0 && d->error[0] == 0)
        printf("hidden      no difference in any layer, over %zu tokens\n", d->tokens);
    else
        printf("hidden      error %.3g after the last layer, over %zu tokens; largest increase at %s, from %.3g to %.3g\n",
               d->error[d->count - 1], d->tokens, depth_name(d, steepest, name),
               steepest > 0 ? d->error[steepest - 1] : 0, d->error[steepest]);
}

static void report_text(const struct batch *b, const struct quality_plan *p, const struct quality_result *r,
                        const struct depth_profile *d, const struct options *o)
{
    char path[SHOWN_TEXT];
    printf("scheme      %s, KV cache %s (the reference's is fp32)\n", b->scheme_text,
           dtypes[b->weights->kv].name);
    if (o->reference)
        printf("reference   %s\n", shown(path, o->reference));
    if (strcmp(r->basis.text, TEXT_SELF) == 0)
        printf("text        %s: %zu tokens generated by the %s (seed %d)\n", r->basis.text, r->basis.tokens,
               o->reference ? "reference" : "model", SELF_TEXT_EVALUATION_SEED);
    else
        printf("text        %s, %zu tokens\n", r->basis.text, r->basis.tokens);
    printf("protocol    %s, windows of %zu, %zu predictions\n", protocol_name(p->protocol), p->window,
           r->scored);
    if (r->kv_overflowed > 0)
        printf("KV cache    %zu keys and values overflow %s\n", r->kv_overflowed, dtypes[b->weights->kv].name);
    report_figures(r);
    if (session_cancelled(&b->session))
        printf("partial     interrupted after %zu of %zu predictions\n", r->scored, r->planned);
    else
        report_depth(d, b->session.model->reference_reason);
}

/* Of an interrupted evaluation what was scored so far. */
static bool evaluate(const struct batch *b, const struct quality_plan *plan,
                     struct quality_result *r, struct error *error)
{
    const struct session *s = &b->session;
    struct quality *q = quality_open(s->model, s->pool, plan, s->reference, b->weights, error);
    bool cancelled = false, ok = q && session_run(s, &quality_class, q, &cancelled, error);
    if (ok || (q && cancelled))
        *r = quality_result(q);
    quality_close(q);
    return ok;
}

/* The first tokens of the text, where divergence begins; none (null) against a reference of another shape. */
static bool profile_depth(const struct batch *b, const struct tokens *tokens, struct depth_profile **out,
                          struct error *error)
{
    const struct session *s = &b->session;
    if (*s->model->reference_reason)
        return true;
    size_t n = tokens->count < s->context ? tokens->count : s->context;
    struct depth_job *job = depth_open(s->model, s->pool, tokens->ids, n, s->reference, b->weights, error);
    bool cancelled, ok = job && session_run(s, &depth_class, job, &cancelled, error);
    *out = ok ? depth_take(job) : NULL;
    depth_close(job);
    return *out != NULL;
}

static int eval_against(struct batch *batch, const struct options *o)
{
    struct error error = {""};
    bool ok = report_against(batch, o, AGAINST_FACTS | AGAINST_SPEED | AGAINST_QUALITY, &error);
    batch_close(batch);
    return ok ? EXIT_DONE : complain(&error, EXIT_FAILED);
}

int run_eval(const struct options *o)
{
    struct batch batch;
    struct error error;
    int status;
    if (!batch_open(&batch, o, &status, &error))
        return complain(&error, status);
    if (o->against)
        return eval_against(&batch, o);
    struct study_tokens text = {0};
    struct quality_result r = {0};
    struct quality_plan plan = {.bos = session_bos(&batch.session),
                                .protocol = protocol_by_name(o->protocol)}; /* as the terminal program runs it: the same figures */
    interrupt_catch(&batch.session);
    bool ok = evaluation_window(&batch.session, o, &plan.window, &error) &&
              evaluation_tokens(&batch, o, &text, &error) && batch_pack(&batch, &error);
    plan.tokens = text.list.ids;
    plan.count = text.list.count;
    plan.text = text.name;
    struct depth_profile *depth = NULL;
    ok = ok && evaluate(&batch, &plan, &r, &error) && profile_depth(&batch, &text.list, &depth, &error);
    if (ok || (session_cancelled(&batch.session) && r.scored > 0))
        (wants_records(o) ? report_json : report_text)(&batch, &plan, &r, depth, o);
    else if (session_cancelled(&batch.session))
        note(NOTHING_FINISHED);
    depth_unref(depth);
    free(text.list.ids);
    batch_close(&batch);
    interrupt_release();
    return ok ? EXIT_DONE : complain(&error, EXIT_FAILED);
}

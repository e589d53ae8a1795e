/* qtop report: which scheme to take for a model on this machine, and what it costs, as a file. */
#include "advise_plan.h"
#include "batch.h"
#include "command_line.h"
#include "interrupt.h"

#include "base/clock.h"
#include "lab/saved.h"
#include "measure/roofs_cache.h"
#include "measure/sensitivity.h"
#include "quant/recipe.h"
#include "report/fill.h"
#include "report/read_json.h"
#include "report/write.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double SENSITIVITY_SECONDS = 60;
enum { FEWEST_TOKENS = 32 }; /* that the sensitivity of layers is measured on */

struct reporting {
    struct batch *batch;
    const struct options *options;
    struct report *report;
    struct advise_plan plan;
    struct study_tokens text;
    struct scheme *schemes;   /* schemes_count: of the row that is looked at layer by layer; null: of none */
    char scheme[SCHEME_TEXT]; /* its name */
    double prefill;           /* tokens/s of the stored weights */
    struct weights *set;
};

/* ---- layer by layer ---------------------------------------------------------------------------- */

/* A measurement that ends when its time is over. */
struct limited {
    struct sensitivity_job *job;
    double end; /* clock seconds */
    bool over;
};

static bool step_limited(void *state, double seconds, bool *done, struct error *error)
{
    struct limited *l = state;
    bool ok = sensitivity_step(l->job, seconds, done, error);
    l->over = ok && !*done && clock_seconds() >= l->end;
    *done |= l->over;
    return ok;
}

static double fraction_limited(const void *state)
{
    return sensitivity_fraction(((const struct limited *)state)->job);
}

static const struct job_class limited_class = {
    .name = "sensitivity of layers", .step = step_limited, .fraction = fraction_limited};

/* Also the layers that it did not come to. */
static void take_sensitivity(const struct reporting *g, const struct limited *l, size_t tokens, bool partial)
{
    struct report *r = g->report;
    const struct model *m = g->batch->session.model;
    for (int t = 0; t < (int)m->tensor_count; t++) {
        struct sensitivity s = sensitivity_of(l->job, t);
        if (s.scored > 0)
            fill_layer(r, m, t, s.kl, s.kl_stderr, partial);
        else if (partial && !g->schemes[t].format.stored)
            fill_layer(r, m, t, NAN, NAN, false);
    }
    r->basis[PART_SENSITIVITY] = report_textf(r, "Layers as in %s, on the first %zu tokens of the text%s.", g->scheme,
                                              tokens, partial ? "; it ended before all were run (~)" : "");
}

/* As many tokens as are likely to be run in the time: a pass begins at its layer, which is half of one on the average.
 */
static size_t sensitivity_tokens(const struct reporting *g, double seconds)
{
    size_t layers = 0, most = g->text.list.count < SENSITIVITY_TOKENS ? g->text.list.count : SENSITIVITY_TOKENS;
    for (size_t t = 0; t < g->batch->session.model->tensor_count; t++)
        layers += !g->schemes[t].format.stored;
    double tokens = layers > 0 ? 2 * seconds * g->prefill / (double)layers : (double)most;
    if (tokens >= (double)most || most < FEWEST_TOKENS)
        return most;
    return tokens > FEWEST_TOKENS ? (size_t)tokens : FEWEST_TOKENS;
}

static bool measure_sensitivity(const struct reporting *g, struct error *error)
{
    const struct session *s = &g->batch->session;
    double seconds = g->options->seconds > 0 ? g->options->seconds : SENSITIVITY_SECONDS;
    size_t tokens = sensitivity_tokens(g, seconds);
    struct sensitivity_plan plan = {g->text.list.ids, tokens, session_bos(s), s->context, NULL};
    struct limited l = {.end = clock_seconds() + seconds};
    l.job = sensitivity_open(s->model, s->pool, &plan, s->stored, g->set, error);
    bool cancelled = false, ok = l.job && session_run(s, &limited_class, &l, &cancelled, error);
    if (ok || cancelled)
        take_sensitivity(g, &l, tokens, cancelled || l.over);
    sensitivity_close(l.job);
    return ok || cancelled;
}

static bool measure_depth(const struct reporting *g, struct error *error)
{
    const struct session *s = &g->batch->session;
    size_t n = g->text.list.count < s->context ? g->text.list.count : s->context;
    n = n < DEPTH_TOKENS ? n : DEPTH_TOKENS;
    struct depth_job *job = depth_open(s->model, s->pool, g->text.list.ids, n, s->reference, g->set, error);
    bool cancelled = false, ok = job && session_run(s, &depth_class, job, &cancelled, error);
    struct depth_profile *profile = ok ? depth_take(job) : NULL;
    if (profile)
        fill_depth(g->report, profile);
    g->report->basis[PART_DEPTH] =
        report_textf(g->report, "Of %s, over the first %zu tokens of the text.", g->scheme, n);
    depth_unref(profile);
    depth_close(job);
    return ok || cancelled;
}

static bool measure_errors(const struct reporting *g, struct error *error)
{
    const struct session *s = &g->batch->session;
    struct error_kinds *job = error_kinds_open(s->model, g->set, error);
    bool cancelled = false, ok = job && session_run(s, &error_kinds_class, job, &cancelled, error);
    if (ok)
        fill_errors(g->report, job);
    g->report->basis[PART_ERRORS] = report_textf(
        g->report, "Of %s; up to %d rows of a layer are counted. The first and the last bin hold all beyond them.",
        g->scheme, (int)ERROR_KINDS_ROWS);
    error_kinds_close(job);
    return ok || cancelled;
}

static void miss_layers(struct report *r, const char *reason)
{
    static const enum report_part parts[] = {PART_SENSITIVITY, PART_ERRORS, PART_DEPTH};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        r->missing[parts[i]] = r->missing[parts[i]] ? r->missing[parts[i]] : report_text(r, reason);
}

static bool measure_layers(struct reporting *g, struct error *error)
{
    struct batch *b = g->batch;
    struct session *s = &b->session;
    if (session_cancelled(s) || !g->schemes) {
        miss_layers(g->report, session_cancelled(s) ? "interrupted before it was measured" : "no scheme was measured");
        return true;
    }
    if (!(g->set = batch_weights(b, g->schemes, error)))
        return session_cancelled(s);
    bool ok =
        pin_open(&b->pin, s->model, error) && pin_set(&b->pin, g->set, s->pool, error) && measure_sensitivity(g, error);
    if (ok && *s->model->reference_reason)
        miss_layers(g->report, s->model->reference_reason);
    else
        ok = ok && measure_errors(g, error) && measure_depth(g, error);
    miss_layers(g->report, "interrupted before it was measured");
    return ok;
}

/* ---- the schemes ------------------------------------------------------------------------------- */

/* The row that is looked at layer by layer: the last that -s names, else the one to take or, where that is as it is
 * stored, the closest of the others. Null: none. */
static const struct advise_row *row_of_layers(const struct reporting *g, const struct advise *job)
{
    size_t count;
    const struct advise_row *rows = advise_rows(job, &count), *taken = advise_choice(job), *best = NULL;
    if (g->plan.scheme_count > 0)
        return count > 1 && rows[count - 1].state == ADVISE_MEASURED ? &rows[count - 1] : NULL;
    if (taken && taken != &rows[0])
        return taken;
    for (size_t i = 1; i < count; i++)
        if (rows[i].state == ADVISE_MEASURED && rows[i].quality.kl > 0 &&
            (!best || rows[i].quality.kl < best->quality.kl))
            best = &rows[i];
    return best;
}

static bool keep_schemes(struct reporting *g, const struct advise_row *row, struct error *error)
{
    size_t size = schemes_count(g->batch->session.model) * sizeof *g->schemes;
    if (!row)
        return true;
    g->schemes = malloc(size);
    if (!g->schemes)
        return error_set(error, "not enough memory");
    memcpy(g->schemes, row->schemes, size);
    snprintf(g->scheme, sizeof g->scheme, "%s", row->scheme);
    return true;
}

static void take_rows(struct reporting *g, const struct advise *job)
{
    size_t count;
    const struct advise_row *rows = advise_rows(job, &count), *taken = advise_choice(job);
    struct quality_plan *q = &g->plan.quality;
    struct quality_basis basis = {.tokens = advise_tokens(job), .protocol = q->protocol, .window = q->window};
    snprintf(basis.text, sizeof basis.text, "%s", q->text);
    fill_basis(g->report, &basis);
    fill_advice(g->report, &g->batch->session, rows, count, taken ? (size_t)(taken - rows) : count, g->plan.goal);
    g->prefill = rows[0].prefill.median;
    if (!g->plan.text && g->plan.scheme_count == 0)
        g->report->basis[PART_SCHEMES] =
            "Schemes whose methods calibrate were left out: --calibration measures them, too.";
}

static bool any_measured(const struct advise *job)
{
    size_t count;
    const struct advise_row *rows = advise_rows(job, &count);
    bool any = false;
    for (size_t i = 0; i < count; i++)
        any |= rows[i].state == ADVISE_MEASURED;
    return any;
}

static bool measure_schemes(struct reporting *g, struct error *error)
{
    struct session *s = &g->batch->session;
    struct advise *job = advise_open(&g->plan, error);
    bool cancelled = false, ok = job && (session_run(s, &advise_class, job, &cancelled, error) || cancelled);
    if (ok && cancelled && !any_measured(job))
        ok = error_set(error, NOTHING_FINISHED);
    if (ok)
        take_rows(g, job);
    ok = ok && keep_schemes(g, row_of_layers(g, job), error);
    advise_close(job);
    return ok;
}

/* ---- the command ------------------------------------------------------------------------------- */

static void take_machine(struct reporting *g)
{
    struct roofs roofs;
    struct roofs_source source;
    struct error why = {""};
    const struct session *s = &g->batch->session;
    bool known = roofs_here(s->pool, false, &roofs, &source, &why);
    fill_machine(g->report, pool_threads(s->pool));
    fill_roofs(g->report, known ? &roofs : NULL, why.text);
}

static void take_model(struct reporting *g)
{
    const struct options *o = g->options;
    const char *path = o->synthetic ? o->synthetic : o->model ? o->model : "stories (built in)";
    const char *slash = o->model ? strrchr(path, '/') : NULL;
    fill_model(g->report, g->batch->session.model, slash && slash[1] ? slash + 1 : path);
    if (o->reference)
        report_add_fact(g->report, SUBJECT_MODEL, "reference", o->reference, NULL);
}

/* Schemes that -s names and the model cannot have are errors. */
static bool take_candidates(struct reporting *g, const char *names[MAX_CANDIDATES], struct error *error)
{
    const struct options *o = g->options;
    const struct session *s = &g->batch->session;
    struct scheme_choice choice;
    bool ok = true;
    for (size_t i = 0; ok && i < o->candidate_count; i++) {
        struct scheme *schemes = session_schemes(s, error);
        ok = schemes && scheme_choice_parse(o->candidates[i].scheme, &choice, error) &&
             schemes_choose(s->model, &choice, schemes, error);
        free(schemes);
        names[g->plan.scheme_count++] = o->candidates[i].scheme;
    }
    g->plan.schemes = names;
    return ok;
}

/* Also of a run that was interrupted: what was measured. */
static bool measure(struct reporting *g, struct error *error)
{
    const char *names[MAX_CANDIDATES];
    bool calibrates = g->options->calibration || g->options->candidate_count > 0;
    take_model(g);
    take_machine(g);
    return take_candidates(g, names, error) && advise_plan_open(g->batch, g->options, &g->plan, &g->text, error) &&
           (!calibrates || advise_plan_calibrate(g->batch, &g->plan, error)) && measure_schemes(g, error) &&
           measure_layers(g, error);
}

static void set_command(struct report *r, const struct options *o)
{
    char *line = command_line(o);
    r->command = report_text(r, line);
    free(line);
}

static bool report_model(struct batch *b, const struct options *o, struct advise_plan *plan, struct error *error)
{
    struct reporting g = {.batch = b, .options = o, .report = report_create(), .plan = *plan};
    if (!g.report)
        return error_set(error, "not enough memory for the report");
    set_command(g.report, o);
    bool ok = batch_check_output(b, o, error) && batch_measure(b, error) && measure(&g, error) &&
              report_write(g.report, o->output, error);
    if (ok && session_cancelled(&b->session))
        note("interrupted: the report has what was measured");
    else if (!ok && session_cancelled(&b->session))
        note(NOTHING_FINISHED);
    weights_unref(g.set);
    free(g.schemes);
    advise_plan_close(&g.plan, &g.text);
    report_free(g.report);
    return ok;
}

static bool report_records(const struct options *o, struct error *error)
{
    struct report *r = report_read_json(o->from, error);
    const char *slash = strrchr(o->from, '/');
    if (!r)
        return false;
    if (!*r->title)
        r->title = report_text(r, slash && slash[1] ? slash + 1 : o->from);
    report_add_fact(r, SUBJECT_MODEL, "records", o->from, NULL);
    set_command(r, o);
    bool ok = report_write(r, o->output, error);
    report_free(r);
    return ok;
}

static bool check_usage(const struct options *o, struct advise_plan *plan, struct error *error)
{
    if (!o->output)
        return error_set(error, "qtop report needs -o FILE");
    if (o->from && (o->model || o->synthetic || o->candidate_count > 0))
        return error_set(error, "--from %.200s: nothing is measured; expected no model and no scheme beside it",
                         o->from);
    return report_path_check(o->output, error) && check_candidates(o, error) && advise_plan_limits(o, plan, error);
}

int run_report(const struct options *options)
{
    struct batch batch;
    struct error error;
    struct advise_plan plan = {0};
    struct options asked = *options, plain = *options;
    const struct options *o = &asked;
    int status;
    if (!o->from && o->model && saved_is(o->model)) { /* a session has what was measured */
        asked.from = o->model;
        asked.model = NULL;
    }
    plain.scheme = NULL; /* each is applied for itself */
    if (!check_usage(o, &plan, &error))
        return complain(&error, EXIT_USAGE);
    if (o->from)
        return report_records(o, &error) ? EXIT_DONE : complain(&error, EXIT_FAILED);
    if (!batch_open(&batch, &plain, &status, &error))
        return complain(&error, status);
    pool_bind_caller(batch.session.pool);
    interrupt_catch(&batch.session);
    bool ok = report_model(&batch, o, &plan, &error);
    batch_close(&batch);
    interrupt_release();
    return ok ? EXIT_DONE : complain(&error, EXIT_FAILED);
}

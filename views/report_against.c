/* qtop inspect and qtop eval with --against: two model files side by side. */
#include "report_against.h"

#include "interrupt.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- layers ---------------------------------------------------------------------------------- */

static void layer_record(const struct tensor *t, const struct against_layer *l, const struct options *o, bool first)
{
    json_t *j = json_object();
    const struct metric *db = &l->sqnr_db;
    json_object_set_new(j, "name", json_string(t->name));
    json_add(j, "rows", (double)t->stored.rows, NULL);
    json_add(j, "cols", (double)t->stored.cols, NULL);
    json_object_set_new(j, "type_a", json_string(dtypes[l->type[0]].name));
    json_object_set_new(j, "type_b", json_string(dtypes[l->type[1]].name));
    json_add(j, "bytes_a", (double)l->bytes[0], NULL);
    json_add(j, "bytes_b", (double)l->bytes[1], NULL);
    json_add(j, "sqnr_db", db->value, !db->valid ? db->reason : isinf(db->value) ? "equal" : NULL);
    json_add(j, "max_abs_difference", (double)l->max_abs, db->valid ? NULL : db->reason);
    print_record(j, o, first);
}

static void layer_line(const struct tensor *t, const struct against_layer *l)
{
    char shape[48], bytes[2][16], db[16] = "-";
    snprintf(shape, sizeof shape, "%zux%zu", t->stored.rows, t->stored.cols);
    if (l->sqnr_db.valid && isinf(l->sqnr_db.value))
        snprintf(db, sizeof db, "equal");
    else if (l->sqnr_db.valid)
        snprintf(db, sizeof db, "%.2f", l->sqnr_db.value);
    printf("%-22s %12s %-8s %-8s %7s %7s %7s %9.3g\n", t->name, shape, dtypes[l->type[0]].name, dtypes[l->type[1]].name,
           format_bytes(bytes[0], (double)l->bytes[0]), format_bytes(bytes[1], (double)l->bytes[1]), db,
           (double)l->max_abs);
}

static void report_layers(const struct batch *b, const struct against *a, const struct options *o)
{
    const struct model *m = b->session.model;
    const struct against_layer *layers = against_layers(a);
    if (!wants_records(o))
        printf("%-22s %12s %-8s %-8s %7s %7s %7s %9s\n", "LAYER", "SHAPE", "A", "B", "BYTES A", "BYTES B", "SQNR dB",
               "MAX DIFF");
    for (size_t t = 0; t < m->tensor_count; t++)
        if (wants_records(o))
            layer_record(&m->tensors[t], &layers[t], o, t == 0);
        else
            layer_line(&m->tensors[t], &layers[t]);
}

/* ---- what the files say ---------------------------------------------------------------------- */

static void difference_record(const char *kind, const struct value_difference *d, const struct options *o)
{
    static const char *const keys[] = {"a", "b"};
    json_t *j = json_object();
    json_object_set_new(j, "difference", json_string(kind));
    json_object_set_new(j, "key", json_text(d->what));
    for (int v = 0; v < 2; v++)
        json_object_set_new(j, keys[v], *d->value[v] ? json_text(d->value[v]) : json_null());
    print_record(j, o, false);
}

static void report_list(const char *kind, const struct value_differences *list, const char *reason, const struct options *o)
{
    if (!o->json && (*reason || list->count == 0))
        printf("%s: %s\n", kind, *reason ? reason : "no difference");
    for (size_t i = 0; i < list->count; i++) {
        const struct value_difference *d = &list->of[i];
        if (o->json)
            difference_record(kind, d, o);
        else
            printf("%s: %s: a %s, b %s\n", kind, d->what, *d->value[0] ? d->value[0] : "has none",
                   *d->value[1] ? d->value[1] : "has none");
    }
}

static void report_totals(const struct batch *b, const struct against *a)
{
    const struct against_facts *f = against_facts(a);
    const struct against_figures *g = against_figures(a);
    char bytes[2][16];
    printf("a %s, b %s; %zu of %zu layers have another type, %zu another size", format_bytes(bytes[0], (double)f->bytes[0]),
           format_bytes(bytes[1], (double)f->bytes[1]), f->types, b->session.model->tensor_count, f->changed_bytes);
    if (g->layers > 0)
        printf(", %zu equal weights", g->equal);
    if (g->linear.e2 > 0)
        printf("; SQNR of linear layers %.2f dB", 10 * log10(g->linear.w2 / g->linear.e2));
    putchar('\n');
}

/* A table of records (--csv) has layers alone: differences have other columns. */
static void report_files(const struct batch *b, const struct against *a, const struct options *o)
{
    const struct against_facts *f = against_facts(a);
    report_layers(b, a, o);
    if (o->csv)
        return;
    report_list("metadata", &f->metadata, f->metadata_reason, o);
    report_list("tokenizer", &f->tokenizer, f->tokenizer_reason, o);
    if (!o->json)
        report_totals(b, a);
}

/* ---- measured figures ------------------------------------------------------------------------ */

static void add_stats(json_t *j, const char *key, const double rates[AGAINST_ROUNDS], size_t rounds)
{
    struct stats s = against_rate(rates, rounds);
    const double values[] = {s.median, s.min, s.max};
    static const char *const ends[] = {"", "_min", "_max"};
    for (int i = 0; i < 3; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s%s", key, ends[i]);
        json_add(j, name, values[i], rounds > 0 ? NULL : "interrupted");
    }
}

static void add_figure(json_t *j, const char *key, double value, const struct quality_result *r)
{
    json_add(j, key, value, r->scored == 0 ? "not measured" : quality_reason(value));
}

static void figures_record(const struct batch *b, const struct against *a, const struct options *o, const char *verdict)
{
    const struct against_figures *g = against_figures(a);
    const struct quality_result *pair = &g->from_a, *ra = &g->from_reference[0], *rb = &g->from_reference[1];
    const struct against_facts *f = against_facts(a);
    json_t *j = json_object();
    json_object_set_new(j, "a", json_text(b->session.model->path));
    json_object_set_new(j, "b", json_text(o->against));
    json_object_set_new(j, "reference", o->reference ? json_text(o->reference) : json_null());
    json_add(j, "bytes_a", (double)f->bytes[0], NULL);
    json_add(j, "bytes_b", (double)f->bytes[1], NULL);
    json_add_text(j, pair->basis.text, pair->basis.tokens);
    json_add(j, "tokens", (double)pair->scored, NULL);
    add_figure(j, "perplexity_a", pair->perplexity_reference, pair);
    add_figure(j, "perplexity_b", pair->perplexity, pair);
    add_figure(j, "kl_divergence", pair->kl, pair);
    add_figure(j, "kl_stderr", pair->kl_stderr, pair);
    add_figure(j, "top1_agreement", pair->top1, pair);
    add_figure(j, "kl_divergence_a_from_reference", ra->kl, ra);
    add_figure(j, "kl_stderr_a_from_reference", ra->kl_stderr, ra);
    add_figure(j, "kl_divergence_b_from_reference", rb->kl, rb);
    add_figure(j, "kl_stderr_b_from_reference", rb->kl_stderr, rb);
    add_stats(j, "decode_tokens_per_second_a", g->speed.decode[0], g->speed.rounds);
    add_stats(j, "decode_tokens_per_second_b", g->speed.decode[1], g->speed.rounds);
    add_stats(j, "prefill_tokens_per_second_a", g->speed.prefill[0], g->speed.rounds);
    add_stats(j, "prefill_tokens_per_second_b", g->speed.prefill[1], g->speed.rounds);
    json_object_set_new(j, "verdict", json_text(verdict));
    print_record(j, o, true);
}

static void print_quality(const char *what, const struct quality_result *r)
{
    char kl[32];
    if (r->scored == 0)
        return;
    if (quality_reason(r->kl))
        printf("%-12s KL n/a: %s\n", what, quality_reason(r->kl));
    else
        printf("%-12s KL %s, top-1 %.2f %%, perplexity %.6f (%.6f)\n", what,
               format_kl(kl, r->kl, r->kl_stderr, false), 100 * r->top1, r->perplexity, r->perplexity_reference);
}

static void print_speed(const char *what, const double rates[2][AGAINST_ROUNDS], size_t rounds)
{
    struct stats a = against_rate(rates[0], rounds), b = against_rate(rates[1], rounds);
    if (rounds == 0)
        return;
    struct ratio r = ratio_of(rates[1], rates[0], rounds);
    printf("%-12s a %.1f (%.1f to %.1f), b %.1f (%.1f to %.1f) tokens/s, b / a %.3f (%.3f to %.3f)\n", what, a.median,
           a.min, a.max, b.median, b.min, b.max, r.median, r.low, r.high);
}

static void print_figures(const struct against *a, const struct quality_plan *plan, const char *verdict)
{
    const struct against_figures *g = against_figures(a);
    printf("%s\n", verdict);
    printf("text         %s, %zu tokens; %s, windows of %zu\n", plan->text, plan->count, protocol_name(plan->protocol),
           plan->window);
    print_quality("b from a", &g->from_a);
    print_quality("a from ref", &g->from_reference[0]);
    print_quality("b from ref", &g->from_reference[1]);
    print_speed("decode", g->speed.decode, g->speed.rounds);
    print_speed("prefill", g->speed.prefill, g->speed.rounds);
}

static void report_figures(const struct batch *b, const struct against *a, const struct quality_plan *plan,
                           const struct options *o)
{
    char verdict[AGAINST_VERDICT];
    against_verdict(against_figures(a), against_facts(a), verdict);
    if (wants_records(o))
        figures_record(b, a, o, verdict);
    else
        print_figures(a, plan, verdict);
}

/* ---- both ------------------------------------------------------------------------------------ */

static bool choose_text(const struct batch *b, const struct options *o, struct study_tokens *text,
                        struct quality_plan *plan, struct error *error)
{
    *plan = (struct quality_plan){.bos = session_bos(&b->session), .protocol = protocol_by_name(o->protocol)};
    bool ok = evaluation_window(&b->session, o, &plan->window, error) && evaluation_tokens(b, o, text, error);
    plan->tokens = text->list.ids;
    plan->count = text->list.count;
    plan->text = text->name;
    return ok;
}

bool report_against(struct batch *b, const struct options *o, unsigned what, struct error *error)
{
    struct study_tokens text = {0};
    struct against_plan plan = {.session = &b->session, .what = what};
    if (o->scheme || o->recipe)
        return error_set(error, "--against compares two files as they are; expected no -s and no -r");
    interrupt_catch(&b->session);
    pool_bind_caller(b->session.pool);
    bool cancelled = false;
    bool ok = !(what & AGAINST_QUALITY) || choose_text(b, o, &text, &plan.quality, error);
    struct against *a = ok ? against_open(&plan, error) : NULL;
    ok = a && session_run(&b->session, &against_class, a, &cancelled, error);
    if (ok && (what & AGAINST_QUALITY))
        report_figures(b, a, &plan.quality, o);
    else if (ok)
        report_files(b, a, o);
    else if (cancelled)
        note(NOTHING_FINISHED);
    against_close(a);
    free(text.list.ids);
    interrupt_release();
    return ok;
}

/* qtop tune: a recipe that fits a budget. */
#include "batch.h"

#include "export/tuning.h"
#include "interrupt.h"
#include "session/kept_search.h"
#include "quant/recipe.h"
#include "quant/rivals.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CURVE_POINTS = 13 };

/* ---- reports --------------------------------------------------------------------------------- */

/* The mix that has a name, to compare with. */
static void add_rival(json_t *j, const struct tuned *best)
{
    const char *none = best->rival ? NULL : "no mix that has a name is within the budget, or none was measured yet";
    json_object_set_new(j, "mix", best->rival ? json_string(best->rival) : json_null());
    if (none)
        json_object_set_new(j, "mix_reason", json_string(none));
    json_add(j, "mix_size_bytes", (double)best->rival_size, none);
    json_add(j, "mix_kl_divergence", best->rival_quality.kl, none ? none : quality_reason(best->rival_quality.kl));
}

static void report_json(const struct tuned *best, const struct tune *job, const struct budget *budget,
                        const struct options *o, bool partial)
{
    struct tune_point curve[CURVE_POINTS];
    size_t n = tune_curve(job, curve, CURVE_POINTS);
    json_t *j = json_object(), *points = json_array();
    json_object_set_new(j, "recipe", o->output ? json_text(o->output) : json_null());
    if (!o->output)
        json_object_set_new(j, "recipe_reason", json_string(partial ? "interrupted" : "no file was named"));
    json_add(j, "max_size_bytes", budget->max_size, budget->max_size > 0 ? NULL : "no such budget");
    json_add(j, "max_bits_per_weight", budget->max_bits, budget->max_bits > 0 ? NULL : "no such budget");
    json_add(j, "min_tokens_per_second", budget->min_rate, budget->min_rate > 0 ? NULL : "no such budget");
    json_add(j, "max_kl_divergence", budget->max_kl, budget->max_kl > 0 ? NULL : "no such budget");
    json_object_set_new(j, "format", *budget->format ? json_string(budget->format) : json_null());
    if (!*budget->format)
        json_object_set_new(j, "format_reason", json_string("sizes are those in memory (no --for)"));
    json_add(j, "size_bytes", (double)best->size, NULL);
    json_add(j, "bits_per_weight", best->bits_per_weight, NULL);
    json_add(j, "bits_per_weight_all", best->bits_per_weight_all, NULL);
    json_add(j, "predicted_tokens_per_second", best->rate, NULL);
    json_add(j, "predicted_kl_divergence", best->predicted_kl, NULL);
    json_object_set_new(j, "reference", o->reference ? json_text(o->reference) : json_null());
    if (!o->reference)
        json_object_set_new(j, "reference_reason", json_string(NO_REFERENCE));
    json_add_text(j, best->quality.basis.text, best->quality.basis.tokens);
    json_add(j, "kl_divergence", best->quality.kl, quality_reason(best->quality.kl));
    json_add(j, "kl_stderr", best->quality.kl_stderr, quality_reason(best->quality.kl_stderr));
    json_add(j, "perplexity", best->quality.perplexity, quality_reason(best->quality.perplexity));
    json_add(j, "perplexity_reference", best->quality.perplexity_reference,
             quality_reason(best->quality.perplexity_reference));
    for (size_t i = 0; i < n; i++)
        json_array_append_new(points, json_pack("[f, f]", curve[i].cost, curve[i].kl));
    json_object_set_new(j, "curve", points);
    add_rival(j, best);
    json_object_set_new(j, "partial", json_boolean(partial));
    print_record(j, o, true);
}

static void report_text(const struct tuned *best, const struct tune *job, const struct budget *budget,
                        const struct options *o)
{
    struct tune_point curve[CURVE_POINTS];
    size_t n = tune_curve(job, curve, CURVE_POINTS);
    char bytes[16], kl[32], path[SHOWN_TEXT];
    printf("found       %s%s%s, %.3f bits/weight linear, %.3f all\n", format_bytes(bytes, (double)best->size),
           *budget->format ? " as " : "", budget->format, best->bits_per_weight, best->bits_per_weight_all);
    bool counts_linear = budget->max_bits > 0 && budget->max_size == 0;
    if (counts_linear)
        printf("            embedding and head remain as stored: --max-size counts them, too\n");
    printf("speed       %.1f tokens/s predicted\n", best->rate);
    if (o->reference)
        printf("reference   %s\n", shown(path, o->reference));
    printf("KL          %s measured on held-out text (%s, %zu tokens); %.4g predicted\n",
           format_kl(kl, best->quality.kl, best->quality.kl_stderr, false), best->quality.basis.text,
           best->quality.basis.tokens, best->predicted_kl);
    printf("perplexity  %.4f (reference %.4f)\n", best->quality.perplexity, best->quality.perplexity_reference);
    if (best->rival)
        printf("mix         %s has %s and KL %s\n", best->rival, format_bytes(bytes, (double)best->rival_size),
               format_kl(kl, best->rival_quality.kl, best->rival_quality.kl_stderr, false));
    printf("curve       %-12s KL predicted\n", budget->min_rate > 0 ? "us/token" : counts_linear ? "linear size" : "size");
    for (size_t i = 0; i < n; i++)
        if (budget->min_rate > 0)
            printf("            %-12.1f %.4g\n", 1e6 * curve[i].cost, curve[i].kl);
        else
            printf("            %-12s %.4g\n", format_bytes(bytes, curve[i].cost), curve[i].kl);
    if (o->output)
        printf("recipe      to %s (qtop -r reads it)\n", shown(path, o->output));
    else
        printf("recipe      none: -o FILE writes it\n");
}

static void report(const struct tuned *best, const struct tune *job, const struct budget *budget,
                   const struct options *o, bool partial)
{
    if (wants_records(o))
        report_json(best, job, budget, o, partial);
    else
        report_text(best, job, budget, o);
}

/* ---- the command ----------------------------------------------------------------------------- */

/* Whether what was found is within a budget of KL that is asked for beside others, which it is always in. */
static bool is_within(const struct tuned *best, const struct budget *budget)
{
    return budget->max_kl == 0 || best->quality.kl <= budget->max_kl;
}

/* An interrupted search: the best so far and its recipe, if there is one. */
static bool report_partial(const struct tune *job, const struct tune_plan *plan, const struct options *o,
                           struct error *error)
{
    struct options unwritten = *o;
    struct tuned best;
    size_t measured, all = tune_candidates(job, &measured);
    bool found = tune_best(job, &best) && is_within(&best, &plan->budget), written = found && o->output;
    bool ok = !written || recipe_write(o->output, plan->model, best.schemes, error);
    if (!written || !ok)
        unwritten.output = NULL;
    if (found)
        report(&best, job, &plan->budget, &unwritten, true);
    else if (wants_records(o))
        print_record(json_pack("{s:n, s:s, s:i, s:i, s:b}", "recipe", "recipe_reason", "interrupted",
                               "schemes_measured", (int)measured, "schemes", (int)all, "partial", 1), o, true);
    if (!wants_records(o) && found)
        printf("partial     interrupted: the best so far%s\n", written ? ", with its recipe" : "");
    else if (!wants_records(o))
        printf("partial     interrupted: all layers measured in %zu of %zu schemes, no recipe written\n", measured,
               all);
    return ok;
}

static void say_kept(struct kept_search *s)
{
    struct tune_table t = tune_table(s->job);
    if (s->kept > 0 && s->kept == t.parts)
        error_set(&s->error, "--resume goes on from %zu of %zu parts measured (%.200s)", t.parts, t.all_parts, s->path);
    if (t.parts > 0)
        note(s->error.text);
}

static bool search(const struct session *s, const struct tune_plan *plan, const struct options *o,
                   struct error *error)
{
    struct kept_search *kept = kept_search_open(plan, error);
    struct tune *job = kept ? kept->job : NULL;
    struct tuned best;
    bool cancelled = false, ok = kept && (!o->resume || kept_search_resume(kept, error)) &&
                              session_run(s, &kept_search_class, kept, &cancelled, error);
    if (cancelled) {
        ok = report_partial(job, plan, o, error);
        say_kept(kept);
    }
    if (ok && !cancelled && tune_best(job, &best)) { /* also where the recipe cannot be written */
        report(&best, job, &plan->budget, o, false);
        ok = !o->output || recipe_write(o->output, plan->model, best.schemes, error);
    }
    kept_search_close(kept, cancelled || (!ok && o->resume));
    return ok;
}

/* The format that the budget is for: the one that is named, else that of a model in a file that can be written again. */
static bool open_file(const struct session *s, const struct options *o, struct budget *budget, struct tune_file **file,
                      struct error *error)
{
    const char *tokenizer = s->tokenizer ? tokenizer_path(s->tokenizer) : NULL;
    export_budget_default(s->model, budget);
    *file = *budget->format ? export_tuning_open(s->model, budget->format, tokenizer, error) : NULL;
    if (*file || !*budget->format || o->for_format)
        return *file || !*budget->format;
    struct error why = *error;
    error_set(error, "sizes are those in memory: %.200s", why.text);
    note(error->text);
    return budget_for("memory", budget, error);
}

static bool tune(struct batch *b, const struct options *o, struct budget *budget, struct error *error)
{
    struct session *s = &b->session;
    struct study_tokens searched = {0}, verified = {0};
    struct tune_file *file;
    struct rivals rivals = {0};
    if (!open_file(s, o, budget, &file, error))
        return false;
    struct tune_plan plan = {.model = s->model, .pool = s->pool, .stored = s->stored,
                             .reference = s->reference, .kv = DTYPE_FP32, .budget = *budget, .file = file,
                             .text = &s->calibration_text, .importance = s->importance, .context = s->context,
                             .seconds = o->seconds};
    plan.verify = (struct quality_plan){.bos = session_bos(s), .protocol = protocol_by_name(o->protocol)};
    bool ok = tune_check(&plan, error) && evaluation_window(s, o, &plan.verify.window, error) &&
              batch_calibration(b, error) && session_calibration_text(s, error) &&
              search_tokens(s, &searched, error) &&
              evaluation_tokens(b, o, &verified, error);
    rivals_open(&rivals, s->model);
    plan.rival = rivals.of;
    plan.rivals = strcmp(budget->format, "gguf") == 0 ? rivals.count : 0;
    plan.search = searched.list.ids;
    plan.search_count = searched.list.count;
    plan.verify.tokens = verified.list.ids;
    plan.verify.count = verified.list.count;
    plan.verify.text = verified.name;
    if (!ok && session_cancelled(s))
        note(NOTHING_FINISHED);
    ok = ok && search(s, &plan, o, error);
    free(searched.list.ids);
    free(verified.list.ids);
    export_tuning_close(file);
    rivals_close(&rivals);
    return ok;
}

int run_tune(const struct options *o)
{
    struct batch batch;
    struct error error;
    struct budget budget = {.max_bits = o->max_bits, .max_kl = o->max_kl, .min_rate = o->min_rate};
    int status;
    if (o->for_format && !export_budget_for(o->for_format, &budget, &error))
        return complain(&error, EXIT_USAGE);
    if ((o->max_size && !size_parse("--max-size", o->max_size, &budget.max_size, &error)) ||
        !budget_check(&budget, &error))
        return complain(&error, EXIT_USAGE);
    if (!batch_open(&batch, o, &status, &error))
        return complain(&error, status);
    pool_bind_caller(batch.session.pool);
    interrupt_catch(&batch.session);
    bool ok = batch_check_output(&batch, o, &error) && tune(&batch, o, &budget, &error);
    batch_close(&batch);
    interrupt_release();
    return ok ? EXIT_DONE : complain(&error, EXIT_FAILED);
}

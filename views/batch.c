#include "batch.h"

#include "kernels/dispatch.h"
#include "lab/saved.h"
#include "base/clock.h"
#include "base/output.h"
#include "sys/topology.h"
#include "quant/recipe.h"
#include "quant/tune.h"
#include "base/escape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double PROGRESS_DELAY = 0.5; /* seconds before progress is shown */

int complain(const struct error *error, int status)
{
    char line[1100];
    escape_text(line, sizeof line, error->text, strlen(error->text));
    fprintf(stderr, "qtop: %s\n", line);
    return status;
}

void note(const char *text)
{
    char line[1100];
    escape_text(line, sizeof line, text, strlen(text));
    fprintf(stderr, "qtop: note: %s\n", line);
}

char *builtin_model_path(struct error *error)
{
    char *path = data_file("stories.bin");
    if (!path)
        error_set(error, "the built-in model stories.bin is not in %s; name a MODEL", PKGDATADIR);
    return path;
}

/* ---- sessions -------------------------------------------------------------------------------- */

bool apply_schemes(const struct options *o, const struct model *model, struct scheme *schemes,
                   struct error *error)
{
    struct scheme_choice choice;
    struct recipe recipe;
    enum dtype kv;
    if (o->kv) {
        if (!kv_dtype_parse(o->kv, &kv, error))
            return false;
        schemes[kv_index(model)] = scheme_default(kv);
    }
    if (o->scheme && !(scheme_choice_parse(o->scheme, &choice, error) && schemes_choose(model, &choice, schemes, error)))
        return false;
    if (!o->recipe)
        return true;
    if (!recipe_read(&recipe, o->recipe, error))
        return false;
    bool ok = recipe_apply(&recipe, model, schemes, error);
    recipe_free(&recipe);
    return ok;
}

bool check_kernels(const struct options *o, struct error *error)
{
    const char *isa = o->isa ? o->isa : getenv("QTOP_ISA");
    if (o->threads > topology()->runnable)
        return error_set(error, "--threads %ld: this process may use %d processor%s", o->threads,
                         topology()->runnable, topology()->runnable == 1 ? "" : "s");
    return !isa || isa_select(isa, error);
}

/* Checks option values before any file is opened. */
static bool check_values(const struct options *o, struct error *error)
{
    struct scheme_choice choice;
    struct outliers outliers;
    enum dtype kv;
    if (o->scheme && !scheme_choice_parse(o->scheme, &choice, error))
        return false;
    if (o->kv && !kv_dtype_parse(o->kv, &kv, error))
        return error_set(error, "--kv '%.32s': expected " KV_EXPECTED, o->kv);
    if (o->synthetic && o->model)
        return error_set(error, "--synthetic %.40s takes no MODEL; found '%.200s'", o->synthetic,
                         o->model);
    if (o->synthetic && o->reference)
        return error_set(error, "--synthetic %.40s takes no --reference: random weights are their own reference; "
                                "found '%.200s'", o->synthetic, o->reference);
    if (o->synthetic && o->against)
        return error_set(error, "--synthetic %.40s takes no --against: random weights are in no file; found '%.200s'",
                         o->synthetic, o->against);
    if (o->outliers && !outliers_parse(o->outliers, &outliers, error))
        return false;
    if (o->synthetic && o->outliers)
        return error_set(error, "--synthetic %.40s takes no --inject-outliers: random weights have their own",
                         o->synthetic);
    if (o->calibration && o->text && strcmp(o->text, TEXT_SELF) != 0 && strcmp(o->text, o->calibration) == 0)
        return error_set(error, "--calibration %.200s: quality is measured on this text; expected another",
                         o->calibration);
    if (o->synthetic && !shape_find(o->synthetic, error))
        return false;
    if (protocol_by_name(o->protocol) == PROTOCOL_COUNT)
        return error_set(error, "--protocol '%.32s': expected full or llamacpp", o->protocol);
    return o->quiet || check_kernels(o, error);
}

bool check_candidates(const struct options *o, struct error *error)
{
    struct scheme_choice choice;
    for (size_t i = 0; i < o->candidate_count; i++)
        if (o->candidates[i].scheme && !scheme_choice_parse(o->candidates[i].scheme, &choice, error))
            return false;
    return !o->versus || scheme_choice_parse(o->versus, &choice, error);
}

void scheme_words(const struct options *o, char out[256])
{
    char canonical[SCHEME_TEXT] = "stored", recipe[SHOWN_TEXT] = "";
    struct scheme_choice c;
    if (o->scheme && scheme_choice_parse(o->scheme, &c, NULL))
        scheme_choice_print(&c, canonical);
    snprintf(out, 256, "%s%s%.200s", o->recipe && !o->scheme ? "" : canonical,
             o->recipe && o->scheme ? " + " : "", o->recipe ? shown(recipe, o->recipe) : "");
}

static void say_non_finite(const struct model *m, const char *of)
{
    if (m && m->non_finite)
        fprintf(stderr, "qtop: warning: %zu weights%s are NaN or infinite\n", m->non_finite, of);
}

/* Types that stand for others, whose blocks do not divide the rows. */
static void say_fallbacks(const struct model *m, const struct scheme *schemes)
{
    char text[320];
    for (size_t i = 0; fallback_note(m, schemes, i, text, sizeof text); i++)
        note(text);
}

/* What a person should know about the files. */
static void say_notes(const struct session *s)
{
    if (*s->model->note)
        note(s->model->note);
    if (s->tokenizer && tokenizer_note(s->tokenizer))
        note(tokenizer_note(s->tokenizer));
    say_non_finite(s->model, "");
    say_non_finite(s->reference_model, " of the reference");
    say_non_finite(s->other_model, " of the other file");
}

/* Only on a terminal, after a delay. The time left is shown once enough is done to estimate it. */
static void show_progress(void *line, const char *work, size_t done, size_t all)
{
    struct progress_line *p = line;
    double now = clock_seconds(), fraction = (double)done / (double)all;
    if (!p->work || fraction < p->fraction || p->fraction >= 1) { /* a job's phases share its fraction: another job */
        p->began = now;
        p->from = fraction;
    }
    p->work = work;
    p->fraction = fraction;
    if (now - p->opened <= PROGRESS_DELAY || !isatty(STDERR_FILENO))
        return;
    double left = (now - p->began) * (1 - fraction) / fmax(fraction - p->from, 1e-9);
    if (done >= all)
        fputs("\r\x1b[K", stderr);
    else if (now - p->began < PROGRESS_DELAY || fraction - p->from < 0.01)
        fprintf(stderr, "\rqtop: %s: %.0f %%\x1b[K", work, 100 * fraction);
    else
        fprintf(stderr, "\rqtop: %s: %.0f %%, %.0f s left\x1b[K", work, 100 * fraction, ceil(left));
}

bool batch_calibration(struct batch *b, struct error *error)
{
    struct session *s = &b->session;
    struct text_choice c;
    if (b->calibration_known)
        return true;
    if (!text_choose(&c, s, b->calibration, USE_CALIBRATION, error))
        return false;
    b->calibration_known = text_choice_read(s, &c, &s->calibration, error);
    s->calibration_is_default = c.is_default;
    memcpy(s->calibration_name, c.name, sizeof c.name);
    text_choice_free(&c);
    return b->calibration_known;
}

static void pass_note(void *arg, const char *line)
{
    (void)arg;
    note(line);
}

bool batch_open(struct batch *b, const struct options *o, int *status, struct error *error)
{
    *b = (struct batch){.calibration = o->calibration};
    *status = EXIT_USAGE;
    if (!check_values(o, error))
        return false;
    *status = EXIT_FAILED;
    if (o->model && saved_is(o->model))
        return error_set(error, "%.200s: is a session, which only qtop SESSION opens; expected a model", o->model);
    if (!o->synthetic && !o->model && !(b->path = builtin_model_path(error)))
        return false;
    struct session_options so = {.model_path = o->model ? o->model : b->path,
                                 .synthetic = o->synthetic ? shape_find(o->synthetic, error) : NULL,
                                 .reference_path = o->reference,
                                 .against_path = o->against,
                                 .tokenizer_path = o->tokenizer,
                                 .threads = (int)o->threads,
                                 .context = (size_t)o->context,
                                 .least_context = o->positions > o->window ? (size_t)o->positions : (size_t)o->window};
    if (o->outliers && !outliers_parse(o->outliers, &so.outliers, error))
        return false;
    scheme_words(o, b->scheme_text);
    bool opened = session_open(&b->session, &so, error);
    b->session.note = o->quiet ? NULL : pass_note;
    bool ok = opened && (!o->imatrix || session_read_imatrix(&b->session, o->imatrix, error)) &&
              (!o->calibration || batch_calibration(b, error)) &&
              (b->schemes = session_schemes(&b->session, error)) &&
              apply_schemes(o, b->session.model, b->schemes, error) &&
              session_may_train(&b->session, b->schemes, error);
    b->progress.opened = clock_seconds();
    b->session.progress = o->quiet ? NULL : show_progress;
    b->session.progress_arg = &b->progress;
    b->session.resume = o->resume;
    if (ok && !o->quiet) {
        say_notes(&b->session);
        say_fallbacks(b->session.model, b->schemes);
    }
    if (!ok)
        batch_close(b);
    return ok;
}

bool batch_check_output(const struct batch *b, const struct options *o, struct error *error)
{
    const char *const read[] = {o->text, o->calibration, o->imatrix, o->recipe};
    bool reads = false;
    for (size_t i = 0; i < sizeof read / sizeof *read; i++)
        reads = reads || same_file(o->output, read[i]);
    if (reads)
        return error_set(error, "%.200s: is a file that is being read; expected another one", o->output);
    return !o->output || (session_check_output(&b->session, o->output, error) && output_possible(o->output, error));
}

bool batch_measure(struct batch *b, struct error *error)
{
    return session_measure_stored(&b->session, error);
}

struct weights *batch_weights(struct batch *b, const struct scheme *schemes, struct error *error)
{
    bool calibrates = false;
    for (size_t i = 0; i < b->session.model->tensor_count; i++)
        calibrates |= scheme_needs_calibration(&schemes[i]);
    return calibrates && !batch_calibration(b, error) ? NULL : session_weights(&b->session, schemes, error);
}

bool batch_uses_imatrix(const struct batch *b, const struct scheme *schemes)
{
    const struct session *s = &b->session;
    bool any = !s->importance;
    for (size_t t = 0; t < s->model->tensor_count; t++)
        any |= !schemes[t].format.stored && methods_take_importance(&schemes[t].methods);
    return any;
}

bool batch_unused_imatrix(const struct batch *b, struct error *error)
{
    return error_set(error, "--imatrix %.200s: no layer of these schemes takes it; expected the method imatrix, such as "
                            "-s q4_k:imatrix", b->session.importance->file);
}

bool batch_pack(struct batch *b, struct error *error)
{
    if (!batch_uses_imatrix(b, b->schemes))
        return batch_unused_imatrix(b, error);
    pool_bind_caller(b->session.pool); /* whoever packs runs the model too, on this thread */
    b->weights = batch_weights(b, b->schemes, error);
    return b->weights && pin_open(&b->pin, b->session.model, error) &&
           pin_set(&b->pin, b->weights, b->session.pool, error);
}

void batch_close(struct batch *b)
{
    pin_close(&b->pin);
    weights_unref(b->weights);
    free(b->schemes);
    free(b->path);
    if (b->session.model)
        session_close(&b->session);
    *b = (struct batch){0};
}

/* ---- what is measured on --------------------------------------------------------------------- */

/* Runs a source to its end and closes it; its tokens are now the caller's. */
static bool run_source(const struct session *s, struct text_source *source, struct study_tokens *out,
                       struct error *error)
{
    bool cancelled, ok = session_run(s, &text_source_class, source, &cancelled, error);
    if (ok) {
        out->list = source->tokens;
        memcpy(out->name, source->name, sizeof out->name);
        source->tokens = (struct tokens){0};
    }
    text_source_close(source);
    return ok;
}

bool search_tokens(const struct session *s, struct study_tokens *out, struct error *error)
{
    struct text_source source;
    text_source_open(&source, s, TEXT_SEARCH, TUNE_SEARCH_TOKENS);
    return run_source(s, &source, out, error);
}

/* Of a default text as many tokens as are wanted from all over it; of one that a person named the first ones. */
static bool give_choice(struct text_source *source, const struct text_choice *c, struct tokens *all, size_t count,
                        struct error *error)
{
    if (count > 0 && count < all->count && !c->is_default)
        all->count = count;
    return text_source_give(source, all, c->is_default ? count : 0, c->name) ||
           error_set(error, "not enough memory");
}

bool quality_tokens(const struct batch *b, const struct options *o, size_t count, struct study_tokens *out,
                    struct error *error)
{
    struct text_choice c;
    struct tokens all = {0};
    struct text_source source;
    if (!text_choose(&c, &b->session, o->text, USE_QUALITY, error))
        return false;
    text_source_open(&source, &b->session, TEXT_EVALUATION, count);
    bool ok = text_choice_read(&b->session, &c, &all, error) &&
              (!c.path || give_choice(&source, &c, &all, count, error));
    if (ok)
        ok = run_source(&b->session, &source, out, error);
    else
        text_source_close(&source);
    free(all.ids);
    text_choice_free(&c);
    return ok;
}

bool evaluation_tokens(const struct batch *b, const struct options *o, struct study_tokens *out, struct error *error)
{
    bool whole = o->text && strcmp(o->text, TEXT_SELF) != 0;
    return quality_tokens(b, o, o->given_tokens ? (size_t)o->tokens : whole ? 0 : DEFAULT_TOKENS, out, error);
}

bool evaluation_window(const struct session *s, const struct options *o, size_t *window,
                          struct error *error)
{
    *window = o->window ? (size_t)o->window : quality_default_window(s->context);
    if (*window > s->context)
        return error_set(error, "--window %zu: the context holds %zu", *window, s->context);
    if (*window < 2)
        return error_set(error, "a window of %zu has nothing to predict; expected at least 2", *window);
    return true;
}

#include "opened.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const double READING_SPEED = 16; /* tokens per second */

/* ---- sessions --------------------------------------------------------------------------------- */

/* The options that another run needs to measure the same. */
static const struct {
    const char *name;
    size_t offset; /* into struct options, of a text */
    bool is_file;
} kept[OPENED_WITH] = {
    {"text", offsetof(struct options, text), true},
    {"calibration", offsetof(struct options, calibration), true},
    {"reference", offsetof(struct options, reference), true},
    {"tokenizer", offsetof(struct options, tokenizer), true},
    {"imatrix", offsetof(struct options, imatrix), true},
    {"protocol", offsetof(struct options, protocol), false},
};

static const char **kept_option(struct options *o, size_t i)
{
    return (const char **)(void *)((char *)o + kept[i].offset);
}

/* Those that were given. */
static size_t list_options(struct options *o, struct opened_with out[OPENED_WITH])
{
    size_t n = 0;
    for (size_t i = 0; i < OPENED_WITH; i++)
        if (*kept_option(o, i))
            out[n++] = (struct opened_with){kept[i].name, *kept_option(o, i), kept[i].is_file};
    return n;
}

/* Those that were not given are the session's. */
static void take_options(const struct saved *s, struct options *o)
{
    for (size_t i = 0; i < OPENED_WITH; i++)
        if (!*kept_option(o, i) && *saved_option(s, kept[i].name))
            *kept_option(o, i) = saved_option(s, kept[i].name);
    o->model = saved_model(s);
}

/* A session stands in its model's place. */
static bool take_session(struct opened *w, int *status, struct error *error)
{
    struct options *o = &w->options;
    if (!o->model || !saved_is(o->model))
        return true;
    *status = EXIT_USAGE;
    if (o->scheme || o->recipe || o->kv)
        return error_set(error, "%.200s: a session has its schemes; expected no -s, -r or --kv", o->model);
    *status = EXIT_FAILED;
    snprintf(w->session_path, sizeof w->session_path, "%.255s", o->model);
    w->saved = saved_open(o->model, error);
    if (w->saved)
        take_options(w->saved, o);
    return w->saved;
}

/* The schemes of the session that the model is opened from, if it is. */
static bool take_schemes(struct batch *b, const struct saved *saved, struct error *error)
{
    struct scheme *schemes = saved ? saved_schemes(saved, b->session.model, error) : NULL;
    if (schemes)
        memcpy(b->schemes, schemes, schemes_count(b->session.model) * sizeof *schemes);
    free(schemes);
    return schemes || !saved;
}

/* ---- opening ---------------------------------------------------------------------------------- */

static struct lab *start_lab(struct opened *w, struct error *error)
{
    const struct options *o = &w->options;
    struct batch *b = &w->batch;
    char **text = &w->text;
    struct lab_options lo = {.schemes = b->schemes,
                             .protocol = protocol_by_name(o->protocol),
                             .window = (size_t)o->window,
                             .prompt = o->prompt,
                             .system = o->system,
                             .seed = (uint64_t)o->seed,
                             .temperature = (float)o->temperature,
                             .top_p = (float)o->top_p,
                             .opened = w->with,
                             .opened_count = list_options(&w->options, w->with),
                             .saved = w->saved,
                             .saved_as = w->saved ? w->session_path : NULL,
                             .keeps_session = !o->readonly,
                             .tokens_per_second = READING_SPEED};
    if (o->window && (size_t)o->window > b->session.context)
        return error_set(error, "--window %ld: the context holds %zu", o->window, b->session.context),
               NULL;
    struct text_choice c;
    if (!text_choose(&c, &b->session, o->text, USE_QUALITY, error))
        return NULL;
    struct tokens ids = {0};
    bool ok = true;
    if (c.path && b->session.tokenizer)
        ok = (lo.text = *text = read_study_text(c.path, &lo.text_size, error));
    else if (c.path)
        ok = text_choice_read(&b->session, &c, &ids, error);
    lo.text_ids = ids.count > 0 ? &ids : NULL;
    lo.text_name = c.name;
    lo.text_tokens = c.is_default ? DEFAULT_TOKENS : 0;
    struct lab *lab = ok ? lab_start(&b->session, &lo, error) : NULL;
    text_choice_free(&c);
    free(ids.ids);
    return lab;
}

/* What the title calls the model: its file's name, or its shape. */
static void name_model(const struct session *s, const struct options *o, char name[128])
{
    if (s->model->path)
        name_file(s->model->path, name, 128);
    else
        snprintf(name, 128, "%.80s, random weights", o->synthetic);
}

/* What belongs to a model goes with it. */
static struct options of_another_model(const struct options *o, const char *path)
{
    struct options other = *o;
    other.model = path;
    other.scheme = other.recipe = other.synthetic = other.reference = other.against = other.imatrix = other.outliers =
        other.tokenizer = NULL;
    other.candidate_count = 0;
    other.quiet = true;
    return other;
}

static bool open_all(struct opened *w, int *status, struct error *error)
{
    struct batch *b = &w->batch;
    if (!take_session(w, status, error) || !batch_open(b, &w->options, status, error))
        return false;
    *status = EXIT_FAILED;
    name_model(&b->session, &w->options, w->name);
    if (w->options.reference)
        name_file(w->options.reference, w->reference, sizeof w->reference);
    return take_schemes(b, w->saved, error) && batch_calibration(b, error) && batch_measure(b, error) &&
           (w->lab = start_lab(w, error));
}

struct opened *opened_begin(const struct options *options, char *path, int *status, struct error *error)
{
    struct opened *w = calloc(1, sizeof *w);
    *status = EXIT_FAILED;
    if (!w) {
        free(path);
        error_set(error, "not enough memory");
        return NULL;
    }
    w->path = path;
    w->options = path ? of_another_model(options, path) : *options;
    if (open_all(w, status, error))
        return w;
    opened_end(w, NULL);
    return NULL;
}

bool opened_end(struct opened *w, struct error *error)
{
    if (!w)
        return true;
    struct error unsaid;
    bool ok = !w->lab || lab_finish(w->lab, error ? error : &unsaid);
    lab_stop(w->lab);
    free(w->text);
    batch_close(&w->batch);
    saved_close(w->saved);
    free(w->path);
    free(w);
    return ok;
}

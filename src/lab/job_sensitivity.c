/* The sensitivity of each layer: what it costs with all others as stored. */
#include "actions.h"
#include "fields.h"
#include "jobs.h"
#include "measure/sensitivity.h"
#include "quant/fit.h"
#include "study.h"

#include <stdlib.h>

/* A layer's figures, and the scheme that it had. */
struct layer_sensitivity {
    struct scheme scheme;
    struct sensitivity figures;
    bool complete; /* over all tokens of the text */
};

struct measuring {
    bool asked;
    struct layer_sensitivity *of; /* tensors */
};

static bool begin(struct lab *lab, void *state, struct error *error)
{
    struct measuring *m = state;
    m->of = calloc(lab_tensors(lab), sizeof *m->of);
    return m->of || error_set(error, "not enough memory");
}

static void end(struct lab *lab, void *state)
{
    (void)lab;
    free(((struct measuring *)state)->of);
}

static bool wanted(struct lab *lab, void *state, const void *running)
{
    (void)lab, (void)running;
    return ((const struct measuring *)state)->asked;
}

static void *open_job(struct lab *lab, void *state, struct error *error)
{
    struct session *s = lab->session;
    const struct tokens *text = &lab->study[TEXT_EVALUATION].source.tokens;
    struct sensitivity_plan plan = {text->ids, text->count, session_bos(s), s->context, NULL};
    (void)state;
    return sensitivity_open(s->model, s->pool, &plan, s->stored, lab->set, error);
}

/* Figures of layers whose scheme has changed meanwhile are those of the scheme that was measured. */
static void stepped(struct lab *lab, void *state, const void *running)
{
    const struct weights *set = sensitivity_set(running);
    struct measuring *m = state;
    (void)lab;
    for (int t = 0; t < (int)set->count; t++) {
        struct sensitivity s = sensitivity_of(running, t);
        if (s.scored > 0)
            m->of[t] = (struct layer_sensitivity){qtensor_scheme(set->layer[t]), s, false};
    }
}

static void finish(struct lab *lab, void *state, void *running)
{
    bool any = !weights_same_layers(sensitivity_set(running), lab->session->stored);
    const struct text_source *text = &lab->study[TEXT_EVALUATION].source;
    size_t tokens = text->tokens.count < SENSITIVITY_TOKENS ? text->tokens.count : SENSITIVITY_TOKENS;
    struct measuring *m = state;
    m->asked = false;
    for (size_t t = 0; t < lab_tensors(lab); t++)
        m->of[t].complete |= sensitivity_of(running, (int)t).scored > 0;
    if (any)
        lab_say(lab, false, "measured the sensitivity of each layer: KL in column SENS, on %s, %zu tokens", text->name,
                tokens);
    else
        lab_say(lab, false, "every layer is stored: nothing to measure");
}

static void fail(struct lab *lab, void *state, const struct error *error)
{
    ((struct measuring *)state)->asked = false;
    lab_say(lab, true, "sensitivity cannot be measured: %s", error->text);
}

static void text_changed(struct lab *lab, void *state)
{
    struct measuring *m = state;
    for (size_t t = 0; t < lab_tensors(lab); t++)
        m->of[t] = (struct layer_sensitivity){0};
}

/* Valid as long as the layer has the scheme that was measured. */
static void publish(const struct lab *lab, const void *state, const void *running, struct frame *f)
{
    const struct measuring *m = state;
    (void)running;
    f->sensitivity_seconds = job_worked(lab, &sensitivity_job_type);
    for (size_t t = 0; t < schemes_count(lab->session->model); t++) {
        struct layer_frame *l = &f->layers[t];
        l->sensitivity = metric_absent("not measured: E measures it");
        if (t >= lab_tensors(lab) || m->of[t].figures.scored == 0 ||
            !qtensor_has_scheme(lab->set->layer[t], &m->of[t].scheme))
            continue;
        l->sensitivity = metric_value(m->of[t].figures.kl);
        l->sensitivity_stderr = m->of[t].figures.kl_stderr;
        l->sensitivity_partial = !m->of[t].complete;
    }
}

/* ---- sessions --------------------------------------------------------------------------------------- */

#define KEY "sensitivity"
#define FIGURE(kind, member, key) FIELD(kind, struct layer_sensitivity, member, key)
static const struct field fields[] = {
    FIGURE(FIELD_DOUBLE, figures.kl, "kl_alone"),
    FIGURE(FIELD_DOUBLE, figures.kl_stderr, "kl_alone_stderr"),
    FIGURE(FIELD_SIZE, figures.scored, "tokens"),
};
enum { FIELDS = sizeof fields / sizeof *fields };

static void save(const struct lab *lab, const void *state, json_t *root)
{
    const struct measuring *m = state;
    json_t *all = json_array();
    for (size_t t = 0; t < lab_tensors(lab); t++) {
        char text[SCHEME_TEXT];
        if (m->of[t].figures.scored == 0)
            continue;
        json_t *j = fields_write(fields, FIELDS, &m->of[t]);
        json_object_set_new(j, "name", text_to_json(lab->session->model->tensors[t].name));
        json_object_set_new(j, "partial", json_boolean(!m->of[t].complete));
        json_object_set_new(j, "scheme", json_string(scheme_print(&m->of[t].scheme, text)));
        json_array_append_new(all, j);
    }
    json_object_set_new(root, KEY, all);
}

static bool load(struct lab *lab, void *state, const json_t *root, bool speeds, struct error *error)
{
    (void)speeds;
    struct measuring *m = state;
    const json_t *from;
    size_t i;
    json_array_foreach(json_object_get(root, KEY), i, from) {
        const char *name = json_string_value(json_object_get(from, "name"));
        const char *text = json_string_value(json_object_get(from, "scheme"));
        int t = name ? model_find_name(lab->session->model, name) : -1;
        struct layer_sensitivity l = {0};
        struct scheme scheme;
        if (t < 0 || !text || !scheme_parse(text, &scheme, error))
            return error_set(error, "the session's " KEY " %zu names no layer and scheme of the model", i);
        if (!fields_read(fields, FIELDS, from, &l, "the session's " KEY, error))
            return false;
        l.complete = json_is_false(json_object_get(from, "partial"));
        l.scheme = scheme_for_tensor(lab->session->model, t, scheme);
        m->of[t] = l;
    }
    return true;
}

static void stop(struct lab *lab, void *state)
{
    ((struct measuring *)state)->asked = false;
    job_cancel(lab, job_slot_of(lab, &sensitivity_job_type));
    lab_say(lab, false, "stopped: figures on a part of the tokens are kept (~)");
}

const struct job_type sensitivity_job_type = {
    .class = &sensitivity_class,
    .state_size = sizeof(struct measuring),
    .begin = begin,
    .end = end,
    .wanted = wanted,
    .needs = NEED_EVALUATION_TEXT | NEED_REFERENCE,
    .open = open_job,
    .stepped = stepped,
    .finish = finish,
    .give_up = fail,
    .stop = stop,
    .save = save,
    .load = load,
    .text_changed = text_changed,
    .publish = publish,
};

/* While it runs: stops. */
void measure_sensitivity(struct lab *lab, const struct command *c)
{
    struct measuring *m = job_state(lab, &sensitivity_job_type);
    (void)c;
    if (m->asked) {
        stop(lab, m);
        return;
    }
    m->asked = true;
    study_retry(lab);
    lab_say(lab, false, "measuring sensitivity of each layer (E stops)");
}

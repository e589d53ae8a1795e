/* Compares methods on the selected layer. */
#include "actions.h"
#include "jobs.h"
#include "study.h"

#include "model/input_group.h"

#include <stdio.h>
#include <stdlib.h>

struct comparing {
    bool asked;
    int tensor;                      /* that was selected then */
    struct scheme *schemes;          /* tensors: of the set in use when it began; or null */
    struct comparison_frame *figures; /* as far as they are, or were; or null */
};

static bool wanted(struct lab *lab, void *state, const void *running)
{
    (void)lab, (void)running;
    return ((const struct comparing *)state)->asked;
}

/* All but what would take minutes. */
static size_t choices_of(const struct lab *lab, int tensor, struct scheme *choices)
{
    size_t n = scheme_choices(lab->session->model, tensor, &lab->target[tensor], CHANGE_METHOD, choices,
                              COMPARED_SCHEMES), kept = 0;
    for (size_t i = 0; i < n; i++)
        if (!scheme_trains(&choices[i]))
            choices[kept++] = choices[i];
    return kept;
}

static bool remember_set(const struct lab *lab, struct comparing *c, struct error *error)
{
    free(c->schemes);
    c->schemes = calloc(lab_tensors(lab), sizeof *c->schemes);
    for (size_t t = 0; c->schemes && t < lab_tensors(lab); t++)
        c->schemes[t] = qtensor_scheme(lab->set->layer[t]);
    return c->schemes || error_set(error, "not enough memory");
}

static void *open_job(struct lab *lab, void *state, struct error *error)
{
    struct comparing *c = state;
    struct session *s = lab->session;
    const struct tokens *text = &lab->study[TEXT_EVALUATION].source.tokens;
    struct scheme choices[COMPARED_SCHEMES];
    struct comparison_plan plan = {.model = s->model,
                                   .pool = s->pool,
                                   .set = lab->set,
                                   .stored = s->stored,
                                   .tensor = c->tensor,
                                   .schemes = choices,
                                   .count = choices_of(lab, c->tensor, choices),
                                   .tokens = text->ids,
                                   .token_count = text->count < s->context ? text->count : s->context,
                                   .text = &lab->study[TEXT_CALIBRATION].source.windows,
                                   .importance = s->importance};
    return remember_set(lab, c, error) ? comparison_open(&plan, error) : NULL;
}

/* Whether another layer has changed since, on whose outputs this one's depend. */
static bool is_stale(const struct lab *lab, const struct comparing *c)
{
    bool same = true;
    for (int t = 0; c->schemes && t < (int)lab_tensors(lab); t++)
        same &= t == c->tensor || qtensor_has_scheme(lab->set->layer[t], &c->schemes[t]);
    return !same;
}

/* The figures so far, for frames. */
static void stepped(struct lab *lab, void *state, const void *running)
{
    struct comparing *c = state;
    struct comparison_frame *f = calloc(1, sizeof *f);
    if (!f)
        return;
    atomic_init(&f->refs, 1);
    f->tensor = c->tensor;
    f->tokens = comparison_tokens(running);
    snprintf(f->text, sizeof f->text, "%s", lab->study[TEXT_EVALUATION].source.name);
    f->count = comparison_count(running);
    for (size_t i = 0; i < f->count; i++)
        f->of[i] = comparison_of(running, i);
    comparison_frame_unref(c->figures);
    c->figures = f;
}

static void finish(struct lab *lab, void *state, void *running)
{
    struct comparing *c = state;
    (void)running;
    c->asked = false;
    lab_say(lab, false, "%s: the methods are compared", layer_name(lab->session->model, c->tensor));
}

static void fail(struct lab *lab, void *state, const struct error *error)
{
    lab_say(lab, true, "methods cannot be compared: %s", error->text);
    ((struct comparing *)state)->asked = false;
}

static void text_changed(struct lab *lab, void *state)
{
    struct comparing *c = state;
    (void)lab;
    comparison_frame_unref(c->figures);
    c->figures = NULL;
}

static void end(struct lab *lab, void *state)
{
    (void)lab;
    struct comparing *c = state;
    comparison_frame_unref(c->figures);
    free(c->schemes);
}

static void publish(const struct lab *lab, const void *state, const void *running, struct frame *f)
{
    const struct comparing *c = state;
    (void)running;
    f->comparison = comparison_frame_ref(c->figures);
    f->comparison_stale = c->figures && is_stale(lab, c);
}

static void stop(struct lab *lab, void *state)
{
    ((struct comparing *)state)->asked = false;
    lab_say(lab, false, "stopped: the methods compared so far are kept");
}

const struct job_type compare_methods_job = {
    .class = &comparison_class,
    .state_size = sizeof(struct comparing),
    .end = end,
    .wanted = wanted,
    .needs = NEED_EVALUATION_TEXT | NEED_CALIBRATION_TEXT,
    .open = open_job,
    .stepped = stepped,
    .finish = finish,
    .give_up = fail,
    .stop = stop,
    .text_changed = text_changed,
    .publish = publish,
};

/* While it runs: stops. */
void compare_methods(struct lab *lab, const struct command *command)
{
    struct comparing *c = job_state(lab, &compare_methods_job);
    const struct model *m = lab->session->model;
    int tensor = lab->selection.tensor;
    struct scheme from = lab->target[tensor], choices[COMPARED_SCHEMES];
    struct error why;
    (void)command;
    if (c->asked) {
        stop(lab, c);
    } else if (scheme_choices(m, tensor, &from, CHANGE_METHOD, choices, COMPARED_SCHEMES) == 0) {
        scheme_cycle(m, tensor, &from, CHANGE_METHOD, 1, NULL, choices, &why);
        lab_say(lab, true, "%s", why.text);
    } else if (*m->reference_reason) {
        lab_say(lab, true, "methods cannot be compared: %s", m->reference_reason);
    } else if (input_group_of(m, tensor) < 0) {
        lab_say(lab, true, "%s: not a matrix product (lookup or norm)", layer_name(m, tensor));
    } else {
        *c = (struct comparing){true, tensor, c->schemes, c->figures};
        study_retry(lab);
        lab_say(lab, false, "%s: comparing methods (C stops it)", layer_name(m, tensor));
    }
}

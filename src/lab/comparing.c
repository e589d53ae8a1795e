/* Methods side by side on the layer that a person looks at. */
#include "internal.h"

#include <stdlib.h>

void comparing_end(struct lab *lab)
{
    comparison_close(lab->comparing);
    comparison_frame_unref(lab->comparison);
}

void comparing_stop(struct lab *lab)
{
    comparison_close(lab->comparing);
    lab->comparing = NULL;
    lab->comparing_asked = false;
}

void comparing_ask(struct lab *lab)
{
    const struct model *m = lab->session->model;
    struct scheme from = lab->target[lab->selected], choices[COMPARED_SCHEMES];
    struct error why;
    if (lab->comparing_asked) {
        comparing_stop(lab);
        lab_say(lab, false, "stopped: the methods compared so far stay");
    } else if (scheme_choices(m, lab->selected, &from, CHANGE_METHOD, choices, COMPARED_SCHEMES) == 0) {
        scheme_cycle(m, lab->selected, &from, CHANGE_METHOD, 1, choices, &why);
        lab_say(lab, true, "%s", why.text);
    } else if (!tensor_multiplies(m, lab->selected)) {
        lab_say(lab, true, "%s: it multiplies no activations", layer_name(m, lab->selected));
    } else {
        lab->comparing_asked = true;
        lab->compared_tensor = lab->selected;
        lab_say(lab, false, "%s: comparing methods (C stops it)", layer_name(m, lab->selected));
    }
}

/* All but what would take minutes. */
static size_t compared_choices(const struct lab *lab, struct scheme *choices)
{
    size_t n = scheme_choices(lab->session->model, lab->compared_tensor, &lab->target[lab->compared_tensor],
                              CHANGE_METHOD, choices, COMPARED_SCHEMES), kept = 0;
    for (size_t i = 0; i < n; i++)
        if (!scheme_trains(&choices[i]))
            choices[kept++] = choices[i];
    return kept;
}

static bool open_comparison(struct lab *lab, struct error *error)
{
    struct scheme choices[COMPARED_SCHEMES];
    struct session *s = lab->session;
    size_t n = lab->evaluation.count < s->context ? lab->evaluation.count : s->context;
    struct comparison_plan plan = {.model = s->model, .pool = s->pool, .set = lab->set, .stored = s->stored,
                                   .tensor = lab->compared_tensor, .schemes = choices,
                                   .tokens = lab->evaluation.ids, .token_count = n,
                                   .text = &lab->calibrating.text.text};
    plan.count = compared_choices(lab, choices);
    lab->comparing = comparison_open(&plan, error);
    return lab->comparing != NULL;
}

/* The figures so far, for frames. */
static void show_comparison(struct lab *lab)
{
    struct comparison_frame *f = calloc(1, sizeof *f);
    size_t count = comparison_count(lab->comparing);
    if (!f)
        return;
    atomic_init(&f->refs, 1);
    f->tensor = lab->compared_tensor;
    f->count = count;
    for (size_t i = 0; i < count; i++)
        f->of[i] = comparison_of(lab->comparing, i);
    comparison_frame_unref(lab->comparison);
    lab->comparison = f;
}

bool comparing_slice(struct lab *lab, double seconds)
{
    struct error error;
    bool done = false;
    if (lab->comparing_asked && lab->evaluation_reason) {
        lab_say(lab, true, "methods cannot be compared: %s", lab->evaluation_reason);
        comparing_stop(lab);
    }
    if (!lab->comparing_asked || !lab->evaluation_ready)
        return false;
    if (!calibrating_text(lab, seconds))
        return lab->comparing_asked;
    bool ok = lab->comparing || open_comparison(lab, &error);
    if (ok) {
        jobs_show(lab, "comparing methods", comparison_fraction(lab->comparing));
        ok = comparison_step(lab->comparing, seconds, &done, &error);
        show_comparison(lab);
    }
    if (!ok)
        lab_say(lab, true, "%s", error.text);
    else if (done)
        lab_say(lab, false, "%s: the methods are compared",
                layer_name(lab->session->model, lab->compared_tensor));
    if (!ok || done)
        comparing_stop(lab);
    return true;
}

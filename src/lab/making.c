/* Weights that lie in no file: made a few tensors at a time before a set first runs, dropped when it
 * runs no more. Of a model in a file everything is there, and all of this returns at once. */
#include "internal.h"

#include "../engine/memory.h"
#include "../measure/clock.h"

static size_t count_of(const struct lab *lab)
{
    return lab->session->model->tensor_count;
}

bool making_begin(struct lab *lab, struct error *error)
{
    const struct model *m = lab->session->model, *reference = model_reference(m);
    return session_fits(lab->session, lab->target, error) && hold_open(&lab->hold, m, error) &&
           hold_open(&lab->reference_hold, reference, error) &&
           hold_open(&lab->compared_hold, reference, error);
}

void making_end(struct lab *lab)
{
    hold_close(&lab->hold);
    hold_close(&lab->reference_hold);
    hold_close(&lab->compared_hold);
}

void making_set_changed(struct lab *lab)
{
    hold_trim(&lab->hold, lab->set);
    lab->making_failed = false;
    lab->ready = true;
    for (int t = 0; t < (int)count_of(lab); t++)
        lab->ready &= !hold_lacks(&lab->hold, lab->set, t);
}

/* Holds what the set lacks, for about `seconds` and at least one tensor, except what is about to be
 * replaced where `settled` asks for that. *made counts tensors. */
static bool make_some(struct lab *lab, struct hold *hold, const struct weights *set, bool settled,
                      double seconds, size_t *made, struct error *error)
{
    double begin = clock_seconds();
    *made = 0;
    for (int t = 0; t < (int)count_of(lab); t++) {
        if (!hold_lacks(hold, set, t) || (settled && tensor_pending(lab, t)))
            continue;
        if (*made > 0 && clock_seconds() - begin > seconds)
            break;
        if (!hold_add(hold, t, lab->session->pool, error))
            return false;
        ++*made;
    }
    return true;
}

static void show_progress(struct lab *lab, const struct hold *hold, const struct weights *set)
{
    size_t lacking = 0;
    for (int t = 0; t < (int)count_of(lab); t++)
        lacking += hold_lacks(hold, set, t);
    jobs_show(lab, "making random weights", 1 - (double)lacking / (double)count_of(lab));
}

bool making_slice(struct lab *lab, double seconds)
{
    struct error error;
    size_t made;
    if (lab->ready || lab->making_failed)
        return false;
    if (!make_some(lab, &lab->hold, lab->set, true, seconds, &made, &error)) {
        lab->making_failed = true;
        lab_say(lab, true, "%s%s", error.text, lab->undo_count ? ": u takes the change back" : "");
        return false;
    }
    if (made == 0) /* the rest is to be replaced */
        return false;
    show_progress(lab, &lab->hold, lab->set);
    making_set_changed(lab);
    if (lab->ready)
        lab->job = NULL; /* the next frame may be a slow token away */
    return true;
}

bool making_reference(struct lab *lab, double seconds, struct error *error)
{
    const struct weights *set = lab->session->reference;
    size_t bytes = weights_absent_bytes(model_reference(lab->session->model), set), made;
    error->text[0] = 0;
    if ((bytes > 0 && !memory_check("running the stored weights", bytes, error)) ||
        !make_some(lab, &lab->reference_hold, set, false, seconds, &made, error)) {
        hold_trim(&lab->reference_hold, NULL);
        return false;
    }
    if (made > 0)
        show_progress(lab, &lab->reference_hold, set);
    for (int t = 0; t < (int)count_of(lab); t++)
        if (hold_lacks(&lab->reference_hold, set, t))
            return false;
    return true;
}

bool making_compared(struct lab *lab)
{
    struct error error;
    for (int t = 0; t < (int)count_of(lab); t++)
        if (lab->compared_hold.tensors[t] && t != lab->selected)
            hold_trim(&lab->compared_hold, NULL);
    return hold_add(&lab->compared_hold, lab->selected, lab->session->pool, &error);
}

/* Weights that lie in no file: made a few tensors at a time before a set first runs, dropped when it
 * runs no more. Of a model in a file everything is there, and all of this returns at once. */
#include "internal.h"

#include "sys/memory.h"
#include "base/clock.h"

static size_t count_of(const struct lab *lab)
{
    return lab->session->model->tensor_count;
}

bool making_begin(struct lab *lab, struct error *error)
{
    const struct model *m = lab->session->model, *reference = model_reference(m);
    return session_fits(lab->session, lab->target, error) && pin_open(&lab->pin, m, error) &&
           pin_open(&lab->reference_pin, reference, error) &&
           pin_open(&lab->compared_pin, reference, error);
}

void making_end(struct lab *lab)
{
    pin_close(&lab->pin);
    pin_close(&lab->reference_pin);
    pin_close(&lab->compared_pin);
}

void making_set_changed(struct lab *lab)
{
    pin_trim(&lab->pin, lab->set);
    lab->making_failed = false;
    lab->ready = true;
    for (int t = 0; t < (int)count_of(lab); t++)
        lab->ready &= !pin_missing(&lab->pin, lab->set, t);
}

/* Holds what the set lacks, for about `seconds` and at least one tensor, except what is about to be
 * replaced where `settled` asks for that. *made counts tensors. */
static bool make_some(struct lab *lab, struct pin *pin, const struct weights *set, bool settled,
                      double seconds, size_t *made, struct error *error)
{
    double begin = clock_seconds();
    *made = 0;
    for (int t = 0; t < (int)count_of(lab); t++) {
        if (!pin_missing(pin, set, t) || (settled && tensor_pending(lab, t)))
            continue;
        if (*made > 0 && clock_seconds() - begin > seconds)
            break;
        if (!pin_add(pin, t, lab->session->pool, error))
            return false;
        ++*made;
    }
    return true;
}

static void show_progress(struct lab *lab, const struct pin *pin, const struct weights *set)
{
    size_t lacking = 0;
    for (int t = 0; t < (int)count_of(lab); t++)
        lacking += pin_missing(pin, set, t);
    jobs_show(lab, "making random weights", 1 - (double)lacking / (double)count_of(lab));
}

bool making_slice(struct lab *lab, double seconds)
{
    struct error error;
    size_t made;
    if (lab->ready || lab->making_failed)
        return false;
    if (!make_some(lab, &lab->pin, lab->set, true, seconds, &made, &error)) {
        lab->making_failed = true;
        lab_say(lab, true, "%s%s", error.text, lab->undo_count ? ": u takes the change back" : "");
        return false;
    }
    if (made == 0) /* the rest is to be replaced */
        return false;
    show_progress(lab, &lab->pin, lab->set);
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
        !make_some(lab, &lab->reference_pin, set, false, seconds, &made, error)) {
        pin_trim(&lab->reference_pin, NULL);
        return false;
    }
    if (made > 0)
        show_progress(lab, &lab->reference_pin, set);
    for (int t = 0; t < (int)count_of(lab); t++)
        if (pin_missing(&lab->reference_pin, set, t))
            return false;
    return true;
}

bool making_compared(struct lab *lab)
{
    struct error error;
    for (int t = 0; t < (int)count_of(lab); t++)
        if (lab->compared_pin.tensors[t] && t != lab->selected)
            pin_trim(&lab->compared_pin, NULL);
    return pin_add(&lab->compared_pin, lab->selected, lab->session->pool, &error);
}

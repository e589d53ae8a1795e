#include "pins.h"

#include "base/clock.h"
#include "model/reference.h"
#include "sys/memory.h"

bool pins_open(struct lab *lab, struct error *error)
{
    const struct model *m = lab->session->model, *reference = model_reference(m);
    const struct model *compared = model_weights_reference(m);
    struct pins *p = &lab->pins;
    return session_fits(lab->session, lab->target, error) && pin_open(&p->set, m, error) &&
           pin_open(&p->reference, reference, error) && pin_open(&p->compared, compared, error);
}

void pins_close(struct lab *lab)
{
    pin_close(&lab->pins.set);
    pin_close(&lab->pins.reference);
    pin_close(&lab->pins.compared);
}

static size_t missing_count(const struct pin *pin, const struct weights *set)
{
    size_t missing = 0;
    for (int t = 0; t < (int)set->count; t++)
        missing += pin_missing(pin, set, t);
    return missing;
}

void pins_follow(struct lab *lab)
{
    struct pins *p = &lab->pins;
    pin_trim(&p->set, lab->set);
    p->failed = false;
    p->ready = missing_count(&p->set, lab->set) == 0;
}

/* Pins what the set lacks, for about `seconds` and at least one tensor, except what is about to be replaced where
 * `settled` asks for that. *count: tensors. */
static bool pin_some(struct lab *lab, struct pin *pin, const struct weights *set, bool settled, double seconds,
                     size_t *count, struct error *error)
{
    double begin = clock_seconds();
    *count = 0;
    for (int t = 0; t < (int)set->count; t++) { /* a reference may have others than the model */
        if (!pin_missing(pin, set, t) || (settled && tensor_pending(lab, t)))
            continue;
        if (*count > 0 && clock_seconds() - begin > seconds)
            break;
        if (!pin_add(pin, t, lab->session->pool, error))
            return false;
        ++*count;
    }
    return true;
}

static double fraction_of(const struct pin *pin, const struct weights *set)
{
    return 1 - (double)missing_count(pin, set) / (double)set->count;
}

bool pins_step(struct lab *lab, double seconds, size_t *count, struct error *error)
{
    if (pin_some(lab, &lab->pins.set, lab->set, true, seconds, count, error)) {
        pins_follow(lab);
        return true;
    }
    lab->pins.failed = true;
    return false;
}

double pins_fraction(const struct lab *lab)
{
    return fraction_of(&lab->pins.set, lab->set);
}

bool pins_wanted(const struct lab *lab)
{
    const struct pins *p = &lab->pins;
    for (int t = 0; !p->ready && !p->failed && t < (int)lab_tensors(lab); t++)
        if (pin_missing(&p->set, lab->set, t) && !tensor_pending(lab, t))
            return true;
    return false;
}

bool pins_reference(struct lab *lab, double seconds, struct error *error)
{
    const struct weights *set = lab->session->reference;
    struct pin *pin = &lab->pins.reference;
    size_t bytes = weights_absent_bytes(model_reference(lab->session->model), set), count;
    error->text[0] = 0;
    if ((bytes > 0 && !memory_check("running the stored weights", bytes, error)) ||
        !pin_some(lab, pin, set, false, seconds, &count, error)) {
        pins_release_reference(lab);
        return false;
    }
    if (count > 0)
        lab->activity = (struct activity){"generating random weights", fraction_of(pin, set)};
    return missing_count(pin, set) == 0;
}

void pins_release_reference(struct lab *lab)
{
    pin_trim(&lab->pins.reference, NULL);
}

bool pins_compared(struct lab *lab)
{
    struct pin *pin = &lab->pins.compared;
    struct error error;
    for (int t = 0; t < (int)lab_tensors(lab); t++)
        if (pin->tensors[t] && t != lab->selection.tensor)
            pin_trim(pin, NULL);
    return pin_add(pin, lab->selection.tensor, lab->session->pool, &error);
}

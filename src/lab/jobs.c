/* Jobs: everything that shares the machine with the tokens, in bounded slices. One runs at a time;
 * the order of the table is the order of priority. */
#include "internal.h"

#include "base/clock.h"

#include <math.h>
#include <stdlib.h>

double jobs_quiet(const struct lab *lab)
{
    return clock_seconds() - lab->changed_at;
}

void jobs_show(struct lab *lab, const char *name, double fraction)
{
    lab->job = name;
    lab->job_fraction = fraction;
}

/* ---- requantizing ------------------------------------------------------------------------------ */

/* Whether a tensor waits for a scheme that needs no calibration. */
static bool is_plain(const struct lab *lab, int tensor)
{
    return tensor_pending(lab, tensor) && !scheme_needs_calibration(&lab->target[tensor]);
}

/* The selected tensor first: that is where the person looks. */
static int next_pending(const struct lab *lab)
{
    if (is_plain(lab, lab->selected))
        return lab->selected;
    for (int t = 0; t < (int)lab->session->model->tensor_count; t++)
        if (is_plain(lab, t))
            return t;
    return -1;
}

static void give_up(struct lab *lab, int tensor, const struct error *error)
{
    lab->target[tensor] = qtensor_scheme(lab->set->layer[tensor]);
    lab_say(lab, true, "%s", error->text);
}

/* The person may have changed their mind since the work began. */
static bool still_wanted(const struct lab *lab)
{
    return qtensor_has_scheme(lab->requant.out, &lab->target[lab->requant.tensor]) &&
           tensor_pending(lab, lab->requant.tensor);
}

static bool requantize_slice(struct lab *lab, double seconds)
{
    struct error error;
    if (lab->requantizing && !still_wanted(lab)) {
        requant_end(&lab->requant);
        lab->requantizing = false;
    }
    if (!lab->requantizing) {
        int t = next_pending(lab);
        if (t < 0)
            return false;
        lab->requantizing = requant_begin(&lab->requant, lab->session->model, t, &lab->target[t],
                                          lab->session->pool, &error);
        if (!lab->requantizing) {
            give_up(lab, t, &error);
            return true;
        }
    }
    jobs_show(lab, "quantizing", requant_fraction(&lab->requant));
    if (!requant_step(&lab->requant, lab->session->pool, seconds))
        return true;
    struct qtensor *p = requant_take(&lab->requant);
    requant_end(&lab->requant);
    lab->requantizing = false;
    cache_add(&lab->cache, p);
    struct weights *set = weights_replace(lab->set, p);
    qtensor_unref(p);
    if (set)
        lab_use(lab, set);
    return true;
}

/* ---- describing the selected layer ------------------------------------------------------------- */

static bool describe_slice(struct lab *lab, double seconds)
{
    struct qtensor *p = lab->set->layer[lab->selected];
    if (lab->detail && lab->detail->packed == p)
        return false;
    if (lab->describing && lab->describe.packed != p) {
        detail_end(&lab->describe);
        lab->describing = false;
    }
    if (!lab->describing)
        lab->describing = detail_begin(&lab->describe, lab->session->model, p);
    if (!lab->describing || !detail_step(&lab->describe, seconds))
        return lab->describing;
    detail_unref(lab->detail);
    lab->detail = detail_take(&lab->describe);
    detail_end(&lab->describe);
    lab->describing = false;
    return true;
}

/* ---- all of them ------------------------------------------------------------------------------- */

static bool (*const slices[])(struct lab *, double) = {
    making_slice,   requantize_slice, describe_slice, calibrating_slice, exporting_slice,
    roofs_slice,    turns_slice,      prefill_slice,     batch_slice,     write_slice,
    comparing_slice, tuning_slice,    racing_slice,      evaluate_slice,  depth_slice,
    sensitivity_slice,
};

bool jobs_begin(struct lab *lab, struct error *error)
{
    lab->changed_at = clock_seconds();
    timings_begin(lab);
    return judging_begin(lab, error);
}

void jobs_end(struct lab *lab)
{
    requant_end(&lab->requant);
    comparing_end(lab);
    tuning_end(lab);
    racing_end(lab);
    exporting_end(lab);
    calibrating_end(lab);
    learning_end(lab);
    if (lab->describing)
        detail_end(&lab->describe);
    detail_unref(lab->detail);
    timings_end(lab);
    judging_end(lab);
}

bool jobs_step(struct lab *lab, double seconds)
{
    lab->job = NULL;
    bool worked = texts_follow_reference(lab, seconds); /* part of the text: holds up no job */
    for (size_t i = 0; i < sizeof slices / sizeof *slices; i++)
        if (slices[i](lab, seconds))
            return true;
    if (!worked && !lab->watch_text)
        pin_trim(&lab->reference_pin, NULL);
    return worked;
}

void jobs_set_changed(struct lab *lab)
{
    timings_set_changed(lab);
    judging_set_changed(lab);
    lab->changed_at = clock_seconds();
}

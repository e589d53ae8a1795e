#include "training_curve.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Every other point goes, but for those that were judged. */
static void thin_out(struct training_frame *f)
{
    size_t kept = 0;
    for (size_t i = 0; i < f->count; i++)
        if (i % 2 == 0 || !isnan(f->of[i].kl))
            f->of[kept++] = f->of[i];
    f->count = kept;
}

static bool same(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static void add(struct training_frame *f, const struct training_figures *now)
{
    bool begins = f->count == 0, judged = begins ? !isnan(now->kl_last) : !same(now->kl_last, f->figures.kl_last);
    if (begins || now->step > f->of[f->count - 1].step) {
        if (f->count == TRAINING_POINTS)
            thin_out(f);
        f->of[f->count++] = (struct training_point){now->step, now->loss, NAN};
    }
    if (judged)
        f->of[f->count - 1].kl = now->kl_last;
    f->figures = *now;
}

/* A copy of the curve, empty where a run begins, in its place; null when memory is short. */
static struct training_frame *renew(struct training_frame **curve, bool begins)
{
    struct training_frame *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    if (!begins) { /* all but the references, which others count */
        f->figures = (*curve)->figures;
        f->count = (*curve)->count;
        memcpy(f->of, (*curve)->of, sizeof f->of);
    }
    atomic_init(&f->refs, 1);
    training_frame_unref(*curve);
    return *curve = f;
}

void training_curve_add(struct training_frame **curve, const struct training_figures *now)
{
    const struct training_frame *old = *curve;
    bool begins = !training_curve_runs(old);
    if (!begins && now->step == old->figures.step && same(now->kl_last, old->figures.kl_last))
        return;
    struct training_frame *f = renew(curve, begins);
    if (!f)
        return;
    f->running = true;
    add(f, now);
}

void training_curve_end(struct training_frame **curve)
{
    if (training_curve_runs(*curve))
        (void)renew(curve, false);
}

/* What the learning curve shows of a run of quantization-aware training, while it goes on and afterwards. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Every other point goes, but for those that were judged. */
static void thin_out(struct learning_frame *f)
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

static void add(struct learning_frame *f, const struct training_figures *now)
{
    bool begins = f->count == 0, judged = begins ? !isnan(now->kl_last) : !same(now->kl_last, f->figures.kl_last);
    if (begins || now->step > f->of[f->count - 1].step) {
        if (f->count == LEARNING_POINTS)
            thin_out(f);
        f->of[f->count++] = (struct learning_point){now->step, now->loss, NAN};
    }
    if (judged)
        f->of[f->count - 1].kl = now->kl_last;
    f->figures = *now;
}

/* A frame that was published does not change: a new one takes its place, which does not run yet. */
static struct learning_frame *next_frame(struct lab *lab, bool begins)
{
    struct learning_frame *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    if (!begins) { /* all but the references, which others count */
        f->figures = lab->learning->figures;
        f->count = lab->learning->count;
        memcpy(f->of, lab->learning->of, sizeof f->of);
    }
    atomic_init(&f->refs, 1);
    learning_frame_unref(lab->learning);
    return lab->learning = f;
}

void learning_note(struct lab *lab, const struct quantization *job)
{
    struct training_figures now;
    if (!quantization_figures(job, &now))
        return;
    bool begins = !lab->learning || !lab->learning->running;
    if (!begins && now.step == lab->learning->figures.step && same(now.kl_last, lab->learning->figures.kl_last))
        return;
    struct learning_frame *f = next_frame(lab, begins);
    if (!f)
        return;
    f->running = true;
    add(f, &now);
}

void learning_over(struct lab *lab)
{
    if (lab->learning && lab->learning->running)
        (void)next_frame(lab, false);
}

static bool waits_to_learn(const struct lab *lab)
{
    bool any = false;
    for (int t = 0; t < (int)lab->session->model->tensor_count; t++)
        any |= tensor_pending(lab, t) && scheme_trains(&lab->target[t]);
    return any;
}

void learning_ask_stop(struct lab *lab)
{
    if (!lab->learning || !lab->learning->running || !lab->calibrating.job) {
        bool begun = waits_to_learn(lab);
        lab_say(lab, true, begun ? "nothing is learned yet: u takes the change back"
                                 : "nothing is learning: m chooses qat");
        return;
    }
    quantization_stop_learning(lab->calibrating.job);
    lab_say(lab, false, "learning stops; the best so far is kept");
}

void learning_end(struct lab *lab)
{
    learning_frame_unref(lab->learning);
}

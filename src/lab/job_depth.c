/* Where divergence begins: hidden states through the depth of the model. Short, and of no use without the
 * evaluation's text: it follows an evaluation. */
#include "jobs.h"
#include "measure/depth.h"
#include "study.h"

struct profiling {
    struct depth_profile *profile; /* of the set in use, or null */
    bool failed;                   /* with this set */
};

static bool wanted(struct lab *lab, void *state, const void *running)
{
    const struct profiling *p = state;
    if (running)
        return true;
    return !p->profile && !p->failed && !*lab->session->model->reference_reason && lab_quality_is_known(lab) &&
           study_is_ready(lab, TEXT_EVALUATION) && study_evaluation_tokens(lab) > 0;
}

static void *open_job(struct lab *lab, void *state, struct error *error)
{
    struct session *s = lab->session;
    const struct tokens *text = &lab->study[TEXT_EVALUATION].source.tokens;
    size_t n = text->count < s->context ? text->count : s->context;
    (void)state;
    return depth_open(s->model, s->pool, text->ids, n, s->reference, lab->set, error);
}

static void finish(struct lab *lab, void *state, void *running)
{
    (void)lab;
    ((struct profiling *)state)->profile = depth_take(running);
}

static void fail(struct lab *lab, void *state, const struct error *error)
{
    (void)lab, (void)error;
    ((struct profiling *)state)->failed = true;
}

static void forget(struct lab *lab, void *state)
{
    struct profiling *p = state;
    (void)lab;
    depth_unref(p->profile);
    *p = (struct profiling){0};
}

static void publish(const struct lab *lab, const void *state, const void *running, struct frame *f)
{
    (void)lab, (void)running;
    f->depth = depth_ref(((const struct profiling *)state)->profile);
}

const struct job_type depth_job_type = {
    .class = &depth_class,
    .of_set = true,
    .state_size = sizeof(struct profiling),
    .end = forget,
    .wanted = wanted,
    .needs = NEED_REFERENCE,
    .open = open_job,
    .finish = finish,
    .give_up = fail,
    .set_changed = forget,
    .text_changed = forget,
    .publish = publish,
};

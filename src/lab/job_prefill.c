/* Timing a prompt of a fixed length in a context of its own: as many tokens as take little longer than a few decode
 * steps. The first pass warms the caches. */
#include "base/clock.h"
#include "jobs.h"
#include "measure/timed_prompt.h"

#include <stdlib.h>

enum { PREFILL_TOKENS = 64, PREFILL_PASSES = 2 };
static const double PREFILL_SECONDS = 0.2; /* of a pass, at the speed of decode steps */

struct prefilling {
    struct context *context;
    struct weights *set;
    float *logits;  /* vocab */
    size_t tokens;  /* in `ids` */
    int32_t ids[PREFILL_TOKENS];
    struct timed_prompt timed;
    int passes;     /* done */
    double rate;    /* tokens/s of the last pass */
};

static bool wanted(struct lab *lab, void *state, const void *running)
{
    (void)state;
    return running || (!lab->prefill.is_timed && lab_settled(lab));
}

static void close_job(void *job)
{
    struct prefilling *p = job;
    if (!p)
        return;
    context_close(p->context);
    weights_unref(p->set);
    free(p->logits);
    free(p);
}

static void *open_job(struct lab *lab, void *state, struct error *error)
{
    struct session *s = lab->session;
    struct prefilling *p = calloc(1, sizeof *p);
    (void)state;
    size_t n = PREFILL_TOKENS, vocab = s->model->hyper.vocab;
    while (n > 8 && (double)n / lab->meter.rate > PREFILL_SECONDS)
        n /= 2;
    n = n < s->context ? n : s->context;
    lab->prefill.is_timed = true; /* a failure is not tried again */
    if (p)
        *p = (struct prefilling){.set = weights_ref(lab->set), .tokens = n,
                                 .logits = malloc(vocab * sizeof *p->logits)};
    if (p && p->logits && (p->context = context_open_kv(s->model, s->pool, lab->set->kv, n, error))) {
        for (size_t i = 0; i < n; i++)
            p->ids[i] = (int32_t)(i * 7919 % vocab);
        return p;
    }
    close_job(p);
    error_set(error, "not enough memory to time a prompt");
    return NULL;
}

static bool step(void *job, double seconds, bool *done, struct error *error)
{
    struct prefilling *p = job;
    double begin = clock_seconds();
    bool passed = false;
    (void)error;
    *done = false;
    while (!passed && clock_seconds() - begin < seconds)
        passed = timed_prompt_step(&p->timed, p->context, p->set, p->ids, p->tokens, p->logits);
    if (passed) {
        p->rate = (double)p->tokens / p->timed.seconds;
        p->timed = (struct timed_prompt){0};
        p->context->length = 0;
        *done = ++p->passes == PREFILL_PASSES;
    }
    return true;
}

static double fraction(const void *job)
{
    return (double)((const struct prefilling *)job)->passes / PREFILL_PASSES;
}

static void finish(struct lab *lab, void *state, void *running)
{
    const struct prefilling *p = running;
    (void)state;
    lab->prefill.rate = metric_value(p->rate);
    lab->prefill.tokens = p->tokens;
    lab->prefill.set_serial = lab->set_serial;
}

static void fail(struct lab *lab, void *state, const struct error *error)
{
    (void)state, (void)error;
    lab->prefill.rate = metric_absent("not enough memory to measure it");
    lab->prefill.set_serial = lab->set_serial;
}

static void set_changed(struct lab *lab, void *state)
{
    (void)state;
    lab->prefill.is_timed = false;
}

static const struct job_class class = {
    .name = "timing a prompt", .step = step, .fraction = fraction, .close = close_job};

const struct job_type prefill_job = {
    .class = &class,
    .silent = true,
    .of_set = true,
    .wanted = wanted,
    .open = open_job,
    .finish = finish,
    .give_up = fail,
    .set_changed = set_changed,
};

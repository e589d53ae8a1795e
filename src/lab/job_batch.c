/* Times batches of sequences up to the size asked for: one batch size an instance. */
#include "actions.h"
#include "base/clock.h"
#include "engine/context.h"
#include "jobs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_POSITIONS = 16, BATCH_STEPS = 4 }; /* the first step warms the caches */

struct batches {
    size_t wanted;               /* sequences; below 2: none */
    size_t count;                /* sizes that are measured */
    struct metric rate[BATCHES]; /* tokens/s */
};

struct batch {
    struct context *context;
    struct weights *set;
    float *logits;                  /* sequences x vocab */
    int32_t tokens[MAX_SEQUENCES];
    size_t sequences, at, steps;    /* at: index of the size; steps done */
    double best;                    /* seconds of a step */
};

/* Sequences of the batch at an index. */
static size_t size_at(size_t index)
{
    return (size_t)2 << index;
}

static void forget(struct batches *b)
{
    b->count = 0;
    for (size_t i = 0; i < BATCHES; i++)
        b->rate[i] = metric_absent("not measured yet");
}

static bool begin(struct lab *lab, void *state, struct error *error)
{
    (void)lab, (void)error;
    forget(state);
    return true;
}

static bool wanted(struct lab *lab, void *state, const void *running)
{
    const struct batches *b = state;
    if (running)
        return ((const struct batch *)running)->sequences <= b->wanted;
    return lab_settled(lab) && b->count < BATCHES && size_at(b->count) <= b->wanted;
}

static void close_job(void *job)
{
    struct batch *b = job;
    if (!b)
        return;
    context_close(b->context);
    weights_unref(b->set);
    free(b->logits);
    free(b);
}

static void *open_job(struct lab *lab, void *state, struct error *error)
{
    struct session *s = lab->session;
    size_t at = ((struct batches *)state)->count, n = size_at(at), vocab = s->model->hyper.vocab;
    size_t positions = s->context < BATCH_POSITIONS ? s->context : BATCH_POSITIONS;
    struct batch *b = calloc(1, sizeof *b);
    if (b)
        *b = (struct batch){.set = weights_ref(lab->set), .sequences = n, .at = at, .best = INFINITY};
    error_set(error, "the context is too short for batches");
    bool ok = b && positions >= BATCH_STEPS;
    ok = ok && ((b->logits = malloc(n * vocab * sizeof *b->logits)) ||
                error_set(error, "not enough memory for a batch"));
    ok = ok && (b->context = context_open_kv(s->model, s->pool, lab->set->kv, positions, error)) &&
         context_sequences(b->context, n, error);
    for (size_t i = 0; ok && i < n; i++)
        b->tokens[i] = (int32_t)(i * 7919 % vocab);
    if (ok)
        return b;
    close_job(b);
    return NULL;
}

static bool step(void *job, double seconds, bool *done, struct error *error)
{
    struct batch *b = job;
    (void)seconds, (void)error;
    double start = clock_seconds();
    context_step(b->context, b->set, b->tokens, b->logits);
    if (b->steps > 0)
        b->best = fmin(b->best, clock_seconds() - start);
    *done = ++b->steps == BATCH_STEPS;
    return true;
}

static double fraction(const void *job)
{
    const struct batch *b = job;
    return ((double)b->at + (double)b->steps / BATCH_STEPS) / BATCHES;
}

static void finish(struct lab *lab, void *state, void *running)
{
    struct batches *all = state;
    const struct batch *b = running;
    (void)lab;
    all->rate[b->at] = metric_value((double)b->sequences / b->best);
    all->count = b->at + 1;
}

static void fail(struct lab *lab, void *state, const struct error *error)
{
    struct batches *b = state;
    (void)error;
    bool is_short = lab->session->context < BATCH_STEPS;
    b->rate[b->count++] = metric_absent(is_short ? "the context is too short" : "not enough memory to measure it");
}

static void set_changed(struct lab *lab, void *state)
{
    (void)lab;
    forget(state);
}

static void publish(const struct lab *lab, const void *state, const void *running, struct frame *f)
{
    const struct batches *b = state;
    (void)lab, (void)running;
    memcpy(f->speed.batch, b->rate, sizeof f->speed.batch);
    f->speed.batch_wanted = b->wanted;
}

static void stop(struct lab *lab, void *state)
{
    struct batches *b = state;
    b->wanted = b->count == 0 ? 0 : (size_t)2 << (b->count - 1);
    job_cancel(lab, job_slot_of(lab, &batch_job));
    lab_say(lab, false, "stopped: batches of up to %zu sequences", b->wanted);
}

static const struct job_class class = {
    .name = "timing batches", .step = step, .fraction = fraction, .close = close_job};

const struct job_type batch_job = {
    .class = &class,
    .of_set = true,
    .state_size = sizeof(struct batches),
    .begin = begin,
    .wanted = wanted,
    .open = open_job,
    .finish = finish,
    .give_up = fail,
    .stop = stop,
    .set_changed = set_changed,
    .publish = publish,
};

/* Sizes are doubled and halved; halving the smallest leaves none. */
void change_batch(struct lab *lab, const struct command *c)
{
    struct batches *b = job_state(lab, &batch_job);
    size_t now = b->wanted;
    size_t next = c->direction < 0 ? (now > 2 ? now / 2 : 0) : now < 2 ? 2 : 2 * now;
    if (next > MAX_SEQUENCES) {
        lab_say(lab, true, "batches of more than %d sequences are not measured", MAX_SEQUENCES);
        return;
    }
    b->wanted = next;
    if (next == 0)
        lab_say(lab, false, "no batches: decode and prefill only");
    else
        lab_say(lab, false, "batches of up to %zu sequences: the weights are read once for all of them", next);
}

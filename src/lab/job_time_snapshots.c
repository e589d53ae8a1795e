/* An interleaved benchmark of all snapshots: each round times every one once, so that whatever else the machine does
 * meanwhile meets all alike. */
#include "actions.h"
#include "base/clock.h"
#include "engine/context.h"
#include "jobs.h"
#include "snapshots.h"

#include <stdlib.h>

enum { BENCHMARK_POSITIONS = 32 };
static const double SAMPLE_TIME = 0.02; /* seconds of decoding in a sample, at least */

struct entrant {
    struct weights *set;
    struct context *context; /* of the benchmark, one a KV datatype: copies of one would differ in where they lie */
    size_t snapshot;         /* index */
};

struct benchmark {
    const struct session *session;
    struct snapshots *snapshots;           /* the lab's */
    struct entrant entrants[SNAPSHOTS];
    struct context *contexts[DTYPE_COUNT]; /* by the KV datatype; null where no entrant has it */
    size_t count, left_out;                /* entrants; snapshots that are none */
    size_t round, next;                    /* next: entrant of the round, in its order */
    size_t steps;                          /* of a sample; 0: not known yet */
    float *logits;                         /* vocab */
};

struct benchmarking {
    bool asked;
};

static bool wanted(struct lab *lab, void *state, const void *running)
{
    (void)lab, (void)running;
    return ((const struct benchmarking *)state)->asked;
}

static void close_job(void *job)
{
    struct benchmark *b = job;
    if (!b)
        return;
    for (size_t i = 0; i < b->count; i++)
        weights_unref(b->entrants[i].set);
    for (size_t i = 0; i < DTYPE_COUNT; i++)
        context_close(b->contexts[i]);
    free(b->logits);
    free(b);
}

static struct context *context_for(struct benchmark *b, enum dtype kv)
{
    const struct session *s = b->session;
    struct error error;
    size_t positions = s->context < BENCHMARK_POSITIONS ? s->context : BENCHMARK_POSITIONS;
    if (!b->contexts[kv])
        b->contexts[kv] = context_open_kv(s->model, s->pool, kv, positions, &error);
    return b->contexts[kv];
}

/* False where a matrix of the snapshot is neither stored nor cached, or memory is short. */
static bool add_entrant(struct lab *lab, struct benchmark *b, size_t snapshot)
{
    struct weights *set = snapshots_set(lab, &lab->snapshots.of[snapshot]);
    bool there = set && weights_absent_bytes(b->session->model, set) == 0;
    struct context *context = there ? context_for(b, set->kv) : NULL;
    if (!context) {
        weights_unref(set);
        return false;
    }
    b->entrants[b->count++] = (struct entrant){set, context, snapshot};
    return true;
}

static void *open_job(struct lab *lab, void *state, struct error *error)
{
    struct benchmark *b = calloc(1, sizeof *b);
    (void)state;
    if (b)
        *b = (struct benchmark){.session = lab->session,
                                .snapshots = &lab->snapshots,
                                .logits = malloc(lab->session->model->hyper.vocab * sizeof(float))};
    if (!b || !b->logits) {
        close_job(b);
        error_set(error, "not enough memory");
        return NULL;
    }
    for (size_t i = 0; i < lab->snapshots.count; i++) {
        lab->snapshots.of[i].timed.rounds = 0;
        b->left_out += !add_entrant(lab, b, i);
    }
    if (b->count < 2) {
        close_job(b);
        error_set(error, "needs two snapshots that are still in memory: s keeps one, Enter restores one");
        return NULL;
    }
    if (b->left_out > 0)
        lab_say(lab, false, "%zu snapshots are excluded: they are no longer in memory", b->left_out);
    else
        lab_say(lab, false, "interleaved timing of %zu snapshots", b->count);
    return b;
}

/* Decode steps at the same few positions; a first one warms up. Returns tokens/s. */
static double time_entrant(struct benchmark *b, const struct entrant *e, size_t steps)
{
    int32_t token = session_start(b->session);
    e->context->length = 0;
    context_run(e->context, e->set, &token, 1, LOGITS_LAST, b->logits);
    double begin = clock_seconds();
    for (size_t i = 0; i < steps; i++) {
        if (e->context->length == e->context->capacity)
            e->context->length = 1;
        context_run(e->context, e->set, &token, 1, LOGITS_LAST, b->logits);
    }
    return (double)steps / (clock_seconds() - begin);
}

/* One sample of one snapshot a slice; each round begins with another one. */
static bool step(void *job, double seconds, bool *done, struct error *error)
{
    struct benchmark *b = job;
    (void)seconds, (void)error;
    if (b->steps == 0) {
        double rate = time_entrant(b, &b->entrants[0], 1);
        b->steps = (size_t)(SAMPLE_TIME * rate) + 1;
        return true;
    }
    const struct entrant *e = &b->entrants[(b->round + b->next) % b->count];
    struct interleaved *timed = &b->snapshots->of[e->snapshot].timed;
    timed->rate[b->round] = time_entrant(b, e, b->steps);
    timed->rounds = b->round + 1;
    if (++b->next == b->count) {
        b->next = 0;
        b->round++;
    }
    *done = b->round == INTERLEAVED_ROUNDS;
    return true;
}

static double fraction(const void *job)
{
    return (double)((const struct benchmark *)job)->round / INTERLEAVED_ROUNDS;
}

/* What all reached in the same rounds compares better than what each did while it was in use. */
static void finish(struct lab *lab, void *state, void *running)
{
    const struct benchmark *b = running;
    for (size_t i = 0; i < b->count; i++) {
        struct snapshot *s = &lab->snapshots.of[b->entrants[i].snapshot];
        s->decode = snapshot_decode(s);
    }
    ((struct benchmarking *)state)->asked = false;
    lab_say(lab, false, "timed in %d rounds", INTERLEAVED_ROUNDS);
}

static void fail(struct lab *lab, void *state, const struct error *error)
{
    (void)lab, (void)error;
    ((struct benchmarking *)state)->asked = false;
}

static void stop(struct lab *lab, void *state)
{
    ((struct benchmarking *)state)->asked = false;
    job_cancel(lab, job_slot_of(lab, &time_snapshots_job));
    lab_say(lab, false, "stopped: the rounds so far are kept");
}

static const struct job_class class = {
    .name = "interleaved timing", .step = step, .fraction = fraction, .close = close_job};

const struct job_type time_snapshots_job = {
    .class = &class,
    .state_size = sizeof(struct benchmarking),
    .wanted = wanted,
    .open = open_job,
    .finish = finish,
    .give_up = fail,
    .stop = stop,
};

/* While it runs: stops. */
void time_snapshots(struct lab *lab, const struct command *c)
{
    struct benchmarking *b = job_state(lab, &time_snapshots_job);
    (void)c;
    if (b->asked)
        stop(lab, b);
    else
        b->asked = true;
}

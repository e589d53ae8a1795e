/* Decode speed as a multiple of the stored weights': an interleaved benchmark of the set in use and the stored
 * weights, a pair a slice, so that what disturbs one disturbs the other. Of a slow model one pair says enough. */
#include "base/clock.h"
#include "engine/context.h"
#include "jobs.h"
#include "quant/recipe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PAIRS = 9 };
static const double SAMPLE_TIME = 0.002; /* seconds of a sample; at least one step */
static const double SLOW_PAIR = 0.5;     /* seconds */

struct pairing {
    struct context *context; /* of one position */
    struct weights *set, *stored;
    float *logits;           /* vocab */
    int32_t token;
    size_t steps;            /* of a sample */
    double ratios[PAIRS];    /* decode speed of the set / of the stored weights */
    size_t count;            /* pairs */
};

struct stored_ratio {
    bool tried;             /* in this set */
    struct stats ratio;     /* valid unless there is a reason */
    const char *reason;     /* why there is none; null where there is one */
};

static bool begin(struct lab *lab, void *state, struct error *error)
{
    (void)lab, (void)error;
    ((struct stored_ratio *)state)->reason = "not measured yet";
    return true;
}

/* Equal weights differ by noise alone. */
static bool is_stored(const struct lab *lab)
{
    bool same = lab->set->kv == lab->session->stored->kv;
    for (int t = 0; same && t < (int)lab_tensors(lab); t++) {
        struct scheme s = qtensor_scheme(lab->set->layer[t]);
        same = scheme_is_as_stored(lab->session->model, t, &s);
    }
    return same;
}

/* Stored weights that would have to be materialized for it alone are not: it waits until they are there for an
 * evaluation. */
static bool wanted(struct lab *lab, void *state, const void *running)
{
    struct stored_ratio *r = state;
    const struct session *s = lab->session;
    if (running)
        return true;
    if (!r->tried && is_stored(lab)) {
        r->tried = true;
        r->reason = "these are the stored weights";
    }
    return !r->tried && lab_settled(lab) && weights_absent_bytes(s->model, s->stored) == 0;
}

static void close_job(void *job)
{
    struct pairing *p = job;
    if (!p)
        return;
    context_close(p->context);
    weights_unref(p->set);
    weights_unref(p->stored);
    free(p->logits);
    free(p);
}

static void *open_job(struct lab *lab, void *state, struct error *error)
{
    struct session *s = lab->session;
    struct pairing *p = calloc(1, sizeof *p);
    ((struct stored_ratio *)state)->tried = true;
    if (p)
        *p = (struct pairing){.set = weights_ref(lab->set),
                              .stored = weights_ref(s->stored),
                              .logits = malloc(s->model->hyper.vocab * sizeof *p->logits),
                              .token = session_start(s),
                              .steps = 1 + (size_t)fmin(SAMPLE_TIME * lab->meter.rate, 100)};
    if (p && p->logits && (p->context = context_open(s->model, s->pool, 1, error)))
        return p;
    close_job(p);
    error_set(error, "not enough memory to time the stored weights");
    return NULL;
}

/* After a step that brings the set's weights into the caches that they fit into. */
static double time_set(struct pairing *p, const struct weights *set)
{
    double begin = 0;
    for (size_t i = 0; i <= p->steps; i++) {
        begin = i == 1 ? clock_seconds() : begin;
        p->context->length = 0;
        context_run(p->context, set, &p->token, 1, LOGITS_LAST, p->logits);
    }
    return clock_seconds() - begin;
}

static bool step(void *job, double seconds, bool *done, struct error *error)
{
    struct pairing *p = job;
    (void)seconds, (void)error;
    bool set_first = p->count % 2;
    double one = time_set(p, set_first ? p->set : p->stored);
    double other = time_set(p, set_first ? p->stored : p->set);
    p->ratios[p->count++] = set_first ? other / one : one / other;
    *done = p->count == PAIRS || one + other > SLOW_PAIR;
    return true;
}

static double fraction(const void *job)
{
    return (double)((const struct pairing *)job)->count / PAIRS;
}

static void finish(struct lab *lab, void *state, void *running)
{
    struct stored_ratio *r = state;
    struct pairing *p = running;
    (void)lab;
    r->reason = NULL;
    r->ratio = stats_of(p->ratios, p->count);
}

static void fail(struct lab *lab, void *state, const struct error *error)
{
    (void)lab, (void)error;
    ((struct stored_ratio *)state)->reason = "not enough memory to measure it";
}

static void set_changed(struct lab *lab, void *state)
{
    (void)lab;
    *(struct stored_ratio *)state = (struct stored_ratio){.reason = "not measured yet"};
}

static void publish(const struct lab *lab, const void *state, const void *running, struct frame *f)
{
    const struct stored_ratio *r = state;
    (void)lab, (void)running;
    f->speed.vs_stored = r->reason ? metric_absent(r->reason) : metric_value(r->ratio.median);
    f->speed.vs_stored_low = r->ratio.min;
    f->speed.vs_stored_high = r->ratio.max;
}

static const struct job_class class = {
    .name = "timing the stored weights", .step = step, .fraction = fraction, .close = close_job};

const struct job_type stored_ratio_job = {
    .class = &class,
    .silent = true,
    .of_set = true,
    .state_size = sizeof(struct stored_ratio),
    .begin = begin,
    .wanted = wanted,
    .open = open_job,
    .finish = finish,
    .give_up = fail,
    .set_changed = set_changed,
    .publish = publish,
};

/* Jobs that time: prefill, the set in use and the stored weights in turns, batches, and the roofs that bound them. */
#include "internal.h"

#include "base/clock.h"

#include <math.h>
#include <stdlib.h>

enum { PREFILL_TOKENS = 64 };

static void no_batches(struct lab *lab)
{
    for (size_t i = 0; i < BATCHES; i++)
        lab->batch[i] = metric_absent("not measured yet");
}

/* ---- roofs ----------------------------------------------------------------------------------- */

static void take_roofs(struct lab *lab, const struct roofs *roofs, const struct roofs_source *source)
{
    struct roofs_frame *f = calloc(1, sizeof *f);
    const struct read_roof *all = &roofs->reads[roofs->read_count - 1]; /* of all threads */
    if (!f) {
        lab->roofs_reason = "not enough memory";
        return;
    }
    atomic_init(&f->refs, 1);
    f->roofs = *roofs;
    f->source = *source;
    roofs_frame_unref(lab->roofs);
    lab->roofs = f;
    lab->roofs_reason = NULL;
    lab->peak_read = all->roof.samples > 0 ? metric_value(all->roof.rate.median)
                                           : metric_absent("not enough memory to measure it");
}

/* Those that were kept; without any they are measured when the meters have shown themselves. */
static void recall_roofs(struct lab *lab)
{
    struct roofs roofs;
    struct roofs_source source;
    lab->peak_read = metric_absent("not measured yet");
    lab->roofs_reason = "not measured yet";
    if (!roofs_possible(NULL)) {
        lab->roofs_reason = "the topology is simulated: the figures would be another machine's";
        lab->peak_read = metric_absent(lab->roofs_reason);
    } else if (roofs_recall(lab->session->pool, &roofs, &source)) {
        take_roofs(lab, &roofs, &source);
        lab->roofs_wanted = roofs_were_disturbed(&roofs);
    } else {
        lab->roofs_wanted = true;
        if (*source.load.text)
            lab_say(lab, true, "%s", source.load.text);
    }
}

void roofs_ask(struct lab *lab)
{
    if (!roofs_possible(NULL)) {
        lab_say(lab, true, "no roofs: %s", lab->roofs_reason);
        return;
    }
    lab->roofs_wanted = true;
    lab_say(lab, false, "measuring the roofs anew");
}

bool roofs_slice(struct lab *lab, double seconds)
{
    struct session *s = lab->session;
    if (!lab->roofs_wanted || (lab->meter.rate == 0 && !lab->paused))
        return false;
    if (!lab->measuring_roofs)
        roofs_begin(&lab->roofs_job, s->pool);
    lab->measuring_roofs = true;
    jobs_show(lab, "measuring roofs", roofs_fraction(&lab->roofs_job));
    if (!roofs_step(&lab->roofs_job, seconds))
        return true;
    struct roofs roofs = roofs_take(&lab->roofs_job);
    struct roofs_source source = {0};
    roofs_end(&lab->roofs_job);
    lab->measuring_roofs = lab->roofs_wanted = false;
    roofs_keep(s->pool, &roofs, &source);
    take_roofs(lab, &roofs, &source);
    return true;
}

/* ---- prefill --------------------------------------------------------------------------------- */

/* Prefill of a fixed length in a context of its own, in one slice: as many tokens as take little
 * longer than a few decode steps. */
bool prefill_slice(struct lab *lab, double seconds)
{
    struct session *s = lab->session;
    struct error error;
    (void)seconds;
    if (lab->prefill_known || lab->meter.rate == 0 || jobs_quiet(lab) < SETTLE_SECONDS / 2)
        return false;
    size_t n = PREFILL_TOKENS;
    while (n > 8 && (double)n / lab->meter.rate > 0.2)
        n /= 2;
    n = n < s->context ? n : s->context;
    lab->prefill_known = true;
    struct context *c = context_open_kv(s->model, s->pool, lab->set->kv, n, &error);
    if (!c) {
        lab->prefill = metric_absent("not enough memory to measure it");
        return false;
    }
    int32_t tokens[PREFILL_TOKENS];
    for (size_t i = 0; i < n; i++)
        tokens[i] = (int32_t)(i * 7919 % s->model->hyper.vocab);
    double best = 0;
    for (int i = 0; i < 2; i++) { /* the first warms the caches */
        c->length = 0;
        double begin = clock_seconds();
        context_prefill(c, lab->set, tokens, n, lab->text.probabilities);
        best = (double)n / (clock_seconds() - begin);
    }
    context_close(c);
    lab->prefill = metric_value(best);
    lab->prefill_tokens = n;
    return true;
}

/* ---- the set in use and the stored weights in turns ------------------------------------------- */

static const double TURN_SECONDS = 0.002; /* at least one step */
static const double SLOW_SECONDS = 0.5;   /* of a pair */

/* After a step that brings the set's weights into the caches that they fit into. */
static double time_turn(struct lab *lab, const struct weights *set, size_t steps)
{
    struct context *c = lab->turns.context;
    int32_t token = session_start(lab->session);
    double begin = 0;
    for (size_t i = 0; i <= steps; i++) {
        begin = i == 1 ? clock_seconds() : begin;
        c->length = 0;
        context_run(c, set, &token, 1, LOGITS_LAST, lab->text.probabilities);
    }
    return clock_seconds() - begin;
}

static void end_turns(struct lab *lab, const char *reason)
{
    context_close(lab->turns.context);
    lab->turns.context = NULL;
    lab->turns.over = true;
    lab->turns.reason = reason;
}

/* A pair a slice: what disturbs one disturbs the other. Of a slow model one pair says enough. Stored weights that
 * would have to be made for it alone are not: it waits until they are there for an evaluation. */
bool turns_slice(struct lab *lab, double seconds)
{
    struct session *s = lab->session;
    struct turns *t = &lab->turns;
    struct error error;
    (void)seconds;
    if (!t->over && weights_same_layers(lab->set, s->stored))
        end_turns(lab, "these are the stored weights");
    if (t->over || lab->meter.rate == 0 || jobs_quiet(lab) < SETTLE_SECONDS / 2 ||
        weights_absent_bytes(s->model, s->stored) > 0)
        return false;
    if (!t->context && !(t->context = context_open(s->model, s->pool, 1, &error))) {
        end_turns(lab, "not enough memory to measure it");
        return false;
    }
    size_t steps = 1 + (size_t)fmin(TURN_SECONDS * lab->meter.rate, 100);
    bool first = t->count % 2;
    double one = time_turn(lab, first ? lab->set : s->stored, steps);
    double other = time_turn(lab, first ? s->stored : lab->set, steps);
    t->ratios[t->count++] = first ? other / one : one / other;
    if (t->count == TURNS || one + other > SLOW_SECONDS)
        end_turns(lab, NULL);
    return true;
}

/* ---- batches --------------------------------------------------------------------------------- */

enum { BATCH_POSITIONS = 16, BATCH_STEPS = 3 };

size_t batch_size(size_t index)
{
    return (size_t)2 << index;
}

/* Sizes are doubled and halved; halving the smallest leaves none. */
void batch_ask(struct lab *lab, int direction)
{
    size_t now = lab->batch_wanted;
    size_t next = direction < 0 ? (now > 2 ? now / 2 : 0) : now < 2 ? 2 : 2 * now;
    if (next > MAX_SEQUENCES) {
        lab_say(lab, true, "batches of more than %d sequences are not measured", MAX_SEQUENCES);
        return;
    }
    lab->batch_wanted = next;
    if (next == 0)
        lab_say(lab, false, "no batches: the points of decode and prefill alone");
    else
        lab_say(lab, false, "%zu sequences side by side read the weights once for all", next);
}

/* The best of some steps after a first one: seconds. */
static double time_steps(struct context *c, const struct weights *set, const int32_t *tokens, float *logits)
{
    double best = INFINITY;
    for (int i = 0; i <= BATCH_STEPS; i++) {
        double begin = clock_seconds();
        context_step(c, set, tokens, logits);
        if (i > 0)
            best = fmin(best, clock_seconds() - begin);
    }
    return best;
}

/* One size in one slice. */
static struct metric measure_batch(struct lab *lab, size_t n)
{
    struct session *s = lab->session;
    struct error error;
    int32_t tokens[MAX_SEQUENCES];
    size_t positions = s->context < BATCH_POSITIONS ? s->context : BATCH_POSITIONS;
    struct context *c = context_open_kv(s->model, s->pool, lab->set->kv, positions, &error);
    float *logits = malloc(n * s->model->hyper.vocab * sizeof *logits);
    struct metric rate = metric_absent("not enough memory to measure it");
    for (size_t i = 0; i < n; i++)
        tokens[i] = (int32_t)(i * 7919 % s->model->hyper.vocab);
    if (positions <= BATCH_STEPS)
        rate = metric_absent("the context is too short");
    else if (c && logits && context_sequences(c, n, &error))
        rate = metric_value((double)n / time_steps(c, lab->set, tokens, logits));
    context_close(c);
    free(logits);
    return rate;
}

bool batch_slice(struct lab *lab, double seconds)
{
    (void)seconds;
    if (lab->meter.rate == 0 || jobs_quiet(lab) < SETTLE_SECONDS / 2)
        return false;
    size_t at = lab->batch_count, n = batch_size(at);
    if (at == BATCHES || n > lab->batch_wanted)
        return false;
    jobs_show(lab, "timing batches", (double)at / BATCHES);
    lab->batch[at] = measure_batch(lab, n);
    lab->batch_count++;
    return true;
}

/* ---- all of them ----------------------------------------------------------------------------- */

void timings_begin(struct lab *lab)
{
    no_batches(lab);
    recall_roofs(lab);
}

void timings_end(struct lab *lab)
{
    if (lab->measuring_roofs)
        roofs_end(&lab->roofs_job);
    end_turns(lab, NULL);
    roofs_frame_unref(lab->roofs);
}

void timings_set_changed(struct lab *lab)
{
    lab->prefill_known = false;
    end_turns(lab, NULL);
    lab->turns = (struct turns){0};
    lab->batch_count = 0;
    no_batches(lab);
}

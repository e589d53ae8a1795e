#include "bench_engine.h"

#include "engine/pin.h"
#include "lab/lab.h"
#include "measure/bandwidth.h"
#include "base/clock.h"
#include "measure/quality.h"
#include "measure/speed.h"
#include "sys/topology.h"
#include "model/on_demand.h"
#include "model/synthetic.h"
#include "quant/recipe.h"
#include "quant/requant.h"
#include "session/session_weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Many short pairs: what else the machine does meanwhile meets both of most of them. */
enum { ROUNDS = 1000, MOST_STEPS = 200 };

/* Seconds of some decode steps; the first with the clock read around each tensor, as the terminal program does
 * on one token in so many, where `seconds` is not null. */
static double time_steps(struct context *c, struct weights *set, int steps, double *seconds, float *logits)
{
    double begin = clock_seconds();
    c->length = 1;
    for (int i = 0; i < steps; i++) {
        int32_t token = i + 3;
        c->tensor_seconds = i == 0 ? seconds : NULL;
        context_run(c, set, &token, 1, LOGITS_LAST, logits);
    }
    c->tensor_seconds = NULL;
    return clock_seconds() - begin;
}

bool bench_telemetry(const char *model)
{
    struct session s;
    struct error error;
    struct session_options options = {.model_path = model};
    static double with[ROUNDS], without[ROUNDS];
    if (!session_open(&s, &options, &error)) {
        fprintf(stderr, "bench: %s\n", error.text);
        return false;
    }
    pool_bind_caller(s.pool);
    struct context *c = context_open(s.model, s.pool, MOST_STEPS + 2, &error);
    double *seconds = calloc(schemes_count(s.model), sizeof *seconds);
    float *logits = calloc(s.model->hyper.vocab, sizeof *logits);
    time_steps(c, s.stored, MOST_STEPS, NULL, logits);
    double step = time_steps(c, s.stored, MOST_STEPS, NULL, logits) / MOST_STEPS;
    int steps = (int)fmin(fmax(ceil(SAMPLE_SECONDS / step), SAMPLE_EVERY), MOST_STEPS);
    for (int i = 0; i < ROUNDS; i++) {
        if (i % 2)
            with[i] = time_steps(c, s.stored, steps, seconds, logits);
        without[i] = time_steps(c, s.stored, steps, NULL, logits);
        if (i % 2 == 0)
            with[i] = time_steps(c, s.stored, steps, seconds, logits);
    }
    struct ratio ratio = ratio_of(with, without, ROUNDS);
    printf("\ntelemetry, built-in model: decode with clock reads on one token in %d takes %.4f of the "
           "time without; interval of the median of %d pairs %.4f..%.4f\n", steps, ratio.median, ROUNDS,
           ratio.low, ratio.high);
    free(seconds);
    free(logits);
    context_close(c);
    session_close(&s);
    return true;
}

bool bench_requantize(void)
{
    struct error error;
    struct scheme scheme;
    const struct shape *shape = shape_find("tinyllama-1.1b", &error);
    struct model *m = shape ? synthetic_open(shape, &error) : NULL;
    struct pool *pool = m ? pool_create(topology()->threads, &error) : NULL;
    bool ok = pool && scheme_parse("int4", &scheme, &error);
    double all = 0, largest = 0;
    if (ok)
        pool_bind_caller(pool);
    for (int t = 0; ok && t < (int)m->tensor_count; t++) {
        if (!roles[m->tensors[t].role].linear || m->tensors[t].block < 0)
            continue;
        ok = model_acquire(m, t, pool, &error);
        double begin = clock_seconds();
        struct qtensor *p = ok ? requantize(m, t, &scheme, pool, &error) : NULL;
        double seconds = clock_seconds() - begin;
        all += seconds;
        if (m->tensors[t].role == ROLE_FFN_DOWN && (largest == 0 || seconds < largest))
            largest = seconds;
        ok = ok && p;
        qtensor_unref(p);
        model_release(m, t);
    }
    if (ok)
        printf("\nrequantize tinyllama-1.1b fp16 -> int4, %d threads: %.2f s; one 2048 x 5632 at best "
               "%.1f ms\n", pool_threads(pool), all, 1e3 * largest);
    else
        fprintf(stderr, "bench: %s\n", error.text);
    pool_destroy(pool);
    model_close(m);
    return ok;
}

/* ---- evaluation ------------------------------------------------------------------------------- */

enum { EVALUATED = 256, EVALUATED_TOGETHER = 128, EVALUATIONS = 5 };

/* Two weight sets that one text is run through. */
struct contest {
    struct session session;
    struct weights *set;
    struct context *reference, *scheme;
    int32_t text[EVALUATED];
    float *logits; /* EVALUATED_TOGETHER x vocab */
};

static bool contest_open(struct contest *c, const char *shape, const char *scheme,
                         struct error *error)
{
    struct session_options options = {.synthetic = shape_find(shape, error)};
    struct scheme wanted;
    if (!options.synthetic || !session_open(&c->session, &options, error) ||
        !scheme_parse(scheme, &wanted, error))
        return false;
    struct session *s = &c->session;
    struct scheme *schemes = session_schemes(s, error);
    pool_bind_caller(s->pool);
    if (schemes)
        schemes_set_linear(s->model, wanted, schemes);
    c->set = schemes ? session_weights(s, schemes, error) : NULL;
    free(schemes);
    for (size_t i = 0; i < EVALUATED; i++)
        c->text[i] = (int32_t)(i * 7919 % s->model->hyper.vocab);
    return c->set && (c->reference = context_open(s->model, s->pool, EVALUATED, error)) &&
           (c->scheme = context_open(s->model, s->pool, EVALUATED, error)) &&
           ((c->logits = malloc(EVALUATED_TOGETHER * s->model->hyper.vocab * sizeof(float))) ||
            error_set(error, "not enough memory"));
}

static void contest_close(struct contest *c)
{
    context_close(c->reference);
    context_close(c->scheme);
    weights_unref(c->set);
    free(c->logits);
    if (c->session.model)
        session_close(&c->session);
}

/* Seconds of both forward passes with the logits of every position. */
static double time_passes(struct contest *c)
{
    double begin = clock_seconds();
    c->reference->length = c->scheme->length = 0;
    for (size_t at = 0; at < EVALUATED; at += EVALUATED_TOGETHER) {
        context_run(c->reference, c->session.stored, c->text + at, EVALUATED_TOGETHER, LOGITS_ALL,
                    c->logits);
        context_run(c->scheme, c->set, c->text + at, EVALUATED_TOGETHER, LOGITS_ALL, c->logits);
    }
    return clock_seconds() - begin;
}

/* Opening is not timed: it does not depend on the length of the text. */
static double time_evaluation(const struct contest *c, struct error *error)
{
    struct quality_plan plan = {c->text, EVALUATED, -1, PROTOCOL_FULL, EVALUATED,
                                EVALUATED_TOGETHER, NULL};
    struct quality *q = quality_open(c->session.model, c->session.pool, &plan, c->session.stored,
                                     c->set, error);
    double begin = clock_seconds();
    while (q && !quality_step(q, 1))
        continue;
    double seconds = clock_seconds() - begin;
    quality_close(q);
    return q ? seconds : NAN;
}

bool bench_evaluation(void)
{
    struct contest c = {0};
    struct pin pin = {0};
    struct error error;
    double ratios[EVALUATIONS], seconds[EVALUATIONS];
    bool ok = contest_open(&c, "tinyllama-1.1b", "w8a8", &error) &&
              pin_open(&pin, c.session.model, &error) &&
              pin_set(&pin, c.session.stored, c.session.pool, &error);
    if (ok)
        time_passes(&c);
    for (int i = 0; ok && i < EVALUATIONS; i++) {
        double passes = i % 2 ? time_passes(&c) : 0;
        seconds[i] = time_evaluation(&c, &error);
        passes = i % 2 ? passes : time_passes(&c);
        ratios[i] = seconds[i] / passes;
        ok = isfinite(seconds[i]);
    }
    if (ok) {
        struct stats ratio = stats_of(ratios, EVALUATIONS), time = stats_of(seconds, EVALUATIONS);
        printf("\nevaluation of tinyllama-1.1b in w8a8 against fp16, %d tokens, %d threads: %.2f s, %.3f of "
               "the time of both passes with the logits of every position (%.3f..%.3f)\n", EVALUATED,
               pool_threads(c.session.pool), time.median, ratio.median, ratio.min, ratio.max);
    } else {
        fprintf(stderr, "bench: %s\n", error.text);
    }
    pin_close(&pin);
    contest_close(&c);
    return ok;
}

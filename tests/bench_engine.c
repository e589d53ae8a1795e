#include "bench_engine.h"

#include "../src/measure/bandwidth.h"
#include "../src/measure/clock.h"
#include "../src/measure/topology.h"
#include "../src/model/resident.h"
#include "../src/model/synthetic.h"
#include "../src/quant/requant.h"
#include "../src/session.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 21, STEPS = 64, SAMPLED = 16 };

/* Seconds of STEPS decode steps; every SAMPLED-th with the clock read around each tensor, as the
 * terminal program does, where `seconds` is not null. */
static double time_steps(struct context *c, struct weights *set, double *seconds, float *logits)
{
    double begin = clock_seconds();
    c->length = 1;
    for (int i = 0; i < STEPS; i++) {
        int32_t token = i + 3;
        c->tensor_seconds = i % SAMPLED == 0 ? seconds : NULL;
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
    double ratios[ROUNDS];
    if (!session_open(&s, &options, &error)) {
        fprintf(stderr, "bench: %s\n", error.text);
        return false;
    }
    pool_bind_caller(s.pool);
    struct context *c = context_open(s.model, s.pool, STEPS + 2, &error);
    double *seconds = calloc(schemes_count(s.model), sizeof *seconds);
    float *logits = calloc(s.model->hyper.vocab, sizeof *logits);
    for (int i = 0; i < ROUNDS; i++) {
        double with, without;
        if (i % 2) {
            with = time_steps(c, s.stored, seconds, logits);
            without = time_steps(c, s.stored, NULL, logits);
        } else {
            without = time_steps(c, s.stored, NULL, logits);
            with = time_steps(c, s.stored, seconds, logits);
        }
        ratios[i] = with / without;
    }
    struct spread ratio = spread_of(ratios, ROUNDS);
    printf("\ntelemetry, built-in model: decode with clock reads on one token in %d takes %.4f of the "
           "time without (%.3f..%.3f)\n", SAMPLED, ratio.median, ratio.least, ratio.most);
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
        struct packed *p = ok ? requantize(m, t, &scheme, pool, &error) : NULL;
        double seconds = clock_seconds() - begin;
        all += seconds;
        if (m->tensors[t].role == ROLE_FFN_DOWN && (largest == 0 || seconds < largest))
            largest = seconds;
        ok = ok && p;
        packed_unref(p);
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

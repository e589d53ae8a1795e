#include "bench_attention.h"

#include "base/clock.h"
#include "base/stats.h"
#include "kernels/dispatch.h"
#include "kernels/kv.h"
#include "kernels/ops.h"
#include "measure/bandwidth.h"
#include "measure/roofs.h"
#include "sys/topology.h"
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { HEAD_SIZE = 64, STREAMS = 64, ROUNDS = 9 }; /* STREAMS: heads of the cache, all of them shared among threads */

/* Queries against all heads of a cache. */
struct attending {
    struct kv_cache cache;
    size_t tokens, shared, depth;
    float *q, *out, *scratch; /* (STREAMS, tokens, shared, HEAD_SIZE); scratch: of each thread */
    size_t floats;            /* of the scratch of one */
};

static void attend(void *arg, size_t begin, size_t end, int thread)
{
    const struct attending *a = arg;
    for (size_t i = begin; i < end; i++) {
        size_t at = i * a->tokens * a->shared * HEAD_SIZE;
        struct attention one = {.kv = kv_head(&a->cache, 0, i),
                                .q = a->q + at,
                                .out = a->out + at,
                                .tokens = a->tokens,
                                .heads = a->shared,
                                .stride = a->shared * HEAD_SIZE,
                                .length = a->depth - a->tokens + 1,
                                .scale = 0.125f,
                                .scratch = a->scratch + (size_t)thread * a->floats};
        operators_current()->attention(&one);
    }
}

static void fill(uint64_t *seed, float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)random_normal(seed);
}

static bool open_attending(struct attending *a, enum dtype kv, size_t tokens, size_t shared, size_t depth, int threads)
{
    struct error error;
    uint64_t seed = 1;
    size_t all = STREAMS * tokens * shared * HEAD_SIZE, row = (size_t)STREAMS * HEAD_SIZE;
    struct kv_shape shape = {.layers = 1, .heads = STREAMS, .head_size = HEAD_SIZE, .capacity = depth, .dtype = kv};
    *a = (struct attending){.tokens = tokens, .shared = shared, .depth = depth,
                            .floats = attention_scratch(tokens, shared, HEAD_SIZE)};
    a->q = malloc(all * sizeof *a->q);
    a->out = malloc(all * sizeof *a->out);
    a->scratch = malloc((size_t)threads * a->floats * sizeof *a->scratch);
    float *rows = malloc(2 * row * sizeof *rows);
    bool ok = a->q && a->out && a->scratch && rows && kv_open(&a->cache, &shape, &error);
    if (ok)
        fill(&seed, a->q, all);
    for (size_t p = 0; ok && p < depth; p++) {
        if (p < 64)
            fill(&seed, rows, 2 * row);
        kv_put(&a->cache, 0, p, rows, rows + row);
    }
    free(rows);
    return ok;
}

static void close_attending(struct attending *a)
{
    kv_close(&a->cache);
    free(a->q);
    free(a->out);
    free(a->scratch);
}

static bool attention_row(enum dtype kv, size_t tokens, size_t shared, size_t depth, struct pool *pool,
                          const struct bandwidth_probe *probe)
{
    struct attending a;
    double rates[ROUNDS], reads[ROUNDS], macs[ROUNDS];
    bool ok = open_attending(&a, kv, tokens, shared, depth, pool_threads(pool));
    for (int i = -1; ok && i < ROUNDS; i++) {
        double read = bandwidth_sweep(probe), peak = roofs_peak(isa_current()->peak_fp32, pool), begin = clock_seconds();
        pool_run(pool, STREAMS, attend, &a);
        double seconds = clock_seconds() - begin;
        if (i < 0)
            continue;
        rates[i] = 2.0 * STREAMS * (double)(tokens * shared * depth) * HEAD_SIZE / seconds;
        macs[i] = rates[i] / peak;
        reads[i] = (double)(kv_position_bytes(&a.cache.shape) * depth) / seconds / read;
    }
    close_attending(&a);
    if (!ok)
        return false;
    struct stats rate = stats_of(rates, ROUNDS), peak = stats_of(macs, ROUNDS), read = stats_of(reads, ROUNDS);
    printf("%-8s %6zu %6zu %6zu %8.2f   %5.3f (%5.3f-%5.3f)   %5.3f (%5.3f-%5.3f)\n", dtypes[kv].name, depth, tokens, shared,
           rate.median / 1e9, peak.median, peak.min, peak.max, read.median, read.min, read.max);
    return true;
}

bool bench_attention(void)
{
    static const size_t shapes[][3] = {{1, 1, 8192}, {1, 3, 8192}, {1, 8, 8192}, {8, 1, 2048}, {8, 3, 2048}, {8, 8, 2048}};
    struct error error;
    struct bandwidth_probe probe;
    struct pool *pool = pool_create(topology()->threads, &error);
    if (!pool || !bandwidth_open(&probe, pool, &error))
        return false;
    printf("\nattention, kernels '%s', %d threads, %d heads of %d in the cache: shares of the fp32 peak and of the read sweep just "
           "before\n%-8s %6s %6s %6s %8s   %-21s   %s\n", isa_current()->name, pool_threads(pool), STREAMS, HEAD_SIZE, "CACHE",
           "DEPTH", "TOKENS", "SHARED", "GMAC/s", "OF PEAK", "OF READ ROOF");
    bool ok = true;
    for (size_t d = 0; ok && kv_dtypes[d] != DTYPE_COUNT; d++)
        for (size_t i = 0; ok && i < sizeof shapes / sizeof *shapes; i++)
            ok = attention_row(kv_dtypes[d], shapes[i][0], shapes[i][1], shapes[i][2], pool, &probe);
    bandwidth_close(&probe);
    pool_destroy(pool);
    return ok;
}

#include "bench_kernels.h"

#include "kernels/dispatch.h"
#include "kernels/quantize.h"
#include "kernels/stored.h"
#include "quant/scheme.h"
#include "base/clock.h"
#include "measure/roofline.h"
#include "measure/roofs.h"
#include "sys/topology.h"
#include "support.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLS = 2048, ROUNDS = 9, PATTERN = 64, MOST_THREADS = 64 };

/* ---- a product ------------------------------------------------------------------------------- */

struct product {
    const struct isa *isa;
    struct qmatrix m;
    uint8_t *blocks; /* behind m, of a stored type */
    struct activations prepared;
    size_t tokens;
    float *x, *y;
    void *scratch;
};

static void multiply(void *arg, size_t begin, size_t end, int thread)
{
    const struct product *p = arg;
    (void)thread;
    p->isa->matmul(&p->m, &p->prepared, begin, end, p->y);
}

static void prepare(void *arg, size_t begin, size_t end, int thread)
{
    struct product *p = arg;
    (void)thread;
    p->isa->prepare(&p->m, &p->prepared, begin, end);
}

static void run(struct product *p, struct pool *pool)
{
    activations_begin(p->isa, &p->m, p->x, p->tokens, p->scratch, &p->prepared);
    pool_run(pool, activations_tiles(&p->prepared), prepare, p);
    pool_run(pool, qmatrix_panels(&p->m), multiply, p);
}

static float pattern(size_t r, size_t c)
{
    return (float)((r * 31 + c * 17 + r * c % 23) % 255) / 127.0f - 1;
}

/* The first rows are packed, the others are copies of them, whole panels at a time. */
static bool fill(struct qmatrix *m)
{
    float row[COLS];
    size_t panels = qmatrix_panels(m), done = PATTERN / PANEL_ROWS, line = m->lines * LINE_BYTES;
    uint8_t *codes = m->owned, *scales = codes + ((const uint8_t *)m->scales - codes);
    quantize_tensor_scale(m, (struct value_range){-1, 1});
    for (size_t r = 0; r < PATTERN && r < m->rows; r++) {
        for (size_t c = 0; c < COLS; c++)
            row[c] = pattern(r, c);
        quantize_row(m, r, row);
    }
    size_t scale = m->groups * PANEL_ROWS * (m->scale_type == SCALE_FP16 ? 2 : 4);
    size_t zero = m->groups * PANEL_ROWS * dtypes[m->format.weight].bits / 8;
    bool own_scales = m->scale_type != SCALE_NONE && m->format.granularity != GRANULARITY_TENSOR;
    for (size_t p = done; p < panels; p++) {
        memcpy(codes + p * line, codes + p % done * line, line);
        if (own_scales)
            memcpy(scales + p * scale, scales + p % done * scale, scale);
        if (m->zeros && own_scales) {
            uint8_t *zeros = codes + (m->zeros - codes);
            memcpy(zeros + p * zero, zeros + p % done * zero, zero);
        }
    }
    return true;
}

/* Random blocks, aligned to nothing: the first rows, then copies of them. */
static bool open_stored(struct product *p, enum dtype type, size_t rows)
{
    size_t row_bytes = COLS / dtypes[type].block * dtypes[type].block_bytes, own = PATTERN * row_bytes;
    uint64_t seed = 1;
    p->blocks = malloc(rows * row_bytes + own + 1);
    if (!p->blocks)
        return false;
    random_blocks(type, PATTERN * COLS / dtypes[type].block, &seed, p->blocks + 1);
    for (size_t at = own; at < rows * row_bytes; at += own)
        memcpy(p->blocks + 1 + at, p->blocks + 1, own);
    p->m = stored_matrix(type, rows, COLS, p->blocks + 1);
    return true;
}

static bool open_matrix(struct product *p, const char *scheme, size_t bytes, size_t rows)
{
    size_t name = strcspn(scheme, "/");
    enum dtype stored = dtype_stored_by_name(scheme, name); /* schemes cannot name all of them */
    struct scheme s = scheme_default(stored == DTYPE_ALL ? DTYPE_FP32 : stored);
    struct error error = {"not enough memory"};
    size_t one;
    bool ok = stored != DTYPE_ALL || scheme_parse(scheme, &s, &error);
    if (ok && scheme_bytes(&s, PATTERN, COLS, &one)) {
        rows = rows ? rows : (bytes / one + 1) * PATTERN;
        ok = stored == DTYPE_ALL ? qmatrix_init(&p->m, &s.format, rows, COLS, &error) && fill(&p->m)
                                 : open_stored(p, stored, rows);
        if (stored != DTYPE_ALL && strcmp(scheme + name, "/int8") == 0)
            p->m.format.act = DTYPE_INT8;
    }
    if (!ok)
        printf("%-18s %s\n", scheme, error.text);
    return ok;
}

static bool open_product(struct product *p, const struct isa *isa, const char *scheme, size_t bytes,
                         size_t rows, size_t tokens)
{
    *p = (struct product){.isa = isa, .tokens = tokens};
    if (!open_matrix(p, scheme, bytes, rows))
        return false;
    p->x = malloc(tokens * COLS * sizeof *p->x);
    p->y = malloc(tokens * p->m.rows * sizeof *p->y);
    p->scratch = aligned_alloc(64, activations_scratch(COLS, tokens) + 64);
    for (size_t i = 0; i < tokens * COLS; i++)
        p->x[i] = (float)((i * 29 + i / COLS) % 61) / 30.0f - 1;
    return true;
}

static void close_product(struct product *p)
{
    qmatrix_free(&p->m);
    free(p->blocks);
    free(p->x);
    free(p->y);
    free(p->scratch);
}

/* The activation that a product met. */
static double activation(const struct product *p, size_t t, size_t c)
{
    const struct activations *x = &p->prepared;
    if (x->blocks) {
        size_t columns = block_act_columns(p->m.format.weight);
        return (double)x->scales[t * x->blocks + c / columns] * x->codes[t * COLS + c];
    }
    double scale = x->scales ? (double)x->scales[t] : 1;
    return scale * (x->integers ? x->codes[t * COLS + c] - x->zeros[t] : (double)x->values[t * COLS + c]);
}

/* What was computed against plain arithmetic in double precision, for some rows and tokens. */
static bool check(const struct product *p)
{
    float row[COLS];
    for (size_t i = 0; i < 24; i++) {
        size_t r = (i * 7919 + 13) % p->m.rows, t = i * 5 % p->tokens;
        qmatrix_decode_row(&p->m, r, row);
        double sum = 0, magnitude = 0;
        for (size_t c = 0; c < COLS; c++) {
            double a = activation(p, t, c);
            sum += a * (double)row[c];
            magnitude += fabs(a * (double)row[c]);
        }
        double error = fabs(p->y[t * p->m.rows + r] - sum);
        if (!(error <= (p->prepared.block_sums ? 2e-3 : 1e-4) * magnitude)) { /* sums of q8_1 are fp16 */
            printf("wrong: row %zu, token %zu: %g; expected %g\n", r, t,
                   (double)p->y[t * p->m.rows + r], sum);
            return false;
        }
    }
    return true;
}

/* ---- tables ---------------------------------------------------------------------------------- */

/* The arithmetic roof of a kernel: what it does on every thread with weights that lie in the cache of its
 * core. */
struct cached {
    struct product products[MOST_THREADS];
    int threads;
};

enum { CACHED_TURNS = 100 };

static void multiply_again(void *arg, size_t begin, size_t end, int thread)
{
    struct cached *c = arg;
    (void)thread;
    for (size_t i = begin; i < end; i++)
        for (int k = 0; k < CACHED_TURNS; k++)
            multiply(&c->products[i], 0, qmatrix_panels(&c->products[i].m), 0);
}

static bool open_cached(struct cached *c, const struct isa *isa, const char *scheme,
                        struct pool *pool)
{
    *c = (struct cached){.threads = pool_threads(pool) < MOST_THREADS ? pool_threads(pool)
                                                                      : MOST_THREADS};
    bool ok = true;
    for (int i = 0; i < c->threads; i++) {
        ok &= open_product(&c->products[i], isa, scheme, 96 << 10, 0, 1);
        run(&c->products[i], pool);
    }
    return ok;
}

static void close_cached(struct cached *c)
{
    for (int i = 0; i < c->threads; i++)
        close_product(&c->products[i]);
}

static double cached_rate(struct cached *c, struct pool *pool)
{
    double begin = clock_seconds();
    pool_run(pool, (size_t)c->threads, multiply_again, c);
    return CACHED_TURNS * (double)c->products[0].m.bytes * c->threads / (clock_seconds() - begin);
}

static bool decode_row(const struct isa *isa, const char *scheme, const struct bandwidth_probe *probe)
{
    struct product p;
    struct cached cached;
    double rates[ROUNDS], reads[ROUNDS], own[ROUNDS], lower[ROUNDS];
    if (!open_product(&p, isa, scheme, (size_t)1 << 30, 0, 1) ||
        !open_cached(&cached, isa, scheme, probe->pool))
        return false;
    run(&p, probe->pool);
    bool right = check(&p);
    for (int i = 0; i < ROUNDS && right; i++) {
        double read = bandwidth_sweep(probe), begin = clock_seconds();
        run(&p, probe->pool);
        rates[i] = (double)p.m.bytes / (clock_seconds() - begin);
        own[i] = cached_rate(&cached, probe->pool);
        reads[i] = rates[i] / read;
        lower[i] = rates[i] / fmin(read, own[i]);
    }
    if (right) {
        struct stats rate = stats_of(rates, ROUNDS), roof = stats_of(own, ROUNDS);
        struct stats read = stats_of(reads, ROUNDS), share = stats_of(lower, ROUNDS);
        double macs = (double)p.m.rows * COLS / ((double)p.m.bytes / rate.median);
        printf("%-20s %7.2f %8.2f  %6.3f %.3f..%.3f  %7.1f  %6.3f %.3f..%.3f\n", scheme,
               rate.median / 1e9, macs / 1e9, read.median, read.min, read.max,
               roof.median / 1e9, share.median, share.min, share.max);
    }
    close_product(&p);
    close_cached(&cached);
    fflush(stdout);
    return right;
}

static const char *const decode_schemes[] = {
    "fp32",       "fp16",  "bf16",      "bf16/bf16",      "int8",      "w8a16", "w8a8",
    "int4",       "w4a16", "w4a16:g32", "w4a16:g32:asym", "w4a16:asym", "w4a8", "w4a8:g32",
    "int8/int8.asym:asym", "fp8e4m3",   "fp8e4m3/bf16",   "fp8/fp8",   "fp8e5m2",
    "q8_0",       "q4_0",  "q4_1",      "q5_0",           "q5_1",      "q2_k",  "q3_k",
    "q4_k",       "q5_k",  "q6_k",      "iq4_nl",         "iq4_xs", "mxfp4", "tq2_0", "tq1_0",
    "iq3_s",      "iq3_xxs", "iq2_s", "iq2_xs", "iq2_xxs", "iq1_s", "iq1_m",
    "nvfp4",      "q1_0",    "q2_0",   "nf4",
    "q8_0/int8", "q4_0/int8", "q4_1/int8", "q5_0/int8", "q5_1/int8", "q2_k/int8", "q3_k/int8", "q4_k/int8", "q5_k/int8",
    "q6_k/int8", "iq4_nl/int8", "iq4_xs/int8", "mxfp4/int8", "tq2_0/int8", "tq1_0/int8", "iq3_s/int8", "iq3_xxs/int8",
    "iq2_s/int8", "iq2_xs/int8", "iq2_xxs/int8", "iq1_s/int8", "iq1_m/int8", "nvfp4/int8", "q1_0/int8", "q2_0/int8"};

/* Calls `row` for every instruction set asked for, on a pool of all cores. */
static bool each_isa(const char *isa, const char *scheme,
                     bool (*table)(const struct isa *, struct pool *, const char *scheme))
{
    struct error error;
    struct pool *pool = pool_create(topology()->threads, &error);
    bool ok = pool != NULL;
    if (!pool)
        fprintf(stderr, "bench: %s\n", error.text);
    if (ok) {
        pool_bind_caller(pool);
        printf("bringing %d threads together costs %.0f ns\n", pool_threads(pool), pool_cost(pool));
    }
    for (size_t i = 0; ok && isa_at(i); i++)
        if (isa_at(i)->available() && (!isa || strcmp(isa, isa_at(i)->name) == 0))
            ok = table(isa_at(i), pool, scheme);
    pool_destroy(pool);
    return ok;
}

static bool decode_table(const struct isa *isa, struct pool *pool, const char *scheme)
{
    struct error error;
    struct bandwidth_probe probe;
    if (!bandwidth_open(&probe, pool, &error)) {
        fprintf(stderr, "bench: %s\n", error.text);
        return false;
    }
    printf("\none token, kernels '%s', %d threads, 1 GiB of packed weights; roofs: the read sweep just "
           "before, the same kernel on weights in the cache just after\n"
           "%-20s %7s %8s  %-19s  %7s  %s\n", isa->name, pool_threads(pool), "scheme",
           "GB/s", "GMAC/s", "share of read roof", "in cache", "share of the lower roof");
    bool ok = true;
    for (size_t i = 0; !scheme && i < sizeof decode_schemes / sizeof *decode_schemes; i++)
        ok &= decode_row(isa, decode_schemes[i], &probe);
    if (scheme)
        ok &= decode_row(isa, scheme, &probe);
    bandwidth_close(&probe);
    return ok;
}

bool bench_decode(const char *isa, const char *scheme)
{
    return each_isa(isa, scheme, decode_table);
}

enum { TOKENS = 256, WIDE = 5632 };

typedef void sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda,
                   const float *b, int ldb, float beta, float *c, int ldc);

/* y = x W', tokens x rows, as OpenBLAS does it; null where it is not installed. */
static sgemm *find_openblas(void)
{
    void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    union {
        void *object;
        sgemm *function;
    } at = {library ? dlsym(library, "cblas_sgemm") : NULL};
    return at.function;
}

static peak_fn *peak_of(const struct isa *isa, const struct qformat *format)
{
    enum peak peak = roofline_peak(isa, format);
    return peak == PEAK_COUNT ? NULL : peaks[peak].of(isa);
}

static bool matmul_row(const struct isa *isa, const char *scheme, struct pool *pool)
{
    struct product p;
    double rates[ROUNDS], shares[ROUNDS];
    if (!open_product(&p, isa, scheme, 0, WIDE, TOKENS))
        return false;
    run(&p, pool);
    bool right = check(&p);
    peak_fn *peak = peak_of(isa, &p.m.format);
    double macs = (double)TOKENS * WIDE * COLS;
    for (int i = 0; i < ROUNDS && right; i++) {
        double roof = peak ? roofs_peak(peak, pool) : NAN, begin = clock_seconds();
        run(&p, pool);
        rates[i] = macs / (clock_seconds() - begin);
        shares[i] = rates[i] / roof;
    }
    if (right) {
        struct stats rate = stats_of(rates, ROUNDS), share = stats_of(shares, ROUNDS);
        printf("%-18s %8.1f %7.3f  %.3f..%.3f  of %s\n", scheme, rate.median / 1e9, share.median,
               share.min, share.max,
               peak == isa->peak_int8 ? "int8" : peak == isa->peak_bf16 ? "bf16" : "fp32");
    }
    close_product(&p);
    fflush(stdout);
    return right;
}

static sgemm *multiply_dense;

static void openblas_row(const struct isa *isa, struct pool *pool)
{
    struct product p;
    double ratios[ROUNDS], rates[ROUNDS];
    if (!multiply_dense) {
        printf("OpenBLAS is not installed: fp32 is not compared with its sgemm\n");
        return;
    }
    float *w = malloc((size_t)WIDE * COLS * sizeof *w), *y = malloc(TOKENS * WIDE * sizeof *y);
    open_product(&p, isa, "fp32", 0, WIDE, TOKENS);
    for (size_t r = 0; r < WIDE; r++)
        qmatrix_decode_row(&p.m, r, w + r * COLS);
    for (int i = -1; i < ROUNDS; i++) {
        double begin = clock_seconds();
        multiply_dense(101, 111, 112, TOKENS, WIDE, COLS, 1, p.x, COLS, w, COLS, 0, y, WIDE);
        double middle = clock_seconds();
        run(&p, pool);
        double end = clock_seconds();
        if (i >= 0) {
            rates[i] = (double)TOKENS * WIDE * COLS / (middle - begin);
            ratios[i] = (middle - begin) / (end - middle);
        }
    }
    struct stats ratio = stats_of(ratios, ROUNDS), rate = stats_of(rates, ROUNDS);
    printf("OpenBLAS sgemm     %8.1f; fp32 here is %.3f of its speed (%.3f..%.3f)\n", rate.median / 1e9,
           ratio.median, ratio.min, ratio.max);
    free(w);
    free(y);
    close_product(&p);
}

static const char *const matmul_schemes[] = {"fp32", "fp16", "bf16",  "bf16/bf16", "int8", "w8a16",
                                             "w8a8", "int4", "w4a16", "w4a8",      "fp8",  "fp8/bf16",
                                             "fp8/fp8", "q8_0", "q4_0",   "q4_k",  "q6_k",
                                             "q8_0/int8", "q4_0/int8", "q4_1/int8", "q5_0/int8", "q5_1/int8",
                                             "q4_k/int8", "q5_k/int8", "q6_k/int8", "iq4_nl/int8", "iq4_xs/int8",
                                             "mxfp4/int8", "nvfp4/int8", "q3_k/int8", "q2_k/int8"};

static bool matmul_table(const struct isa *isa, struct pool *pool, const char *scheme)
{
    bool ok = true;
    printf("\n%d tokens, %d -> %d, kernels '%s', %d threads; share of the instruction's peak\n"
           "%-18s %8s %7s  %s\n", TOKENS, COLS, WIDE, isa->name, pool_threads(pool), "scheme",
           "GMAC/s", "share", "spread");
    if (isa->peak_fp32)
        printf("peaks in GMAC/s: fp32 %.0f, bf16 %.0f, int8 %.0f\n",
               roofs_peak(isa->peak_fp32, pool) / 1e9,
               isa->peak_bf16 ? roofs_peak(isa->peak_bf16, pool) / 1e9 : NAN,
               roofs_peak(isa->peak_int8, pool) / 1e9);
    for (size_t i = 0; !scheme && i < sizeof matmul_schemes / sizeof *matmul_schemes; i++)
        ok &= matmul_row(isa, matmul_schemes[i], pool);
    if (scheme)
        ok &= matmul_row(isa, scheme, pool);
    openblas_row(isa, pool);
    return ok;
}

bool bench_matmul(const char *isa, const char *scheme)
{
    multiply_dense = find_openblas(); /* before this thread is bound: its threads would inherit that */
    return each_isa(isa, scheme, matmul_table);
}

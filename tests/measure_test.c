/* What is measured and what steers it: histograms, quality, the forward pass in chunks, recipes,
 * scheme cycles, the sampler, and text made safe. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/context.h"
#include "engine/forward.h"
#include "engine/sampler.h"
#include "base/stats.h"
#include "measure/histogram.h"
#include "measure/quality.h"
#include "measure/speed.h"
#include "base/quantile.h"
#include "quant/change.h"
#include "quant/recipe.h"
#include "quant/requant.h"
#include "base/escape.h"
#include "tokenizer/stream.h"
#include "support.h"

#include <float.h>
#include <glob.h>
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- histogram and spread -------------------------------------------------------------------- */

static void test_histogram(void **state)
{
    (void)state;
    struct histogram h = histogram_over(-1, 1);
    uint64_t seed = 1, total = 0;
    assert_true(h.low == -1 && h.high == 1);
    for (int n = 0; n < 10000; n++)
        histogram_add(&h, random_normal(&seed));
    for (int b = 0; b < HISTOGRAM_BINS; b++)
        total += h.count[b];
    assert_int_equal(total, 10000);
    assert_int_equal(h.total, 10000);
    assert_int_equal(h.unordered, 0);

    h = histogram_over(0, HISTOGRAM_BINS); /* bins of width 1 */
    for (int b = 0; b < HISTOGRAM_BINS; b++) {
        histogram_add(&h, b + 1e-9);
        histogram_add(&h, b + 1 - 1e-9);
        assert_int_equal(h.count[b], 2);
    }
    histogram_add(&h, 0);
    histogram_add(&h, HISTOGRAM_BINS); /* the upper end belongs to the last bin */
    assert_int_equal(h.count[0], 3);
    assert_int_equal(h.count[HISTOGRAM_BINS - 1], 3);
    static const double below[] = {-1e-300, -5, -1e300, -INFINITY};
    static const double above[] = {1e9, 1e300, INFINITY};
    for (size_t i = 0; i < 4; i++)
        histogram_add(&h, below[i]);
    for (size_t i = 0; i < 3; i++)
        histogram_add(&h, above[i]);
    assert_int_equal(h.count[0], 7);
    assert_int_equal(h.count[HISTOGRAM_BINS - 1], 6);
    total = h.total;
    histogram_add(&h, NAN);
    histogram_add(&h, -NAN);
    assert_int_equal(h.unordered, 2);
    assert_int_equal(h.total, total);
}

static void test_histogram_of_no_width(void **state)
{
    (void)state;
    static const double ends[] = {0,      -0.0, 1,       -1,       1e-45,
                                  -1e-45, 1e30, FLT_MAX, -FLT_MAX, 0x1p-1074};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct histogram h = histogram_over(ends[i], ends[i]);
        assert_true(h.low < h.high);
        assert_true(h.low <= ends[i] && ends[i] <= h.high);
        histogram_add(&h, ends[i]);
        assert_int_equal(h.total, 1);
    }
    struct histogram backwards = histogram_over(2, 1);
    assert_true(backwards.low < backwards.high);
}

/* Pairs of known ratios; the interval of 9 is from the 2nd to the 8th (binomial tails of 0.0195 each). */
static void test_ratio(void **state)
{
    (void)state;
    double x[] = {9, 1, 8, 2, 7, 3, 6, 4, 5}, base[9], half[] = {2, 4, 6, 8};
    for (size_t i = 0; i < 9; i++)
        base[i] = 2;
    struct ratio r = ratio_of(x, base, 9);
    assert_true(r.median == 2.5 && r.low == 1 && r.high == 4);
    r = ratio_of(half, base, 4);
    assert_true(r.median == 2.5 && r.low == 1 && r.high == 4); /* too few: least and most */
    r = ratio_of(x, x, 9);
    assert_true(r.median == 1 && r.low == 1 && r.high == 1);
    static double many[4000], ones[4000];
    for (size_t i = 0; i < 4000; i++) {
        many[i] = (double)(i + 1);
        ones[i] = 1;
    }
    r = ratio_of(many, ones, 100);
    assert_true(r.median == 50.5 && r.low == 40 && r.high == 61); /* the textbook's ranks for n = 100 */
    r = ratio_of(many, ones, 4000);
    assert_true(r.median == 2000.5 && r.low == 1938 && r.high == 2063); /* exact sums of binomial coefficients */
}

static void test_spread(void **state)
{
    (void)state;
    double one[] = {3}, two[] = {4, 1}, five[] = {9, -1, 3, 100, 2}, same[] = {7, 7, 7, 7};
    struct stats s = stats_of(one, 1);
    assert_true(s.min == 3 && s.median == 3 && s.max == 3);
    s = stats_of(two, 2);
    assert_true(s.min == 1 && s.median == 2.5 && s.max == 4);
    s = stats_of(five, 5);
    assert_true(s.min == -1 && s.median == 3 && s.max == 100);
    s = stats_of(same, 4);
    assert_true(s.min == 7 && s.median == 7 && s.max == 7);
}

/* ---- a tiny model ---------------------------------------------------------------------------- */

struct fixture {
    char *path;
    struct model *model;
    struct weights *stored;
};

static const struct tiny untied = {32, 48, 2, 4, 2, 300, 128, false};
static const struct tiny tied = {32, 48, 2, 4, 2, 300, 128, true};
static const struct tiny wide = {320, 640, 1, 4, 4, 40, 16, false};

static struct fixture open_fixture(const struct tiny *shape)
{
    struct fixture f = {.path = write_llama2c(shape, 42)};
    struct error error = {""};
    f.model = model_open(f.path, &error);
    if (!f.model)
        fail_msg("%s", error.text);
    f.stored = weights_stored(f.model);
    assert_non_null(f.stored);
    return f;
}

static void close_fixture(struct fixture *f)
{
    weights_unref(f->stored);
    model_close(f->model);
    unlink(f->path);
    free(f->path);
}

/* A set with every linear matrix of the blocks in another scheme. */
static struct weights *requantized(const struct fixture *f, const char *text, struct pool *pool)
{
    struct scheme scheme;
    struct weights *set = weights_ref(f->stored);
    assert_true(scheme_parse(text, &scheme, NULL));
    for (int t = 0; t < (int)f->model->tensor_count; t++) {
        const struct role_info *role = &roles[f->model->tensors[t].role];
        if (!role->linear || !role->in_block)
            continue;
        struct qtensor *p = requantize(f->model, t, &scheme, pool, NULL);
        assert_non_null(p);
        struct weights *next = weights_replace(set, p);
        qtensor_unref(p);
        weights_unref(set);
        set = next;
    }
    return set;
}

static void random_tokens(uint64_t seed, int32_t *tokens, size_t n, int32_t vocab)
{
    for (size_t i = 0; i < n; i++)
        tokens[i] = (int32_t)random_below(&seed, (size_t)vocab);
}

/* Logits after each of n tokens, `part` at a time. */
static float *logits_in_parts(const struct fixture *f, struct weights *set, struct pool *pool,
                              const int32_t *tokens, size_t n, size_t part)
{
    size_t vocab = f->model->hyper.vocab;
    float *logits = make(n * vocab * sizeof *logits);
    struct context *c = context_open(f->model, pool, n, NULL);
    assert_non_null(c);
    for (size_t at = 0; at < n; at += part) {
        size_t now = n - at < part ? n - at : part;
        context_run(c, set, tokens + at, now, LOGITS_ALL, logits + at * vocab);
    }
    assert_int_equal(c->length, n);
    context_close(c);
    return logits;
}

/* Logits that differ by roundings only. Where activations become integers, a rounding can move one to
 * the next code. */
static void assert_same_logits(const float *a, const float *b, size_t n, double tolerance)
{
    double largest = 0, difference = 0;
    for (size_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs((double)b[i]));
        difference = fmax(difference, fabs((double)a[i] - b[i]));
    }
    if (!(difference <= tolerance * largest))
        fail_msg("logits differ by %g of %g", difference, largest);
}

/* Tokens in chunks give the logits that they give one at a time, and with any number of threads the
 * very same bits. */
static void test_chunks_do_not_change_logits(void **state)
{
    (void)state;
    static const char *const schemes[] = {"fp32", "int8/int8.asym", "int4/int8:g16:asym",
                                          "int4/bf16:g16", "fp8/fp8:tensor", "fp16/fp16"};
    enum { N = 75 };
    struct fixture f = open_fixture(&untied);
    int32_t tokens[N];
    random_tokens(1, tokens, N, untied.vocab);
    size_t vocab = f.model->hyper.vocab, n = N * vocab;
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        struct pool *one = pool_create(1, NULL), *three = pool_create(3, NULL);
        struct weights *set = requantized(&f, schemes[i], one);
        float *single = logits_in_parts(&f, set, one, tokens, N, 1);
        double tolerance = set->layer[2]->matrix.format.act == DTYPE_FP32 ? 1e-5 : 0.05;
        for (size_t part = 1; part <= CONTEXT_SLICE; part += 10) {
            float *chunked = logits_in_parts(&f, set, one, tokens, N, part);
            float *shared = logits_in_parts(&f, set, three, tokens, N, part);
            assert_same_logits(chunked, single, n, tolerance);
            assert_memory_equal(chunked, shared, n * sizeof *chunked);
            free(chunked);
            free(shared);
        }
        float *last = make(vocab * sizeof *last);
        struct context *c = context_open(f.model, three, N, NULL);
        context_prefill(c, set, tokens, N, last);
        assert_same_logits(last, single + (N - 1) * vocab, vocab, tolerance);
        context_close(c);
        free(last);
        free(single);
        weights_unref(set);
        pool_destroy(one);
        pool_destroy(three);
    }
    close_fixture(&f);
}

/* The cache may be cut back: what follows is as if the rest had never been there. */
static void test_context_rewinds(void **state)
{
    (void)state;
    enum { N = 20 };
    struct fixture f = open_fixture(&tied);
    struct pool *pool = pool_create(1, NULL);
    int32_t tokens[N];
    random_tokens(2, tokens, N, tied.vocab);
    float *once = logits_in_parts(&f, f.stored, pool, tokens, N, 1);
    float *again = make(f.model->hyper.vocab * sizeof *again);
    struct context *c = context_open(f.model, pool, N, NULL);
    for (size_t length = 0; length < N; length += 7) {
        context_prefill(c, f.stored, tokens + c->length, N - c->length, again);
        c->length = length;
        context_run(c, f.stored, tokens + length, 1, LOGITS_LAST, again);
        assert_same_logits(again, once + length * f.model->hyper.vocab, f.model->hyper.vocab, 1e-5);
    }
    context_close(c);
    free(once);
    free(again);
    pool_destroy(pool);
    close_fixture(&f);
}

/* Sequences side by side give the logits that each gives alone. */
static void test_sequences_side_by_side(void **state)
{
    (void)state;
    enum { N = 9, PROMPT = 11, STEPS = 5 };
    struct fixture f = open_fixture(&untied);
    struct pool *pool = pool_create(2, NULL);
    size_t vocab = f.model->hyper.vocab;
    int32_t prompt[PROMPT], tokens[STEPS * N];
    random_tokens(3, prompt, PROMPT, untied.vocab);
    random_tokens(4, tokens, STEPS * N, untied.vocab);
    struct context *together = context_open(f.model, pool, PROMPT + STEPS, NULL);
    float *logits = make(N * vocab * sizeof *logits), *alone = make(vocab * sizeof *alone);
    context_prefill(together, f.stored, prompt, PROMPT, NULL);
    assert_true(context_sequences(together, N, NULL));
    for (size_t step = 0; step < STEPS; step++)
        context_step(together, f.stored, tokens + step * N, logits);
    assert_int_equal(together->length, PROMPT + STEPS);
    for (size_t k = 0; k < N; k++) {
        struct context *c = context_open(f.model, pool, PROMPT + STEPS, NULL);
        context_prefill(c, f.stored, prompt, PROMPT, NULL);
        for (size_t step = 0; step < STEPS; step++)
            context_run(c, f.stored, &tokens[step * N + k], 1, LOGITS_LAST, alone);
        assert_same_logits(logits + k * vocab, alone, vocab, 1e-5);
        context_close(c);
    }
    context_close(together);
    free(logits);
    free(alone);
    pool_destroy(pool);
    close_fixture(&f);
}

/* ---- quality --------------------------------------------------------------------------------- */

static void test_predictions(void **state)
{
    (void)state;
    static const struct {
        enum protocol protocol;
        int32_t bos;
        size_t window, count, predictions;
    } cases[] = {
        /* With BOS every text token is predicted once, whatever the windows. */
        {PROTOCOL_FULL, 1, 8, 14, 14},
        {PROTOCOL_FULL, 1, 8, 15, 15}, /* the last window is BOS and one token */
        {PROTOCOL_FULL, 1, 8, 3, 3},   /* one short window */
        {PROTOCOL_FULL, 1, 8, 1, 1},
        {PROTOCOL_FULL, 1, 2, 5, 5},
        {PROTOCOL_FULL, 1, 8, 0, 0},
        /* Without, the first token of each window is not. */
        {PROTOCOL_FULL, -1, 8, 16, 14},
        {PROTOCOL_FULL, -1, 8, 17, 14}, /* a window of one token predicts nothing */
        {PROTOCOL_FULL, -1, 8, 18, 15},
        {PROTOCOL_FULL, -1, 8, 2, 1},
        {PROTOCOL_FULL, -1, 8, 1, 0},
        {PROTOCOL_FULL, -1, 2, 5, 2},
        /* Whole windows of BOS + text; of N predictions, those at N/2 .. N-2. */
        {PROTOCOL_LLAMACPP, 1, 8, 7, 3},
        {PROTOCOL_LLAMACPP, 1, 8, 6, 0},
        {PROTOCOL_LLAMACPP, 1, 8, 15, 6},
        {PROTOCOL_LLAMACPP, 1, 8, 22, 6},
        {PROTOCOL_LLAMACPP, 1, 7, 6, 3},
        {PROTOCOL_LLAMACPP, -1, 8, 7, 0},
        {PROTOCOL_LLAMACPP, -1, 8, 8, 3},
    };
    struct fixture f = open_fixture(&tied);
    struct pool *pool = pool_create(1, NULL);
    int32_t tokens[32];
    random_tokens(3, tokens, 32, tied.vocab);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct quality_plan plan = {tokens, cases[i].count, cases[i].bos, cases[i].protocol,
                                    cases[i].window, 0, NULL};
        struct error error = {""};
        assert_int_equal(quality_predictions(&plan, &error), cases[i].predictions);
        assert_int_equal(error.text[0] == 0, cases[i].predictions > 0);
        struct quality *q = quality_open(f.model, pool, &plan, f.stored, f.stored, &error);
        assert_int_equal(q != NULL, cases[i].predictions > 0);
        while (q && !quality_step(q, 0))
            continue;
        if (q) /* what was announced is what is scored */
            assert_int_equal(quality_result(q).scored, cases[i].predictions);
        quality_close(q);
    }
    assert_string_equal(protocol_name(PROTOCOL_FULL), "full");
    assert_string_equal(protocol_name(PROTOCOL_LLAMACPP), "llamacpp");
    pool_destroy(pool);
    close_fixture(&f);
}

static struct quality_result run_quality(const struct fixture *f, struct pool *pool,
                                         const struct quality_plan *plan, struct weights *reference,
                                         struct weights *scheme)
{
    struct error error = {""};
    struct quality *q = quality_open(f->model, pool, plan, reference, scheme, &error);
    if (!q)
        fail_msg("%s", error.text);
    assert_int_equal(quality_result(q).scored, 0);
    while (!quality_step(q, 0))
        continue;
    struct quality_result r = quality_result(q);
    quality_close(q);
    assert_int_equal(r.scored, r.planned);
    return r;
}

/* log P of every token after a row of logits, in double. */
static void log_probabilities(const float *logits, size_t n, double *out)
{
    double sum = 0, largest = -INFINITY;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, (double)logits[i]);
    for (size_t i = 0; i < n; i++)
        sum += exp(logits[i] - largest);
    for (size_t i = 0; i < n; i++)
        out[i] = logits[i] - largest - log(sum);
}

struct sums {
    size_t n, agreed;
    double nll, nll_reference, kl, kl_squared;
    double kls[100]; /* of each prediction */
};

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts the values. */
static double sorted_quantile(double *values, size_t n, double share)
{
    double at = share * (double)(n - 1);
    size_t k = (size_t)floor(at);
    qsort(values, n, sizeof *values, by_size);
    return k + 1 < n ? values[k] + (at - (double)k) * (values[k + 1] - values[k]) : values[k];
}

static void add_prediction(struct sums *s, const float *reference, const float *scheme,
                           size_t vocab, int32_t next) {
    double *p = make(vocab * sizeof *p), *q = make(vocab * sizeof *q), kl = 0;
    size_t best_p = 0, best_q = 0;
    log_probabilities(reference, vocab, p);
    log_probabilities(scheme, vocab, q);
    for (size_t i = 0; i < vocab; i++) {
        kl += exp(p[i]) * (p[i] - q[i]);
        best_p = p[i] > p[best_p] ? i : best_p;
        best_q = q[i] > q[best_q] ? i : best_q;
    }
    assert_true(s->n < sizeof s->kls / sizeof *s->kls);
    s->kls[s->n++] = kl;
    s->agreed += best_p == best_q;
    s->nll_reference -= p[next];
    s->nll -= q[next];
    s->kl += kl;
    s->kl_squared += kl * kl;
    free(p);
    free(q);
}

static void add_window(struct sums *s, const struct fixture *f, struct pool *pool,
                       struct weights *scheme, const int32_t *window, size_t n, size_t from)
{
    size_t vocab = f->model->hyper.vocab;
    float *reference = logits_in_parts(f, f->stored, pool, window, n, 1);
    float *other = logits_in_parts(f, scheme, pool, window, n, 1);
    for (size_t i = from; i + 1 < n; i++)
        add_prediction(s, reference + i * vocab, other + i * vocab, vocab, window[i + 1]);
    free(reference);
    free(other);
}

/* The windows run in chunks of other lengths here and there. */
static void assert_near(double value, double expected)
{
    if (!(fabs(value - expected) <= 1e-5 * fmax(fabs(expected), 1e-3)))
        fail_msg("%.15g; expected %.15g", value, expected);
}

/* The windows cut by hand, the sums made here. */
static void test_quality_by_hand(void **state)
{
    (void)state;
    enum { N = 100, WINDOW = 44, BOS = 1 };
    struct fixture f = open_fixture(&untied);
    struct pool *pool = pool_create(2, NULL);
    struct weights *int4 = requantized(&f, "int4:g16", pool);
    int32_t text[N], window[WINDOW];
    random_tokens(4, text, N, untied.vocab);
    for (int protocol = 0; protocol < PROTOCOL_COUNT; protocol++) {
        bool full = protocol == PROTOCOL_FULL;
        struct quality_plan plan = {text, N, BOS, (enum protocol)protocol, WINDOW, 0, NULL};
        struct sums s = {0};
        for (size_t at = 0; full ? at < N : at + WINDOW <= N + 1;
             at += full ? WINDOW - 1 : WINDOW) {
            /* full: BOS and 43 tokens; llamacpp: 44 tokens of BOS + text, the first replaced */
            size_t from = full ? at : at, n = full && N - at < WINDOW - 1 ? N - at + 1 : WINDOW;
            window[0] = BOS;
            for (size_t i = 1; i < n; i++)
                window[i] = text[from + i - 1];
            add_window(&s, &f, pool, int4, window, n, full ? 0 : WINDOW / 2);
        }
        struct quality_result r = run_quality(&f, pool, &plan, f.stored, int4);
        double n = (double)s.n, variance = (s.kl_squared - s.kl * s.kl / n) / (n - 1);
        assert_int_equal(r.scored, s.n);
        assert_int_equal(s.n, full ? N : 2 * (WINDOW - WINDOW / 2 - 1));
        assert_near(r.perplexity, exp(s.nll / n));
        assert_near(r.perplexity_reference, exp(s.nll_reference / n));
        assert_near(r.kl, s.kl / n);
        assert_near(r.kl_stderr, sqrt(variance / n));
        assert_near(r.kl_median, sorted_quantile(s.kls, s.n, 0.5));
        assert_near(r.kl_p99, sorted_quantile(s.kls, s.n, 0.99));
        assert_near(r.kl_max, s.kls[s.n - 1]);
        assert_near(r.top1, (double)s.agreed / n);
        assert_true(r.kl > 0 && r.top1 > 0.3 && r.top1 < 1);
    }
    weights_unref(int4);
    pool_destroy(pool);
    close_fixture(&f);
}

static void test_quality_against_itself(void **state)
{
    (void)state;
    enum { N = 90 };
    struct fixture f = open_fixture(&untied);
    struct pool *pool = pool_create(2, NULL);
    struct weights *copy = requantized(&f, "fp32", pool); /* the same numbers in other memory */
    int32_t text[N];
    random_tokens(5, text, N, untied.vocab);
    struct quality_plan plan = {text, N, 1, PROTOCOL_FULL, 64, 0, NULL};
    struct weights *sets[] = {f.stored, copy};
    for (size_t i = 0; i < 2; i++) {
        struct quality_result r = run_quality(&f, pool, &plan, f.stored, sets[i]);
        assert_true(r.kl == 0 && r.kl_stderr == 0 && r.top1 == 1);
        assert_true(r.kl_median == 0 && r.kl_p99 == 0 && r.kl_max == 0);
        assert_true(r.perplexity == r.perplexity_reference);
        assert_true(r.perplexity > 1 && isfinite(r.perplexity));
    }
    weights_unref(copy);
    pool_destroy(pool);
    close_fixture(&f);
}

/* Each share of values in every kind of order, against sorting them. */
static void test_quantiles(void **state)
{
    (void)state;
    enum { MOST = 300 };
    static const double shares[] = {0, 0.01, 0.25, 0.5, 0.7, 0.99, 1};
    double values[MOST], sorted[MOST];
    uint64_t seed = 8;
    for (size_t n = 1; n <= MOST; n += n < 20 ? 1 : 7)
        for (int kind = 0; kind < 5; kind++) {
            for (size_t i = 0; i < n; i++)
                values[i] = kind == 0   ? random_uniform(&seed)
                            : kind == 1 ? (double)random_below(&seed, 3)
                            : kind == 2 ? (double)i
                            : kind == 3 ? -(double)i
                                        : 7;
            memcpy(sorted, values, sizeof values);
            for (size_t k = 0; k < sizeof shares / sizeof *shares; k++) {
                double expected = sorted_quantile(sorted, n, shares[k]);
                double found = quantile(values, n, shares[k]);
                if (!(fabs(found - expected) <= 1e-12))
                    fail_msg("%g of %zu values of kind %d: %.17g; expected %.17g", shares[k], n, kind,
                             found, expected);
            }
            qsort(values, n, sizeof *values, by_size);
            assert_memory_equal(values, sorted, n * sizeof *values);
        }
}

/* While the job runs, quantiles lag behind by an eighth at most; the other figures do not. A step is a part of a pass: six
 * windows of four chunks and one of two, and both sets. */
static void test_quantiles_of_a_running_job(void **state)
{
    (void)state;
    enum { N = 400 };
    struct fixture f = open_fixture(&untied);
    struct pool *pool = pool_create(2, NULL);
    struct weights *int4 = requantized(&f, "int4:g16", pool);
    int32_t text[N];
    random_tokens(15, text, N, untied.vocab);
    struct quality_plan plan = {text, N, 1, PROTOCOL_FULL, 64, 16, NULL};
    struct quality *q = quality_open(f.model, pool, &plan, f.stored, int4, NULL);
    assert_non_null(q);
    struct quality_result r, before = {0};
    size_t steps = 0, changes = 0, complete = 0;
    struct quality_result last = {0};
    for (bool done = false; !done; steps++, before = r) {
        done = quality_step(q, 0);
        r = quality_result(q);
        if (r.scored == 0) /* the reference ran, the scheme is next */
            continue;
        assert_true(r.kl_median > 0 && r.kl_median <= r.kl_p99 && r.kl_p99 <= r.kl_max);
        assert_true(r.kl_max >= before.kl_max && r.kl <= r.kl_max);
        changes += r.kl_median != before.kl_median;
        complete += quality_is_complete(&r);
        if (complete == 1) {
            assert_int_equal(r.ran, N); /* who sees all predictions sees that all has run, */
            last = r;
        }
    }
    r = quality_result(q);
    assert_true(complete >= 1 && last.kl_median == r.kl_median && last.kl_p99 == r.kl_p99); /* and final figures */
    assert_true(changes >= 8 && changes < steps);
    assert_true(steps > (6 * 4 + 2) * 2 * forward_parts(f.model));
    quality_close(q);
    weights_unref(int4);
    pool_destroy(pool);
    close_fixture(&f);
}

/* A logit that is no number leaves no figure that it is in, and not a zero. */
static void test_quality_of_what_is_not_finite(void **state)
{
    (void)state;
    enum { N = 60 };
    struct fixture f = open_fixture(&untied);
    struct pool *pool = pool_create(2, NULL);
    int32_t text[N];
    random_tokens(16, text, N, untied.vocab);
    struct quality_plan plan = {text, N, 1, PROTOCOL_FULL, 64, 0, NULL};
    struct qtensor *norm = f.stored->layer[model_find(f.model, ROLE_OUTPUT_NORM, -1)];
    struct qtensor copy = {.tensor = norm->tensor, .matrix = norm->matrix};
    float *values = make(norm->matrix.cols * sizeof *values);
    atomic_init(&copy.refs, 1);
    for (size_t i = 0; i < norm->matrix.cols; i++)
        values[i] = NAN;
    copy.matrix.codes = (const uint8_t *)values;
    struct weights *set = weights_replace(f.stored, &copy);
    struct quality_result r = run_quality(&f, pool, &plan, f.stored, set);
    assert_true(isnan(r.perplexity) && isfinite(r.perplexity_reference) && r.perplexity_reference > 1);
    assert_true(isnan(r.kl) && isnan(r.kl_stderr) && isnan(r.kl_median) && isnan(r.kl_p99) &&
                isnan(r.kl_max) && isnan(r.top1));
    assert_non_null(quality_reason(r.kl));
    assert_null(quality_reason(r.perplexity_reference));
    assert_non_null(quality_reason(INFINITY));
    weights_unref(set);
    free(values);
    pool_destroy(pool);
    close_fixture(&f);
}

static void test_quality_with_any_number_of_threads(void **state)
{
    (void)state;
    enum { N = 120 };
    struct fixture f = open_fixture(&tied);
    int32_t text[N];
    random_tokens(6, text, N, tied.vocab);
    struct quality_plan plan = {text, N, 1, PROTOCOL_FULL, 50, 0, NULL};
    struct quality_result first;
    memset(&first, 0, sizeof first);
    for (int threads = 1; threads <= 3; threads++) {
        struct pool *pool = pool_create(threads, NULL);
        struct weights *set = requantized(&f, "int8/int8", pool);
        struct quality_result r = run_quality(&f, pool, &plan, f.stored, set);
        if (threads == 1)
            first = r;
        assert_memory_equal(&r, &first, sizeof r);
        weights_unref(set);
        pool_destroy(pool);
    }
    close_fixture(&f);
}

/* ---- recipes --------------------------------------------------------------------------------- */

static struct scheme *stored_schemes(const struct model *m)
{
    struct scheme *schemes = make(schemes_count(m) * sizeof *schemes);
    for (size_t t = 0; t < m->tensor_count; t++)
        schemes[t] = scheme_stored(&m->tensors[t].stored);
    schemes[kv_index(m)] = scheme_default(DTYPE_FP32);
    return schemes;
}

static bool apply_text(const struct model *m, const char *text, struct scheme *schemes,
                       struct error *error)
{
    struct recipe recipe;
    if (!recipe_parse(&recipe, "recipe", text, strlen(text), error))
        fail_msg("%s", error->text);
    bool ok = recipe_apply(&recipe, m, schemes, error);
    recipe_free(&recipe);
    return ok;
}

static void assert_scheme(const struct model *m, const struct scheme *schemes, const char *tensor,
                          const char *expected)
{
    char text[SCHEME_TEXT];
    int t = model_find_name(m, tensor);
    assert_true(t >= 0);
    if (strcmp(scheme_print(&schemes[t], text), expected) != 0)
        fail_msg("%s is %s; expected %s", tensor, text, expected);
}

static void test_recipe_rules(void **state)
{
    (void)state;
    struct fixture f = open_fixture(&untied);
    struct scheme *s = stored_schemes(f.model);
    struct error error = {""};
    assert_true(apply_text(f.model,
                           "# all of it\n"
                           "\n"
                           "*\t\tint4:g16   # every matrix\r\n"
                           "blk.*.attn_*      w8a8\n"
                           "  blk.1.attn_[qk] fp16\n"
                           "blk.0.ffn_norm fp16\n"
                           "blk.0.ffn_up int8\n"
                           "blk.0.ffn_up stored\n"
                           "output bf16/bf16",
                           s, &error));
    assert_scheme(f.model, s, "blk.0.ffn_gate", "int4:g16");
    assert_scheme(f.model, s, "blk.0.attn_q", "int8/int8");
    assert_scheme(f.model, s, "blk.1.attn_v", "int8/int8");
    assert_scheme(f.model, s, "blk.1.attn_q", "fp16"); /* the last match wins */
    assert_scheme(f.model, s, "blk.1.attn_k", "fp16");
    assert_scheme(f.model, s, "blk.0.ffn_norm", "fp16");
    assert_scheme(f.model, s, "blk.1.ffn_norm", "stored"); /* `*` is for matrices */
    assert_scheme(f.model, s, "blk.0.attn_norm", "stored");
    assert_scheme(f.model, s, "blk.0.ffn_up", "stored");
    assert_scheme(f.model, s, "output", "bf16/bf16");
    assert_scheme(f.model, s, "output_norm", "stored");
    assert_scheme(f.model, s, "token_embd", "int4:g16");
    assert_true(apply_text(f.model, "* w8a8\n", s, &error));
    assert_scheme(f.model, s, "token_embd", "int8"); /* it multiplies nothing */
    assert_scheme(f.model, s, "output", "int8/int8");
    assert_true(apply_text(f.model, "", s, &error));
    assert_scheme(f.model, s, "output", "int8/int8");
    free(s);
    close_fixture(&f);
}

static void test_recipe_of_a_tied_model(void **state)
{
    (void)state;
    struct fixture f = open_fixture(&tied);
    struct scheme *s = stored_schemes(f.model);
    struct error error = {""};
    assert_true(apply_text(f.model, "output w8a8\n", s, &error));
    assert_scheme(f.model, s, "token_embd", "int8/int8"); /* the alias, and it multiplies here */
    assert_true(apply_text(f.model, "output stored\ntoken_embd fp16/bf16\n", s, &error));
    assert_scheme(f.model, s, "output", "fp16/bf16");
    assert_false(apply_text(f.model, "outpu[t] fp16\n", s, &error)); /* an alias is no glob's */
    free(s);
    close_fixture(&f);
}

static void test_recipe_that_matches_nothing(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"blk.0.attn_qq int8\n", "line 1", "blk.0.attn_q"},
        {"* int8\nblk.7.ffn_down fp16\n", "line 2", "ffn_down"},
        {"\n\nouput int8\n", "line 3", "output"},
        {"blk.*.attn_norm fp16\n", "line 1", "attn_norm"}, /* vectors by their own name only */
        {"tokenembd fp16\n", "line 1", "token_embd"},
        {"zzz[ int8\n", "line 1", ""},
    };
    struct fixture f = open_fixture(&untied);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct scheme *s = stored_schemes(f.model);
        struct error error = {""};
        assert_false(apply_text(f.model, cases[i][0], s, &error));
        const char *nearest = strstr(error.text, "nearest name is ");
        assert_non_null(strstr(error.text, cases[i][1]));
        assert_non_null(nearest);
        assert_non_null(strstr(nearest, cases[i][2]));
        for (size_t t = 0; t < f.model->tensor_count; t++)
            assert_true(s[t].format.stored); /* no rule of such a recipe is applied */
        free(s);
    }
    close_fixture(&f);
}

static void test_bad_recipe_lines(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"blk.0.attn_q\n", "my.recipe, line 1", "no scheme"},
        {"* int8\n\n# x\n* int9\n", "my.recipe, line 4", "unknown weight datatype"},
        {"* int8 fp16\n", "my.recipe, line 1", "'fp16' after the scheme"},
        {"* int8\n*", "my.recipe, line 2", "no scheme"},
        {"* int8:\x1b[2J\n", "my.recipe, line 1", "\\x1b[2J"},
        {"\x80\xff \x01\n", "my.recipe, line 1", "\\x01"},
        {"* fp16/int8", "my.recipe, line 1", "int8 activations"},
    };
    struct recipe r;
    struct error error;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_false(recipe_parse(&r, "my.recipe", cases[i][0], strlen(cases[i][0]), &error));
        assert_non_null(strstr(error.text, cases[i][1]));
        assert_non_null(strstr(error.text, cases[i][2]));
        for (const char *p = error.text; *p; p++)
            assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
        assert_int_equal(r.count, 0);
    }
    char long_line[2000] = "* int8\n";
    memset(long_line + 7, 'x', sizeof long_line - 8);
    long_line[sizeof long_line - 1] = 0;
    assert_false(recipe_parse(&r, "my.recipe", long_line, strlen(long_line), &error));
    assert_non_null(strstr(error.text, "line 2"));
    assert_false(
        recipe_parse(&r, "my.recipe", "* int8\n\0 \0\n", 11, &error)); /* NUL is text too */
    assert_non_null(strstr(error.text, "line 2"));
    assert_false(recipe_read(&r, "/nonexistent/recipe", &error));
    assert_non_null(strstr(error.text, "/nonexistent/recipe"));
}

/* Any bytes at all: refused with a line, or rules. */
static void test_recipe_of_random_bytes(void **state)
{
    (void)state;
    static const char *const pieces[] = {"*", " ", "\n", "#", "int8", "w8a8", "blk.0.attn_q", "\t",
                                         "\x1b", "\xff", ":", "stored", "[", "\\", "output"};
    struct fixture f = open_fixture(&tied);
    uint64_t seed = 7;
    for (int n = 0; n < 5000; n++) {
        char text[400] = "";
        for (size_t k = random_below(&seed, 25); k > 0; k--)
            strcat(text, pieces[random_below(&seed, sizeof pieces / sizeof *pieces)]);
        struct recipe r;
        struct error error = {""};
        struct scheme *s = stored_schemes(f.model);
        if (!recipe_parse(&r, "r", text, strlen(text), &error))
            assert_non_null(strstr(error.text, "line "));
        else if (!recipe_apply(&r, f.model, s, &error))
            assert_non_null(strstr(error.text, "line "));
        for (size_t t = 0; t < f.model->tensor_count; t++)
            assert_true(s[t].format.stored || scheme_check(&s[t], NULL));
        recipe_free(&r);
        free(s);
    }
    close_fixture(&f);
}

static void random_walk(const struct model *m, uint64_t *seed, struct scheme *schemes)
{
    for (int t = 0; t < (int)schemes_count(m); t++) /* the KV cache's, too */
        for (size_t k = random_below(seed, 12); k > 0; k--) {
            enum change change = (enum change)random_below(seed, CHANGE_SYMMETRY + 1);
            struct scheme to;
            if (scheme_cycle(m, t, &schemes[t], change, 1, NULL, &to, NULL))
                schemes[t] = to;
        }
}

static void check_recipe_round_trip(const struct model *m, uint64_t *seed, const char *path)
{
    struct scheme *written = stored_schemes(m), *read = stored_schemes(m);
    struct recipe r;
    struct error error = {""};
    random_walk(m, seed, written);
    assert_true(recipe_write(path, m, written, &error));
    if (!recipe_read(&r, path, &error) || !recipe_apply(&r, m, read, &error))
        fail_msg("%s", error.text);
    recipe_free(&r);
    for (size_t t = 0; t < schemes_count(m); t++)
        assert_true(scheme_equal(&written[t], &read[t]));
    free(written);
    free(read);
}

static void test_recipe_round_trip(void **state)
{
    (void)state;
    const struct tiny *const tinies[] = {&untied, &tied};
    uint64_t seed = 8;
    for (size_t i = 0; i < 2; i++) {
        struct fixture f = open_fixture(tinies[i]);
        char *path, *pattern;
        assert_true(asprintf(&path, "%s.recipe", f.path) > 0);
        assert_true(asprintf(&pattern, "%s.recipe*", f.path) > 0);
        for (int n = 0; n < 20; n++)
            check_recipe_round_trip(f.model, &seed, path);
        glob_t left;
        assert_int_equal(glob(pattern, 0, NULL, &left), 0);
        assert_int_equal(left.gl_pathc, 1); /* no temporary file stays behind */
        globfree(&left);
        unlink(path);
        free(path);
        free(pattern);
        struct scheme *s = stored_schemes(f.model);
        struct error error = {""};
        assert_false(recipe_write("/nonexistent/recipe", f.model, s, &error));
        assert_non_null(strstr(error.text, "/nonexistent/recipe"));
        char *pipe; /* that nobody reads */
        assert_true(asprintf(&pipe, "%s.pipe", f.path) > 0);
        assert_int_equal(mkfifo(pipe, 0600), 0);
        assert_false(recipe_write(pipe, f.model, s, &error));
        assert_non_null(strstr(error.text, "cannot be written"));
        unlink(pipe);
        free(pipe);
        free(s);
        close_fixture(&f);
    }
}

/* ---- cycles ---------------------------------------------------------------------------------- */

/* Whether two schemes agree in the field that a change is about. */
static bool same_field(const struct scheme *a, const struct scheme *b, enum change change)
{
    if (change == CHANGE_WEIGHT)
        return a->format.stored == b->format.stored && (a->format.stored || a->format.weight == b->format.weight);
    return scheme_equal(a, b); /* the other fields stay, so all must agree */
}

static void check_cycle_from(const struct model *m, int t, const struct scheme *from,
                             enum change change)
{
    struct scheme there, back, at = *from;
    struct error why = {""};
    char text[SCHEME_TEXT];
    if (!scheme_cycle(m, t, from, change, 1, NULL, &there, &why)) {
        assert_memory_equal(why.text, m->tensors[t].name, strlen(m->tensors[t].name));
        assert_true(strlen(why.text) > strlen(m->tensors[t].name) + 10);
        return;
    }
    assert_true(there.format.stored || (scheme_check(&there, NULL) && spellable(&there)));
    if (from->format.group >= m->tensors[t].stored.cols)
        return; /* no stop of this tensor's cycle: a group as long as the row */
    for (int direction = -1; direction <= 1; direction += 2) {
        assert_true(scheme_cycle(m, t, from, change, direction, NULL, &there, NULL));
        assert_true(scheme_cycle(m, t, &there, change, -direction, NULL, &back, NULL));
        if (!same_field(&back, from, change))
            fail_msg("%s: %s, change %d: there and back is another one", m->tensors[t].name,
                     scheme_print(from, text), (int)change);
    }
    int steps = 0;
    do {
        assert_true(scheme_cycle(m, t, &at, change, 1, NULL, &at, NULL));
        assert_true(++steps < 32);
    } while (!same_field(&at, from, change));
    assert_true(steps > 1);
}

static void test_cycles(void **state)
{
    (void)state;
    const struct tiny *const tinies[] = {&untied, &tied, &wide};
    uint64_t seed = 9;
    for (size_t i = 0; i < 3; i++) {
        struct fixture f = open_fixture(tinies[i]);
        for (int t = 0; t < (int)f.model->tensor_count; t++) {
            struct scheme s = scheme_stored(&f.model->tensors[t].stored), to;
            for (int n = 0; n < 150; n++) {
                for (int change = 0; change <= CHANGE_SYMMETRY; change++)
                    check_cycle_from(f.model, t, &s, (enum change)change);
                if (scheme_cycle(f.model, t, &s, (enum change)random_below(&seed, 4),
                                 random_below(&seed, 2) ? 1 : -1, NULL, &to, NULL))
                    s = to;
            }
        }
        close_fixture(&f);
    }
}

/* The order of the stops, as the screens describe it. */
static void test_cycle_order(void **state)
{
    (void)state;
    static const struct {
        const char *tensor;
        enum change change;
        const char *stops[17];
    } cases[] = {
        {"blk.0.attn_q", CHANGE_WEIGHT,
         {"stored", "fp16", "bf16", "int8", "int4", "fp8e4m3", "fp8e5m2", "q8_0", "mxfp4", "nvfp4", "nf4",
          "stored"}},
        {"blk.0.attn_q", CHANGE_ACT,
         {"int8", "int8/fp16", "int8/bf16", "int8/int8", "int8/int8.asym", "int8"}},
        {"blk.0.attn_q", CHANGE_ACT,
         {"fp8e4m3", "fp8e4m3/fp16", "fp8e4m3/bf16", "fp8e4m3/fp8e4m3", "fp8e4m3/fp8e5m2",
          "fp8e4m3"}},
        {"blk.0.attn_q", CHANGE_ACT, {"bf16", "bf16/fp16", "bf16/bf16", "bf16"}},
        {"blk.0.attn_q", CHANGE_GRANULARITY,
         {"int8", "int8:g256", "int8:g128", "int8:g64", "int8:g32", "int8:g16", "int8:tensor",
          "int8"}},
        {"blk.0.ffn_down", CHANGE_SYMMETRY, {"int4", "int4:asym", "int4"}},
        {"blk.0.attn_q", CHANGE_WEIGHT, /* what the next datatype can keep, it keeps */
         {"int8/int8.asym:asym", "int4/int8.asym:asym", "fp8e4m3", "fp8e5m2"}},
        {"blk.0.attn_q", CHANGE_WEIGHT, {"mxfp4/int8:gptq", "nvfp4/int8:gptq", "nf4:gptq"}},
    };
    struct fixture f = open_fixture(&wide);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct scheme s;
        int t = model_find_name(f.model, cases[i].tensor);
        assert_true(scheme_parse(cases[i].stops[0], &s, NULL));
        if (s.format.stored)
            s = scheme_stored(&f.model->tensors[t].stored);
        for (size_t k = 1; k < 17 && cases[i].stops[k]; k++) {
            char text[SCHEME_TEXT];
            assert_true(scheme_cycle(f.model, t, &s, cases[i].change, 1, NULL, &s, NULL));
            assert_string_equal(scheme_print(&s, text), cases[i].stops[k]);
        }
    }
    close_fixture(&f);
}

/* Along datatypes without scales, and over sizes that are passed over, what was chosen comes back. */
static void test_cycles_keep_what_was_chosen(void **state)
{
    (void)state;
    static const struct {
        const char *begin;
        struct {
            enum change change;
            int direction;
            const char *there;
        } steps[12];
    } walks[] = {
        {"int4:g64:asym",
         {{CHANGE_WEIGHT, -1, "int8:g64:asym"}, {CHANGE_WEIGHT, -1, "bf16"}, {CHANGE_WEIGHT, 1, "int8:g64:asym"},
          {CHANGE_SYMMETRY, 1, "int8:g64"}, {CHANGE_WEIGHT, 1, "int4:g64"}, {CHANGE_WEIGHT, 1, "fp8e4m3:g64"},
          {CHANGE_WEIGHT, 1, "fp8e5m2:g64"}, {CHANGE_WEIGHT, 1, "q8_0"}, {CHANGE_WEIGHT, -1, "fp8e5m2:g64"}}},
        {"int8:g64",
         {{CHANGE_GRANULARITY, -1, "int8:g128"}, {CHANGE_GRANULARITY, -1, "int8:g256"}, {CHANGE_GRANULARITY, -1, "int8"},
          {CHANGE_GRANULARITY, 1, "int8:g64"}, {CHANGE_GRANULARITY, 1, "int8:g32"}, {CHANGE_WEIGHT, 1, "int4:g32"},
          {CHANGE_WEIGHT, -1, "int8:g32"}}},
        {"int4:channel", {{CHANGE_WEIGHT, -1, "int8"}, {CHANGE_WEIGHT, 1, "int4:channel"}}},
        {"int4", {{CHANGE_WEIGHT, -1, "int8"}, {CHANGE_WEIGHT, 1, "int4"}}},
    };
    struct fixture f = open_fixture(&wide);
    int t = model_find_name(f.model, "blk.0.attn_q");
    for (size_t i = 0; i < sizeof walks / sizeof *walks; i++) {
        struct scales_choice chosen = {0};
        struct scheme s;
        char text[SCHEME_TEXT];
        assert_true(scheme_parse(walks[i].begin, &s, NULL));
        for (size_t k = 0; k < 12 && walks[i].steps[k].there; k++) {
            assert_true(scheme_cycle(f.model, t, &s, walks[i].steps[k].change, walks[i].steps[k].direction, &chosen,
                                     &s, NULL));
            assert_string_equal(scheme_print(&s, text), walks[i].steps[k].there);
        }
    }
    close_fixture(&f);
}

/* From what a file stores to the datatype that is nearest in bits. */
static void test_cycle_from_stored(void **state)
{
    (void)state;
    static const struct {
        enum dtype stored;
        const char *next;
    } cases[] = {{DTYPE_FP32, "fp16"}, {DTYPE_FP16, "bf16"},  {DTYPE_BF16, "int8"}, {DTYPE_Q8_0, "int8"},
                 {DTYPE_Q6_K, "int8"}, {DTYPE_Q5_K, "int4"},  {DTYPE_Q4_1, "int4"}, {DTYPE_Q4_K, "int4"},
                 {DTYPE_Q4_0, "int4"}, {DTYPE_Q3_K, "int4"},  {DTYPE_Q2_K, "int4"}};
    struct fixture f = open_fixture(&wide);
    int t = model_find_name(f.model, "blk.0.attn_q");
    struct qmatrix *stored = &f.model->tensors[t].stored, before = *stored;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[SCHEME_TEXT];
        stored->format.weight = cases[i].stored;
        struct scheme from = scheme_stored(stored), s = from;
        assert_true(scheme_cycle(f.model, t, &from, CHANGE_WEIGHT, 1, NULL, &s, NULL));
        assert_string_equal(scheme_print(&s, text), cases[i].next);
        assert_true(scheme_cycle(f.model, t, &s, CHANGE_WEIGHT, -1, NULL, &s, NULL));
        assert_true(s.format.stored);
    }
    *stored = before;
    close_fixture(&f);
}

static void test_cycle_reasons(void **state)
{
    (void)state;
    static const struct {
        const char *tensor, *scheme;
        enum change change;
        const char *reason;
    } cases[] = {
        {"blk.0.attn_q", "stored", CHANGE_ACT, "choose a datatype first (d): stored floats multiply fp32 activations"},
        {"blk.0.attn_q", "stored", CHANGE_GRANULARITY, "choose a datatype first (d): stored weights have the scales"},
        {"blk.0.attn_q", "stored", CHANGE_SYMMETRY, "choose a datatype first (d): stored weights have the zero points"},
        {"blk.0.attn_q", "stored", CHANGE_METHOD, "choose a datatype first (d): stored weights are not rounded"},
        {"token_embd", "int8", CHANGE_ACT, "not a matrix product: no activations"},
        {"output_norm", "fp16", CHANGE_ACT, "not a matrix product: no activations"},
        {"blk.0.attn_q", "fp16", CHANGE_GRANULARITY, "no scales"},
        {"blk.0.attn_q", "bf16", CHANGE_SYMMETRY, "zero point"},
        {"blk.0.attn_q", "fp8", CHANGE_SYMMETRY, "zero point"},
    };
    struct fixture f = open_fixture(&untied);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct scheme s, to, out[4];
        struct error why = {""};
        assert_true(scheme_parse(cases[i].scheme, &s, NULL));
        int t = model_find_name(f.model, cases[i].tensor);
        assert_false(scheme_cycle(f.model, t, &s, cases[i].change, 1, NULL, &to, &why));
        assert_non_null(strstr(why.text, cases[i].reason));
        assert_int_equal(scheme_choices(f.model, t, &s, cases[i].change, out, 4), 0);
    }
    close_fixture(&f);
    f = open_fixture(&tied);
    struct scheme s = scheme_default(DTYPE_INT8), to;
    assert_true(scheme_cycle(f.model, 0, &s, CHANGE_ACT, 1, NULL, &to, NULL)); /* here it is the head */
    close_fixture(&f);
}

/* ---- which figures compare --------------------------------------------------------------------- */

static void test_what_compares(void **state)
{
    (void)state;
    const struct quality_result a = {.basis = {"self", 100, PROTOCOL_FULL, 64}, .scored = 98, .planned = 98};
    struct quality_result b = a;
    assert_null(quality_differs(&a, &b));
    b.perplexity = 3;
    b.kl = 1;
    assert_null(quality_differs(&a, &b));
    strcpy(b.basis.text, "wiki.txt");
    assert_string_equal(quality_differs(&a, &b), "another text");
    b = a;
    b.basis.tokens = 101;
    assert_string_equal(quality_differs(&a, &b), "another number of tokens");
    b = a;
    b.scored = 97;
    assert_string_equal(quality_differs(&a, &b), "another number of tokens");
    b = a;
    b.basis.window = 32;
    assert_string_equal(quality_differs(&a, &b), "another window");
    b = a;
    b.basis.protocol = PROTOCOL_LLAMACPP;
    assert_string_equal(quality_differs(&a, &b), "another protocol");
    assert_true(quality_is_complete(&a));
    b = a;
    b.scored = 97;
    assert_false(quality_is_complete(&b));
    b.scored = b.planned = 0;
    assert_false(quality_is_complete(&b));
}

/* ---- sampler --------------------------------------------------------------------------------- */

static void test_argmax(void **state)
{
    (void)state;
    const float equal[] = {1, 3, 2, 3, 3}, all_nan[] = {NAN, NAN, NAN};
    uint64_t seed = 10;
    assert_int_equal(sampler_argmax(equal, 5), 1);
    assert_true(sampler_argmax(all_nan, 3) < 3);
    for (int n = 0; n < 2000; n++) {
        size_t count = 1 + random_below(&seed, 50), nans = 0;
        float *values = make(count * sizeof *values);
        for (size_t i = 0; i < count; i++) {
            values[i] = (float)random_normal(&seed);
            if (n % 2 && random_below(&seed, 4) == 0) {
                values[i] = random_below(&seed, 2) ? NAN : -INFINITY;
                nans += values[i] != values[i];
            }
        }
        size_t best = sampler_argmax(values, count);
        assert_true(best < count);
        for (size_t i = 0; nans == 0 && i < count; i++)
            assert_true(values[i] < values[best] || (values[i] == values[best] && i >= best));
        free(values);
    }
}

static void test_uniform(void **state)
{
    (void)state;
    struct sampler a = {0}, b = {0}, other = {0};
    double sum = 0;
    size_t differ = 0, bins[16] = {0};
    enum { N = 100000 };
    sampler_seed(&a, 99);
    sampler_seed(&b, 99);
    sampler_seed(&other, 100);
    for (int n = 0; n < N; n++) {
        float u = sampler_uniform(&a);
        assert_true(u >= 0 && u < 1);
        assert_true(u * 0x1p24f == floorf(u * 0x1p24f));
        assert_true(u == sampler_uniform(&b));
        differ += u != sampler_uniform(&other);
        bins[(int)(u * 16)]++;
        sum += (double)u;
    }
    assert_true(fabs(sum / N - 0.5) <= 0.005);
    assert_true(differ > N - 100);
    for (size_t i = 0; i < 16; i++)
        assert_true(bins[i] > N / 16 * 9 / 10 && bins[i] < N / 16 * 11 / 10);
}

/* Whatever the logits are, a token inside the vocabulary. */
static void test_choose_stays_in_bounds(void **state)
{
    (void)state;
    static const float temperatures[] = {0, 1e-38f, 0.5f, 1, 100, -1, NAN, INFINITY};
    static const float shares[] = {0, 1e-6f, 0.5f, 0.9f, 0.999999f, 1, 2};
    static const float odd[] = {NAN, INFINITY, -INFINITY, 1e38f, -1e38f, 0};
    uint64_t seed = 11;
    for (int n = 0; n < 4000; n++) {
        size_t count = 1 + random_below(&seed, 40);
        float *logits = make(count * sizeof *logits);
        int32_t *order = make(count * sizeof *order);
        struct sampler s = {temperatures[random_below(&seed, 8)], shares[random_below(&seed, 7)],
                            0};
        sampler_seed(&s, random_bits(&seed));
        bool one_kind = random_below(&seed, 3) == 0;
        float kind = odd[random_below(&seed, 6)];
        for (size_t i = 0; i < count; i++)
            logits[i] = one_kind                        ? kind
                        : random_below(&seed, 4) == 0 ? odd[random_below(&seed, 6)]
                                                        : (float)random_normal(&seed);
        assert_true(sampler_choose(&s, logits, count, order) < count);
        free(logits);
        free(order);
    }
}

/* Draws from one distribution: only tokens of the nucleus, each as often as its share of it. */
static void check_nucleus(const float *logits, size_t n, float temperature, float top_p)
{
    enum { DRAWS = 20000, MOST = 64 };
    double p[MOST], sum = 0, mass = 0;
    size_t count[MOST] = {0}, rank[MOST];
    for (size_t i = 0; i < n; i++)
        sum += p[i] = exp((double)logits[i] / (double)temperature);
    for (size_t i = 0; i < n; i++) { /* by insertion: most probable first */
        p[i] /= sum;
        size_t k = i;
        for (; k > 0 && p[rank[k - 1]] < p[i]; k--)
            rank[k] = rank[k - 1];
        rank[k] = i;
    }
    size_t kept = 0;
    while (kept < n && (kept == 0 || mass < (double)top_p))
        mass += p[rank[kept++]];
    struct sampler s = {temperature, top_p, 0};
    sampler_seed(&s, 12);
    for (int d = 0; d < DRAWS; d++) {
        float copy[MOST];
        int32_t order[MOST];
        memcpy(copy, logits, n * sizeof *copy);
        count[sampler_choose(&s, copy, n, order)]++;
    }
    for (size_t k = 0; k < n; k++) {
        double share = k < kept ? p[rank[k]] / mass : 0, got = (double)count[rank[k]] / DRAWS;
        double slack = 5 * sqrt(share * (1 - share) / DRAWS) + 1e-4; /* five standard errors */
        if (!(fabs(got - share) <= (k < kept ? slack : 0)))
            fail_msg("top_p %g of %zu, rank %zu of %zu: drawn %g; expected %g", (double)top_p, n, k,
                     kept, got, share);
    }
}

static void test_nucleus(void **state)
{
    (void)state;
    static const float shares[] = {0.1f, 0.5f, 0.9f, 0.99f, 1};
    uint64_t seed = 13;
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++)
        for (size_t n = 1; n <= 64; n = n * 2 + 1) {
            float logits[64];
            for (size_t k = 0; k < n; k++)
                logits[k] = (float)(2 * random_normal(&seed));
            check_nucleus(logits, n, 1, shares[i]);
            check_nucleus(logits, n, 0.7f, shares[i]);
        }
}

/* The smallest nucleus is the most probable token, also of a nearly flat distribution. */
static void test_smallest_nucleus(void **state)
{
    (void)state;
    const float flat[] = {0.00f, 0.02f, 0.05f, 0.01f, 0.03f}, steep[] = {1, 9, 2};
    check_nucleus(steep, 3, 1, 0);
    check_nucleus(flat, 5, 1, 0.001f);
    check_nucleus(flat, 5, 1, 0);
}

static void test_same_seed_same_tokens(void **state)
{
    (void)state;
    uint64_t seed = 14;
    struct sampler a = {0.8f, 0.9f, 0}, b = a;
    float logits[40], copy[40];
    int32_t order[40];
    sampler_seed(&a, 5);
    sampler_seed(&b, 5);
    for (int n = 0; n < 500; n++) {
        for (size_t i = 0; i < 40; i++)
            logits[i] = (float)random_normal(&seed);
        memcpy(copy, logits, sizeof copy);
        struct sampler greedy = {0, 0.9f, 0};
        assert_int_equal(sampler_choose(&greedy, copy, 40, order), sampler_argmax(logits, 40));
        assert_memory_equal(copy, logits, sizeof copy); /* temperature 0 leaves the logits alone */
        size_t token = sampler_choose(&a, copy, 40, order);
        assert_int_equal(sampler_choose(&b, logits, 40, order), token);
    }
}

/* ---- text ------------------------------------------------------------------------------------ */

/* The length of the well-formed character at s (Unicode 15, table 3-7), or 0. */
static size_t well_formed(const uint8_t *s, size_t n)
{
    static const struct {
        uint8_t first, last, low, high, length;
    } table[] = {
        {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (s[0] < table[i].first || s[0] > table[i].last || n < table[i].length)
            continue;
        if (table[i].length > 1 && (s[1] < table[i].low || s[1] > table[i].high))
            continue;
        for (size_t k = 2; k < table[i].length; k++)
            if ((s[k] & 0xc0) != 0x80)
                return 0;
        return table[i].length;
    }
    return 0;
}

static bool is_utf8(const char *text, size_t n)
{
    for (size_t i = 0, length; i < n; i += length)
        if (!(length = well_formed((const uint8_t *)text + i, n - i)))
            return false;
    return true;
}

static bool is_safe(const char *text, size_t n)
{
    const uint8_t *s = (const uint8_t *)text;
    for (size_t i = 0; i < n; i++)
        if (s[i] < 0x20 || s[i] == 0x7f || (s[i] == 0xc2 && i + 1 < n && s[i + 1] < 0xa0))
            return false;
    for (size_t i = 0; i + 2 < n; i++) /* U+200E, U+200F, U+202A to U+202E, U+2066 to U+2069 */
        if (s[i] == 0xe2 && ((s[i + 1] == 0x80 && (s[i + 2] == 0x8e || s[i + 2] == 0x8f)) ||
                             (s[i + 1] == 0x80 && s[i + 2] >= 0xaa && s[i + 2] <= 0xae) ||
                             (s[i + 1] == 0x81 && s[i + 2] >= 0xa6 && s[i + 2] <= 0xa9)))
            return false;
    return is_utf8(text, n) && !memmem(text, n, "\xd8\x9c", 2);
}

static void check_escape(const char *text, size_t n)
{
    char whole[128], part[16];
    size_t length = escape_text(whole, sizeof whole, text, n);
    assert_int_equal(whole[length], 0);
    assert_true(length <= 4 * n);
    if (!is_safe(whole, length))
        fail_msg("escaped text is not safe: %zu bytes beginning 0x%02x", n, (uint8_t)text[0]);
    if (is_safe(text, n)) {
        assert_int_equal(length, n);
        assert_memory_equal(whole, text, n);
    }
    for (size_t size = 0; size < sizeof part; size++) { /* cut, but never inside a character */
        memset(part, 'x', sizeof part);
        size_t made = escape_text(part, size, text, n);
        assert_true(made == 0 || made < size);
        assert_memory_equal(part, whole, made);
        assert_true(is_safe(part, made));
        assert_int_equal(part[made], size ? 0 : 'x');
        for (size_t i = size; i < sizeof part; i++)
            assert_int_equal(part[i], 'x');
    }
}

static size_t stream_in_parts(const char *text, size_t n, uint64_t *seed, char *out)
{
    struct stream s = {{0}, 0};
    size_t written = 0;
    for (size_t at = 0; at < n;) {
        size_t part = seed ? random_below(seed, n - at + 1) : n - at;
        char *piece = make(STREAM_GROWTH * (part + 4)); /* the room that is promised, no more */
        size_t now = stream_add(&s, text + at, part, piece);
        assert_true(is_utf8(piece, now)); /* every piece is whole characters */
        memcpy(out + written, piece, now);
        written += now;
        free(piece);
        at += part;
        assert_true(s.count < 4);
    }
    return written;
}

/* Whether more bytes could make a character of what stands at the end of a text. */
static bool begins_character(const uint8_t *s, size_t n)
{
    static const uint8_t next[] = {0x80, 0x90, 0xa0}; /* one of each range in the table */
    uint8_t whole[4] = {0};
    if (n > 3)
        return false;
    memcpy(whole, s, n);
    for (size_t i = 0; i < 3; i++) {
        memset(whole + n, 0x80, 4 - n);
        whole[n] = next[i];
        if (well_formed(whole, 4) > n)
            return true;
    }
    return false;
}

/* Characters as they are, any other byte as U+FFFD, the beginning of a character held back. */
static size_t expected_stream(const char *text, size_t n, char *out)
{
    size_t written = 0;
    for (size_t i = 0, length; i < n; i += length ? length : 1) {
        const uint8_t *s = (const uint8_t *)text + i;
        length = well_formed(s, n - i);
        if (!length && begins_character(s, n - i))
            break;
        memcpy(out + written, length ? text + i : "\xef\xbf\xbd", length ? length : 3);
        written += length ? length : 3;
    }
    return written;
}

static void check_stream(const char *text, size_t n, uint64_t *seed)
{
    char whole[256], parts[256], safe[512];
    size_t length = stream_in_parts(text, n, NULL, whole);
    assert_true(is_utf8(whole, length));
    assert_int_equal(expected_stream(text, n, parts), length);
    assert_memory_equal(parts, whole, length);
    for (int k = 0; k < 3; k++) {
        assert_int_equal(stream_in_parts(text, n, seed, parts), length);
        assert_memory_equal(parts, whole, length);
    }
    size_t made = escape_text(safe, sizeof safe, whole, length); /* as a terminal gets it */
    assert_true(is_safe(safe, made));
}

static void test_text_of_any_bytes(void **state)
{
    (void)state;
    uint64_t seed = 15;
    for (unsigned a = 0; a < 256; a++) {
        char one[1] = {(char)a};
        check_escape(one, 1);
        check_stream(one, 1, &seed);
        for (unsigned b = 0; b < 256; b++) {
            char *two = make(2); /* on the heap: a sanitizer sees a byte too far */
            two[0] = (char)a;
            two[1] = (char)b;
            check_escape(two, 2);
            check_stream(two, 2, &seed);
            free(two);
        }
    }
    check_escape("", 0);
}

static void test_longer_text(void **state)
{
    (void)state;
    static const uint8_t likely[] = {0xc2, 0xdf, 0xe0, 0xe2, 0xed, 0xef, 0xf0, 0xf4, 0xf5, 0x80,
                                     0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0x1b, 0x0a, 0x00, 0x41, 0x7f};
    uint64_t seed = 16;
    for (int n = 0; n < 60000; n++) {
        size_t length = 3 + random_below(&seed, 14);
        char *text = make(length);
        for (size_t i = 0; i < length; i++)
            text[i] = random_below(&seed, 5) ? (char)likely[random_below(&seed, sizeof likely)]
                                             : (char)random_bits(&seed);
        check_escape(text, length);
        check_stream(text, length, &seed);
        free(text);
    }
}

static void test_text_examples(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"plain", "plain"},           {"a\nb\tc", "a\\nb\\tc"}, {"\x1b[2J", "\\x1b[2J"},
        {"\x7f", "\\x7f"},            {"\xc2\x9b", "\\x9b"},    {"\xc2\xa0", "\xc2\xa0"},
        {"\xff\xfe", "\\xff\\xfe"},   {"\xc0\x80", "\\xc0\\x80"}, {"\xe2\x82", "\\xe2\\x82"},
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"}, {"\xe2\x82\xac", "\xe2\x82\xac"},
        {"\xf0\x9f\x8c\xa4", "\xf0\x9f\x8c\xa4"}, {"\r", "\\x0d"},
        {"\xd8\x9c", "\\u061c"},     {"\xe2\x80\x8e", "\\u200e"}, {"\xe2\x80\x8f", "\\u200f"},
        {"\xe2\x80\xaa", "\\u202a"}, {"\xe2\x80\xab", "\\u202b"}, {"\xe2\x80\xac", "\\u202c"},
        {"\xe2\x80\xad", "\\u202d"}, {"\xe2\x80\xae", "\\u202e"}, {"\xe2\x81\xa6", "\\u2066"},
        {"\xe2\x81\xa7", "\\u2067"}, {"\xe2\x81\xa8", "\\u2068"}, {"\xe2\x81\xa9", "\\u2069"},
        {"\xe2\x80\x8d", "\xe2\x80\x8d"}, {"\xd8\x9b", "\xd8\x9b"}, /* their neighbours */
        {"\xe2\x80\xa9", "\xe2\x80\xa9"}, {"\xe2\x80\xaf", "\xe2\x80\xaf"},
    };
    char out[64];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        escape_text(out, sizeof out, cases[i][0], strlen(cases[i][0]));
        assert_string_equal(out, cases[i][1]);
    }
    assert_int_equal(escape_text(out, sizeof out, "\0", 1), 4);
    assert_string_equal(out, "\\x00");
}

static void test_every_code_point(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 0x110000; c++) {
        uint8_t s[4];
        size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        s[0] = (uint8_t)(n == 1 ? c : (0xf0u << (4 - n) & 0xff) | c >> (6 * (n - 1)));
        for (size_t i = 1; i < n; i++)
            s[i] = (uint8_t)(0x80 | (c >> (6 * (n - 1 - i)) & 0x3f));
        bool surrogate = c >= 0xd800 && c < 0xe000, cut;
        uint32_t read = ~c;
        assert_int_equal(utf8_read((const char *)s, n, &read, &cut), surrogate ? 0 : n);
        assert_false(cut);
        if (!surrogate)
            assert_int_equal(read, c);
        for (size_t less = 1; less < n && !surrogate; less++) {
            assert_int_equal(utf8_read((const char *)s, less, &read, &cut), 0);
            assert_true(cut);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_histogram),
        cmocka_unit_test(test_histogram_of_no_width),
        cmocka_unit_test(test_spread),
        cmocka_unit_test(test_ratio),
        cmocka_unit_test(test_chunks_do_not_change_logits),
        cmocka_unit_test(test_context_rewinds),
        cmocka_unit_test(test_sequences_side_by_side),
        cmocka_unit_test(test_predictions),
        cmocka_unit_test(test_quality_by_hand),
        cmocka_unit_test(test_quality_against_itself),
        cmocka_unit_test(test_quantiles),
        cmocka_unit_test(test_quantiles_of_a_running_job),
        cmocka_unit_test(test_quality_of_what_is_not_finite),
        cmocka_unit_test(test_quality_with_any_number_of_threads),
        cmocka_unit_test(test_recipe_rules),
        cmocka_unit_test(test_recipe_of_a_tied_model),
        cmocka_unit_test(test_recipe_that_matches_nothing),
        cmocka_unit_test(test_bad_recipe_lines),
        cmocka_unit_test(test_recipe_of_random_bytes),
        cmocka_unit_test(test_recipe_round_trip),
        cmocka_unit_test(test_cycles),
        cmocka_unit_test(test_cycle_order),
        cmocka_unit_test(test_cycles_keep_what_was_chosen),
        cmocka_unit_test(test_cycle_from_stored),
        cmocka_unit_test(test_cycle_reasons),
        cmocka_unit_test(test_what_compares),
        cmocka_unit_test(test_argmax),
        cmocka_unit_test(test_uniform),
        cmocka_unit_test(test_choose_stays_in_bounds),
        cmocka_unit_test(test_nucleus),
        cmocka_unit_test(test_smallest_nucleus),
        cmocka_unit_test(test_same_seed_same_tokens),
        cmocka_unit_test(test_text_of_any_bytes),
        cmocka_unit_test(test_longer_text),
        cmocka_unit_test(test_text_examples),
        cmocka_unit_test(test_every_code_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

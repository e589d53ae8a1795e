/* Error statistics of layers: against figures that NumPy computed in float64 (error_figures.py), against each
 * other, and histograms that count every weight. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "measure/detail.h"
#include "measure/weight_stats.h"
#include "quant/requant.h"
#include "support.h"

#include <math.h>
#include <stdlib.h>

#ifndef SRCDIR
#define SRCDIR "."
#endif

static void assert_close(double value, double expected, double tolerance, const char *what,
                         const char *tensor, const char *scheme)
{
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%s, %s: %s is %.12g; expected %.12g", tensor, scheme, what, value, expected);
}

static struct detail *describe(const struct model *m, struct qtensor *p)
{
    struct detail_job job;
    assert_true(detail_begin(&job, m, p));
    while (!detail_step(&job, 1))
        continue;
    struct detail *d = detail_take(&job);
    detail_end(&job);
    return d;
}

static struct qtensor *pack(const struct model *m, int tensor, const char *text, struct pool *pool)
{
    struct scheme scheme;
    struct error error = {""};
    if (!scheme_parse(text, &scheme, &error))
        fail_msg("%s", error.text);
    struct qtensor *p = requantize(m, tensor, &scheme, pool, &error);
    if (!p)
        fail_msg("%s", error.text);
    return p;
}

/* ---- NumPy's figures ------------------------------------------------------------------------- */

/* `distance` is 1 - cosine; clipped is -1 where there is none. */
static const struct figures {
    const char *tensor, *scheme;
    double sqnr_db, mse, distance;
    double clipped, largest;
    size_t row, col;
    double scale_min, scale_max, scale_mean;
} figures[] = {
#include "error_figures.inc"
};

/* |e| of one weight. */
static double error_at(const struct model *m, const struct qtensor *p, size_t row, size_t col)
{
    struct weight_view v = weight_view(m, p, row, col);
    assert_true(v.valid);
    return fabs(v.decoded - v.w);
}

static void check_figures(const struct model *m, const struct figures *f, struct pool *pool)
{
    int tensor = model_find_name(m, f->tensor);
    const char *t = f->tensor, *s = f->scheme;
    struct weight_stats stats;
    assert_true(tensor >= 0);
    struct qtensor *p = pack(m, tensor, s, pool);
    struct detail *d = describe(m, p);
    double n = (double)p->matrix.rows * (double)p->matrix.cols;
    bool scales = f->scale_max > 0;
    assert_true(weight_stats_measure(m, p, pool, &stats, NULL));
    assert_close(weight_error_sqnr_db(&p->error), f->sqnr_db, 1e-6, "SQNR", t, s);
    /* w' is rounded to fp32, and is many times as large as its error */
    assert_close(p->error.max_abs, f->largest, 2e-5 * f->largest, "the largest error", t, s);
    assert_close(error_at(m, p, p->error.max_row, p->error.max_col), p->error.max_abs, 2e-5 * f->largest,
                 "the error at its place", t, s);
    assert_close(error_at(m, p, f->row, f->col), f->largest, 2e-5 * f->largest,
                 "the error where the largest was expected", t, s);
    for (int i = 0; i < 2; i++) {
        assert_close(i ? d->mse : stats.mse, f->mse, 3e-7 * f->mse, "MSE", t, s);
        assert_close(1 - (i ? d->cosine : stats.cosine), f->distance, 1e-9, "1 - cosine", t, s);
        if (f->clipped >= 0)
            assert_close(n * (i ? d->clipped : stats.clipped), f->clipped, 1e-6, "clipped", t, s);
    }
    assert_int_equal(isnan(stats.clipped), f->clipped < 0);
    assert_int_equal(isnan(stats.scale_min), !scales);
    assert_int_equal(d->scale_count > 0, scales);
    for (int i = 0; scales && i < 2; i++) {
        double tolerance = 1e-7 * f->scale_max;
        assert_close(i ? d->scale_min : stats.scale_min, f->scale_min, tolerance, "least scale", t, s);
        assert_close(i ? d->scale_max : stats.scale_max, f->scale_max, tolerance, "largest scale", t, s);
        assert_close(i ? d->scale_mean : stats.scale_mean, f->scale_mean, tolerance, "mean scale", t, s);
    }
    detail_unref(d);
    qtensor_unref(p);
}

static void test_against_numpy(void **state)
{
    (void)state;
    struct error error = {""};
    struct model *m = model_open(SRCDIR "/data/stories.bin", &error);
    struct pool *pool = pool_create(2, NULL);
    if (!m)
        fail_msg("%s", error.text);
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        check_figures(m, &figures[i], pool);
    pool_destroy(pool);
    model_close(m);
}

/* ---- every weight is counted once ------------------------------------------------------------ */

enum { ROWS = 19, COLS = 256, WEIGHTS = ROWS * COLS };

struct counts {
    uint64_t before, after, error; /* that are no number */
};

static struct counts count_nan(const struct model *m, const struct qtensor *p)
{
    float w[COLS], v[COLS];
    struct counts n = {0};
    for (size_t r = 0; r < ROWS; r++) {
        qmatrix_decode_row(&m->tensors[0].stored, r, w);
        qmatrix_decode_row(&p->matrix, r, v);
        for (size_t c = 0; c < COLS; c++) {
            n.before += isnan(w[c]) ? 1 : 0;
            n.after += isnan(v[c]) ? 1 : 0;
            n.error += isnan(v[c] - w[c]) ? 1 : 0;
        }
    }
    return n;
}

static void check_histogram(const struct histogram *h, uint64_t all, uint64_t unordered, const char *what,
                            const struct scheme *scheme)
{
    char text[SCHEME_TEXT];
    uint64_t sum = 0;
    for (size_t i = 0; i < HISTOGRAM_BINS; i++)
        sum += h->count[i];
    if (sum != h->total || h->unordered != unordered || h->total + h->unordered != all)
        fail_msg("%s, %s: %zu in bins, total %zu, %zu are no number; expected %zu and %zu",
                 scheme_print(scheme, text), what, (size_t)sum, (size_t)h->total, (size_t)h->unordered,
                 (size_t)(all - unordered), (size_t)unordered);
}

static bool same_figure(double a, double b)
{
    return fabs(a - b) <= 1e-12 * fmax(fabs(a), fabs(b));
}

static void check_counts(const struct model *m, struct qtensor *p, struct pool *pool)
{
    struct scheme scheme = qtensor_scheme(p);
    bool integers = dtypes[scheme.format.weight].kind == DTYPE_KIND_INTEGER;
    struct counts n = count_nan(m, p);
    struct weight_stats stats;
    struct detail *d = describe(m, p);
    check_histogram(&d->before, WEIGHTS, n.before, "before", &scheme);
    check_histogram(&d->after, WEIGHTS, n.after, "after", &scheme);
    check_histogram(&d->error, WEIGHTS, n.error, "error", &scheme);
    check_histogram(&d->error_steps, integers ? WEIGHTS : 0, integers ? n.error : 0, "steps", &scheme);
    check_histogram(&d->scales, d->scale_count, 0, "scales", &scheme);
    assert_true(weight_stats_measure(m, p, pool, &stats, NULL));
    assert_true(same_figure(stats.mse, d->mse) && same_figure(stats.cosine, d->cosine));
    assert_true(integers ? same_figure(stats.clipped, d->clipped) : isnan(stats.clipped));
    assert_true(d->scale_count == 0 ? isnan(stats.scale_mean) && isnan(stats.scale_min)
                                    : same_figure(stats.scale_mean, d->scale_mean) &&
                                          stats.scale_min == d->scale_min &&
                                          stats.scale_max == d->scale_max);
    detail_unref(d);
}

struct study {
    struct model model;
    struct pool *pool;
};

static void check_scheme(const struct scheme *scheme, void *arg)
{
    struct study *s = arg;
    if (scheme->format.act != DTYPE_FP32)
        return;
    struct qtensor *p = requantize(&s->model, 0, scheme, s->pool, NULL);
    assert_non_null(p);
    check_counts(&s->model, p, s->pool);
    qtensor_unref(p);
}

/* Ordinary weights; some of them not finite; nothing but zeros; one that dwarfs the others. */
enum filling { ORDINARY, NOT_FINITE, ZEROS, DWARFED };

static void fill(float *w, enum filling kind, uint64_t *seed)
{
    for (size_t i = 0; i < WEIGHTS; i++)
        w[i] = kind == ZEROS ? 0 : (float)random_normal(seed);
    for (size_t i = 0; kind == NOT_FINITE && i < WEIGHTS; i += 41)
        w[i] = i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : -INFINITY;
    if (kind == DWARFED)
        w[WEIGHTS / 2] = 1e6f;
}

static void test_every_weight_is_counted(void **state)
{
    (void)state;
    static const uint32_t groups[] = {16, 100};
    static float w[WEIGHTS];
    uint64_t seed = 21;
    struct study s = {.pool = pool_create(2, NULL)};
    enum filling kinds[] = {ORDINARY, NOT_FINITE, DWARFED}; /* of zeros there is no cosine: see below */
    for (size_t k = 0; k < 3; k++) {
        fill(w, kinds[k], &seed);
        s.model = matrix_model(w, ROWS, COLS);
        each_scheme(groups, 2, check_scheme, &s);
        struct weights *stored = weights_stored(&s.model);
        check_counts(&s.model, stored->layer[0], s.pool);
        weights_unref(stored);
        free_matrix_model(&s.model);
    }
    pool_destroy(s.pool);
}

static void test_every_weight_of_a_stored_type_is_counted(void **state)
{
    (void)state;
    uint64_t seed = 22;
    struct pool *pool = pool_create(2, NULL);
    for (int t = DTYPE_COUNT; t < DTYPE_ALL; t++) {
        size_t count = WEIGHTS / dtypes[t].block;
        uint8_t *blocks = make(count * dtypes[t].block_bytes);
        struct model m = matrix_model(NULL, ROWS, COLS);
        random_blocks((enum dtype)t, count, &seed, blocks);
        m.tensors[0].stored = stored_matrix((enum dtype)t, ROWS, COLS, blocks);
        struct weights *stored = weights_stored(&m);
        check_counts(&m, stored->layer[0], pool);
        struct qtensor *p = pack(&m, 0, "int8:g32", pool);
        check_counts(&m, p, pool);
        qtensor_unref(p);
        weights_unref(stored);
        free_matrix_model(&m);
        free(blocks);
    }
    pool_destroy(pool);
}

/* ---- the figures at their ends --------------------------------------------------------------- */

/* A grid that is too small on purpose: what lies beyond it is clipped, and nothing else. */
static void test_clipped(void **state)
{
    (void)state;
    static float w[WEIGHTS];
    uint64_t seed = 23;
    size_t beyond = 0;
    struct pool *pool = pool_create(1, NULL);
    struct scheme scheme;
    struct weight_stats stats;
    fill(w, ORDINARY, &seed);
    struct model m = matrix_model(w, ROWS, COLS);
    struct qtensor p = {.tensor = 0};
    assert_true(scheme_parse("int8:tensor", &scheme, NULL));
    assert_true(qmatrix_init(&p.matrix, &scheme.format, ROWS, COLS, NULL));
    quantize_tensor_scale(&p.matrix, (struct value_range){-1.27f, 1.27f}); /* a step of 0.01 */
    for (size_t r = 0; r < ROWS; r++) {
        quantize_row(&p.matrix, r, w + r * COLS);
        p.error.clipped += row_out_of_range(&p.matrix, r, w + r * COLS).clipped;
    }
    for (size_t i = 0; i < WEIGHTS; i++)
        beyond += fabsf(w[i]) > 1.27f + 0.5005f * 0.01f;
    assert_true(weight_stats_measure(&m, &p, pool, &stats, NULL));
    assert_true(beyond > WEIGHTS / 10 && beyond < WEIGHTS / 2);
    assert_close(stats.clipped * WEIGHTS, (double)beyond, 1e-6, "clipped", "a matrix", "int8:tensor");
    qmatrix_free(&p.matrix);
    free_matrix_model(&m);
    pool_destroy(pool);
}

/* Steps of columns that have an input scale are as many times smaller. */
static void test_clipped_with_input_scales(void **state)
{
    (void)state;
    static float w[WEIGHTS];
    float inputs[COLS];
    uint64_t seed = 26;
    struct pool *pool = pool_create(2, NULL);
    struct scheme scheme;
    struct weight_stats stats;
    fill(w, ORDINARY, &seed);
    for (size_t c = 0; c < COLS; c++)
        inputs[c] = c % 2 ? 4 : 0.5f;
    struct model m = matrix_model(w, ROWS, COLS);
    struct qtensor p = {.tensor = 0};
    atomic_init(&p.refs, 1);
    assert_true(scheme_parse("int4:g16", &scheme, NULL));
    assert_true(qmatrix_init(&p.matrix, &scheme.format, ROWS, COLS, NULL));
    assert_true(qmatrix_set_input_scale(&p.matrix, inputs, NULL));
    size_t beyond = 0;
    for (size_t r = 0; r < ROWS; r++) {
        float scaled[COLS];
        memcpy(scaled, w + r * COLS, sizeof scaled);
        quantize_input_transform(&p.matrix, r, scaled);
        for (size_t g = 0; g < p.matrix.groups; g++) /* half of what would hold them, about */
            quantize_set_params(&p.matrix, r, g, (struct quant_params){0.3f, dtypes[DTYPE_INT4].symmetric_zero});
        quantize_row_with_params(&p.matrix, r, scaled);
        p.error.clipped += row_out_of_range(&p.matrix, r, scaled).clipped;
    }
    for (size_t r = 0; r < ROWS; r++) {
        float v[COLS];
        qmatrix_decode_row(&p.matrix, r, v);
        for (size_t c = 0; c < COLS; c++)
            beyond += fabs((double)v[c] - w[r * COLS + c]) >
                      0.5005 * qmatrix_scale(&p.matrix, r, c / 16) / inputs[c];
    }
    assert_true(weight_stats_measure(&m, &p, pool, &stats, NULL));
    struct detail *d = describe(&m, &p);
    assert_true(beyond > WEIGHTS / 10 && beyond < WEIGHTS);
    assert_close(stats.clipped * WEIGHTS, (double)beyond, 1e-6, "clipped", "a matrix", "int4:g16");
    assert_true(same_figure(stats.clipped, d->clipped) && same_figure(stats.mse, d->mse));
    detail_unref(d);
    qmatrix_free(&p.matrix);
    free_matrix_model(&m);
    pool_destroy(pool);
}

/* What has no value is NaN, never 0. */
static void test_figures_that_do_not_apply(void **state)
{
    (void)state;
    static float w[WEIGHTS];
    struct pool *pool = pool_create(1, NULL);
    struct weight_stats stats;
    for (size_t i = 0; i < WEIGHTS; i++)
        w[i] = NAN;
    struct model m = matrix_model(w, ROWS, COLS);
    struct qtensor *p = pack(&m, 0, "int8", pool);
    assert_true(weight_stats_measure(&m, p, pool, &stats, NULL));
    assert_true(stats.weights == 0 && isnan(stats.mse) && isnan(stats.cosine) && isnan(stats.clipped));
    qtensor_unref(p);
    uint64_t seed = 24;
    fill(w, ZEROS, &seed);
    p = pack(&m, 0, "int4:g16", pool);
    assert_true(weight_stats_measure(&m, p, pool, &stats, NULL));
    assert_true(p->error.exact && stats.mse == 0 && stats.cosine == 1 && stats.clipped == 0);
    assert_true(stats.scale_min == 1 && stats.scale_max == 1);
    p->error.exact = false; /* all of it is read */
    assert_true(weight_stats_measure(&m, p, pool, &stats, NULL));
    assert_true(stats.weights == WEIGHTS && stats.mse == 0 && isnan(stats.cosine) && stats.clipped == 0);
    qtensor_unref(p);
    free_matrix_model(&m);
    pool_destroy(pool);
}

static void test_any_number_of_threads(void **state)
{
    (void)state;
    static const char *const schemes[] = {"int8", "int4:g32:asym", "fp8", "bf16", "int8:tensor"};
    static float w[WEIGHTS];
    uint64_t seed = 25;
    fill(w, NOT_FINITE, &seed);
    struct model m = matrix_model(w, ROWS, COLS);
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        struct weight_stats first = {0}, stats;
        for (int threads = 1; threads <= 4; threads++) {
            struct pool *pool = pool_create(threads, NULL);
            struct qtensor *p = pack(&m, 0, schemes[i], pool);
            assert_true(weight_stats_measure(&m, p, pool, &stats, NULL));
            if (threads == 1)
                first = stats;
            assert_memory_equal(&stats, &first, sizeof stats);
            qtensor_unref(p);
            pool_destroy(pool);
        }
    }
    free_matrix_model(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_numpy),
        cmocka_unit_test(test_every_weight_is_counted),
        cmocka_unit_test(test_every_weight_of_a_stored_type_is_counted),
        cmocka_unit_test(test_clipped),
        cmocka_unit_test(test_clipped_with_input_scales),
        cmocka_unit_test(test_figures_that_do_not_apply),
        cmocka_unit_test(test_any_number_of_threads),
    };
    return cmocka_run_group_tests_name("error_stats", tests, NULL, NULL);
}

/* Rounding to the nearest code, as properties that must hold for any matrix; and requantization. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernels/quantize.h"
#include "quant/requant.h"
#include "support.h"

#include <math.h>
#include <stdlib.h>

static const uint32_t groups[] = {16, 17, 32, 64, 128}; /* 17: odd, so nibbles straddle groups */
enum { GROUPS = sizeof groups / sizeof *groups, LONGEST = 70 };

/* ---- matrices to try ------------------------------------------------------------------------- */

enum filling {
    NORMAL, UNIFORM, HEAVY_TAILED, OFFSET, OUTLIER, LARGE, DENORMAL, CONSTANT_ROWS, ALL_ZERO, MIXED,
    FILLINGS
};

static float one_value(enum filling filling, uint64_t *seed, size_t row)
{
    double z = random_normal(seed);
    switch (filling) {
    case NORMAL:
        return (float)(0.05 * z);
    case UNIFORM:
        return (float)(2 * random_uniform(seed) - 1);
    case HEAVY_TAILED:
        return (float)(0.01 * z * exp(2 * random_normal(seed)));
    case OFFSET:
        return (float)((row & 1 ? -5 : 5) + z);
    case OUTLIER:
        return (float)(random_below(seed, 500) ? 0.02 * z : 3e4 * z);
    case LARGE:
        return (float)(1e36 * z);
    case DENORMAL:
        return (float)(1e-40 * z);
    case CONSTANT_ROWS:
        return (float)row * 0.37f - 3.0f;
    case MIXED: {
        static const float odd[] = {NAN, INFINITY, -INFINITY, -NAN, 0, -0.0f};
        return random_below(seed, 4) ? (float)z : odd[random_below(seed, 6)];
    }
    default:
        return 0;
    }
}

static float *make_matrix(enum filling filling, uint64_t *seed, size_t rows, size_t cols)
{
    float *values = make(rows * cols * sizeof *values);
    for (size_t i = 0; i < rows * cols; i++) {
        values[i] = one_value(filling, seed, i / cols);
        if (filling != CONSTANT_ROWS && random_below(seed, 40) == 0)
            values[i] = 0;
    }
    return values;
}

static struct qmatrix quantized(const struct scheme *s, const float *values, size_t rows,
                                size_t cols)
{
    struct qmatrix m;
    struct value_range range = {0, 0};
    assert_true(qmatrix_init(&m, &s->format, rows, cols, NULL));
    value_range_add(&range, values, rows * cols);
    quantize_tensor_scale(&m, range);
    for (size_t r = 0; r < rows; r++)
        quantize_row(&m, r, values + r * cols);
    return m;
}

/* ---- properties ------------------------------------------------------------------------------ */

/* One group of weights with its grid, and where it is, for messages. */
struct piece {
    const struct qmatrix *m;
    const struct dtype_info *type;
    const float *w;
    size_t row, first, n;
    float scale;
    int zero;
    double low, high; /* range that the scale was chosen for */
    char scheme[SCHEME_TEXT];
};

#define expect(p, condition, i)                                                                    \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail_msg("%s, %zu x %zu, row %zu, column %zu: w = %a, scale %a, zero %d: not %s",      \
                     (p)->scheme, (p)->m->rows, (p)->m->cols, (p)->row, (p)->first + (i),          \
                     (double)(p)->w[i], (double)(p)->scale, (p)->zero, #condition);                \
    } while (0)

/* The scale before it is rounded to its storage. */
static double ideal_scale(const struct piece *p)
{
    if (p->m->format.asym)
        return (p->high - p->low) / (p->type->highest - p->type->lowest);
    return fmax(-p->low, p->high) / (double)p->type->largest;
}

/* The scale is the ideal one rounded to its storage: fp32, or fp16 to nearest (upward on asymmetric
 * grids), finite and nonzero. */
static void check_scale(const struct piece *p)
{
    double ideal = ideal_scale(p), rounding;
    bool half = p->m->scale_type == SCALE_FP16;
    expect(p, isfinite(p->scale) && p->scale > 0, 0);
    if (ideal == 0) {
        expect(p, p->scale == 1, 0);
        return;
    }
    if (half && ideal >= 65504) {
        expect(p, p->scale == 65504, 0);
        return;
    }
    if (half && ideal <= 0x1p-24) {
        expect(p, p->scale == 0x1p-24f, 0);
        return;
    }
    if (!half && ideal < 0x1p-126) {
        expect(p, p->scale == 0x1p-126f, 0);
        return;
    }
    rounding = half ? fmax(ideal * 0x1p-11, 0x1p-25) : ideal * 0x1p-24;
    if (half && p->m->format.asym) {
        expect(p, p->scale >= ideal * (1 - 0x1p-24) && p->scale <= ideal + 2 * rounding * 1.001, 0);
    } else {
        expect(p, fabs(p->scale - ideal) <= rounding * 1.001, 0);
    }
}

/* How far a finite weight may be from its code's value. Half a step, and a hair for the arithmetic;
 * what a symmetric fp16 scale lost to rounding comes once for each step up to the largest code,
 * which matters only below largest x 2^-24, where fp16 has few bits left. */
static double error_bound(const struct piece *p)
{
    double bound = 0.51 * (double)p->scale, ideal = ideal_scale(p);
    bool few_bits = p->m->scale_type == SCALE_FP16 && !p->m->format.asym &&
                    ideal < (double)p->type->largest * 0x1p-24;
    return few_bits ? bound + (double)p->type->largest * 0x1p-25 : bound;
}

static void check_integer(const struct piece *p, size_t i, float decoded)
{
    bool asym = p->m->format.asym;
    int code = (int)(int8_t)qmatrix_code(p->m, p->row, p->first + i);
    float w = p->w[i];
    if (asym)
        expect(p, code >= p->type->lowest && code <= p->type->highest, i);
    else
        expect(p, abs(code - p->type->symmetric_zero) <= (int)p->type->largest, i);
    expect(p, float_bits(decoded) == float_bits((float)(code - p->zero) * p->scale), i);
    expect(p, isfinite(decoded), i);
    if (isnan(w) || w == 0)
        expect(p, decoded == 0, i);
    else if (isinf(w) && asym)
        expect(p, code == (w > 0 ? p->type->highest : p->type->lowest), i);
    else if (isinf(w))
        expect(p, code - p->zero == (w > 0 ? 1 : -1) * (int)p->type->largest, i);
    else if (p->m->scale_type == SCALE_FP16 && ideal_scale(p) > 65504) /* the grid is too short */
        expect(p, fabsf(decoded) <= fabsf(w) + 0.51f * p->scale, i);
    else
        expect(p, fabs((double)decoded - w) <= error_bound(p), i);
}

/* The code's neighbours are no nearer to the scaled weight: half a unit in the last place. */
static void check_float(const struct piece *p, size_t i, float decoded)
{
    uint32_t code = qmatrix_code(p->m, p->row, p->first + i);
    float value = p->type->decode(code), w = p->w[i];
    double scaled = p->m->scale_type == SCALE_NONE ? w : w / p->scale;
    bool scales = p->type->kind == DTYPE_KIND_SCALED_FLOAT;
    expect(p, isnan(decoded) == isnan(w), i);
    if (isnan(w))
        return;
    expect(p, float_bits(decoded) == float_bits(scales ? value * p->scale : value), i);
    expect(p, !signbit(decoded) == !signbit(w), i);
    if (p->type->bits == 32)
        expect(p, float_bits(decoded) == float_bits(w), i);
    if (scales)
        expect(p, fabsf(value) <= p->type->largest, i);
    if (scales && fabs(scaled) >= (double)p->type->largest)
        expect(p, fabsf(value) == p->type->largest, i);
    if (p->type->bits == 32 || !(fabs(scaled) < (double)p->type->largest))
        return;
    double error = fabs(value - scaled);
    for (int up = 0; up < 2; up++) {
        uint32_t other = up ? code + 1 : code - 1;
        if ((code & ~(1u << (p->type->bits - 1))) == 0 && !up)
            continue; /* nothing lies below zero */
        double distance = fabs(p->type->decode(other) - scaled);
        expect(p, isnan(distance) || error <= distance, i);
    }
}

static void check_piece(struct piece *p, const float *decoded)
{
    if (p->m->scale_type != SCALE_NONE)
        check_scale(p);
    if (p->type->kind == DTYPE_KIND_INTEGER && p->m->format.asym) {
        double exact = -p->low / (double)p->scale;
        double steps = p->type->highest - p->type->lowest;
        expect(p, p->zero >= p->type->lowest && p->zero <= p->type->highest, 0);
        expect(p, fabs(fmin(exact, steps) - (p->zero - p->type->lowest)) <= 0.5001, 0);
    } else if (p->type->kind == DTYPE_KIND_INTEGER) {
        expect(p, p->zero == p->type->symmetric_zero, 0);
    }
    for (size_t i = 0; i < p->n; i++) {
        if (p->type->kind == DTYPE_KIND_INTEGER)
            check_integer(p, i, decoded[i]);
        else
            check_float(p, i, decoded[i]);
    }
}

static void widen(double *low, double *high, const float *w, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(w[i]))
            continue;
        *low = fmin(*low, (double)w[i]);
        *high = fmax(*high, (double)w[i]);
    }
}

static void check_matrix(const struct qmatrix *m, const float *values)
{
    struct piece p = {.m = m, .type = &dtypes[m->format.weight]};
    bool per_tensor = m->format.granularity == GRANULARITY_TENSOR;
    double low = 0, high = 0;
    size_t bytes, width = m->format.granularity == GRANULARITY_GROUP ? m->format.group : m->cols;
    float *decoded = make(m->cols * sizeof *decoded);
    struct scheme scheme = {.format = m->format};
    scheme_print(&scheme, p.scheme);
    assert_true(scheme_bytes(&scheme, m->rows, m->cols, &bytes));
    assert_int_equal(m->bytes, bytes);
    widen(&low, &high, values, m->rows * m->cols);
    for (p.row = 0; p.row < m->rows; p.row++) {
        qmatrix_decode_row(m, p.row, decoded);
        for (p.first = 0; p.first < m->cols; p.first += width) {
            p.n = m->cols - p.first < width ? m->cols - p.first : width;
            p.w = values + p.row * m->cols + p.first;
            p.scale = qmatrix_scale(m, p.row, p.first / width);
            p.zero = qmatrix_zero(m, p.row, p.first / width);
            p.low = per_tensor ? low : 0;
            p.high = per_tensor ? high : 0;
            widen(&p.low, &p.high, p.w, p.n);
            check_piece(&p, decoded + p.first);
        }
    }
    free(decoded);
}

struct subject {
    const float *values;
    size_t rows, cols;
};

static void check_weight_scheme(const struct scheme *s, void *arg)
{
    const struct subject *subject = arg;
    if (s->format.act != DTYPE_FP32 || s->format.act_asym)
        return; /* activations do not change how weights are stored */
    struct qmatrix m = quantized(s, subject->values, subject->rows, subject->cols);
    check_matrix(&m, subject->values);
    qmatrix_free(&m);
}

static void check_filling(enum filling filling, uint64_t *seed, size_t rows, size_t cols)
{
    float *values = make_matrix(filling, seed, rows, cols);
    struct subject subject = {values, rows, cols};
    each_scheme(groups, GROUPS, check_weight_scheme, &subject);
    free(values);
}

static void test_every_filling(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (int filling = 0; filling < FILLINGS; filling++) {
        check_filling((enum filling)filling, &seed, 1, 1);
        check_filling((enum filling)filling, &seed, 5, 172);
        check_filling((enum filling)filling, &seed, 3, 515); /* longer than any small buffer */
    }
}

static void test_ragged_sizes(void **state)
{
    (void)state;
    uint64_t seed = 2;
    for (size_t n = 1; n <= LONGEST; n++) {
        check_filling((enum filling)random_below(&seed, FILLINGS), &seed, n,
                      1 + random_below(&seed, LONGEST));
        check_filling((enum filling)random_below(&seed, FILLINGS), &seed,
                      1 + random_below(&seed, LONGEST), n);
    }
}

/* Scales at the ends of fp16 and between, where group scales lose bits and then stop. */
static void test_every_magnitude(void **state)
{
    (void)state;
    uint64_t seed = 3;
    for (int exponent = -149; exponent <= 120; exponent += 3) {
        float values[3 * 40];
        for (size_t i = 0; i < 120; i++)
            values[i] = (float)ldexp(random_normal(&seed), exponent);
        struct subject subject = {values, 3, 40};
        each_scheme(groups, 1, check_weight_scheme, &subject);
    }
}

/* Rows can be packed in any order and more than once; the last time counts. */
static void check_repacking(const struct scheme *s, void *arg)
{
    uint64_t *seed = arg;
    enum { ROWS = 3, COLS = 70 };
    if (s->format.act != DTYPE_FP32 || s->format.act_asym)
        return;
    float *first = make_matrix(OFFSET, seed, ROWS, COLS),
          *last = make_matrix(NORMAL, seed, ROWS, COLS);
    struct qmatrix once = quantized(s, last, ROWS, COLS), twice = quantized(s, first, ROWS, COLS);
    struct value_range range = {0, 0};
    char text[SCHEME_TEXT];
    value_range_add(&range, last, (size_t)ROWS * COLS);
    quantize_tensor_scale(&twice, range);
    for (size_t r = ROWS; r-- > 0;)
        quantize_row(&twice, r, last + r * COLS);
    for (size_t r = 0; r < ROWS; r++)
        for (size_t c = 0; c < COLS; c++)
            if (qmatrix_code(&once, r, c) != qmatrix_code(&twice, r, c) ||
                qmatrix_zero(&once, r, c / once.group) != qmatrix_zero(&twice, r, c / once.group) ||
                !(qmatrix_scale(&once, r, c / once.group) ==
                  qmatrix_scale(&twice, r, c / once.group)))
                fail_msg("%s: packing row %zu again leaves something of the first time at column "
                         "%zu", scheme_print(s, text), r, c);
    qmatrix_free(&once);
    qmatrix_free(&twice);
    free(first);
    free(last);
}

static void test_repacking(void **state)
{
    (void)state;
    uint64_t seed = 4;
    each_scheme(groups, GROUPS, check_repacking, &seed);
}

/* ---- finer is better ------------------------------------------------------------------------- */

static double sqnr(const char *text, const float *values, size_t rows, size_t cols)
{
    struct scheme s;
    assert_true(scheme_parse(text, &s, NULL));
    struct qmatrix m = quantized(&s, values, rows, cols);
    float *row = make(cols * sizeof *row);
    double signal = 0, noise = 0;
    for (size_t r = 0; r < rows; r++) {
        qmatrix_decode_row(&m, r, row);
        for (size_t c = 0; c < cols; c++) {
            double w = values[r * cols + c], e = row[c] - w;
            signal += w * w;
            noise += e * e;
        }
    }
    qmatrix_free(&m);
    free(row);
    return 10 * log10(signal / noise);
}

static void test_finer_granularity_is_no_worse(void **state)
{
    (void)state;
    static const char *const order[] = {"tensor", "channel", "g128", "g64", "g32", "g16"};
    enum { ROWS = 48, COLS = 256, ORDER = sizeof order / sizeof *order };
    float *values = make(sizeof *values * ROWS * COLS);
    for (uint64_t seed = 1; seed <= 5; seed++) {
        uint64_t random = seed;
        for (size_t r = 0; r < ROWS; r++) { /* rows of different widths, as in trained models */
            double width = 0.02 * exp(0.5 * random_normal(&random));
            for (size_t c = 0; c < COLS; c++)
                values[r * COLS + c] = (float)(width * random_normal(&random));
        }
        for (int t = 0; t < DTYPE_COUNT; t++)
            for (int asym = 0; asym < 2 && dtypes[t].kind == DTYPE_KIND_INTEGER; asym++) {
                double before = 0;
                for (size_t i = 0; i < ORDER; i++) {
                    char text[SCHEME_TEXT];
                    snprintf(text, sizeof text, "%s:%s:%s", dtypes[t].name, order[i],
                             asym ? "asym" : "sym");
                    double now = sqnr(text, values, ROWS, COLS);
                    if (!(now >= before))
                        fail_msg("%s: %.2f dB; the coarser one has %.2f dB", text, now, before);
                    before = now;
                }
            }
    }
    free(values);
}

/* ---- requantization -------------------------------------------------------------------------- */

enum { TALL = 9000, NARROW = 64 }; /* several slices of work */

static bool same_matrix(const struct qmatrix *a, const struct qmatrix *b)
{
    bool same = a->rows == b->rows && a->cols == b->cols && a->bytes == b->bytes &&
                qformat_equal(&a->format, &b->format);
    for (size_t r = 0; same && r < a->rows; r++) {
        for (size_t g = 0; g < a->groups; g++)
            same = same && qmatrix_scale(a, r, g) == qmatrix_scale(b, r, g) &&
                   qmatrix_zero(a, r, g) == qmatrix_zero(b, r, g);
        for (size_t c = 0; c < a->cols; c++)
            same = same && qmatrix_code(a, r, c) == qmatrix_code(b, r, c);
    }
    return same;
}

static void assert_same_packed(const struct qtensor *a, const struct qtensor *b)
{
    const struct weight_error *x = &a->error, *y = &b->error;
    assert_true(same_matrix(&a->matrix, &b->matrix));
    assert_memory_equal(&x->sum_w2, &y->sum_w2, sizeof x->sum_w2);
    assert_memory_equal(&x->sum_e2, &y->sum_e2, sizeof x->sum_e2);
    assert_memory_equal(&x->max_abs, &y->max_abs, sizeof x->max_abs);
    assert_int_equal(x->max_row, y->max_row);
    assert_int_equal(x->max_col, y->max_col);
    assert_int_equal(x->exact, y->exact);
    assert_memory_equal(x->row_sqnr_db, y->row_sqnr_db, a->matrix.rows * sizeof *x->row_sqnr_db);
}

static void assert_near(double a, double b, double relative)
{
    assert_true(a == b || fabs(a - b) <= relative * fabs(b));
}

/* The figures against sums in double, made here. */
static void check_error_figures(const struct qtensor *p, const float *values)
{
    const struct qmatrix *m = &p->matrix;
    const struct weight_error *e = &p->error;
    float *back = make(m->cols * sizeof *back);
    double w2 = 0, e2 = 0, largest = 0;
    size_t row = 0, col = 0;
    for (size_t r = 0; r < m->rows; r++) {
        double row_w2 = 0, row_e2 = 0;
        qmatrix_decode_row(m, r, back);
        for (size_t c = 0; c < m->cols; c++) {
            double w = values[r * m->cols + c], error = back[c] - w;
            if (!isfinite(error))
                continue;
            row_w2 += w * w;
            row_e2 += error * error;
            if ((float)fabs(error) > (float)largest) {
                largest = fabs(error);
                row = r;
                col = c;
            }
        }
        w2 += row_w2;
        e2 += row_e2;
        double db = row_e2 == 0 ? INFINITY : 10 * log10(row_w2 / row_e2);
        assert_near((double)e->row_sqnr_db[r], db, 1e-5);
    }
    assert_near(e->sum_w2, w2, 1e-12);
    assert_near(e->sum_e2, e2, 1e-6);
    assert_near((double)e->max_abs, largest, 1e-6);
    if (e->max_row != row || e->max_col != col)
        fail_msg("largest error %a at %zu, %zu; expected %zu, %zu", largest, e->max_row, e->max_col,
                 row, col);
    if (e2 > 0)
        assert_near(weight_error_sqnr_db(e), 10 * log10(w2 / e2), 1e-6);
    else
        assert_true(isinf(weight_error_sqnr_db(e)));
    free(back);
}

static void test_requantize_any_number_of_threads(void **state)
{
    (void)state;
    static const char *const schemes[] = {
        "int8", "int8:tensor", "int4:g32:asym", "int4:tensor:asym", "fp8:g16",
        "fp16", "fp32",        "int8:g17:asym", "fp8e5m2"};
    uint64_t seed = 6;
    float *values = make_matrix(HEAVY_TAILED, &seed, TALL, NARROW);
    struct model model = matrix_model(values, TALL, NARROW);
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        struct scheme s;
        assert_true(scheme_parse(schemes[i], &s, NULL));
        struct qtensor *first = NULL;
        for (int threads = 1; threads <= 3; threads++) {
            struct pool *pool = pool_create(threads, NULL);
            struct qtensor *p = requantize(&model, 0, &s, pool, NULL);
            assert_non_null(p);
            pool_destroy(pool);
            if (!first) {
                struct qmatrix direct = quantized(&s, values, TALL, NARROW);
                assert_true(same_matrix(&direct, &p->matrix));
                qmatrix_free(&direct);
                check_error_figures(p, values);
                first = p;
                continue;
            }
            assert_same_packed(p, first);
            qtensor_unref(p);
        }
        qtensor_unref(first);
    }
    free_matrix_model(&model);
    free(values);
}

static void test_requantize_in_slices(void **state)
{
    (void)state;
    static const char *const schemes[] = {"int8:tensor", "int4:g32:asym"};
    uint64_t seed = 7;
    float *values = make_matrix(NORMAL, &seed, TALL, NARROW);
    struct model model = matrix_model(values, TALL, NARROW);
    struct pool *pool = pool_create(2, NULL);
    for (size_t i = 0; i < 2; i++) {
        struct scheme s;
        struct requant job;
        assert_true(scheme_parse(schemes[i], &s, NULL));
        struct qtensor *whole = requantize(&model, 0, &s, pool, NULL);
        assert_true(requant_begin(&job, &model, 0, &s, pool, NULL));
        assert_true(requant_fraction(&job) == 0);
        double before = 0;
        int steps = 1;
        for (; !requant_step(&job, pool, 0); steps++) {
            assert_true(requant_fraction(&job) > before && requant_fraction(&job) < 1);
            before = requant_fraction(&job);
        }
        assert_true(requant_fraction(&job) == 1);
        assert_true(steps >= (i == 0 ? 5 : 3));
        struct qtensor *sliced = requant_take(&job);
        requant_end(&job);
        assert_same_packed(sliced, whole);
        qtensor_unref(sliced);
        qtensor_unref(whole);
        assert_true(requant_begin(&job, &model, 0, &s, pool, NULL));
        assert_false(requant_step(&job, pool, 0));
        requant_end(&job); /* given up half way: nothing may leak */
    }
    pool_destroy(pool);
    free_matrix_model(&model);
    free(values);
}

static void test_requantize_small_and_odd(void **state)
{
    (void)state;
    uint64_t seed = 8;
    struct pool *pool = pool_create(3, NULL);
    for (int filling = 0; filling < FILLINGS; filling++) {
        size_t rows = 1 + random_below(&seed, 9), cols = 1 + random_below(&seed, LONGEST);
        float *values = make_matrix((enum filling)filling, &seed, rows, cols);
        struct model model = matrix_model(values, rows, cols);
        for (int t = 0; t < DTYPE_COUNT; t++) {
            struct scheme s = scheme_default((enum dtype)t);
            struct qtensor *p = requantize(&model, 0, &s, pool, NULL);
            assert_non_null(p);
            check_error_figures(p, values);
            qtensor_unref(p);
        }
        free_matrix_model(&model);
        free(values);
    }
    pool_destroy(pool);
}

/* `exact` says that every weight is the stored one: not so where a NaN became 0. */
static void test_exact(void **state)
{
    (void)state;
    float same[] = {1, -2, 0.5f, 0, 127, -3, 1, 1}, odd[] = {NAN, 0, 0, 0, 0, 0, 0, 0};
    struct pool *pool = pool_create(1, NULL);
    struct model model = matrix_model(same, 2, 4);
    struct scheme fp16 = scheme_default(DTYPE_FP16), int8 = scheme_default(DTYPE_INT8);
    struct qtensor *p = requantize(&model, 0, &fp16, pool, NULL);
    assert_true(p->error.exact);
    assert_true(isinf(weight_error_sqnr_db(&p->error)));
    qtensor_unref(p);
    p = requantize(&model, 0, &int8, pool, NULL);
    assert_false(p->error.exact);
    qtensor_unref(p);
    free_matrix_model(&model);
    model = matrix_model(odd, 2, 4);
    p = requantize(&model, 0, &int8, pool, NULL);
    bool exact = p->error.exact;
    qtensor_unref(p);
    free_matrix_model(&model);
    pool_destroy(pool);
    assert_false(exact);
}

static void test_requantize_refuses(void **state)
{
    (void)state;
    float values[4] = {1, 2, 3, 4};
    struct model model = matrix_model(values, 2, 2);
    struct pool *pool = pool_create(1, NULL);
    struct error error = {""};
    struct scheme s = {.format = {.weight = DTYPE_FP16, .act = DTYPE_INT8, .granularity = GRANULARITY_CHANNEL}};
    assert_null(requantize(&model, 0, &s, pool, &error));
    assert_non_null(strstr(error.text, "int8 activations need"));
    pool_destroy(pool);
    free_matrix_model(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_filling),
        cmocka_unit_test(test_ragged_sizes),
        cmocka_unit_test(test_every_magnitude),
        cmocka_unit_test(test_repacking),
        cmocka_unit_test(test_finer_granularity_is_no_worse),
        cmocka_unit_test(test_requantize_any_number_of_threads),
        cmocka_unit_test(test_requantize_in_slices),
        cmocka_unit_test(test_requantize_small_and_odd),
        cmocka_unit_test(test_exact),
        cmocka_unit_test(test_requantize_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Every kernel of every instruction set against plain arithmetic in wider types; the preparation of
 * activations. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernels/dispatch.h"
#include "kernels/quantize.h"
#include "isas.h"
#include "support.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

static const uint32_t groups[] = {16, 17, 32, 64, 128};
enum { GROUPS = sizeof groups / sizeof *groups, MOST_COLS = 300, MOST_ROWS = 40, MOST_TOKENS = 40 };

/* ---- a product with everything it needs ------------------------------------------------------ */

struct product {
    struct qmatrix m;
    float *x; /* tokens x cols */
    size_t tokens;
    void *scratch;
    struct activations prepared;
};

static void *make_scratch(size_t cols, size_t tokens)
{
    size_t n = activations_scratch(cols, tokens);
    void *p = aligned_alloc(64, n ? n : 64);
    assert_non_null(p);
    memset(p, 0xee, n); /* whatever a former use left */
    return p;
}

/* One of so many normal numbers: logarithms and cosines for each would take longer than the products. */
static float some_normal(uint64_t *seed)
{
    enum { NUMBERS = 1 << 14 };
    static float numbers[NUMBERS];
    uint64_t own = 99;
    for (size_t i = 0; numbers[NUMBERS - 1] == 0 && i < NUMBERS; i++)
        numbers[i] = (float)random_normal(&own);
    return numbers[random_bits(seed) % NUMBERS];
}

static struct product make_product(const struct isa *isa, const struct scheme *s, uint64_t *seed,
                                   size_t rows, size_t cols, size_t tokens)
{
    struct product p = {.tokens = tokens};
    float *w = make(rows * cols * sizeof *w);
    double shift = random_below(seed, 2) ? 0 : 0.05, bias = random_below(seed, 2) ? 0 : 1;
    for (size_t i = 0; i < rows * cols; i++)
        w[i] = (float)(shift + 0.05 * (double)some_normal(seed));
    struct value_range range = {0, 0};
    assert_true(qmatrix_init(&p.m, &s->format, rows, cols, NULL));
    value_range_add(&range, w, rows * cols);
    quantize_tensor_scale(&p.m, range);
    for (size_t r = 0; r < rows; r++)
        quantize_row(&p.m, r, w + r * cols);
    free(w);
    p.x = make(tokens * cols * sizeof *p.x);
    for (size_t i = 0; i < tokens * cols; i++)
        p.x[i] = (float)(bias + (double)some_normal(seed));
    p.scratch = make_scratch(cols, tokens);
    activations_prepare(isa, &p.m, p.x, tokens, p.scratch, &p.prepared);
    return p;
}

static void free_product(struct product *p)
{
    qmatrix_free(&p->m);
    free(p->x);
    free(p->scratch);
}

/* The exact value of a prepared activation. */
static double activation(const struct activations *x, size_t token, size_t i)
{
    double scale = x->scales ? (double)x->scales[token] : 1;
    if (x->integers)
        return scale * (x->codes[token * x->cols + i] - x->zeros[token]);
    return scale * (double)x->values[token * x->cols + i];
}

static void describe(const struct isa *isa, const struct product *p, char out[256])
{
    char scheme[SCHEME_TEXT];
    struct scheme s = {.format = p->m.format};
    snprintf(out, 256, "%s, %s, %zu x %zu, %zu tokens", isa->name,
             scheme_print(&s, scheme), p->m.rows, p->m.cols, p->tokens);
}

/* ---- against wider arithmetic ---------------------------------------------------------------- */

/* The bound of struct isa's matmul, counted in sums of |w x| whose integer w are taken as far from 0
 * as their codes and zero points can bring them. */
static double error_factor(const struct qmatrix *m)
{
    return ((double)m->cols + (double)m->groups + 16) * 0x1p-24;
}

/* How large the weight of a code can look while a kernel computes. */
static double magnitude_of(const struct qmatrix *m, size_t r, size_t c, float weight)
{
    if (dtypes[m->format.weight].kind != DTYPE_KIND_INTEGER)
        return fabs((double)weight);
    double code = (int8_t)qmatrix_code(m, r, c), zero = qmatrix_zero(m, r, c / m->group);
    return (double)qmatrix_scale(m, r, c / m->group) * (fabs(code) + fabs(zero));
}

/* What subnormals add to the error of a term: their steps are not finer than 2^-149, after an int4
 * column's factor too, and where the packing layout allows it they count as 0 in the activation, in the
 * weight and in the sum. */
static double subnormal_error(const struct activations *x, size_t t, double magnitude,
                              double activation, double group_scale)
{
    double scale = x->scales ? (double)x->scales[t] : 1;
    if (x->pack != PACK_BF16X2)
        return 0x1p-149 * (1 + scale + scale * group_scale) +
               (x->factors ? 0x1p-125 * scale * magnitude : 0);
    return 0x1p-126 * (scale * magnitude + activation + scale * group_scale) +
           0x1p-149 * (1 + scale);
}

static void check_against_double(const struct isa *isa, const struct product *p, const float *y)
{
    const struct qmatrix *m = &p->m;
    float *row = make(m->cols * sizeof *row), *scales = make(m->cols * sizeof *scales);
    double *magnitudes = make(m->cols * sizeof *magnitudes);
    for (size_t r = 0; r < m->rows; r++) {
        qmatrix_decode_codes(m, r, 0, m->cols, row);
        for (size_t i = 0; i < m->cols; i++) {
            magnitudes[i] = magnitude_of(m, r, i, row[i]);
            scales[i] = qmatrix_scale(m, r, i / m->group);
        }
        for (size_t t = 0; t < p->tokens; t++) {
            double sum = 0, magnitude = 0, subnormal = 0;
            for (size_t i = 0; i < m->cols; i++) {
                double a = activation(&p->prepared, t, i);
                sum += (double)row[i] * a;
                magnitude += magnitudes[i] * fabs(a);
                subnormal += subnormal_error(&p->prepared, t, magnitudes[i], fabs(a),
                                             (double)scales[i]);
            }
            double error = fabs(y[t * m->rows + r] - sum);
            if (error <= error_factor(m) * magnitude + subnormal)
                continue;
            char what[256];
            describe(isa, p, what);
            fail_msg("%s: row %zu, token %zu: %a; expected %a", what, r, t,
                     (double)y[t * m->rows + r], sum);
        }
    }
    free(row);
    free(scales);
    free(magnitudes);
}

/* Integer products are exact up to the documented fp32 steps: one multiply-add a group in the order
 * of the groups, then the token's scale. */
static void check_integers(const struct isa *isa, const struct product *p, const float *y)
{
    const struct qmatrix *m = &p->m;
    const struct activations *x = &p->prepared;
    int16_t *row = make(m->cols * sizeof *row); /* code - zero point */
    for (size_t r = 0; r < m->rows; r++) {
        for (size_t c = 0; c < m->cols; c++)
            row[c] = (int16_t)((int8_t)qmatrix_code(m, r, c) - qmatrix_zero(m, r, c / m->group));
        for (size_t t = 0; t < p->tokens; t++) {
            float sum = 0;
            for (size_t g = 0; g * m->group < m->cols; g++) {
                int64_t dot = 0;
                for (size_t c = g * m->group; c < m->cols && c < (g + 1) * m->group; c++)
                    dot += (int64_t)row[c] *
                           ((int64_t)x->codes[t * m->cols + c] - x->zeros[t]);
                float term = qmatrix_scale(m, r, g) * (float)dot;
                sum = sum + term;
            }
            sum *= x->scales[t];
            if (float_bits(sum) == float_bits(y[t * m->rows + r]))
                continue;
            char what[256];
            describe(isa, p, what);
            fail_msg("%s: row %zu, token %zu: %a; expected %a", what, r, t,
                     (double)y[t * m->rows + r], (double)sum);
        }
    }
    free(row);
}

/* Any split of the panels gives the same bits and writes no other row. */
static void check_row_split(const struct isa *isa, const struct product *p, const float *y,
                            uint64_t *seed)
{
    size_t rows = p->m.rows, n = rows * p->tokens;
    float *part = make(n * sizeof *part);
    const uint32_t untouched = 0x7fc12345;
    for (size_t i = 0; i < n; i++)
        part[i] = bits_float(untouched);
    size_t panels = qmatrix_panels(&p->m);
    for (size_t begin = 0; begin < panels;) {
        size_t end = begin + 1 + random_below(seed, panels - begin);
        isa->matmul(&p->m, &p->prepared, begin, end, part);
        for (size_t t = 0; t < p->tokens; t++)
            for (size_t r = end * PANEL_ROWS; r < rows; r++)
                assert_int_equal(float_bits(part[t * rows + r]), untouched);
        begin = end;
    }
    isa->matmul(&p->m, &p->prepared, panels, panels, part); /* no rows at all */
    char what[256];
    describe(isa, p, what);
    if (memcmp(part, y, n * sizeof *y) != 0)
        fail_msg("%s: panels in parts differ from all at once", what);
    free(part);
}

/* Integer products: several tokens at once give the bits that each gives alone. */
static void check_one_token_at_a_time(const struct isa *isa, const struct product *p,
                                      const float *y) {
    size_t rows = p->m.rows;
    float *alone = make(rows * sizeof *alone);
    void *scratch = make_scratch(p->m.cols, 1);
    for (size_t t = 0; t < p->tokens; t++) {
        struct activations one;
        char what[256];
        activations_prepare(isa, &p->m, p->x + t * p->m.cols, 1, scratch, &one);
        isa->matmul(&p->m, &one, 0, qmatrix_panels(&p->m), alone);
        describe(isa, p, what);
        if (memcmp(alone, y + t * rows, rows * sizeof *y) != 0)
            fail_msg("%s: token %zu alone differs", what, t);
    }
    free(alone);
    free(scratch);
}

struct matmul_check {
    const struct isa *isa;
    uint64_t seed;
    size_t schemes;
};

/* Every number of tokens in a tile, and now and then many tiles. */
static size_t tokens_to_check(const struct isa *isa, uint64_t *seed)
{
    return 1 + random_below(seed, random_below(seed, 8) == 0 ? MOST_TOKENS : isa->mr + 1);
}

static void check_product(const struct isa *isa, const struct scheme *s, uint64_t *seed, size_t rows,
                          size_t cols, size_t tokens)
{
    struct product p = make_product(isa, s, seed, rows, cols, tokens);
    float *y = make(rows * tokens * sizeof *y);
    isa->matmul(&p.m, &p.prepared, 0, qmatrix_panels(&p.m), y);
    assert_int_equal(p.prepared.integers, dtypes[s->format.act].kind == DTYPE_KIND_INTEGER);
    check_against_double(isa, &p, y);
    check_row_split(isa, &p, y, seed);
    if (p.prepared.integers) {
        check_integers(isa, &p, y);
        check_one_token_at_a_time(isa, &p, y);
    }
    free(y);
    free_product(&p);
}

static void check_shape(struct matmul_check *check, const struct scheme *s, size_t cols)
{
    size_t rows = 1 + random_below(&check->seed, MOST_ROWS);
    check_product(check->isa, s, &check->seed, rows, cols, tokens_to_check(check->isa, &check->seed));
}

static void check_matmul(const struct scheme *s, void *arg)
{
    static const size_t edges[] = {1, 2, 15, 16, 17, 31, 33, 63, 65, 127, 129, 172, 255, 256, 257};
    enum { EDGES = sizeof edges / sizeof *edges };
    struct matmul_check *check = arg;
    if (!scheme_check(s, NULL))
        return;
    size_t stride = test_stride(), turn = check->schemes++;
    for (size_t n = turn % stride; n < EDGES + 10; n += stride)
        check_shape(check, s, n < EDGES ? edges[n] : 1 + random_below(&check->seed, MOST_COLS));
}

static void test_matmul(void **state)
{
    (void)state;
    for (size_t i = 0; tested_isa(i); i++) {
        struct matmul_check check = {.isa = tested_isa(i), .seed = 1 + i};
        if (!check.isa->available()) {
            fprintf(stderr, "%s: this machine does not have it\n", check.isa->name);
            continue;
        }
        each_scheme(groups, GROUPS, check_matmul, &check);
        assert_true(check.schemes > 150);
    }
}

/* Rows that are longer than what is expanded at a time, several times over, where groups end elsewhere. */
static const size_t long_rows[] = {2049, 4099, 6200};
enum { LONG_ROWS = sizeof long_rows / sizeof *long_rows };

static void test_matmul_of_long_rows(void **state)
{
    (void)state;
    static const char *const schemes[] = {"fp32", "fp16", "bf16/bf16", "int8:g33", "int8/bf16:g33:asym",
                                          "int4", "int4/bf16", "int4/bf16:g50:asym", "fp8/fp8", "w8a8", "w4a8:g32"};
    uint64_t seed = 23;
    for (size_t i = 0; tested_isa(i); i++)
        for (size_t k = 0; k < sizeof schemes / sizeof *schemes && tested_isa(i)->available(); k++)
            for (size_t n = k % test_stride() % LONG_ROWS; n < LONG_ROWS; n += test_stride()) {
                struct scheme s;
                size_t tokens = tested_isa(i)->mr + 1 + random_below(&seed, 4);
                assert_true(scheme_parse(schemes[k], &s, NULL));
                check_product(tested_isa(i), &s, &seed, 17, long_rows[n], tokens);
            }
}

/* The same matrix as files hold it: in rows, borrowed. */
static struct qmatrix in_rows(const struct qmatrix *m, uint8_t **memory)
{
    size_t size = dtypes[m->format.weight].bits / 8;
    struct qmatrix rows = *m;
    rows.packed = false;
    rows.owned = NULL;
    rows.format.stored = true;
    rows.row_bytes = m->cols * size;
    uint8_t *codes = *memory = make(m->rows * (rows.row_bytes + m->groups * sizeof(float)) + 3);
    float *scales = make(m->rows * m->groups * sizeof *scales);
    for (size_t r = 0; r < m->rows; r++) {
        for (size_t c = 0; c < m->cols; c++) {
            uint32_t code = qmatrix_code(m, r, c);
            memcpy(codes + r * rows.row_bytes + c * size, &code, size);
        }
        for (size_t g = 0; g < m->groups; g++)
            scales[r * m->groups + g] = qmatrix_scale(m, r, g);
    }
    rows.codes = codes;
    rows.scales = NULL;
    if (m->scale_type != SCALE_NONE) {
        rows.scale_type = SCALE_FP32;
        rows.scales = memcpy(codes + m->rows * rows.row_bytes + (4 - m->rows * rows.row_bytes % 4) % 4,
                             scales, m->rows * m->groups * sizeof *scales);
    }
    free(scales);
    return rows;
}

static void check_decode(const struct isa *isa, const struct qmatrix *m)
{
    float *row = make(2 * m->cols * sizeof *row), *plain = row + m->cols;
    for (size_t r = 0; r < m->rows; r++) {
        isa->decode_row(m, r, row);
        qmatrix_decode_row(m, r, plain);
        assert_memory_equal(row, plain, m->cols * sizeof *row);
    }
    free(row);
}

static void check_rows(const struct isa *isa, const char *scheme, uint64_t *seed)
{
    int stride = (int)test_stride();
    for (int n = 0; n < 60 + LONG_ROWS; n += n + stride <= 60 ? stride : 1) {
        struct scheme s;
        uint8_t *memory;
        size_t rows = 1 + random_below(seed, MOST_ROWS), tokens = 1 + random_below(seed, MOST_TOKENS);
        assert_true(scheme_parse(scheme, &s, NULL));
        size_t cols = 1 + random_below(seed, n < 50 ? MOST_COLS : 4 * MOST_COLS);
        if (n >= 60) {
            rows = 17;
            cols = long_rows[n - 60];
            tokens = isa->mr + 1 + random_below(seed, 4);
        }
        struct product p = make_product(isa, &s, seed, rows, cols, tokens);
        struct qmatrix packed = p.m;
        p.m = in_rows(&packed, &memory);
        float *y = make(rows * tokens * sizeof *y);
        activations_prepare(isa, &p.m, p.x, tokens, p.scratch, &p.prepared);
        isa->matmul(&p.m, &p.prepared, 0, qmatrix_panels(&p.m), y);
        check_against_double(isa, &p, y);
        check_row_split(isa, &p, y, seed);
        check_decode(isa, &p.m);
        check_decode(isa, &packed);
        free(y);
        free(memory);
        p.m = packed;
        free_product(&p);
    }
}

static void test_matmul_of_rows(void **state)
{
    (void)state;
    static const char *const schemes[] = {"fp32",     "fp16",     "bf16",    "int8:g16", "int8:g64",
                                          "int8:g33", "fp8e4m3",  "fp8e4m3:g33", "fp8e5m2:tensor"};
    uint64_t seed = 12;
    for (size_t i = 0; tested_isa(i); i++)
        for (size_t k = 0; k < sizeof schemes / sizeof *schemes; k++)
            if (tested_isa(i)->available())
                check_rows(tested_isa(i), schemes[k], &seed);
}

/* ---- how a product is shared out ------------------------------------------------------------- */

/* Panels begin .. end - 1 alone, as every thread that got them would compute them. */
static void check_range(const struct isa *isa, const struct product *p, size_t begin, size_t end,
                        const float *y, float *part)
{
    size_t rows = p->m.rows, first = begin * PANEL_ROWS;
    size_t n = (end * PANEL_ROWS < rows ? end * PANEL_ROWS : rows) - first;
    isa->matmul(&p->m, &p->prepared, begin, end, part);
    for (size_t t = 0; t < p->tokens; t++) {
        if (memcmp(part + t * rows + first, y + t * rows + first, n * sizeof *y) == 0)
            continue;
        char what[256];
        describe(isa, p, what);
        fail_msg("%s: panels %zu..%zu alone differ from all at once", what, begin, end);
    }
}

static void check_all_ranges(const struct isa *isa, const struct product *p)
{
    size_t n = p->m.rows * p->tokens, panels = qmatrix_panels(&p->m);
    float *y = make(2 * n * sizeof *y);
    isa->matmul(&p->m, &p->prepared, 0, panels, y);
    for (size_t begin = 0; begin < panels; begin++)
        for (size_t end = begin + 1; end <= panels; end++)
            check_range(isa, p, begin, end, y, y + n);
    free(y);
}

/* Packed and, where files can hold that, row after row. */
static void check_ranges_of(const struct isa *isa, const char *scheme, size_t tokens, uint64_t *seed)
{
    struct scheme s;
    assert_true(scheme_parse(scheme, &s, NULL));
    struct product p = make_product(isa, &s, seed, 10 * PANEL_ROWS - 5, 75, tokens);
    check_all_ranges(isa, &p);
    if (s.format.act == DTYPE_FP32 && s.format.weight != DTYPE_INT4 && !s.format.asym) {
        uint8_t *memory;
        struct qmatrix packed = p.m;
        p.m = in_rows(&packed, &memory);
        activations_prepare(isa, &p.m, p.x, tokens, p.scratch, &p.prepared);
        check_all_ranges(isa, &p);
        free(memory);
        p.m = packed;
    }
    free_product(&p);
}

static void test_every_split_has_equal_bits(void **state)
{
    (void)state;
    static const char *const schemes[] = {"fp32", "fp16", "bf16", "bf16/bf16", "int8", "int8/bf16:asym", "w8a8",
                                          "int8/int8.asym:asym", "int4:g33:asym", "int4/bf16:g16", "w4a8:g32",
                                          "fp8", "fp8/fp8", "fp8e5m2:g33"};
    uint64_t seed = 41;
    for (size_t i = 0; tested_isa(i); i++) {
        const struct isa *isa = tested_isa(i);
        const size_t tokens[] = {1, 2, 3, isa->mr - 1, isa->mr, isa->mr + 1, 2 * isa->mr + 3};
        for (size_t k = 0; k < sizeof schemes / sizeof *schemes && isa->available(); k++)
            for (size_t n = k % test_stride(); n < sizeof tokens / sizeof *tokens; n += test_stride())
                check_ranges_of(isa, schemes[k], tokens[n], &seed);
    }
}

/* ---- fp8 of files ---------------------------------------------------------------------------- */

/* fp8 in rows as files hold it: no scales, and any code. */
struct fp8_rows {
    struct qmatrix m;
    uint8_t *codes;
    float *x, *y;
    size_t tokens;
};

static struct fp8_rows make_fp8_rows(enum dtype type, size_t rows, size_t cols, size_t tokens)
{
    struct fp8_rows p = {.codes = make(rows * cols), .x = make(tokens * cols * sizeof *p.x),
                         .y = make(tokens * rows * sizeof *p.y), .tokens = tokens};
    p.m = (struct qmatrix){.rows = rows, .cols = cols, .format = qformat_default(type), .group = cols,
                           .groups = 1, .row_bytes = cols, .bytes = rows * cols, .codes = p.codes};
    p.m.format.stored = true;
    p.m.format.granularity = GRANULARITY_TENSOR;
    return p;
}

static void free_fp8_rows(struct fp8_rows *p)
{
    free(p->codes);
    free(p->x);
    free(p->y);
}

static void multiply_fp8_rows(const struct isa *isa, struct fp8_rows *p)
{
    struct activations prepared;
    void *scratch = make_scratch(p->m.cols, p->tokens);
    activations_prepare(isa, &p->m, p->x, p->tokens, scratch, &prepared);
    isa->matmul(&p->m, &prepared, 0, qmatrix_panels(&p->m), p->y);
    free(scratch);
}

static bool same_float(float a, float b)
{
    return a == b || (isnan(a) && isnan(b));
}

/* NaN may become a quiet one. */
static void check_stored_rows(const struct isa *isa, const struct qmatrix *m)
{
    float *row = make(2 * m->cols * sizeof *row), *plain = row + m->cols;
    for (size_t r = 0; r < m->rows; r++) {
        isa->decode_row(m, r, row);
        qmatrix_decode_row(m, r, plain);
        for (size_t c = 0; c < m->cols; c++)
            assert_true(same_float(row[c], plain[c]));
    }
    free(row);
}

/* Row r has code r in one column, which alone meets an activation: 1. What lies in the others is finite,
 * since 0 times infinity is no number. */
static void check_every_stored_code(const struct isa *isa, enum dtype type, size_t tokens)
{
    enum { ROWS = 256, COLS = 45 };
    for (size_t seen = 0; seen < COLS; seen += tokens > 1 ? COLS : 4) {
        struct fp8_rows p = make_fp8_rows(type, ROWS, COLS, tokens);
        for (size_t i = 0; i < ROWS * COLS; i++)
            p.codes[i] = i % COLS == seen % COLS ? (uint8_t)(i / COLS) : (uint8_t)(i % 100);
        for (size_t i = 0; i < tokens * COLS; i++)
            p.x[i] = i % COLS == seen % COLS ? 1 : 0;
        multiply_fp8_rows(isa, &p);
        for (size_t i = 0; i < tokens * ROWS; i++) {
            float expected = dtypes[type].decode((uint32_t)(i % ROWS));
            if (!same_float(p.y[i], expected))
                fail_msg("%s, %s of a file, %zu tokens: column %zu, code %zu: %a; expected %a",
                         isa->name, dtypes[type].name, tokens, seen, i % ROWS, (double)p.y[i],
                         (double)expected);
        }
        check_stored_rows(isa, &p.m);
        free_fp8_rows(&p);
    }
}

/* Random finite codes, subnormals among them, within the bound of every product. */
static void check_stored_fp8(const struct isa *isa, enum dtype type, uint64_t *seed)
{
    struct fp8_rows p = make_fp8_rows(type, 1 + random_below(seed, MOST_ROWS),
                                      1 + random_below(seed, MOST_COLS),
                                      1 + random_below(seed, MOST_TOKENS));
    for (size_t i = 0; i < p.m.rows * p.m.cols; i++)
        do
            p.codes[i] = (uint8_t)random_bits(seed);
        while (!isfinite(dtypes[type].decode(p.codes[i])));
    for (size_t i = 0; i < p.tokens * p.m.cols; i++)
        p.x[i] = (float)random_normal(seed);
    multiply_fp8_rows(isa, &p);
    struct product as = {.m = p.m, .x = p.x, .tokens = p.tokens};
    as.scratch = make_scratch(p.m.cols, p.tokens);
    activations_prepare(isa, &as.m, as.x, as.tokens, as.scratch, &as.prepared);
    check_against_double(isa, &as, p.y);
    check_row_split(isa, &as, p.y, seed);
    check_decode(isa, &as.m);
    free(as.scratch);
    free_fp8_rows(&p);
}

static void test_matmul_of_stored_fp8(void **state)
{
    (void)state;
    static const enum dtype types[] = {DTYPE_FP8E4M3, DTYPE_FP8E5M2};
    uint64_t seed = 21;
    for (size_t i = 0; tested_isa(i); i++)
        for (size_t k = 0; k < 2 && tested_isa(i)->available(); k++) {
            check_every_stored_code(tested_isa(i), types[k], 1);
            check_every_stored_code(tested_isa(i), types[k], MOST_TOKENS);
            for (int n = 0; n < 60; n++)
                check_stored_fp8(tested_isa(i), types[k], &seed);
        }
}

/* Every code of a type, in every lane and column of some lines, by activations of which one is 1:
 * the product is exact. */
static void check_every_code(const struct isa *isa, const char *scheme, size_t tokens)
{
    enum { ROWS = 21, COLS = 40 };
    struct scheme s;
    struct qmatrix m;
    struct activations prepared;
    float x[MOST_TOKENS * COLS] = {0}, y[MOST_TOKENS * ROWS], row[COLS];
    void *scratch = make_scratch(COLS, tokens);
    assert_true(scheme_parse(scheme, &s, NULL));
    for (size_t t = 0; t < tokens; t++)
        x[t * COLS + t] = 1;
    for (size_t shift = 0; shift < 256; shift += 7) {
        assert_true(qmatrix_init(&m, &s.format, ROWS, COLS, NULL));
        quantize_tensor_scale(&m, (struct value_range){-1, 1.5f});
        for (size_t r = 0; r < ROWS; r++) {
            uint8_t codes[COLS];
            for (size_t c = 0; c < COLS; c++) {
                codes[c] = (uint8_t)(shift + r * 17 + c);
                bool whole = dtypes[s.format.weight].kind == DTYPE_KIND_INTEGER;
                if (!whole && !isfinite(dtypes[s.format.weight].decode(codes[c])))
                    codes[c] = 0;
            }
            qmatrix_put_codes(&m, r, 0, 0, COLS, codes);
        }
        activations_prepare(isa, &m, x, tokens, scratch, &prepared);
        isa->matmul(&m, &prepared, 0, qmatrix_panels(&m), y);
        for (size_t r = 0; r < ROWS; r++) {
            qmatrix_decode_row(&m, r, row);
            for (size_t t = 0; t < tokens; t++)
                if (!(y[t * ROWS + r] == row[t]))
                    fail_msg("%s, %s, %zu tokens: row %zu, column %zu, code %u: %a; expected %a",
                             isa->name, scheme, tokens, r, t, qmatrix_code(&m, r, t),
                             (double)y[t * ROWS + r], (double)row[t]);
        }
        qmatrix_free(&m);
    }
    free(scratch);
}

static void test_matmul_of_every_code(void **state)
{
    (void)state;
    static const char *const schemes[] = {
        "fp8e4m3:tensor", "fp8e4m3/bf16:tensor", "fp8e5m2:tensor", "fp8e5m2/bf16:tensor",
        "int8:tensor",    "int8/bf16:tensor",    "int4:tensor",    "int4/bf16:tensor",
        "int8:tensor:asym", "int8/bf16:tensor:asym", "int4:tensor:asym", "int4/bf16:tensor:asym"};
    static const size_t tokens[] = {1, 5, 20, MOST_TOKENS};
    for (size_t i = 0; tested_isa(i); i++)
        for (size_t k = 0; k < sizeof schemes / sizeof *schemes; k++)
            for (size_t n = 0; n < sizeof tokens / sizeof *tokens; n++)
                if (tested_isa(i)->available())
                    check_every_code(tested_isa(i), schemes[k], tokens[n]);
}

/* Activations around and below the smallest normal number. */
static void test_matmul_of_subnormals(void **state)
{
    (void)state;
    static const char *const schemes[] = {"bf16/bf16", "int8/bf16", "int4/bf16:g32:asym",
                                          "fp8/bf16"};
    uint64_t seed = 13;
    for (size_t i = 0; tested_isa(i); i++)
        for (size_t k = 0; k < 40 && tested_isa(i)->available(); k++) {
            struct scheme s;
            size_t rows = 1 + random_below(&seed, MOST_ROWS);
            size_t cols = 1 + random_below(&seed, MOST_COLS);
            size_t tokens = 1 + random_below(&seed, MOST_TOKENS);
            assert_true(scheme_parse(schemes[k % (sizeof schemes / sizeof *schemes)], &s, NULL));
            struct product p = make_product(tested_isa(i), &s, &seed, rows, cols, tokens);
            float *y = make(rows * tokens * sizeof *y);
            for (size_t n = 0; n < tokens * cols; n++)
                p.x[n] *= n % 3 ? 0x1p-121f : 0x1p-126f;
            activations_prepare(tested_isa(i), &p.m, p.x, tokens, p.scratch, &p.prepared);
            tested_isa(i)->matmul(&p.m, &p.prepared, 0, qmatrix_panels(&p.m), y);
            check_against_double(tested_isa(i), &p, y);
            free(y);
            free_product(&p);
        }
}

/* Large sums: long rows of the largest codes must not overflow an accumulator. */
static void test_matmul_of_the_largest_codes(void **state)
{
    (void)state;
    static const char *const schemes[] = {"int8/int8", "int8/int8.asym", "int8/int8:asym",
                                          "int8/int8.asym:asym:rtn", "int4/int8:channel",
                                          "int4/int8.asym:channel:asym", "int8/int8:tensor"};
    enum { LONG = 40000 };
    float *values = make(LONG * sizeof *values);
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        for (int negative = 0; negative < 2; negative++) {
            struct scheme s;
            struct product p = {.tokens = 1};
            assert_true(scheme_parse(schemes[i], &s, NULL));
            assert_true(qmatrix_init(&p.m, &s.format, 1, LONG, NULL));
            for (size_t c = 0; c < LONG; c++)
                values[c] = negative ? -1.0f : 1.0f;
            values[0] = negative ? 1e-3f : -1e-3f;
            struct value_range range = {0, 0};
            value_range_add(&range, values, LONG);
            quantize_tensor_scale(&p.m, range);
            quantize_row(&p.m, 0, values);
            p.scratch = make_scratch(LONG, 1);
            for (size_t k = 0; tested_isa(k); k++) {
                float y;
                if (!tested_isa(k)->available())
                    continue;
                activations_prepare(tested_isa(k), &p.m, values, 1, p.scratch, &p.prepared);
                tested_isa(k)->matmul(&p.m, &p.prepared, 0, 1, &y);
                check_integers(tested_isa(k), &p, &y);
                assert_true(y > 0.98f * LONG && y < 1.02f * LONG);
            }
            p.x = NULL;
            free_product(&p);
        }
    free(values);
}

/* Stored integers of a file: fp32 scales for groups of any size. */
static void test_matmul_of_stored_groups(void **state)
{
    (void)state;
    enum { ROWS = 5, COLS = 40, GROUP = 8 };
    uint64_t seed = 3;
    int8_t codes[ROWS * COLS];
    float scales[ROWS * COLS / GROUP], x[2 * COLS], y[2 * ROWS];
    for (size_t i = 0; i < ROWS * COLS; i++)
        codes[i] = (int8_t)random_bits(&seed);
    for (size_t i = 0; i < ROWS * COLS / GROUP; i++)
        scales[i] = (float)random_uniform(&seed);
    for (size_t i = 0; i < sizeof x / sizeof *x; i++)
        x[i] = (float)random_normal(&seed);
    struct product p = {.tokens = 2};
    p.m = (struct qmatrix){.rows = ROWS, .cols = COLS, .format = qformat_default(DTYPE_INT8),
                           .group = GROUP, .groups = COLS / GROUP, .row_bytes = COLS,
                           .scale_type = SCALE_FP32, .codes = (const uint8_t *)codes,
                           .scales = scales};
    p.m.format.stored = true;
    p.m.format.granularity = GRANULARITY_GROUP;
    p.m.format.group = GROUP;
    float row[COLS];
    qmatrix_decode_row(&p.m, 3, row);
    for (size_t c = 0; c < COLS; c++)
        assert_true(row[c] == (float)codes[3 * COLS + c] * scales[3 * (COLS / GROUP) + c / GROUP]);
    for (size_t i = 0; tested_isa(i); i++)
        if (tested_isa(i)->available()) {
            /* untouched: needs no scratch */
            activations_prepare(tested_isa(i), &p.m, x, 2, NULL, &p.prepared);
            tested_isa(i)->matmul(&p.m, &p.prepared, 0, qmatrix_panels(&p.m), y);
            check_against_double(tested_isa(i), &p, y);
        }
}

static void test_isa_table(void **state)
{
    (void)state;
    struct error error = {""};
    size_t n = 0, best = 0;
    for (size_t i = 0; isa_at(i); i++)
        best = isa_at(i)->available() ? i : best;
    const char *chosen = getenv("QTOP_ISA"); /* obeyed by support.c */
    if (chosen)
        assert_string_equal(isa_current()->name, chosen);
    else
        assert_ptr_equal(isa_current(), isa_at(best)); /* before anybody chooses */
    for (; isa_at(n); n++) {
        assert_non_null(isa_at(n)->name);
        assert_non_null(isa_at(n)->description);
        assert_non_null(isa_at(n)->matmul);
        assert_int_equal(isa_select(isa_at(n)->name, &error), isa_at(n)->available());
    }
    assert_true(n > 0);
    assert_true(isa_at(0)->available()); /* plain C is always there */
    assert_null(isa_at(SIZE_MAX));
    assert_true(isa_select(isa_at(0)->name, NULL));
    assert_ptr_equal(isa_current(), isa_at(0));
    assert_false(isa_select("abacus", &error));
    const char *expected = strstr(error.text, "expected one of: ");
    assert_non_null(strstr(error.text, "'abacus'"));
    assert_non_null(expected);
    for (size_t i = 0; i < n; i++)
        assert_non_null(strstr(expected + strlen("expected one of: "), isa_at(i)->name));
    assert_ptr_equal(isa_current(), isa_at(0));
    assert_false(isa_select("", NULL));
}

/* ---- activations ----------------------------------------------------------------------------- */

enum token {
    TOKEN_NORMAL, TOKEN_POSITIVE, TOKEN_NEGATIVE, TOKEN_OUTLIER, TOKEN_DENORMAL, TOKEN_LARGE,
    TOKEN_CONSTANT, TOKEN_ZERO, TOKEN_MIXED, TOKENS
};

static void fill_token(enum token kind, uint64_t *seed, float *x, size_t n)
{
    static const float odd[] = {NAN, -NAN, INFINITY, -INFINITY, 0, -0.0f, FLT_MAX, -FLT_MAX};
    for (size_t i = 0; i < n; i++) {
        double z = random_normal(seed);
        double of[TOKENS] = {[TOKEN_NORMAL] = z,
                             [TOKEN_POSITIVE] = 3 + random_uniform(seed),
                             [TOKEN_NEGATIVE] = -3 - random_uniform(seed),
                             [TOKEN_OUTLIER] = i == n / 2 ? 500 : z,
                             [TOKEN_DENORMAL] = z * 1e-40,
                             [TOKEN_LARGE] = z * 1e37,
                             [TOKEN_CONSTANT] = -0.7,
                             [TOKEN_MIXED] = z};
        x[i] = (float)of[kind];
        if (kind == TOKEN_MIXED && random_below(seed, 3) == 0)
            x[i] = odd[random_below(seed, sizeof odd / sizeof *odd)];
        else if (random_below(seed, 20) == 0)
            x[i] = 0;
    }
}

/* Half a unit in the last place of a format with this many significant bits and smallest step. */
static double half_step(enum dtype type, double value)
{
    static const struct {
        int precision, smallest; /* exponents of 2 */
    } of[DTYPE_COUNT] = {[DTYPE_FP32] = {24, -149},   [DTYPE_FP16] = {11, -24},
                         [DTYPE_BF16] = {8, -133},    [DTYPE_FP8E4M3] = {4, -9},
                         [DTYPE_FP8E5M2] = {3, -16}};
    assert_int_not_equal(of[type].precision, 0); /* a new dtype is described here */
    return fmax(ldexp(fabs(value), -of[type].precision), ldexp(1, of[type].smallest - 1));
}

static void check_float_token(const struct scheme *s, const struct activations *a, size_t t,
                              const float *x)
{
    const struct dtype_info *type = &dtypes[s->format.act];
    bool scaled = type->kind == DTYPE_KIND_SCALED_FLOAT;
    double largest = 0, scale = a->scales ? (double)a->scales[t] : 1;
    for (size_t i = 0; i < a->cols; i++)
        largest = isfinite(x[i]) ? fmax(largest, fabs((double)x[i])) : largest;
    if (!scaled || largest == 0)
        assert_true(scale == 1);
    else
        assert_true(fabs(scale - fmax(largest / (double)type->largest, FLT_MIN)) <= 1e-6 * scale);
    for (size_t i = 0; i < a->cols; i++) {
        float value = a->values[t * a->cols + i];
        double back = activation(a, t, i), half = half_step(s->format.act, (double)x[i] / scale) * scale;
        if (isnan(x[i]))
            assert_true(isnan(value));
        else if (scaled && isinf(x[i]))
            assert_true(fabsf(value) == type->largest);
        else if (!scaled &&
                 fabsf(x[i]) > type->largest) /* overflow as IEEE 754 says, or rounding */
            assert_true(fabsf(value) >= type->largest);
        else
            assert_true(fabs(back - x[i]) <= half * 1.00001);
        assert_true(x[i] != 0 || back == 0);
        if (!isnan(x[i])) /* the value is one of the dtype's own */
            assert_true(type->decode(type->encode(value)) == value || isinf(value));
    }
}

static void check_integer_token(const struct scheme *s, const struct activations *a, size_t t,
                                const float *x, const struct qmatrix *m)
{
    double low = 0, high = 0, scale = (double)a->scales[t];
    const int8_t *codes = a->codes + t * a->cols;
    int zero = a->zeros[t];
    for (size_t i = 0; i < a->cols; i++) {
        low = isfinite(x[i]) ? fmin(low, (double)x[i]) : low;
        high = isfinite(x[i]) ? fmax(high, (double)x[i]) : high;
    }
    double ideal = s->format.act_asym ? (high - low) / 255 : fmax(-low, high) / 127;
    ideal = ideal == 0 ? 1 : fmax(ideal, FLT_MIN);
    assert_true(fabs(scale - ideal) <= 1e-6 * ideal);
    assert_true(s->format.act_asym ? zero >= -128 && zero <= 127 : zero == 0);
    if (s->format.act_asym) /* the zero point is -min / scale, counted from the lowest code */
        assert_true(fabs(-low / scale - (zero + 128)) <= 0.501);
    for (size_t i = 0; i < a->cols; i++) {
        double back = activation(a, t, i);
        if (!s->format.act_asym)
            assert_true(codes[i] >= -127);
        if (isnan(x[i]) || x[i] == 0)
            assert_true(codes[i] == zero);
        else if (isinf(x[i]))
            assert_int_equal(codes[i], x[i] > 0 ? 127 : s->format.act_asym ? -128 : -127);
        else
            assert_true(fabs(back - x[i]) <= 0.501 * scale);
    }
    for (size_t g = 0; g * m->group < m->cols; g++) {
        int64_t sum = 0;
        for (size_t c = g * m->group; c < m->cols && c < (g + 1) * m->group; c++)
            sum += codes[c];
        assert_int_equal(a->sums[t * m->groups + g], sum);
    }
}

struct preparation_check {
    const struct isa *isa;
    uint64_t seed;
};

static void check_preparation(const struct scheme *s, void *arg)
{
    struct preparation_check *check = arg;
    const struct isa *isa = check->isa;
    uint64_t *seed = &check->seed;
    if (!scheme_check(s, NULL))
        return;
    size_t cols = 1 + random_below(seed, MOST_COLS);
    float *x = make(TOKENS * cols * sizeof *x), *y = make(TOKENS * sizeof *y);
    struct qmatrix m;
    struct activations a;
    assert_true(qmatrix_init(&m, &s->format, 1, cols, NULL));
    for (int kind = 0; kind < TOKENS; kind++)
        fill_token((enum token)kind, seed, x + (size_t)kind * cols, cols);
    void *scratch = make_scratch(cols, TOKENS);
    activations_prepare(isa, &m, x, TOKENS, scratch, &a);
    assert_int_equal(a.tokens, TOKENS);
    assert_int_equal(a.cols, cols);
    if (s->format.act == DTYPE_FP32)
        assert_ptr_equal(a.values, x);
    for (size_t t = 0; t < TOKENS; t++) {
        if (a.integers)
            check_integer_token(s, &a, t, x + t * cols, &m);
        else
            check_float_token(s, &a, t, x + t * cols);
    }
    isa->matmul(&m, &a, 0, 1, y); /* nothing undefined happens to NaN further on either */
    qmatrix_free(&m);
    free(scratch);
    free(x);
    free(y);
}

static void test_activations(void **state)
{
    (void)state;
    for (size_t i = 0; tested_isa(i); i++) {
        struct preparation_check check = {tested_isa(i), 5};
        for (int n = 0; n < 5 && check.isa->available(); n++)
            each_scheme(groups, GROUPS, check_preparation, &check);
    }
}

/* ---- input transform ---------------------------------------------------------------------------------- */

/* An input scale, some outlier columns and sometimes a static scale, of a matrix that is packed. */
static void give_input_transform(struct qmatrix *m, uint64_t *seed)
{
    float *scale = make(m->cols * sizeof *scale);
    uint32_t *columns = make(m->cols * sizeof *columns);
    size_t outliers = 0;
    for (uint32_t c = 0; c < m->cols; c++) {
        scale[c] = (float)exp(random_normal(seed));
        if (random_below(seed, 5) == 0)
            columns[outliers++] = c;
    }
    assert_true(qmatrix_set_input_scale(m, scale, NULL));
    assert_true(qmatrix_set_outliers(m, columns, outliers, NULL));
    if (random_below(seed, 2) && dtypes[m->format.act].kind != DTYPE_KIND_FLOAT)
        assert_true(qmatrix_set_act_scale(m, 0.01f, m->format.act_asym ? 3 : 0, NULL));
    free(scale);
    free(columns);
}

/* What the matrix is given is x / scale, 0 in outlier columns, before it is rounded. */
static void check_transformed(const struct product *p)
{
    const struct input_transform *in = p->m.input_transform;
    for (size_t t = 0; t < p->tokens; t++)
        for (size_t c = 0, next = 0; c < p->m.cols; c++) {
            float expected = p->x[t * p->m.cols + c] / in->scale[c];
            if (next < in->outliers && in->columns[next] == c) {
                expected = 0;
                next++;
            }
            assert_true(p->prepared.transformed[t * p->m.cols + c] == expected);
            double got = activation(&p->prepared, t, c), step = 0.51;
            if (dtypes[p->m.format.act].kind != DTYPE_KIND_INTEGER)
                step = fabs((double)expected) / 15 + 0.01;
            else
                step *= (double)p->prepared.scales[t];
            if (in->act_scale == 0) /* a static scale clips */
                assert_true(fabs(got - (double)expected) <= step);
        }
    for (size_t t = 0; t < p->tokens && in->act_scale > 0; t++)
        assert_true(p->prepared.scales[t] == in->act_scale);
}

static void check_input_transform(const struct isa *isa, const char *scheme, uint64_t *seed)
{
    struct scheme s;
    size_t rows = 1 + random_below(seed, MOST_ROWS), cols = 1 + random_below(seed, MOST_COLS);
    size_t tokens = tokens_to_check(isa, seed);
    assert_true(scheme_parse(scheme, &s, NULL));
    struct product p = make_product(isa, &s, seed, rows, cols, tokens);
    float *y = make(rows * tokens * sizeof *y), *row = make(cols * sizeof *row);
    size_t bytes = p.m.bytes;
    give_input_transform(&p.m, seed);
    const struct input_transform *in = p.m.input_transform;
    assert_int_equal(p.m.bytes, bytes + cols * 4 + in->outliers * (4 + rows * 2) +
                                    (in->act_scale > 0 ? 4u + s.format.act_asym : 0));
    activations_prepare(isa, &p.m, p.x, tokens, p.scratch, &p.prepared);
    isa->matmul(&p.m, &p.prepared, 0, qmatrix_panels(&p.m), y);
    check_transformed(&p);
    check_against_double(isa, &p, y);
    check_row_split(isa, &p, y, seed);
    if (p.prepared.integers) {
        check_integers(isa, &p, y);
        check_one_token_at_a_time(isa, &p, y);
    }
    isa->decode_row(&p.m, rows - 1, row); /* what it stands for */
    for (size_t c = 0, next = 0; c < cols; c++) {
        float code;
        qmatrix_decode_codes(&p.m, rows - 1, c, 1, &code);
        bool outlier = next < in->outliers && in->columns[next] == c;
        next += outlier;
        assert_true(row[c] == (outlier ? 0 : code / in->scale[c]));
    }
    free(row);
    free(y);
    free_product(&p);
}

static void test_input_transform(void **state)
{
    (void)state;
    static const char *const schemes[] = {"fp32", "fp16", "bf16/bf16", "int8", "int8/bf16", "int8/int8",
                                          "int8/int8.asym:asym", "int4:g32", "int4/int8:g32:asym",
                                          "int4/bf16:channel", "fp8", "fp8/fp8", "fp8e5m2/fp8:tensor"};
    uint64_t seed = 31;
    for (size_t i = 0; tested_isa(i); i++)
        for (size_t n = 0; n < 120 && tested_isa(i)->available(); n++)
            check_input_transform(tested_isa(i), schemes[n % (sizeof schemes / sizeof *schemes)], &seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matmul),
        cmocka_unit_test(test_matmul_of_long_rows),
        cmocka_unit_test(test_matmul_of_rows),
        cmocka_unit_test(test_every_split_has_equal_bits),
        cmocka_unit_test(test_matmul_of_stored_fp8),
        cmocka_unit_test(test_matmul_of_every_code),
        cmocka_unit_test(test_matmul_of_subnormals),
        cmocka_unit_test(test_matmul_of_the_largest_codes),
        cmocka_unit_test(test_matmul_of_stored_groups),
        cmocka_unit_test(test_isa_table),
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_input_transform),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

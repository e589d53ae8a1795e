/* Matrices of stored types above the kernels: quantized again, described, counted, multiplied by a
 * model. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/format.h"
#include "engine/context.h"
#include "measure/detail.h"
#include "model/on_demand.h"
#include "quant/fit.h"
#include "quant/requant.h"
#include "kernels/encode.h"
#include "kernels/stored.h"
#include "support.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

enum { ROWS = 21, COLS = 512 };

/* A model of one matrix of blocks. */
struct study {
    struct model model;
    struct weights *stored;
    uint8_t *blocks;
};

static struct study open_study(enum dtype type, uint64_t *seed)
{
    struct study s = {.model = matrix_model(NULL, ROWS, COLS)};
    size_t count = ROWS * COLS / dtypes[type].block;
    s.blocks = make(count * dtypes[type].block_bytes);
    random_blocks(type, count, seed, s.blocks);
    s.model.tensors[0].stored = stored_matrix(type, ROWS, COLS, s.blocks);
    s.stored = weights_stored(&s.model);
    assert_non_null(s.stored);
    return s;
}

static void close_study(struct study *s)
{
    weights_unref(s->stored);
    free_matrix_model(&s->model);
    free(s->blocks);
}

static void test_number_line(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (int t = DTYPE_COUNT; t < DTYPE_ALL; t++) {
        struct study s = open_study((enum dtype)t, &seed);
        for (int n = 0; n < 20; n++) {
            size_t row = random_below(&seed, ROWS), col = random_below(&seed, COLS);
            size_t begin = col / dtypes[t].block * dtypes[t].block;
            struct weight_view v = weight_view(&s.model, s.stored->layer[0], row, col);
            float w[COLS];
            qmatrix_decode_row(&s.model.tensors[0].stored, row, w);
            assert_true(v.valid && !v.coded && v.highest == v.lowest);
            assert_true(v.w == (double)w[col] && v.decoded == v.w);
            assert_int_equal(v.group_begin, begin);
            assert_int_equal(v.group_end, begin + dtypes[t].block);
            assert_true(v.group_min <= v.w && v.w <= v.group_max);
        }
        close_study(&s);
    }
}

static void test_histograms(void **state)
{
    (void)state;
    uint64_t seed = 2;
    for (int t = DTYPE_COUNT; t < DTYPE_ALL; t++) {
        struct study s = open_study((enum dtype)t, &seed);
        struct detail_job job;
        assert_true(detail_begin(&job, &s.model, s.stored->layer[0]));
        while (!detail_step(&job, 1))
            continue;
        struct detail *d = detail_take(&job);
        detail_end(&job);
        assert_int_equal(d->before.total, ROWS * COLS);
        assert_int_equal(d->scale_count, 0);
        assert_true(d->mse == 0 && d->clipped == 0 && fabs(d->cosine - 1) < 1e-9);
        detail_unref(d);
        close_study(&s);
    }
}

/* Packing blocks is packing the fp32 values that they stand for. */
static void test_quantizing_again(void **state)
{
    (void)state;
    static const char *const schemes[] = {"fp32", "int8", "int4:g32:asym", "fp8"};
    uint64_t seed = 3;
    struct error error;
    struct pool *pool = pool_create(2, &error);
    assert_non_null(pool);
    for (int t = DTYPE_COUNT; t < DTYPE_ALL; t++) {
        struct study s = open_study((enum dtype)t, &seed);
        float *values = make(ROWS * COLS * sizeof *values);
        for (size_t r = 0; r < ROWS; r++)
            qmatrix_decode_row(&s.model.tensors[0].stored, r, values + r * COLS);
        struct model plain = matrix_model(values, ROWS, COLS);
        for (size_t k = 0; k < sizeof schemes / sizeof *schemes; k++) {
            struct scheme scheme;
            assert_true(scheme_parse(schemes[k], &scheme, NULL));
            struct qtensor *a = requantize(&s.model, 0, &scheme, pool, &error);
            struct qtensor *b = requantize(&plain, 0, &scheme, pool, &error);
            assert_true(a && b && a->matrix.lines == b->matrix.lines);
            assert_memory_equal(a->matrix.codes, b->matrix.codes,
                                qmatrix_panels(&a->matrix) * a->matrix.lines * LINE_BYTES);
            assert_true(a->error.sum_e2 == b->error.sum_e2 && a->error.sum_w2 == b->error.sum_w2);
            assert_int_equal(a->error.exact, k == 0);
            qtensor_unref(a);
            qtensor_unref(b);
        }
        free_matrix_model(&plain);
        free(values);
        close_study(&s);
    }
    pool_destroy(pool);
}

/* A factor of a block that is not finite spoils all its weights, whatever their codes. */
static void test_count(void **state)
{
    (void)state;
    uint64_t seed = 4;
    for (int t = DTYPE_COUNT; t < DTYPE_ALL; t++)
        for (size_t k = 0; k < 2 && dtypes[t].factor == FACTOR_FP16; k++) {
            struct study s = open_study((enum dtype)t, &seed);
            const struct qmatrix *m = &s.model.tensors[0].stored;
            size_t block = random_below(&seed, ROWS * COLS / dtypes[t].block), odd = 0;
            uint16_t half = k ? 0x7c00 : 0xfe01; /* infinity and NaN */
            model_count(&s.model);
            assert_int_equal(s.model.non_finite, 0);
            assert_int_equal(s.model.parameters, ROWS * COLS);
            memcpy(s.blocks + block * dtypes[t].block_bytes + dtypes[t].factors[k], &half, sizeof half);
            for (size_t r = 0; r < ROWS; r++) {
                float row[COLS];
                qmatrix_decode_row(m, r, row);
                for (size_t c = 0; c < COLS; c++)
                    odd += !isfinite(row[c]) ? 1 : 0;
            }
            model_count(&s.model);
            assert_int_equal(odd, dtypes[t].block);
            assert_int_equal(s.model.non_finite, odd);
            close_study(&s);
        }
}

/* The largest powers of two make some weights infinite: 2^126 those of codes 4 and 6, 2^127 those from 2 on, 2^128 those
 * from 1 on. */
static void test_count_of_powers(void **state)
{
    (void)state;
    static const struct {
        uint8_t scale, codes;
        size_t odd;
    } cases[] = {{252, 0x7f, 0}, {253, 0x75, 16}, {253, 0x6e, 32}, {254, 0x43, 16}, {255, 0x21, 16}, {255, 0x90, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t seed = 6;
        struct study s = open_study(DTYPE_MXFP4, &seed);
        struct block_mxfp4 *last = (struct block_mxfp4 *)s.blocks + ROWS * COLS / SMALL_BLOCK - 1;
        model_count(&s.model);
        assert_int_equal(s.model.non_finite, 0);
        last->scale = cases[i].scale;
        memset(last->codes, cases[i].codes, sizeof last->codes);
        model_count(&s.model);
        assert_int_equal(s.model.non_finite, cases[i].odd);
        close_study(&s);
    }
}

/* No scale of nvfp4 makes a weight infinite or NaN. */
static void test_count_of_eights(void **state)
{
    (void)state;
    uint64_t seed = 8;
    struct study s = open_study(DTYPE_NVFP4, &seed);
    struct block_nvfp4 *blocks = (struct block_nvfp4 *)s.blocks;
    for (unsigned i = 0; i < 256; i++)
        blocks[i / 4 % (ROWS * COLS / NVFP4_BLOCK)].scales[i % 4] = (uint8_t)i;
    model_count(&s.model);
    assert_int_equal(s.model.non_finite, 0);
    close_study(&s);
}

/* A scale of nf4 that is not finite spoils its block; the largest one does not. */
static void test_count_of_floats(void **state)
{
    (void)state;
    static const struct {
        float scale;
        size_t odd;
    } cases[] = {{FLT_MAX, 0}, {INFINITY, NF4_BLOCK}, {NAN, NF4_BLOCK}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t seed = 9;
        struct study s = open_study(DTYPE_NF4, &seed);
        struct block_nf4 *last = (struct block_nf4 *)s.blocks + ROWS * COLS / NF4_BLOCK - 1;
        memcpy(last->scale, &cases[i].scale, sizeof last->scale);
        model_count(&s.model);
        assert_int_equal(s.model.non_finite, cases[i].odd);
        close_study(&s);
    }
}

/* The nibbles of a factor lie between scales. */
static void test_count_of_nibbles(void **state)
{
    (void)state;
    static const struct {
        uint8_t high[4];
        size_t odd;
    } cases[] = {{{0xf0, 0xf0, 0xb0, 0x70}, 0},
                 {{0x00, 0x00, 0xc0, 0x70}, K_BLOCK},
                 {{0x10, 0x00, 0xe0, 0xf0}, K_BLOCK}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t seed = 7;
        struct study s = open_study(DTYPE_IQ1_M, &seed);
        struct block_iq1_m *last = (struct block_iq1_m *)s.blocks + ROWS * COLS / K_BLOCK - 1;
        model_count(&s.model);
        assert_int_equal(s.model.non_finite, 0);
        for (size_t k = 0; k < 4; k++)
            last->scales[2 * k + 1] = (uint8_t)((last->scales[2 * k + 1] & 15) | cases[i].high[k]);
        model_count(&s.model);
        assert_int_equal(s.model.non_finite, cases[i].odd);
        close_study(&s);
    }
}

static void test_count_of_halves(void **state)
{
    (void)state;
    static const uint16_t values[2][4] = {{0x7c00, 0x3c00, 0xfe00, 0}, {0x7f80, 0x7c00, 0xffc0, 0}};
    for (int i = 0; i < 2; i++) {
        struct model m = matrix_model(NULL, 2, 2);
        m.tensors[0].stored.format.weight = i ? DTYPE_BF16 : DTYPE_FP16;
        m.tensors[0].stored.row_bytes = 4;
        m.tensors[0].stored.codes = (const uint8_t *)values[i];
        model_count(&m);
        assert_int_equal(m.non_finite, 2);
        free_matrix_model(&m);
    }
}

/* Columns that share a scale, and whether groups have minima: of ggml's block structures. */
static const struct {
    const char *group, *symmetry;
} grids[DTYPE_ALL] = {
    [DTYPE_Q8_0] = {"g32", "sym"},     [DTYPE_Q4_0] = {"g32", "sym"},      [DTYPE_Q4_1] = {"g32", "asym"},
    [DTYPE_Q5_0] = {"g32", "sym"},     [DTYPE_Q5_1] = {"g32", "asym"},     [DTYPE_Q2_K] = {"g16/256", "asym"},
    [DTYPE_Q3_K] = {"g16/256", "sym"}, [DTYPE_Q4_K] = {"g32/256", "asym"}, [DTYPE_Q5_K] = {"g32/256", "asym"},
    [DTYPE_Q6_K] = {"g16/256", "sym"}, [DTYPE_IQ4_NL] = {"g32", "table"},  [DTYPE_IQ4_XS] = {"g32/256", "table"},
    [DTYPE_MXFP4] = {"g32", "table"},   [DTYPE_TQ2_0] = {"g256", "sym"},     [DTYPE_TQ1_0] = {"g256", "sym"},
    [DTYPE_IQ3_S] = {"g32/256", "table"}, [DTYPE_IQ3_XXS] = {"g32/256", "table"},
    [DTYPE_IQ2_S] = {"g16/256", "table"}, [DTYPE_IQ2_XS] = {"g16/256", "table"},
    [DTYPE_IQ2_XXS] = {"g32/256", "table"}, [DTYPE_IQ1_S] = {"g32/256", "table"},
    [DTYPE_IQ1_M] = {"g16/256", "table"}, [DTYPE_NVFP4] = {"g16", "table"},
    [DTYPE_Q1_0] = {"g128", "sym"}, [DTYPE_Q2_0] = {"g64", "sym"}, [DTYPE_NF4] = {"g64", "table"},
};

static void test_what_schemes_say(void **state)
{
    (void)state;
    for (int t = DTYPE_COUNT; t < DTYPE_ALL; t++) {
        char text[SCHEME_TEXT], name[32];
        struct scheme s = {.format = stored_matrix((enum dtype)t, 1, 256, NULL).format}, made = s, parsed;
        struct error error;
        assert_string_equal(scheme_print(&s, text), "stored");
        assert_string_equal(scheme_print_granularity(&s, text), grids[t].group);
        assert_string_equal(scheme_symmetry(&s), grids[t].symmetry);
        assert_true(scheme_check(&s, &error));
        made = scheme_default((enum dtype)t);
        assert_int_equal(scheme_check(&made, &error), can_encode((enum dtype)t));
        assert_int_equal(scheme_parse(dtypes[t].name, &parsed, &error), can_encode((enum dtype)t));
        snprintf(name, sizeof name, "%s:g32", dtypes[t].name);
        assert_false(scheme_parse(name, &parsed, &error));
        assert_non_null(strstr(error.text, can_encode((enum dtype)t) ? "granularity of a type whose blocks have their own scales"
                                                                     : "weights cannot be quantized to"));
        snprintf(name, sizeof name, "%s/int8", dtypes[t].name);
        bool integers = dtype_of_integers((enum dtype)t);
        assert_int_equal(scheme_parse(name, &parsed, &error), can_encode((enum dtype)t) && integers);
        s.format.act = DTYPE_INT8;
        assert_int_equal(scheme_check(&s, &error), integers);
        assert_true(integers || strstr(error.text, "fp32 activations, not int8: their values are no integers"));
        assert_string_equal(scheme_print(&s, text), "stored/int8");
        assert_string_equal(scheme_print_act(&s, text), "int8");
    }
}

/* ---- in a model ------------------------------------------------------------------------------ */

/* The same numbers in blocks and in fp32 give the same logits, near enough, token by token and at once. */
static void run(const struct model *m, const struct weights *set, struct pool *pool, size_t n,
                bool at_once, float *logits)
{
    static const int32_t tokens[] = {1, 7, 3, 11, 40, 2, 30, 9};
    struct error error;
    struct context *c = context_open(m, pool, 16, &error);
    assert_non_null(c);
    size_t vocab = m->hyper.vocab;
    for (size_t i = 0; i < n && !at_once; i++)
        context_run(c, set, tokens + i, 1, LOGITS_ALL, logits + i * vocab);
    if (at_once)
        context_run(c, set, tokens, n, LOGITS_ALL, logits);
    context_close(c);
}

/* Random blocks in a matrix's place; their scales are small, lest activations explode. */
static uint8_t *put_blocks(enum dtype type, struct qmatrix *m, uint64_t *seed)
{
    size_t count = m->rows * m->cols / dtypes[type].block, size = dtypes[type].block_bytes;
    uint8_t *blocks = make(count * size);
    random_blocks(type, count, seed, blocks);
    for (size_t b = 0; b < count; b++)
        clear_exponent(type, 31, blocks + b * size);
    *m = stored_matrix(type, m->rows, m->cols, blocks);
    return blocks;
}

/* What they stand for in their place. */
static float *put_values(struct qmatrix *m)
{
    float *values = make(m->rows * m->cols * sizeof *values);
    for (size_t r = 0; r < m->rows; r++)
        qmatrix_decode_row(m, r, values + r * m->cols);
    struct model one = matrix_model(values, m->rows, m->cols);
    *m = one.tensors[0].stored;
    free_matrix_model(&one);
    return values;
}

static enum dtype type_after(enum dtype type, size_t n)
{
    return (enum dtype)(DTYPE_COUNT + ((size_t)(type - DTYPE_COUNT) + n) % (DTYPE_ALL - DTYPE_COUNT));
}

static void test_model(void **state)
{
    (void)state;
    enum { TOKENS = 8, VOCAB = 64, MOST_TENSORS = 64 };
    const struct tiny shape = {256, 256, 2, 4, 2, VOCAB, 32, false};
    uint64_t seed = 5;
    struct error error;
    struct pool *pool = pool_create(2, &error);
    char *path = write_llama2c(&shape, 9);
    struct model *m = model_open(path, &error);
    assert_true(pool && m);
    for (int t = DTYPE_COUNT; t < DTYPE_ALL; t++) {
        uint8_t *blocks[MOST_TENSORS] = {0};
        float *values[MOST_TENSORS] = {0};
        float logits[3][TOKENS * VOCAB];
        struct weights *set = weights_stored(m);
        assert_true(set && set->count <= MOST_TENSORS);
        for (size_t i = 0; i < set->count; i++)
            if (!roles[m->tensors[i].role].vector && i % 4 != 3) /* neighbours of several types */
                blocks[i] = put_blocks(type_after((enum dtype)t, i % 3), &set->layer[i]->matrix, &seed);
        run(m, set, pool, TOKENS, false, logits[0]);
        run(m, set, pool, TOKENS, true, logits[1]);
        for (size_t i = 0; i < set->count; i++)
            if (blocks[i])
                values[i] = put_values(&set->layer[i]->matrix);
        run(m, set, pool, TOKENS, false, logits[2]);
        for (size_t i = 0; i < TOKENS * VOCAB; i++)
            for (size_t k = 0; k < 2; k++)
                assert_true(fabsf(logits[k][i] - logits[2][i]) <= 1e-3f * (1 + fabsf(logits[2][i])));
        for (size_t i = 0; i < set->count; i++) {
            free(blocks[i]);
            free(values[i]);
        }
        weights_unref(set);
    }
    model_close(m);
    pool_destroy(pool);
    unlink(path);
    free(path);
}

/* Stored blocks with int8 activations are the file's own bytes; the model's logits stay near, token by token and at
 * once. */
static void test_model_with_int8_activations(void **state)
{
    (void)state;
    enum { TOKENS = 8, VOCAB = 64, MOST_TENSORS = 64 };
    const struct tiny shape = {256, 256, 2, 4, 2, VOCAB, 32, false};
    uint64_t seed = 5;
    struct error error;
    struct pool *pool = pool_create(2, &error);
    char *path = write_llama2c(&shape, 9);
    struct model *m = model_open(path, &error);
    assert_true(pool && m && m->tensor_count <= MOST_TENSORS);
    for (int t = DTYPE_COUNT; t < DTYPE_ALL; t++) {
        uint8_t *blocks[MOST_TENSORS] = {0};
        float logits[3][TOKENS * VOCAB];
        struct scheme scheme;
        assert_true(scheme_parse("stored/int8", &scheme, &error));
        for (size_t i = 0; i < m->tensor_count; i++)
            if (!roles[m->tensors[i].role].vector)
                blocks[i] = put_blocks(type_after((enum dtype)t, i % 3), &m->tensors[i].stored, &seed);
        struct weights *stored = weights_stored(m), *set = weights_ref(stored);
        for (int i = 0; i < (int)m->tensor_count; i++)
            if (role_takes_schemes(m->tensors[i].role)) {
                struct scheme own = scheme_for_tensor(m, i, scheme);
                struct qtensor *q = requantize(m, i, &own, pool, &error);
                assert_non_null(q);
                assert_ptr_equal(q->matrix.codes, m->tensors[i].stored.codes);
                enum dtype act = dtype_of_integers(q->matrix.format.weight) ? DTYPE_INT8 : DTYPE_FP32;
                assert_true(q->error.exact && q->matrix.format.act == act && qtensor_has_scheme(q, &own));
                struct weights *next = weights_replace(set, q);
                qtensor_unref(q);
                weights_unref(set);
                set = next;
            }
        run(m, stored, pool, TOKENS, false, logits[0]);
        run(m, set, pool, TOKENS, false, logits[1]);
        run(m, set, pool, TOKENS, true, logits[2]);
        double error2 = 0, all2 = 0;
        for (size_t i = 0; i < TOKENS * VOCAB; i++) {
            assert_true(fabsf(logits[2][i] - logits[1][i]) <= 2e-2f * (1 + fabsf(logits[1][i])));
            error2 += pow((double)logits[1][i] - (double)logits[0][i], 2);
            all2 += pow((double)logits[0][i], 2);
        }
        if (!(error2 > 0 && error2 <= 1e-3 * all2))
            fail_msg("%s: logits differ by %g of their squares", dtypes[t].name, error2 / all2);
        weights_unref(set);
        weights_unref(stored);
        for (size_t i = 0; i < m->tensor_count; i++)
            free(blocks[i]);
    }
    model_close(m);
    pool_destroy(pool);
    unlink(path);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_number_line),
        cmocka_unit_test(test_histograms),
        cmocka_unit_test(test_quantizing_again),
        cmocka_unit_test(test_count),
        cmocka_unit_test(test_count_of_powers),
        cmocka_unit_test(test_count_of_eights),
        cmocka_unit_test(test_count_of_floats),
        cmocka_unit_test(test_count_of_nibbles),
        cmocka_unit_test(test_count_of_halves),
        cmocka_unit_test(test_what_schemes_say),
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_model_with_int8_activations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

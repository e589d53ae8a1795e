/* Blocks that are made: their errors, what importance does, values that no block holds, the same bits on every
 * instruction set, and matrices of them in a model. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernels/dispatch.h"
#include "kernels/encode.h"
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 256 * 64 };

struct row {
    float *values, *importance, *back;
    uint8_t *blocks;
};

static struct row make_row(uint64_t seed, float deviation)
{
    struct row r = {make(COLUMNS * sizeof(float)), make(COLUMNS * sizeof(float)), make(COLUMNS * sizeof(float)),
                    make(COLUMNS * 2)};
    for (size_t i = 0; i < COLUMNS; i++) {
        r.values[i] = (float)random_normal(&seed) * deviation;
        r.importance[i] = (float)exp(2 * random_normal(&seed));
    }
    return r;
}

static void free_row(struct row *r)
{
    free(r->values);
    free(r->importance);
    free(r->back);
    free(r->blocks);
}

static void decode(enum dtype t, const struct row *r)
{
    for (size_t b = 0; b < COLUMNS / dtypes[t].block; b++)
        dtypes[t].decode_block(r->blocks + b * dtypes[t].block_bytes, r->back + b * dtypes[t].block);
}

/* Of the row as it was encoded last, weighed or not. */
static double sqnr_db(enum dtype t, const struct row *r, const float *w)
{
    double e2 = 0, w2 = 0;
    decode(t, r);
    for (size_t i = 0; i < COLUMNS; i++) {
        double e = (double)r->back[i] - (double)r->values[i], weight = w ? (double)w[i] : 1;
        e2 += weight * e * e;
        w2 += weight * (double)r->values[i] * (double)r->values[i];
    }
    return 10 * log10(w2 / e2);
}

/* Of normally distributed weights, at least; and what their importance wins of the weighed error, in dB. */
static const struct {
    enum dtype type;
    double sqnr, won;
} expected[] = {
    {DTYPE_Q8_0, 45.8, 1.5},   {DTYPE_Q6_K, 35.4, 2.5},   {DTYPE_Q5_K, 29.1, 2.5},   {DTYPE_Q5_1, 29.4, 2.5},
    {DTYPE_Q5_0, 27.7, 1.5},   {DTYPE_Q4_K, 23.0, 3},     {DTYPE_Q4_1, 23.1, 3},     {DTYPE_Q4_0, 21.7, 1.5},
    {DTYPE_IQ4_NL, 22.5, 2.5}, {DTYPE_IQ4_XS, 22.5, 2.5}, {DTYPE_MXFP4, 18.9, 0},    {DTYPE_NVFP4, 21.6, 2.5},
    {DTYPE_Q3_K, 16.7, 2.5},   {DTYPE_Q2_K, 11.6, 4},     {DTYPE_TQ2_0, 7.1, 0},     {DTYPE_TQ1_0, 7.1, 0},
    {DTYPE_IQ3_S, 17.6, 3},    {DTYPE_IQ3_XXS, 14.9, 4.5}, {DTYPE_IQ2_S, 12.3, 3},   {DTYPE_IQ2_XS, 10.7, 4},
    {DTYPE_IQ2_XXS, 9.5, 3.5}, {DTYPE_IQ1_S, 6.9, 2.5},   {DTYPE_IQ1_M, 7.5, 3.5},   {DTYPE_NF4, 21.3, 2},
};

static void test_errors(void **state)
{
    size_t makable = 0;
    (void)state;
    for (int t = 0; t < DTYPE_ALL; t++)
        makable += can_encode((enum dtype)t);
    assert_int_equal(makable, sizeof expected / sizeof *expected);
    struct row r = make_row(3, 0.05f);
    for (size_t i = 0; i < makable; i++) {
        enum dtype t = expected[i].type;
        assert_int_equal(encode_row(t, r.values, COLUMNS, NULL, r.blocks), 0);
        double plain = sqnr_db(t, &r, NULL), before = sqnr_db(t, &r, r.importance);
        assert_int_equal(encode_row(t, r.values, COLUMNS, r.importance, r.blocks), 0);
        double after = sqnr_db(t, &r, r.importance);
        if (!(plain >= expected[i].sqnr && after - before >= expected[i].won))
            fail_msg("%s: %.2f dB; importance wins %.2f dB", dtypes[t].name, plain, after - before);
    }
    free_row(&r);
}

/* What a block holds exactly is found again, nearly always. */
static void test_values_of_blocks(void **state)
{
    (void)state;
    struct row r = make_row(5, 1);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        enum dtype t = expected[i].type;
        encode_row(t, r.values, COLUMNS, NULL, r.blocks);
        decode(t, &r);
        float *values = r.values;
        r.values = r.back;
        r.back = values;
        encode_row(t, r.values, COLUMNS, NULL, r.blocks);
        double sqnr = sqnr_db(t, &r, NULL);
        if (!(sqnr >= expected[i].sqnr + 12))
            fail_msg("%s: its own values come back at %.1f dB", dtypes[t].name, sqnr);
    }
    free_row(&r);
}

/* Whether a column's value is one of its codes, on the scales that are read back. */
static void check_codes(enum dtype t, const struct row *r, const float *scale, const float *offset)
{
    struct code_grid grid = block_grid_of(t);
    for (size_t c = 0; c < COLUMNS; c++) {
        size_t g = c / dtypes[t].scale_columns;
        double value = scale[g] != 0 ? ((double)r->back[c] - (double)offset[g]) / (double)scale[g] : 0;
        double nearest = grid.values ? INFINITY : rint(value);
        for (size_t v = 0; v < grid.count; v++)
            if (fabs((double)grid.values[v] - value) < fabs(nearest - value))
                nearest = (double)grid.values[v];
        if (!(fabs(nearest - value) <= 1e-3 && nearest >= grid.low && nearest <= grid.high))
            fail_msg("%s, column %zu: %g is none of its codes", dtypes[t].name, c, value);
    }
}

/* Whether columns whose codes are chosen together are rounded to what they are. */
static void check_columns(enum dtype t, const struct row *r, const float *scale, const float *offset)
{
    float out[8], w[8] = {1, 2, 1, 3, 1, 1, 2, 1};
    size_t n = code_columns(t);
    assert_true(n == 4 || n == 8);
    for (size_t c = 0; c < COLUMNS; c += n) {
        size_t g = c / dtypes[t].scale_columns;
        round_columns(t, r->back + c, w, scale[g], offset[g], out);
        for (size_t i = 0; i < n; i++)
            if (!(fabsf(out[i] - r->back[c + i]) <= 1e-5f * fabsf(r->back[c + i])))
                fail_msg("%s, column %zu: %g is rounded to %g", dtypes[t].name, c + i, (double)r->back[c + i],
                         (double)out[i]);
    }
}

/* Scales that are read back place every value; codes chosen anew for a block's own values are the same. */
static void test_scales(void **state)
{
    (void)state;
    struct row r = make_row(15, 0.3f);
    float *scale = make(COLUMNS * sizeof *scale), *offset = make(COLUMNS * sizeof *offset);
    float *again = make(COLUMNS * sizeof *again);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        enum dtype t = expected[i].type;
        encode_row(t, r.values, COLUMNS, r.importance, r.blocks);
        decode(t, &r);
        block_scales(t, r.blocks, COLUMNS, scale, offset);
        (code_columns(t) > 1 ? check_columns : check_codes)(t, &r, scale, offset);
        memcpy(again, r.back, COLUMNS * sizeof *again);
        encode_codes(t, again, COLUMNS, r.blocks);
        decode(t, &r);
        assert_memory_equal(again, r.back, COLUMNS * sizeof *again);
    }
    free(scale);
    free(offset);
    free(again);
    free_row(&r);
}

static void test_same_on_all(void **state)
{
    (void)state;
    const struct isa *before = isa_current();
    struct row r = make_row(7, 0.02f);
    uint8_t *first = make(COLUMNS * 2);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        enum dtype t = expected[i].type;
        size_t bytes = COLUMNS / dtypes[t].block * dtypes[t].block_bytes;
        for (size_t k = 0; isa_at(k); k++) {
            struct error error;
            if (!isa_at(k)->available() || !isa_select(isa_at(k)->name, &error))
                continue;
            encode_row(t, r.values, COLUMNS, r.importance, r.blocks);
            if (k == 0)
                memcpy(first, r.blocks, bytes);
            assert_memory_equal(first, r.blocks, bytes);
        }
    }
    struct error error;
    assert_true(isa_select(before->name, &error));
    free(first);
    free_row(&r);
}

static void check_finite(enum dtype t, const struct row *r)
{
    decode(t, r);
    for (size_t i = 0; i < COLUMNS; i++)
        if (!isfinite(r->back[i]))
            fail_msg("%s: %g becomes %g", dtypes[t].name, (double)r->values[i], (double)r->back[i]);
}

/* Zeros stay; what is not finite spoils no other value; what is too large or too small is as near as can be. */
static void test_odd_values(void **state)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 1e-38f, 1e-45f, 0};
    (void)state;
    struct row r = make_row(9, 1);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        enum dtype t = expected[i].type;
        memset(r.values, 0, COLUMNS * sizeof *r.values);
        assert_int_equal(encode_row(t, r.values, COLUMNS, NULL, r.blocks), 0);
        decode(t, &r);
        for (size_t c = 0; c < COLUMNS; c++)
            assert_true(r.back[c] == 0);
        for (size_t k = 0; k < sizeof odd / sizeof *odd; k++) {
            uint64_t seed = 11;
            for (size_t c = 0; c < COLUMNS; c++)
                r.values[c] = c % 37 == 5 ? odd[k] : (float)random_normal(&seed);
            size_t beyond = encode_row(t, r.values, COLUMNS, k % 2 ? r.importance : NULL, r.blocks);
            if ((beyond > 0) != (fabsf(odd[k]) == 3e38f && dtypes[t].factor != FACTOR_FP32))
                fail_msg("%s, %g: %zu beyond", dtypes[t].name, (double)odd[k], beyond);
            check_finite(t, &r);
            for (size_t c = 0; c < COLUMNS; c++)
                r.values[c] = odd[k];
            encode_row(t, r.values, COLUMNS, NULL, r.blocks);
            check_finite(t, &r);
        }
    }
    free_row(&r);
}

/* Importances of which nothing can be said weigh all columns alike. */
static void test_odd_importance(void **state)
{
    static const float odd[] = {0, INFINITY, NAN, 1e-44f, 3e38f};
    (void)state;
    struct row r = make_row(13, 0.1f);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        for (size_t k = 0; k < sizeof odd / sizeof *odd; k++) {
            enum dtype t = expected[i].type;
            for (size_t c = 0; c < COLUMNS; c++)
                r.importance[c] = odd[k];
            encode_row(t, r.values, COLUMNS, r.importance, r.blocks);
            double sqnr = sqnr_db(t, &r, NULL);
            if (!(sqnr >= expected[i].sqnr - 0.5))
                fail_msg("%s, importance %g: %.2f dB", dtypes[t].name, (double)odd[k], sqnr);
        }
    free_row(&r);
}

/* ---- fp32 scales ----------------------------------------------------------------------------- */

enum { NF4_BYTES = COLUMNS / NF4_BLOCK * sizeof(struct block_nf4) };

/* Blocks of scales that are the largest magnitudes, with the codes that are nearest on them. */
static void encode_by_largest(const float *values, uint8_t *out)
{
    struct block_nf4 *blocks = (void *)out;
    memset(out, 0, NF4_BYTES);
    for (size_t c = 0; c < COLUMNS; c++) {
        uint8_t *scale = blocks[c / NF4_BLOCK].scale;
        float largest = fmaxf(float_at(scale), fabsf(values[c]));
        memcpy(scale, &largest, sizeof largest);
    }
    encode_codes(DTYPE_NF4, values, COLUMNS, out);
}

/* What bitsandbytes makes of the same values: nf4_digest.py. */
static void test_codes_of_the_largest(void **state)
{
    (void)state;
    const uint64_t expected_digest = 0xde07f43deff6578au;
    struct row r = make_row(1, 1);
    uint64_t seed = 20240601;
    for (size_t c = 0; c < COLUMNS; c++) {
        uint64_t bits = random_bits(&seed);
        int32_t sum = -2 * 65535;
        for (int k = 0; k < 4; k++)
            sum += (int32_t)(bits >> 16 * k & 65535);
        r.values[c] = ldexpf((float)sum, (int)(c / NF4_BLOCK % 64) - 40);
    }
    encode_by_largest(r.values, r.blocks);
    uint64_t digest = fnv1a(FNV_START, r.blocks, NF4_BYTES);
    if (digest != expected_digest)
        fail_msg("0x%016jx; expected 0x%016jx", (uintmax_t)digest, (uintmax_t)expected_digest);
    free_row(&r);
}

/* Values of a block that make the search hard: of one kind each. */
static void put_hard_values(int kind, uint64_t *seed, float *values, float *importance)
{
    float size = ldexpf(1, (int)random_below(seed, 270) - 145);
    for (size_t i = 0; i < NF4_BLOCK; i++) {
        float normal = (float)random_normal(seed), unit = (float)exp2((double)random_below(seed, 30) - 30);
        float of_kind[] = {normal, normal * normal * normal, nf4_values[random_below(seed, 16)],
                           i == 7 ? -1 : normal / 64, i % 3 ? 0 : unit, (float)random_below(seed, 3) - 1};
        values[i] = fminf(fmaxf(of_kind[kind], -100), 100) / 128 * size;
        importance[i] = random_below(seed, 4) == 0 ? 0 : (float)exp(3 * random_normal(seed));
    }
}
enum { KINDS = 6 };

static double error_of_block(const struct row *r, size_t block, bool weighed)
{
    double error = 0;
    for (size_t i = block * NF4_BLOCK; i < (block + 1) * NF4_BLOCK; i++) {
        double miss = (double)r->back[i] - (double)r->values[i];
        error += (weighed ? (double)r->importance[i] : 1) * miss * miss;
    }
    return error;
}

/* No block has a larger error than with the largest magnitude as its scale, weighed or not. */
static void test_search_is_no_worse(void **state)
{
    (void)state;
    enum { BLOCKS = COLUMNS / NF4_BLOCK };
    static double plain[2][BLOCKS];
    uint64_t seed = 23;
    size_t better = 0;
    struct row r = make_row(1, 1);
    for (int round = 0; round < 12; round++) {
        for (size_t b = 0; b < BLOCKS; b++)
            put_hard_values((int)b % KINDS, &seed, r.values + b * NF4_BLOCK, r.importance + b * NF4_BLOCK);
        encode_by_largest(r.values, r.blocks);
        decode(DTYPE_NF4, &r);
        for (size_t b = 0; b < BLOCKS; b++)
            for (int weighed = 0; weighed < 2; weighed++)
                plain[weighed][b] = error_of_block(&r, b, weighed);
        for (int weighed = 0; weighed < 2; weighed++) {
            encode_row(DTYPE_NF4, r.values, COLUMNS, weighed ? r.importance : NULL, r.blocks);
            decode(DTYPE_NF4, &r);
            for (size_t b = 0; b < BLOCKS; b++) {
                double error = error_of_block(&r, b, weighed), scale = (double)float_at(r.blocks + 36 * b);
                if (!(error <= plain[weighed][b] * (1 + 1e-6) && scale >= 0))
                    fail_msg("kind %zu, weighed %d: error %g, scale %g; expected at most %g", b % KINDS, weighed, error,
                             scale, plain[weighed][b]);
                better += error < 0.99 * plain[weighed][b];
            }
        }
    }
    assert_true(better > 6 * BLOCKS);
    free_row(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors),     cmocka_unit_test(test_values_of_blocks),
        cmocka_unit_test(test_same_on_all), cmocka_unit_test(test_odd_values),
        cmocka_unit_test(test_odd_importance), cmocka_unit_test(test_scales),
        cmocka_unit_test(test_codes_of_the_largest), cmocka_unit_test(test_search_is_no_worse),
    };
    return cmocka_run_group_tests_name("encode", tests, NULL, NULL);
}

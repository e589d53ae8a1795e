/* int8 activations of the stored types: how they are quantized, and products of every instruction set against the
 * definition and against exact arithmetic. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernels/reference.h"
#include "kernels/stored.h"
#include "isas.h"
#include "support.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

enum { MOST_ROWS = 40, MOST_TOKENS = 60 };

/* The first stored type from t on whose codes stand for integers; no other multiplies int8 activations. */
static int of_integers(int t)
{
    while (t < DTYPE_ALL && !dtype_of_integers((enum dtype)t))
        t++;
    return t;
}

/* ---- parts of blocks ------------------------------------------------------------------------- */

/* Integers and factors stand for the weights that a block decodes to. */
static void test_parts(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (int t = of_integers(DTYPE_COUNT); t < DTYPE_ALL; t = of_integers(t + 1))
        for (int n = 0; n < 50; n++) {
            const struct dtype_info *type = &dtypes[t];
            uint8_t block[512];
            float weights[BLOCK_MAX];
            struct block_parts parts;
            random_blocks((enum dtype)t, 1, &seed, block);
            type->decode_block(block, weights);
            type->split_block(block, &parts);
            for (size_t c = 0; c < type->block; c++) {
                size_t g = c / type->scale_columns;
                double w = (double)parts.factor * parts.scales[g] * parts.codes[c] + (double)parts.min * parts.mins[g];
                if (!((float)w == weights[c]))
                    fail_msg("%s: column %zu is %a; expected %a", type->name, c, w, (double)weights[c]);
            }
        }
}

/* ---- quantizing ------------------------------------------------------------------------------ */

struct product {
    const struct isa *isa;
    struct qmatrix m;
    uint8_t *memory; /* behind its blocks, which lie at an odd address */
    size_t tokens;
    float *x, *y;
    void *scratch;
    struct activations prepared;
};

/* Random blocks with int8 activations; x is zero. */
static struct product open_product(const struct isa *isa, enum dtype type, uint64_t *seed, size_t rows, size_t cols,
                                   size_t tokens)
{
    struct product p = {.isa = isa, .tokens = tokens};
    size_t blocks = rows * (cols / dtypes[type].block), skew = 1 + random_below(seed, 63);
    p.memory = make(blocks * dtypes[type].block_bytes + skew);
    random_blocks(type, blocks, seed, p.memory + skew);
    p.m = stored_matrix(type, rows, cols, p.memory + skew);
    p.m.format.act = DTYPE_INT8;
    p.x = make(tokens * cols * sizeof *p.x);
    p.y = make(tokens * rows * sizeof *p.y);
    memset(p.x, 0, tokens * cols * sizeof *p.x);
    p.scratch = aligned_alloc(64, padded_bytes(activations_scratch(cols, tokens)));
    assert_non_null(p.scratch);
    return p;
}

static void close_product(struct product *p)
{
    free(p->memory);
    free(p->x);
    free(p->y);
    free(p->scratch);
}

static void multiply(struct product *p)
{
    activations_prepare(p->isa, &p->m, p->x, p->tokens, p->scratch, &p->prepared);
    p->isa->matmul(&p->m, &p->prepared, 0, qmatrix_panels(&p->m), p->y);
}

static void fail_product(const struct product *p, const char *what)
{
    fail_msg("%s, %s, %zu x %zu, %zu tokens: %s", p->isa->name, dtypes[p->m.format.weight].name, p->m.rows, p->m.cols,
             p->tokens, what);
}

/* A block of activations as quantize_row_q8_0, q8_1 and q8_K define it, in double; only magnitudes that are finite
 * count. */
static void check_block(const struct product *p, const float *x, size_t n, const int8_t *codes, double scale,
                        double sum)
{
    double largest = 0, expected;
    int32_t total = 0;
    for (size_t i = 0; i < n; i++)
        largest = isfinite(x[i]) ? fmax(largest, fabs((double)x[i])) : largest;
    if (largest < 127 / (double)FLT_MAX) /* its inverse is infinite: counts as 0 */
        largest = 0;
    expected = largest / 127;
    double most = n == SMALL_BLOCK ? fmin(expected, 65504) : expected;
    double tolerance = n == SMALL_BLOCK ? expected * 0x1p-11 + 0x1p-25 : expected * 0x1p-22;
    if (!(fabs(scale - most) <= tolerance))
        fail_product(p, "a scale is not max|x| / 127");
    for (size_t i = 0; i < n; i++) {
        double q = isnan(x[i]) || largest == 0 ? 0 : fmax(-127, fmin(127, (double)x[i] / most));
        if (!(fabs(q - codes[i]) <= 0.5 + 1e-4))
            fail_product(p, "a code is not the nearest");
        total += codes[i];
    }
    if (n == SMALL_BLOCK && !(fabs(sum - fmax(-65504, fmin(65504, most * total))) <=
                              fabs(expected * total) * 0x1p-10 + 0x1p-25))
        fail_product(p, "a sum is not scale times the codes");
}

/* Of every size, with what is not finite, zero blocks, and numbers at both ends of fp32. */
static void strange_values(float *x, size_t n, uint64_t *seed)
{
    static const float values[] = {NAN, INFINITY, -INFINITY, 0, -0.0f, FLT_MAX, -FLT_MAX, FLT_MIN, 1e-45f, 1e7f};
    for (size_t i = 0; i < n; i += SMALL_BLOCK) {
        float size = ldexpf(1, (int)random_below(seed, 60) - 40);
        for (size_t k = i; k < i + SMALL_BLOCK; k++)
            x[k] = size * (float)random_normal(seed);
        for (size_t k = random_below(seed, 6); k > 0; k--)
            x[i + random_below(seed, SMALL_BLOCK)] = values[random_below(seed, sizeof values / sizeof *values)];
        if (random_below(seed, 4) == 0)
            memset(x + i, 0, SMALL_BLOCK * sizeof *x);
    }
}

static void test_quantized_activations(void **state)
{
    (void)state;
    enum { TOKENS = 7, COLS = 512 };
    uint64_t seed = 2;
    static const enum dtype types[] = {DTYPE_Q8_0, DTYPE_Q4_1, DTYPE_Q4_K};
    for (size_t i = 0; tested_isa(i); i++)
        for (int k = 0; k < 30 && tested_isa(i)->available(); k++) {
            struct product p = open_product(tested_isa(i), types[k % 3], &seed, 1, COLS, TOKENS);
            size_t n = block_act_columns(types[k % 3]);
            strange_values(p.x, TOKENS * COLS, &seed);
            multiply(&p);
            const struct activations *a = &p.prepared;
            assert_int_equal(a->blocks, COLS / n);
            for (size_t b = 0; b < TOKENS * a->blocks; b++)
                check_block(&p, p.x + b * n, n, a->codes + b * n, (double)a->scales[b], (double)a->block_sums[b]);
            close_product(&p);
        }
}

/* ---- products -------------------------------------------------------------------------------- */

/* Sets all factors of a block to 1, a small power of two, or numbers between 1 and 2 of few bits. */
static void plain_factors(enum dtype type, uint8_t *block)
{
    const struct dtype_info *t = &dtypes[type];
    const uint16_t one = 0x3c00;
    if (t->factor == FACTOR_E8M0)
        block[0] = 128;
    for (size_t k = 0; k < 4 && t->factor == FACTOR_NONE; k++)
        block[k] = 0x38 + (block[k] & 15);
    for (size_t k = 0; k < 4 && t->factor == FACTOR_NIBBLES; k++) {
        uint8_t *byte = &block[offsetof(struct block_iq1_m, scales) + 2 * k + 1];
        *byte = (uint8_t)((*byte & 15) | (one >> 4 * k & 15) << 4);
    }
    for (size_t k = 0; k < 2 && t->factor == FACTOR_FP16; k++)
        memcpy(block + t->factors[k], &one, sizeof one);
}

/* With factors and activation scales of 1 every product is a whole number of eighths or sixteenths that fp32 holds: in
 * whatever order they are added, all instruction sets must give the same bits as the definition. */
static void check_integers(const struct isa *isa, enum dtype type, uint64_t *seed, size_t tokens)
{
    size_t cols = dtypes[type].block == K_BLOCK ? K_BLOCK : dtypes[type].block * (1 + random_below(seed, 9));
    size_t rows = 1 + random_below(seed, MOST_ROWS);
    struct product p = open_product(isa, type, seed, rows, cols, tokens);
    uint8_t *blocks = p.memory + (p.m.codes - p.memory);
    float *expected = make(tokens * rows * sizeof *expected);
    for (size_t b = 0; b < rows * cols / dtypes[type].block; b++)
        plain_factors(type, blocks + b * dtypes[type].block_bytes);
    for (size_t i = 0; i < tokens * cols; i++)
        p.x[i] = i % SMALL_BLOCK == 5 ? -127 : (float)random_below(seed, 255) - 127;
    multiply(&p);
    reference_matmul(&p.m, &p.prepared, 0, qmatrix_panels(&p.m), expected);
    for (size_t i = 0; i < p.prepared.blocks * tokens; i++)
        assert_true(p.prepared.scales[i] == 1);
    for (size_t i = 0; i < rows * tokens; i++)
        if (!(p.y[i] == expected[i])) {
            fprintf(stderr, "row %zu, token %zu: %.9g; expected %.9g\n", i % rows, i / rows, (double)p.y[i],
                    (double)expected[i]);
            fail_product(&p, "an integer product is not exact");
        }
    free(expected);
    close_product(&p);
}

static void test_integer_products_are_exact(void **state)
{
    (void)state;
    static const size_t tokens[] = {1, 2, 3, 5, 6, 9, 24, 25, MOST_TOKENS};
    uint64_t seed = 3;
    size_t stride = test_stride();
    for (size_t i = 0; tested_isa(i); i++)
        for (int t = of_integers(DTYPE_COUNT); t < DTYPE_ALL && tested_isa(i)->available(); t = of_integers(t + 1))
            for (size_t n = (size_t)t % stride; n < sizeof tokens / sizeof *tokens; n += stride)
                check_integers(tested_isa(i), (enum dtype)t, &seed, tokens[n]);
}

/* The exact product of a row and a token's quantized activations, and the sum of the magnitudes of its terms. Minimums
 * of small blocks meet the sums as q8_1 has them, in fp16. */
static double exact_product(const struct product *p, size_t r, size_t t, double *magnitude)
{
    const struct qmatrix *m = &p->m;
    const struct activations *a = &p->prepared;
    const struct dtype_info *type = &dtypes[m->format.weight];
    size_t n = block_act_columns(m->format.weight);
    struct block_parts parts;
    double sum = 0;
    *magnitude = 0;
    for (size_t c = 0; c < m->cols; c++) {
        size_t in_block = c % type->block, g = in_block / type->scale_columns, b = t * a->blocks + c / n;
        if (in_block == 0)
            type->split_block(m->codes + r * m->row_bytes + c / type->block * type->block_bytes, &parts);
        double w = (double)parts.factor * parts.scales[g] * parts.codes[in_block];
        double min = (double)parts.min * parts.mins[g], x = (double)a->scales[b] * a->codes[t * m->cols + c];
        *magnitude += fabs(w * x) + fabs(min * x);
        sum += w * x + (n == SMALL_BLOCK ? 0 : min * x);
        if (n == SMALL_BLOCK && c % n == 0)
            sum += min * (double)a->block_sums[b];
    }
    return sum;
}

static void check_against_double(const struct product *p)
{
    double factor = ((double)p->m.cols + 32) * 0x1p-24;
    for (size_t k = 0; k < 24; k++) {
        size_t r = k * 7 % p->m.rows, t = k * 5 % p->tokens;
        double magnitude, sum = exact_product(p, r, t, &magnitude), y = (double)p->y[t * p->m.rows + r];
        if (!(fabs(y - sum) <= factor * magnitude))
            fail_product(p, "too far from the exact product");
    }
}

/* Any split of the panels gives the same bits and writes no other row. */
static void check_split(const struct product *p, uint64_t *seed)
{
    size_t n = p->m.rows * p->tokens, panels = qmatrix_panels(&p->m);
    float *part = make(n * sizeof *part);
    const uint32_t untouched = 0x7fc12345;
    for (size_t i = 0; i < n; i++)
        part[i] = bits_float(untouched);
    for (size_t begin = 0, end; begin < panels; begin = end) {
        end = begin + 1 + random_below(seed, panels - begin);
        p->isa->matmul(&p->m, &p->prepared, begin, end, part);
        for (size_t t = 0; t < p->tokens; t++)
            for (size_t r = end * PANEL_ROWS; r < p->m.rows; r++)
                assert_int_equal(float_bits(part[t * p->m.rows + r]), untouched);
    }
    if (memcmp(part, p->y, n * sizeof *part) != 0)
        fail_product(p, "panels in parts differ from all at once");
    free(part);
}

/* Several numbers of blocks in a row: less than 256 columns, as many, and more. */
static size_t random_cols(enum dtype type, uint64_t *seed)
{
    static const size_t small[] = {1, 2, 3, 7, 8, 9, 15, 16, 17};
    if (dtypes[type].block < K_BLOCK)
        return dtypes[type].block * small[random_below(seed, sizeof small / sizeof *small)];
    return K_BLOCK * (1 + random_below(seed, 3));
}

static void check_product(const struct isa *isa, enum dtype type, uint64_t *seed, size_t rows, size_t cols,
                          size_t tokens)
{
    struct product p = open_product(isa, type, seed, rows, cols, tokens);
    for (size_t i = 0; i < tokens * cols; i++)
        p.x[i] = (float)(random_normal(seed) + 0.25) * (i / 100 % 3 == 0 ? 10 : 1);
    multiply(&p);
    check_against_double(&p);
    check_split(&p, seed);
    close_product(&p);
}

static void test_products(void **state)
{
    (void)state;
    static const size_t tokens[] = {1, 1, 2, 3, 4, 5, 6, 7, 23, 24, 25, MOST_TOKENS};
    enum { KINDS = sizeof tokens / sizeof *tokens };
    size_t stride = test_stride();
    uint64_t seed = 17;
    for (size_t i = 0; tested_isa(i); i++)
        for (int t = of_integers(DTYPE_COUNT); t < DTYPE_ALL && tested_isa(i)->available(); t = of_integers(t + 1))
            for (size_t n = (size_t)t % stride; n < KINDS; n += stride) {
                size_t rows = 1 + random_below(&seed, MOST_ROWS), cols = random_cols((enum dtype)t, &seed);
                check_product(tested_isa(i), (enum dtype)t, &seed, rows, cols, tokens[n]);
            }
}

/* Rows that are longer than what is unpacked at a time. */
static void test_products_of_long_rows(void **state)
{
    (void)state;
    uint64_t seed = 29;
    for (size_t i = 0; tested_isa(i); i++)
        for (int t = of_integers(DTYPE_COUNT); t < DTYPE_ALL && tested_isa(i)->available(); t = of_integers(t + 1)) {
            size_t cols = 4096 + 3 * dtypes[t].block;
            check_product(tested_isa(i), (enum dtype)t, &seed, 17, cols, 1);
            check_product(tested_isa(i), (enum dtype)t, &seed, 17, cols, tested_isa(i)->mr + 1);
        }
}

/* Activations of zero, and some that are not finite, leave finite products of finite weights. */
static void test_products_of_strange_activations(void **state)
{
    (void)state;
    enum { COLS = 512, ROWS = 18 };
    uint64_t seed = 31;
    for (size_t i = 0; tested_isa(i); i++)
        for (int t = of_integers(DTYPE_COUNT); t < DTYPE_ALL && tested_isa(i)->available(); t = of_integers(t + 1)) {
            size_t tokens = t % 2 ? 2 : 9;
            struct product p = open_product(tested_isa(i), (enum dtype)t, &seed, ROWS, COLS, tokens);
            multiply(&p);
            for (size_t k = 0; k < ROWS * tokens; k++)
                assert_true(p.y[k] == 0);
            for (size_t k = 0; k < tokens * COLS; k++)
                p.x[k] = k % 37 == 0 ? NAN : k % 41 == 0 ? -INFINITY : (float)random_normal(&seed);
            multiply(&p);
            check_against_double(&p);
            close_product(&p);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_quantized_activations),
        cmocka_unit_test(test_integer_products_are_exact),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_products_of_long_rows),
        cmocka_unit_test(test_products_of_strange_activations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

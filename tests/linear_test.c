/* The linear algebra of calibration against plain loops in double, with any number of threads. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernels/ops.h"
#include "linalg/gram.h"
#include "support.h"

#include <math.h>
#include <stdlib.h>

static const size_t sizes[] = {1, 2, 7, 8, 9, 15, 16, 17, 33, 100, 128, 129, 200, 300};
enum { SIZES = sizeof sizes / sizeof *sizes };

static struct pool *open_pool(int threads)
{
    struct pool *pool = pool_create(threads, NULL);
    assert_non_null(pool);
    return pool;
}

static float *random_floats(uint64_t *seed, size_t n)
{
    float *x = make(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)random_normal(seed);
    return x;
}

/* X^T X of `depth` rows of n columns that lie `stride` apart, added twice. */
static float *gram_of(struct pool *pool, const float *x, size_t stride, size_t n, size_t depth)
{
    size_t side = tiled_stride(n);
    float *panels = make(panels_floats(n, depth) * sizeof *panels);
    float *h = calloc(side * side, sizeof *h);
    assert_non_null(h);
    panels_pack(pool, x, stride, n, depth, panels);
    gram_add(pool, panels, n, depth, h);
    gram_add(pool, panels, n, depth, h);
    free(panels);
    return h;
}

static void test_gram(void **state)
{
    (void)state;
    uint64_t seed = 1;
    struct pool *one = open_pool(1), *three = open_pool(3);
    for (size_t k = 0; k < SIZES; k++) {
        size_t n = sizes[k], depth = 1 + random_below(&seed, 40), stride = n + random_below(&seed, 5);
        float *x = random_floats(&seed, stride * depth);
        float *h = gram_of(one, x, stride, n, depth), *again = gram_of(three, x, stride, n, depth);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j <= i; j++) {
                double sum = 0, size = 0;
                for (size_t t = 0; t < depth; t++) {
                    sum += 2.0 * (double)x[t * stride + i] * (double)x[t * stride + j];
                    size += fabs((double)x[t * stride + i] * (double)x[t * stride + j]);
                }
                float got = h[i * tiled_stride(n) + j];
                assert_true(fabs((double)got - sum) <= size * 1e-5);
                assert_true(got == again[i * tiled_stride(n) + j]);
            }
        free(x);
        free(h);
        free(again);
    }
    pool_destroy(one);
    pool_destroy(three);
}

/* -A for a random positive definite A = M M^T + shift I, lower half. */
static double *definite(uint64_t *seed, size_t n, double shift)
{
    size_t stride = tiled_stride(n);
    double *a = calloc(stride * stride, sizeof *a);
    float *m = random_floats(seed, n * n);
    assert_non_null(a);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = i == j ? shift : 0;
            for (size_t k = 0; k < n; k++)
                sum += (double)m[i * n + k] * (double)m[j * n + k];
            a[i * stride + j] = -sum;
        }
    free(m);
    return a;
}

static struct cholesky factored(struct pool *pool, double *a, size_t n)
{
    struct cholesky c = {.a = a, .n = n, .panels = make(cholesky_scratch(n) * sizeof(double))};
    while (!cholesky_step(&c, pool))
        continue;
    free(c.panels);
    return c;
}

static void test_cholesky(void **state)
{
    (void)state;
    uint64_t seed = 2;
    struct pool *pool = open_pool(2);
    for (size_t k = 0; k < SIZES; k++) {
        size_t n = sizes[k], stride = tiled_stride(n);
        double *a = definite(&seed, n, 0.5), *l = make(stride * stride * sizeof *l);
        memcpy(l, a, stride * stride * sizeof *l);
        assert_false(factored(pool, l, n).failed);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j <= i; j++) {
                double sum = 0;
                for (size_t c = 0; c <= j; c++)
                    sum += l[i * stride + c] * l[j * stride + c];
                assert_true(fabs(sum + a[i * stride + j]) <= 1e-12 * fabs(a[i * stride + i]) * (double)n);
            }
        free(a);
        free(l);
    }
    pool_destroy(pool);
}

/* What is not definite is found out, wherever it is. */
static void test_cholesky_of_the_indefinite(void **state)
{
    (void)state;
    static const double bad[] = {1e9, NAN, INFINITY, -INFINITY};
    uint64_t seed = 3;
    struct pool *pool = open_pool(2);
    for (size_t k = 0; k < 40; k++) {
        size_t n = sizes[k % SIZES], stride = tiled_stride(n), at = random_below(&seed, n);
        double *a = definite(&seed, n, 0.5);
        a[at * stride + at] = bad[k % 4];
        assert_true(factored(pool, a, n).failed);
        free(a);
    }
    pool_destroy(pool);
}

/* Every build gives the bits of the plain one. */
static void test_tiles(void **state)
{
    (void)state;
    uint64_t seed = 4;
    for (size_t depth = 0; depth < 20; depth++) {
        float *a = random_floats(&seed, 2 * TILE_F32 * (depth + 1)), *b = a + TILE_F32 * depth;
        double wide_a[2 * TILE_F64 * 21], *wide_b = wide_a + TILE_F64 * depth;
        for (size_t i = 0; i < 2 * TILE_F64 * (depth + 1); i++)
            wide_a[i] = (double)a[i];
        for (size_t k = 0; operators_at(k); k++) {
            const struct operators *o = operators_at(k)->operators;
            float c[TILE_F32 * (TILE_F32 + 3)], plain[TILE_F32 * (TILE_F32 + 3)];
            double d[TILE_F64 * (TILE_F64 + 1)], other[TILE_F64 * (TILE_F64 + 1)];
            for (size_t i = 0; i < sizeof c / sizeof *c; i++)
                c[i] = plain[i] = (float)i;
            for (size_t i = 0; i < sizeof d / sizeof *d; i++)
                d[i] = other[i] = (double)i;
            o->tile_add_f32(a, b, depth, c, TILE_F32 + 3);
            operators_c.tile_add_f32(a, b, depth, plain, TILE_F32 + 3);
            o->tile_add_f64(wide_a, wide_b, depth, d, TILE_F64 + 1);
            operators_c.tile_add_f64(wide_a, wide_b, depth, other, TILE_F64 + 1);
            assert_memory_equal(c, plain, sizeof c);
            assert_memory_equal(d, other, sizeof d);
            double sum = TILE_F32 + 3 + 5;
            for (size_t t = 0; t < depth; t++)
                sum += (double)a[t * TILE_F32 + 1] * (double)b[t * TILE_F32 + 5];
            assert_true(fabs(sum - (double)c[TILE_F32 + 3 + 5]) <= 1e-4);
        }
        free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiles),
        cmocka_unit_test(test_gram),
        cmocka_unit_test(test_cholesky),
        cmocka_unit_test(test_cholesky_of_the_indefinite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

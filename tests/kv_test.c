/* The cache of keys and values in every datatype: what comes back, what attention makes of it, and the
 * forward pass over it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernels/dispatch.h"
#include "kernels/ops.h"
#include "engine/context.h"
#include "quant/change.h"
#include "quant/recipe.h"
#include "support.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

static const struct operators *each_build(size_t i)
{
    const struct operators_build *b = operators_at(i);
    return b ? b->operators : NULL;
}

static void fill_normal(uint64_t *seed, float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)random_normal(seed);
}

static struct kv_cache open_cache(enum dtype dtype, size_t layers, size_t heads, size_t head_size,
                                  size_t capacity)
{
    struct kv_cache c;
    struct kv_shape shape = {dtype, layers, heads, head_size, capacity, NULL};
    assert_true(kv_open(&c, &shape, NULL));
    return c;
}

/* ---- what comes back ------------------------------------------------------------------------- */

/* The largest error of a value v whose head's largest magnitude is given: half a step. */
static double bound(enum dtype dtype, double v, double largest)
{
    double slack = 1e-6 * largest;
    switch (dtype) {
    case DTYPE_FP32:
        return 0;
    case DTYPE_FP16:
        return fabs(v) * 0x1p-11 + 0x1p-25;
    case DTYPE_INT8:
        return largest / 127 / 2 + slack;
    case DTYPE_FP8E4M3:
        return fmax(fabs(v) * 0x1p-4, largest / 448 * 0x1p-10) + slack;
    default:
        return fmax(fabs(v) * 0x1p-3, largest / 57344 * 0x1p-17) + slack;
    }
}

static double largest_of(const float *x, size_t n)
{
    double largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs((double)x[i]));
    return largest;
}

static void check_head(enum dtype dtype, const float *in, const float *out, size_t n)
{
    double largest = largest_of(in, n);
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)out[i] - in[i]) <= bound(dtype, in[i], largest)))
            fail_msg("%s: %.9g came back as %.9g; the head's largest is %.9g", dtypes[dtype].name,
                     (double)in[i], (double)out[i], largest);
}

enum { LAYERS = 2, HEADS = 3, MOST_SIZE = 80, POSITIONS = 2 * ATTENTION_SPAN + 14 };

/* Heads of ordinary numbers, of zeros, of one huge outlier, and of numbers near the smallest. */
static void fill_position(uint64_t *seed, float *x, size_t heads, size_t n)
{
    static const float scales[] = {1, 0, 1000, 1e-3f};
    for (size_t h = 0; h < heads; h++) {
        size_t kind = random_below(seed, 4);
        fill_normal(seed, x + h * n, n);
        for (size_t i = 0; i < n; i++)
            x[h * n + i] *= kind == 2 ? 1 : scales[kind];
        if (kind == 2)
            x[h * n + random_below(seed, n)] = -40000;
    }
}

static void check_cache(enum dtype dtype, size_t n, uint64_t *seed)
{
    static float k[LAYERS][POSITIONS][HEADS * MOST_SIZE], v[LAYERS][POSITIONS][HEADS * MOST_SIZE];
    float key[MOST_SIZE], value[MOST_SIZE];
    struct kv_cache c = open_cache(dtype, LAYERS, HEADS, n, POSITIONS);
    for (int round = 0; round < 2; round++) /* the second goes over the first */
        for (size_t p = 0; p < POSITIONS; p++)
            for (size_t layer = 0; layer < LAYERS; layer++) {
                fill_position(seed, k[layer][p], HEADS, n);
                fill_position(seed, v[layer][p], HEADS, n);
                kv_put(&c, layer, p, k[layer][p], v[layer][p]);
            }
    for (size_t layer = 0; layer < LAYERS; layer++)
        for (size_t p = 0; p < POSITIONS; p++)
            for (size_t h = 0; h < HEADS; h++) {
                kv_get(&c, layer, h, p, key, value);
                check_head(dtype, k[layer][p] + h * n, key, n);
                check_head(dtype, v[layer][p] + h * n, value, n);
            }
    kv_close(&c);
}

static void test_what_comes_back(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (size_t d = 0; kv_dtypes[d] != DTYPE_COUNT; d++)
        for (size_t n = 1; n <= MOST_SIZE; n += 1 + n / 3)
            check_cache(kv_dtypes[d], n, &seed);
}

/* A NaN or an infinity is no number of the cache's: what reads the head is NaN. The smallest numbers
 * and the largest have finite scales. */
static void test_odd_values(void **state)
{
    (void)state;
    enum { N = 20 };
    static const float odd[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 1e-45f, 1e-39f};
    for (size_t d = 2; kv_dtypes[d] != DTYPE_COUNT; d++)
        for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
            float x[N] = {0}, k[N], v[N];
            struct kv_cache c = open_cache(kv_dtypes[d], 1, 1, N, 40);
            x[7] = odd[i];
            kv_put(&c, 0, 35, x, x);
            kv_get(&c, 0, 0, 35, k, v);
            for (size_t e = 0; e < N; e++)
                assert_true(k[e] == v[e] || (isnan(k[e]) && isnan(v[e])));
            memset(x, 0, sizeof x);
            kv_put(&c, 0, 36, x, x);
            assert_true(c.scales[2 * KV_BLOCK + 4] == 1); /* of nothing but zeros */
            x[7] = odd[i];
            for (size_t e = 0; e < N; e++)
                if (!isfinite(odd[i]))
                    assert_true(isnan(k[e]));
                else if (fabsf(odd[i]) < FLT_MIN)
                    assert_true(fabsf(k[e] - x[e]) <= FLT_MIN);
                else
                    assert_true(fabsf(k[e] - x[e]) <= 1e-6f * fabsf(x[e]));
            kv_close(&c);
        }
}

static void test_bytes(void **state)
{
    (void)state;
    static const struct {
        enum dtype dtype;
        size_t position;
    } cases[] = {
        /* keys and values x 5 layers x 4 heads x (24 codes and a scale) */
        {DTYPE_FP32, 40 * 24 * 4}, {DTYPE_FP16, 40 * 24 * 2},     {DTYPE_INT8, 40 * (24 + 4)},
        {DTYPE_FP8E4M3, 40 * (24 + 4)}, {DTYPE_FP8E5M2, 40 * (24 + 4)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kv_shape shape = {cases[i].dtype, 5, 4, 24, 33, NULL};
        size_t bytes;
        assert_int_equal(kv_position_bytes(&shape), cases[i].position);
        assert_true(kv_cache_bytes(&shape, &bytes));
        assert_int_equal(bytes, 64 * cases[i].position); /* two blocks */
        for (size_t most = SIZE_MAX; most > SIZE_MAX / 100; most -= SIZE_MAX / 50) {
            shape.capacity = most;
            assert_false(kv_cache_bytes(&shape, &bytes));
        }
    }
}

static void test_names(void **state)
{
    (void)state;
    static const char *const refused[] = {"", "int4", "bf16", "int8:g32", "w8a8", "stored", "fp",
                                          "INT8", "fp32 "};
    enum dtype d = DTYPE_COUNT;
    struct error error;
    for (size_t i = 0; kv_dtypes[i] != DTYPE_COUNT; i++) {
        assert_true(kv_dtype_parse(dtypes[kv_dtypes[i]].name, &d, &error));
        assert_int_equal(d, kv_dtypes[i]);
    }
    assert_true(kv_dtype_parse("fp8", &d, &error));
    assert_int_equal(d, DTYPE_FP8E4M3);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        assert_false(kv_dtype_parse(refused[i], &d, &error));
        assert_non_null(strstr(error.text, "expected fp32, fp16, int8"));
        assert_int_equal(d, DTYPE_FP8E4M3);
    }
}

/* ---- attention ------------------------------------------------------------------------------- */

struct queries {
    size_t tokens, heads, length; /* heads: that share one of the cache's */
    float spread;                 /* of the scores */
    size_t window;
    float cap;
};

/* Attention of one query in double, over what the cache gives back. */
static void attend_exactly(const struct kv_cache *c, size_t head, const struct queries *s,
                           const float *q, size_t length, double *out)
{
    size_t n = c->shape.head_size, first = s->window && length > s->window ? length - s->window : 0;
    double *weight = make(length * sizeof *weight), most = -INFINITY, sum = 0;
    float k[MOST_SIZE], v[MOST_SIZE];
    for (size_t p = first; p < length; p++) {
        kv_get(c, 1, head, p, k, v);
        weight[p] = 0;
        for (size_t i = 0; i < n; i++)
            weight[p] += (double)q[i] * k[i] / sqrt((double)n);
        if (s->cap > 0)
            weight[p] = (double)s->cap * tanh(weight[p] / (double)s->cap);
        most = fmax(most, weight[p]);
    }
    for (size_t p = first; p < length; p++)
        sum += weight[p] = exp(weight[p] - most);
    for (size_t i = 0; i < n; i++)
        out[i] = 0;
    for (size_t p = first; p < length; p++) {
        kv_get(c, 1, head, p, k, v);
        for (size_t i = 0; i < n; i++)
            out[i] += weight[p] / sum * v[i];
    }
    free(weight);
}

static float *run_queries(const struct operators *o, const struct kv_cache *c,
                          const struct queries *s, const float *q)
{
    size_t n = c->shape.head_size, stride = s->heads * n + 3;
    float *out = make(s->tokens * stride * sizeof *out);
    memset(out, 0xee, s->tokens * stride * sizeof *out); /* whatever was there */
    float *scratch = make(attention_scratch(s->tokens, s->heads, n) * sizeof *scratch);
    struct attention a = {.kv = kv_head(c, 1, 2), .q = q, .out = out, .tokens = s->tokens,
                          .heads = s->heads, .stride = stride, .length = s->length,
                          .window = s->window, .scale = 1.0f / sqrtf((float)n), .cap = s->cap,
                          .scratch = scratch};
    o->attention(&a);
    free(scratch);
    return out;
}

static void check_attention(const struct kv_cache *c, const struct queries *s, uint64_t *seed)
{
    size_t n = c->shape.head_size, stride = s->heads * n + 3;
    float *q = make(s->tokens * stride * sizeof *q);
    fill_normal(seed, q, s->tokens * stride);
    for (size_t i = 0; i < s->tokens * stride; i++)
        q[i] *= s->spread;
    float *plain = run_queries(&operators_c, c, s, q);
    for (size_t t = 0; t < s->tokens; t++)
        for (size_t h = 0; h < s->heads; h++) {
            double expected[MOST_SIZE];
            attend_exactly(c, 2, s, q + t * stride + h * n, s->length + t, expected);
            for (size_t i = 0; i < n; i++) {
                double got = plain[t * stride + h * n + i];
                if (!(fabs(got - expected[i]) <= 2e-5 * (1 + (double)s->spread)))
                    fail_msg("%s, head size %zu, %zu heads, token %zu, position %zu: %.8g; expected "
                             "%.8g", dtypes[c->shape.dtype].name, n, s->heads, t, s->length + t, got,
                             expected[i]);
            }
            struct queries one = *s; /* no token sees its neighbours */
            one.tokens = one.heads = 1;
            one.length += t;
            float *alone = run_queries(&operators_c, c, &one, q + t * stride + h * n);
            assert_memory_equal(alone, plain + t * stride + h * n, n * sizeof *alone);
            free(alone);
        }
    for (size_t b = 0; each_build(b); b++) {
        float *other = run_queries(each_build(b), c, s, q);
        assert_memory_equal(other, plain, s->tokens * stride * sizeof *other);
        free(other);
    }
    free(plain);
    free(q);
}

static void test_attention(void **state)
{
    (void)state;
    static const struct queries cases[] = {
        {1, 1, 1, 1, 0, 0}, {1, 2, 31, 1, 0, 0}, {1, 8, 32, 1, 0, 0}, {1, 3, 33, 1, 0, 0},
        {1, 1, 70, 1, 0, 0}, {5, 2, 30, 1, 0, 0}, {8, 4, 60, 1, 0, 0}, {3, 1, 1, 1, 0, 0},
        {2, 2, 64, 30, 0, 0}, {4, 3, 66, 300, 0, 0}, {3, 2, ATTENTION_SPAN - 1, 1, 0, 0},
        {8, 1, ATTENTION_SPAN, 30, 0, 0}, {5, 2, 2 * ATTENTION_SPAN - 2, 1, 0, 0},
        {1, 3, POSITIONS, 30, 0, 0}, {8, 2, 40, 1, 16, 0}, {3, 2, 2 * ATTENTION_SPAN, 1, 100, 0},
        {5, 1, ATTENTION_SPAN - 2, 30, ATTENTION_SPAN, 5}, {8, 1, ATTENTION_SPAN + 30, 1, 1, 0},
        {2, 2, 70, 30, 0, 3}
    };
    uint64_t seed = 3;
    for (size_t d = 0; kv_dtypes[d] != DTYPE_COUNT; d++)
        for (size_t n = 2; n <= MOST_SIZE; n += 2 + n / 2) {
            struct kv_cache c = open_cache(kv_dtypes[d], LAYERS, HEADS, n, POSITIONS);
            for (size_t p = 0; p < POSITIONS; p++) {
                float k[HEADS * MOST_SIZE], v[HEADS * MOST_SIZE];
                fill_normal(&seed, k, HEADS * n);
                fill_normal(&seed, v, HEADS * n);
                kv_put(&c, 1, p, k, v);
            }
            for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
                check_attention(&c, &cases[i], &seed);
            kv_close(&c);
        }
}

/* A NaN is seen from its position on and not before, whatever lies behind in its block. */
static void test_attention_of_what_is_no_number(void **state)
{
    (void)state;
    enum { N = 16, AT = 40 };
    uint64_t seed = 4;
    for (size_t d = 0; kv_dtypes[d] != DTYPE_COUNT; d++)
        for (size_t b = 0; each_build(b); b++) {
            struct kv_cache c = open_cache(kv_dtypes[d], LAYERS, HEADS, N, POSITIONS);
            float k[HEADS * N], q[N], *out;
            fill_normal(&seed, q, N);
            for (size_t p = 0; p < POSITIONS; p++) {
                fill_normal(&seed, k, HEADS * N);
                for (size_t i = 0; i < HEADS * N && p >= AT; i++)
                    k[i] = NAN;
                kv_put(&c, 1, p, k, k);
            }
            for (size_t length = 1; length <= POSITIONS; length++) {
                struct queries one = {1, 1, length, 1, 0, 0};
                out = run_queries(each_build(b), &c, &one, q);
                for (size_t i = 0; i < N; i++)
                    assert_true(isnan(out[i]) == (length > AT));
                free(out);
            }
            kv_close(&c);
        }
}

/* ---- the forward pass ------------------------------------------------------------------------ */

struct fixture {
    char *path;
    struct model *model;
    struct pool *pool;
    struct weights *stored;
};

static struct fixture open_fixture(void)
{
    struct tiny shape = {48, 96, 3, 6, 2, 64, 128, false};
    struct fixture f = {.path = write_llama2c(&shape, 5)};
    f.model = model_open(f.path, NULL);
    f.pool = pool_create(2, NULL);
    f.stored = weights_stored(f.model);
    assert_true(f.model && f.pool && f.stored);
    return f;
}

static void close_fixture(struct fixture *f)
{
    weights_unref(f->stored);
    pool_destroy(f->pool);
    model_close(f->model);
    unlink(f->path);
    free(f->path);
}

enum { TOKENS = 100, VOCAB = 64 };

/* All logits, `step` tokens at a time. */
static float *logits_of(const struct fixture *f, struct context *c, size_t step)
{
    float *logits = make(TOKENS * VOCAB * sizeof *logits);
    int32_t tokens[TOKENS];
    for (size_t i = 0; i < TOKENS; i++)
        tokens[i] = (int32_t)(i * i % VOCAB);
    c->length = 0;
    for (size_t at = 0; at < TOKENS; at += step) {
        size_t n = TOKENS - at < step ? TOKENS - at : step;
        context_run(c, f->stored, tokens + at, n, LOGITS_ALL, logits + at * VOCAB);
    }
    return logits;
}

/* Any chunks give the same bits; another datatype gives other logits, close to those of fp32. */
static void test_forward_pass(void **state)
{
    (void)state;
    static const size_t steps[] = {3, 8, 31, 32};
    const struct isa *current = isa_current();
    isa_select("c", NULL); /* whose products of several tokens have the bits of one at a time */
    struct fixture f = open_fixture();
    struct context *exact = context_open(f.model, f.pool, TOKENS, NULL);
    float *truth = logits_of(&f, exact, CONTEXT_SLICE);
    for (size_t d = 0; kv_dtypes[d] != DTYPE_COUNT; d++) {
        struct context *c = context_open_kv(f.model, f.pool, kv_dtypes[d], TOKENS, NULL);
        assert_non_null(c);
        float *single = logits_of(&f, c, 1);
        for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
            float *chunks = logits_of(&f, c, steps[i]);
            assert_memory_equal(chunks, single, TOKENS * VOCAB * sizeof *single);
            free(chunks);
        }
        assert_int_equal(memcmp(truth, single, TOKENS * VOCAB * sizeof *single) == 0, d == 0);
        assert_true(context_change_kv(exact, kv_dtypes[d], NULL)); /* as if opened so */
        assert_int_equal(exact->length, 0);
        float *changed = logits_of(&f, exact, CONTEXT_SLICE);
        assert_memory_equal(changed, single, TOKENS * VOCAB * sizeof *single);
        free(changed);
        free(single);
        context_close(c);
    }
    free(truth);
    context_close(exact);
    close_fixture(&f);
    isa_select(current->name, NULL);
}

static void test_sets_and_totals(void **state)
{
    (void)state;
    struct fixture f = open_fixture();
    struct scheme *schemes = make(schemes_count(f.model) * sizeof *schemes);
    struct weights *set = weights_with_kv(f.stored, DTYPE_INT8), *back;
    for (size_t i = 0; i < f.model->tensor_count; i++)
        schemes[i] = scheme_stored(&f.model->tensors[i].stored);
    schemes[kv_index(f.model)] = scheme_default(DTYPE_INT8);
    size_t none = weights_bytes_per_token(f.model, f.stored, 0);
    /* 3 layers, 2 heads of 8: 8 codes and a scale each, of keys and of values */
    assert_int_equal(weights_bytes_per_token(f.model, set, 10) - none, 10 * 2 * 3 * 2 * (8 + 4));
    assert_int_equal(weights_bytes_per_token(f.model, f.stored, 10) - none, 10 * 2 * 3 * 2 * 8 * 4);
    struct weights_totals totals;
    assert_true(schemes_totals(f.model, schemes, 10, &totals));
    assert_int_equal(totals.bytes_per_token, weights_bytes_per_token(f.model, set, 10));
    back = weights_replace(set, f.stored->layer[1]); /* the cache stays the set's */
    assert_int_equal(back->kv, DTYPE_INT8);
    weights_unref(back);
    weights_unref(set);
    free(schemes);
    close_fixture(&f);
}

/* ---- choosing it ----------------------------------------------------------------------------- */

static bool apply_text(const struct model *m, const char *text, struct scheme *schemes,
                       struct error *error)
{
    struct recipe r;
    assert_true(recipe_parse(&r, "recipe", text, strlen(text), error));
    bool ok = recipe_apply(&r, m, schemes, error);
    recipe_free(&r);
    return ok;
}

static void test_recipe(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum dtype kv;
    } good[] = {{"kv int8\n", DTYPE_INT8},           {"kv fp8\n", DTYPE_FP8E4M3},
                {"* int8\n", DTYPE_FP32},            {"k* int8\n", DTYPE_FP32},
                {"?v int8\nkv fp16", DTYPE_FP16},    {"kv int8\nkv fp8e5m2\n", DTYPE_FP8E5M2},
                {"kv int8\nkv stored\n", DTYPE_FP32}};
    static const char *const bad[] = {"kv int4\n", "kv bf16\n", "kv int8:g32\n", "kv w8a8\n",
                                      "kv int8:asym\n", "* int8\nkv int4\n"};
    struct fixture f = open_fixture();
    struct scheme *s = make(schemes_count(f.model) * sizeof *s);
    struct error error;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        for (size_t t = 0; t < schemes_count(f.model); t++)
            s[t] = scheme_default(DTYPE_FP32);
        if (strpbrk(good[i].text, "*?") == good[i].text + 1 || *good[i].text == '?') {
            assert_false(apply_text(f.model, good[i].text, s, &error)); /* a glob is for tensors */
            assert_non_null(strstr(error.text, "matches no tensor"));
            continue;
        }
        assert_true(apply_text(f.model, good[i].text, s, &error));
        assert_int_equal(s[kv_index(f.model)].format.weight, good[i].kv);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        memset(s, 0x5a, schemes_count(f.model) * sizeof *s);
        assert_false(apply_text(f.model, bad[i], s, &error));
        assert_non_null(strstr(error.text, "expected fp32, fp16, int8"));
        for (size_t k = 0; k < schemes_count(f.model) * sizeof *s; k++)
            assert_int_equal(((const uint8_t *)s)[k], 0x5a); /* untouched */
    }
    free(s);
    close_fixture(&f);
}

static void test_recipe_round_trip(void **state)
{
    (void)state;
    struct fixture f = open_fixture();
    size_t n = schemes_count(f.model);
    struct scheme *written = make(n * sizeof *written), *read = make(n * sizeof *read);
    struct error error;
    for (size_t d = 0; kv_dtypes[d] != DTYPE_COUNT; d++) {
        char path[] = "/tmp/qtop-kv-XXXXXX";
        int fd = mkstemp(path);
        struct recipe r;
        assert_true(fd >= 0 && close(fd) == 0);
        for (size_t i = 0; i + 1 < n; i++)
            written[i] = read[i] = (struct scheme){.format.stored = true};
        written[n - 1] = scheme_default(kv_dtypes[d]);
        read[n - 1] = scheme_default(DTYPE_FP32);
        assert_true(recipe_write(path, f.model, written, &error));
        assert_true(recipe_read(&r, path, &error));
        assert_int_equal(r.count, d > 0);
        assert_true(recipe_apply(&r, f.model, read, &error));
        assert_true(scheme_equal(&written[n - 1], &read[n - 1]));
        recipe_free(&r);
        unlink(path);
    }
    free(written);
    free(read);
    close_fixture(&f);
}

static void test_cycle(void **state)
{
    (void)state;
    struct fixture f = open_fixture();
    int kv = kv_index(f.model);
    struct scheme s = scheme_default(DTYPE_FP32), next;
    struct error why;
    for (int direction = 1; direction >= -1; direction -= 2)
        for (size_t i = 1; i <= 5; i++) {
            size_t at = direction > 0 ? i % 5 : 5 - i;
            assert_true(scheme_cycle(f.model, kv, &s, CHANGE_WEIGHT, direction, NULL, &next, &why));
            assert_int_equal(next.format.weight, kv_dtypes[at]);
            assert_true(scheme_fits(f.model, kv, &next, &why));
            s = next;
        }
    for (int change = CHANGE_ACT; change <= CHANGE_SYMMETRY; change++) {
        assert_false(scheme_cycle(f.model, kv, &s, (enum change)change, 1, NULL, &next, &why));
        assert_true(strncmp(why.text, "kv: ", 4) == 0);
    }
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_comes_back),
        cmocka_unit_test(test_odd_values),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_attention_of_what_is_no_number),
        cmocka_unit_test(test_forward_pass),
        cmocka_unit_test(test_sets_and_totals),
        cmocka_unit_test(test_recipe),
        cmocka_unit_test(test_recipe_round_trip),
        cmocka_unit_test(test_cycle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

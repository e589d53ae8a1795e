/* The transformer's other operators: every build of them against arithmetic in double, and against
 * the plain build bit by bit. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernels/dispatch.h"
#include "kernels/ops.h"
#include "support.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 300 }; /* elements of a vector */

static void assert_close(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%.9g; expected %.9g +- %.2g", value, expected, tolerance);
}

static void fill_normal(uint64_t *seed, float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)random_normal(seed);
}

/* Values that break careless arithmetic, among ordinary ones. */
static void fill_extreme(uint64_t *seed, float *x, size_t n)
{
    static const float odd[] = {0,    -0.0f, NAN,   INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, FLT_MIN,
                                1e-40f, 88.7f, 88.73f, -87.3f, -87.4f,   -104,    1e4f,     -1e30f};
    fill_normal(seed, x, n);
    for (size_t i = 0; i < n; i++)
        if (random_below(seed, 4) == 0)
            x[i] = odd[random_below(seed, sizeof odd / sizeof *odd)];
}

/* The i-th build; null past the end. Asked for once: where the processor is a virtual one, asking what it has
 * takes longer than most cases here. */
static const struct operators *each_build(size_t i)
{
    enum { MOST_BUILDS = 16 };
    static const struct operators *builds[MOST_BUILDS];
    for (size_t n = 0; !builds[0] && operators_at(n); n++) {
        assert_true(n + 1 < MOST_BUILDS);
        builds[n] = operators_at(n)->operators;
    }
    return builds[i];
}

/* ---- the same bits on every instruction set -------------------------------------------------- */

struct vectors {
    float x[MOST + 2], y[MOST + 2], z[MOST + 2]; /* the last two must not be touched */
};

static void run_rmsnorm(const struct operators *o, struct vectors *v, size_t n)
{
    o->rmsnorm(v->x, v->x, v->y, n, 1e-5f);
}

static void run_layernorm(const struct operators *o, struct vectors *v, size_t n)
{
    o->layernorm(v->x, v->x, v->y, v->z, n, 1e-5f);
}

static void run_softmax(const struct operators *o, struct vectors *v, size_t n)
{
    o->softmax(v->x, n);
}

static void run_rope(const struct operators *o, struct vectors *v, size_t n)
{
    o->rope(v->x, v->y, v->z, n);
}

static void run_rope_halves(const struct operators *o, struct vectors *v, size_t n)
{
    o->rope_halves(v->x, v->y, v->z, n);
}

static void run_swiglu(const struct operators *o, struct vectors *v, size_t n)
{
    o->swiglu(v->x, v->y, n);
}

static void run_gelu(const struct operators *o, struct vectors *v, size_t n)
{
    o->gelu(v->x, n);
}

static void run_gelu_tanh(const struct operators *o, struct vectors *v, size_t n)
{
    o->gelu_tanh(v->x, n);
}

static void run_add(const struct operators *o, struct vectors *v, size_t n)
{
    o->add(v->x, v->y, n);
}

static void run_multiply(const struct operators *o, struct vectors *v, size_t n)
{
    o->multiply(v->x, v->y, n);
}

static void run_soft_cap(const struct operators *o, struct vectors *v, size_t n)
{
    o->soft_cap(v->x, n, 1.5f);
}

static void run_exp(const struct operators *o, struct vectors *v, size_t n)
{
    o->exp(v->x, n);
}

/* What it finds, as floats that hold all of its bits. */
static void run_divergence(const struct operators *o, struct vectors *v, size_t n)
{
    struct divergence d = {0};
    float parts[sizeof d / sizeof(float)];
    o->divergence(v->x, v->y, n, &d);
    memcpy(parts, &d, sizeof d);
    for (size_t i = 0; i < n && i < sizeof d / sizeof(float); i++)
        v->x[i] = isnan(d.log_sum_p + d.log_sum_q + d.kl) ? NAN : parts[i];
}

static const struct {
    const char *name;
    void (*run)(const struct operators *, struct vectors *, size_t n);
} runs[] = {
    {"rmsnorm", run_rmsnorm}, {"layernorm", run_layernorm}, {"softmax", run_softmax},
    {"rope", run_rope},       {"swiglu", run_swiglu},       {"gelu", run_gelu},
    {"gelu_tanh", run_gelu_tanh}, {"add", run_add},         {"exp", run_exp},
    {"rope_halves", run_rope_halves}, {"multiply", run_multiply}, {"soft_cap", run_soft_cap},
    {"divergence", run_divergence},
};
enum { RUNS = sizeof runs / sizeof *runs };

/* NaNs may differ in sign and payload, which no arithmetic here looks at. */
static bool same_value(float a, float b)
{
    return float_bits(a) == float_bits(b) || (isnan(a) && isnan(b));
}

static void check_same(size_t run, const struct vectors *in, size_t n)
{
    struct vectors plain = *in;
    runs[run].run(&operators_c, &plain, n);
    assert_memory_equal(plain.x + n, in->x + n, 2 * sizeof(float));
    for (size_t b = 0; each_build(b); b++) {
        struct vectors other = *in;
        runs[run].run(each_build(b), &other, n);
        for (size_t i = 0; i < n + 2; i++)
            if (!same_value(other.x[i], plain.x[i]))
                fail_msg("%s of %zu, build '%s': %.9g at %zu; the plain build has %.9g",
                         runs[run].name, n, operators_at(b)->isa, (double)other.x[i], i,
                         (double)plain.x[i]);
    }
}

static void test_same_bits(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (size_t run = 0; run < RUNS; run++)
        for (size_t n = 1; n <= MOST; n++) {
            struct vectors v;
            fill_normal(&seed, v.x, MOST + 2);
            fill_normal(&seed, v.y, MOST + 2);
            fill_normal(&seed, v.z, MOST + 2);
            check_same(run, &v, n);
            fill_extreme(&seed, v.x, MOST + 2);
            check_same(run, &v, n);
            fill_extreme(&seed, v.y, MOST + 2);
            check_same(run, &v, n);
        }
}

static void test_choice(void **state)
{
    (void)state;
    size_t n = 0;
    bool plain = false, current = false;
    for (; operators_at(n); n++) {
        plain |= operators_at(n)->operators == &operators_c;
        current |= operators_at(n)->operators == operators_current();
    }
    assert_true(plain && current);
    for (size_t i = 0; isa_at(i); i++) /* whatever may be selected, this machine can run */
        if (isa_at(i)->available()) {
            bool found = false;
            assert_true(isa_select(isa_at(i)->name, NULL));
            for (size_t b = 0; b < n; b++)
                found |= operators_at(b)->operators == operators_current();
            assert_true(found);
        }
    for (size_t b = 0; b < n; b++)
        fprintf(stderr, "build '%s' was tested\n", operators_at(b)->isa);
}

/* ---- exp ------------------------------------------------------------------------------------- */

static double ulps(float value, double exact)
{
    int exponent;
    frexp(exact, &exponent);
    return fabs((double)value - exact) / ldexp(1, exponent - 24);
}

/* Every 97th float of the range whose results are normal numbers. */
static void test_exp_over_all_floats(void **state)
{
    (void)state;
    enum { N = 4096 };
    static float x[N], in[N];
    double worst = 0;
    for (uint32_t sign = 0; sign < 2; sign++)
        for (uint32_t u = 0; u <= float_bits(88.72283f);) {
            for (size_t i = 0; i < N; i++, u += 97)
                in[i] = x[i] = bits_float(u | sign << 31);
            operators_at(0)->operators->exp(x, N);
            for (size_t i = 0; i < N; i++)
                if (in[i] > -87.336f && in[i] < 88.72283f)
                    worst = fmax(worst, ulps(x[i], exp(in[i])));
        }
    fprintf(stderr, "exp: at most %.3f units in the last place\n", worst);
    assert_true(worst <= 1);
}

static void test_exp_at_the_edges(void **state)
{
    (void)state;
    static const struct {
        float in, out;
    } cases[] = {
        {0, 1}, {-0.0f, 1}, {INFINITY, INFINITY}, {-INFINITY, 0}, {88.73f, INFINITY},
        {FLT_MAX, INFINITY}, {-FLT_MAX, 0}, {-87.4f, 0}, {-95, 0}, {-104, 0}, {-1e30f, 0},
        {1e-40f, 1}, {-1e-40f, 1}, {NAN, NAN},
    };
    for (size_t b = 0; each_build(b); b++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            float x[16]; /* whole vectors, too */
            for (size_t k = 0; k < 16; k++)
                x[k] = cases[i].in;
            each_build(b)->exp(x, 16);
            for (size_t k = 0; k < 16; k++)
                if (!same_value(x[k], cases[i].out))
                    fail_msg("exp(%g) = %g; expected %g", (double)cases[i].in, (double)x[k],
                             (double)cases[i].out);
        }
}

/* ---- against double -------------------------------------------------------------------------- */

static void check_norms(const struct operators *o, uint64_t *seed, size_t n, float shift)
{
    float x[MOST], weight[MOST], bias[MOST], out[MOST];
    double squares = 0, sum = 0, spread = 0;
    fill_normal(seed, x, n);
    fill_normal(seed, weight, n);
    fill_normal(seed, bias, n);
    for (size_t i = 0; i < n; i++) {
        x[i] += shift;
        squares += (double)x[i] * x[i];
        sum += x[i];
    }
    double mean = sum / (double)n, tolerance = 1e-5 * (1 + fabs((double)shift));
    for (size_t i = 0; i < n; i++)
        spread += (x[i] - mean) * (x[i] - mean);
    o->rmsnorm(out, x, weight, n, 1e-5f);
    for (size_t i = 0; i < n; i++)
        assert_close(out[i], weight[i] * (x[i] / sqrt(squares / (double)n + 1e-5)),
                     3e-5 * fabs((double)weight[i]));
    if (n > 1)
        o->layernorm(out, x, weight, bias, n, 1e-5f);
    for (size_t i = 0; i < n && n > 1; i++) {
        double scale = weight[i] / sqrt(spread / (double)n + 1e-5);
        assert_close(out[i], scale * (x[i] - mean) + bias[i], tolerance * (1 + fabs(scale)));
    }
}

static void test_norms(void **state)
{
    (void)state;
    uint64_t seed = 6;
    for (size_t b = 0; each_build(b); b++)
        for (size_t n = 1; n <= MOST; n++) {
            check_norms(each_build(b), &seed, n, 0);
            check_norms(each_build(b), &seed, n, 5);
        }
}

static void test_norms_of_nothing_and_of_too_much(void **state)
{
    (void)state;
    for (size_t b = 0; each_build(b); b++) {
        float x[40] = {0}, weight[40], out[40];
        for (size_t i = 0; i < 40; i++)
            weight[i] = 2;
        each_build(b)->rmsnorm(out, x, weight, 40, 1e-5f);
        for (size_t i = 0; i < 40; i++)
            assert_true(out[i] == 0);
        each_build(b)->layernorm(out, x, weight, weight, 40, 1e-5f);
        for (size_t i = 0; i < 40; i++)
            assert_true(out[i] == 2);
        for (size_t at = 0; at < 40; at++) { /* one NaN reaches every element, wherever it is */
            memset(x, 0, sizeof x);
            x[at] = NAN;
            each_build(b)->rmsnorm(out, x, weight, 40, 1e-5f);
            for (size_t i = 0; i < 40; i++)
                assert_true(isnan(out[i]));
        }
    }
}

static void check_softmax(const struct operators *o, float *x, size_t n)
{
    double largest = x[0], sum = 0, total = 0, expected[MOST];
    for (size_t i = 1; i < n; i++)
        largest = fmax(largest, (double)x[i]);
    for (size_t i = 0; i < n; i++)
        sum += expected[i] = exp(x[i] - largest);
    o->softmax(x, n);
    for (size_t i = 0; i < n; i++) {
        assert_close(x[i], expected[i] / sum, 1e-6);
        assert_true(x[i] >= 0);
        total += (double)x[i];
    }
    assert_close(total, 1, 1e-5);
}

static void test_softmax(void **state)
{
    (void)state;
    static const float scales[] = {0, 1e-30f, 1, 10, 100, 1e4f, 1e30f};
    uint64_t seed = 7;
    float x[MOST];
    for (size_t b = 0; each_build(b); b++) {
        for (size_t k = 0; k < sizeof scales / sizeof *scales; k++)
            for (size_t n = 1; n <= MOST; n++) {
                fill_normal(&seed, x, n);
                for (size_t i = 0; i < n; i++)
                    x[i] *= scales[k];
                check_softmax(each_build(b), x, n);
            }
        float masked[3] = {-INFINITY, 2, 2}, broken[40] = {0};
        check_softmax(each_build(b), masked, 3);
        assert_true(masked[0] == 0);
        broken[33] = NAN;
        each_build(b)->softmax(broken, 40);
        for (size_t i = 0; i < 40; i++)
            assert_true(isnan(broken[i]));
    }
}

/* Element k of pair i of n elements, in both ways to pair them. */
static size_t pair_at(bool halves, size_t i, size_t k, size_t n)
{
    return halves ? i + k * n / 2 : 2 * i + k;
}

static void check_rope(const struct operators *o, bool halves, uint64_t *seed, size_t n, int position)
{
    float x[128], before[128], cosines[64], sines[64];
    double norm = 0, turned = 0;
    fill_normal(seed, before, n);
    memcpy(x, before, sizeof x);
    for (size_t i = 0; i < n / 2; i++) {
        double angle = position * pow(10000, -2.0 * (double)i / (double)n);
        cosines[i] = (float)cos(angle);
        sines[i] = (float)sin(angle);
    }
    (halves ? o->rope_halves : o->rope)(x, cosines, sines, n);
    for (size_t i = 0; i < n / 2; i++) {
        double angle = position * pow(10000, -2.0 * (double)i / (double)n);
        double a = before[pair_at(halves, i, 0, n)], b = before[pair_at(halves, i, 1, n)];
        double c = x[pair_at(halves, i, 0, n)], d = x[pair_at(halves, i, 1, n)];
        assert_close(c, a * cos(angle) - b * sin(angle), 2e-6);
        assert_close(d, a * sin(angle) + b * cos(angle), 2e-6);
        norm += a * a + b * b;
        turned += c * c + d * d;
    }
    assert_close(turned, norm, 1e-5 * norm);
    if (position == 0)
        assert_memory_equal(x, before, n * sizeof *x);
}

static void test_rope(void **state)
{
    (void)state;
    uint64_t seed = 8;
    for (size_t b = 0; each_build(b); b++)
        for (size_t n = 2; n <= 128; n += 2)
            for (int position = 0; position < 50; position += 7) {
                check_rope(each_build(b), false, &seed, n, position);
                check_rope(each_build(b), true, &seed, n, position);
            }
}

static double exact_silu(double x)
{
    return x / (1 + exp(-x));
}

static double exact_gelu(double x)
{
    return 0.5 * x * erfc(-x / sqrt(2));
}

static double exact_gelu_tanh(double x)
{
    return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
}

/* From the far tail on one side to the other. In the tail x^2/2 is rounded before it is an exponent, so
 * that the relative error grows with it. */
static void test_activation_functions(void **state)
{
    (void)state;
    enum { N = 4001 };
    static float x[N], silu[N], gelu[N], tanh_form[N], ones[N];
    for (size_t b = 0; each_build(b); b++) {
        for (size_t i = 0; i < N; i++) {
            x[i] = silu[i] = gelu[i] = tanh_form[i] = ((float)i - N / 2) * 0.006f;
            ones[i] = 1;
        }
        each_build(b)->swiglu(silu, ones, N);
        each_build(b)->gelu(gelu, N);
        each_build(b)->gelu_tanh(tanh_form, N);
        for (size_t i = 0; i < N; i++) {
            double share = 1e-6 + 1e-7 * (double)x[i] * (double)x[i];
            assert_close(silu[i], exact_silu(x[i]), 1e-6 * fabs(exact_silu(x[i])) + 1e-30);
            assert_close(gelu[i], exact_gelu(x[i]), share * fabs(exact_gelu(x[i])) + 1e-30);
            assert_close(tanh_form[i], exact_gelu_tanh(x[i]),
                         share * fabs(exact_gelu_tanh(x[i])) + 1e-8);
        }
    }
}

static void test_soft_cap(void **state)
{
    (void)state;
    enum { N = 4001 };
    static float x[N];
    for (size_t b = 0; each_build(b); b++)
        for (double cap = 0.5; cap < 100; cap *= 3) {
            for (size_t i = 0; i < N; i++)
                x[i] = ((float)i - N / 2) * 0.1f;
            each_build(b)->soft_cap(x, N, (float)cap);
            for (size_t i = 0; i < N; i++) {
                double in = (double)(((float)i - N / 2) * 0.1f);
                assert_close(x[i], (double)(float)cap * tanh(in / (double)(float)cap), 4e-7 * cap);
            }
        }
}

static void test_activation_functions_far_out(void **state)
{
    (void)state;
    static const float far[] = {0, -0.0f, 20, -20, 88, -88, 100, -100, 1e10f, -1e10f};
    enum { N = sizeof far / sizeof *far };
    for (size_t b = 0; each_build(b); b++) {
        float silu[N], gelu[N], tanh_form[N], ones[N], sum[N];
        memcpy(silu, far, sizeof far);
        memcpy(gelu, far, sizeof far);
        memcpy(tanh_form, far, sizeof far);
        for (size_t i = 0; i < N; i++)
            sum[i] = ones[i] = 3;
        each_build(b)->swiglu(silu, ones, N);
        each_build(b)->gelu(gelu, N);
        each_build(b)->gelu_tanh(tanh_form, N);
        each_build(b)->add(sum, far, N);
        for (size_t i = 0; i < N; i++) {
            double x = far[i], limit = fmax(x, 0);
            assert_close(silu[i], 3 * exact_silu(x), 1e-6 * fabs(3 * exact_silu(x)) + 1e-30);
            assert_close(gelu[i], limit, 1e-6 * limit + 1e-30);
            assert_close(tanh_form[i], limit, 1e-6 * limit + 1e-30);
            assert_true(sum[i] == 3 + far[i]);
        }
    }
}

/* ---- divergence ------------------------------------------------------------------------------ */

struct wanted {
    long double log_sum_p, log_sum_q, kl;
};

static long double log_sum(const float *x, size_t n)
{
    long double most = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++)
        most = fmaxl(most, x[i]);
    for (size_t i = 0; i < n; i++)
        sum += expl(x[i] - most);
    return most + logl(sum);
}

static struct wanted exact_divergence(const float *p, const float *q, size_t n)
{
    struct wanted w = {log_sum(p, n), log_sum(q, n), 0};
    for (size_t i = 0; i < n; i++) {
        long double a = p[i] - w.log_sum_p, b = q[i] - w.log_sum_q;
        w.kl += expl(a) * (a - b);
    }
    return w;
}

static void check_divergence(const float *p, const float *q, size_t n)
{
    struct wanted w = exact_divergence(p, q, n);
    for (size_t b = 0; each_build(b); b++) {
        struct divergence d;
        each_build(b)->divergence(p, q, n, &d);
        assert_close(d.log_sum_p, (double)w.log_sum_p, 2e-15 * (1 + fabs((double)w.log_sum_p)));
        assert_close(d.log_sum_q, (double)w.log_sum_q, 2e-15 * (1 + fabs((double)w.log_sum_q)));
        /* the logarithms cancel: what they lose is what is left */
        assert_close(d.kl, (double)w.kl, 2e-15 * (1 + fabs((double)w.log_sum_p) + (double)w.kl));
        assert_true(d.kl >= 0);
    }
}

static void test_divergence(void **state)
{
    (void)state;
    enum { N = 32000 };
    static const float spreads[] = {0, 1e-6f, 1e-3f, 0.1f, 3, 60, 800};
    float *p = make(N * sizeof *p), *q = make(N * sizeof *q);
    uint64_t seed = 17;
    for (size_t s = 0; s < sizeof spreads / sizeof *spreads; s++) {
        for (size_t i = 0; i < N; i++) {
            p[i] = 12 + 4 * (float)random_normal(&seed);
            q[i] = p[i] + spreads[s] * (float)random_normal(&seed);
        }
        for (size_t n = 1; n < 50; n++)
            check_divergence(p, q, n);
        check_divergence(p, q, N);
        check_divergence(q, p, N);
    }
    free(p);
    free(q);
}

static void test_divergence_of_equals(void **state)
{
    (void)state;
    enum { N = 515 };
    float p[N], q[N];
    uint64_t seed = 18;
    for (size_t b = 0; each_build(b); b++)
        for (int i = 0; i < 100; i++) {
            struct divergence d;
            for (size_t k = 0; k < N; k++)
                p[k] = q[k] = 30 * (float)random_normal(&seed);
            each_build(b)->divergence(p, q, 1 + (size_t)i * 5, &d);
            assert_true(d.kl == 0 && d.log_sum_p == d.log_sum_q);
        }
}

/* No figure is made of logits that are no numbers; one that is merely impossible has no probability. */
static void test_divergence_of_what_is_not_finite(void **state)
{
    (void)state;
    float p[40], q[40];
    for (size_t b = 0; each_build(b); b++)
        for (size_t at = 0; at < 40; at += 13) {
            struct divergence d;
            for (size_t i = 0; i < 40; i++)
                p[i] = q[i] = (float)i;
            q[at] = NAN;
            each_build(b)->divergence(p, q, 40, &d);
            assert_true(isfinite(d.log_sum_p) && isnan(d.log_sum_q) && isnan(d.kl));
            each_build(b)->divergence(q, p, 40, &d);
            assert_true(isnan(d.log_sum_p) && isfinite(d.log_sum_q) && isnan(d.kl));
            q[at] = INFINITY;
            each_build(b)->divergence(p, q, 40, &d);
            assert_true(!isfinite(d.log_sum_q) && !isfinite(d.kl));
            q[at] = -INFINITY;
            each_build(b)->divergence(p, q, 40, &d);
            assert_true(isfinite(d.log_sum_q) && d.kl == INFINITY);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_exp_over_all_floats),
        cmocka_unit_test(test_exp_at_the_edges),
        cmocka_unit_test(test_norms),
        cmocka_unit_test(test_norms_of_nothing_and_of_too_much),
        cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_rope),
        cmocka_unit_test(test_soft_cap),
        cmocka_unit_test(test_activation_functions),
        cmocka_unit_test(test_activation_functions_far_out),
        cmocka_unit_test(test_divergence),
        cmocka_unit_test(test_divergence_of_equals),
        cmocka_unit_test(test_divergence_of_what_is_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

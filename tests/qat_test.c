/* Quantization-aware training as a job: what it makes is what it says, better than rounding; that it ends when it
 * is told to, with the best so far; and what it refuses. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernels/dispatch.h"
#include "model/synthetic.h"
#include "quant/qat.h"
#include "quant/quantization.h"
#include "quant/recipe.h"
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT = 1200, WINDOW = 64 };

static struct pool *pool;

static struct scheme parsed(const char *text)
{
    struct scheme s;
    struct error error = {""};
    if (!scheme_parse(text, &s, &error))
        fail_msg("%s", error.text);
    return s;
}

struct fixture {
    char *path;
    struct model *model;
    struct weights *stored;
    struct calibration_text text;
    struct scheme schemes[64];
    bool learns[64];
};

static void open_fixture(struct fixture *f, const char *scheme)
{
    static const struct tiny shape = {48, 64, 2, 4, 2, 96, 256, true};
    struct error error = {""};
    int32_t tokens[TEXT];
    uint64_t seed = 5;
    *f = (struct fixture){.path = write_llama2c(&shape, 42)};
    f->model = model_open(f->path, &error);
    if (!f->model)
        fail_msg("%s", error.text);
    f->stored = weights_stored(f->model);
    for (size_t i = 0; i < TEXT; i++)
        tokens[i] = (int32_t)random_below(&seed, 96);
    assert_true(calibration_text_make(&f->text, tokens, TEXT, 1, WINDOW, &error));
    for (size_t t = 0; t < f->model->tensor_count; t++)
        f->schemes[t] = scheme_stored(&f->model->tensors[t].stored);
    schemes_set_linear(f->model, parsed(scheme), f->schemes);
    for (size_t t = 0; t < f->model->tensor_count; t++)
        f->learns[t] = f->schemes[t].methods.set != 0;
}

static void close_fixture(struct fixture *f)
{
    free(f->text.tokens);
    weights_unref(f->stored);
    model_close(f->model);
    unlink(f->path);
    free(f->path);
}

static struct training_plan plan_of(struct fixture *f, struct pool *threads)
{
    const struct scheme *s = f->schemes;
    while (!scheme_trains(s))
        s++;
    return (struct training_plan){f->model, threads, f->stored, f->schemes, f->learns,
                                  methods_values_of(&s->methods, scheme_method(s, PHASE_TRAINING)), f->text.tokens,
                                  f->text.count, f->text.window};
}

static struct quantization_plan set_plan(struct fixture *f)
{
    return (struct quantization_plan){.model = f->model, .pool = pool, .from = f->stored, .stored = f->stored,
                                      .schemes = f->schemes, .text = &f->text};
}

static struct training *opened(struct fixture *f, struct pool *threads)
{
    struct error error = {""};
    struct training_plan plan = plan_of(f, threads);
    struct training *q = qat_open(&plan, &error);
    if (!q)
        fail_msg("%s", error.text);
    return q;
}

static void run(struct training *q)
{
    struct error error = {""};
    bool done = false;
    double fraction = 0;
    while (!done) {
        if (!qat_step(q, 0.001, &done, &error))
            fail_msg("%s", error.text);
        assert_true(qat_fraction(q) >= fraction && qat_fraction(q) <= 1);
        fraction = qat_fraction(q);
    }
}

static void test_learns(void **state)
{
    static const char *const schemes[] = {"int4:channel:qat(steps=60,batch=256,lr=0.0003)",
                                          "int4/int8:g16:asym:qat(steps=40,batch=256,lr=0.0003)",
                                          "int4:tensor:qat(steps=40,batch=256,lr=0.0003,distill=0.9)",
                                          "fp8e5m2/fp8:qat(steps=40,batch=256,lr=0.0003)"};
    (void)state;
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i += test_stride()) {
        struct fixture f;
        open_fixture(&f, schemes[i]);
        struct training *q = opened(&f, pool);
        run(q);
        struct training_figures figures = qat_figures(q);
        print_message("%-50s KL %.3g, first %.3g\n", schemes[i], figures.kl_best, figures.kl_first);
        assert_int_equal(figures.step, figures.steps);
        assert_true(isfinite(figures.loss) && figures.gradient_norm > 0 && figures.rate > 0);
        assert_true(figures.kl_best < (i == 0 ? 0.9 : 0.98) * figures.kl_first);
        assert_null(qat_note(q));
        qat_close(q);
        close_fixture(&f);
    }
}

static void step_until(struct training *q, size_t step, bool *done)
{
    struct error error;
    while (!*done && qat_figures(q).step < step)
        assert_true(qat_step(q, 0, done, &error));
}

/* Saved after some parts of a step, closed, and opened again. */
static struct training *reopened(struct fixture *f, struct training *q, size_t parts)
{
    char *bytes;
    size_t n;
    struct error error = {""};
    bool done = false;
    for (size_t i = 0; i < parts && !done; i++)
        assert_true(qat_step(q, 0, &done, &error));
    FILE *state = open_memstream(&bytes, &n);
    assert_true(qat_save(q, state));
    fclose(state);
    qat_close(q);
    state = fmemopen(bytes, n, "r");
    q = opened(f, pool);
    if (!qat_load(q, state, &error))
        fail_msg("%s", error.text);
    fclose(state);
    free(bytes);
    return q;
}

/* A training that is interrupted anywhere ends as if it had not been: between windows that are shuffled anew, too. */
static void test_resumed(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, "int4/int8:g16:asym:qat(steps=30,batch=256,lr=0.0003)");
    struct training *whole = opened(&f, pool), *parts = opened(&f, pool);
    run(whole);
    bool done = false;
    for (size_t step = 1; step < 30; step += 4) {
        step_until(parts, step, &done);
        parts = reopened(&f, parts, step); /* in the middle of a step, or of a validation */
        parts = reopened(&f, parts, 1);    /* before the teacher is done again */
    }
    run(parts);
    struct training_figures a = qat_figures(whole), b = qat_figures(parts);
    assert_memory_equal(&a, &b, sizeof a);
    for (size_t t = 0; t < f.model->tensor_count; t++) {
        struct training_result x = qat_result(whole, (int)t), y = qat_result(parts, (int)t);
        size_t n = f.model->tensors[t].stored.rows * f.model->tensors[t].stored.cols;
        if (x.weights)
            assert_memory_equal(x.weights, y.weights, n * sizeof *x.weights);
    }
    qat_close(whole);
    qat_close(parts);
    close_fixture(&f);
}

/* What is cut short, changed, or of another training is refused. */
static void test_damaged_states(void **state)
{
    (void)state;
    struct fixture f, other;
    char *bytes;
    size_t n;
    struct error error;
    bool done = false;
    open_fixture(&f, "int4:channel:qat(steps=4,batch=256)");
    open_fixture(&other, "int4:channel:qat(steps=5,batch=256)");
    struct training *q = opened(&f, pool);
    FILE *file = open_memstream(&bytes, &n);
    assert_false(qat_save(q, file)); /* before the first step */
    step_until(q, 1, &done);
    assert_true(qat_save(q, file));
    fclose(file);
    qat_close(q);
    for (size_t i = 0; i < 40; i++) {
        size_t at = n / 40 * i;
        bytes[at] ^= 1;
        file = fmemopen(bytes, n, "r");
        q = opened(&f, pool);
        assert_false(qat_load(q, file, &error));
        qat_close(q);
        fclose(file);
        bytes[at] ^= 1;
        file = fmemopen(bytes, at + 1, "r");
        q = opened(&f, pool);
        assert_false(qat_load(q, file, &error));
        qat_close(q);
        fclose(file);
    }
    file = fmemopen(bytes, n, "r");
    q = opened(&other, pool);
    assert_false(qat_load(q, file, &error));
    qat_close(q);
    fclose(file);
    free(bytes);
    close_fixture(&f);
    close_fixture(&other);
}

/* A set's matrices stand for the weights that the job rounded, on its grids; the stored weights are untouched. */
static void test_set(void **state)
{
    static const char *const schemes[] = {"int4:g16:qat(steps=8,batch=128)", "int4/int8:tensor:qat(steps=4,batch=128)",
                                          "fp8:qat(steps=4,batch=128)", "int8:asym:qat(steps=4,batch=128)"};
    (void)state;
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        struct fixture f;
        struct error error = {""};
        open_fixture(&f, schemes[i]);
        struct training *q = opened(&f, pool);
        run(q);
        struct quantization_plan plan = set_plan(&f);
        struct quantization *job = quantization_open(&plan, &error);
        bool done = false;
        double fraction = 0;
        while (!done) {
            assert_true(quantization_step(job, 0.001, &done, &error));
            assert_true(quantization_fraction(job) >= fraction && *quantization_work(job));
            fraction = quantization_fraction(job);
        }
        assert_non_null(strstr(quantization_note(job, 0), "trained for"));
        struct weights *set = quantization_take(job);
        for (size_t t = 0; t < f.model->tensor_count; t++) {
            const struct qmatrix *m = &set->layer[t]->matrix;
            struct training_result r = qat_result(q, (int)t);
            assert_true(qtensor_has_scheme(set->layer[t], &f.schemes[t]));
            if (!f.learns[t]) {
                assert_ptr_equal(set->layer[t], f.stored->layer[t]);
                continue;
            }
            float *back = make(m->cols * sizeof *back), *expected = make(m->cols * sizeof *back);
            for (size_t row = 0; row < m->rows; row++) {
                qmatrix_decode_row(m, row, back);
                for (size_t g = 0, c = 0; c < m->cols; g++, c += m->group) {
                    bool whole = m->format.granularity == GRANULARITY_TENSOR;
                    struct quant_params params = r.grids[whole ? 0 : row * m->groups + g];
                    assert_true(qmatrix_scale(m, row, g) == params.scale && qmatrix_zero(m, row, g) == params.zero_point);
                    size_t n = m->cols - c < m->group ? m->cols - c : m->group;
                    if (dtypes[m->format.weight].kind == DTYPE_KIND_INTEGER) {
                        quantize_values(m, params, r.weights + row * m->cols + c, n, expected + c);
                        assert_memory_equal(back + c, expected + c, n * sizeof *back);
                    }
                }
            }
            assert_true(!set->layer[t]->error.exact && set->layer[t]->error.sum_e2 > 0);
            free(back);
            free(expected);
        }
        weights_unref(set);
        quantization_close(job);
        qat_close(q);
        close_fixture(&f);
    }
}

/* The same weights with any number of threads. */
static void test_threads(void **state)
{
    struct fixture f;
    struct error error = {""};
    struct pool *three = pool_create(3, &error);
    (void)state;
    open_fixture(&f, "int4/int8:channel:qat(steps=6,batch=128,seed=3)");
    struct training *a = opened(&f, pool), *b = opened(&f, three);
    run(a);
    run(b);
    for (int t = 0; t < (int)f.model->tensor_count; t++) {
        const struct qmatrix *m = &f.model->tensors[t].stored;
        if (f.learns[t])
            assert_memory_equal(qat_result(a, t).weights, qat_result(b, t).weights, m->rows * m->cols * 4);
    }
    qat_close(a);
    qat_close(b);
    pool_destroy(three);
    close_fixture(&f);
}

/* Stopped at any time, it has the best so far: at the least, the weights that it began with. */
static void test_stop(void **state)
{
    (void)state;
    for (size_t slices = 0; slices < 60; slices += 7) {
        struct fixture f;
        struct error error = {""};
        bool done = false;
        open_fixture(&f, "int4:channel:qat(steps=20,batch=128,lr=0.01)");
        struct training *q = opened(&f, pool);
        for (size_t i = 0; i < slices && !done; i++)
            assert_true(qat_step(q, 0, &done, &error));
        qat_stop(q);
        run(q);
        struct training_figures figures = qat_figures(q);
        assert_true(figures.kl_best <= figures.kl_first && figures.best_step <= figures.step);
        int t = model_find(f.model, ROLE_ATTN_Q, 0);
        struct training_result r = qat_result(q, t);
        float row[48];
        isa_current()->decode_row(&f.model->tensors[t].stored, 0, row);
        if (figures.best_step == 0)
            assert_memory_equal(r.weights, row, sizeof row);
        else
            assert_memory_not_equal(r.weights, row, sizeof row);
        qat_close(q);
        close_fixture(&f);
    }
}

/* Learning rates that blow everything up: it stops by itself, or goes on, and never hands out what is worse. */
static void test_no_number(void **state)
{
    struct fixture f;
    (void)state;
    open_fixture(&f, "int4:channel:qat(steps=30,batch=128,lr=1,decay=1)");
    struct training *q = opened(&f, pool);
    run(q);
    for (int t = 0; t < (int)f.model->tensor_count; t++)
        for (size_t i = 0; f.learns[t] && i < f.model->tensors[t].stored.rows * f.model->tensors[t].stored.cols; i++)
            assert_true(isfinite(qat_result(q, t).weights[i]));
    assert_true(qat_figures(q).kl_best <= qat_figures(q).kl_first);
    qat_close(q);
    close_fixture(&f);
}

/* A model whose predictions are not finite learns nothing. */
static void test_not_finite(void **state)
{
    struct fixture f;
    struct error error = {""};
    bool done = false, ok = true;
    (void)state;
    open_fixture(&f, "int4:channel:qat(steps=5,batch=128)");
    struct qmatrix *m = &f.model->tensors[model_find(f.model, ROLE_OUTPUT_NORM, -1)].stored;
    float *norm = make(m->cols * sizeof *norm);
    isa_current()->decode_row(m, 0, norm);
    norm[5] = NAN;
    m->codes = (const uint8_t *)norm;
    struct training *q = opened(&f, pool);
    while (ok && !done)
        ok = qat_step(q, 1, &done, &error);
    assert_false(ok);
    assert_non_null(strstr(error.text, "not finite before training"));
    qat_close(q);
    free(norm);
    close_fixture(&f);
}

static void refuse(struct fixture *f, const char *expected)
{
    struct error error = {""};
    struct training_plan plan = plan_of(f, pool);
    assert_null(qat_open(&plan, &error));
    if (!strstr(error.text, expected))
        fail_msg("%s; expected: %s", error.text, expected);
}

static void test_refused(void **state)
{
    struct fixture f;
    struct error error = {""};
    struct scheme s;
    (void)state;
    open_fixture(&f, "int4:channel:qat");
    f.text.count = 63;
    refuse(&f, "a text of 63 tokens is too short");
    f.text.count = TEXT;
    f.schemes[model_find(f.model, ROLE_ATTN_V, 1)] = parsed("int4:channel:qat(steps=7)");
    struct quantization_plan set = set_plan(&f);
    assert_null(quantization_open(&set, &error));
    assert_non_null(strstr(error.text, "blk.1.attn_v: layers that train together need the same parameters"));
    f.schemes[model_find(f.model, ROLE_ATTN_V, 1)] = f.schemes[model_find(f.model, ROLE_ATTN_V, 0)];
    int norm = model_find(f.model, ROLE_OUTPUT_NORM, -1);
    f.schemes[norm] = parsed("int8:qat");
    f.learns[norm] = true;
    refuse(&f, "output_norm: qat is for matrices");
    close_fixture(&f);
    assert_false(scheme_parse("fp16:qat", &s, &error));
    assert_non_null(strstr(error.text, "qat is for int8, int4 and fp8 weights"));
    assert_false(scheme_parse("int8/int8.static:qat", &s, &error));
    assert_non_null(strstr(error.text, "qat needs activations with one scale a token"));
    assert_false(scheme_parse("int4:gptq+qat", &s, &error));
    assert_false(scheme_parse("int4:qat(steps=0)", &s, &error));
    assert_false(scheme_parse("int4:qat(lr=0)", &s, &error));
}

/* More parameters than it is for: refused with the memory, before any weight is made or text written. */
static void test_large(void **state)
{
    struct error error = {""};
    struct model *m = synthetic_open(shape_find("tinyllama-1.1b", &error), &error);
    (void)state;
    if (!m)
        fail_msg("%s", error.text);
    struct scheme *schemes = calloc(schemes_count(m), sizeof *schemes);
    for (size_t t = 0; t < m->tensor_count; t++)
        schemes[t] = scheme_stored(&m->tensors[t].stored);
    schemes_set_linear(m, parsed("int4:qat"), schemes);
    struct weights *stored = weights_stored(m);
    struct quantization_plan plan = {.model = m, .pool = pool, .from = stored, .stored = stored, .schemes = schemes};
    assert_int_equal(quantization_training_tokens(&plan), 262144);
    assert_false(quantization_training_fits(&plan, 65536, &error));
    print_message("%s\n", error.text);
    assert_non_null(strstr(error.text, "up to 200 million parameters"));
    assert_non_null(strstr(error.text, " GB"));
    free(schemes);
    weights_unref(stored);
    model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learns),  cmocka_unit_test(test_resumed),   cmocka_unit_test(test_damaged_states),
        cmocka_unit_test(test_set),     cmocka_unit_test(test_threads),   cmocka_unit_test(test_stop),
        cmocka_unit_test(test_no_number), cmocka_unit_test(test_not_finite), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_large),
    };
    struct error error = {""};
    if (!(pool = pool_create(2, &error)))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pool_destroy(pool);
    return failed;
}

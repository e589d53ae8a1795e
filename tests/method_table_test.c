/* A method is one row of the table and one file. This program is built with one row more, of a method that does
 * nothing: it is parsed, printed, offered, named in errors and run like the others. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

/* The table with the row; its file is what follows. */
#define TEST_METHOD_ROWS(X) X(donothing)
#include "quant/methods.c"

#include "quant/change.h"
#include "quant/quantization.h"
#include "quant/recipe.h"
#include "support.h"

#include <unistd.h>

static const struct parameter parameters[] = {{"much", 3, 1, 9, true, false, "of nothing"}};

const struct method donothing_method = {
    .name = "donothing",
    .summary = "codes as they are rounded",
    .phase = PHASE_CODES,
    .composes = PHASE_BIT(PHASE_INPUT_SCALE) | PHASE_BIT(PHASE_RANGE),
    .needs = {.weights = WEIGHTS_INTEGER},
    .parameters = parameters,
    .parameter_count = 1,
};

static struct pool *pool;

static struct scheme parsed(const char *text)
{
    struct scheme s;
    struct error error = {""};
    if (!scheme_parse(text, &s, &error))
        fail_msg("%s", error.text);
    return s;
}

static void test_grammar(void **state)
{
    static const char *const texts[] = {"int4:donothing", "int8/int8:donothing(much=4)", "int4:g32:clip+donothing",
                                        "int4:g32:asym:awq+donothing(much=9)"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char text[SCHEME_TEXT];
        struct scheme s = parsed(texts[i]);
        assert_string_equal(scheme_print(&s, text), texts[i]);
    }
    struct scheme plain = parsed("int4"), s = parsed("int4:donothing");
    assert_false(scheme_equal(&plain, &s) || scheme_needs_calibration(&s));
}

static void test_errors(void **state)
{
    static const struct {
        const char *scheme, *expected;
    } bad[] = {
        {"int4:nothing", "rtn, awq, smoothquant, clip, imatrix, gptq, llmint8, qat or donothing"},
        {"int4:clip+nothing", "rtn, awq, smoothquant, clip, imatrix, gptq, llmint8, qat or donothing"},
        {"int4:gptq+donothing", "gptq or donothing, not both"},
        {"int4:donothing(much=10)", "a whole number from 1 to 9"},
        {"int4:donothing(most=1)", "expected much"},
        {"fp16:donothing", "donothing is for int8 and int4 weights, not fp16"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct scheme s;
        struct error error = {""};
        assert_false(scheme_parse(bad[i].scheme, &s, &error));
        if (!strstr(error.text, bad[i].expected))
            fail_msg("%s; expected: %s", error.text, bad[i].expected);
    }
}

static void quantize(const struct model *m, struct weights *stored, const char *scheme, struct weights **out)
{
    struct scheme schemes[64];
    struct error error = {""};
    bool done = false;
    for (size_t t = 0; t < m->tensor_count; t++)
        schemes[t] = scheme_stored(&m->tensors[t].stored);
    schemes_set_linear(m, parsed(scheme), schemes);
    struct quantization_plan plan = {.model = m, .pool = pool, .from = stored, .stored = stored, .schemes = schemes};
    struct quantization *job = quantization_open(&plan, &error);
    while (job && !done)
        if (!quantization_step(job, 1, &done, &error))
            break;
    if (!done)
        fail_msg("%s: %s", scheme, error.text);
    *out = quantization_take(job);
    quantization_close(job);
}

static void check_equal(const struct qmatrix *a, const struct qmatrix *b)
{
    float x[1024], y[1024];
    assert_int_equal(a->bytes, b->bytes);
    for (size_t r = 0; r < a->rows; r++) {
        qmatrix_decode_row(a, r, x);
        qmatrix_decode_row(b, r, y);
        assert_memory_equal(x, y, a->cols * sizeof *x);
    }
}

/* Its matrices are those that rounding makes, under its name. */
static void test_quantization(void **state)
{
    static const struct tiny shape = {32, 48, 2, 4, 2, 300, 256, false};
    struct error error = {""};
    char *path = write_llama2c(&shape, 42), text[SCHEME_TEXT];
    struct model *m = model_open(path, &error);
    (void)state;
    if (!m)
        fail_msg("%s", error.text);
    struct weights *stored = weights_stored(m), *nothing, *rounded;
    quantize(m, stored, "int4:g16:donothing", &nothing);
    quantize(m, stored, "int4:g16", &rounded);
    for (size_t t = 0; t < m->tensor_count; t++)
        check_equal(&nothing->layer[t]->matrix, &rounded->layer[t]->matrix);
    int up = model_find(m, ROLE_FFN_UP, 1);
    assert_string_equal(qtensor_print_scheme(nothing->layer[up], text), "int4:g16:donothing");
    assert_string_equal(qtensor_print_scheme(rounded->layer[up], text), "int4:g16");
    weights_unref(nothing);
    weights_unref(rounded);
    weights_unref(stored);
    model_close(m);
    unlink(path);
    free(path);
}

/* The menu has it alone and behind every input scale. */
static void test_menu(void **state)
{
    struct methods offered[32];
    char text[96];
    size_t n = methods_offered(offered, 32), found = 0;
    (void)state;
    for (size_t i = 0; i < n; i++)
        if (methods_have(&offered[i], &donothing_method)) {
            static const char *const expected[] = {"donothing", "awq+donothing", "smoothquant+donothing"};
            assert_true(found < 3);
            assert_string_equal(methods_print(&offered[i], text, sizeof text), expected[found++]);
        }
    assert_int_equal(found, 3);
}

/* Selections have room for every parameter. */
static void test_room(void **state)
{
    size_t values = 0;
    (void)state;
    for (size_t i = 0; method_table[i]; i++) {
        assert_true(method_table[i]->phase < PHASES && method_table[i]->summary);
        values += method_table[i]->parameter_count;
    }
    assert_true(values <= METHOD_VALUES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grammar),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_quantization),
        cmocka_unit_test(test_menu),
        cmocka_unit_test(test_room),
    };
    struct error error = {""};
    if (!(pool = pool_create(2, &error)))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pool_destroy(pool);
    return failed;
}

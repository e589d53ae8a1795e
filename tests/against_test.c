/* Two files side by side: what differs in metadata, tokenizers and weights, and what is said of it; qtop inspect and
 * qtop eval with --against.
 *
 * QTOP_BIN names the program (./qtop without it). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "child.h"
#include "gguffile.h"
#include "support.h"

#include "formats/gguf_differences.h"
#include "measure/pair_error.h"
#include "model/on_demand.h"
#include "model/reference.h"
#include "session/against.h"
#include "tokenizer/tokenizer_differences.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUILTIN    SRCDIR "/data/stories.bin"
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static char *folder, *first, *second, *out, *err;

/* Runs the program; what it wrote on standard output, which the caller frees. */
static char *run(const char *const *words, int status, const char *says)
{
    int found = child_wait(child_start(words, out, err, NULL));
    struct bytes o = read_file(out), e = read_file(err);
    if (found != status || !strstr((const char *)e.data, says))
        fail_msg("status %d, '%s'; expected %d and '%s'", found, (const char *)e.data, status, says);
    char *text = strndup((const char *)o.data, o.size);
    bytes_free(&o);
    bytes_free(&e);
    return text;
}

static void export_as(const char *scheme, const char *path)
{
    free(run(WORDS("export", BUILTIN, "-s", scheme, "-o", path), 0, ""));
}

static int begin(void **state)
{
    (void)state;
    folder = folder_make();
    first = path_in(folder, "a.gguf");
    second = path_in(folder, "b.gguf");
    out = path_in(folder, "out.txt");
    err = path_in(folder, "err.txt");
    export_as("q8_0", first);
    export_as("q4_0", second);
    return 0;
}

static int end(void **state)
{
    (void)state;
    folder_remove(folder);
    free(first);
    free(second);
    free(out);
    free(err);
    return 0;
}

/* ---- metadata -------------------------------------------------------------------------------- */

static struct gguf *parse(const struct gguffile *file, struct bytes *bytes)
{
    struct error error;
    *bytes = gguffile_bytes(file);
    struct gguf *g = gguf_parse(bytes->data, bytes->size, &error);
    if (!g)
        fail_msg("%s", error.text);
    return g;
}

static void make_keys(struct gguffile *f, bool other)
{
    static const char *const words[][2] = {{"x", "y"}, {"x", "z"}};
    static const int32_t numbers[][3] = {{1, 2, 3}, {1, 2, 4}};
    gguffile_begin(f, 3);
    gguffile_uint32(f, "same", 7);
    gguffile_uint32(f, "number", other ? 9 : 8);
    gguffile_array(f, "array", GGUF_INT32, 3, numbers[other]);
    gguffile_strings(f, "strings", 2, words[other]);
    gguffile_strings(f, "tokenizer.ggml.tokens", 2, words[other]);
    if (other)
        gguffile_string(f, "only b", "");
    else
        gguffile_bool(f, "only a", true);
    if (other)
        gguffile_float32(f, "type", 1);
    else
        gguffile_uint32(f, "type", 1);
}

static void assert_difference(const struct value_differences *list, size_t i, const char *what, const char *a,
                              const char *b)
{
    assert_string_equal(list->of[i].what, what);
    assert_string_equal(list->of[i].value[0], a);
    assert_string_equal(list->of[i].value[1], b);
}

/* Every key once, in order; a vocabulary's tokens are left to who compares those. */
static void test_metadata(void **state)
{
    struct gguffile files[2];
    struct bytes bytes[2];
    struct gguf *g[2];
    struct value_differences list = {0};
    (void)state;
    for (int i = 0; i < 2; i++) {
        make_keys(&files[i], i == 1);
        g[i] = parse(&files[i], &bytes[i]);
    }
    assert_true(gguf_differences(g[0], g[1], &list));
    assert_int_equal(list.count, 6);
    assert_difference(&list, 0, "array", "3 values, [2] 3", "3 values, [2] 4");
    assert_difference(&list, 1, "number", "8", "9");
    assert_difference(&list, 2, "only a", "true", "");
    assert_difference(&list, 3, "only b", "", "(empty)");
    assert_difference(&list, 4, "strings", "2 values, [1] y", "2 values, [1] z");
    assert_difference(&list, 5, "type", "1", "1");
    value_differences_free(&list);
    assert_true(gguf_differences(g[0], g[0], &list));
    assert_int_equal(list.count, 0);
    for (int i = 0; i < 2; i++) {
        gguf_close(g[i]);
        bytes_free(&bytes[i]);
        gguffile_free(&files[i]);
    }
}

/* ---- tokenizers ------------------------------------------------------------------------------ */

static struct tokenizer *write_tokenizer(const char *name, bool other)
{
    struct vocabulary_spec words = vocabulary_usual(400);
    struct error error;
    if (other)
        strcpy(words.pieces[300].text, "zebra");
    words.pieces[300].length = (int32_t)strlen(words.pieces[300].text);
    struct bytes b = vocabulary_bytes(&words);
    char *path = path_in(folder, name);
    write_file(path, b.data, b.size);
    struct tokenizer *t = tokenizer_open(path, &error);
    if (!t)
        fail_msg("%s", error.text);
    free(path);
    bytes_free(&b);
    vocabulary_free(&words);
    return t;
}

static void test_tokenizers(void **state)
{
    struct tokenizer *a = write_tokenizer("one.bin", false), *b = write_tokenizer("two.bin", true);
    struct tokenizer_differences d;
    struct error error;
    (void)state;
    assert_true(tokenizer_differences(a, a, &d, &error));
    assert_int_equal(d.tokens, 0);
    assert_int_equal(d.list.count, 0);
    value_differences_free(&d.list);
    assert_true(tokenizer_differences(a, b, &d, &error));
    assert_int_equal(d.tokens, 1);
    assert_int_equal(d.list.count, 1);
    assert_string_equal(d.list.of[0].what, "token 300");
    assert_non_null(strstr(d.list.of[0].value[1], "zebra"));
    value_differences_free(&d.list);
    tokenizer_close(a);
    tokenizer_close(b);
}

/* ---- weights --------------------------------------------------------------------------------- */

/* Straight from the definition. */
static double sqnr_of(const struct model *a, const struct model *b, int tensor)
{
    const struct qmatrix *m = &a->tensors[tensor].stored;
    float *x = make(m->cols * sizeof *x), *y = make(m->cols * sizeof *y);
    double w2 = 0, e2 = 0;
    for (size_t r = 0; r < m->rows; r++) {
        model_decode_row(a, tensor, r, x);
        model_decode_row(b, tensor, r, y);
        for (size_t c = 0; c < m->cols; c++) {
            w2 += (double)x[c] * (double)x[c];
            e2 += ((double)y[c] - (double)x[c]) * ((double)y[c] - (double)x[c]);
        }
    }
    free(x);
    free(y);
    return e2 > 0 ? 10 * log10(w2 / e2) : INFINITY;
}

static void test_weights(void **state)
{
    struct error error;
    bool done = false;
    struct model *a = model_open(first, &error), *b = model_open(second, &error);
    struct pool *pool = pool_create(1, &error);
    (void)state;
    assert_true(a && b && pool);
    struct pair_errors *p = pair_errors_open(a, b, pool, &error);
    while (!done)
        assert_true(pair_errors_class.step(p, 0.001, &done, &error));
    assert_true(fabs(pair_errors_class.fraction(p) - 1) < 1e-9);
    for (int t = 0; t < (int)a->tensor_count; t++) {
        double expected = sqnr_of(a, b, t), found = pair_error_sqnr_db(pair_errors_of(p, t));
        assert_true(found == expected || fabs(found - expected) <= 1e-9 * fabs(expected));
    }
    pair_errors_close(p);
    pool_destroy(pool);
    model_close(a);
    model_close(b);
}

/* ---- words ----------------------------------------------------------------------------------- */

static struct quality_result result(double kl, double standard_error)
{
    return (struct quality_result){.scored = 10, .planned = 10, .kl = kl, .kl_stderr = standard_error, .perplexity = 5};
}

static void time_alike(struct against_speed *s, double ratio)
{
    s->rounds = AGAINST_ROUNDS;
    for (int i = 0; i < AGAINST_ROUNDS; i++) {
        s->decode[0][i] = 100 + i % 3;
        s->decode[1][i] = ratio * s->decode[0][i];
    }
}

static void assert_verdict(const struct against_figures *g, const struct against_facts *f, const char *part)
{
    char text[AGAINST_VERDICT];
    against_verdict(g, f, text);
    if (!strstr(text, part))
        fail_msg("'%s' is not in '%s'", part, text);
}

static void test_verdict(void **state)
{
    struct against_facts f = {.bytes = {1000, 1001}};
    struct against_figures g = {.has_reference = true, .from_reference = {result(0.034, 0.003), result(0.021, 0.002)},
                                .from_a = result(0.02, 0.001)};
    (void)state;
    time_alike(&g.speed, 1);
    assert_verdict(&g, &f, "b is closer to the reference: KL 0.0210+-0.0020 against 0.0340+-0.0030, at the same size and "
                           "speed");
    g.from_reference[1] = result(0.030, 0.003);
    assert_verdict(&g, &f, "equally close");
    g.from_reference[1] = result(0.080, 0.003);
    assert_verdict(&g, &f, "a is closer to the reference: KL 0.0340");
    f.bytes[1] = 900;
    time_alike(&g.speed, 1.5);
    assert_verdict(&g, &f, "b is 10.0 % smaller and decodes 1.50 times as fast");
    g.has_reference = false;
    assert_verdict(&g, &f, "b differs from a by KL 0.0200+-0.0010");
    assert_verdict(&g, &f, "only --reference FILE can tell");
    g.from_a = result(0, 0);
    assert_verdict(&g, &f, "predict the same");
    f.tokens = 3;
    assert_verdict(&g, &f, "3 tokens mean something else");
    g.from_a = (struct quality_result){0};
    assert_verdict(&g, &f, "not known yet");
    assert_verdict(&g, NULL, "are being compared");
}

/* ---- the subcommands ------------------------------------------------------------------------- */

static json_t *first_record(const char *text)
{
    json_error_t why;
    json_t *j = json_loads(text, JSON_DISABLE_EOF_CHECK, &why);
    if (!j)
        fail_msg("%s in '%.200s'", why.text, text);
    return j;
}

static void test_inspect(void **state)
{
    (void)state;
    char *text = run(WORDS("inspect", first, "--against", second), 0, "");
    assert_non_null(strstr(text, "q8_0     q4_0"));
    assert_non_null(strstr(text, "metadata: general.file_type: a"));
    assert_non_null(strstr(text, "tokenizer: no difference"));
    free(text);
    text = run(WORDS("inspect", first, "--against", second, "--json"), 0, "");
    json_t *j = first_record(text);
    assert_string_equal(json_string_value(json_object_get(j, "name")), "token_embd");
    json_decref(j);
    j = first_record(strstr(text, "{\"name\":\"blk.0.attn_q\""));
    assert_string_equal(json_string_value(json_object_get(j, "type_b")), "q4_0");
    assert_true(json_is_number(json_object_get(j, "sqnr_db")));
    json_decref(j);
    free(text);
    text = run(WORDS("inspect", first, "--against", first, "--json"), 0, "");
    j = first_record(text);
    assert_string_equal(json_string_value(json_object_get(j, "sqnr_db_reason")), "equal");
    json_decref(j);
    free(text);
}

static double number(const json_t *j, const char *key)
{
    const json_t *value = json_object_get(j, key);
    if (!json_is_number(value))
        fail_msg("%s is no number", key);
    return json_number_value(value);
}

/* The figures are those of an evaluation of b against a, to the last digit. */
static void test_eval(void **state)
{
    (void)state;
    char *text = run(WORDS("eval", first, "--against", second, "--reference", BUILTIN, "-n", "300", "--json"), 0,
                     "");
    json_t *both = first_record(text);
    free(text);
    text = run(WORDS("eval", second, "--reference", first, "-n", "300", "--json"), 0, "");
    json_t *alone = first_record(text);
    free(text);
    assert_true(fabs(number(both, "kl_divergence") - number(alone, "kl_divergence")) <= 1e-6);
    assert_true(fabs(number(both, "perplexity_b") - number(alone, "perplexity")) <= 1e-4);
    assert_true(number(both, "kl_divergence_a_from_reference") < number(both, "kl_divergence_b_from_reference"));
    assert_true(number(both, "decode_tokens_per_second_b_min") <= number(both, "decode_tokens_per_second_b_max"));
    assert_non_null(strstr(json_string_value(json_object_get(both, "verdict")), "a is closer to the reference"));
    json_decref(both);
    json_decref(alone);
}

static void test_refusals(void **state)
{
    static const char gemma[] = SRCDIR "/tests/data/arch/gemma2/gemma2.gguf";
    char *cut = path_in(folder, "cut.gguf");
    struct bytes b = read_file(second);
    (void)state;
    write_file(cut, b.data, b.size / 2);
    bytes_free(&b);
    free(run(WORDS("inspect", first, "--against", gemma), 1, "cannot be compared with"));
    free(run(WORDS("inspect", first, "--against", gemma), 1, "its architecture is gemma2"));
    free(run(WORDS("eval", first, "--against", cut), 1, "cut.gguf"));
    free(run(WORDS("eval", first, "--against", "/nonexistent"), 1, "/nonexistent"));
    free(run(WORDS("eval", first, "--against", second, "-s", "int8"), 1, "expected no -s"));
    free(run(WORDS("eval", "--synthetic", "stories15m", "--against", second), 2, "--against"));
    free(cut);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metadata), cmocka_unit_test(test_tokenizers), cmocka_unit_test(test_weights),
        cmocka_unit_test(test_verdict),  cmocka_unit_test(test_inspect),    cmocka_unit_test(test_eval),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, begin, end);
}

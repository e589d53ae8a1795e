/* The texts that quality is measured and methods are calibrated on: what comes with the program, what is chosen, and
 * what is taken of it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "modelfile.h"
#include "support.h"

#include "session/text_source.h"
#include "views/texts.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct error error;

static char *read_data(const char *name, size_t *n)
{
    char path[400];
    snprintf(path, sizeof path, SRCDIR "/data/%s", name);
    char *text = read_whole(path, n);
    if (!text)
        fail_msg("%s is not there", path);
    return text;
}

/* ---- the mixed text ------------------------------------------------------------------------------ */

/* What only one kind of piece has. */
static const char *const marks[] = {"#include <", "\ndef ", "function ", "fn ", "SELECT ", "User:", "\n## ", "|---",
                                    "Theorem", "\\frac", " und ", " est ", " que ", " не ", "的"};

static void test_halves_are_one_mixture(void **state)
{
    size_t sizes[2];
    (void)state;
    char *half[2] = {read_data("mixed-quality.txt", &sizes[0]), read_data("mixed-calibration.txt", &sizes[1])};
    assert_true(sizes[0] + sizes[1] >= 128 << 10);
    assert_true(sizes[0] > 2 * sizes[1] / 3 && sizes[1] > 2 * sizes[0] / 3);
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        for (int h = 0; h < 2; h++)
            if (!strstr(half[h], marks[i]))
                fail_msg("'%s' is not in half %d", marks[i], h);
    free(half[0]);
    free(half[1]);
}

/* No line that is long enough to be no coincidence is in both. */
static void test_halves_share_nothing(void **state)
{
    static const char *const pairs[][2] = {{"mixed-quality.txt", "mixed-calibration.txt"},
                                           {"stories-heldout.txt", "stories-calibration.txt"}};
    (void)state;
    for (size_t p = 0; p < 2; p++) {
        size_t n;
        char *quality = read_data(pairs[p][0], &n), *calibration = read_data(pairs[p][1], &n);
        for (char *line = strtok(quality, "\n"); line; line = strtok(NULL, "\n"))
            if (strlen(line) > 60 && strstr(calibration, line))
                fail_msg("in both halves: %s", line);
        free(quality);
        free(calibration);
    }
}

/* ---- choosing ------------------------------------------------------------------------------------ */

static void open_model(struct session *s, const char *path)
{
    struct session_options o = {.model_path = path, .threads = 1};
    if (!session_open(s, &o, &error))
        fail_msg("%s", error.text);
}

static void check_choice(const struct session *s, const char *option, enum text_use use, const char *name,
                         const char *file)
{
    struct text_choice c;
    assert_true(text_choose(&c, s, option, use, &error));
    assert_string_equal(c.name, name);
    assert_true(c.is_default == !option);
    if (file)
        assert_true(c.path && strstr(c.path, file));
    else
        assert_null(c.path);
    text_choice_free(&c);
}

static void test_choice(void **state)
{
    struct session s;
    (void)state;
    open_model(&s, SRCDIR "/data/stories.bin");
    check_choice(&s, NULL, USE_QUALITY, "stories", "/stories-heldout.txt");
    check_choice(&s, NULL, USE_CALIBRATION, "stories", "/stories-calibration.txt");
    check_choice(&s, "self", USE_QUALITY, "self", NULL);
    check_choice(&s, "./self", USE_QUALITY, "self", "./self");
    check_choice(&s, "a/book.txt", USE_CALIBRATION, "book.txt", "a/book.txt");
    session_close(&s);
}

/* The built-in model under another name. */
static void test_choice_by_vocabulary(void **state)
{
    char *folder = folder_make(), *path = path_in(folder, "other.bin"), *beside = path_in(folder, "tokenizer.bin");
    struct session s;
    (void)state;
    assert_int_equal(symlink(SRCDIR "/data/stories.bin", path), 0);
    assert_int_equal(symlink(SRCDIR "/data/tokenizer.bin", beside), 0);
    open_model(&s, path);
    check_choice(&s, NULL, USE_QUALITY, "stories", "/stories-heldout.txt");
    session_close(&s);
    free(path);
    free(beside);
    folder_remove(folder);
}

/* Without a tokenizer nothing can be read. */
static void test_choice_for_other_models(void **state)
{
    struct model_spec spec = {1, false, 64, 96, 3, 4, 2, 400, 128, 32, 1};
    struct vocabulary_spec words = vocabulary_usual(400);
    struct bytes model = model_bytes(&spec), vocabulary = vocabulary_bytes(&words);
    char *folder = folder_make(), *path = path_in(folder, "model.bin"), *beside = path_in(folder, "tokenizer.bin");
    struct session s;
    (void)state;
    write_file(path, model.data, model.size);
    open_model(&s, path);
    check_choice(&s, NULL, USE_QUALITY, "self", NULL);
    session_close(&s);
    write_file(beside, vocabulary.data, vocabulary.size);
    open_model(&s, path);
    check_choice(&s, NULL, USE_QUALITY, "mixed text", "/mixed-quality.txt");
    check_choice(&s, NULL, USE_CALIBRATION, "mixed text", "/mixed-calibration.txt");
    session_close(&s);
    bytes_free(&model);
    bytes_free(&vocabulary);
    vocabulary_free(&words);
    free(path);
    free(beside);
    folder_remove(folder);
}

/* ---- taking -------------------------------------------------------------------------------------- */

static struct tokens counted(size_t n)
{
    struct tokens t = {0};
    for (size_t i = 0; i < n; i++)
        assert_true(tokens_add(&t, (int32_t)i));
    return t;
}

/* All of it in order; less of it from all over it, in pieces, no token twice. */
static void test_pieces(void **state)
{
    struct session s = {0};
    struct tokens text = counted(10000);
    static const size_t counts[] = {0, 1, 63, 64, 65, 512, 2047, 2048, 9999, 10000, 20000};
    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct text_source t;
        text_source_open(&t, &s, TEXT_EVALUATION, 0);
        assert_string_equal(t.name, "self");
        assert_true(text_source_is_written(&t));
        assert_true(text_source_give(&t, &text, counts[i], "named"));
        assert_string_equal(t.name, "named");
        assert_false(text_source_is_written(&t));
        assert_int_equal(t.tokens.count, counts[i] == 0 || counts[i] > 10000 ? 10000 : counts[i]);
        for (size_t k = 1; k < t.tokens.count; k++)
            assert_true(t.tokens.ids[k] > t.tokens.ids[k - 1] && t.tokens.ids[k] < 10000);
        if (counts[i] == 512 || counts[i] == 2048)
            assert_true(t.tokens.ids[t.tokens.count - 1] > 8000);
        text_source_close(&t);
    }
    free(text.ids);
}

/* A search uses what calibration leaves, and only a text that a person named trains. */
static void test_search_and_training(void **state)
{
    struct session s;
    (void)state;
    open_model(&s, SRCDIR "/data/stories.bin");
    s.calibration = counted(CALIBRATION_MAX + 800);
    for (size_t i = 0; i < s.calibration.count; i++)
        s.calibration.ids[i] = i < CALIBRATION_MAX ? 5 : 6;
    snprintf(s.calibration_name, sizeof s.calibration_name, "book.txt");
    struct text_source t;
    text_source_open(&t, &s, TEXT_SEARCH, 512);
    bool done = false;
    assert_string_equal(t.name, "book.txt");
    assert_true(text_source_class.step(&t, 1, &done, &error) && done);
    assert_int_equal(t.tokens.count, 512);
    for (size_t i = 0; i < 512; i++)
        assert_int_equal(t.tokens.ids[i], 6);
    text_source_close(&t);
    text_source_open(&t, &s, TEXT_SEARCH, 1000); /* more than is left */
    assert_true(text_source_is_written(&t));
    assert_string_equal(t.name, "self");
    text_source_close(&t);
    for (int is_default = 0; is_default < 2; is_default++) {
        s.calibration_is_default = is_default;
        text_source_open(&t, &s, TEXT_TRAINING, 1000);
        assert_true(text_source_is_written(&t) == is_default);
        text_source_close(&t);
    }
    session_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_halves_are_one_mixture),  cmocka_unit_test(test_halves_share_nothing),
        cmocka_unit_test(test_choice),                  cmocka_unit_test(test_choice_for_other_models),
        cmocka_unit_test(test_choice_by_vocabulary),
        cmocka_unit_test(test_pieces),                  cmocka_unit_test(test_search_and_training),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

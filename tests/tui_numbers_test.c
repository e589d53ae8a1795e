/* Numbers on screens: whole, with their units, on a narrow screen; true for every method; and marked where they are not
 * all there is. */
#include "tuiwork.h"

#include <math.h>

/* ---- the Error screen -------------------------------------------------------------------------- */

static void open_error(const char *scheme)
{
    go_to("attn_q");
    type_scheme(scheme);
    await_cell("attn_q", "WEIGHT", "int4");
    press("2");
    await_tab(1);
    wait_for("cosine");
}

/* The longest scheme at 80 x 24: nothing is cut, and no unit is left out. */
static void test_narrow_error_screen(void **state)
{
    (void)state;
    start(24, 80);
    open_error("int4:g32:asym:awq(alpha=0.5)+gptq(damp=0.02)");
    wait_for("blk.0.attn_q 64x64  int4:g32:asym:awq(alpha=0.5)+gptq(damp=0.02)");
    wait_match("SQNR weights [0-9.]+ dB, live output [0-9.]+ dB");
    wait_match("max .e. [0-9.]+ at row [0-9]+, column [0-9]+");
    wait_match("MSE [0-9.e-]+");
    wait_match("cosine [0-9.]+");
    wait_match("clipped [0-9.]+ %");
    wait_match("scale [0-9.]+  zero point [0-9]+");
    wait_match("input scale [0-9.]+");
    wait_match("compensated w = -?[0-9.e-]+");
    wait_match("e [+-][0-9.e-]+ = [+-][0-9.]+ steps");
    assert_ends("q");
}

/* The number behind a word on the screen. */
static double number_behind(const char *word)
{
    char *dump = pty_dump(term);
    const char *at = dump ? strstr(dump, word) : NULL;
    double value = at ? strtod(at + strlen(word), NULL) : NAN;
    free(dump);
    return value;
}

/* Whether it is the weight of a place in the first row, and what the screen says was rounded, divided by the scale that
 * it shows, rounds to the code that it shows. */
static bool is_right(struct pty *p, void *place)
{
    char words[64];
    snprintf(words, sizeof words, "weight [0, %d]", *(const int *)place);
    if (!pty_find(p, words, NULL, NULL) ||
        !pty_match(p, "compensated w = -?[0-9.e-]+  round.-?[0-9.e-]+ / [0-9.]+. . [0-9]+ = [0-9]+"))
        return false;
    double w = number_behind("compensated w = "), scale = number_behind(" / "), zero = number_behind("zero point ");
    snprintf(words, sizeof words, ") + %.0f = ", zero);
    double code = number_behind(words), q = w / scale + zero;
    return fabs(q - code) <= 0.501 || q < 0 || q > 15;
}

static void test_arithmetic_of_gptq(void **state)
{
    (void)state;
    start(40, 132);
    open_error("int4:g32:asym:gptq");
    for (int i = 0; i < 6; i++) {
        wait_until(is_right, &i, "a quotient that rounds to the code");
        press(PTY_KEY_RIGHT);
    }
    assert_ends("q");
}

/* Of a larger layer not every row is kept: then there is no number. */
static void test_rows_that_are_not_kept(void **state)
{
    (void)state;
    launch(40, 132, SRCDIR "/data/stories.bin", WORDS("-t", "2"), NULL);
    ready();
    open_error("int4:g32:gptq");
    wait_match("compensated w = -?[0-9.]+");
    press(PTY_KEY_LEFT); /* the last weight */
    wait_match("compensated w n/a: kept of rows 0..128, [0-9]+..[0-9]+  code -?[0-9]+  -> ");
    assert_ends("q");
}

static void test_overflow(void **state)
{
    (void)state;
    struct model_spec spec = small_spec;
    struct tensor_place place = model_place(&spec, "blk.0.attn_q");
    struct bytes b = model_bytes(&spec);
    char *path = path_in(folder, "spoilt.bin");
    put_float(&b, place.offset, 1e5f);
    put_float(&b, place.offset + 8, -7e4f);
    write_file(path, b.data, b.size);
    bytes_free(&b);
    launch(30, 132, path, NULL, NULL);
    wait_for("spoilt.bin");
    go_to("attn_q");
    type_scheme("fp16");
    await_cell("attn_q", "WEIGHT", "fp16");
    press("2");
    wait_for("2 overflow fp16");
    wait_for("blk.0.attn_q: 2 weights overflow fp16: an export of them fails");
    assert_ends("q");
    unlink(path);
    free(path);
}

/* ---- the header and the table ------------------------------------------------------------------ */

static void test_bits_say_what_they_cover(void **state)
{
    (void)state;
    start(24, 80);
    go_to("attn_q");
    type_scheme("int4");
    wait_match("size +[0-9.]+kB  [0-9.]+ lin [0-9.]+ all bits");
    assert_ends("q");
    start(24, 150);
    wait_match("size +[0-9.]+kB of [0-9.]+kB  32.0 linear, 32.0 all bits/weight");
    assert_ends("q");
}

static void test_one_form_of_kl(void **state)
{
    (void)state;
    for (int ascii = 0; ascii < 2; ascii++)
        for (int cols = 80; cols <= 132; cols += 52) {
            launch(24, cols, model, ascii ? WORDS("--ascii") : NULL, NULL);
            ready();
            go_to("attn_q");
            type_scheme("int4:tensor");
            wait_match(ascii ? "KL ([0-9.]{6}[+]-[0-9.]{6}|[0-9.]{3}e-0[0-9][+]-[0-9]e-0[0-9])"
                             : "KL ([0-9.]{6}\u00b1[0-9.]{6}|[0-9.]{3}e-0[0-9]\u00b1[0-9]e-0[0-9])");
            assert_ends("q");
        }
}

/* A block's figure is marked while some of its layers have none. */
static void test_partial_sensitivity(void **state)
{
    (void)state;
    start(30, 132);
    go_to("attn_q");
    type_scheme("int4:tensor");
    await_cell("attn_q", "WEIGHT", "int4");
    press("E");
    wait_match("blk.0 +7 layers .* [0-9]+[.][0-9]+(e-0[0-9])? *$");
    go_to("attn_k");
    type_scheme("int4:tensor");
    await_cell("attn_k", "WEIGHT", "int4");
    wait_match("blk.0 +7 layers .* >[0-9]+[.][0-9]+(e-0[0-9])? *$");
    press("E");
    wait_match("blk.0 +7 layers .* [0-9]+[.][0-9]+(e-0[0-9])? *$");
    assert_ends("q");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_narrow_error_screen),      TEST(test_arithmetic_of_gptq), TEST(test_rows_that_are_not_kept),
        TEST(test_overflow),                 TEST(test_bits_say_what_they_cover), TEST(test_one_form_of_kl),
        TEST(test_partial_sensitivity),
    };
    cmocka_set_test_filter(getenv("QTOP_TEST")); /* a pattern, or null for all */
    return cmocka_run_group_tests_name("tui_numbers", tests, make_files, remove_files);
}

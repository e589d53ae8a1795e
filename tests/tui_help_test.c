/* The help by screen, what is looked for in it, and what columns and numbers mean. */
#include "tuiwork.h"

#include "views/figures.h"
#include "views/keys.h"

/* The screen's own keys come first. */
static void test_help_of_each_screen(void **state)
{
    static const char *const first[TABS] = {"next weight datatype", "compare methods on this layer", "a larger batch",
                                            "count the selected event", "swap between", "ask as the chat template says",
                                            "Moving", "measure which schemes", "measure the sensitivity",
                                               "go back, or forward"};
    (void)state;
    start(24, 100);
    for (int t = 0; t < TABS; t++) {
        char title[64];
        int row, col;
        snprintf(title, sizeof title, "On this screen, %s", tabs[t].label + 2);
        press(tabs[t].key);
        await_tab(t);
        press("?");
        wait_for(first[t]);
        find(first[t], &row, &col);
        assert_true(row <= 4);
        if (t != 6) { /* which has none of its own */
            find(title, &row, &col);
            assert_int_equal(row, 1);
        }
        press("\033");
        await_tab(t);
    }
    assert_ends("q");
}

static void test_search_in_the_help(void **state)
{
    (void)state;
    start(24, 100);
    press("?/perpl");
    wait_for("qtop keys with 'perpl'");
    wait_for("measure perplexity and KL divergence now");
    wait_gone("next weight datatype");
    press("exy zzz");
    wait_for("no key does that");
    press(CLEAR_LINE "WEIGHT-n\r"); /* by its name in the command line */
    wait_for("next weight datatype");
    wait_gone("previous weight datatype");
    press("\033"); /* all again */
    wait_for("previous weight datatype");
    press("/snap\033");
    wait_for("previous weight datatype");
    press("q");
    wait_for("1 Layers");
    assert_ends("q");
}

static void test_every_column_is_defined(void **state)
{
    static const char *const titles[] = {"LAYER", "SHAPE", "WEIGHT", "ACT",   "GROUP", "SYM",  "METHOD", "SIZE",
                                         "FILE",  "us/TOK", "GB/s",  "ROOF%", "SQNR",  "SENS", "USED",   "KL",
                                         "PPL",   "TOP-1",  "BITS",  "DECODE/s", "PREFILL", "VS BASE", "MEMORY"};
    const struct figure **of = calloc(figure_count, sizeof *of);
    (void)state;
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++) {
        size_t n = 0;
        for (size_t k = 0; k < figure_count; k++)
            n += figure_is_of(&figures[k], titles[i]);
        if (n != 1)
            fail_msg("%s is defined %zu times", titles[i], n);
    }
    assert_false(figure_is_of(&figures[0], "LAY"));
    assert_false(figure_is_of(&figures[0], ""));
    for (int v = 0; v < VIEW_COUNT; v++)
        assert_in_range(figures_of((enum view_id)v, of), 10, figure_count);
    free(of);
}

static void test_definitions(void **state)
{
    (void)state;
    start(24, 100);
    press(PTY_KEY_F1);
    wait_match("^ LAYER  .1 of [0-9]+: arrows");
    press(PTY_KEY_RIGHT);
    wait_match("^ SHAPE  .2 of");
    press(PTY_KEY_LEFT PTY_KEY_LEFT);
    wait_match("^ on TEXT, N tokens");
    press("\033");
    wait_gone(": arrows");
    press("<"); /* sorted by sensitivity */
    wait_for("sorted by sensitivity");
    press("F");
    wait_match("^ SENS  .[0-9]+ of");
    wait_for("the sensitivity of a layer");
    press("x");
    wait_gone(": arrows");
    press("5F");
    wait_match("^ VS BASE  .1 of");
    press("\0334F");
    wait_match("^ /TOKEN, /SECOND, COUNTED, THREAD n  .1 of");
    assert_ends("\033q");
}

/* What has no room is reached by Page Down. */
static void test_definitions_when_small(void **state)
{
    (void)state;
    launch(10, 40, model, NULL, NULL);
    wait_for("Quit");
    press("><F"); /* none sorts */
    wait_match("^ LAYER  .1 of [0-9]+: arrows, PgDn");
    wait_for("a tensor of the model");
    for (int i = 0; i < 10; i++)
        press(PTY_KEY_PGDN);
    wait_for("stand together.");
    wait_match("^decode .*KL ");
    assert_ends("\033q");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_help_of_each_screen),
        TEST(test_search_in_the_help),
        cmocka_unit_test(test_every_column_is_defined),
        TEST(test_definitions),
        TEST(test_definitions_when_small),
    };
    cmocka_set_test_filter(getenv("QTOP_TEST")); /* a pattern, or null for all */
    return cmocka_run_group_tests_name("tui_help", tests, make_files, remove_files);
}

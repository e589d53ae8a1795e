/* The command line: names of all keys, what stands behind them, completion, history, confirmations. */
#include "tuiwork.h"

#include "views/keys.h"

static void command(const char *line)
{
    press(":");
    press(line);
    press("\r");
}

/* ---- names ----------------------------------------------------------------------------------- */

static void test_names(void **state)
{
    char name[KEY_NAME], other[KEY_NAME];
    (void)state;
    for (size_t i = 0; i < key_names_count(); i++) {
        const struct key_binding *key = key_name_at(i, name);
        assert_ptr_equal(key_named(name), key);
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz-"), strlen(name));
        for (size_t k = 0; k < i; k++) {
            key_name_at(k, other);
            assert_string_not_equal(name, other);
        }
    }
    assert_int_equal(key_named("weight-next")->action, ACTION_WEIGHT_NEXT);
    assert_int_equal(key_named("Weight-N")->action, ACTION_WEIGHT_NEXT); /* the only one that begins so */
    assert_int_equal(key_named("scheme")->action, ACTION_EDIT);
    assert_int_equal(key_named("sort-next")->action, ACTION_SORT_NEXT);
    assert_null(key_named("weight"));
    assert_null(key_named("no-such"));
    assert_null(key_named(""));
}

/* Every name of the table is taken on every screen, and the program answers. */
static void test_every_name_on_every_screen(void **state)
{
    char name[KEY_NAME];
    (void)state;
    start(24, 80);
    for (int t = 0; t < TABS; t++) {
        for (size_t i = 0; i < key_names_count(); i++) {
            if (key_name_at(i, name)->action == ACTION_QUIT)
                continue;
            press("\033"); /* closes what the one before has opened */
            press(tabs[t].key);
            command(name);
        }
        assert_alive();
    }
    assert_ends("\033q");
}

static void test_unknown_names(void **state)
{
    (void)state;
    start(24, 100);
    command("evalute");
    wait_for("no command is called 'evalute'; nearest: evaluate");
    press("\033");
    wait_gone(":evalute");
    command("weight");
    wait_for("'weight' begins 2 names: Tab completes");
    press("\033");
    command("restore");
    wait_for("restore is for the screen Compare: 5 opens it");
    command("map-shows");
    wait_for("map-shows is for the screen Map: 9 opens it");
    command("undo twice");
    wait_match("undo takes nothing behind it: 'twice' was not used|nothing to undo");
    press(":");
    wait_match("^ help +[?] +the keys of the screen"); /* the list of all */
    press(PTY_KEY_BACKSPACE); /* of nothing: closes */
    wait_for("Quit");
    assert_ends("q");
}

/* ---- arguments ------------------------------------------------------------------------------- */

static void test_arguments(void **state)
{
    (void)state;
    start(24, 120);
    command("search blk.0.attn_k");
    await_selected("attn_k");
    command("scheme int8/int8");
    await_cell("attn_k", "WEIGHT", "int8");
    await_cell("attn_k", "ACT", "int8");
    command("undo");
    await_cell("attn_k", "WEIGHT", "fp32*");
    command("weight-next");
    await_cell("attn_k", "WEIGHT", "fp16");
    command("columns weight sqnr");
    wait_match("LAYER +WEIGHT +SQNR *$");
    command("filter ffn");
    wait_for("blk.2.ffn_up");
    wait_gone("attn_k");
    command("cancel");
    wait_for("attn_k");
    command("view-text");
    await_tab(5);
    command("prompt on the barn");
    wait_for("on the barn");
    command("sampling 0.5 77");
    wait_match("seed 77");
    command("sampling warm");
    wait_for("'warm': expected a temperature");
    wait_for("temperature and seed: warm"); /* to be corrected */
    press(CLEAR_LINE "0.5 78\r");
    wait_match("seed 78");
    assert_ends("q");
}

/* What the keys ask before, the names ask, too. */
static void test_confirmations(void **state)
{
    char *file = path_in(folder, "there.txt"), line[512];
    (void)state;
    write_file(file, "mine", 4);
    start(24, 100);
    snprintf(line, sizeof line, "write %s", file);
    command(line);
    wait_for("that file exists: Enter again overwrites it");
    wait_for("write recipe to:");
    press("\033");
    wait_gone("write recipe to:");
    size_t n;
    char *text = read_whole(file, &n);
    assert_int_equal(n, 4);
    free(text);
    command(line);
    wait_for("that file exists");
    press("\r");
    wait_match("[Ww]r(ote|itten)");
    press("s"); /* a snapshot that is not written */
    wait_for("snapshot");
    press("dd");
    press("s");
    command("quit");
    wait_for("(y/n)?");
    press("n");
    wait_gone("(y/n)?");
    launch(24, 100, model, WORDS("--readonly"), NULL);
    ready();
    command(line);
    wait_for("--readonly: nothing is changed, kept or written");
    command("scheme int4");
    wait_for("--readonly: nothing is changed, kept or written");
    command("quit");
    assert_int_equal(pty_wait_exit(term, PATIENCE), 0);
    unlink(file);
    free(file);
}

/* ---- completion ------------------------------------------------------------------------------ */

static void test_completion_of_names(void **state)
{
    (void)state;
    start(24, 100);
    go_to("attn_q");
    press(":weig");
    wait_match("weight-next +d +next weight datatype");
    wait_match("weight-previous +D +previous weight datatype");
    press("\t");
    wait_match("^:weight- *$"); /* what all begin with */
    press("\t");
    wait_match("^:weight-next *$");
    press("\t");
    wait_match("^:weight-previous *$");
    press("\t");
    wait_match("^:weight- *$"); /* what was typed */
    press("\t\r");
    await_cell("attn_q", "WEIGHT", "fp16");
    press(":" PTY_KEY_BACKTAB);
    wait_match("^:scheme *$"); /* the last of all */
    press(CLEAR_LINE "snapsh");
    wait_match("time-snapshots|^:snapsh *$");
    press("\033");
    press(":granul"); /* no name has it: what keys do */
    wait_match("group-next +g +next finer granularity");
    press("\033");
    assert_ends("q");
}

static void test_completion_of_arguments(void **state)
{
    char *file = path_in(folder, "recipe-of-mine.txt"), line[512];
    (void)state;
    write_file(file, "x", 1);
    start(24, 100);
    go_to("attn_q");
    press(":scheme int8/");
    wait_match("^ int8/int8 *$");
    press(CLEAR_LINE "scheme int4:g3");
    wait_match("^ int4:g32 *$");
    press(CLEAR_LINE "scheme q4_");
    wait_match("^ q4_0 +[0-9.]+kB, 4.50 bits, exports: gguf");
    press("0\r");
    await_cell("attn_q", "WEIGHT", "q4_0");
    press("u:");
    press(CLEAR_LINE "write ");
    press(folder);
    press("/recipe-o");
    wait_match("recipe-of-mine.txt +1");
    press("\t");
    snprintf(line, sizeof line, ":write %s/recipe-of-mine.txt", folder);
    wait_for(line);
    press(CLEAR_LINE "columns weight sq");
    wait_match("^ SQNR +is shown");
    press("\t\r");
    wait_match("LAYER +WEIGHT +SQNR *$");
    press(":search ffn_do");
    wait_match("^ blk.1.ffn_down");
    press("\t\t\r");
    await_selected("ffn_down");
    assert_ends("q");
    unlink(file);
    free(file);
}

/* At 40x10 too. */
static void test_completion_when_small(void **state)
{
    (void)state;
    launch(10, 40, model, NULL, NULL);
    wait_for("Quit");
    press(":");
    wait_match("and [0-9]+ more");
    press("weight-n");
    wait_match("^ weight-next +d  next");
    press("\t\r");
    wait_for("fp16");
    assert_ends("q");
}

static void test_history(void **state)
{
    (void)state;
    start(24, 100);
    command("view-map");
    await_tab(8);
    command("view-error");
    await_tab(1);
    press(":" PTY_KEY_UP);
    wait_match("^:view-error *$");
    press(PTY_KEY_UP);
    wait_match("^:view-map *$");
    press(PTY_KEY_UP PTY_KEY_DOWN);
    wait_match("^:view-error *$");
    press(PTY_KEY_DOWN);
    wait_match("^: *$");
    press(PTY_KEY_UP PTY_KEY_UP "\r");
    await_tab(8);
    assert_ends("q");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        TEST(test_every_name_on_every_screen),
        TEST(test_unknown_names),
        TEST(test_arguments),
        TEST(test_confirmations),
        TEST(test_completion_of_names),
        TEST(test_completion_of_arguments),
        TEST(test_completion_when_small),
        TEST(test_history),
    };
    cmocka_set_test_filter(getenv("QTOP_TEST")); /* a pattern, or null for all */
    return cmocka_run_group_tests_name("tui_command", tests, make_files, remove_files);
}

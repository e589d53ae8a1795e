/* Screen 0, Jobs: jobs, the log, and going back in it; names and notes of snapshots on Compare. */
#include "tuiwork.h"

static bool is_selected(struct pty *p, void *text)
{
    int rows, cols;
    pty_size(p, &rows, &cols);
    for (int r = 5; r < rows; r++)
        if (pty_is_reverse(p, r, 12) && strstr(pty_row(p, r), text))
            return true;
    return false;
}

static void test_log_goes_back(void **state)
{
    (void)state;
    start(24, 100);
    type_scheme("int8");
    wait_match("WEIGHT");
    press("0");
    await_tab(9);
    wait_match("> .*int8");
    wait_match("\\* opened: every layer as stored");
    press(PTY_KEY_END "\r");
    wait_match("> opened: every layer as stored");
    wait_match("- .*int8");
    wait_for("undone: 1");
    press(PTY_KEY_HOME "u");
    wait_for("nothing to undo");
    press("\022"); /* Ctrl-R */
    wait_match("> .*int8");
    assert_ends("q");
}

static void test_jobs_of_the_list(void **state)
{
    (void)state;
    start(24, 100);
    press("0");
    wait_match("JOB +STATE +DONE");
    wait_match("evaluating +done");
    press(PTY_KEY_HOME "\r");
    wait_for("no change is selected");
    press("x");
    wait_match("is not running|cannot be stopped");
    assert_ends("q");
}

/* The search goes through the log as one types, and back; a click on a line chooses it, on the title nothing. */
static void test_log_is_searched(void **state)
{
    int row, col;
    (void)state;
    start(24, 100);
    type_scheme("int8");
    press("0");
    wait_match("quantizing +done");
    press(PTY_KEY_HOME "/opened");
    wait_for("opened: every layer as stored");
    wait_until(is_selected, "opened: every", "the entry found as it is typed");
    press("\033");
    wait_until(is_selected, "quantizing", "back where it was");
    press("\\x\r");
    wait_for("all jobs and messages are shown");
    find("opened: every", &row, &col);
    click(0, row, col);
    wait_until(is_selected, "opened: every", "the entry clicked");
    find("JOB  ", &row, &col);
    click(0, row + 1, col);
    wait_until(is_selected, "quantizing", "the job clicked");
    find("LOG  ", &row, &col);
    click(0, row, col);
    wait_until(is_selected, "quantizing", "a title chooses nothing");
    assert_ends("q");
}

static void test_small_screen(void **state)
{
    (void)state;
    launch(10, 40, model, NULL, NULL);
    wait_match(DECODING);
    press("0");
    wait_for("LOG");
    press(PTY_KEY_END);
    wait_for("opened");
    press(PTY_KEY_HOME);
    wait_for("JOB");
    assert_ends("q");
}

static void test_names_of_snapshots(void **state)
{
    (void)state;
    start(24, 120);
    press("s5");
    wait_match(">A +stored");
    press("Nsmallest\r");
    wait_match(">A +smallest: stored");
    press("cfor the laptop\r");
    wait_for("A: for the laptop");
    press("X");
    wait_for("delete snapshot A (y/n)?");
    press("n");
    wait_gone("(y/n)?");
    wait_match(">A +smallest");
    press("X");
    wait_for("(y/n)?");
    press("y");
    wait_for("no snapshots yet");
    press("N");
    wait_for("no snapshots yet: s keeps one");
    assert_ends("q");
}

static void test_session(void **state)
{
    char *path = NULL;
    (void)state;
    assert_true(asprintf(&path, "%s/kept.qtop", folder) > 0);
    start(24, 100);
    type_scheme("int8");
    press("s");
    wait_for("snapshot A");
    press("W" CLEAR_LINE);
    press(path);
    press("\r");
    wait_for("session saved as");
    press("q"); /* nothing would be lost */
    assert_int_equal(pty_wait_exit(term, PATIENCE), 0);
    launch(24, 100, path, NULL, NULL);
    wait_for("kept.qtop");
    press("5");
    wait_match(">A .*token_");
    press("0");
    wait_match("> .*int8");
    press("W\r"); /* its own file, without a question */
    wait_for("session saved as");
    assert_ends("q");
    const char *const options[] = {"-s", "int4", NULL};
    launch(24, 100, path, options, NULL);
    assert_int_equal(WEXITSTATUS(pty_wait_exit(term, PATIENCE)), 2);
    assert_true(pty_raw_has(term, "a session has its schemes", 25));
    unlink(path);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_log_goes_back), TEST(test_jobs_of_the_list), TEST(test_log_is_searched), TEST(test_small_screen), TEST(test_names_of_snapshots), TEST(test_session),
    };
    cmocka_set_test_filter(getenv("QTOP_TEST")); /* a pattern, or null for all */
    return cmocka_run_group_tests_name("tui_jobs", tests, make_files, remove_files);
}

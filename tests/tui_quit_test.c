/* Leaving the terminal program: it asks where work would be lost, and says what. */
#include "tuiwork.h"

#include <signal.h>

#define QUESTION "quit (y/n)? this would be lost: "

static const struct model_spec large_spec = {1, false, 768, 2048, 4, 12, 12, 400, 128, 64, 1};
static const struct model_spec deep_spec = {1, false, 64, 96, 48, 4, 2, 400, 128, 32, 1};
static char *large; /* a model that takes a while to be exported */
static char *deep;  /* one whose search soon begins, and has many layers to measure */

static int begin(void **state)
{
    int failed = make_files(state);
    large = failed ? NULL : write_model("large.bin", &large_spec);
    deep = failed ? NULL : write_model("deep.bin", &deep_spec);
    return failed;
}

static int end(void **state)
{
    free(large);
    free(deep);
    return remove_files(state);
}

static void assert_status(int expected)
{
    assert_int_equal(pty_wait_exit(term, PATIENCE), expected);
    assert_restored();
}

static void test_nothing_to_lose(void **state)
{
    (void)state;
    start(24, 80);
    press("ddd");
    press("q");
    assert_status(0);
}

/* Typed in one go: the snapshot is not on the screen yet when the key to quit comes. */
static void test_snapshot(void **state)
{
    static const struct {
        const char *keys; /* after the question */
        int status;
    } answers[] = {{"y", 0}, {"Y", 0}, {"q", 0}, {PTY_KEY_F10, 0}, {"\003", SIGINT}};
    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        start(24, 80);
        press("sq");
        wait_for(QUESTION "1 unwritten snapshot");
        press(answers[i].keys);
        assert_status(answers[i].status);
    }
}

static void test_no(void **state)
{
    static const char *const keys[] = {"n", PTY_KEY_ESC, "\r", PTY_KEY_DOWN};
    (void)state;
    start(24, 80);
    press("sds");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        press("q");
        wait_for(QUESTION "2 unwritten snapshots");
        press(keys[i]);
        wait_gone("quit (y/n)");
        pty_settle(term, 0.2, 2);
    }
    assert_alive();
    assert_ends("q");
}

static void test_written_as_a_recipe(void **state)
{
    char *path = path_in(folder, "kept.recipe");
    (void)state;
    start(24, 100);
    press("ds");
    press("w" CLEAR_LINE);
    press(path);
    press("\r");
    wait_for("recipe written");
    press("q");
    assert_status(0);
    free(path);
}

static void test_interrupt_key(void **state)
{
    (void)state;
    start(24, 80);
    press("si some words"); /* in the middle of a line of input */
    wait_for("prompt:");
    press("\003");
    wait_for(QUESTION);
    press("n");
    wait_gone("quit (y/n)");
    press("?\003");
    wait_for(QUESTION);
    press("\003");
    assert_status(SIGINT);
}

/* Exports and leaves in one go; whether that is asked about, which it is not where the export is over by then. */
static bool asks_about_export(const char *path)
{
    launch(24, 100, large, NULL, NULL);
    ready();
    press("o" CLEAR_LINE);
    press(path);
    press("\rq");
    if (pty_wait_until(term, shows_text, QUESTION "export", PATIENCE))
        return true;
    assert_status(0);
    assert_int_equal(unlink(path), 0);
    return false;
}

static void test_export(void **state)
{
    char *path = path_in(folder, "out.gguf");
    bool left = false;
    (void)state;
    for (int tries = 0; !left && tries < 40; tries++) {
        if (!asks_about_export(path))
            continue;
        press("y");
        assert_status(0);
        left = unlink(path) != 0; /* else it was done before the answer came */
    }
    assert_true(left);
    free(path);
}

static void test_search(void **state)
{
    (void)state;
    launch(24, 100, deep, NULL, NULL);
    ready();
    press("T\rq");
    wait_for(QUESTION "search");
    press("q");
    assert_status(0);
}

/* What the screen says while a search runs, in any of its stages. */
#define UNDER_WAY "searching|measuring|timing every|quantizing to measure|making|verifying"

/* A search that took minutes is not lost by one key. It may have found a choice by then, on a fast machine. */
static void test_stopping_a_search(void **state)
{
    (void)state;
    launch(24, 100, deep, NULL, NULL);
    ready();
    press("T\r");
    wait_match(UNDER_WAY);
    press("T");
    wait_for("stop the search (y/n)? the best choice so far is taken, what was measured stays");
    press("n");
    wait_gone("stop the search");
    wait_match(UNDER_WAY);
    press("Ty");
    wait_match("search stopped|found KL");
    assert_ends("q");
}

static void test_training(void **state)
{
    (void)state;
    launch(24, 130, model, WORDS("-s", "int4:qat(steps=100000,text=512,batch=16)"), NULL);
    wait_match("training: step [0-9]+ of");
    press("q");
    wait_for(QUESTION "training");
    press("q");
    assert_status(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_to_lose), TEST(test_snapshot), TEST(test_no),     TEST(test_written_as_a_recipe),
        TEST(test_interrupt_key),   TEST(test_export),   TEST(test_search), TEST(test_training),
        TEST(test_stopping_a_search),
    };
    cmocka_set_test_filter(getenv("QTOP_TEST"));
    return cmocka_run_group_tests_name("tui_quit", tests, begin, end);
}

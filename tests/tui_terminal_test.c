/* The program and its terminal: starts, refusals, ends, sizes, signals, suspending it and losing the terminal. */
#include "tuiwork.h"

#include <math.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>

static char *large_model;

/* Large enough for a quantization to be seen on its way. */
static const char *large(void)
{
    static const struct model_spec spec = {1, true, 384, 1024, 5, 4, 2, 400, 128, 32, 2};
    if (!large_model)
        large_model = write_model("large.bin", &spec);
    return large_model;
}

static int remove_all(void **state)
{
    free(large_model);
    return remove_files(state);
}

/* ---- starting and ending --------------------------------------------------------------------- */

static void test_start_and_quit(void **state)
{
    static const char *const keys[] = {"q", PTY_KEY_F10};
    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        start(24, 80);
        assert_non_null(strstr(pty_row(term, 0), "qtop"));
        assert_non_null(strstr(pty_row(term, 0), "model.bin"));
        for (int t = 0; t < TABS; t++)
            assert_true(pty_find(term, tabs[t].label + 2, NULL, NULL));
        assert_true(heading_row(term) > 0);
        await_selected("token_embd");
        assert_true(pty_alt_screen(term));
        assert_false(pty_cursor_visible(term));
        assert_false(pty_modes_restored(term)); /* so that the check below means something */
        assert_ends(keys[i]);
    }
}

static void test_starts_quantized(void **state)
{
    (void)state;
    launch(24, 100, large(), WORDS("-s", "int4:g16:asym"), NULL);
    wait_match("quantizing +[0-9]+|to int4:g16:asym");
    await_cell("attn_q", "WEIGHT", "int4");
    await_cell("blk.2", "WEIGHT", "int4");
    wait_gone("quantizing");
    assert_cell("attn_norm", 0, "WEIGHT", "fp32*");
    assert_ends("q");
}

static void test_not_finite_weights_are_announced(void **state)
{
    struct bytes b = model_bytes(&small_spec);
    struct tensor_place place = model_place(&small_spec, "blk.1.ffn_up");
    char *path = path_in(folder, "nan.bin");
    (void)state;
    put_float(&b, place.offset + 40, NAN);
    write_file(path, b.data, b.size);
    bytes_free(&b);
    launch(24, 100, path, NULL, NULL);
    ready();
    assert_true(pty_alt_screen(term));
    wait_match("NaN|not finite|infinite|non-finite");
    press("2deu"); /* and nothing breaks on them */
    wait_for("weight [");
    assert_ends("q");
    free(path);
}

static void test_terminals_that_will_not_do(void **state)
{
    (void)state;
    launch(24, 200, model, NULL, WORDS("TERM"));
    assert_refused("TERM");
    launch(24, 200, model, NULL, WORDS("TERM="));
    assert_refused("TERM");
    launch(24, 200, model, NULL, WORDS("TERM=unknown-thing"));
    assert_refused("unknown-thing");
    launch(24, 200, model, NULL, WORDS("TERM=dumb"));
    assert_refused("dumb");
    launch(24, 200, model, NULL, WORDS("TERM=\033]0;evil\007"));
    assert_refused("TERM");
}

static void test_no_terminal(void **state)
{
    static const char to_file[] = "\"$1\" \"$2\" > \"$3\"",
                      from_null[] = "\"$1\" \"$2\" < /dev/null";
    char *out = path_in(folder, "out");
    (void)state;
    run(24, 200, WORDS("sh", "-c", to_file, "sh", binary, model, out), NULL);
    assert_refused("terminal");
    struct bytes written = read_file(out);
    assert_int_equal(written.size, 0);
    bytes_free(&written);
    run(24, 200, WORDS("sh", "-c", from_null, "sh", binary, model), NULL);
    assert_refused("terminal");
    free(out);
}

static void test_bad_files(void **state)
{
    static const char *const names[] = {"missing.bin", "empty.bin", "junk.bin", "short.bin", "."};
    struct bytes b = model_bytes(&small_spec);
    char *paths[sizeof names / sizeof *names];
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        paths[i] = path_in(folder, names[i]);
    write_file(paths[1], "", 0);
    write_file(paths[2], "\033]0;evil\007 no model", 19);
    write_file(paths[3], b.data, b.size - 1);
    bytes_free(&b);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        launch(24, 200, paths[i], NULL, NULL);
        assert_refused(i == 4 ? folder : names[i]);
        free(paths[i]);
    }
    launch(24, 200, model, WORDS("-r", "/nonexistent/recipe"), NULL);
    assert_refused("/nonexistent/recipe");
    launch(24, 200, model, WORDS("--text", "/nonexistent/text"), NULL);
    assert_refused("/nonexistent/text");
}

/* ---- sizes ----------------------------------------------------------------------------------- */

static bool has_drawn(struct pty *p, void *arg)
{
    size_t n;
    (void)arg;
    pty_raw(p, &n);
    return n > 0;
}

static void resize(int rows, int cols)
{
    pty_settle(term, 0.001, 0.1);
    pty_raw_clear(term);
    assert_true(pty_resize(term, rows, cols));
    wait_until(has_drawn, NULL, "something drawn after a resize");
}

static void test_every_size(void **state)
{
    static const int heights[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 15, 16, 24, 40};
    static const int widths[] = {1, 2, 3, 5, 8, 12, 20, 26, 40, 60, 80, 100, 120};
    (void)state;
    start(24, 80);
    for (int t = 0; t < TABS; t++) {
        press(tabs[t].key);
        for (size_t h = 0; h < sizeof heights / sizeof *heights; h++)
            for (size_t w = (size_t)t % 2; w < sizeof widths / sizeof *widths; w += 2)
                resize(heights[h], widths[w]);
    }
    resize(1, 1);
    press("?jjk" PTY_KEY_PGDN "1i");
    press("text" PTY_KEY_ESC);
    pty_settle(term, 0.05, 1);
    press("\r" PTY_KEY_DOWN);
    resize(3, 9);
    resize(200, 500);
    press(PTY_KEY_ESC);
    wait_gone("scheme:");
    press("1");
    ready();
    assert_non_null(strstr(pty_row(term, 0), "model.bin"));
    assert_non_null(strstr(pty_row(term, 199), "Quit"));
    resize(24, 80);
    ready();
    assert_true(heading_row(term) > 0);
    assert_ends("q");
}

static void test_starts_at_odd_sizes(void **state)
{
    static const int sizes[][2] = {{1, 1}, {1, 200}, {60, 1}, {2, 10}, {200, 500}, {5, 30}};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        launch(sizes[i][0], sizes[i][1], model, NULL, NULL);
        wait_until(has_drawn, NULL, "something drawn");
        assert_ends("q");
    }
}

static void test_random_sizes_while_a_job_runs(void **state)
{
    uint64_t random = 3;
    (void)state;
    launch(24, 80, large(), WORDS("-s", "int4:g16:asym"), NULL);
    wait_for("qtop");
    for (int i = 0; i < 150; i++) {
        uint64_t r = random_next(&random);
        resize(1 + (int)(r % 50), 1 + (int)(r / 50 % 160));
        press(r >> 32 & 1 ? "d" : r >> 33 & 1 ? "j" : r >> 34 & 1 ? PTY_KEY_TAB : "u");
    }
    assert_true(pty_resize(term, 24, 100));
    press("1");
    ready();
    assert_ends("q");
}

/* What a person needs most. */
static void test_small_screens_show_what_matters(void **state)
{
    static const int sizes[][2] = {{24, 80}, {10, 40}};
    (void)state;
    for (int i = 0; i < 2; i++) {
        launch(sizes[i][0], sizes[i][1], model, NULL, NULL);
        wait_match(DECODING);
        press("/attn_q\r");
        await_selected("attn_q");
        press("ddd");
        await_cell("attn_q", "WEIGHT", "int8");
        assert_ends("q");
    }
}

/* There is no line of its own for what e measures. */
static void test_evaluation_at_40_by_10(void **state)
{
    (void)state;
    launch(10, 40, model, WORDS("-s", "int4"), NULL);
    wait_match(DECODING);
    press("e");
    wait_match("^KL [0-9.e-]+");
    assert_ends("q");
}

static void test_every_screen_at_40_by_10(void **state)
{
    static const char *const expected[] = {"token_embd",  "SQNR|stored", "decode +([0-9.]+|no roof)|measuring",
                                           "task-clock",  "snapshots",   "seed|token",
                                           "processor",   "A measures",  "attn_q", "opened"};
    (void)state;
    launch(10, 40, model, NULL, NULL);
    wait_match(DECODING);
    for (int t = 0; t < TABS; t++) {
        press(tabs[t].key);
        await_tab(t);
        wait_match(expected[t]);
    }
    assert_ends("q");
}

static void test_storm_of_size_signals(void **state)
{
    (void)state;
    start(24, 80);
    for (int i = 0; i < 2000; i++) {
        assert_true(pty_signal(term, SIGWINCH));
        if (i % 10 == 0)
            assert_true(pty_resize(term, 20 + i % 7, 80 + i % 11));
        if (i % 50 == 0)
            pty_quiet(term, 0);
    }
    assert_true(pty_resize(term, 24, 80));
    assert_alive();
    assert_ends("q");
}

/* ---- signals --------------------------------------------------------------------------------- */

static void assert_killed_by(int number)
{
    int status = pty_wait_exit(term, PATIENCE);
    if (status == -1 || !WIFSIGNALED(status) || WTERMSIG(status) != number)
        fail_msg("status %#x after signal %d", (unsigned)status, number);
    assert_restored();
}

static void test_fatal_signals(void **state)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP,  SIGQUIT, SIGSEGV,
                                  SIGBUS,  SIGFPE, SIGILL, SIGABRT};
    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        launch(24, 80, model, NULL, no_sanitizer_signals);
        ready();
        if (i == 1) {
            press("?");
            wait_for("qtop keys");
        }
        if (i == 2) {
            press("i");
            wait_for("prompt:");
        }
        assert_true(pty_signal(term, numbers[i]));
        assert_killed_by(numbers[i]);
    }
}

static void test_interrupt_keys(void **state)
{
    static const struct {
        const char *key;
        int number;
    } cases[] = {{"\003", SIGINT}, {"\034", SIGQUIT}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        start(24, 80);
        press(cases[i].key);
        assert_killed_by(cases[i].number);
    }
}

/* A signal that the parent has ignored stays ignored, as for a program under nohup. */
static void test_ignored_signals_stay_ignored(void **state)
{
    static const char script[] = "trap '' HUP TERM; exec \"$@\"";
    (void)state;
    run(24, 80, WORDS("sh", "-c", script, "sh", binary, "-t", "1", model), NULL);
    ready();
    assert_true(pty_signal(term, SIGHUP));
    assert_true(pty_signal(term, SIGTERM));
    assert_alive();
    assert_ends("q");
}

static void test_little_stack(void **state)
{
    static const char script[] = "ulimit -s 128; exec \"$@\"";
    (void)state;
    if (SANITIZED)
        skip(); /* what a sanitizer needs beside is not ours */
    run(24, 80, WORDS("sh", "-c", script, "sh", binary, "-t", "2", model), NULL);
    ready();
    for (int t = 0; t < TABS; t++) {
        press(tabs[t].key);
        await_tab(t);
    }
    press("1*dd");
    wait_match(DECODING);
    press("e");
    wait_match("KL [0-9]");
    assert_ends("q");
}

/* The file shrinks under the mapping: reading it raises SIGBUS, on whatever thread. */
static void test_model_cut_short_while_in_use(void **state)
{
    static const char *const threads[] = {"1", "2"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        char *path = write_model("cut.bin", &small_spec);
        run(24, 80, WORDS(binary, "-t", threads[i], path), no_sanitizer_signals);
        ready();
        assert_int_equal(truncate(path, 0), 0);
        assert_killed_by(SIGBUS);
        assert_true(pty_find(term, "cut short", NULL, NULL));
        free(path);
    }
}

/* Before there is anything to act on, keys wait. */
static void test_keys_before_the_first_frame(void **state)
{
    static const char *const keys[] = {"I", "T", "o", "\033", "m", "7"};
    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        launch(24, 80, model, NULL, NULL);
        press(keys[i]);
        assert_alive();
        stop(NULL);
    }
}

static bool footer_is_last(struct pty *p, void *arg)
{
    int rows, cols;
    (void)arg;
    pty_size(p, &rows, &cols);
    return strstr(pty_row(p, rows - 1), "Quit") != NULL;
}

/* Under a shell with job control: the program is a job, its group no orphan, so Ctrl-Z stops it. Meanwhile another
 * has the terminal, and nobody tells it of a new size. */
static void test_suspend_and_resume(void **state)
{
    static const char script[] = "set -m; \"$@\"; echo FIRST STOP; read line; "
                                 "fg; echo SECOND STOP; read line; fg; echo DONE $?";
    (void)state;
    run(24, 80, WORDS("sh", "-c", script, "sh", binary, "-t", "1", model), NULL);
    ready();
    for (int i = 0; i < 2; i++) {
        press("\032");
        wait_for(i ? "SECOND STOP" : "FIRST STOP");
        assert_restored();
        pty_resize(term, 30 + i, 100);
        press("\r");
        ready();
        assert_true(pty_alt_screen(term));
        assert_false(pty_cursor_visible(term));
        wait_until(footer_is_last, NULL, "a footer at the bottom of the new size");
    }
    press("6");
    await_tab(5);
    press("q");
    wait_for("DONE 0");
    assert_int_equal(pty_wait_exit(term, PATIENCE), 0);
    assert_restored();
}

static void test_stop_and_continue(void **state)
{
    (void)state;
    start(24, 80);
    assert_true(pty_signal(term, SIGSTOP));
    assert_true(pty_signal(term, SIGCONT));
    assert_alive();
    assert_ends("q");
}

/* ---- losing the terminal --------------------------------------------------------------------- */

static void test_hangup(void **state)
{
    (void)state;
    start(24, 80);
    pty_hangup(term);
    int status = pty_wait_exit(term, PATIENCE);
    assert_int_not_equal(status, -1);
    assert_true(WIFEXITED(status) || WTERMSIG(status) == SIGHUP);
}

/* With SIGHUP ignored the loss shows only at the descriptor. */
static void test_hangup_under_nohup(void **state)
{
    static const char script[] = "trap '' HUP; exec \"$@\"";
    (void)state;
    run(24, 80, WORDS("sh", "-c", script, "sh", binary, "-t", "1", model), NULL);
    ready();
    pty_hangup(term);
    int status = pty_wait_exit(term, PATIENCE);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
}

static bool ends_unread(void)
{
    for (int i = 0; i < PATIENCE * 50; i++) {
        if (!pty_signal(term, 0))
            return true;
        poll(NULL, 0, 20); /* the terminal must not be read, so there is nothing else to wait for */
    }
    return false;
}

/* Until the terminal holds all it can and the program, if it writes on, must wait. */
static void fill_terminal(void)
{
    int waiting = -1, before = -2;
    for (int i = 0; i < PATIENCE * 10 && (waiting != before || waiting <= 1000); i++) {
        before = waiting;
        pty_resize(term, 60 - i % 2, 200);
        poll(NULL, 0, 100);
        assert_int_equal(ioctl(pty_master(term), FIONREAD, &waiting), 0);
    }
    assert_true(waiting > 1000);
}

static void test_terminal_that_does_not_read(void **state)
{
    (void)state;
    start(60, 200);
    fill_terminal();
    assert_true(pty_signal(term, SIGTERM));
    assert_true(ends_unread());
    int status = pty_wait_exit(term, PATIENCE);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    assert_true(pty_modes_restored(term));
    start(60, 200);
    fill_terminal();
    assert_alive(); /* once it reads again all is well */
    assert_ends("q");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_start_and_quit),
        TEST(test_starts_quantized),
        TEST(test_not_finite_weights_are_announced),
        TEST(test_terminals_that_will_not_do),
        TEST(test_no_terminal),
        TEST(test_bad_files),
        TEST(test_every_size),
        TEST(test_starts_at_odd_sizes),
        TEST(test_random_sizes_while_a_job_runs),
        TEST(test_small_screens_show_what_matters),
        TEST(test_every_screen_at_40_by_10),
        TEST(test_evaluation_at_40_by_10),
        TEST(test_storm_of_size_signals),
        TEST(test_fatal_signals),
        TEST(test_interrupt_keys),
        TEST(test_ignored_signals_stay_ignored),
        TEST(test_little_stack),
        TEST(test_model_cut_short_while_in_use),
        TEST(test_keys_before_the_first_frame),
        TEST(test_suspend_and_resume),
        TEST(test_stop_and_continue),
        TEST(test_hangup),
        TEST(test_hangup_under_nohup),
        TEST(test_terminal_that_does_not_read),
    };
    cmocka_set_test_filter(getenv("QTOP_TEST")); /* a pattern, or null for all */
    return cmocka_run_group_tests_name("tui_terminal", tests, make_files, remove_all);
}

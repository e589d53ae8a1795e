/* When nobody looks: the program sleeps until a key; and what does not count stands on one line. */
#include "tuiwork.h"

#include "lab/frame.h"

static void test_idle(void **state)
{
    (void)state;
    launch(24, 100, model, WORDS("--idle", "0.5"), NULL);
    wait_for("asleep: no key for 0.5 s (--idle); any key wakes");
    wait_match("decode.*n/a: asleep");
    press("2");
    await_tab(1);
    wait_match(DECODING);
    wait_for("asleep: no key for 0.5 s");
    pty_resize(term, 10, 40);
    wait_for("asleep: no key");
    assert_ends("q");
}

/* What a person asked for goes on: sleep begins after it. */
static void test_work_first(void **state)
{
    (void)state;
    launch(24, 100, model, WORDS("--idle", "0.2"), NULL);
    wait_match(DECODING);
    type_scheme("int4:g32");
    press("e");
    wait_for("asleep: no key");
    wait_match("KL [0-9.e-]+.*mixed text");
    assert_ends("q");
}

static void test_paused(void **state)
{
    (void)state;
    start(24, 100);
    wait_match(DECODING);
    press("p");
    wait_for("paused, asleep: p resumes");
    press("p");
    wait_match(DECODING);
    assert_ends("q");
}

static void test_option(void **state)
{
    (void)state;
    run(24, 80, WORDS(binary, "--idle", "-1", model), NULL);
    wait_for("--idle '-1': expected a number from 0");
}

static void test_reasons(void **state)
{
    static const char none[] = "no PMU", other[] = "blocked";
    struct event_frame events[4] = {{.reason = none}, {.reason = NULL}, {.reason = none}, {.reason = NULL}};
    struct counters_frame c = {.events = 4, .event = events};
    (void)state;
    assert_int_equal(counters_frame_broken(&c), 2);
    assert_string_equal(counters_frame_reason(&c), "no PMU");
    events[3].reason = other;
    assert_int_equal(counters_frame_broken(&c), 3);
    assert_null(counters_frame_reason(&c));
    c.events = 2;
    events[0].reason = NULL;
    assert_int_equal(counters_frame_broken(&c), 0);
    assert_null(counters_frame_reason(&c));
}

/* On a machine where some do not count: one line, which unfolds; where all do, none. */
static void test_fold(void **state)
{
    (void)state;
    start(40, 120);
    press("4");
    wait_match("task-clock");
    wait_match("task-clock +[0-9.]+[kMG]? +[0-9.]+[kMG]?");
    if (pty_find(term, "events do not count here", NULL, NULL)) {
        assert_false(pty_match(term, "^\\*cycles +n/a"));
        press("+");
        wait_match("^\\*cycles +n/a");
        press("-");
        wait_for("+ unfolds");
        press(PTY_KEY_HOME);
        for (int i = 0; i < 4; i++)
            press(PTY_KEY_DOWN);
        press(" ");
        wait_gone("+ unfolds");
    }
    assert_alive();
    assert_ends("q");
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_idle),   TEST(test_work_first), TEST(test_paused),
                                       TEST(test_option), TEST(test_reasons),    TEST(test_fold)};
    return cmocka_run_group_tests(tests, make_files, remove_files);
}

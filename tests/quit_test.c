/* What a person is asked about before they leave the terminal program: one frame a case, without a terminal. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "views/tui.h"

#include <string.h>

/* The question, "" where the program ends without one. */
static const char *question_of(const struct frame *frame)
{
    static struct tui t;
    struct frame copy = *frame;
    t = (struct tui){.frame = &copy};
    COLS = 100;
    quit_begin(&t, false);
    assert_true(t.quit == (t.asking != ASK_QUIT));
    return t.quit ? "" : t.question;
}

static void test_long_work(void **state)
{
    static const struct {
        struct frame frame;
        const char *asks;
    } cases[] = {
        {{0}, ""},
        {{.evaluation_seconds = 9, .sensitivity_seconds = 9}, ""},
        {{.evaluation_seconds = 11}, "quit (y/n)? this would be lost: evaluation "},
        {{.sensitivity_seconds = 3600}, "quit (y/n)? this would be lost: sensitivity "},
        {{.sensitivity_seconds = 11, .tuning = true}, "quit (y/n)? this would be lost: search, sensitivity "},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(question_of(&cases[i].frame), cases[i].asks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_long_work)};
    return cmocka_run_group_tests_name("quit", tests, NULL, NULL);
}

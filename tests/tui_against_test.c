/* The Against screen: two files side by side. */
#include "tuiwork.h"

static char *first, *second;

/* Two files of one model in types of their own, as qtop exports them. */
static int make_pair(void **state)
{
    if (make_files(state) != 0)
        return -1;
    char *line;
    first = path_in(folder, "a.gguf");
    second = path_in(folder, "b.gguf");
    assert_true(asprintf(&line, "'%s' export -s q8_0 '%s' -o '%s' 2>/dev/null && '%s' export -s q4_0 '%s' -o '%s' "
                                "2>/dev/null", binary, model, first, binary, model, second) > 0);
    int status = system(line);
    free(line);
    return status;
}

static int remove_pair(void **state)
{
    free(first);
    free(second);
    return remove_files(state);
}

static void test_answer(void **state)
{
    (void)state;
    launch(24, 100, first, WORDS("--against", second, "--reference", model), NULL);
    wait_for("V Against");
    wait_for("a is closer to the reference: KL ");
    wait_match(" a a.gguf .*[0-9.]+k? \\([0-9.]+k?-[0-9.]+k?\\)");
    wait_match("b from a: KL [0-9.e-]+");
    wait_match("blk.[0-9].ffn_down .*q8_0 +q4_0");
    assert_ends("q");
}

static void test_keys(void **state)
{
    (void)state;
    launch(30, 100, first, WORDS("--against", second), NULL);
    wait_for("only --reference FILE can tell");
    press("D");
    wait_for("metadata: a, b");
    wait_match("general.file_type +[0-9]+ +[0-9]+");
    wait_for("tokenizer: a, b");
    press("D>");
    wait_for("in the model's order");
    press(PTY_KEY_HOME "/blk.1.attn_k\r\r");
    await_selected("attn_k");
    press("V\\x\r");
    wait_for("all layers of both files are shown");
    press("1" PTY_KEY_HOME "V/blk.0.attn_q\r\r");
    await_selected("attn_q");
    press("V/nosuchlayer\r");
    wait_for("no layer's name contains 'nosuchlayer'");
    press("1");
    await_tab(0);
    press("V");
    wait_for("b from a");
    press("\t");
    await_tab(0);
    press(PTY_KEY_BACKTAB);
    wait_for("b from a");
    press("v");
    wait_for("stop");
    assert_ends("q");
}

/* On the smallest screens the answer stays. */
static void test_small(void **state)
{
    (void)state;
    launch(10, 40, first, WORDS("--against", second, "--reference", model), NULL);
    wait_for("a is closer to the reference");
    pty_resize(term, 6, 30);
    pty_resize(term, 3, 12);
    pty_resize(term, 1, 1);
    pty_resize(term, 50, 160);
    wait_for("a is closer to the reference");
    assert_ends("q");
}

static void test_only_with_the_option(void **state)
{
    (void)state;
    start(24, 100);
    assert_false(pty_find(term, "V Against", NULL, NULL));
    press("V");
    wait_for("--against FILE names one");
    assert_ends("q");
}

static void test_refused(void **state)
{
    (void)state;
    launch(24, 80, first, WORDS("--against", SRCDIR "/tests/data/arch/gemma2/gemma2.gguf"), NULL);
    assert_refused("its architecture is gemma2");
    launch(24, 80, first, WORDS("--against", "/nonexistent"), NULL);
    assert_refused("/nonexistent");
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_answer), TEST(test_keys), TEST(test_small),
                                       TEST(test_only_with_the_option), TEST(test_refused)};
    return cmocka_run_group_tests(tests, make_pair, remove_pair);
}

/* The text that quality is measured on: seen and exchanged from the keyboard; the figures are those of qtop eval. */
#include "tuiwork.h"

#include "child.h"

static char *story, *latin, *empty;

static int make_texts(void **state)
{
    static const char words[] = "the singer in the barn read on and on while the hen and the other hen were fed in the end ";
    char text[8 * sizeof words] = "";
    if (make_files(state) != 0)
        return -1;
    for (int i = 0; i < 7; i++)
        strcat(text, words);
    story = path_in(folder, "story.txt");
    latin = path_in(folder, "latin.txt");
    empty = path_in(folder, "empty.txt");
    write_file(story, text, strlen(text));
    write_file(latin, "caf\xe9 in latin", 13);
    write_file(empty, "", 0);
    return 0;
}

static int remove_texts(void **state)
{
    free(story);
    free(latin);
    free(empty);
    return remove_files(state);
}

static void type_text(const char *name)
{
    press("Y");
    wait_for("text to measure on");
    press(CLEAR_LINE);
    press(name);
    press("\r");
}

static void test_exchange(void **state)
{
    (void)state;
    start(24, 110);
    wait_match("ppl [0-9.]+.*mixed text");
    type_text(story);
    wait_match("KL [0-9.e-]+.*ppl [0-9.]+.*story.txt");
    type_text("");
    wait_match("KL [0-9.e-]+.*ppl [0-9.]+.*mixed text");
    assert_ends("q");
}

static void test_bad_texts(void **state)
{
    (void)state;
    start(24, 110);
    wait_match("ppl [0-9.]+.*mixed text");
    type_text(latin);
    wait_for("byte 3 is 0xe9; expected text in UTF-8");
    type_text(empty);
    wait_for("the text is empty");
    type_text("/nonexistent/text");
    wait_for("/nonexistent/text: cannot be read");
    type_text("/");
    wait_for("/: ");
    type_text("-");
    wait_for("standard input is the terminal's");
    press("\033");
    wait_match("ppl [0-9.]+.*mixed text");
    assert_alive();
    assert_ends("q");
}

static void test_reading(void **state)
{
    (void)state;
    start(24, 110);
    type_text(story);
    wait_match("ppl [0-9.]+.*story.txt");
    for (int t = 0; t < TABS; t++) {
        press(tabs[t].key);
        await_tab(t);
        press("y");
        wait_match("text story.txt: ([0-9]+) of \\1 tokens measured \\(100 %\\)");
        wait_match("^\\| .*singer in the barn");
        press("y");
        wait_for("Quit");
    }
    press("1y" PTY_KEY_END PTY_KEY_UP PTY_KEY_PGUP PTY_KEY_PGDN PTY_KEY_HOME);
    wait_for("singer in the barn");
    pty_resize(term, 5, 20);
    pty_resize(term, 1, 1);
    pty_resize(term, 24, 110);
    wait_for("singer in the barn");
    press("q");
    assert_ends("q");
}

/* Perplexity and KL of the subcommand as the screen writes them. */
static void figures_of_eval(char ppl[32], char kl[32])
{
    char *out = path_in(folder, "out"), *err = path_in(folder, "err");
    const char *const words[] = {"eval", "-s", "int4:g32", "-t", "1", "--text", story, model, NULL};
    assert_int_equal(child_wait(child_start(words, out, err, NULL)), 0);
    struct bytes b = read_file(out);
    double perplexity = 0;
    const char *line = strstr((const char *)b.data, "perplexity"), *divergence = strstr((const char *)b.data, "KL ");
    assert_true(line && sscanf(line, "perplexity %lf", &perplexity) == 1);
    assert_true(divergence && sscanf(divergence, "KL %31[0-9.e-]", kl) == 1);
    snprintf(ppl, 32, "ppl %.3f", perplexity);
    bytes_free(&b);
    free(out);
    free(err);
}

static void test_as_eval(void **state)
{
    char ppl[32], kl[32], expected[80];
    (void)state;
    figures_of_eval(ppl, kl);
    launch(24, 140, model, WORDS("-s", "int4:g32"), NULL);
    ready();
    type_text(story);
    snprintf(expected, sizeof expected, "KL %s", kl);
    wait_match("size.*[^.] KL .*story.txt");
    press("e");
    wait_for(expected);
    wait_for(ppl);
    assert_ends("q");
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_exchange), TEST(test_bad_texts), TEST(test_reading), TEST(test_as_eval)};
    return cmocka_run_group_tests(tests, make_texts, remove_texts);
}

/* Searching and filtering as one types: on every screen that has what to find. */
#include "tuiwork.h"

static bool in_block(struct pty *p, void *block)
{
    char name[CELL_TEXT];
    int row = selected_row(p);
    return row >= 0 && name_at(p, row, name) && strcmp(name, "attn_v") == 0 && row > row_of(p, block, 0);
}

static void test_search_as_typed(void **state)
{
    (void)state;
    start(40, 80);
    go_to("attn_q");
    press("/ffn_u");
    await_selected("ffn_up");
    press(PTY_KEY_BACKSPACE); /* from where it began, again */
    await_selected("ffn_norm");
    press("x");
    wait_for("no layer's name contains 'ffn_x'");
    await_selected("attn_q");
    press(CLEAR_LINE "blk.1.attn_v");
    wait_until(in_block, "blk.1", "attn_v of the second block, unfolded");
    press(PTY_KEY_ESC);
    await_selected("attn_q");
    wait_for("+ blk.1"); /* folded as before */
    press("/ffn_do\r");
    await_selected("ffn_down");
    press("/attn_k\033n"); /* the search before is the one that goes on */
    wait_for("- blk.1");
    assert_ends("q");
}

static void test_filter_as_typed(void **state)
{
    (void)state;
    start(24, 100);
    go_to("attn_k");
    press("\\attn");
    wait_for("filter: attn  15 of 31 layers, Esc clears");
    press("_v");
    wait_for("filter: attn_v  3 of 31 layers, Esc clears");
    wait_gone("blk.0.attn_k");
    press(PTY_KEY_BACKSPACE);
    wait_for("blk.0.attn_k");
    press(PTY_KEY_ESC); /* as it was */
    wait_gone("filter");
    await_selected("attn_k");
    press("\\ffn\r");
    wait_for("filter: ffn  12 of 31 layers, Esc clears");
    for (int t = 1; t < TABS; t++) {
        press(tabs[t].key);
        await_tab(t);
        if (t == 3 || t == 9)
            wait_gone("filter: "); /* of layers, not of events or messages */
        else
            wait_for("filter: ffn  12 of 31 layers, Esc clears");
    }
    press("1\\attn_q" PTY_KEY_ESC); /* the filter before stays */
    wait_for("filter: ffn  12 of 31 layers");
    press(PTY_KEY_ESC);
    wait_gone("filter: ");
    wait_for("token_embd");
    assert_ends("q");
}

static bool selects(struct pty *p, void *text)
{
    int rows, cols;
    pty_size(p, &rows, &cols);
    for (int r = 6; r < rows; r++)
        if (pty_is_reverse(p, r, 1) && strstr(pty_row(p, r), text))
            return true;
    return false;
}

static void test_events_as_typed(void **state)
{
    (void)state;
    start(24, 100);
    press("4");
    await_tab(3);
    wait_for("task-clock");
    press("/nosuchevent\r"); /* past the line that those which do not count are folded into */
    wait_for("no event contains 'nosuchevent'");
    press("/page-fau");
    wait_until(selects, "page-faults", "the event of that name");
    press(PTY_KEY_ESC);
    wait_until(selects, "task-clock", "the line where it was");
    press("\\page-fau");
    wait_match("filter: page-fau  [0-9]+ of [0-9]+ events, Esc clears");
    press(PTY_KEY_ESC);
    wait_gone("filter: ");
    press("\\page-fau\r");
    wait_match("filter: page-fau  [0-9]+ of [0-9]+ events, Esc clears");
    press(PTY_KEY_ESC);
    wait_gone("filter: ");
    assert_ends("q");
}

/* On a small screen the line is short, and one layer is seen. */
static void test_filter_when_small(void **state)
{
    (void)state;
    launch(10, 40, model, NULL, NULL);
    wait_for("Quit");
    press("\\attn_v\r");
    wait_for("filter: attn_v  3 of 31 layers");
    wait_for("blk.0.attn_v");
    assert_ends("q");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_search_as_typed),
        TEST(test_filter_as_typed),
        TEST(test_events_as_typed),
        TEST(test_filter_when_small),
    };
    cmocka_set_test_filter(getenv("QTOP_TEST")); /* a pattern, or null for all */
    return cmocka_run_group_tests_name("tui_finding", tests, make_files, remove_files);
}

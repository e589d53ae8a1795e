/* Every key of every screen on a small, a usual and a large terminal: the program lives, and what it draws is whole. */
#include "tuiwork.h"

#include "keysequence.h"
#include "views/keys.h"
#include "views/layout.h"

static const int sizes[][2] = {{10, 40}, {24, 80}, {50, 160}};

/* ---- what a whole frame has -------------------------------------------------------------------- */

static bool row_begins(struct pty *p, int row, const char *text)
{
    return row < 0 || strncmp(pty_row(p, row), text, strlen(text)) == 0;
}

static bool row_has(struct pty *p, int row, const char *text)
{
    return row < 0 || strstr(pty_row(p, row), text) != NULL;
}

/* Keys, a line of input, or a question. */
static bool ends_well(struct pty *p, int row)
{
    return row_has(p, row, "q Quit") || row_has(p, row, ":") || row_has(p, row, "(y/n)?") || row_begins(p, row, ">") ||
           row_begins(p, row, "/") || row_begins(p, row, "\\");
}

/* Title, meters, tabs and the last line are where they belong, and nothing of a screen's own is on them. */
static bool is_whole(struct pty *p, void *unused)
{
    int rows, cols;
    (void)unused;
    pty_size(p, &rows, &cols);
    struct layout l = layout_screen(rows, cols);
    if (row_begins(p, 0, "qtop keys") || row_begins(p, 0, "text ")) /* help, and the text measured on, cover all */
        return true;
    bool brief = l.size >= 0 ||
                 (row_has(p, l.decode, "tok/s") && row_has(p, l.decode, "B ") && row_has(p, l.decode, "KL "));
    return row_begins(p, l.title, "qtop  model.bin") && row_begins(p, l.decode, "decode ") && brief &&
           row_begins(p, l.memory, "memory ") && row_begins(p, l.size, "size ") && ends_well(p, l.footer);
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* Of the screen itself, and those of all screens that mean this there. */
static bool is_of(enum view_id view, const struct key_binding *key, int code)
{
    return key->action != ACTION_QUIT && key_action(view, code, code >= 256) == key->action;
}

static void press_keys_of(int tab)
{
    char room[2];
    for (size_t i = 0; i < key_count; i++)
        for (int k = 0; k < KEY_CODES && key_table[i].codes[k]; k++) {
            const char *keys = key_sequence(key_table[i].codes[k], room);
            if (!keys || !is_of((enum view_id)tab, &key_table[i], key_table[i].codes[k]))
                continue;
            press("\033"); /* closes what the key before has opened */
            press(tabs[tab].key);
            press(keys);
            pty_settle(term, 0.004, 0.2); /* what it draws, if that comes soon */
            wait_until(is_whole, NULL, key_table[i].help);
        }
}

static void test_every_key_at_every_size(void **state)
{
    (void)state;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        launch(sizes[s][0], sizes[s][1], model, NULL, NULL);
        wait_match(DECODING);
        for (int t = 0; t < TABS; t++) {
            press_keys_of(t);
            assert_alive();
        }
        assert_ends("\033q");
    }
}

/* At 40x10 size, KL and decode speed are in the header of every screen. */
static void test_header_of_a_small_screen(void **state)
{
    (void)state;
    launch(10, 40, model, WORDS("-s", "int4"), NULL);
    wait_match(DECODING);
    press("e");
    for (int t = 0; t < TABS; t++) {
        press(tabs[t].key);
        await_tab(t);
        wait_match("^decode [0-9.]+[kM]? tok/s [0-9.]+[kMG]?B KL [0-9]");
    }
    assert_ends("q");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_key_at_every_size),
        TEST(test_header_of_a_small_screen),
    };
    cmocka_set_test_filter(getenv("QTOP_TEST")); /* a pattern, or null for all */
    return cmocka_run_group_tests_name("tui_sizes", tests, make_files, remove_files);
}

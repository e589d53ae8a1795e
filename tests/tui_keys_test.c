/* Keys and the mouse: every key on every screen, the help, many keys at once, what --readonly forbids, clicks. */
#include "tuiwork.h"

#include "views/keys.h"

#include <curses.h>

/* ---- keys ------------------------------------------------------------------------------------ */

/* What a terminal sends for a key of the table. */
static const char *sequence_of(int code, char room[2])
{
    static const struct {
        int code;
        const char *sequence;
    } special[] = {
        {KEY_F(1), PTY_KEY_F1},     {KEY_F(2), PTY_KEY_F2},     {KEY_F(3), PTY_KEY_F3},
        {KEY_F(4), PTY_KEY_F4},     {KEY_F(5), PTY_KEY_F5},     {KEY_F(6), PTY_KEY_F6},
        {KEY_F(7), PTY_KEY_F7},     {KEY_F(8), PTY_KEY_F8},     {KEY_F(9), PTY_KEY_F9},
        {KEY_F(10), PTY_KEY_F10},   {KEY_UP, PTY_KEY_UP},       {KEY_DOWN, PTY_KEY_DOWN},
        {KEY_LEFT, PTY_KEY_LEFT},   {KEY_RIGHT, PTY_KEY_RIGHT}, {KEY_HOME, PTY_KEY_HOME},
        {KEY_END, PTY_KEY_END},     {KEY_PPAGE, PTY_KEY_PGUP},  {KEY_NPAGE, PTY_KEY_PGDN},
        {KEY_BTAB, PTY_KEY_BACKTAB}, {KEY_DC, PTY_KEY_DELETE},  {KEY_IC, PTY_KEY_INSERT},
        {KEY_ENTER, "\033OM"},      {KEY_BACKSPACE, PTY_KEY_BACKSPACE},
    };
    room[0] = (char)code;
    room[1] = 0;
    if (code > 0 && code < 128)
        return room;
    for (size_t i = 0; i < sizeof special / sizeof *special; i++)
        if (special[i].code == code)
            return special[i].sequence;
    return NULL;
}

static void test_every_key_on_every_screen(void **state)
{
    char room[2];
    (void)state;
    start(24, 80);
    for (int t = 0; t < TABS; t++) {
        for (size_t i = 0; i < key_count; i++)
            for (int k = 0; k < KEY_CODES && key_table[i].codes[k]; k++) {
                const char *keys = sequence_of(key_table[i].codes[k], room);
                if (!keys)
                    fail_msg("no terminal sends the key '%s'", key_table[i].shown);
                if (key_table[i].action == ACTION_QUIT)
                    continue;
                press("\033"); /* closes a line of input; what follows begins no sequence */
                press(tabs[t].key);
                press(keys);
            }
        assert_alive();
    }
    assert_ends("\033q");
}

/* The same with a filter that hides every layer: no row is selected then. */
static void test_every_key_without_a_row(void **state)
{
    char room[2];
    (void)state;
    start(24, 80);
    for (size_t i = 0; i < key_count; i++) {
        const char *keys = sequence_of(key_table[i].codes[0], room);
        if (!keys || key_table[i].action == ACTION_QUIT || key_table[i].action == ACTION_EVALUATE)
            continue;
        press("\0331\\" CLEAR_LINE "no such layer\r");
        press(keys);
        press("\0332");
        press(keys);
    }
    assert_alive();
    assert_ends("\033q");
}

/* Marks the bindings that this page of the help shows in full; whether all are marked. */
static bool see_help(bool *seen)
{
    int rows, cols;
    bool all = true;
    pty_size(term, &rows, &cols);
    for (size_t i = 0; i < key_count; i++)
        for (int r = 0; r < rows && !seen[i]; r++) {
            const char *row = pty_row(term, r), *help = strstr(row, key_table[i].help);
            row += strspn(row, " ");
            size_t n = strlen(key_table[i].shown);
            seen[i] = help && help > row && strncmp(row, key_table[i].shown, n) == 0;
        }
    for (size_t i = 0; i < key_count; i++)
        all &= seen[i];
    return all;
}

static void check_help(int rows, int cols, const char *key, const char *scroll)
{
    bool *seen = calloc(key_count, sizeof *seen);
    size_t pages = 0;
    launch(rows, cols, model, NULL, NULL);
    wait_for("qtop");
    press(key);
    wait_for("keys");
    pty_settle(term, 0.1, 1);
    while (!see_help(seen) && pages++ < key_count) { /* more than enough for the last line */
        press(scroll);
        pty_settle(term, 0.1, 1);
    }
    for (size_t i = 0; i < key_count; i++)
        if (!seen[i])
            fail_msg("at %dx%d the help never shows in full: %s: %s", rows, cols,
                     key_table[i].shown, key_table[i].help);
    free(seen);
    press("1"); /* any other key closes */
    wait_for("1 Layers");
    assert_ends("q");
}

static void test_help_lists_every_key(void **state)
{
    (void)state;
    check_help(24, 100, "?", PTY_KEY_PGDN);
    check_help(60, 100, PTY_KEY_F1, " ");
}

static void test_help_fits_a_small_terminal(void **state)
{
    (void)state;
    check_help(24, 80, "h", PTY_KEY_PGDN);
}

static void test_unknown_keys_are_named(void **state)
{
    (void)state;
    start(24, 80);
    press("y");
    wait_match("y does nothing.*\\?");
    press("j");
    wait_gone("does nothing");
    assert_ends("q");
}

static void test_readonly(void **state)
{
    static const char *const keys[] = {"d", "D", "a", "g", "z", "m", "=", "u", "s", "x", "T", "w", "o", "\r", " ", "S"};
    (void)state;
    launch(30, 100, model, WORDS("--readonly"), NULL);
    ready();
    go_to("attn_q");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        press(keys[i]);
        wait_for("--readonly: nothing is changed, kept or written");
        press("2"); /* looking is allowed */
        wait_gone("--readonly");
        press("1");
    }
    await_cell("attn_q", "WEIGHT", "fp32*");
    press("5");
    wait_for("no snapshots yet");
    press("D"); /* compares, and changes nothing */
    press("4");
    press(" "); /* so does counting */
    wait_match("(stopped )?counting [a-z]");
    wait_gone("--readonly");
    assert_ends("q");
}

/* A key that means something else on one screen has a row there. */
static void test_keys_of_one_screen(void **state)
{
    (void)state;
    assert_int_equal(key_action(VIEW_LAYERS, 'D', false), ACTION_WEIGHT_PREVIOUS);
    assert_int_equal(key_action(VIEW_COMPARE, 'D', false), ACTION_DIFFERENCES);
    assert_int_equal(key_action(VIEW_COMPARE, 'd', false), ACTION_WEIGHT_NEXT);
    assert_int_equal(key_action(VIEW_COUNTERS, ' ', false), ACTION_COUNT_EVENT);
    assert_true(key_changes(ACTION_RESTORE) && !key_changes(ACTION_DIFFERENCES) && !key_changes(ACTION_BASE));
    assert_false(key_changes(ACTION_COUNT_EVENT));
    for (size_t i = 0; i < key_count; i++) { /* nothing that a table lists is hidden behind another row */
        enum view_id own = key_groups[key_table[i].group].view;
        for (int k = 0; k < KEY_CODES && key_table[i].codes[k]; k++)
            assert_int_equal(key_action(own, key_table[i].codes[k], key_table[i].codes[k] >= 256),
                             key_table[i].action);
    }
}

static void test_many_keys_at_once(void **state)
{
    static const char keys[] = "jkddDgGzaAu sxj+-*<>k\x12n";
    enum { MANY = 10000 };
    static char paste[MANY + 2];
    (void)state;
    for (int i = 0; i < MANY; i++)
        paste[i] = keys[i % (int)(sizeof keys - 1)];
    start(24, 80);
    press(paste);
    assert_ends("q");
    memset(paste, 'x', MANY);
    start(24, 80);
    press("i");
    press(paste); /* more than a line holds */
    press("\r");
    wait_gone("prompt:");
    assert_ends("q");
}

/* ---- the mouse ------------------------------------------------------------------------------- */

static void test_mouse(void **state)
{
    int row, col;
    (void)state;
    start(24, 80);
    assert_true(asks_for_mouse());
    click(0, row_of(term, "ffn_gate", 0), 5);
    await_selected("ffn_gate");
    assert_true(pty_find(term, "6 Text", &row, &col));
    click(0, row, col + 1);
    await_tab(5);
    click(0, row, 2);
    await_tab(0);
    await_cell("blk.1", "WEIGHT", "fp32*");
    click(0, row_of(term, "blk.1", 0), 5);
    await_selected("blk.1");
    click(0, row_of(term, "blk.1", 0), 5); /* again: unfolds */
    wait_until(shows_cell, &(struct wanted){"attn_norm", 1, "WEIGHT", "fp32*", false}, "unfolded");
    press(PTY_KEY_HOME);
    await_selected("token_embd");
    click(65, 10, 5); /* the wheel */
    wait_until(shows_cell, &(struct wanted){NULL, 0, "LAYER", "token_embd", true}, "scrolled");
    click(64, 10, 5);
    await_selected("token_embd");
    press("1");
    click(0, 0, 0); /* where nothing is */
    click(0, 23, 79);
    assert_alive();
    assert_ends("q");
}

static void test_no_mouse(void **state)
{
    (void)state;
    launch(24, 80, model, WORDS("--no-mouse"), NULL);
    ready();
    assert_ends("q");
    assert_false(pty_raw_has(term, "1000h", 5));
    assert_false(pty_raw_has(term, "\033[?1000", 7));
    assert_false(pty_raw_has(term, "\033[?1006", 7));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_key_on_every_screen),
        TEST(test_every_key_without_a_row),
        TEST(test_help_lists_every_key),
        TEST(test_help_fits_a_small_terminal),
        TEST(test_unknown_keys_are_named),
        TEST(test_readonly),
        cmocka_unit_test(test_keys_of_one_screen),
        TEST(test_many_keys_at_once),
        TEST(test_mouse),
        TEST(test_no_mouse),
    };
    cmocka_set_test_filter(getenv("QTOP_TEST")); /* a pattern, or null for all */
    return cmocka_run_group_tests_name("tui_keys", tests, make_files, remove_files);
}

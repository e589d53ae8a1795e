/* Keys and the mouse: every key on every screen, the help, many keys at once, what --readonly forbids, clicks. */
#include "tuiwork.h"

#include "keysequence.h"
#include "views/keys.h"

/* ---- keys ------------------------------------------------------------------------------------ */

static void test_every_key_on_every_screen(void **state)
{
    char room[2];
    (void)state;
    start(24, 80);
    for (int t = 0; t < TABS; t++) {
        for (size_t i = 0; i < key_count; i++)
            for (int k = 0; k < KEY_CODES && key_table[i].codes[k]; k++) {
                const char *keys = key_sequence(key_table[i].codes[k], room);
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
        const char *keys = key_sequence(key_table[i].codes[0], room);
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

/* The page's words, a blank between two and around all: what it says, however it is broken into lines. */
static char *page_words(void)
{
    char *page = pty_dump(term), *words = calloc(2, strlen(page) + 2), *rest = NULL;
    strcpy(words, " ");
    for (char *w = strtok_r(page, " \n", &rest); w; w = strtok_r(NULL, " \n", &rest))
        strcat(strcat(words, w), " ");
    free(page);
    return words;
}

/* Marks the bindings that this page of the help shows in full; whether all are marked. */
static bool see_help(bool *seen)
{
    char help[HELP_TEXT], line[HELP_TEXT + 32], *words = page_words();
    bool all = true;
    for (size_t i = 0; i < key_count; i++) {
        snprintf(line, sizeof line, " %s %s ", key_table[i].shown, key_help(&key_table[i], help));
        seen[i] |= strstr(words, line) != NULL;
        all &= seen[i];
    }
    free(words);
    return all;
}

static bool is_another_page(struct pty *p, void *words)
{
    char *page = page_words();
    bool other = strcmp(page, words) != 0;
    (void)p;
    free(page);
    return other;
}

/* Whether another page comes: none follows the last one. */
static bool turns_page(const char *key)
{
    char *words = page_words();
    press(key);
    bool turned = pty_wait_until(term, is_another_page, words, PATIENCE);
    pty_settle(term, 0.1, 1);
    free(words);
    return turned;
}

/* Opens the help and looks at its pages until all bindings are marked. */
static bool read_help(const char *key, const char *scroll, bool *seen)
{
    bool all;
    press(key);
    wait_for("keys");
    pty_settle(term, 0.1, 1);
    while (!(all = see_help(seen)) && turns_page(scroll))
        continue;
    press("1"); /* any other key closes */
    wait_for("1 Layers");
    return all;
}

static void check_help(int rows, int cols, const char *key, const char *scroll)
{
    bool *seen = calloc(key_count, sizeof *seen), all = false;
    launch(rows, cols, model, NULL, NULL);
    wait_for("qtop");
    for (int i = 0; i < 3 && !all; i++) /* again, where a page was looked at when half of it was drawn */
        all = read_help(key, scroll, seen);
    for (size_t i = 0; i < key_count; i++)
        if (!seen[i])
            fail_msg("at %dx%d the help never shows in full: %s: %s", rows, cols,
                     key_table[i].shown, key_table[i].help);
    free(seen);
    assert_ends("q");
}

static void test_help_lists_every_key(void **state)
{
    (void)state;
    check_help(24, 100, "?", PTY_KEY_PGDN);
    check_help(60, 100, "h", " ");
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
    press("Z");
    wait_match("Z does nothing.*\\?");
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

/* Nothing is changed unseen: keys that change layers, on the screens that show none. */
static void test_edits_are_seen(void **state)
{
    static const int without[] = {2, 3, 4, 5, 6}; /* tabs without a layer's scheme */
    (void)state;
    start(24, 100);
    go_to("attn_q");
    press("d");
    await_cell("attn_q", "WEIGHT", "fp16");
    for (size_t i = 0; i < sizeof without / sizeof *without; i++)
        for (size_t k = 0; k < key_count; k++) {
            char room[2];
            int code = key_table[k].codes[0];
            enum view_id view = (enum view_id)without[i];
            if (!key_edits(key_table[k].action) || key_action(view, code, code >= 256) != key_table[k].action)
                continue;
            press("1"); /* where the note goes away */
            await_tab(0);
            press(tabs[without[i]].key);
            press(key_sequence(code, room));
            wait_for("this screen shows no layer to change");
        }
    press("1");
    await_cell("attn_q", "WEIGHT", "fp16");
    press("u");
    await_cell("attn_q", "WEIGHT", "fp32*");
    press("\\no such layer\rd");
    wait_for("no layer is selected");
    assert_ends("\033q");
}

/* The Error screen shows one layer: that one is changed, whatever is tagged or folded away. */
static void test_error_screen_edits_what_it_shows(void **state)
{
    (void)state;
    start(24, 100);
    go_to("attn_q");
    press("  "); /* tags attn_q and attn_k; attn_v is selected */
    await_selected("attn_v");
    press("2 ");
    wait_for("tags are not seen here");
    press("d");
    wait_for("attn_v: fp16");
    press("1");
    await_cell("attn_v", "WEIGHT", "fp16");
    assert_cell("attn_q", 0, "WEIGHT", "fp32*");
    press("U" PTY_KEY_HOME "j");
    await_selected("blk.0");
    press("2d=1"); /* the block's first layer, there and in the other blocks */
    await_cell("attn_q", "WEIGHT", "fp16");
    assert_cell("attn_k", 0, "WEIGHT", "fp32*");
    assert_cell("ffn_up", 0, "WEIGHT", "fp32*");
    assert_ends("q");
}

/* A key never starts a training by passing over it; the editor does. */
static void test_method_keys_do_not_train(void **state)
{
    (void)state;
    start(24, 110);
    go_to("attn_q");
    type_scheme("int4:g32");
    await_cell("attn_q", "GROUP", "g32");
    for (int direction = 0; direction < 2; direction++)
        for (int i = 0; i < 12; i++) {
            press(direction ? "M" : "m");
            pty_settle(term, 0.05, 1);
            assert_false(pty_find(term, "qat", NULL, NULL));
            assert_false(pty_find(term, "training", NULL, NULL));
        }
    type_scheme("int4:g32:qat");
    wait_for("qat");
    press("z"); /* what follows from it does not train either */
    wait_gone("qat");
    await_cell("attn_q", "SYM", "asym");
    assert_ends("q");
}

/* What the command line chose is undone, too. */
static void test_undo_of_the_command_line(void **state)
{
    (void)state;
    launch(24, 100, model, WORDS("-s", "int4:channel:qat(steps=100000,text=1024)"), NULL);
    ready();
    go_to("attn_q");
    press("u");
    wait_for("undone; nothing more to undo");
    await_cell("attn_q", "WEIGHT", "fp32*");
    wait_gone("training");
    press("u");
    wait_for("nothing to undo");
    assert_ends("q");
}

/* ---- lines of input -------------------------------------------------------------------------- */

static const struct {
    const char *key, *label, *suggestion;
} suggested[] = {
    {"T", "budget (size, bits, kl or rate): ", "kl 0.01"}, {"o", "export to: ", "model-stored.gguf"},
    {"w", "write recipe to: ", "recipe.txt"},              {"I", "temperature and seed: ", "1 8"},
    {"\r", "scheme: ", "stored"},
};

static void await_line(const char *label, const char *text)
{
    char regex[256], *out = regex;
    for (const char *c = label; *c; c++) {
        if (strchr("()", *c))
            *out++ = '\\';
        *out++ = *c;
    }
    snprintf(out, sizeof regex - (size_t)(out - regex), "%s", text);
    wait_match(regex);
}

/* What a line of input suggests is replaced by what is typed, and kept by keys that move in it or delete. */
static void test_suggestions(void **state)
{
    (void)state;
    start(24, 120);
    for (size_t i = 0; i < sizeof suggested / sizeof *suggested; i++) {
        const char *label = suggested[i].label, *text = suggested[i].suggestion;
        char regex[256];
        press(suggested[i].key);
        await_line(label, text);
        press("1x");
        await_line(label, "1x *$");
        press("\033");
        wait_gone(label);
        press(suggested[i].key);
        await_line(label, text);
        press(PTY_KEY_HOME "7");
        snprintf(regex, sizeof regex, "7%s", text);
        await_line(label, regex);
        press(PTY_KEY_RIGHT PTY_KEY_DELETE);
        snprintf(regex, sizeof regex, "7%.1s%s", text, text + 2);
        await_line(label, regex);
        press(PTY_KEY_LEFT PTY_KEY_LEFT "5" PTY_KEY_END PTY_KEY_BACKSPACE "9");
        snprintf(regex, sizeof regex, "57%.1s.*9 *$", text);
        await_line(label, regex);
        press("\033");
        wait_gone(label);
    }
    press("Tsize 1.6M for gguf\r"); /* as README has it */
    wait_gone("budget (");
    assert_false(pty_find(term, "expected", NULL, NULL));
    assert_ends("q");
}

/* Label and suggestion are seen from their begin, on small screens too. */
static void test_suggestions_from_their_begin(void **state)
{
    static const struct {
        int rows, cols;
    } sizes[] = {{24, 80}, {10, 40}};
    (void)state;
    for (size_t s = 0; s < 2; s++) {
        launch(sizes[s].rows, sizes[s].cols, model, NULL, NULL);
        wait_for("Quit");
        for (size_t i = 0; i < sizeof suggested / sizeof *suggested; i++) {
            press(suggested[i].key);
            wait_match(s ? "^(budget|export to|write recipe to|T, seed|scheme): (kl|mod|rec|1 8|stored)"
                         : "^[a-zA-Z (,)]+: (kl 0|mod|rec|1 8|stored)");
            press("\033");
            wait_for("Quit");
        }
        assert_ends("q");
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
    find("6Text", &row, &col);
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
    assert_alive();
    assert_ends("q");
}

/* The keys at the bottom: the screen's own first, as many as fit; a click on one presses it. */
static void test_footer(void **state)
{
    static const char *const own[TABS] = {"^d Dtype a Act ", "^C Methods L Log X Worst ",
                                          "^b Batch[+] B Batch- R Roofs ",
                                          "^Space Count ", "^Enter Restore N Name c Note X Delete = Base D Differing ",
                                          "^c Chat i Prompt ", "^R Roofs|^: Command ",
                                          "^Enter Apply o Export T Refine f Goal l Limits ",
                                          "^Enter Layer < Shows E Sens ", "^Enter Go x Stop "};
    int row, col;
    (void)state;
    start(24, 80);
    for (int t = 0; t < TABS; t++) {
        press(tabs[t].key);
        await_tab(t);
        wait_match(own[t]);
        wait_match("[?] Help q Quit *$");
    }
    press("5");
    wait_gone("Dtype"); /* shows no layer to change */
    press("1");
    wait_for("d Dtype");
    go_to("attn_q");
    find("d Dtype", &row, &col);
    assert_int_equal(row, 23);
    click(0, row, col);
    await_cell("attn_q", "WEIGHT", "fp16");
    find("u Undo", &row, &col);
    click(0, row, col + 5);
    await_cell("attn_q", "WEIGHT", "fp32*");
    find("Edit", &row, &col);
    click(0, row, col);
    wait_for("scheme: ");
    press("\033");
    for (int cols = 20; cols <= 160; cols += 20) {
        assert_true(pty_resize(term, 24, cols));
        wait_match("[?] Help q Quit *$");
    }
    press("2");
    wait_match("^C Methods L Log X Worst .*A Advise [?] Help q Quit *$"); /* of the last size */
    find("q Quit", &row, &col);
    click(0, row, col);
    assert_int_equal(pty_wait_exit(term, PATIENCE), 0);
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
        TEST(test_edits_are_seen),
        TEST(test_error_screen_edits_what_it_shows),
        TEST(test_method_keys_do_not_train),
        TEST(test_undo_of_the_command_line),
        TEST(test_suggestions),
        TEST(test_suggestions_from_their_begin),
        TEST(test_many_keys_at_once),
        TEST(test_mouse),
        TEST(test_footer),
        TEST(test_no_mouse),
    };
    cmocka_set_test_filter(getenv("QTOP_TEST")); /* a pattern, or null for all */
    return cmocka_run_group_tests_name("tui_keys", tests, make_files, remove_files);
}

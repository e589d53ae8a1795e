/* The terminal program, seen as a person sees it: keys go into a pseudo-terminal, and what counts
 * is what stands on the screen. The binary is QTOP_BIN, else ./qtop. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "modelfile.h"
#include "pty.h"
#include "support.h"

#include "../views/keys.h"

#include <curses.h>
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Curses' headers give these words other meanings. */
#undef lines

enum { MOST_ARGS = 16, CELL_TEXT = 40 };

#define CLEAR_LINE "\025" /* Ctrl-U: empties a line of input */
#define DECODING   "decode \\[.*\\] [0-9.]+[kM]? tok/s" /* the meter's value; prefill has one, too \
                                                         */

static char *folder, *binary, *model, *large_model;
static struct pty *term; /* of the test that runs */

/* ---- files ----------------------------------------------------------------------------------- */

static char *write_model(const char *name, const struct model_spec *spec)
{
    struct bytes b = model_bytes(spec);
    char *path = path_in(folder, name);
    write_file(path, b.data, b.size);
    bytes_free(&b);
    return path;
}

static const struct model_spec small_spec = {1, false, 64, 96, 3, 4, 2, 400, 128, 32, 1};

/* Large enough for a quantization to be seen on its way. */
static const char *large(void)
{
    static const struct model_spec spec = {1, true, 384, 1024, 5, 4, 2, 400, 128, 32, 2};
    if (!large_model)
        large_model = write_model("large.bin", &spec);
    return large_model;
}

static int make_files(void **state)
{
    struct vocabulary_spec words = vocabulary_usual(400);
    struct bytes b = vocabulary_bytes(&words);
    const char *chosen = getenv("QTOP_BIN");
    (void)state;
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); /* some tests kill with signals that dump */
    folder = folder_make();
    char *cache = path_in(folder, "cache"); /* roofs are kept for the next program, not the person's own */
    setenv("XDG_CACHE_HOME", cache, 1);
    free(cache);
    char *config = path_in(folder, "config");
    setenv("XDG_CONFIG_HOME", config, 1);
    free(config);
    binary = realpath(chosen ? chosen : "./qtop", NULL);
    if (!binary) {
        perror(chosen ? chosen : "./qtop");
        return -1;
    }
    char *path = path_in(folder, "tokenizer.bin");
    write_file(path, b.data, b.size);
    free(path);
    bytes_free(&b);
    vocabulary_free(&words);
    model = write_model("model.bin", &small_spec);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    free(binary);
    free(model);
    free(large_model);
    folder_remove(folder);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    pty_stop(term);
    term = NULL;
    return 0;
}

/* Settings that a test kept (the key for it is among those that several press) are not the next test's. */
static int stop_and_forget(void **state)
{
    char *file = path_in(folder, "config/qtop/settings.json");
    unlink(file);
    free(file);
    return stop(state);
}

/* ---- starting and waiting -------------------------------------------------------------------- */

/* Null-terminated lists of words. */
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void run(int rows, int cols, const char *const words[], const char *const env[])
{
    stop(NULL);
    term = pty_start(rows, cols, words, env);
    assert_non_null(term);
}

/* qtop with a seed, one thread, more options and a model, without waiting for anything. */
static void launch(int rows, int cols, const char *path, const char *const more[],
                   const char *const env[])
{
    const char *words[MOST_ARGS] = {binary, "--seed", "8", "-t", "1"};
    size_t n = 5;
    for (size_t i = 0; more && more[i]; i++)
        words[n++] = more[i];
    words[n] = path;
    run(rows, cols, words, env);
}

static void wait_for(const char *text)
{
    if (!pty_wait_for(term, text, PATIENCE))
        fail_msg("the screen does not show '%s'", text);
}

static void wait_gone(const char *text)
{
    if (!pty_wait_gone(term, text, PATIENCE))
        fail_msg("the screen still shows '%s'", text);
}

static void wait_match(const char *regex)
{
    if (!pty_wait_match(term, regex, PATIENCE))
        fail_msg("the screen shows nothing like '%s'", regex);
}

static void wait_until(pty_predicate *pred, const void *arg, const char *what)
{
    if (pty_wait_until(term, pred, (void *)(uintptr_t)arg, PATIENCE))
        return;
    pty_show(term, stderr);
    fail_msg("the screen does not come to: %s", what);
}

static void press(const char *keys)
{
    assert_true(pty_send(term, keys));
}

/* The footer is drawn last. */
static void ready(void)
{
    wait_for("attn_q");
    wait_for("Quit");
}

static void start(int rows, int cols)
{
    launch(rows, cols, model, NULL, NULL);
    ready();
}

/* Whether the program has asked for the mouse since the bytes were last cleared, and not given it
 * back. The sequences set two modes at once, which the terminal's own record does not follow. */
static bool asks_for_mouse(void)
{
    size_t n;
    bool on = false;
    const char *raw = pty_raw(term, &n);
    for (size_t i = 0; i + 5 <= n; i++)
        if (memcmp(raw + i, "1000h", 5) == 0 || memcmp(raw + i, "1000l", 5) == 0)
            on = raw[i + 4] == 'h';
    return on;
}

static void assert_restored(void)
{
    assert_false(pty_alt_screen(term));
    assert_true(pty_cursor_visible(term));
    assert_false(asks_for_mouse());
    assert_true(pty_modes_restored(term));
}

static void assert_ends(const char *keys)
{
    press(keys);
    int status = pty_wait_exit(term, PATIENCE);
    if (status != 0)
        pty_show(term, stderr);
    assert_int_equal(status, 0);
    assert_restored();
}

/* ---- reading the table ----------------------------------------------------------------------- */

/* n cells of a row as text, one byte each. */
static void read_cells(struct pty *p, int row, int col, int n, char *out)
{
    VTermScreenCell cell;
    for (int i = 0; i < n; i++) {
        bool ok = pty_cell(p, row, col + i, &cell);
        uint32_t c = ok ? cell.chars[0] : 0;
        out[i] = (char)(c == 0 ? ' ' : c < 128 ? c : '?');
    }
    out[n] = 0;
}

enum { WIDEST = 512 };

static int heading_row(struct pty *p)
{
    int rows, cols;
    char line[WIDEST + 1];
    pty_size(p, &rows, &cols);
    for (int r = 0; r < rows; r++) {
        read_cells(p, r, 0, cols, line);
        if (strstr(line, "LAYER") && strstr(line, "WEIGHT"))
            return r;
    }
    return -1;
}

/* The word of a row under a title of the heading; "" where there is none. Numbers are flush right.
 */
static void cell_at(struct pty *p, int row, const char *title, char out[CELL_TEXT])
{
    int rows, cols, head = heading_row(p);
    char heading[WIDEST + 1], line[WIDEST + 1];
    *out = 0;
    pty_size(p, &rows, &cols);
    read_cells(p, head, 0, cols, heading);
    read_cells(p, row, 0, cols, line);
    const char *found = head >= 0 ? strstr(heading, title) : NULL;
    if (!found)
        return;
    long begin = found - heading, end = begin + (long)strlen(title) + (found[strlen(title)] == '<');
    if (line[begin] != ' ' && (begin == 0 || line[begin - 1] == ' ')) {
        end = begin + (long)strcspn(line + begin, " ");
    } else {
        for (begin = end; begin > 0 && line[begin - 1] != ' '; begin--)
            continue;
    }
    snprintf(out, CELL_TEXT, "%.*s", (int)(end - begin), line + begin);
}

/* The name in a row of the table without indentation, tag and fold mark; false below the table. */
static bool name_at(struct pty *p, int row, char out[CELL_TEXT])
{
    char line[25], weight[CELL_TEXT];
    read_cells(p, row, 0, 24, line);
    cell_at(p, row, "WEIGHT", weight);
    const char *name = line + strspn(line, " *+->?");
    snprintf(out, CELL_TEXT, "%.*s", (int)strcspn(name, " "), name);
    return row > heading_row(p) && *out && *weight && name - line <= 6;
}

/* The row on the screen of the nth layer of that name, or -1. */
static int row_of(struct pty *p, const char *layer, int nth)
{
    int rows, cols, head = heading_row(p);
    char name[CELL_TEXT];
    pty_size(p, &rows, &cols);
    for (int r = head + 1; head >= 0 && r < rows && name_at(p, r, name); r++)
        if (strcmp(name, layer) == 0 && nth-- == 0)
            return r;
    return -1;
}

static int selected_row(struct pty *p)
{
    int rows, cols, head = heading_row(p);
    char name[CELL_TEXT];
    pty_size(p, &rows, &cols);
    for (int r = head + 1; head >= 0 && r < rows && name_at(p, r, name); r++)
        if (pty_is_reverse(p, r, 0))
            return r;
    return -1;
}

struct wanted {
    const char *layer; /* null: the selected row */
    int nth;
    const char *column, *value;
    bool differs;
};

static bool shows_cell(struct pty *p, void *arg)
{
    const struct wanted *w = arg;
    char cell[CELL_TEXT];
    int row = w->layer ? row_of(p, w->layer, w->nth) : selected_row(p);
    if (row < 0)
        return false;
    cell_at(p, row, w->column, cell);
    return *cell && (strcmp(cell, w->value) == 0) != w->differs;
}

static void await_cell(const char *layer, const char *column, const char *value)
{
    struct wanted w = {layer, 0, column, value, false};
    char what[128];
    snprintf(what, sizeof what, "%s of %s is %s", column, layer, value);
    wait_until(shows_cell, &w, what);
}

static void await_other(const char *layer, const char *column, const char *value)
{
    struct wanted w = {layer, 0, column, value, true};
    char what[128];
    snprintf(what, sizeof what, "%s of %s is not %s", column, layer, value);
    wait_until(shows_cell, &w, what);
}

static void assert_cell(const char *layer, int nth, const char *column, const char *value)
{
    char cell[CELL_TEXT];
    int row = row_of(term, layer, nth);
    assert_true(row >= 0);
    cell_at(term, row, column, cell);
    assert_string_equal(cell, value);
}

static bool has_selected(struct pty *p, void *layer)
{
    char name[CELL_TEXT];
    int row = selected_row(p);
    return row >= 0 && name_at(p, row, name) && strcmp(name, layer) == 0;
}

static void await_selected(const char *layer)
{
    wait_until(has_selected, layer, layer);
}

/* Puts the cursor on a layer of the first block. */
static void go_to(const char *layer)
{
    press(PTY_KEY_HOME "/blk.0.");
    press(layer);
    press("\r");
    await_selected(layer);
}

static void type_scheme(const char *scheme)
{
    press("\r");
    wait_for("scheme:");
    press(CLEAR_LINE);
    press(scheme);
    press("\r");
    wait_gone("scheme:");
}

struct tab {
    const char *key, *label;
};

static const struct tab tabs[] = {
    {"1", "1 Layers"},  {"2", "2 Error"}, {"3", "3 Roofline"}, {"4", "4 Counters"},
    {"5", "5 Compare"}, {"6", "6 Text"},  {"7", "7 Machine"}};
enum { TABS = sizeof tabs / sizeof *tabs };

static bool on_tab(struct pty *p, void *label)
{
    int row, col;
    return pty_find(p, label, &row, &col) && pty_is_reverse(p, row, col);
}

static void await_tab(int tab)
{
    wait_until(on_tab, tabs[tab].label, tabs[tab].label);
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
            assert_true(pty_find(term, tabs[t].label, NULL, NULL));
        assert_true(heading_row(term) > 0);
        await_selected("token_embd");
        assert_true(pty_alt_screen(term));
        assert_false(pty_cursor_visible(term));
        assert_false(pty_modes_restored(term)); /* so that the check below means something */
        assert_ends(keys[i]);
    }
}

static void test_meters(void **state)
{
    (void)state;
    start(24, 100);
    wait_match(DECODING);
    wait_match("memory.*GB/s");
    wait_match("size .*bits");
    wait_match("prefill +[0-9.]+");
    await_other("attn_q", "us/TOK", "-");
    assert_ends("q");
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

/* Runs to the end; one line, status 1, and not one control sequence. */
static void assert_refused(const char *expected)
{
    size_t n, line_ends = 0;
    int status = pty_wait_exit(term, PATIENCE);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 1) {
        pty_show(term, stderr);
        fail_msg("status %#x where '%s' was expected", (unsigned)status, expected);
    }
    const char *raw = pty_raw(term, &n);
    for (size_t i = 0; i < n; i++)
        line_ends += raw[i] == '\n';
    assert_int_equal(line_ends, 1);
    assert_null(memchr(raw, '\033', n));
    assert_true(pty_raw_has(term, "qtop: ", 6));
    assert_true(pty_raw_has(term, expected, strlen(expected)));
    assert_true(pty_modes_restored(term));
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

static void assert_alive(void)
{
    press("\0331?"); /* Esc closes what may be open; then help, which is like nothing else */
    wait_for("search a layer by name");
    press("1");
    await_tab(0);
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

/* Marks the bindings that this page of the help shows in full. */
static void see_help(bool *seen)
{
    int rows, cols;
    pty_size(term, &rows, &cols);
    for (size_t i = 0; i < key_count; i++)
        for (int r = 0; r < rows && !seen[i]; r++) {
            const char *row = pty_row(term, r), *help = strstr(row, key_table[i].help);
            row += strspn(row, " ");
            size_t n = strlen(key_table[i].shown);
            seen[i] = help && help > row && strncmp(row, key_table[i].shown, n) == 0;
        }
}

static void check_help(int rows, int cols, const char *key, const char *scroll)
{
    bool *seen = calloc(key_count, sizeof *seen);
    launch(rows, cols, model, NULL, NULL);
    wait_for("qtop");
    press(key);
    wait_for("keys");
    for (size_t i = 0; i < key_count; i++) { /* more than enough for the last line */
        pty_settle(term, 0.1, 1);
        see_help(seen);
        press(scroll);
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
    wait_match("y means nothing.*\\?");
    press("j");
    wait_gone("means nothing");
    assert_ends("q");
}

/* ---- changing layers ------------------------------------------------------------------------- */

static void test_keys_change_a_layer(void **state)
{
    static const struct {
        const char *next, *previous, *column;
    } cases[] = {{"d", "D", "WEIGHT"}, {"a", "A", "ACT"}, {"g", "G", "GROUP"}, {"z", "z", "SYM"}};
    (void)state;
    start(24, 80);
    go_to("attn_q");
    type_scheme("int8");
    await_cell("attn_q", "WEIGHT", "int8");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char before[CELL_TEXT], after[CELL_TEXT];
        cell_at(term, row_of(term, "attn_q", 0), cases[i].column, before);
        assert_true(*before);
        press(cases[i].next);
        await_other("attn_q", cases[i].column, before);
        cell_at(term, row_of(term, "attn_q", 0), cases[i].column, after);
        press(cases[i].previous);
        await_cell("attn_q", cases[i].column, before);
        press("u"); /* back to what the first key made, and again */
        await_cell("attn_q", cases[i].column, after);
        press("\x12");
        await_cell("attn_q", cases[i].column, before);
        assert_cell("attn_k", 0, "WEIGHT", "fp32*");
    }
    assert_ends("q");
}

static void test_weight_cycle_is_complete(void **state)
{
    static const char *const names[] = {"fp16",    "bf16",    "int8", "int4",
                                        "fp8e4m3", "fp8e5m2", "fp32*"};
    enum { NAMES = sizeof names / sizeof *names };
    (void)state;
    start(24, 80);
    go_to("ffn_up");
    for (int i = 0; i < NAMES; i++) {
        press("d");
        await_cell("ffn_up", "WEIGHT", names[i]);
    }
    for (int i = NAMES - 2; i >= 0; i--) {
        press("D");
        await_cell("ffn_up", "WEIGHT", names[i]);
        await_other("ffn_up", "SQNR", "-");
    }
    assert_ends("q");
}

static void test_what_does_not_apply_is_explained(void **state)
{
    (void)state;
    start(24, 80);
    go_to("attn_v");
    press("a");
    wait_for("choose a datatype first");
    assert_cell("attn_v", 0, "ACT", "fp32");
    type_scheme("fp16");
    press("z");
    wait_for("only integers have a zero point");
    assert_ends("q");
}

static void test_undo_and_redo(void **state)
{
    (void)state;
    start(24, 80);
    go_to("attn_k");
    press("u");
    wait_for("nothing to undo");
    press("ddd");
    await_cell("attn_k", "WEIGHT", "int8");
    press("uu");
    await_cell("attn_k", "WEIGHT", "fp16");
    press("u");
    await_cell("attn_k", "WEIGHT", "fp32*");
    press("\x12\x12\x12");
    await_cell("attn_k", "WEIGHT", "int8");
    press("\x12");
    wait_for("nothing to redo");
    assert_ends("q");
}

static const char *const linear[] = {"attn_q",   "attn_k",   "attn_v",  "attn_output",
                                     "ffn_gate", "ffn_down", "ffn_up"};
enum { LINEAR = sizeof linear / sizeof *linear };

static void test_block_row_changes_its_layers(void **state)
{
    (void)state;
    start(24, 80);
    press(PTY_KEY_HOME "j");
    await_selected("blk.0");
    press("d");
    await_cell("blk.0", "WEIGHT", "fp16");
    for (int i = 0; i < LINEAR; i++)
        await_cell(linear[i], "WEIGHT", "fp16");
    assert_cell("attn_norm", 0, "WEIGHT", "fp32*");
    assert_cell("blk.1", 0, "WEIGHT", "fp32*");
    assert_cell("output", 0, "WEIGHT", "fp32*");
    go_to("attn_q");
    press("d");
    await_cell("blk.0", "WEIGHT", "mixed");
    press("uu");
    await_cell("blk.0", "WEIGHT", "fp32*");
    assert_ends("q");
}

static bool is_tagged(struct pty *p, void *layer)
{
    char line[8];
    int row = row_of(p, layer, 0);
    if (row < 0)
        return false;
    read_cells(p, row, 0, 6, line);
    return strchr(line, '*') != NULL;
}

static bool is_untagged(struct pty *p, void *layer)
{
    return row_of(p, layer, 0) >= 0 && !is_tagged(p, layer);
}

static void test_tagged_layers_change_together(void **state)
{
    (void)state;
    start(24, 80);
    go_to("attn_q");
    press("  "); /* the cursor moves on */
    wait_until(is_tagged, "attn_q", "attn_q tagged");
    wait_until(is_tagged, "attn_k", "attn_k tagged");
    await_selected("attn_v");
    press("d");
    await_cell("attn_q", "WEIGHT", "fp16");
    await_cell("attn_k", "WEIGHT", "fp16");
    assert_cell("attn_v", 0, "WEIGHT", "fp32*");
    press("U");
    wait_until(is_untagged, "attn_q", "attn_q untagged");
    wait_until(is_untagged, "attn_k", "attn_k untagged");
    press("d");
    await_cell("attn_v", "WEIGHT", "fp16");
    assert_cell("attn_q", 0, "WEIGHT", "fp16");
    press(" ");
    wait_until(is_tagged, "attn_v", "attn_v tagged");
    press(PTY_KEY_ESC);
    wait_until(is_untagged, "attn_v", "attn_v untagged");
    go_to("attn_q");
    press("  ");
    wait_until(is_tagged, "attn_k", "attn_k tagged");
    press(PTY_KEY_UP " ");
    wait_until(is_untagged, "attn_k", "attn_k untagged by a second Space");
    assert_true(is_tagged(term, "attn_q"));
    assert_ends("q");
}

static void test_same_scheme_in_every_block(void **state)
{
    struct wanted third = {"attn_q", 2, "WEIGHT", "int8", false};
    (void)state;
    start(50, 100);
    go_to("attn_q");
    type_scheme("int8:g16");
    await_cell("attn_q", "GROUP", "g16");
    press("=**"); /* fold all, unfold all */
    wait_until(shows_cell, &third, "attn_q of the third block is int8");
    for (int block = 0; block < 3; block++) {
        struct wanted group = {"attn_q", block, "GROUP", "g16", false};
        wait_until(shows_cell, &group, "the same groups");
        assert_cell("attn_q", block, "WEIGHT", "int8");
        assert_cell("attn_k", block, "WEIGHT", "fp32*");
    }
    press("u");
    third.value = "fp32*";
    wait_until(shows_cell, &third, "attn_q of the third block as stored");
    assert_cell("attn_q", 0, "WEIGHT", "int8");
    press(PTY_KEY_HOME "=");
    wait_for("only one");
    assert_ends("q");
}

/* Keys mean what they meant when they were typed, however late the screen follows. */
static void test_same_scheme_right_after_a_change(void **state)
{
    (void)state;
    start(50, 100);
    go_to("attn_q");
    press("d=");
    press("**");
    wait_until(shows_cell, &(struct wanted){"attn_q", 2, "WEIGHT", "fp16", false},
               "attn_q of the third block is fp16");
    assert_cell("attn_q", 0, "WEIGHT", "fp16");
    assert_ends("q");
}

/* ---- the KV cache's row ------------------------------------------------------------------------ */

static void test_kv_row(void **state)
{
    static const char *const next[] = {"fp16", "int8", "fp8e4m3", "fp8e5m2", "fp32"};
    static const struct {
        const char *key, *why;
    } refused[] = {{"a", "queries and weights in fp32"}, {"g", "one scale a head and token"},
                   {"z", "int8 is symmetric"}, {"=", "only one of this layer"}};
    (void)state;
    start(24, 100);
    press(PTY_KEY_END);
    await_selected("kv");
    assert_cell("kv", 0, "WEIGHT", "fp32");
    wait_for("kv: often in 8 bits");
    for (size_t i = 0; i < 5; i++) {
        char before[CELL_TEXT];
        cell_at(term, row_of(term, "kv", 0), "SIZE", before);
        press("d");
        await_cell("kv", "WEIGHT", next[i]);
        if (i != 2 && i != 3) /* int8, fp8e4m3 and fp8e5m2 are of one size */
            await_other("kv", "SIZE", before);
    }
    press("D");
    await_cell("kv", "WEIGHT", "fp8e5m2");
    press("uu");
    await_cell("kv", "WEIGHT", "fp8e5m2");
    press("u");
    await_cell("kv", "WEIGHT", "fp8e4m3");
    press("\x12");
    await_cell("kv", "WEIGHT", "fp8e5m2");
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        press(refused[i].key);
        wait_for(refused[i].why);
        await_cell("kv", "WEIGHT", "fp8e5m2");
    }
    type_scheme("int4");
    wait_for("kv: the cache cannot be int4");
    type_scheme("int8");
    await_cell("kv", "WEIGHT", "int8");
    press("2");
    wait_for("the KV cache holds no weights");
    press("1 ");
    wait_for("*kv"); /* tagged */
    assert_ends("q");
}

/* ---- the scheme editor ----------------------------------------------------------------------- */

static void test_editor(void **state)
{
    (void)state;
    start(30, 100);
    go_to("ffn_gate");
    press("\r");
    wait_for("scheme: stored");
    wait_match("weight datatype");
    wait_match("int4 +[0-9.]+k?");
    press(CLEAR_LINE "int8/fp9\r");
    wait_match("position 6.*'fp9'.*expected|fp9.*expected");
    wait_for("scheme: int8/fp9"); /* kept, so that it can be mended */
    press(PTY_KEY_ESC);
    wait_gone("scheme:");
    await_cell("ffn_gate", "WEIGHT", "fp32*");
    type_scheme("int4:g32:asym");
    await_cell("ffn_gate", "WEIGHT", "int4");
    await_cell("ffn_gate", "GROUP", "g32");
    await_cell("ffn_gate", "SYM", "asym");
    press("\r");
    wait_for("scheme: int4:g32:asym");
    press(PTY_KEY_DOWN);
    wait_gone("scheme: int4:g32:asym");
    wait_match("scheme: [a-z]+[0-9]");
    press("\r");
    wait_gone("scheme:");
    assert_ends("q");
}

/* What stands in the editor's line. */
static void read_scheme(char out[CELL_TEXT])
{
    int row, col;
    assert_true(pty_find(term, "scheme: ", &row, &col));
    read_cells(term, row, col + 8, CELL_TEXT - 1, out);
    out[strcspn(out, " ")] = 0;
}

static void open_editor(char scheme[CELL_TEXT])
{
    press("\r");
    wait_match("scheme: [a-z]");
    read_scheme(scheme);
}

/* Every choice that the editor offers can be had. */
static void test_editor_choices_apply(void **state)
{
    (void)state;
    start(60, 100);
    go_to("attn_output");
    for (int down = 0; down < 12; down++) {
        char chosen[CELL_TEXT], now[CELL_TEXT] = "";
        open_editor(chosen);
        for (int i = 0; i < down; i++)
            press(PTY_KEY_DOWN);
        pty_settle(term, 0.05, 1);
        read_scheme(chosen);
        press("\r");
        wait_gone("scheme:");
        for (int i = 0; i < 100 && strcmp(now, chosen) != 0; i++) { /* it takes a moment */
            open_editor(now);
            press(PTY_KEY_ESC);
            wait_gone("scheme:");
        }
        assert_string_equal(now, chosen);
    }
    assert_ends("q");
}

/* ---- moving, searching, filtering, sorting, folding ------------------------------------------ */

static void test_moving(void **state)
{
    (void)state;
    start(14, 80);
    await_selected("token_embd");
    press("j" PTY_KEY_DOWN);
    await_selected("attn_norm");
    press("k" PTY_KEY_UP "k");
    await_selected("token_embd");
    press(PTY_KEY_END);
    await_selected("kv");
    press("j");
    press(PTY_KEY_PGUP);
    wait_until(shows_cell, &(struct wanted){NULL, 0, "LAYER", "kv", true}, "a page up");
    press(PTY_KEY_HOME PTY_KEY_PGUP);
    await_selected("token_embd");
    press(PTY_KEY_PGDN PTY_KEY_PGDN PTY_KEY_PGDN PTY_KEY_PGDN PTY_KEY_PGDN);
    await_selected("kv");
    assert_ends("q");
}

static bool in_second_block(struct pty *p, void *layer)
{
    int block = row_of(p, "blk.1", 0), row = selected_row(p);
    return has_selected(p, layer) && block >= 0 && row > block;
}

static void test_search(void **state)
{
    (void)state;
    start(40, 80);
    press("/ffn_up\r");
    await_selected("ffn_up");
    press("n");
    wait_until(in_second_block, "ffn_up", "ffn_up of the second block");
    press(PTY_KEY_F3 "no_such\r");
    wait_match("no layer.*no_such");
    wait_until(in_second_block, "ffn_up", "the cursor where it was");
    assert_ends("q");
}

static void test_filter(void **state)
{
    (void)state;
    start(24, 80);
    press("\\attn_v\r");
    wait_gone("ffn_up");
    wait_for("blk.2.attn_v");
    assert_int_equal(row_of(term, "token_embd", 0), -1);
    assert_true(row_of(term, "blk.0.attn_v", 0) >= 0 && row_of(term, "blk.1.attn_v", 0) >= 0);
    press(PTY_KEY_ESC);
    wait_for("token_embd");
    wait_for("ffn_up");
    press(PTY_KEY_F4 "no_such\r");
    wait_match("no layer.*no_such");
    press("dag\r" PTY_KEY_DOWN " ");
    press(PTY_KEY_ESC);
    wait_for("token_embd");
    assert_ends("q");
}

/* Sizes as the table writes them: 25.6k. */
static double size_at(int row)
{
    char cell[CELL_TEXT], *unit;
    cell_at(term, row, "SIZE", cell);
    double value = strtod(cell, &unit);
    return value * (*unit == 'k' ? 1e3 : *unit == 'M' ? 1e6 : 1);
}

static void test_sort(void **state)
{
    bool by_size = false;
    (void)state;
    start(50, 100);
    for (int i = 0; i < 10 && !by_size; i++) {
        press(">");
        wait_match("sorted by|model's order");
        pty_settle(term, 0.02, 1);
        by_size = pty_find(term, "SIZE<", NULL, NULL);
    }
    assert_true(by_size);
    wait_for("blk.2.ffn_up"); /* one flat list */
    int row = heading_row(term) + 1, count = 0;
    char name[CELL_TEXT];
    for (; name_at(term, row + 1, name); row++, count++)
        assert_true(size_at(row) >= size_at(row + 1));
    assert_true(count > 10);
    for (int i = 0; i < 10 && heading_row(term) >= 0 && pty_find(term, "blk.2.ffn_up", NULL, NULL);
         i++) {
        press("<");
        pty_settle(term, 0.05, 1);
    }
    wait_gone("blk.2.ffn_up");
    assert_ends("q");
}

static bool lacks_layer(struct pty *p, void *layer)
{
    return row_of(p, "output", 0) >= 0 && row_of(p, layer, 0) < 0;
}

static void test_fold(void **state)
{
    (void)state;
    start(50, 80);
    go_to("attn_q");
    press("-");
    wait_until(lacks_layer, "attn_q", "blk.0 folded");
    await_selected("blk.0");
    press("+");
    await_cell("attn_q", "WEIGHT", "fp32*");
    press("*");
    wait_until(lacks_layer, "attn_q", "all folded");
    press("*");
    wait_until(shows_cell, &(struct wanted){"attn_q", 2, "WEIGHT", "fp32*", false}, "all unfolded");
    assert_ends("q");
}

/* ---- snapshots and recipes ------------------------------------------------------------------- */

static void test_snapshots(void **state)
{
    (void)state;
    start(24, 100);
    press("5");
    wait_for("no snapshots yet");
    press("x");
    wait_match("two snapshots|no snapshot");
    press("1s");
    wait_for("snapshot A");
    press(PTY_KEY_HOME "j");
    await_selected("blk.0");
    type_scheme("int4");
    await_cell("blk.0", "WEIGHT", "int4");
    press("s");
    wait_for("snapshot B");
    press("x");
    await_cell("blk.0", "WEIGHT", "fp32*");
    press("x");
    await_cell("blk.0", "WEIGHT", "int4");
    press("5");
    wait_match("^ ?A +stored");
    wait_match("^>B ");
    wait_match("^>B .*0\\.[0-9]{4}"); /* KL, of the evaluation that runs by itself */
    press(PTY_KEY_HOME "\r");
    wait_match("^>A ");
    press(PTY_KEY_END "\r");
    wait_match("^>B ");
    press("x");
    wait_match("^>A ");
    press("1");
    await_cell("blk.0", "WEIGHT", "fp32*");
    assert_ends("q");
}

static void test_compare_screen(void **state)
{
    (void)state;
    start(34, 120);
    press("s" PTY_KEY_HOME "j+"); /* a block's row stands for its layers */
    await_selected("blk.0");
    type_scheme("int4:g16");
    await_cell("blk.0", "WEIGHT", "int4");
    press("se");
    wait_match("KL +[0-9.e-]+");
    press("5");
    await_tab(4);
    wait_match("SCHEME +SIZE +BITS +DECODE/s +VS BASE +GB/s +SQNR +KL");
    wait_match("^ A .* base ");
    wait_match(">B .* [0-9.]+ +[0-9.]+(e-[0-9]+)? ");
    wait_for("KL against size");
    press("v");
    wait_for("timed in 31 rounds");
    press(">");
    wait_for("KL against decode tokens/s, the best front drawn");
    wait_match(">B .*[0-9.]+x .[0-9.]+-[0-9.]+.");
    press(PTY_KEY_END "=");
    wait_match(">B .* base ");
    press(PTY_KEY_HOME "D");
    wait_for("A against B: layers that differ");
    wait_match("blk.0.attn_q +stored +int4:g16");
    press("1");
    await_tab(0);
    await_cell("blk.0", "WEIGHT", "int4"); /* D changed no layer */
    assert_ends("q");
}

static void test_recipe(void **state)
{
    char *path = path_in(folder, "written.txt");
    (void)state;
    start(24, 100);
    go_to("attn_q");
    type_scheme("int4:g32");
    press("w");
    wait_for("write recipe to");
    press(CLEAR_LINE);
    press(path);
    press("\r");
    wait_for("recipe written");
    struct bytes b = read_file(path);
    assert_non_null(b.data);
    assert_non_null(strstr((char *)b.data, "blk.0.attn_q"));
    assert_non_null(strstr((char *)b.data, "int4:g32"));
    bytes_free(&b);
    press("w" CLEAR_LINE "/nonexistent/recipe\r");
    wait_for("/nonexistent/recipe");
    assert_ends("q");
    launch(24, 100, model, WORDS("-r", path), NULL);
    ready();
    await_cell("attn_q", "GROUP", "g32");
    assert_cell("attn_q", 0, "WEIGHT", "int4");
    assert_ends("q");
    free(path);
}

static void test_evaluation(void **state)
{
    (void)state;
    start(24, 100);
    press("e");
    wait_match("KL 0 .*ppl [0-9.]+");
    press(PTY_KEY_HOME "j");
    await_selected("blk.0");
    type_scheme("int4:tensor");
    await_cell("blk.0", "WEIGHT", "int4");
    press("e");
    wait_match("KL 0\\.[0-9]+.*ppl [0-9.]+.*top-1 +[0-9.]+");
    assert_ends("q");
}

/* ---- the other screens ----------------------------------------------------------------------- */

static void test_screens(void **state)
{
    (void)state;
    start(24, 80);
    await_tab(0);
    for (int t = 0; t < TABS; t++) {
        press(tabs[t].key);
        await_tab(t);
    }
    for (int t = 0; t < TABS; t++) {
        press(PTY_KEY_TAB);
        await_tab(t);
    }
    for (int t = TABS - 2; t >= 0; t--) {
        press(PTY_KEY_BACKTAB);
        await_tab(t);
    }
    press(PTY_KEY_BACKTAB);
    await_tab(TABS - 1);
    assert_ends("q");
}

static bool clears(struct pty *p, void *arg)
{
    (void)arg;
    return pty_raw_has(p, "\033[2J", 4) || pty_raw_has(p, "\033[J", 3);
}

static void test_redraw(void **state)
{
    (void)state;
    start(24, 80);
    pty_settle(term, 0.02, 1);
    pty_raw_clear(term);
    press("\f");
    wait_until(clears, NULL, "a clear screen");
    ready();
    assert_ends("q");
}

/* "weight [ROW, COL]" of the number line. */
static bool weight_shown(struct pty *p, int place[2])
{
    int row, col;
    return pty_find(p, "weight [", &row, &col) &&
           sscanf(pty_row(p, row) + col, "weight [%d, %d]", &place[0], &place[1]) == 2;
}

static bool is_at_weight(struct pty *p, void *arg)
{
    const int *wanted = arg;
    int place[2];
    return weight_shown(p, place) && place[0] == wanted[0] && place[1] == wanted[1];
}

static void test_error_screen(void **state)
{
    int worst[2], row, col;
    (void)state;
    start(40, 132);
    go_to("attn_q");
    press("2");
    await_tab(1);
    wait_for("blk.0.attn_q");
    wait_for("exactly the stored one");
    type_scheme("int4:g32");
    wait_match("blk.0.attn_q .*int4:g32");
    wait_match("SQNR weights +[0-9.]+ dB, output +[0-9.]+ dB");
    wait_match("weights: .*error.*output error");
    wait_match("SQNR of channels.*scales.*hidden state");
    wait_match("most at blk.0 attention"); /* before it everything is stored */
    wait_for("error in steps");
    wait_match("codes -7\\.\\.7");
    wait_match("round\\(.*/ .*\\) = .*->");
    wait_until(is_at_weight, (int[]){0, 0}, "the first weight");
    press(PTY_KEY_RIGHT PTY_KEY_RIGHT);
    wait_until(is_at_weight, (int[]){0, 2}, "the third weight");
    press(PTY_KEY_LEFT);
    wait_until(is_at_weight, (int[]){0, 1}, "the second weight");
    press(PTY_KEY_LEFT PTY_KEY_LEFT);
    wait_until(is_at_weight, (int[]){63, 63}, "the last weight, before the first");
    press(PTY_KEY_RIGHT);
    wait_until(is_at_weight, (int[]){0, 0}, "the first weight again");
    assert_true(pty_find(term, "max |e|", &row, &col));
    const char *at = strstr(pty_row(term, row), "at row ");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "at row %d, column %d", &worst[0], &worst[1]), 2);
    press("X");
    wait_until(is_at_weight, worst, "the weight with the largest error");
    press("L");
    wait_match("n [0-9]+ log");
    press("L");
    wait_gone(" log");
    press("z");
    wait_match("zero point [0-9]+");
    wait_match("codes 0\\.\\.15");
    press(PTY_KEY_DOWN); /* the next layer, without leaving the screen */
    wait_for("blk.0.attn_k");
    assert_ends("q");
}

static void test_roofline_screen(void **state)
{
    (void)state;
    start(36, 110);
    go_to("attn_q");
    press("3");
    await_tab(2);
    wait_match("POINT +GMAC/s +tok/s +MAC/B +REACHES");
    wait_match("decode +[0-9.]+[kM]? +[0-9.]+[kM]? +[0-9.]+ ");
    wait_match("prefill of [0-9]+ +[0-9.]+");
    wait_match("blk.0.attn_q +[0-9.]+");
    wait_match("reads [0-9.]+ ?GB/s");
    wait_for("multiply-adds/B");
    press("b");
    wait_match("batch of 2 +[0-9.]+");
    press("bb");
    wait_match("batch of 8 +[0-9.]+");
    press("B");
    wait_gone("batch of 8");
    press("s");
    wait_match("snapshot A decode +[0-9.]+");
    press(PTY_KEY_DOWN); /* another layer's point */
    wait_match("blk.0.attn_k +[0-9.]+");
    press("R");
    wait_for("measuring the roofs anew");
    assert_ends("q");
    launch(36, 110, model, WORDS("--ascii"), NULL);
    press("3");
    wait_match("@ +decode");
    wait_match("\\^ +prefill");
    assert_ends("q");
}

static void test_counters_screen(void **state)
{
    (void)state;
    start(40, 120);
    press("4");
    await_tab(3);
    wait_match("EVENT +/TOKEN +/SECOND +COUNTED");
    wait_match("\\*task-clock +[0-9.]+[kM]? +[0-9.]+[kMG]? +100%");
    wait_match("\\*cycles +([0-9.]|n/a: )");
    wait_match("(instructions/cycle n/a: |[0-9.]+ instructions/cycle)");
    wait_match("whole machine n/a: |reads [0-9.n]");
    wait_match("[0-9.]+[kMG] computed");
    press("/minor-faults\r");
    wait_for("perf::MINOR-FAULTS:"); /* its words, in the last line */
    press(" ");
    wait_for("perf::MINOR-FAULTS is counted from now on");
    wait_for("perf::MINOR-FAULTS:"); /* the cursor stays on its line */
    press(PTY_KEY_HOME);
    wait_match("\\*perf::MINOR-FAULTS +[0-9.]+");
    press("\\" CLEAR_LINE "context-sw\r");
    wait_gone(" perf::MINOR-FAULTS ");
    wait_match("^ perf::CONTEXT-SWITCHES");
    press("\\" CLEAR_LINE "nosuchevent\r");
    wait_for("no event has 'nosuchevent' in it");
    press("\033");
    wait_match("^ perf::CYCLES");
    press(PTY_KEY_HOME);
    wait_for("task-clock: nanoseconds");
    press("\r");
    wait_for("task-clock is counted no more");
    wait_gone("*task-clock");
    press("/nosuchevent\r");
    wait_for("no event has 'nosuchevent' in it");
    assert_ends("q");
}

static void test_methods(void **state)
{
    (void)state;
    start(44, 132);
    go_to("attn_q");
    press("m");
    wait_for("choose a datatype first");
    type_scheme("int4:g16");
    await_cell("attn_q", "WEIGHT", "int4");
    await_cell("attn_q", "METHOD", "rtn");
    press("m");
    await_cell("attn_q", "METHOD", "clip");
    press("m");
    await_cell("attn_q", "METHOD", "gptq");
    press("M");
    await_cell("attn_q", "METHOD", "clip");
    type_scheme("int4:g16:awq(alpha=0.5)");
    await_cell("attn_q", "METHOD", "awq");
    press("k\x1b");
    press("j");
    pty_settle(term, 0.1, 1);
    wait_match("blk.0.attn_q: (int4:g16:awq|alpha 0.5)");
    press("2");
    wait_match("salient columns .mean .x..: +[0-9]+ [0-9.]+ .scale [0-9.]+");
    wait_match("max .x. of columns.*max .w. of columns");
    wait_match("input scale [0-9.]+");
    wait_match("w x [0-9.]+ / [0-9.]+ -> code -?[0-9]+");
    press("C");
    wait_match("METHOD +WEIGHTS dB +OUTPUT dB");
    wait_for("the methods are compared");
    wait_match(" rtn +[0-9.]+ +[0-9.]+");
    wait_match(" gptq +[0-9.]+ +[0-9.]+ .*damping 0.01");
    wait_match(">awq.alpha=0.5. +[0-9.]+ +[0-9.]+");
    wait_match("smoothquant.gptq +[0-9.]+ +[0-9.]+");
    wait_for(" best");
    press("u");
    wait_match("blk.0.attn_q 64x64 +int4:g16:clip");
    assert_ends("q");
}

static void test_settings(void **state)
{
    (void)state;
    char *file = path_in(folder, "config/qtop/settings.json");
    size_t n;
    start(30, 132);
    press("c");
    wait_match("columns: LAYER SHAPE WEIGHT ACT");
    press(CLEAR_LINE "weight sqnr speed\r");
    wait_for("'speed' is no column of the Layers screen");
    press(CLEAR_LINE "weight size sqnr\r");
    wait_match("LAYER +WEIGHT +SIZE +SQNR *$");
    press(">>");
    wait_for("sorted by size");
    press("S");
    wait_for("kept in ");
    assert_ends("q");
    start(30, 132); /* the next time */
    wait_match("LAYER +WEIGHT +SIZE< +SQNR *$");
    assert_ends("q");
    char *text = read_whole(file, &n);
    assert_non_null(strstr(text, "\"columns\": \"LAYER WEIGHT SIZE SQNR\""));
    free(text);
    static const char *const broken[] = {"{\"refresh\": 0}", "{\"color\": 1}", "[", "{\"sort\": 5}", "nonsense"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        write_file(file, broken[i], strlen(broken[i]));
        start(30, 132);
        wait_for("settings.json is ignored");
        wait_match("LAYER +SHAPE +WEIGHT");
        assert_ends("q");
    }
    unlink(file);
    free(file);
}

static void test_readonly(void **state)
{
    static const char *const keys[] = {"d", "D", "a", "g", "z", "m", "=", "u", "s", "x", "T", "w", "o", "\r", " "};
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
    assert_ends("q");
}

static void test_export(void **state)
{
    (void)state;
    char *path = path_in(folder, "exported.gguf"), line[600];
    start(30, 120);
    go_to("attn_q");
    type_scheme("int4:g32");
    await_cell("attn_q", "WEIGHT", "int4");
    press("o");
    wait_for("export to: model.gguf");
    snprintf(line, sizeof line, CLEAR_LINE "%s\r", path);
    press(line);
    wait_match("exported, [0-9]+ bytes");
    press("o" CLEAR_LINE "/nonexistent/model.gguf\r");
    wait_match("/nonexistent/model.gguf.*No such file");
    type_scheme("int8:channel");
    await_cell("attn_q", "WEIGHT", "int8");
    press("o");
    wait_for("export to:");
    press(line);
    wait_match("blk.0.attn_q.*int8"); /* GGUF has no type for it: named */
    assert_ends("q");
    launch(24, 100, path, NULL, NULL);
    wait_for("exported.gguf");
    go_to("attn_q");
    await_cell("attn_q", "WEIGHT", "q4_0*");
    assert_ends("q");
    unlink(path);
    free(path);
}

static void test_search_within_a_budget(void **state)
{
    (void)state;
    start(30, 120);
    press("T");
    wait_for("budget (size, bits, kl or rate): kl 0.01");
    press(CLEAR_LINE "speed 3\r");
    wait_match("'speed': expected size, bits, kl, rate or for");
    press(CLEAR_LINE "size 200k\r");
    wait_match("searching|writing a text|measuring every layer");
    wait_match("found [0-9.]+ bits/weight with KL [0-9.e-]+ measured .snapshot A");
    wait_match("size +1[0-9][0-9]k of 575k");
    press("u");
    wait_for("undo: 0 more");
    wait_match("size +575k of 575k");
    press("T\r"); /* again, and stopped */
    wait_match("searching|measuring every layer");
    press("T");
    wait_match("the search is stopped|found ");
    assert_ends("q");
}

static void test_layers_alone(void **state)
{
    (void)state;
    start(30, 80);
    go_to("attn_q");
    type_scheme("int4:tensor");
    await_cell("attn_q", "WEIGHT", "int4");
    press("E");
    wait_for("measured what each layer alone costs");
    wait_for("ALONE");
    wait_match("attn_q .* 0\\.[0-9]{5}$");
    press("d");
    wait_gone("ALONE");
    assert_ends("q");
}

/* int8 groups against the fp32 that they were made of: what is stored has an error of its own. */
static void test_another_reference(void **state)
{
    struct model_spec spec = small_spec;
    char sqnr[CELL_TEXT], *rest;
    (void)state;
    spec.version = 2;
    char *groups = write_model("groups.bin", &spec);
    launch(40, 132, groups, WORDS("--reference", model), NULL);
    free(groups);
    ready();
    wait_for("groups.bin");
    wait_for("reference model.bin");
    await_cell("attn_q", "WEIGHT", "int8*");
    cell_at(term, row_of(term, "attn_q", 0), "SQNR", sqnr);
    double db = strtod(sqnr, &rest);
    assert_true(db > 20 && db < 80 && *rest == 0);
    assert_cell("attn_norm", 0, "SQNR", "exact");
    press("e");
    wait_for("evaluating against the reference");
    go_to("attn_q");
    press("2");
    wait_match("blk.0.attn_q .*stored");
    wait_match("SQNR weights +[0-9.]+ dB, output +[0-9.]+ dB");
    wait_match("weights: .*error.*output error");
    wait_match("KL [0-9.]*[1-9]");
    press(PTY_KEY_UP);
    wait_for("exactly the reference's");
    press("6");
    wait_match("reference(: no difference so far| .bold: from the first difference)");
    assert_ends("q");
}

static void test_text_screen(void **state)
{
    (void)state;
    start(24, 100);
    press("6");
    await_tab(5);
    wait_match("this scheme, seed [0-9]+");
    wait_match("no difference so far");
    press("ithe hen in the barn\r");
    wait_match("^the hen in the barn");
    press("I");
    wait_match("temperature seed: [0-9.]+ [0-9]+");
    press(CLEAR_LINE "warm\r");
    wait_match("'warm'.*expected");
    wait_for("temperature seed: warm");
    press(CLEAR_LINE "0.5 99\r");
    wait_for("seed 99");
    wait_gone("temperature seed:");
    press("1" PTY_KEY_HOME "j");
    await_selected("blk.0");
    type_scheme("int4:tensor");
    await_cell("blk.0", "WEIGHT", "int4");
    press("6r");
    wait_match("first difference at token [0-9]+");
    wait_match("[0-9.]+ % .*[0-9.]+ %");
    assert_ends("q");
}

static void test_prompt_is_seen_everywhere(void **state)
{
    (void)state;
    start(24, 100);
    press("i");
    wait_for("prompt:");
    press("the hex" PTY_KEY_BACKSPACE "n\r");
    wait_for("> the hen");
    press("r");
    wait_match("begins again");
    launch(24, 100, model, WORDS("-p", "on the barn"), NULL);
    wait_for("> on the barn");
    assert_ends("q");
}

static void test_pause(void **state)
{
    (void)state;
    start(24, 100);
    wait_match(DECODING);
    press("p");
    wait_match("decode.*paused");
    press("p");
    wait_match(DECODING);
    assert_ends("q");
}

/* ---- the mouse ------------------------------------------------------------------------------- */

/* A click as xterm reports it in the mode that the program has asked for. */
static void click(int button, int row, int col)
{
    char keys[64];
    if (pty_raw_has(term, "\033[?1006", 7))
        snprintf(keys, sizeof keys, "\033[<%d;%d;%dM\033[<%d;%d;%dm", button, col + 1, row + 1,
                 button, col + 1, row + 1);
    else
        snprintf(keys, sizeof keys, "\033[M%c%c%c\033[M#%c%c", 32 + button, 33 + col, 33 + row,
                 33 + col, 33 + row);
    press(keys);
}

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

static void test_machine_screen(void **state)
{
    (void)state;
    start(24, 80);
    press("7");
    await_tab(6);
    wait_for("processor  ");
    wait_match("may use +[0-9]+ package");
    wait_match("tree +.*");
    press(PTY_KEY_END);
    wait_gone("processor  ");
    wait_for("memory-traffic");
    press(PTY_KEY_HOME);
    wait_for("processor  ");
    press(PTY_KEY_DOWN);
    wait_gone("processor  ");
    press(PTY_KEY_UP);
    wait_for("processor  ");
    press(PTY_KEY_PGDN);
    wait_match("GMAC/s +MEDIAN");
    for (int i = 0; i < 8; i++)
        click(64, 10, 5); /* the wheel */
    wait_for("processor  ");
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

static void test_every_screen_at_40_by_10(void **state)
{
    static const char *const expected[] = {"token_embd",  "SQNR|stored", "decode +([0-9.]+|no roof)|measuring",
                                           "task-clock",  "snapshots",   "seed|token",
                                           "processor"};
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

/* Models of every format and of architectures with other tensors than a Llama's. */
static void test_every_screen_on_every_format(void **state)
{
    static const struct {
        const char *path, *layer;
    } models[] = {{"gpt2", "attn_qkv"},
                  {"phi3/model.safetensors", "ffn_gate_up"},
                  {"gpt2/pytorch_model.bin", "ffn_up"},
                  {"gemma2/gemma2.gguf", "post_ffw_norm"}};
    static const char *const expected[] = {"token_embd", "SQNR weights [0-9]", "MAC/B", "task-clock", "^.A +",
                                           "seed [0-9]+", "READ GB/s"};
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char *path;
        assert_true(asprintf(&path, "%s/tests/data/arch/%s", SRCDIR, models[i].path) > 0);
        launch(32, 100, path, NULL, NULL);
        wait_for(models[i].layer);
        wait_match(DECODING);
        press("/attn_output\r");
        type_scheme("int4:g16");
        wait_match("attn_output +[0-9x]+ +int4");
        press("s");
        for (int t = 0; t < TABS; t++) {
            press(tabs[t].key);
            await_tab(t);
            wait_match(expected[t]);
        }
        assert_ends("q");
        free(path);
    }
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

/* ---- what reaches the terminal --------------------------------------------------------------- */

/* Visits everything and looks at every byte that is written meanwhile. */
static void each_output(void (*see)(const char *raw, size_t n))
{
    static const char *const stops[] = {"2",  "X",     "L", "5", "s5", "6", "i", "the hen\r", "6",
                                        "1?", "1dddd", "e", "2", "z",  "1", "<"};
    size_t n;
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        press(stops[i]);
        pty_settle(term, 0.1, 0.25);
        const char *raw = pty_raw(term, &n);
        assert_int_equal(pty_raw_lost(term), 0);
        see(raw, n);
        pty_raw_clear(term);
    }
}

static void see_ascii(const char *raw, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (raw[i] & 0x80)
            fail_msg("byte %#x in '%.40s'", (unsigned char)raw[i], raw + (i < 20 ? 0 : i - 20));
}

static size_t high_bytes;

static void count_high_bytes(const char *raw, size_t n)
{
    for (size_t i = 0; i < n; i++)
        high_bytes += (raw[i] & 0x80) != 0;
}

static void test_ascii(void **state)
{
    static const char *const c_locale[] = {"LC_ALL=C", "LANG=C", NULL};
    (void)state;
    launch(30, 120, model, NULL, c_locale);
    ready();
    each_output(see_ascii);
    assert_ends("q");
    launch(30, 120, model, WORDS("--ascii"), NULL);
    ready();
    press("i\xc3\xa9t\xc3\xa9\r");
    each_output(see_ascii);
    assert_ends("q");
    start(30, 120); /* without either there are some, so the test can see them */
    each_output(count_high_bytes);
    assert_true(high_bytes > 100);
    assert_ends("q");
}

/* Bytes that are no characters may be dropped, but the program goes on. */
static void test_invalid_bytes_as_keys(void **state)
{
    static const char *const locales[] = {"LC_ALL=C", "LC_ALL=C.UTF-8"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        launch(24, 80, model, NULL, WORDS(locales[i]));
        ready();
        press("\xff\xfe\xc3");
        pty_settle(term, 0.2, 0.3); /* curses holds such bytes until a pause */
        press("i");
        wait_for("prompt:");
        press("\xff\x80");
        pty_settle(term, 0.2, 0.3);
        press("the hen\r");
        wait_match("^> .*the hen");
        assert_alive();
        assert_ends("q");
    }
}

/* Whether a control sequence selects a colour. */
static bool is_colour(const char *at, const char *end)
{
    const char *c = at + 2;
    while (c < end && (*c == ';' || (*c >= '0' && *c <= '9')))
        c++;
    if (c == end || *c != 'm')
        return false;
    for (const char *p = at + 2; p < c; p += strcspn(p, ";m") + 1) {
        long value = strtol(p, NULL, 10);
        if ((value >= 30 && value <= 49) || (value >= 90 && value <= 107))
            return true;
    }
    return false;
}

static size_t colours;

static void count_colours(const char *raw, size_t n)
{
    for (size_t i = 0; i + 2 < n; i++)
        colours += raw[i] == '\033' && raw[i + 1] == '[' && is_colour(raw + i, raw + n);
}

static void test_no_colour(void **state)
{
    (void)state;
    launch(30, 120, model, NULL, WORDS("NO_COLOR=1"));
    ready();
    each_output(count_colours);
    assert_int_equal(colours, 0);
    assert_ends("q");
    launch(30, 120, model, WORDS("--no-color"), NULL);
    ready();
    each_output(count_colours);
    assert_int_equal(colours, 0);
    assert_ends("q");
    start(30, 120);
    each_output(count_colours);
    assert_true(colours > 10);
    assert_ends("q");
}

/* Sequences that curses never writes itself. */
static const char *const hostile[] = {"\033]0;evil", "\033P", "\007", "\302\233", "\033[31;1;5m",
                                      "\033[?1049l\033[?", "\302\205", "\033c"};

static void see_harmless(const char *raw, size_t n)
{
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++)
        if (memmem(raw, n, hostile[i], strlen(hostile[i])))
            fail_msg("hostile sequence %zu reaches the terminal", i);
}

static void test_hostile_names(void **state)
{
    char *place = path_in(folder, "hostile"), command[512];
    struct vocabulary_spec v = {0};
    (void)state;
    vocabulary_begin(&v, true);
    while (v.count < 400)
        vocabulary_add(
            &v, v.count % 2 ? "\033]0;evil\007\033P\033[31;1;5m" : "\302\233\302\205\033c\n\t", -1,
            -1);
    struct bytes words = vocabulary_bytes(&v), m = model_bytes(&small_spec);
    snprintf(command, sizeof command, "mkdir '%s'", place);
    assert_int_equal(system(command), 0);
    char *tokenizer = path_in(place, "tokenizer.bin");
    char *path = path_in(place, "a\033]0;evil\007\nb\302\233\xff.bin");
    write_file(tokenizer, words.data, words.size);
    write_file(path, m.data, m.size);
    launch(30, 120, path, NULL, NULL);
    ready();
    assert_non_null(strstr(pty_row(term, 0), "evil")); /* shown, and escaped */
    press("6");
    wait_for("]0;evil");
    each_output(see_harmless);
    press("6");
    press(PTY_KEY_ESC);
    pty_settle(term, 0.1, 0.3);
    assert_ends("q");
    launch(30, 120, place, NULL, NULL); /* an error that names it */
    pty_wait_exit(term, PATIENCE);
    size_t n;
    const char *raw = pty_raw(term, &n);
    see_harmless(raw, n);
    char *missing = path_in(place, "\033]0;evil\007\302\233.bin");
    launch(30, 120, missing, NULL, NULL);
    assert_refused("evil");
    free(missing);
    free(tokenizer);
    free(path);
    free(place);
    bytes_free(&words);
    bytes_free(&m);
    vocabulary_free(&v);
}

/* ---- signals --------------------------------------------------------------------------------- */

/* A sanitizer would report these signals and exit instead. */
static const char *const no_sanitizer_signals[] = {
    "ASAN_OPTIONS=handle_segv=0:handle_sigbus=0:handle_abort=0:handle_sigill=0:handle_sigfpe=0",
    "TSAN_OPTIONS=handle_segv=0:handle_sigbus=0:handle_abort=0:handle_sigill=0:handle_sigfpe=0",
    NULL};

static void assert_killed_by(int number)
{
    int status = pty_wait_exit(term, 10);
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

/* Under a shell with job control: the program is a job, its group no orphan, so Ctrl-Z stops it. */
static void test_suspend_and_resume(void **state)
{
    static const char script[] = "set -m; \"$@\"; echo STOPPED $?; read line; fg; echo DONE $?";
    (void)state;
    run(24, 80, WORDS("sh", "-c", script, "sh", binary, "-t", "1", model), NULL);
    ready();
    for (int i = 0; i < 1; i++) {
        press("\032");
        wait_for("STOPPED");
        assert_restored();
        press("\r");
        ready();
        assert_true(pty_alt_screen(term));
        assert_false(pty_cursor_visible(term));
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

static void test_hangup(void **state)
{
    (void)state;
    start(24, 80);
    pty_hangup(term);
    int status = pty_wait_exit(term, 10);
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
    int status = pty_wait_exit(term, 10);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
}

static bool ends_unread(double seconds)
{
    for (int i = 0; i < seconds * 50; i++) {
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
    for (int i = 0; i < 200 && waiting != before; i++) {
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
    assert_true(ends_unread(5));
    int status = pty_wait_exit(term, 1);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    assert_true(pty_modes_restored(term));
    start(60, 200);
    fill_terminal();
    assert_alive(); /* once it reads again all is well */
    assert_ends("q");
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

/* ---- measurements: printed, and bounded only loosely ----------------------------------------- */

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void test_latency(void **state)
{
    enum { PRESSES = 200 };
    double taken[PRESSES];
    (void)state;
    start(24, 80);
    go_to("attn_q");
    for (int i = 0; i < PRESSES; i++) {
        struct wanted w = {"attn_q", 0, "WEIGHT", i % 2 ? "fp32*" : "fp16", false};
        taken[i] = pty_latency(term, i % 2 ? "u" : "d", shows_cell, &w, PATIENCE);
        assert_true(taken[i] >= 0);
    }
    qsort(taken, PRESSES, sizeof *taken, by_value);
    fprintf(stderr, "key to visible effect: p50 %.1f ms, p99 %.1f ms\n", 1e3 * taken[PRESSES / 2],
            1e3 * taken[PRESSES * 99 / 100]);
    assert_true(taken[PRESSES / 2] < 0.5);
    assert_ends("q");
}

/* Seconds of processor that the program's first thread, the view's, has used. */
static double view_seconds(void)
{
    char path[96];
    unsigned long long ns = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/schedstat", (int)pty_pid(term),
             (int)pty_pid(term));
    FILE *f = fopen(path, "re");
    bool ok = f && fscanf(f, "%llu", &ns) == 1;
    if (f)
        fclose(f);
    return ok ? 1e-9 * (double)ns : NAN; /* not every kernel keeps account */
}

static bool grows(struct pty *p, void *arg)
{
    size_t n;
    pty_raw(p, &n);
    return n != *(const size_t *)arg;
}

static void test_cost_of_drawing(void **state)
{
    const double seconds = 3;
    size_t bursts = 0, n;
    (void)state;
    start(24, 80);
    wait_match(DECODING);
    double cpu = view_seconds(), begin = seconds_now();
    while (seconds_now() - begin < seconds) {
        pty_raw_clear(term);
        n = 0;
        if (pty_wait_until(term, grows, &n, 1)) { /* a drawing is one burst of output */
            bursts++;
            pty_settle(term, 0.004, 0.05);
        }
    }
    double took = seconds_now() - begin;
    cpu = view_seconds() - cpu;
    fprintf(stderr, "view thread: %.1f %% of a processor, %.1f drawings a second\n",
            100 * cpu / took, (double)bursts / took);
    assert_true(bursts >= 3); /* it moves */
    assert_ends("q");
}

#define TEST(name) cmocka_unit_test_teardown(name, stop_and_forget)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_start_and_quit),
        TEST(test_meters),
        TEST(test_starts_quantized),
        TEST(test_not_finite_weights_are_announced),
        TEST(test_terminals_that_will_not_do),
        TEST(test_no_terminal),
        TEST(test_bad_files),
        TEST(test_every_key_on_every_screen),
        TEST(test_every_key_without_a_row),
        TEST(test_help_lists_every_key),
        TEST(test_help_fits_a_small_terminal),
        TEST(test_unknown_keys_are_named),
        TEST(test_keys_change_a_layer),
        TEST(test_weight_cycle_is_complete),
        TEST(test_what_does_not_apply_is_explained),
        TEST(test_undo_and_redo),
        TEST(test_block_row_changes_its_layers),
        TEST(test_tagged_layers_change_together),
        TEST(test_same_scheme_in_every_block),
        TEST(test_same_scheme_right_after_a_change),
        TEST(test_kv_row),
        TEST(test_editor),
        TEST(test_editor_choices_apply),
        TEST(test_moving),
        TEST(test_search),
        TEST(test_filter),
        TEST(test_sort),
        TEST(test_fold),
        TEST(test_snapshots),
        TEST(test_compare_screen),
        TEST(test_recipe),
        TEST(test_evaluation),
        TEST(test_screens),
        TEST(test_redraw),
        TEST(test_error_screen),
        TEST(test_roofline_screen),
        TEST(test_counters_screen),
        TEST(test_machine_screen),
        TEST(test_layers_alone),
        TEST(test_search_within_a_budget),
        TEST(test_export),
        TEST(test_readonly),
        TEST(test_settings),
        TEST(test_methods),
        TEST(test_another_reference),
        TEST(test_text_screen),
        TEST(test_prompt_is_seen_everywhere),
        TEST(test_pause),
        TEST(test_mouse),
        TEST(test_no_mouse),
        TEST(test_every_size),
        TEST(test_starts_at_odd_sizes),
        TEST(test_random_sizes_while_a_job_runs),
        TEST(test_small_screens_show_what_matters),
        TEST(test_every_screen_at_40_by_10),
        TEST(test_every_screen_on_every_format),
        TEST(test_storm_of_size_signals),
        TEST(test_ascii),
        TEST(test_invalid_bytes_as_keys),
        TEST(test_no_colour),
        TEST(test_hostile_names),
        TEST(test_fatal_signals),
        TEST(test_interrupt_keys),
        TEST(test_ignored_signals_stay_ignored),
        TEST(test_model_cut_short_while_in_use),
        TEST(test_suspend_and_resume),
        TEST(test_stop_and_continue),
        TEST(test_hangup),
        TEST(test_hangup_under_nohup),
        TEST(test_terminal_that_does_not_read),
        TEST(test_many_keys_at_once),
        TEST(test_latency),
        TEST(test_cost_of_drawing),
    };
    cmocka_set_test_filter(getenv("QTOP_TEST")); /* a pattern, or null for all */
    return cmocka_run_group_tests_name("tui", tests, make_files, remove_files);
}

/* tuiwork.h - the terminal program, seen as a person sees it: keys go into a pseudo-terminal, and what counts is
 * what stands on the screen. The binary is QTOP_BIN, else ./qtop. For one test program at a time. */
#ifndef QTOP_TESTS_TUIWORK_H
#define QTOP_TESTS_TUIWORK_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "caches.h"
#include "modelfile.h"
#include "pty.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_ARGS = 16, CELL_TEXT = 40 };

#define CLEAR_LINE "\025" /* Ctrl-U: empties a line of input */
#define DECODING   "decode (\\[.*\\] )?[0-9.]+[kM]? tok/s" /* the meter's value; prefill has one, too */

static char *folder, *binary, *model;
static struct pty *term; /* of the test that runs */

/* ---- files ----------------------------------------------------------------------------------- */

static inline char *write_model(const char *name, const struct model_spec *spec)
{
    struct bytes b = model_bytes(spec);
    char *path = path_in(folder, name);
    write_file(path, b.data, b.size);
    bytes_free(&b);
    return path;
}

static const struct model_spec small_spec = {1, false, 64, 96, 3, 4, 2, 400, 128, 32, 1};

/* The first lines of a text that comes with the program, under its name. */
static inline void put_beginning(const char *data, const char *name, size_t most)
{
    char *from = path_in(SRCDIR "/data", name), *to = path_in(data, name);
    struct bytes b = read_file(from);
    size_t n = b.size < most ? b.size : most;
    while (n > 0 && b.data[n - 1] != '\n')
        n--;
    write_file(to, b.data, n);
    bytes_free(&b);
    free(from);
    free(to);
}

/* What models are judged and calibrated on unless a test names a text: in a moment. */
static inline void put_texts(void)
{
    char *data = path_in(folder, "data");
    mkdir(data, 0700);
    put_beginning(data, "mixed-quality.txt", 1500);
    put_beginning(data, "mixed-calibration.txt", 2500);
    setenv("QTOP_DATA", data, 1);
    free(data);
}

static inline int make_files(void **state)
{
    struct vocabulary_spec words = vocabulary_usual(400);
    struct bytes b = vocabulary_bytes(&words);
    const char *chosen = getenv("QTOP_BIN");
    (void)state;
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); /* some tests kill with signals that dump */
    folder = folder_make();
    caches_shrink();
    char *cache = path_in(folder, "cache"); /* roofs are kept for the next program, not the person's own */
    setenv("XDG_CACHE_HOME", cache, 1);
    free(cache);
    char *config = path_in(folder, "config");
    setenv("XDG_CONFIG_HOME", config, 1);
    free(config);
    put_texts();
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

static inline int remove_files(void **state)
{
    (void)state;
    free(binary);
    free(model);
    folder_remove(folder);
    return 0;
}

static inline int stop(void **state)
{
    (void)state;
    pty_stop(term);
    term = NULL;
    return 0;
}

/* Settings that a test kept (the key for it is among those that several press) are not the next test's. */
static inline int stop_and_forget(void **state)
{
    char *file = path_in(folder, "config/qtop/settings.json");
    unlink(file);
    free(file);
    return stop(state);
}

#define TEST(name) cmocka_unit_test_teardown(name, stop_and_forget)

/* A sanitizer would report these signals and exit instead. */
static const char *const no_sanitizer_signals[] __attribute__((unused)) = {
    "ASAN_OPTIONS=handle_segv=0:handle_sigbus=0:handle_abort=0:handle_sigill=0:handle_sigfpe=0",
    "TSAN_OPTIONS=handle_segv=0:handle_sigbus=0:handle_abort=0:handle_sigill=0:handle_sigfpe=0",
    NULL};

/* ---- starting and waiting -------------------------------------------------------------------- */

/* Null-terminated lists of words. */
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static inline void run(int rows, int cols, const char *const words[], const char *const env[])
{
    stop(NULL);
    term = pty_start(rows, cols, words, env);
    assert_non_null(term);
}

/* qtop with a seed, one thread, more options and a model, without waiting for anything. */
static inline void launch(int rows, int cols, const char *path, const char *const more[], const char *const env[])
{
    const char *words[MOST_ARGS] = {binary, "--seed", "8", "-t", "1"};
    size_t n = 5;
    for (size_t i = 0; more && more[i]; i++)
        words[n++] = more[i];
    words[n] = path;
    run(rows, cols, words, env);
}

static inline void wait_for(const char *text)
{
    if (pty_wait_for(term, text, PATIENCE))
        return;
    pty_show(term, stderr);
    fail_msg("the screen does not show '%s'", text);
}

/* Where a text is, once it is there. */
static inline void find(const char *text, int *row, int *col)
{
    wait_for(text);
    assert_true(pty_find(term, text, row, col));
}

static inline void wait_gone(const char *text)
{
    if (pty_wait_gone(term, text, PATIENCE))
        return;
    pty_show(term, stderr);
    fail_msg("the screen still shows '%s'", text);
}

static inline void wait_match(const char *regex)
{
    if (pty_wait_match(term, regex, PATIENCE))
        return;
    pty_show(term, stderr);
    fail_msg("the screen shows nothing like '%s'", regex);
}

static inline void wait_until(pty_predicate *pred, const void *arg, const char *what)
{
    if (pty_wait_until(term, pred, (void *)(uintptr_t)arg, PATIENCE))
        return;
    pty_show(term, stderr);
    fail_msg("the screen does not come to: %s", what);
}

static inline void press(const char *keys)
{
    assert_true(pty_send(term, keys));
}

static inline bool shows_text(struct pty *p, void *text)
{
    return pty_find(p, text, NULL, NULL);
}

/* Presses keys until a text is seen that may be gone again before this program runs: once a second. */
static inline void press_until(const char *keys, const char *text)
{
    bool seen = false;
    for (int i = 0; i < PATIENCE && !seen; i++) {
        press(keys);
        seen = pty_wait_until(term, shows_text, (void *)(uintptr_t)text, 1);
    }
    if (seen)
        return;
    pty_show(term, stderr);
    fail_msg("the screen never shows '%s'", text);
}

/* The footer is drawn last. */
static inline void ready(void)
{
    wait_for("attn_q");
    wait_for("Quit");
}

static inline void start(int rows, int cols)
{
    launch(rows, cols, model, NULL, NULL);
    ready();
}

/* Whether the program has asked for the mouse since the bytes were last cleared, and not given it
 * back. The sequences set two modes at once, which the terminal's own record does not follow. */
static inline bool asks_for_mouse(void)
{
    size_t n;
    bool on = false;
    const char *raw = pty_raw(term, &n);
    for (size_t i = 0; i + 5 <= n; i++)
        if (memcmp(raw + i, "1000h", 5) == 0 || memcmp(raw + i, "1000l", 5) == 0)
            on = raw[i + 4] == 'h';
    return on;
}

static inline void assert_restored(void)
{
    assert_false(pty_alt_screen(term));
    assert_true(pty_cursor_visible(term));
    assert_false(asks_for_mouse());
    assert_true(pty_modes_restored(term));
}

static inline void assert_ends(const char *keys)
{
    press(keys);
    if (keys[strlen(keys) - 1] == 'q') /* again, where it asks */
        press("q");
    int status = pty_wait_exit(term, PATIENCE);
    if (status != 0)
        pty_show(term, stderr);
    assert_int_equal(status, 0);
    assert_restored();
}

/* Runs to the end; one line, status 1, and not one control sequence. */
static inline void assert_refused(const char *expected)
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

/* ---- reading the table ----------------------------------------------------------------------- */

/* n cells of a row as text, one byte each. */
static inline void read_cells(struct pty *p, int row, int col, int n, char *out)
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

static inline int heading_row(struct pty *p)
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

/* The word of a row under a title of the heading; "" where there is none. Numbers are flush right. */
static inline void cell_at(struct pty *p, int row, const char *title, char out[CELL_TEXT])
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
    long begin = found - heading, end = begin + (long)strlen(title) + (strchr("?^v", found[strlen(title)]) != NULL && found[strlen(title)]);
    if (line[begin] != ' ' && (begin == 0 || line[begin - 1] == ' ')) {
        end = begin + (long)strcspn(line + begin, " ");
    } else {
        for (begin = end; begin > 0 && line[begin - 1] != ' '; begin--)
            continue;
    }
    snprintf(out, CELL_TEXT, "%.*s", (int)(end - begin), line + begin);
}

/* The name in a row of the table without indentation, tag and fold mark; false below the table. */
static inline bool name_at(struct pty *p, int row, char out[CELL_TEXT])
{
    char line[25], weight[CELL_TEXT];
    read_cells(p, row, 0, 24, line);
    cell_at(p, row, "WEIGHT", weight);
    const char *name = line + strspn(line, " *+->?");
    snprintf(out, CELL_TEXT, "%.*s", (int)strcspn(name, " "), name);
    return row > heading_row(p) && *out && *weight && name - line <= 6;
}

/* The row on the screen of the nth layer of that name, or -1. */
static inline int row_of(struct pty *p, const char *layer, int nth)
{
    int rows, cols, head = heading_row(p);
    char name[CELL_TEXT];
    pty_size(p, &rows, &cols);
    for (int r = head + 1; head >= 0 && r < rows && name_at(p, r, name); r++)
        if (strcmp(name, layer) == 0 && nth-- == 0)
            return r;
    return -1;
}

static inline int selected_row(struct pty *p)
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

static inline bool shows_cell(struct pty *p, void *arg)
{
    const struct wanted *w = arg;
    char cell[CELL_TEXT];
    int row = w->layer ? row_of(p, w->layer, w->nth) : selected_row(p);
    if (row < 0)
        return false;
    cell_at(p, row, w->column, cell);
    return *cell && (strcmp(cell, w->value) == 0) != w->differs;
}

static inline void await_cell(const char *layer, const char *column, const char *value)
{
    struct wanted w = {layer, 0, column, value, false};
    char what[128];
    snprintf(what, sizeof what, "%s of %s is %s", column, layer, value);
    wait_until(shows_cell, &w, what);
}

static inline void await_other(const char *layer, const char *column, const char *value)
{
    struct wanted w = {layer, 0, column, value, true};
    char what[128];
    snprintf(what, sizeof what, "%s of %s is not %s", column, layer, value);
    wait_until(shows_cell, &w, what);
}

static inline void assert_cell(const char *layer, int nth, const char *column, const char *value)
{
    char cell[CELL_TEXT];
    int row = row_of(term, layer, nth);
    assert_true(row >= 0);
    cell_at(term, row, column, cell);
    assert_string_equal(cell, value);
}

static inline bool has_selected(struct pty *p, void *layer)
{
    char name[CELL_TEXT];
    int row = selected_row(p);
    return row >= 0 && name_at(p, row, name) && strcmp(name, layer) == 0;
}

static inline void await_selected(const char *layer)
{
    wait_until(has_selected, layer, layer);
}

/* ---- typing and clicking --------------------------------------------------------------------- */

/* Puts the cursor on a layer of the first block. */
static inline void go_to(const char *layer)
{
    press(PTY_KEY_HOME "/blk.0.");
    press(layer);
    press("\r");
    await_selected(layer);
}

static inline void type_scheme(const char *scheme)
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
    {"5", "5 Compare"}, {"6", "6 Text"},  {"7", "7 Machine"},
    {"8", "8 Advise"}, {"9", "9 Map"}, {"0", "0 Jobs"}};
enum { TABS = sizeof tabs / sizeof *tabs };

static inline bool on_tab(struct pty *p, void *label)
{
    int row, col;
    return pty_find(p, label, &row, &col) && pty_is_reverse(p, row, col);
}

static inline void await_tab(int tab)
{
    wait_until(on_tab, tabs[tab].label, tabs[tab].label);
}

static inline void assert_alive(void)
{
    press("\033\033\0331?"); /* Esc closes what may be open; then help, which is like nothing else */
    wait_for("On this screen, Layers");
    press("1");
    await_tab(0);
}

/* A click as xterm reports it in the mode that the program has asked for. */
static inline void click(int button, int row, int col)
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

#endif

/* pty.h - runs a program in a pseudo-terminal and reads its screen through libvterm.
 *
 * A test starts a program, sends keys and waits for the screen to show something:
 *
 *     const char *const argv[] = {"./qtop", NULL};
 *     struct pty *p = pty_start(24, 80, argv, NULL);
 *     assert_non_null(p);
 *     assert_true(pty_wait_for(p, "ready", 5));
 *     assert_true(pty_send(p, "q"));
 *     assert_int_equal(pty_wait_exit(p, 5), 0);
 *     assert_true(pty_modes_restored(p));
 *     pty_stop(p);
 *
 * Rows and columns count from 0, in cells. Times are seconds on the monotonic clock. Nothing
 * sleeps: every wait polls the terminal until its condition or its deadline. The program's output
 * is read only inside the functions that say so: a test that calls none of them is a stalled
 * terminal. A wait looks at the screen whenever it has read what is there, so it may see a frame
 * half drawn: wait for what is drawn last, or use pty_settle(). Running out of memory aborts. */
#ifndef QTOP_TESTS_PTY_H
#define QTOP_TESTS_PTY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>
#include <termios.h>
#include <vterm.h>

/* What xterm sends, as in terminfo's xterm-256color: arrows, Home and End in application mode. */
#define PTY_KEY_F1        "\033OP"
#define PTY_KEY_F2        "\033OQ"
#define PTY_KEY_F3        "\033OR"
#define PTY_KEY_F4        "\033OS"
#define PTY_KEY_F5        "\033[15~"
#define PTY_KEY_F6        "\033[17~"
#define PTY_KEY_F7        "\033[18~"
#define PTY_KEY_F8        "\033[19~"
#define PTY_KEY_F9        "\033[20~"
#define PTY_KEY_F10       "\033[21~"
#define PTY_KEY_UP        "\033OA"
#define PTY_KEY_DOWN      "\033OB"
#define PTY_KEY_RIGHT     "\033OC"
#define PTY_KEY_LEFT      "\033OD"
#define PTY_KEY_HOME      "\033OH"
#define PTY_KEY_END       "\033OF"
#define PTY_KEY_INSERT    "\033[2~"
#define PTY_KEY_DELETE    "\033[3~"
#define PTY_KEY_PGUP      "\033[5~"
#define PTY_KEY_PGDN      "\033[6~"
#define PTY_KEY_BACKTAB   "\033[Z"
#define PTY_KEY_BACKSPACE "\177"
#define PTY_KEY_TAB       "\t"
#define PTY_KEY_ENTER     "\r"
#define PTY_KEY_ESC       "\033"

enum { PTY_RAW_SIZE = 64 * 1024 }; /* bytes of output that pty_raw() keeps */

struct pty;

/* Whether the screen is as a test wants it. It reads p through the functions under "The screen". */
typedef bool pty_predicate(struct pty *p, void *arg);

/* --- The program --- */

/* Starts argv[0], found on the child's PATH, with a terminal of rows x cols as its controlling
 * terminal and standard streams. Signals are at their defaults and no other descriptor is open.
 * The environment is TERM=xterm-256color, LANG and LC_ALL=C.UTF-8, a fixed PATH, HOME=/nonexistent,
 * and from the caller's own ASAN_OPTIONS, LSAN_OPTIONS, TSAN_OPTIONS, UBSAN_OPTIONS, QTOP_*, HWLOC_*,
 * XDG_CACHE_HOME and XDG_CONFIG_HOME; then env, null or
 * ended by null, sets ("NAME=value") or removes ("NAME"). Both arrays are borrowed for the call.
 * Null with errno set when there is no terminal or process; a program that cannot be run says so on
 * the screen and exits with 127. The caller frees the result with pty_stop(). */
struct pty *pty_start(int rows, int cols, const char *const argv[], const char *const env[]);

/* Kills the program's process group if it still runs, reaps it, frees p. Null is allowed. */
void pty_stop(struct pty *p);

/* Reads output until the program ends and then what it left behind; its waitpid() status, also
 * when asked again, or -1 when it still runs after `seconds`. */
int pty_wait_exit(struct pty *p, double seconds);

/* Sends a signal to the program alone, not to its group. False once it is reaped. */
bool pty_signal(struct pty *p, int sig);

/* Closes the terminal, as a lost connection does: the program gets SIGHUP. */
void pty_hangup(struct pty *p);

/* Gives the terminal a new size; the kernel sends SIGWINCH. False with errno when it cannot. */
bool pty_resize(struct pty *p, int rows, int cols);

pid_t pty_pid(const struct pty *p);  /* the program, and its process group */
int pty_master(const struct pty *p); /* nonblocking and owned by p; -1 after pty_hangup() */

/* The terminal's modes now, also after the program's end. False with errno when it has none. */
bool pty_termios(struct pty *p, struct termios *modes);

/* Whether the modes are those that the program was started with. */
bool pty_modes_restored(struct pty *p);

/* --- Typing --- */

/* Types a string, or n bytes. Reads output only while the terminal takes no more input, so that
 * neither side waits for the other. False, with the rest dropped, when the terminal is gone or
 * takes nothing for PATIENCE seconds (support.h). */
bool pty_send(struct pty *p, const char *bytes);
bool pty_send_n(struct pty *p, const char *bytes, size_t n);

/* --- Waiting: these read output --- */

/* True as soon as pred(p, arg) holds; false after `seconds`, or at the end of the output. */
bool pty_wait_until(struct pty *p, pty_predicate *pred, void *arg, double seconds);

/* The same for: a row contains the text; no row does; a row matches the POSIX extended regular
 * expression (without setlocale() its "." is one byte). On failure they print the screen to stderr;
 * to assert an absence use pty_find(). */
bool pty_wait_for(struct pty *p, const char *text, double seconds);
bool pty_wait_gone(struct pty *p, const char *text, double seconds);
bool pty_wait_match(struct pty *p, const char *regex, double seconds);

/* Reads what is there; whether nothing more comes for `seconds`. */
bool pty_quiet(struct pty *p, double seconds);

/* Waits at most `seconds` for output to pause for `pause` seconds; whether it did. */
bool pty_settle(struct pty *p, double pause, double seconds);

/* Types bytes; the seconds from then until pred(p, arg) holds. -1 when it does not within `seconds`
 * or held before, as there is nothing to measure then. */
double pty_latency(struct pty *p, const char *bytes, pty_predicate *pred, void *arg,
                   double seconds);

/* --- The screen: as last read, without reading --- */

/* A row in UTF-8 without trailing blanks; "" outside the screen. Owned by p, valid until the next
 * call of any function here. */
const char *pty_row(struct pty *p, int row);

/* All rows, each ended by a newline. The caller frees it. */
char *pty_dump(struct pty *p);

/* Prints the screen with its size and cursor, for a person. */
void pty_show(struct pty *p, FILE *to);

/* Finds text in the rows, from the top, as pty_row() gives them; where it begins goes to *row and
 * *col, either of which may be null. */
bool pty_find(struct pty *p, const char *text, int *row, int *col);

/* Whether a row matches the POSIX extended regular expression; a bad one is reported, and false. */
bool pty_match(struct pty *p, const char *regex);

/* One cell with its attributes and colours; false outside the screen. The second cell of a wide
 * character has chars[0] == (uint32_t)-1. */
bool pty_cell(struct pty *p, int row, int col, VTermScreenCell *cell);
bool pty_is_reverse(struct pty *p, int row, int col);

void pty_size(const struct pty *p, int *rows, int *cols);
void pty_cursor(const struct pty *p, int *row, int *col);
bool pty_cursor_visible(const struct pty *p);
bool pty_alt_screen(const struct pty *p);
int pty_mouse(const struct pty *p); /* VTERM_PROP_MOUSE_NONE, _CLICK, _DRAG or _MOVE */

/* --- The bytes that were read --- */

/* The last PTY_RAW_SIZE bytes at most since the start or pty_raw_clear(); *n is how many. Owned by
 * p, valid until more is read. Not ended by a null. */
const char *pty_raw(const struct pty *p, size_t *n);

/* Whether these n bytes are among them. Their absence proves something only if pty_raw_lost() is 0,
 * the number of bytes since the start or pty_raw_clear() that are no longer kept. */
bool pty_raw_has(const struct pty *p, const char *bytes, size_t n);
size_t pty_raw_lost(const struct pty *p);
void pty_raw_clear(struct pty *p);

#endif

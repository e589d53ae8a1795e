/* Starting and restoring the terminal. A signal that ends the program (interrupt.h) restores it without curses, by
 * writing strings that were looked up before. */
#include "tui.h"

#include "base/escape.h"
#include "interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <term.h>
#include <termios.h>
#include <unistd.h>

/* Curses' headers give these words other meanings. */
#undef lines
#undef columns

enum { RESTORE_PATIENCE = 1000 /* milliseconds */ };

static struct termios modes;
static char restore[256];
static size_t restore_length;
static volatile sig_atomic_t active;
static volatile sig_atomic_t suspend_asked;
static struct sigaction suspend_before;
static SCREEN *screen;

/* A terminal that is slow to read gets some time, one that does not read must not hold up a death. */
static void write_restore(void)
{
    size_t done = 0;
    for (int attempts = 0; done < restore_length && attempts < 10; attempts++) {
        struct pollfd out = {STDOUT_FILENO, POLLOUT, 0};
        ssize_t n = write(STDOUT_FILENO, restore + done, restore_length - done);
        if (n > 0)
            done += (size_t)n;
        else
            poll(&out, 1, RESTORE_PATIENCE / 10);
    }
}

static void restore_now(void)
{
    if (!active)
        return;
    active = 0;
    int flags = fcntl(STDOUT_FILENO, F_GETFL);
    fcntl(STDOUT_FILENO, F_SETFL, flags | O_NONBLOCK);
    write_restore();
    fcntl(STDOUT_FILENO, F_SETFL, flags);
    tcsetattr(STDIN_FILENO, TCSANOW, &modes);
}

static void ask_suspend(int number)
{
    (void)number;
    suspend_asked = 1;
}

static void catch_suspend(void)
{
    static const struct sigaction sa = {.sa_handler = ask_suspend};
    sigaction(SIGTSTP, NULL, &suspend_before);
    if (suspend_before.sa_handler != SIG_IGN)
        sigaction(SIGTSTP, &sa, NULL);
}

static void release_signals(void)
{
    interrupt_restores(NULL);
    sigaction(SIGTSTP, &suspend_before, NULL);
}

static void add_string(const char *capability)
{
    const char *s = tigetstr(capability);
    size_t n = s && s != (const char *)-1 ? strlen(s) : 0;
    if (restore_length + n > sizeof restore)
        return;
    memcpy(restore + restore_length, s ? s : "", n);
    restore_length += n;
}

static void remember_strings(bool mouse)
{
    static const char mouse_off[] = "\033[?1000l\033[?1006l";
    restore_length = 0;
    if (mouse) {
        memcpy(restore, mouse_off, sizeof mouse_off - 1);
        restore_length = sizeof mouse_off - 1;
    }
    add_string("sgr0");
    add_string("cnorm");
    add_string("rmkx");
    add_string("rmcup");
}

/* What setupterm found is only looked at; curses sets the terminal up for itself. */
static bool look_up(bool mouse)
{
    const char *cup = tigetstr("cup");
    bool can = cup && cup != (const char *)-1;
    remember_strings(mouse);
    del_curterm(cur_term);
    return can;
}

static bool check_terminal(bool mouse, struct error *error)
{
    const char *name = getenv("TERM");
    char shown[64];
    int status;
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return error_set(error, "standard %s is not a terminal; the subcommands inspect, bench, eval "
                                "and generate need none (see qtop --help)",
                         isatty(STDIN_FILENO) ? "output" : "input");
    escape_text(shown, sizeof shown, name ? name : "", name ? strlen(name) : 0);
    if (!name || !*name)
        return error_set(error, "the environment variable TERM is not set; expected a terminal type "
                                "such as xterm-256color");
    if (setupterm(name, STDOUT_FILENO, &status) != OK)
        return error_set(error, "TERM is '%s', an unknown terminal type; expected one such as "
                                "xterm-256color", shown);
    if (!look_up(mouse))
        return error_set(error, "TERM is '%s', a terminal that cannot position the cursor; the "
                                "subcommands need none (see qtop --help)", shown);
    return true;
}

/* Ctrl-C is a key, which asks before something is lost. Known to curses, which sets these modes again after a stop. */
static void take_interrupt_key(void)
{
    struct termios now;
    if (tcgetattr(STDIN_FILENO, &now) != 0)
        return;
    now.c_cc[VINTR] = _POSIX_VDISABLE;
    tcsetattr(STDIN_FILENO, TCSANOW, &now);
    def_prog_mode();
}

/* What terminals send that are described as others: tmux and screen as xterm, rxvt. */
static const struct {
    const char *sequence;
    int key;
} more_keys[] = {{"\033[1~", KEY_HOME}, {"\033[4~", KEY_END}, {"\033[7~", KEY_HOME}, {"\033[8~", KEY_END},
                 {"\033[H", KEY_HOME},  {"\033[F", KEY_END},  {"\033OH", KEY_HOME},  {"\033OF", KEY_END},
                 {"\033[A", KEY_UP},    {"\033[B", KEY_DOWN}, {"\033[C", KEY_RIGHT}, {"\033[D", KEY_LEFT}};

static void set_modes(bool mouse)
{
    cbreak();
    noecho();
    nonl();
    take_interrupt_key();
    keypad(stdscr, TRUE);
    for (size_t i = 0; i < sizeof more_keys / sizeof *more_keys; i++)
        define_key(more_keys[i].sequence, more_keys[i].key);
    nodelay(stdscr, TRUE);
    curs_set(0);
    if (mouse) {
        mousemask(BUTTON1_PRESSED | BUTTON4_PRESSED | BUTTON5_PRESSED, NULL);
        mouseinterval(0);
    }
}

/* No signal comes between the first byte that changes the terminal and the moment when it would be given back. */
static bool start_screen(bool mouse)
{
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    screen = newterm(NULL, stdout, stdin);
    if (screen) {
        set_modes(mouse); /* which flushes what newterm has written */
        active = 1;
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return screen != NULL;
}

bool terminal_begin(bool ascii, bool color, bool mouse, struct error *error)
{
    if (!check_terminal(mouse, error))
        return false;
    tcgetattr(STDIN_FILENO, &modes);
    set_escdelay(25);
    catch_suspend(); /* before curses looks: it leaves signals alone that somebody handles */
    interrupt_restores(restore_now);
    if (!start_screen(mouse)) {
        release_signals();
        return error_set(error, "the terminal cannot be started");
    }
    widgets_begin(ascii, color);
    return true;
}

/* While the program was stopped the size of the terminal was not its to be told. */
static void take_size(void)
{
    struct winsize now;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &now) == 0 && now.ws_row && now.ws_col &&
        is_term_resized(now.ws_row, now.ws_col))
        resizeterm(now.ws_row, now.ws_col);
}

bool terminal_suspend(void)
{
    if (!suspend_asked)
        return false;
    endwin();
    active = 0;
    sigaction(SIGTSTP, &suspend_before, NULL);
    raise(SIGTSTP); /* returns when the program is continued */
    suspend_asked = 0;
    catch_suspend();
    active = 1;
    take_size();
    return true;
}

bool terminal_is_begun(void)
{
    return active;
}

void terminal_end(void)
{
    if (!active)
        return;
    endwin();
    active = 0;
    delscreen(screen);
    release_signals();
}

/* Starting and restoring the terminal. A fatal signal restores it without curses, by writing strings
 * that were looked up before, and then kills the program as it would have died without us. */
#include "tui.h"

#include "base/escape.h"

#include <errno.h>
#include <fcntl.h>
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

static const int fatal[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
enum { FATAL = sizeof fatal / sizeof *fatal };

static struct sigaction previous[FATAL];
static struct termios modes;
static char restore[256];
static size_t restore_length;
static volatile sig_atomic_t active;
static volatile sig_atomic_t suspend_asked;
static struct sigaction suspend_before;
static SCREEN *screen;

static void restore_now(void)
{
    if (!active)
        return;
    active = 0;
    /* A terminal that does not read must not hold up a death. */
    int flags = fcntl(STDOUT_FILENO, F_GETFL);
    fcntl(STDOUT_FILENO, F_SETFL, flags | O_NONBLOCK);
    ssize_t ignored = write(STDOUT_FILENO, restore, restore_length);
    (void)ignored;
    fcntl(STDOUT_FILENO, F_SETFL, flags);
    tcsetattr(STDIN_FILENO, TCSANOW, &modes);
}

static void die(int number)
{
    restore_now();
    for (int i = 0; i < FATAL; i++)
        if (fatal[i] == number)
            sigaction(number, &previous[i], NULL);
    raise(number); /* comes when this handler returns: by the same signal, to whoever had it before */
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

static void catch_signals(void)
{
    struct sigaction sa = {.sa_handler = die};
    sigfillset(&sa.sa_mask);
    for (int i = 0; i < FATAL; i++) {
        struct sigaction old;
        sigaction(fatal[i], NULL, &old);
        previous[i] = old;
        if (old.sa_handler != SIG_IGN)
            sigaction(fatal[i], &sa, NULL);
    }
    catch_suspend();
}

static void release_signals(void)
{
    for (int i = 0; i < FATAL; i++)
        sigaction(fatal[i], &previous[i], NULL);
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
static bool can_place_cursor(void)
{
    const char *cup = tigetstr("cup");
    bool can = cup && cup != (const char *)-1;
    del_curterm(cur_term);
    return can;
}

static bool check_terminal(struct error *error)
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
    if (!can_place_cursor())
        return error_set(error, "TERM is '%s', a terminal that cannot position the cursor; the "
                                "subcommands need none (see qtop --help)", shown);
    return true;
}

bool terminal_begin(bool ascii, bool color, bool mouse, struct error *error)
{
    if (!check_terminal(error))
        return false;
    tcgetattr(STDIN_FILENO, &modes);
    set_escdelay(25);
    catch_signals(); /* before curses looks: it leaves signals alone that somebody handles */
    screen = newterm(NULL, stdout, stdin);
    if (!screen) {
        release_signals();
        return error_set(error, "the terminal cannot be started");
    }
    remember_strings(mouse);
    active = 1;
    cbreak();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    curs_set(0);
    if (mouse) {
        mousemask(BUTTON1_PRESSED | BUTTON4_PRESSED | BUTTON5_PRESSED, NULL);
        mouseinterval(0);
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

void terminal_end(void)
{
    if (!active)
        return;
    endwin();
    active = 0;
    delscreen(screen);
    release_signals();
}

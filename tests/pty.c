/* pty.c - runs a program in a pseudo-terminal and reads its screen through libvterm. */
#include "pty.h"

#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <regex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    CELL_BYTES = VTERM_MAX_CHARS_PER_CELL * 4, /* of UTF-8 */
    CHUNK = 4096,                              /* what one read() of a terminal can give */
    DRAIN_CHUNKS = 16, /* what the kernel holds; a program that never pauses must not hold us */
    SEND_SECONDS = PATIENCE,
};

struct pty {
    pid_t pid;
    int pidfd; /* -1 when the kernel has none */
    bool reaped;
    int status;
    struct termios modes; /* at the start */

    int master;
    bool end;      /* of the output */
    bool deaf;     /* a write failed */
    char *queue;   /* typed, and the terminal's own replies, in order; not yet written */
    size_t queued; /* bytes of it */

    VTerm *vt;
    VTermScreen *screen;
    int rows, cols;
    int props[VTERM_N_PROPS];
    char *line; /* what pty_row() returned */

    char raw[2 * PTY_RAW_SIZE]; /* twice, so that what is kept is in one piece and seldom moves */
    size_t raw_len;
    size_t raw_total; /* since the last clear */
    size_t received;  /* since the start */
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void *grow(void *old, size_t bytes)
{
    void *block = realloc(old, bytes);
    if (!block) {
        perror("pty");
        abort();
    }
    return block;
}

/* --- Traffic --- */

static void enqueue(const char *bytes, size_t n, void *user)
{
    struct pty *p = user;
    if (n == 0)
        return;
    p->queue = grow(p->queue, p->queued + n);
    memcpy(p->queue + p->queued, bytes, n);
    p->queued += n;
}

static void transmit(struct pty *p)
{
    while (p->queued > 0) {
        ssize_t n = write(p->master, p->queue, p->queued);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            p->deaf = true;
            p->queued = 0; /* else poll() would report the descriptor for ever */
            return;
        }
        p->queued -= (size_t)n;
        memmove(p->queue, p->queue + n, p->queued);
    }
}

static void record(struct pty *p, const char *bytes, size_t n)
{
    if (p->raw_len + n > sizeof p->raw) {
        memmove(p->raw, p->raw + p->raw_len - PTY_RAW_SIZE, PTY_RAW_SIZE);
        p->raw_len = PTY_RAW_SIZE;
    }
    memcpy(p->raw + p->raw_len, bytes, n);
    p->raw_len += n;
    p->raw_total += n;
    p->received += n;
}

static void receive(struct pty *p)
{
    char chunk[CHUNK];
    ssize_t n = read(p->master, chunk, sizeof chunk);
    if (n > 0) {
        record(p, chunk, (size_t)n);
        vterm_input_write(p->vt, chunk, (size_t)n); /* replies come back through enqueue() */
        transmit(p);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        p->end = true; /* EIO: no process has the terminal open any more */
    }
}

/* Waits for one event and handles it; whether there was one before the deadline. */
static bool exchange(struct pty *p, double deadline, int pidfd)
{
    struct pollfd fds[] = {
        {.fd = p->end ? -1 : p->master, .events = p->queued > 0 ? POLLIN | POLLOUT : POLLIN},
        {.fd = pidfd, .events = POLLIN},
    };
    double ms = (deadline - now()) * 1e3;
    if (poll(fds, 2, ms <= 0 ? 0 : ms > 1e6 ? 1000000 : (int)ms + 1) <= 0)
        return false;
    if (fds[0].revents & POLLOUT)
        transmit(p);
    if (fds[0].revents & ~POLLOUT)
        receive(p);
    return true;
}

static void drain(struct pty *p)
{
    for (int i = 0; i < DRAIN_CHUNKS && !p->end && exchange(p, 0, -1); i++)
        continue;
}

bool pty_send_n(struct pty *p, const char *bytes, size_t n)
{
    enqueue(bytes, n, p);
    transmit(p);
    double deadline = now() + SEND_SECONDS;
    while (p->queued > 0 && !p->end && now() < deadline) {
        size_t left = p->queued;
        exchange(p, deadline, -1);
        if (p->queued < left)
            deadline = now() + SEND_SECONDS;
    }
    bool sent = p->queued == 0 && !p->deaf;
    p->queued = 0;
    return sent;
}

bool pty_send(struct pty *p, const char *bytes)
{
    return pty_send_n(p, bytes, strlen(bytes));
}

/* --- The program --- */

/* Sets, replaces or removes one variable in a list of n; the new n. */
static size_t put_variable(const char **list, size_t n, const char *entry)
{
    size_t name = strcspn(entry, "=");
    for (size_t i = 0; i < n; i++) {
        if (strncmp(list[i], entry, name) == 0 && list[i][name] == '=') {
            list[i] = list[--n];
            break;
        }
    }
    if (entry[name] == '=')
        list[n++] = entry;
    return n;
}

static size_t count(const char *const list[])
{
    size_t n = 0;
    while (list && list[n])
        n++;
    return n;
}

/* The child's environment. The caller frees the list; the strings stay where they are. */
static const char **make_environment(const char *const env[])
{
    static const char *const fixed[] = {
        "TERM=xterm-256color",
        "LANG=C.UTF-8",
        "LC_ALL=C.UTF-8",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME=/dev/null", /* so that nobody's own settings change a test */
        NULL,
    };
    static const char *const passed[] = {
        "ASAN_OPTIONS=", "LSAN_OPTIONS=", "TSAN_OPTIONS=", "UBSAN_OPTIONS=", "QTOP_",
        "XDG_CACHE_HOME=", "XDG_CONFIG_HOME=", "HWLOC_"};
    const char *const *own = (const char *const *)environ;
    const char **list = grow(NULL, (count(fixed) + count(own) + count(env) + 1) * sizeof *list);
    size_t n = 0;
    for (size_t i = 0; fixed[i]; i++)
        n = put_variable(list, n, fixed[i]);
    for (size_t i = 0; own && own[i]; i++) {
        for (size_t k = 0; k < sizeof passed / sizeof *passed; k++) {
            if (strncmp(own[i], passed[k], strlen(passed[k])) == 0)
                n = put_variable(list, n, own[i]);
        }
    }
    for (size_t i = 0; env && env[i]; i++)
        n = put_variable(list, n, env[i]);
    list[n] = NULL;
    return list;
}

/* Opens a pair of descriptors for a terminal of this size. */
static bool open_terminal(struct pty *p, int *slave)
{
    struct winsize size = {.ws_row = (unsigned short)p->rows, .ws_col = (unsigned short)p->cols};
    char name[64];
    *slave = -1;
    p->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (p->master < 0 || grantpt(p->master) || unlockpt(p->master) ||
        fcntl(p->master, F_SETFL, O_RDWR | O_NONBLOCK) || ptsname_r(p->master, name, sizeof name))
        return false;
    *slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (*slave < 0 || tcgetattr(*slave, &p->modes))
        return false;
    p->modes.c_iflag |= IUTF8; /* as terminal emulators do in a UTF-8 locale */
    return tcsetattr(*slave, TCSANOW, &p->modes) == 0 && ioctl(*slave, TIOCSWINSZ, &size) == 0;
}

static _Noreturn void run_child(int slave, const char *const argv[], const char **env)
{
    setsid();
    ioctl(slave, TIOCSCTTY, 0);
    for (int fd = 0; fd < 3; fd++)
        dup2(slave, fd);
    closefrom(3); /* another terminal's master, kept open here, would defer that one's hangup */
    sigset_t none;
    sigemptyset(&none);
    for (int sig = 1; sig < NSIG; sig++)
        signal(sig, SIG_DFL); /* a test runner under nohup would pass on an ignored SIGHUP */
    sigprocmask(SIG_SETMASK, &none, NULL);
    environ = (char **)env;
    execvp(argv[0], (char *const *)argv);
    perror(argv[0]);
    _exit(127);
}

static int set_property(VTermProp prop, VTermValue *value, void *user)
{
    struct pty *p = user;
    if (prop < VTERM_N_PROPS) {
        VTermValueType type = vterm_get_prop_type(prop);
        if (type == VTERM_VALUETYPE_BOOL)
            p->props[prop] = value->boolean;
        else if (type == VTERM_VALUETYPE_INT)
            p->props[prop] = value->number;
    }
    return 1;
}

static void open_screen(struct pty *p)
{
    static const VTermScreenCallbacks callbacks = {.settermprop = set_property};
    p->vt = vterm_new(p->rows, p->cols);
    vterm_set_utf8(p->vt, 1);
    vterm_output_set_callback(p->vt, enqueue, p);
    p->screen = vterm_obtain_screen(p->vt);
    vterm_screen_set_callbacks(p->screen, &callbacks, p);
    vterm_screen_enable_altscreen(p->screen, 1);
    vterm_screen_reset(p->screen, 1);
}

static bool size_ok(int rows, int cols)
{
    bool ok = rows > 0 && cols > 0 && rows <= 10000 && cols <= 10000;
    if (!ok)
        errno = EINVAL;
    return ok;
}

struct pty *pty_start(int rows, int cols, const char *const argv[], const char *const env[])
{
    if (!size_ok(rows, cols))
        return NULL;
    struct pty *p = grow(NULL, sizeof *p);
    memset(p, 0, sizeof *p);
    p->rows = rows;
    p->cols = cols;
    p->pid = -1;
    int slave;
    if (open_terminal(p, &slave)) {
        const char **list = make_environment(env);
        p->pid = fork();
        if (p->pid == 0)
            run_child(slave, argv, list);
        free(list);
    }
    int error = errno;
    if (slave >= 0)
        close(slave); /* the child has its own; ours would hide the end of the output */
    if (p->pid < 0) {
        if (p->master >= 0)
            close(p->master);
        free(p);
        errno = error;
        return NULL;
    }
    p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
    open_screen(p);
    return p;
}

static bool reap(struct pty *p, int options)
{
    while (!p->reaped) {
        pid_t pid = waitpid(p->pid, &p->status, options);
        if (pid == 0)
            break;
        if (pid < 0 && errno == EINTR)
            continue;
        if (pid < 0)
            p->status = -1; /* somebody else reaped it */
        p->reaped = true;
    }
    return p->reaped;
}

int pty_wait_exit(struct pty *p, double seconds)
{
    double deadline = now() + seconds;
    while (!reap(p, WNOHANG)) {
        double t = now();
        if (t >= deadline)
            return -1;
        /* Without a descriptor for the process there is nothing to poll but the clock. */
        exchange(p, p->pidfd < 0 && t + 0.01 < deadline ? t + 0.01 : deadline, p->pidfd);
    }
    drain(p);
    return p->status;
}

bool pty_signal(struct pty *p, int sig)
{
    return !reap(p, WNOHANG) && kill(p->pid, sig) == 0;
}

void pty_hangup(struct pty *p)
{
    if (p->master >= 0)
        close(p->master);
    p->master = -1;
    p->end = true;
}

void pty_stop(struct pty *p)
{
    if (!p)
        return;
    if (!reap(p, WNOHANG)) {
        kill(p->pid, SIGKILL); /* the group does not exist until the child's setsid() */
        kill(-p->pid, SIGKILL);
    }
    pty_hangup(p);
    reap(p, 0);
    if (p->pidfd >= 0)
        close(p->pidfd);
    vterm_free(p->vt);
    free(p->queue);
    free(p->line);
    free(p);
}

bool pty_resize(struct pty *p, int rows, int cols)
{
    if (!size_ok(rows, cols))
        return false;
    struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols};
    p->rows = rows;
    p->cols = cols;
    vterm_set_size(p->vt, rows, cols);
    return ioctl(p->master, TIOCSWINSZ, &size) == 0;
}

pid_t pty_pid(const struct pty *p)
{
    return p->pid;
}

int pty_master(const struct pty *p)
{
    return p->master;
}

bool pty_termios(struct pty *p, struct termios *modes)
{
    return tcgetattr(p->master, modes) == 0; /* the master's are the terminal's on Linux */
}

bool pty_modes_restored(struct pty *p)
{
    struct termios modes;
    return pty_termios(p, &modes) && modes.c_iflag == p->modes.c_iflag &&
           modes.c_oflag == p->modes.c_oflag && modes.c_cflag == p->modes.c_cflag &&
           modes.c_lflag == p->modes.c_lflag &&
           memcmp(modes.c_cc, p->modes.c_cc, sizeof modes.c_cc) == 0;
}

/* --- Waiting --- */

bool pty_wait_until(struct pty *p, pty_predicate *pred, void *arg, double seconds)
{
    double deadline = now() + seconds;
    for (;;) {
        drain(p);
        if (pred(p, arg))
            return true;
        if (p->end || now() >= deadline)
            return false;
        exchange(p, deadline, -1);
    }
}

static bool has_text(struct pty *p, void *text)
{
    return pty_find(p, text, NULL, NULL);
}

static bool lacks_text(struct pty *p, void *text)
{
    return !pty_find(p, text, NULL, NULL);
}

static bool has_match(struct pty *p, void *regex)
{
    return pty_match(p, regex);
}

static bool wait_or_show(struct pty *p, pty_predicate *pred, const char *text, double seconds,
                         const char *what)
{
    bool held = pty_wait_until(p, pred, (void *)text, seconds);
    if (!held) {
        fprintf(stderr, "pty: %s '%s' %s:\n", what, text,
                p->end ? "at the end of the output" : "in time");
        pty_show(p, stderr);
    }
    return held;
}

bool pty_wait_for(struct pty *p, const char *text, double seconds)
{
    return wait_or_show(p, has_text, text, seconds, "no");
}

bool pty_wait_gone(struct pty *p, const char *text, double seconds)
{
    return wait_or_show(p, lacks_text, text, seconds, "still");
}

bool pty_wait_match(struct pty *p, const char *regex, double seconds)
{
    return wait_or_show(p, has_match, regex, seconds, "no match for");
}

bool pty_quiet(struct pty *p, double seconds)
{
    drain(p);
    double deadline = now() + seconds;
    size_t before = p->received;
    while (!p->end && p->received == before && now() < deadline)
        exchange(p, deadline, -1);
    return p->received == before;
}

bool pty_settle(struct pty *p, double pause, double seconds)
{
    double deadline = now() + seconds;
    do {
        if (pty_quiet(p, pause))
            return true;
    } while (now() < deadline);
    return false;
}

double pty_latency(struct pty *p, const char *bytes, pty_predicate *pred, void *arg,
                   double seconds)
{
    drain(p);
    if (pred(p, arg))
        return -1;
    double start = now();
    if (!pty_send(p, bytes) || !pty_wait_until(p, pred, arg, seconds))
        return -1;
    return now() - start;
}

/* --- The screen --- */

static size_t put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        to[i] = (char)(0x80 | (c & 0x3f));
    to[0] = (char)(((0xf00u >> n) & 0xff) | c);
    return n;
}

/* Writes a cell's text, nothing for a wide character's second cell; the bytes written. */
static size_t put_cell(struct pty *p, int row, int col, char to[CELL_BYTES])
{
    VTermScreenCell cell;
    size_t n = 0;
    if (!pty_cell(p, row, col, &cell) || cell.chars[0] == 0)
        cell = (VTermScreenCell){.chars = {' '}};
    if (cell.chars[0] == (uint32_t)-1)
        return 0;
    for (int i = 0; i < VTERM_MAX_CHARS_PER_CELL && cell.chars[i]; i++)
        n += put_utf8(to + n, cell.chars[i]);
    return n;
}

const char *pty_row(struct pty *p, int row)
{
    if (row < 0 || row >= p->rows)
        return "";
    p->line = grow(p->line, (size_t)p->cols * CELL_BYTES + 1);
    size_t n = 0;
    for (int col = 0; col < p->cols; col++)
        n += put_cell(p, row, col, p->line + n);
    while (n > 0 && p->line[n - 1] == ' ')
        n--;
    p->line[n] = '\0';
    return p->line;
}

static void print_rows(struct pty *p, FILE *to, const char *before)
{
    for (int row = 0; row < p->rows; row++)
        fprintf(to, "%s%s\n", before, pty_row(p, row));
}

char *pty_dump(struct pty *p)
{
    char *text = NULL;
    size_t n;
    FILE *to = open_memstream(&text, &n);
    if (to) {
        print_rows(p, to, "");
        fclose(to);
    }
    return text;
}

void pty_show(struct pty *p, FILE *to)
{
    int row, col;
    pty_cursor(p, &row, &col);
    fprintf(to, "%d x %d%s, cursor %s at %d,%d\n", p->rows, p->cols,
            pty_alt_screen(p) ? ", alternate screen" : "",
            pty_cursor_visible(p) ? "shown" : "hidden", row, col);
    print_rows(p, to, "| ");
}

bool pty_find(struct pty *p, const char *text, int *row, int *col)
{
    for (int r = 0; r < p->rows; r++) {
        const char *line = pty_row(p, r);
        const char *hit = strstr(line, text);
        if (!hit)
            continue;
        char cell[CELL_BYTES];
        int c = 0;
        for (size_t n = put_cell(p, r, 0, cell); n <= (size_t)(hit - line) && c < p->cols - 1;)
            n += put_cell(p, r, ++c, cell);
        if (row)
            *row = r;
        if (col)
            *col = c;
        return true;
    }
    return false;
}

bool pty_match(struct pty *p, const char *regex)
{
    regex_t compiled;
    int error = regcomp(&compiled, regex, REG_EXTENDED | REG_NOSUB);
    if (error) {
        char why[128];
        regerror(error, &compiled, why, sizeof why);
        fprintf(stderr, "pty: '%s': %s\n", regex, why);
        return false;
    }
    bool found = false;
    for (int row = 0; row < p->rows && !found; row++)
        found = regexec(&compiled, pty_row(p, row), 0, NULL, 0) == 0;
    regfree(&compiled);
    return found;
}

bool pty_cell(struct pty *p, int row, int col, VTermScreenCell *cell)
{
    return vterm_screen_get_cell(p->screen, (VTermPos){.row = row, .col = col}, cell) != 0;
}

bool pty_is_reverse(struct pty *p, int row, int col)
{
    VTermScreenCell cell;
    return pty_cell(p, row, col, &cell) && cell.attrs.reverse;
}

void pty_size(const struct pty *p, int *rows, int *cols)
{
    *rows = p->rows;
    *cols = p->cols;
}

void pty_cursor(const struct pty *p, int *row, int *col)
{
    VTermPos at;
    vterm_state_get_cursorpos(vterm_obtain_state(p->vt), &at);
    *row = at.row;
    *col = at.col;
}

bool pty_cursor_visible(const struct pty *p)
{
    return p->props[VTERM_PROP_CURSORVISIBLE];
}

bool pty_alt_screen(const struct pty *p)
{
    return p->props[VTERM_PROP_ALTSCREEN];
}

int pty_mouse(const struct pty *p)
{
    return p->props[VTERM_PROP_MOUSE];
}

/* --- The bytes --- */

const char *pty_raw(const struct pty *p, size_t *n)
{
    *n = p->raw_len < PTY_RAW_SIZE ? p->raw_len : PTY_RAW_SIZE;
    return p->raw + p->raw_len - *n;
}

bool pty_raw_has(const struct pty *p, const char *bytes, size_t n)
{
    size_t kept;
    const char *raw = pty_raw(p, &kept);
    return memmem(raw, kept, bytes, n) != NULL;
}

size_t pty_raw_lost(const struct pty *p)
{
    size_t kept;
    pty_raw(p, &kept);
    return p->raw_total - kept;
}

void pty_raw_clear(struct pty *p)
{
    p->raw_len = 0;
    p->raw_total = 0;
}

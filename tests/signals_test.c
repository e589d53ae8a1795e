/* Whatever ends the program from outside: no file stays unfinished, the terminal is as it was, and the program dies of
 * that very signal. */
#include "child.h"
#include "tuiwork.h"

#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

#define BUILTIN SRCDIR "/data/stories.bin"
#define BEFORE  "before"

static char *place, *target; /* a folder with nothing but the target, and what lies beside it when it is complete */
static char *large;          /* a model that takes a while to be exported */
static char *smallest;       /* one that is searched in a moment */
static const struct model_spec large_spec = {1, false, 768, 2048, 4, 12, 12, 400, 128, 64, 1};
static const struct model_spec smallest_spec = {1, false, 16, 24, 1, 2, 1, 400, 64, 8, 1};

static const struct {
    int number;
    const char *name;
} ending[] = {
    {SIGINT, "INT"},   {SIGTERM, "TERM"},     {SIGHUP, "HUP"},   {SIGQUIT, "QUIT"}, {SIGPIPE, "PIPE"},
    {SIGALRM, "ALRM"}, {SIGUSR1, "USR1"},     {SIGUSR2, "USR2"}, {SIGXCPU, "XCPU"}, {SIGXFSZ, "XFSZ"},
    {SIGSEGV, "SEGV"}, {SIGBUS, "BUS"},       {SIGABRT, "ABRT"}, {SIGFPE, "FPE"},   {SIGILL, "ILL"},
    {SIGSYS, "SYS"},   {SIGVTALRM, "VTALRM"}, {SIGPROF, "PROF"}, {SIGIO, "IO"},     {SIGTRAP, "TRAP"},
};
enum { ENDING = sizeof ending / sizeof *ending, MOST_TRIES = 20 };

static int begin(void **state)
{
    if (make_files(state) != 0)
        return -1;
    large = write_model("large.bin", &large_spec);
    smallest = write_model("smallest.bin", &smallest_spec);
    setenv("XDG_STATE_HOME", folder, 1);
    for (size_t i = 0; i < ENDING; i++)
        signal(ending[i].number, SIG_DFL); /* what is ignored here, as under nohup, the program ignores, too */
    setenv("ASAN_OPTIONS", no_sanitizer_signals[0] + strlen("ASAN_OPTIONS="), 1);
    setenv("TSAN_OPTIONS", no_sanitizer_signals[1] + strlen("TSAN_OPTIONS="), 1);
    return 0;
}

static int end(void **state)
{
    free(large);
    free(smallest);
    return remove_files(state);
}

/* ---- the folder ------------------------------------------------------------------------------- */

static int make_place(void **state)
{
    (void)state;
    place = folder_make();
    target = path_in(place, "out.gguf");
    return 0;
}

static int remove_place(void **state)
{
    stop(state);
    folder_remove(place);
    free(target);
    return 0;
}

static size_t files(void)
{
    DIR *d = opendir(place);
    size_t n = 0;
    for (const struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void empty_place(void)
{
    DIR *d = opendir(place);
    for (const struct dirent *e; (e = readdir(d));)
        unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
}

static bool target_is_before(void)
{
    struct bytes b = read_file(target);
    bool same = b.size == strlen(BEFORE) && memcmp(b.data, BEFORE, b.size) == 0;
    bytes_free(&b);
    return same;
}

static void nap(double seconds)
{
    nanosleep(
        &(struct timespec){.tv_sec = (time_t)seconds, .tv_nsec = (long)(1e9 * (seconds - (double)(time_t)seconds))},
        NULL);
}

/* ---- the program ------------------------------------------------------------------------------ */

static pid_t spawn(const char *const words[])
{
    return child_start(words, "/dev/null", "/dev/null", NULL);
}

/* Seconds that a whole run takes. */
static double time_run(const char *const words[])
{
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    assert_int_equal(child_wait(spawn(words)), 0);
    clock_gettime(CLOCK_MONOTONIC, &b);
    return (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
}

/* Until so many files are there, as long as the program runs. */
static void await_files(pid_t child, size_t n)
{
    while (files() < n && child_runs(child))
        continue;
}

/* What a run leaves that comes to its end. */
struct complete {
    double seconds;
    size_t files;
    off_t size; /* of the target */
};

/* Sends a signal when another file has just appeared, or after so many seconds, if they are not negative: what is in
 * the folder is whole. False where the program was done before. */
static bool end_once(const char *const words[], size_t i, double seconds, const struct complete *c)
{
    struct stat st = {.st_size = -1};
    empty_place();
    write_file(target, BEFORE, strlen(BEFORE));
    pid_t child = spawn(words);
    if (seconds < 0)
        await_files(child, 2);
    else
        nap(seconds);
    kill(child, ending[i].number);
    int status = child_wait(child);
    bool whole = stat(target, &st) == 0 && st.st_size == c->size && files() == c->files;
    if (!(files() == 1 && target_is_before()) && !whole)
        fail_msg("SIG%s: %zu files, %zd bytes, status %d", ending[i].name, files(), (ssize_t)st.st_size, status);
    if (status != 0 && status != 128 + ending[i].number)
        fail_msg("SIG%s: status %d", ending[i].name, status);
    return status != 0;
}

/* Every signal when another file has just appeared, and at moments all over a run; where runs have become so much
 * faster that none was ended, sooner. */
static void end_at_all_moments(const char *const words[], size_t moments)
{
    struct complete c = {.seconds = time_run(words), .files = files()};
    struct stat st;
    size_t ended = 0;
    assert_int_equal(stat(target, &st), 0);
    c.size = st.st_size;
    for (size_t i = 0; i < ENDING; i += test_stride())
        for (size_t m = 0; m < moments; m++) {
            double seconds = c.seconds * ((double)m + (double)i / ENDING) / (double)moments;
            ended += end_once(words, i, m % 2 ? seconds : -1, &c);
        }
    for (double seconds = c.seconds / 4; ended == 0; seconds /= 2)
        ended += end_once(words, 0, seconds, &c);
}

static void test_export(void **state)
{
    (void)state;
    end_at_all_moments(WORDS("export", "-t", "1", BUILTIN, "-s", "int8:g32", "-o", target), 3);
}

/* The files beside it come together with it, or not at all. */
static void test_export_of_several_files(void **state)
{
    (void)state;
    end_at_all_moments(WORDS("export", "-t", "1", BUILTIN, "-o", target, "--format", "safetensors"), 3);
}

static void test_logits(void **state)
{
    (void)state;
    char text[700] = "";
    for (size_t n = 0; n + 50 < sizeof text; n = strlen(text))
        snprintf(text + n, sizeof text - n, "Once upon a time there was a small hen. ");
    end_at_all_moments(WORDS("logits", "-t", "1", BUILTIN, "-o", target, "-p", text), 3);
}

static void test_tune(void **state)
{
    (void)state;
    end_at_all_moments(WORDS("tune", "-t", "1", smallest, "-o", target, "--max-kl", "10", "-n", "32"), 2);
}

/* Exports what takes a while to be written, and ends that by a signal when so many files are there; the status. */
static int end_export(int number, size_t n, pid_t *child)
{
    *child = spawn(WORDS("export", large, "-t", "1", "-o", target));
    await_files(*child, n);
    kill(*child, number);
    return child_wait(*child);
}

/* While it is surely being written: it may be done before this test runs again. */
static void test_export_under_way(void **state)
{
    (void)state;
    for (size_t i = 0; i < ENDING; i += test_stride()) {
        int status = 0;
        pid_t child;
        for (int tries = 0; status == 0 && tries < MOST_TRIES; tries++) {
            write_file(target, BEFORE, strlen(BEFORE));
            status = end_export(ending[i].number, 2, &child);
        }
        if (status != 128 + ending[i].number || files() != 1 || !target_is_before())
            fail_msg("SIG%s: status %d, %zu files", ending[i].name, status, files());
    }
}

/* ---- what SIGKILL leaves ---------------------------------------------------------------------- */

static void write_beside(const char *format, long pid)
{
    char name[64];
    snprintf(name, sizeof name, format, pid);
    char *path = path_in(place, name);
    write_file(path, "part", 4);
    free(path);
}

static void test_leftovers_of_a_kill(void **state)
{
    (void)state;
    pid_t child = 0;
    int status = 0;
    for (int tries = 0; (status == 0 || files() == 0) && tries < MOST_TRIES; tries++) {
        unlink(target); /* of one that was done before; none at all where the system killed it before we did */
        status = end_export(SIGKILL, 1, &child);
    }
    assert_int_equal(status, 128 + SIGKILL);
    assert_int_equal(files(), 1);
    assert_int_equal(access(target, F_OK), -1);
    write_beside("out.gguf.%ld-0", (long)getpid()); /* who lives may still write */
    write_beside("out.gguf.%ld-0x", (long)child);   /* names of other forms are not ours */
    write_beside("out.gguf.%ld", (long)child);
    write_beside("other.gguf.%ld-0", (long)child);
    assert_int_equal(child_wait(spawn(WORDS("export", BUILTIN, "-t", "1", "-o", target))), 0);
    assert_int_equal(files(), 5);
    assert_int_equal(access(target, F_OK), 0);
}

/* ---- the terminal program --------------------------------------------------------------------- */

static void export_in_terminal(void)
{
    stop(NULL);
    unlink(target);
    run(24, 100, WORDS(binary, "-t", "1", large), no_sanitizer_signals);
    ready();
    press("o" CLEAR_LINE);
    press(target);
    press("\r");
    for (int i = 0; files() == 0 && i < 1000 * PATIENCE; i++)
        pty_quiet(term, 0.001);
    assert_int_equal(files(), 1);
}

static void assert_dies_of(size_t i)
{
    int status = pty_wait_exit(term, PATIENCE);
    if (status == -1 || !WIFSIGNALED(status) || WTERMSIG(status) != ending[i].number)
        fail_msg("status %#x after SIG%s", (unsigned)status, ending[i].name);
    assert_restored();
}

static void test_terminal_export(void **state)
{
    (void)state;
    for (size_t i = 0; i < ENDING; i += test_stride()) {
        bool under_way = false;
        for (int tries = 0; !under_way && tries < MOST_TRIES; tries++) {
            export_in_terminal();
            pty_quiet(term, 0.01 * (double)(tries ? 0 : i % 5));
            assert_true(pty_signal(term, ending[i].number));
            assert_dies_of(i);
            under_way = access(target, F_OK) != 0; /* else it was done before */
            if (files() != !under_way)
                fail_msg("SIG%s left %zu files", ending[i].name, files());
        }
        assert_true(under_way);
    }
}

/* From the first byte that the program writes to the terminal on. */
static void test_terminal_at_all_moments(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4 * ENDING; i += test_stride()) {
        stop(NULL);
        run(24, 100, WORDS(binary, "-t", "1", model), no_sanitizer_signals);
        pty_quiet(term, 0.004 * (double)i);
        assert_true(pty_signal(term, ending[i % ENDING].number));
        int status = pty_wait_exit(term, PATIENCE);
        if (!WIFSIGNALED(status) || (WTERMSIG(status) != ending[i % ENDING].number))
            fail_msg("status %#x after SIG%s at moment %zu", (unsigned)status, ending[i % ENDING].name, i);
        assert_restored();
    }
}

#define IN_PLACE(name) cmocka_unit_test_setup_teardown(name, make_place, remove_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(test_export),           IN_PLACE(test_export_of_several_files),
        IN_PLACE(test_logits),           IN_PLACE(test_tune),
        IN_PLACE(test_export_under_way), IN_PLACE(test_leftovers_of_a_kill),
        IN_PLACE(test_terminal_export),  IN_PLACE(test_terminal_at_all_moments),
    };
    cmocka_set_test_filter(getenv("QTOP_TEST"));
    return cmocka_run_group_tests_name("signals", tests, begin, end);
}

/* What the program writes to the terminal: its bytes, and how soon and at what cost they come. */
#include "tuiwork.h"

#include <math.h>
#include <time.h>

/* ---- what reaches the terminal --------------------------------------------------------------- */

/* Visits everything and looks at every byte that is written meanwhile. */
static void each_output(void (*see)(const char *raw, size_t n))
{
    static const char *const stops[] = {"2",  "X",     "L", "5", "s5", "6", "i", "the hen\r", "6",
                                        "1?", "1dddd", "e", "2", "z",  "1", "<"};
    size_t n;
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        press(stops[i]);
        pty_settle(term, 0.05, 0.12);
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
        press_until("i", "prompt:"); /* again, where it came before that pause and was taken for a part of them */
        press("\xff\x80");
        pty_settle(term, 0.2, 0.3);
        press_until("~", "~");
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

/* ---- measurements: printed, never asserted --------------------------------------------------- */

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
    enum { FEWEST = 3, SECONDS = 1 };
    size_t bursts = 0, n;
    (void)state;
    start(24, 80);
    wait_match(DECODING);
    double cpu = view_seconds(), begin = seconds_now();
    while (seconds_now() - begin < SECONDS || bursts < FEWEST) { /* it moves */
        assert_true(seconds_now() - begin < PATIENCE);
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
    assert_ends("q");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_ascii),
        TEST(test_invalid_bytes_as_keys),
        TEST(test_no_colour),
        TEST(test_hostile_names),
        TEST(test_latency),
        TEST(test_cost_of_drawing),
    };
    cmocka_set_test_filter(getenv("QTOP_TEST")); /* a pattern, or null for all */
    return cmocka_run_group_tests_name("tui_output", tests, make_files, remove_files);
}

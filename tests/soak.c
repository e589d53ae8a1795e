/* Random keys, clicks, sizes and answers for the terminal program, for as long as is asked: it must go on answering,
 * its memory must stay what it was after the first of them, and a sanitizer must have nothing to say.
 *
 *     soak [KEYS [SECONDS [SEED]]]
 *
 * ends after so many keys, or so many seconds, whichever comes first, and prints the seed; a failure also prints the
 * last keys. What the program does meanwhile depends on the machine too: a seed gives the same keys, no more. */
#include "tuiwork.h"

#include "base/clock.h"
#include "keysequence.h"
#include "views/keys.h"

#include <ctype.h>
#include <glob.h>

enum {
    KEYS = 20000,
    WARM_UP = 1000,  /* keys until which memory may grow as it likes */
    STRIDE = 40,     /* keys between two looks at the program */
    LAST = 120,      /* inputs that a failure prints */
    MARGIN = 8 << 20,  /* bytes, and a tenth, that the last quarter may have above the first: layers kept for undo
                        * come slowly */
    LOOKS = 4096       /* at most, in a quarter */
};

/* Resident bytes at each look of a quarter. */
struct looks {
    size_t count, of[LOOKS];
};

struct soak {
    uint64_t seed;
    unsigned long long asked; /* the seed as it was given */
    size_t keys;
    char last[LAST][CELL_TEXT + 1];
    size_t typed;
    struct looks first, last_quarter; /* the first after the warm-up */
};

/* ---- what is typed --------------------------------------------------------------------------- */

/* What those keys are answered that ask. An answer with a q in it must not be typed where nothing is asked: Esc closes
 * the help and clears a filter. */
static const struct {
    const char *keys, *answers[6];
} prompts[] = {
    {"T", {"\r", "size 1.6M for gguf\r", "kl 0.05\r", "bits 4.5\r", "rate 50M\r", "size x\r"}},
    {"o", {"\r", "\r\r", "soak.gguf\r\r", "soak.safetensors\r\r", "soak.gguf for gguf\r\r", "no/such/folder.gguf\r"}},
    {"w", {"\r", "\r\r", "soak.txt\r\r", "/\r", "no/such/folder.txt\r", ""}},
    {"i", {"Once upon a time\r", "\r", "\xc3\xa4\xe2\x82\xac\r", "a\r", "", "The dog\r"}},
    {"I", {"\r", "0 1\r", "0.8 42\r", "1e9\r", "2\r", "x\r"}},
    {"\033\0331c", {"\r", PTY_KEY_DOWN " \r", "s \033", "w  \r", PTY_KEY_END " " PTY_KEY_UP " \r", ""}},
    {"/", {"attn\r", "kv\r", "cache\r", "no such thing\r", "ffn_down\r", "\r"}},
    {"\\", {"\r", "attn\r", "blk.1\r", "no such layer\r", CLEAR_LINE "\r", CLEAR_LINE "\r"}},
    {"\033\033:", {"weight-next\r", "view-\t\t\t\033", "scheme int4:g32\r", PTY_KEY_UP PTY_KEY_UP "\033",
                  "search attn_k\r", "columns la\t\t\r"}},
    {"\033\0331\r", {"\r", "int4:g32\r", "int8/int8:g64:asym\r", "stored\r", "int4:g32:awq+gptq\r",
            "int4:qat(steps=4,text=256,batch=16)\r"}},
};

static void type(struct soak *s, const char *keys)
{
    snprintf(s->last[s->typed++ % LAST], sizeof s->last[0], "%.*s", CELL_TEXT, keys);
    pty_send(term, keys);
}

static void type_key(struct soak *s)
{
    const struct key_binding *k = &key_table[random_below(&s->seed, key_count)];
    int codes = 0;
    char room[2];
    while (codes < KEY_CODES && k->codes[codes])
        codes++;
    const char *keys = key_sequence(k->codes[random_below(&s->seed, (size_t)codes)], room);
    bool may_end = k->action == ACTION_QUIT || k->action == ACTION_COMMAND; /* whose Tab offers it */
    if (keys && !may_end)
        type(s, keys);
}

static void type_answer(struct soak *s)
{
    size_t p = random_below(&s->seed, sizeof prompts / sizeof *prompts);
    type(s, prompts[p].keys);
    type(s, prompts[p].answers[random_below(&s->seed, 6)]);
    type(s, random_below(&s->seed, 3) ? "\033" : "");
}

/* Printable characters, none of which quits or begins the path of a file elsewhere. */
static void type_paste(struct soak *s)
{
    char text[200];
    size_t n = random_below(&s->seed, sizeof text - 2);
    for (size_t i = 0; i < n; i++) {
        text[i] = (char)(33 + random_below(&s->seed, 94));
        text[i] = (char)(text[i] == 'q' || text[i] == '/' ? 'j' : text[i]);
    }
    strcpy(text + n, "\r");
    type(s, "\033i");
    type(s, text);
    type(s, "\033");
}

static void type_click(struct soak *s)
{
    static const int buttons[] = {0, 0, 64, 65};
    int rows, cols;
    pty_size(term, &rows, &cols); /* of a place beyond, the bytes could be a q */
    int row = (int)random_below(&s->seed, rows < 80 ? (size_t)rows : 80);
    row -= row > 0 && row + 1 == rows; /* the last line has a key that quits */
    int col = (int)random_below(&s->seed, cols < 80 ? (size_t)cols : 80);
    int button = buttons[random_below(&s->seed, 4)];
    snprintf(s->last[s->typed++ % LAST], sizeof s->last[0], "(click %d %d %d)", button, row, col);
    click(button, row, col);
}

static void resize(struct soak *s)
{
    static const int sizes[][2] = {{24, 80}, {24, 80}, {50, 132}, {10, 40}, {5, 20}, {1, 1}, {60, 200}};
    size_t i = random_below(&s->seed, 2 * sizeof sizes / sizeof *sizes);
    bool usual = i >= sizeof sizes / sizeof *sizes;
    int rows = usual ? 24 : sizes[i][0], cols = usual ? 80 : sizes[i][1];
    snprintf(s->last[s->typed++ % LAST], sizeof s->last[0], "(%dx%d)", rows, cols);
    pty_resize(term, rows, cols);
}

/* Of a hundred inputs. */
static void type_anything(struct soak *s)
{
    size_t i = random_below(&s->seed, 100);
    if (i < 80)
        type_key(s);
    else if (i < 90)
        type_answer(s);
    else if (i < 96)
        type_click(s);
    else if (i < 98)
        type_paste(s);
    else
        resize(s);
}

/* ---- looking at the program ------------------------------------------------------------------ */

static void print_visible(const char *keys)
{
    for (; *keys; keys++)
        if (isprint((unsigned char)*keys))
            putchar(*keys);
        else
            printf("\\%03o", (unsigned)(unsigned char)*keys);
    putchar('\n');
}

static void print_reports(void)
{
    glob_t g;
    char command[4200];
    if (glob("report.*", 0, NULL, &g) == 0)
        for (size_t i = 0; i < g.gl_pathc; i++) {
            snprintf(command, sizeof command, "head -n 60 '%s'", g.gl_pathv[i]);
            if (system(command) != 0)
                puts("(a report that cannot be read)");
        }
    globfree(&g);
}

static int failed(const struct soak *s, const char *what)
{
    int end = pty_wait_exit(term, 1);
    pty_show(term, stdout);
    printf("soak: seed %llu, after %zu keys: %s (status %#x); the last inputs:\n", s->asked, s->keys, what,
           (unsigned)end);
    for (size_t i = s->typed > LAST ? s->typed - LAST : 0; i < s->typed; i++)
        print_visible(s->last[i % LAST]);
    fflush(stdout);
    print_reports();
    return 1;
}

static size_t resident(void)
{
    char path[64];
    unsigned long pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pty_pid(term));
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "%*u %lu", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static bool drew(struct pty *p, void *unused)
{
    size_t n;
    (void)unused;
    pty_raw(p, &n);
    return n > 0;
}

/* Esc closes what is open; Ctrl-L draws the whole screen, which is output in any case. */
static bool answers(void)
{
    pty_send(term, "\033");
    pty_quiet(term, 0.05);
    pty_raw_clear(term);
    pty_send(term, "\014");
    return pty_wait_until(term, drew, NULL, PATIENCE);
}

static void note_memory(struct soak *s, double done)
{
    size_t now = resident();
    struct looks *l = done < 0.25 || s->keys < 2 * WARM_UP ? &s->first : done >= 0.75 ? &s->last_quarter : NULL;
    if (s->keys >= WARM_UP && l && l->count < LOOKS)
        l->of[l->count++] = now;
    if (s->keys % (50 * STRIDE) == 0)
        printf("%zu keys: %.1f MB\n", s->keys, (double)now / 1e6);
}

static int by_size(const void *a, const void *b)
{
    const size_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* The median: a search or an export needs more for a while. Sorts. */
static size_t usual(struct looks *l)
{
    qsort(l->of, l->count, sizeof *l->of, by_size);
    return l->count ? l->of[l->count / 2] : 0;
}

static int judge_memory(struct soak *s)
{
    size_t before = usual(&s->first), after = usual(&s->last_quarter);
    printf("soak: %zu keys, seed %llu: %.1f MB after the warm-up, %.1f MB in the last quarter\n", s->keys, s->asked,
           (double)before / 1e6, (double)after / 1e6);
    if (before == 0 || after == 0) {
        printf("soak: too few keys to judge memory by\n");
        return 0;
    }
    if (!(after <= before + before / 10 + MARGIN))
        return failed(s, "memory grew");
    return 0;
}

/* ---- the run --------------------------------------------------------------------------------- */

/* Until q has ended it, which may ask first about work that would be lost, once all that was pressed has been done. */
static int wait_for_end(void)
{
    double until = clock_seconds() + PATIENCE;
    int end = -1;
    while (end == -1 && clock_seconds() < until) {
        if (pty_wait_for(term, "(y/n)?", 0.5))
            pty_send(term, "y");
        end = pty_wait_exit(term, 0.5);
    }
    return end;
}

static int soak(struct soak *s, size_t keys, double seconds)
{
    double begun = clock_seconds();
    while (s->keys < keys && clock_seconds() - begun < seconds) {
        for (int i = 0; i < STRIDE; i++)
            type_anything(s);
        s->keys += STRIDE;
        if (!answers())
            return failed(s, pty_wait_exit(term, 1) == -1 ? "no frame" : "the program has ended");
        double by_keys = (double)s->keys / (double)keys, by_time = (clock_seconds() - begun) / seconds;
        note_memory(s, by_keys > by_time ? by_keys : by_time);
    }
    pty_resize(term, 24, 80);
    int status = judge_memory(s);
    pty_send(term, "\033");
    pty_quiet(term, 0.1);
    pty_send(term, "q");
    int end = wait_for_end();
    if (end != 0)
        return failed(s, end == -1 ? "q does not end it" : "it ended with an error");
    return status;
}

/* Reports go to files. AddressSanitizer keeps 256 MB of freed memory unless it is told otherwise: with that a program
 * of 40 MB grows to 300 MB, and nothing leaks. What the caller says of it comes last. */
static void watch(void)
{
    const char *own = getenv("ASAN_OPTIONS");
    char options[4400], *here = realpath(".", NULL);
    snprintf(options, sizeof options, "log_path=%s/report:quarantine_size_mb=1:thread_local_quarantine_size_kb=64:%s",
             here, own ? own : "");
    setenv("ASAN_OPTIONS", options, 1);
    snprintf(options, sizeof options, "log_path=%s/report:halt_on_error=1:print_stacktrace=1", here);
    setenv("UBSAN_OPTIONS", options, 1);
    free(here);
}

int main(int argc, char **argv)
{
    size_t keys = argc > 1 ? strtoull(argv[1], NULL, 10) : KEYS;
    double seconds = argc > 2 ? strtod(argv[2], NULL) : 1e9;
    static struct soak s;
    s.asked = argc > 3 ? strtoull(argv[3], NULL, 10) : (unsigned)getpid();
    s.seed = (uint64_t)s.asked;
    if (make_files(NULL) != 0 || chdir(folder) != 0) {
        perror("soak");
        return 1;
    }
    printf("soak: seed %llu\n", s.asked);
    watch();
    run(24, 80, WORDS(binary, "--seed", "8", "-t", "2"), NULL);
    int status = pty_wait_for(term, "Quit", PATIENCE) ? soak(&s, keys, seconds) : failed(&s, "it does not start");
    stop(NULL);
    if (chdir("/") == 0)
        remove_files(NULL);
    return status;
}

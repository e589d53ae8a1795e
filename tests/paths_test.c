/* Names that the program is given: what they name (a FIFO that nobody writes to, a file with permissions), what is in
 * them, and how they are printed. And how little stack is enough. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "caches.h"
#include "child.h"
#include "modelfile.h"
#include "support.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BUILTIN    SRCDIR "/data/stories.bin"
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static char *folder, *out, *err;
static char *small; /* a model that is searched in a moment */
static const struct model_spec small_spec = {1, false, 64, 96, 3, 4, 2, 400, 128, 32, 1};
static rlim_t stack; /* bytes of the program's; 0: as it is */

static int begin(void **state)
{
    (void)state;
    folder = folder_make();
    out = path_in(folder, "out");
    err = path_in(folder, "err");
    small = path_in(folder, "small.bin");
    struct bytes b = model_bytes(&small_spec);
    write_file(small, b.data, b.size);
    bytes_free(&b);
    setenv("XDG_CACHE_HOME", folder, 1);
    setenv("XDG_STATE_HOME", folder, 1);
    caches_shrink();
    return 0;
}

static int end(void **state)
{
    (void)state;
    folder_remove(folder);
    free(small);
    free(out);
    free(err);
    return 0;
}

static void limit(void)
{
    signal(SIGALRM, SIG_DFL);
    alarm(PATIENCE);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (stack)
        setrlimit(RLIMIT_STACK, &(struct rlimit){stack, stack});
}

/* The exit status, or 128 + signal: that of SIGALRM where it does not come to an end. */
static int run(const char *const *words)
{
    return child_wait(child_start(words, out, err, limit));
}

static bool says(const char *path, const char *text)
{
    struct bytes b = read_file(path);
    bool any = memmem(b.data, b.size, text, strlen(text)) != NULL;
    bytes_free(&b);
    return any;
}

/* ---- FIFOs ------------------------------------------------------------------------------------ */

static void test_fifos(void **state)
{
    (void)state;
    char *fifo = path_in(folder, "fifo");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    const char *const *const cases[] = {
        WORDS("inspect", fifo),
        WORDS("inspect", BUILTIN, "--reference", fifo),
        WORDS("inspect", BUILTIN, "-r", fifo),
        WORDS("generate", BUILTIN, "-z", fifo),
        WORDS("eval", BUILTIN, "--text", fifo),
        WORDS("eval", BUILTIN, "-s", "int4:gptq", "-n", "64", "--calibration", fifo),
        WORDS("logits", BUILTIN, "-o", out, "--text", fifo),
        WORDS("tokenize", "-z", fifo),
    };
    alarm(10 * PATIENCE);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status = run(cases[i]);
        if (status != 1 || !says(err, "a FIFO"))
            fail_msg("case %zu: status %d", i, status);
    }
    unlink(fifo);
    free(fifo);
}

static int ends[2]; /* of a FIFO, open here */

static void limit_without_ends(void)
{
    limit();
    close(ends[0]);
    close(ends[1]);
}

static bool is_link_to(const char *link, const char *file)
{
    struct stat a, b;
    return stat(link, &a) == 0 && stat(file, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Whether a child runs another program than this one and has a file open. */
static bool has_open(pid_t child, const char *path)
{
    char name[64];
    snprintf(name, sizeof name, "/proc/%d/exe", (int)child);
    bool any = false, here = is_link_to(name, "/proc/self/exe");
    for (int fd = 0; fd < 64 && !here && !any; fd++) {
        snprintf(name, sizeof name, "/proc/%d/fd/%d", (int)child, fd);
        any = is_link_to(name, path);
    }
    return any;
}

static bool sleeps(pid_t child)
{
    char name[64], state = 0;
    snprintf(name, sizeof name, "/proc/%d/stat", (int)child);
    FILE *f = fopen(name, "r");
    bool known = f && fscanf(f, "%*d (%*[^)]) %c", &state) == 1;
    if (f)
        fclose(f);
    return known && state == 'S';
}

/* One that somebody writes to is read. */
static void test_fifo_with_a_writer(void **state)
{
    (void)state;
    char *fifo = path_in(folder, "fifo");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    ends[0] = open(fifo, O_RDONLY | O_NONBLOCK);
    ends[1] = open(fifo, O_WRONLY);
    assert_true(ends[0] >= 0 && ends[1] >= 0);
    pid_t child = child_start(WORDS("eval", BUILTIN, "--text", fifo), out, err, limit_without_ends);
    while (!(has_open(child, fifo) && sleeps(child)) && child_runs(child)) /* written to only once the program waits */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_int_equal(write(ends[1], "Once upon a time there was a hen.", 33), 33);
    close(ends[1]);
    assert_int_equal(child_wait(child), 0);
    close(ends[0]);
    unlink(fifo);
    free(fifo);
}

/* ---- permissions ------------------------------------------------------------------------------ */

static void test_permissions_are_kept(void **state)
{
    static const mode_t modes[] = {0640, 0600, 0664, 0755, 0444};
    (void)state;
    char *target = path_in(folder, "mode.gguf");
    const char *const *const cases[] = {
        WORDS("export", BUILTIN, "-o", target),
        WORDS("logits", BUILTIN, "-o", target, "-p", "hen"),
        WORDS("tune", small, "-o", target, "--max-kl", "10", "-n", "32"),
    };
    struct stat st;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t m = 0; m < (i < 2 ? sizeof modes / sizeof *modes : 1); m++) {
            write_file(target, "before", 6);
            assert_int_equal(chmod(target, modes[m]), 0);
            assert_int_equal(run(cases[i]), 0);
            assert_int_equal(stat(target, &st), 0);
            assert_true(st.st_size != 6);
            assert_int_equal(st.st_mode & 0777, modes[m]);
            unlink(target);
        }
    mode_t mask = umask(027); /* a new one has those of new files */
    assert_int_equal(run(cases[0]), 0);
    umask(mask);
    assert_int_equal(stat(target, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    unlink(target);
    free(target);
}

/* ---- names ------------------------------------------------------------------------------------ */

#define EVIL "\033]0;evil\007\xe2\x80\xae\n"

static void assert_safe(const char *path)
{
    struct bytes b = read_file(path);
    for (size_t i = 0; i < b.size; i++)
        if (b.data[i] == '\033' || b.data[i] == '\007')
            fail_msg("a control character in '%.*s'", (int)b.size, (const char *)b.data);
    if (memmem(b.data, b.size, "\xe2\x80\xae", 3))
        fail_msg("a bidi control character in '%.*s'", (int)b.size, (const char *)b.data);
    bytes_free(&b);
}

/* In the place of every file, there or not, in text and in JSON. */
static void test_names_are_escaped(void **state)
{
    (void)state;
    struct bytes words = read_file(SRCDIR "/data/stories-heldout.txt"), weights = read_file(BUILTIN);
    char *text = path_in(folder, EVIL "text"), *recipe = path_in(folder, EVIL "recipe"),
         *model = path_in(folder, EVIL "m"), *target = path_in(folder, EVIL "o.gguf"),
         *absent = path_in(folder, EVIL "absent");
    write_file(text, words.data, 200);
    write_file(recipe, "blk.*.attn_q int8\n", 18);
    write_file(model, weights.data, weights.size);
    const char *const *const cases[] = {
        WORDS("eval", BUILTIN, "--text", text, "-r", recipe, "--reference", model),
        WORDS("inspect", BUILTIN, "-r", recipe, "--reference", model),
        WORDS("bench", BUILTIN, "-n", "2", "-r", recipe),
        WORDS("bench", BUILTIN, "-n", "2", "-r", recipe, "-s", "int8", "-s", "w8a8"),
        WORDS("export", BUILTIN, "-o", target),
        WORDS("tune", small, "-o", target, "--max-kl", "10", "-n", "32"),
        WORDS("logits", BUILTIN, "-o", target, "--text", text),
        WORDS("plan", model, "--no-run"),
        WORDS("inspect", absent),
        WORDS("eval", BUILTIN, "--text", absent),
        WORDS("eval", BUILTIN, "-r", absent),
        WORDS("eval", BUILTIN, "--reference", absent),
        WORDS("generate", BUILTIN, "-z", absent),
        WORDS("eval", BUILTIN, "--calibration", absent),
        WORDS("bench", BUILTIN, "-s", EVIL),
        WORDS("export", BUILTIN, "--format", EVIL, "-o", target),
        WORDS("bench", "--isa", EVIL),
        WORDS(EVIL),
        WORDS("bench", "--" EVIL),
        WORDS("plan", "--roof", EVIL),
        WORDS("eval", "--synthetic", EVIL),
        WORDS("logits", BUILTIN, "-p", "hen", "-o", "/nowhere/" EVIL),
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status = run(cases[i]);
        assert_int_equal(status, i < 8 ? 0 : status);
        assert_safe(out);
        assert_safe(err);
    }
    unlink(text);
    unlink(recipe);
    unlink(model);
    unlink(target);
    free(text);
    free(recipe);
    free(model);
    free(target);
    free(absent);
    bytes_free(&words);
    bytes_free(&weights);
}

/* ---- stack ------------------------------------------------------------------------------------ */

/* Half of it is given to arguments and environment at most. */
static void test_little_stack(void **state)
{
    (void)state;
    if (SANITIZED)
        skip(); /* what a sanitizer needs beside is not ours */
    char *target = path_in(folder, "stack.gguf");
    const char *const *const cases[] = {
        WORDS("--help"),
        WORDS("machine"),
        WORDS("inspect", BUILTIN, "-s", "int4:g32:awq+gptq"),
        WORDS("inspect", BUILTIN, "-s", "w8a8:smoothquant", "--json"),
        WORDS("eval", BUILTIN, "-n", "64", "-s", "int4:qat(steps=2)", "--calibration",
              SRCDIR "/data/stories-heldout.txt"),
        WORDS("eval", BUILTIN, "-n", "64", "-s", "w8a8:llmint8", "--kv", "int8"),
        WORDS("bench", BUILTIN, "-n", "2", "-s", "int8"),
        WORDS("plan", BUILTIN),
        WORDS("generate", BUILTIN, "-n", "8", "-p", "Once upon a time"),
        WORDS("logits", BUILTIN, "-p", "hen", "-o", target),
        WORDS("export", BUILTIN, "-s", "int4:g32", "-o", target),
        WORDS("tune", small, "--max-kl", "10", "-n", "32"),
        WORDS("tokenize", BUILTIN),
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        stack = 128 << 10;
        int status = run(cases[i]);
        stack = 0;
        if (status != 0)
            fail_msg("qtop %s (case %zu): status %d", cases[i][0], i, status);
    }
    unlink(target);
    free(target);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fifos),
        cmocka_unit_test(test_fifo_with_a_writer),
        cmocka_unit_test(test_permissions_are_kept),
        cmocka_unit_test(test_names_are_escaped),
        cmocka_unit_test(test_little_stack),
    };
    cmocka_set_test_filter(getenv("QTOP_TEST"));
    return cmocka_run_group_tests_name("paths", tests, begin, end);
}

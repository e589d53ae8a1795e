/* qtop export from outside: exit statuses, what is said, and that a run that is ended leaves nothing behind.
 *
 * QTOP_BIN names the program (./qtop without it). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "child.h"
#include "modelfile.h"
#include "support.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BUILTIN SRCDIR "/data/stories.bin"
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

enum { MAX_ARGS = 24, MOST_TRIES = 20 };
static char *folder, *target, *out, *err; /* the folder holds the target only */
static char *logs;

static int begin(void **state)
{
    (void)state;
    folder = folder_make();
    logs = folder_make();
    target = path_in(folder, "out.gguf");
    out = path_in(logs, "out");
    err = path_in(logs, "err");
    return 0;
}

static int end(void **state)
{
    (void)state;
    folder_remove(folder);
    folder_remove(logs);
    free(target);
    free(out);
    free(err);
    return 0;
}

static size_t files(void)
{
    DIR *d = opendir(folder);
    size_t n = 0;
    for (const struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static pid_t start(const char *const *words)
{
    const char *args[MAX_ARGS] = {"export"};
    for (size_t i = 0; words[i]; i++)
        args[i + 1] = words[i];
    return child_start(args, out, err, NULL);
}

static void check_run(const char *const *words, int status, const char *says)
{
    int found = child_wait(start(words));
    struct bytes o = read_file(out), e = read_file(err);
    const char *text = (const char *)e.data;
    if (found != status || !strstr(text, says))
        fail_msg("status %d, '%s'; expected %d and '%s'", found, text, status, says);
    assert_int_equal(o.size, 0);
    if (status != 0 && strchr(text, '\n') != text + strlen(text) - 1)
        fail_msg("not one line: '%s'", text);
    bytes_free(&o);
    bytes_free(&e);
}

static void test_usage(void **state)
{
    (void)state;
    check_run(WORDS(BUILTIN), 2, "qtop export needs -o FILE");
    check_run(WORDS(BUILTIN, "-o", target, "--format", "onnx"), 2,
              "--format 'onnx': expected gguf, safetensors or gptq");
    check_run(WORDS(BUILTIN, "-o", target, "-s", "int3"), 2, "int3");
    check_run(WORDS(BUILTIN, "-o", target, "--kv", "int8"), 2, "--kv is not valid for qtop export");
    check_run(WORDS(BUILTIN, "-o", "nameless"), 1, "nameless: the name does not tell the format");
    check_run(WORDS(BUILTIN, "-o", target, "-s", "int4:g128"), 1,
              "blk.0.attn_q: GGUF cannot store int4; the nearest that it can is int4:g32");
    check_run(WORDS("/nowhere/model.bin", "-o", target), 1, "No such file");
    check_run(WORDS(BUILTIN, "-o", "/dev/full", "--format", "gguf"), 1, "/dev/full: cannot be written: No space left");
    check_run(WORDS(BUILTIN, "-o", folder, "--format", "gguf"), 1, "is a folder");
    assert_int_equal(files(), 0);
}

/* All files are named that appear. */
static void test_files_beside(void **state)
{
    char *path = path_in(folder, "model.safetensors"), *config = path_in(folder, "config.json");
    (void)state;
    check_run(WORDS(BUILTIN, "-o", path, "-s", "int4:g64", "--format", "gptq"), 0, " bytes (beside it config.json");
    assert_int_equal(files(), 2);
    unlink(path);
    unlink(config);
    free(path);
    free(config);
}

static void test_done(void **state)
{
    (void)state;
    check_run(WORDS(BUILTIN, "-o", target, "-s", "int8:g32"), 0, " bytes\n");
    assert_int_equal(files(), 1);
    struct bytes b = read_file(target);
    assert_memory_equal(b.data, "GGUF\3\0\0\0", 8);
    bytes_free(&b);
    unlink(target);
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

/* Begins to write a large file and ends that by a signal; the status. */
static int ended_by(int number)
{
    write_file(target, "before", 6);
    pid_t child = start(WORDS("--synthetic", "smollm2-135m", "-t", "1", "-o", target));
    size_t begun = 1;
    for (size_t n = 0; (begun = files()) < 2 && child_runs(child) && n < 500 * PATIENCE; n++)
        nap();
    kill(child, number);
    int status = child_wait(child);
    assert_true(begun == 2 || status == 0);
    return status;
}

/* Ended as soon as the file is begun, which takes a moment to write; it dies of that very signal. Where others keep
 * this test from running that long, it is done before. */
static void test_ended(void **state)
{
    (void)state;
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < 3; i++) {
        signal(signals[i], SIG_DFL); /* what is ignored here, as under nohup, the program ignores, too */
        int status = 0;
        for (int tries = 0; status == 0 && tries < MOST_TRIES; tries++)
            status = ended_by(signals[i]);
        assert_int_equal(status, 128 + signals[i]);
        assert_int_equal(files(), 1);
        struct bytes b = read_file(target);
        assert_string_equal((const char *)b.data, "before");
        bytes_free(&b);
        unlink(target);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_files_beside),
        cmocka_unit_test(test_done),
        cmocka_unit_test(test_ended),
    };
    return cmocka_run_group_tests(tests, begin, end);
}

/* Ctrl-C of a command that measures: what was finished is printed and marked, and the program dies of SIGINT. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "caches.h"
#include "child.h"
#include "modelfile.h"
#include "support.h"

#include <dirent.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BUILTIN    SRCDIR "/data/stories.bin"
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

enum { MOST_ARGS = 24, REPEATS = 20 };
static char *folder, *out, *text;

static int begin(void **state)
{
    (void)state;
    folder = folder_make();
    out = path_in(folder, "out");
    text = path_in(folder, "text");
    setenv("XDG_STATE_HOME", folder, 1);
    caches_shrink();
    struct bytes b = read_file(SRCDIR "/data/stories-heldout.txt");
    FILE *f = fopen(text, "w");
    for (int i = 0; i < REPEATS; i++)
        assert_int_equal(fwrite(b.data, 1, b.size, f), b.size);
    fclose(f);
    bytes_free(&b);
    return 0;
}

static int end(void **state)
{
    (void)state;
    folder_remove(folder);
    free(out);
    free(text);
    return 0;
}

static void put_model(const char *path, const struct model_spec *spec)
{
    struct bytes b = model_bytes(spec);
    write_file(path, b.data, b.size);
    bytes_free(&b);
}

/* Shells start what runs in the background with it ignored. */
static void take_interrupts(void)
{
    signal(SIGINT, SIG_DFL);
}

/* Runs for so many seconds, or to its end, then interrupts. The exit status, or 128 + signal. */
static int interrupted(const char *const *words, double seconds)
{
    int status;
    pid_t child = child_start(words, out, "/dev/null", take_interrupts);
    pid_t ended = 0;
    for (double slept = 0; slept < seconds && ended == 0; slept += 0.01) {
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        ended = waitpid(child, &status, WNOHANG);
    }
    if (ended == 0) {
        kill(child, SIGINT);
        ended = waitpid(child, &status, 0);
    }
    assert_int_equal(ended, child);
    return child_status(status);
}

/* Whether an output has what is wanted, as JSON is written with blanks or without. */
static bool has(const struct bytes *b, const char *wanted, const char *or)
{
    return b->size > 0 && (memmem(b->data, b->size, wanted, strlen(wanted)) || memmem(b->data, b->size, or, strlen(or)));
}

/* When to interrupt a command: between what was too early and what was too late. Where others run beside it, what was
 * too late once may be too early now: a bracket that has become narrow is opened again. */
struct moment {
    double seconds, early, late;
    int tries;
};

enum { MOST_TRIES = 60 };

static struct moment moment_of(double seconds)
{
    return (struct moment){.seconds = seconds, .late = INFINITY};
}

/* The next moment to try, after one that was too early or too late. */
static void moment_next(struct moment *m, bool too_late)
{
    if (++m->tries > MOST_TRIES || m->seconds >= PATIENCE)
        fail_msg("found nothing between %g and %g seconds in %d tries", m->early, m->late, m->tries);
    *(too_late ? &m->late : &m->early) = m->seconds;
    if (m->late <= 1.02 * m->early)
        m->late = INFINITY;
    m->seconds = m->late < INFINITY ? (m->early + m->late) / 2 : m->early * (SANITIZED ? 2 : 1.3);
}

/* Whether it was interrupted; else it had ended as it should, and what it wrote to -o is removed. */
static bool interrupted_in_time(const char *const *words, const struct moment *m)
{
    int status = interrupted(words, m->seconds);
    if (status != 0 && status != 128 + SIGINT)
        fail_msg("qtop %s: status %d after %g seconds", words[0], status, m->seconds);
    for (size_t i = 0; status == 0 && words[i]; i++)
        if (strcmp(words[i], "-o") == 0)
            assert_int_equal(unlink(words[i + 1]), 0);
    return status != 0;
}

/* Interrupts until something was printed before the end: what is `wanted`, or the same without a blank. */
static struct bytes partial_output(const char *const *words, struct moment *m, const char *wanted, const char *or)
{
    for (;;) {
        bool in_time = interrupted_in_time(words, m);
        struct bytes b = read_file(out);
        if (in_time && has(&b, wanted, or))
            return b;
        bytes_free(&b);
        moment_next(m, !in_time);
    }
}

static void check(const char *const *words, const char *json)
{
    const char *with_json[MOST_ARGS];
    size_t n = 0;
    struct moment m = moment_of(0.05);
    bool plan = strcmp(words[0], "plan") == 0; /* whose lines may all be finished ones */
    struct bytes b = partial_output(words, &m, "partial", "partial");
    assert_non_null(memmem(b.data, b.size, "interrupted", 11));
    bytes_free(&b);
    for (; words[n]; n++)
        with_json[n] = words[n];
    with_json[n] = json;
    with_json[n + 1] = NULL;
    m = moment_of(m.seconds);
    b = plan ? partial_output(with_json, &m, "partial", "partial")
             : partial_output(with_json, &m, "\"partial\": true", "\"partial\":true");
    json_t *last = NULL;
    for (char *line = strtok((char *)b.data, "\n"); line; line = strtok(NULL, "\n")) {
        json_decref(last);
        last = json_loads(line, 0, NULL);
        assert_non_null(last);
    }
    assert_true(json_is_boolean(json_object_get(last, "partial")));
    if (!plan)
        assert_true(json_is_true(json_object_get(last, "partial")));
    json_decref(last);
    bytes_free(&b);
}

static void test_eval(void **state)
{
    (void)state;
    check(WORDS("eval", BUILTIN, "-s", "int8", "-t", "1", "--text", text), "--json");
}

static void test_bench(void **state)
{
    (void)state;
    check(WORDS("bench", BUILTIN, "-n", "1000", "-t", "1"), "--json");
    check(WORDS("bench", BUILTIN, "-n", "500", "-t", "1", "-s", "int8", "-s", "w8a8"), "--json");
}

/* Of a model that takes longer to be quantized than to be measured as it is stored. */
static void test_plan(void **state)
{
    (void)state;
    char *model = path_in(folder, "large.bin");
    put_model(model, &(struct model_spec){1, false, 512, 1024, 4, 8, 8, 400, 128, 64, 1});
    check(WORDS("plan", model, "-t", "1"), "--json");
    unlink(model);
    free(model);
}

/* The state that a search or training has kept, or null; the caller frees. */
static char *kept_state(void)
{
    char *states = path_in(folder, "qtop"), *path = NULL;
    DIR *d = opendir(states);
    for (const struct dirent *e; d && (e = readdir(d));)
        if (!strchr(e->d_name, '.') && !path) /* one with a dot is still being written */
            path = path_in(states, e->d_name);
    if (d)
        closedir(d);
    free(states);
    return path;
}

/* A recipe is written where a choice was found before the end, and then it is named. */
static void test_tune(void **state)
{
    (void)state;
    char *recipe = path_in(folder, "recipe");
    check(WORDS("tune", BUILTIN, "-t", "1", "--max-kl", "0.001", "-o", recipe), "--json");
    char *kept = kept_state();
    if (kept)
        unlink(kept);
    free(kept);
    struct bytes printed = read_file(out);
    bool named = has(&printed, "\"recipe\": \"", "\"recipe\":\"");
    assert_int_equal(access(recipe, F_OK), named ? 0 : -1);
    bytes_free(&printed);
    free(recipe);
}

/* A report has what was measured, and says what was not; without any figure there is none. */
static void test_report(void **state)
{
    char *path = path_in(folder, "report.md");
    const char *const *words = WORDS("report", BUILTIN, "-t", "1", "-n", "512", "-o", path);
    (void)state;
    for (struct moment m = moment_of(0.2);;) {
        bool in_time = interrupted_in_time(words, &m), there = in_time && access(path, F_OK) == 0;
        struct bytes b = there ? read_file(path) : (struct bytes){0};
        bool partial = there && has(&b, "interrupted", "interrupted");
        assert_true(!there || has(&b, "# Quantization report", "# Quantization report"));
        bytes_free(&b);
        if (partial)
            break;
        moment_next(&m, !in_time || there);
        unlink(path);
    }
    free(path);
}

/* ---- going on --------------------------------------------------------------------------------- */

static const struct model_spec medium_spec = {1, false, 64, 96, 2, 4, 2, 400, 128, 64, 1};

static void assert_same_files(const char *a, const char *b)
{
    struct bytes x = read_file(a), y = read_file(b);
    assert_int_equal(x.size, y.size);
    assert_memory_equal(x.data, y.data, x.size);
    bytes_free(&x);
    bytes_free(&y);
}

/* Interrupts until something was kept before the end. */
static char *interrupt_and_keep(const char *const *words, struct moment *m)
{
    for (;;) {
        bool in_time = interrupted_in_time(words, m);
        char *kept = kept_state();
        if (in_time && kept)
            return kept;
        assert_null(kept);
        moment_next(m, !in_time);
    }
}

/* What is found is what an uninterrupted search finds. */
static void test_resume(void **state)
{
    (void)state;
    char *model = path_in(folder, "medium.bin"), *recipe = path_in(folder, "resumed"),
         *whole = path_in(folder, "whole");
    const char *const *words = WORDS("tune", model, "-t", "1", "-n", "64", "--max-bits", "6", "-o", recipe);
    const char *const *resume =
        WORDS("tune", model, "-t", "1", "-n", "64", "--max-bits", "6", "-o", recipe, "--resume");
    const char *const *other = WORDS("tune", model, "-t", "1", "-n", "64", "--max-bits", "6", "-o", whole);
    put_model(model, &medium_spec);
    assert_int_equal(interrupted(resume, PATIENCE), 1); /* there is nothing yet */
    struct moment m = moment_of(0.05);
    char *kept = interrupt_and_keep(words, &m);
    struct bytes b = read_file(kept);
    write_file(kept, b.data, b.size / 2);
    assert_int_equal(interrupted(resume, PATIENCE), 1);
    put_model(model, &medium_spec); /* at another time: another model, for all that is known */
    write_file(kept, b.data, b.size);
    assert_int_equal(interrupted(resume, PATIENCE), 1);
    assert_int_equal(access(recipe, F_OK), -1);
    bytes_free(&b);
    unlink(kept);
    free(kept);
    m = moment_of(m.seconds);
    kept = interrupt_and_keep(words, &m);
    assert_int_equal(interrupted(resume, PATIENCE), 0);
    assert_int_equal(access(kept, F_OK), -1);
    assert_int_equal(interrupted(other, PATIENCE), 0);
    assert_same_files(recipe, whole);
    free(model);
    free(recipe);
    free(whole);
    free(kept);
}

/* What nothing can catch ends a search: what it had measured is there all the same, and goes when it is done. */
static void test_killed(void **state)
{
    (void)state;
    char *model = path_in(folder, "killed.bin"), *recipe = path_in(folder, "killed"), *kept = NULL;
    const char *const *words = WORDS("tune", model, "-t", "1", "-n", "64", "--max-bits", "6", "-o", recipe, "--resume");
    put_model(model, &medium_spec);
    for (int tries = 0; !kept && tries < 20; tries++) {
        pid_t child = child_start(WORDS("tune", model, "-t", "1", "-n", "64", "--max-bits", "6"), out, "/dev/null",
                                  NULL);
        int status = 0;
        pid_t ended = 0;
        while (!(kept = kept_state()) && ended == 0) {
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
            ended = waitpid(child, &status, WNOHANG);
        }
        if (ended == 0) {
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
        }
        free(kept);
        kept = kept_state(); /* else it was done meanwhile */
    }
    assert_non_null(kept);
    assert_int_equal(interrupted(words, PATIENCE), 0);
    assert_int_equal(access(kept, F_OK), -1);
    assert_int_equal(access(recipe, F_OK), 0);
    free(model);
    free(recipe);
    free(kept);
}

/* The file of a training that is interrupted and goes on is that of one that was not. */
static void test_resume_of_a_training(void **state)
{
    (void)state;
    char *model = path_in(folder, "trained.bin"), *resumed = path_in(folder, "resumed.gguf"),
         *whole = path_in(folder, "whole.gguf");
    static const char scheme[] = "int4:g32:qat(steps=40,batch=256,text=2048)";
    const char *const *words = WORDS("export", model, "-t", "1", "-s", scheme, "-o", resumed);
    const char *const *resume = WORDS("export", model, "-t", "1", "-s", scheme, "-o", resumed, "--resume");
    put_model(model, &medium_spec);
    assert_int_equal(interrupted(resume, PATIENCE), 1); /* there is nothing yet */
    assert_int_equal(interrupted(WORDS("eval", model, "-s", "int8", "--resume"), PATIENCE), 1);
    struct moment m = moment_of(0.05);
    char *kept = interrupt_and_keep(words, &m);
    assert_int_equal(access(resumed, F_OK), -1);
    assert_int_equal(interrupted(resume, PATIENCE), 0);
    assert_int_equal(access(kept, F_OK), -1);
    assert_int_equal(interrupted(WORDS("export", model, "-t", "1", "-s", scheme, "-o", whole), PATIENCE), 0);
    assert_same_files(resumed, whole);
    free(model);
    free(resumed);
    free(whole);
    free(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_eval), cmocka_unit_test(test_bench),  cmocka_unit_test(test_plan),
        cmocka_unit_test(test_tune), cmocka_unit_test(test_report), cmocka_unit_test(test_resume),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_resume_of_a_training),
    };
    cmocka_set_test_filter(getenv("QTOP_TEST"));
    return cmocka_run_group_tests_name("partial", tests, begin, end);
}

/* The program from outside: exit status, standard output and standard error of every subcommand.
 *
 * QTOP_BIN names the program (./qtop without it). Models and tokenizers are made here; what needs
 * the reference folder is left out where there is none. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "caches.h"
#include "modelfile.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <jansson.h>
#include <math.h>
#include <poll.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST_ARGS = 24, VOCAB = 400, TRAINED = 64 };

static const char *program;
static char *folder;     /* of this program's files */
static char *bare;       /* a folder without a tokenizer */
static char *model;      /* a valid one with a tokenizer beside it */
static char *vocabulary; /* that tokenizer */
static char *text;       /* 40 tokens or so */
static char *long_text;  /* enough of them to calibrate on */
static char *output;     /* where -o writes */

/* ---- running --------------------------------------------------------------------------------- */

enum where { TO_PIPE, TO_NOTHING, TO_FULL, TO_TERMINAL };

struct run {
    enum where out;
    const char *input; /* null: /dev/null */
    size_t input_size;
    int signal;        /* sent after `delay` seconds; 0: none */
    double delay;
    void (*interfere)(void); /* called instead of sending a signal */
    /* what came of it; release() frees */
    int status;        /* exit status, or 128 + signal */
    struct bytes stdout_bytes, stderr_bytes;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void release(struct run *r)
{
    bytes_free(&r->stdout_bytes);
    bytes_free(&r->stderr_bytes);
}

static const char *out_of(const struct run *r)
{
    return (const char *)r->stdout_bytes.data;
}

static const char *err_of(const struct run *r)
{
    return (const char *)r->stderr_bytes.data;
}

static void append(struct bytes *b, const char *data, size_t n)
{
    b->data = realloc(b->data, b->size + n + 1);
    if (!b->data)
        abort();
    memcpy(b->data + b->size, data, n);
    b->size += n;
    b->data[b->size] = 0;
}

/* In the child: only async-signal-safe calls. */
static void become(const struct run *r, const int in[2], const int out[2], const int err[2],
                   const char *const *args)
{
    int null = open("/dev/null", O_RDWR), full = open("/dev/full", O_WRONLY);
    dup2(r->input ? in[0] : null, 0);
    dup2(err[1], 2);
    if (r->out == TO_NOTHING)
        close(1);
    else
        dup2(r->out == TO_FULL ? full : out[1], 1);
    for (int fd = 3; fd < 64; fd++)
        close(fd);
    signal(SIGINT, SIG_DFL); /* shells start what runs in the background with it ignored */
    execv(program, (char *const *)(uintptr_t)args);
    _exit(127);
}

static void open_pipes(const struct run *r, int in[2], int out[2], int err[2])
{
    int failed = pipe(in) | pipe(err);
    failed |= r->out == TO_TERMINAL ? openpty(&out[0], &out[1], NULL, NULL, NULL) : pipe(out);
    if (failed)
        fail_msg("no pipes: %s", strerror(errno));
}

/* Reads one end; false when it is closed. A terminal ends with EIO. */
static bool drain(int fd, struct bytes *to)
{
    char buffer[65536];
    ssize_t n = read(fd, buffer, sizeof buffer);
    if (n > 0)
        append(to, buffer, (size_t)n);
    return n > 0;
}

static void feed(struct pollfd *p, const struct run *r, size_t *fed)
{
    ssize_t n = write(p->fd, r->input + *fed, r->input_size - *fed);
    *fed += n > 0 ? (size_t)n : 0;
    if (n < 0 || *fed == r->input_size) {
        close(p->fd);
        p->fd = -1;
    }
}

/* Talks to the child until both of its outputs are closed; false when the time is over. */
static bool converse(struct run *r, pid_t child, int in, int out, int err)
{
    struct pollfd p[3] = {{out, POLLIN, 0}, {err, POLLIN, 0}, {in, POLLOUT, 0}};
    double begin = now();
    bool told = !r->signal && !r->interfere;
    size_t fed = 0;
    while (p[0].fd >= 0 || p[1].fd >= 0) {
        poll(p, 3, told ? 1000 : 20);
        if (!told && now() - begin > r->delay) {
            told = true;
            if (r->interfere)
                r->interfere();
            else
                kill(child, r->signal);
        }
        if (now() - begin > PATIENCE)
            return false;
        if (p[2].fd >= 0 && p[2].revents)
            feed(&p[2], r, &fed);
        if (p[0].revents && !drain(out, &r->stdout_bytes))
            p[0].fd = -1;
        if (p[1].revents && !drain(err, &r->stderr_bytes))
            p[1].fd = -1;
    }
    if (p[2].fd >= 0)
        close(p[2].fd);
    return true;
}

static void run_args(struct run *r, const char *const *args)
{
    int in[2], out[2], err[2], status = 0;
    r->stdout_bytes = r->stderr_bytes = (struct bytes){0};
    append(&r->stdout_bytes, "", 0);
    append(&r->stderr_bytes, "", 0);
    open_pipes(r, in, out, err);
    pid_t child = fork();
    if (child == 0)
        become(r, in, out, err, args);
    close(in[0]);
    close(out[1]);
    close(err[1]);
    if (!r->input) {
        close(in[1]);
        in[1] = -1;
    }
    bool in_time = child > 0 && converse(r, child, in[1], out[0], err[0]);
    if (child > 0 && !in_time)
        kill(child, SIGKILL);
    if (child > 0)
        waitpid(child, &status, 0);
    close(out[0]);
    close(err[0]);
    if (!in_time)
        fail_msg("%s %s: still running after %d s", args[1], args[2] ? args[2] : "", PATIENCE);
    r->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (r->status == 127)
        fail_msg("%s cannot be run", program);
}

/* Runs the program with these words after its name. */
#define RUN(R, ...) run_args(R, (const char *const[MOST_ARGS + 1]){program, __VA_ARGS__})

/* ---- asserting ------------------------------------------------------------------------------- */

static size_t lines_in(const struct bytes *b)
{
    size_t n = 0;
    for (size_t i = 0; i < b->size; i++)
        n += b->data[i] == '\n';
    return n;
}

static bool has_controls(const struct bytes *b, const char *allowed)
{
    for (size_t i = 0; i < b->size; i++)
        if ((b->data[i] < 0x20 || b->data[i] == 0x7f) &&
            !memchr(allowed, b->data[i], strlen(allowed)))
            return true;
    return false;
}

static void show(const struct run *r, const char *what, const char *const *args)
{
    char line[2048] = "";
    for (size_t n = 0; *args && n < sizeof line - 1; args++)
        n += (size_t)snprintf(line + n, sizeof line - n, " '%s'", *args);
    fail_msg("%s: status %d, %zu bytes of output, on standard error: %.1200s\n  of%s", what,
             r->status, r->stdout_bytes.size, err_of(r), line);
}

/* A refusal: this status, nothing on standard output, one clean line that has these words. */
static void refuse_run(struct run *r, int status, const char *const *needles,
                       const char *const *args)
{
    run_args(r, args);
    if (r->status != status)
        show(r, "wrong exit status", args);
    if (r->stdout_bytes.size)
        show(r, "something on standard output", args);
    if (lines_in(&r->stderr_bytes) != 1 || strncmp(err_of(r), "qtop: ", 6) != 0 ||
        has_controls(&r->stderr_bytes, "\n"))
        show(r, "not one clean line", args);
    for (; needles && *needles; needles++)
        if (!strstr(err_of(r), *needles))
            show(r, *needles, args);
    release(r);
}

#define WORDS(...)  ((const char *const[]){__VA_ARGS__, NULL})
#define REFUSE(STATUS, NEEDLES, ...)                                                               \
    refuse_run(&(struct run){.out = TO_PIPE}, STATUS, NEEDLES,                                     \
               (const char *const[MOST_ARGS + 1]){program, __VA_ARGS__})

static void accept_run(struct run *r, const char *const *args)
{
    run_args(r, args);
    if (r->status != 0 || strstr(err_of(r), "Sanitizer") || strstr(err_of(r), "runtime error"))
        show(r, "failed", args);
}

#define ACCEPT(R, ...) accept_run(R, (const char *const[MOST_ARGS + 1]){program, __VA_ARGS__})

/* Where a loop over a list begins that goes on by test_stride(): elsewhere each time, so that none is left out. */
static size_t next_turn(void)
{
    static size_t turn;
    return turn++ % test_stride();
}

/* ---- files ----------------------------------------------------------------------------------- */

static char *put_model(const char *where, const char *name, const struct model_spec *spec)
{
    struct bytes b = model_bytes(spec);
    char *path = path_in(where, name);
    write_file(path, b.data, b.size);
    bytes_free(&b);
    return path;
}

static char *put_vocabulary(const char *where, const char *name, const struct vocabulary_spec *v)
{
    struct bytes b = vocabulary_bytes(v);
    char *path = path_in(where, name);
    write_file(path, b.data, b.size);
    bytes_free(&b);
    return path;
}

static char *sub_folder(const char *name)
{
    char *path = path_in(folder, name);
    if (mkdir(path, 0700) != 0)
        abort();
    return path;
}

static const char story[] = "the theatre there in a winter wind, on the other end of a big river\n";

static int make_files(void **state)
{
    (void)state;
    struct model_spec spec = spec_usual(1, true);
    struct vocabulary_spec v = vocabulary_usual(VOCAB);
    program = getenv("QTOP_BIN") ? getenv("QTOP_BIN") : "./qtop";
    setenv("QTOP_DATA", "/nonexistent", 1);
    caches_shrink();
    signal(SIGPIPE, SIG_IGN);
    folder = folder_make();
    bare = sub_folder("bare");
    model = put_model(folder, "model.bin", &spec);
    free(put_model(bare, "model.bin", &spec));
    vocabulary = put_vocabulary(folder, "tokenizer.bin", &v);
    vocabulary_free(&v);
    text = path_in(folder, "story.txt");
    long_text = path_in(folder, "calibration.txt");
    char *cache = sub_folder("cache"); /* not the person's own */
    setenv("XDG_CACHE_HOME", cache, 1);
    free(cache);
    output = path_in(folder, "logits.f32");
    write_file(text, story, sizeof story - 1);
    FILE *f = fopen(long_text, "w");
    for (int i = 0; i < 10; i++)
        fwrite(story, 1, sizeof story - 1, f);
    fclose(f);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    free(bare);
    free(model);
    free(vocabulary);
    free(text);
    free(long_text);
    free(output);
    folder_remove(folder);
    return 0;
}

/* ---- words of the command line --------------------------------------------------------------- */

static const char *const commands[] = {"bench", "eval", "inspect", "plan", "generate", "logits",
                                       "tokenize"};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void test_help_and_version(void **state)
{
    (void)state;
    static const char *const words[] = {"-h", "--help", "-V", "--version"};
    for (size_t w = 0; w < 4; w++)
        for (size_t c = next_turn(); c <= COMMANDS; c += test_stride()) {
            struct run r = {.out = TO_PIPE};
            if (c < COMMANDS)
                ACCEPT(&r, commands[c], words[w]);
            else
                ACCEPT(&r, words[w]);
            assert_int_equal(r.stderr_bytes.size, 0);
            assert_non_null(strstr(out_of(&r), "qtop"));
            if (w < 2)
                assert_non_null(strstr(out_of(&r), c < COMMANDS ? commands[c] : "tokenize"));
            else
                assert_int_equal(lines_in(&r.stdout_bytes), 1);
            release(&r);
        }
}

static void test_unknown_options(void **state)
{
    (void)state;
    static const char *const words[] = {"--bogus", "-Q", "--tex\x1b[31m", "-\x1b", "-\xc3\xa9",
                                        "--t",     "--help=3"};
    for (size_t w = 0; w < sizeof words / sizeof *words; w++) {
        for (size_t c = next_turn(); c < COMMANDS; c += test_stride())
            REFUSE(2, WORDS("option"), commands[c], words[w]);
        REFUSE(2, WORDS("option"), words[w]);
    }
    REFUSE(2, WORDS("help 'evla'", "such as eval"), "help", "evla");
    REFUSE(2, WORDS("'evla' is no subcommand", "no such file", "the nearest subcommand is eval"), "evla");
    REFUSE(2, WORDS("the nearest subcommand is inspect"), "insepct", model, "--json");
    REFUSE(2, WORDS("'bogus' is neither a subcommand nor a file"), "bogus", model);
    REFUSE(2, WORDS("the nearest type is q4_k"), "eval", "-s", "q4_kk", model);
    REFUSE(2, WORDS("nf4 is a type, not a mix"), "eval", "-s", "@nf4", model);
    REFUSE(2, WORDS("granularity of a type whose blocks", "no granularity"), "eval", "-s", "q4_k:g32", model);
    REFUSE(1, WORDS("no-such-model.gguf", "No such file"), "no-such-model.gguf");
    REFUSE(2, WORDS("--bogus"), "eval", "--bogus");
    REFUSE(2, WORDS("-Q"), "eval", "-Q");
    REFUSE(2, WORDS("-Q"), "eval", "-t1", "-Q", model);
}

/* A letter that is no ASCII is still the one that is named, not the word before it. */
static void test_unknown_letter_is_named(void **state)
{
    (void)state;
    struct run r = {.out = TO_PIPE};
    RUN(&r, "eval", "-\xc3\xa9");
    assert_int_equal(r.status, 2);
    if (strstr(err_of(&r), "'eval'"))
        fail_msg("the wrong word is named: %s", err_of(&r));
    release(&r);
}

static void test_missing_arguments(void **state)
{
    (void)state;
    static const char *const words[] = {"-t", "--threads", "-c", "--isa"};
    for (size_t c = next_turn(); c < COMMANDS; c += test_stride()) {
        REFUSE(2, WORDS("argument"), commands[c], "-z");
        REFUSE(2, WORDS("argument"), commands[c], "--tokenizer");
        for (size_t w = 0; w < 4 && strcmp(commands[c], "tokenize") != 0; w++)
            REFUSE(2, WORDS("argument"), commands[c], words[w]);
    }
    REFUSE(2, WORDS("after the model"), "eval", model, "another");
    REFUSE(2, WORDS("--scheme twice", "bench"), "eval", "-s", "int4", "-s", "int8", model);
    REFUSE(2, WORDS("--recipe twice"), "generate", "-r", "a", "-r", "b", model);
    REFUSE(2, WORDS("--json and --csv"), "bench", "--json", "--csv", model);
    REFUSE(1, WORDS(folder, "is a folder"), "tune", "--max-kl", "1", "-o", folder, model);
    REFUSE(1, WORDS("size 10 cannot be reached: the smallest choice has"), "tune", "--max-size", "10", model);
}

static void test_options_of_other_subcommands(void **state)
{
    (void)state;
    static const char *const foreign[][3] = {
        {"generate", "--json"},       {"generate", "--roof", "1GB/s"}, {"generate", "-w", "8"},
        {"tokenize", "-s", "int8"},   {"tokenize", "--json"},          {"tokenize", "-t", "1"},
        {"bench", "--text", "f"},     {"bench", "-o", "f"},            {"bench", "--prompt", "a"},
        {"eval", "-p", "a"},          {"eval", "--seed", "1"},         {"inspect", "-n", "5"},
        {"inspect", "--top-p", "1"},  {"plan", "-s", "int8"},          {"plan", "-r", "f"},
        {"logits", "-n", "3"},        {"logits", "--json"},            {"eval", "--no-mouse"},
        {"logits", "--ascii"},        {"plan", "--protocol", "full"}, {"plan", "-d", "1"},
        {"machine", "-c", "9"},       {"plan", "--fresh"},             {"bench", "--no-run"},
    };
    for (size_t i = next_turn(); i < sizeof foreign / sizeof *foreign; i += test_stride())
        REFUSE(2, WORDS("is not valid for", foreign[i][0]), foreign[i][0], foreign[i][1],
               foreign[i][2]);
    REFUSE(2, WORDS("is not valid for"), "-o", "f");
    REFUSE(2, WORDS("is not valid for"), "--json");
}

static void test_numbers_out_of_range(void **state)
{
    (void)state;
    static const char *const numbers[][2] = {
        {"bench", "--threads"},     {"bench", "--tokens"},     {"bench", "--prompt-tokens"},
        {"eval", "--window"},       {"eval", "--context"},     {"eval", "--tokens"},
        {"inspect", "--context"},   {"plan", "--threads"},     {"generate", "--tokens"},
        {"logits", "--context"},    {"generate", "--threads"}, {"generate", "--temperature"},
        {"generate", "--top-p"},    {"generate", "--seed"},    {"bench", "--depth"},
    };
    static const char *const values[] = {"-1", "1e99", "1e400", "nan", "inf", "abc", "", "1x", " ",
                                         "-nan", "99999999999999999999", "\x1b[31m", "0"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        for (size_t k = next_turn(); k < sizeof values / sizeof *values; k += test_stride())
            if (i < 11 || strcmp(values[k], "0") != 0) /* a seed, temperature or depth of 0 is one */
                REFUSE(2, WORDS(numbers[i][1], "expected", "from"), numbers[i][0], numbers[i][1],
                       values[k], model);
    REFUSE(2, WORDS("--tokens", "whole"), "generate", "-n", "1.5", model);
    REFUSE(2, WORDS("--window", "2"), "eval", "-w", "1", model);
    REFUSE(2, WORDS("--top-p"), "generate", "--top-p", "1.5", model);
    REFUSE(2, WORDS("--threads", "processors"), "generate", "-t", "1024", model);
}

static void test_bad_schemes(void **state)
{
    (void)state;
    static const char *const schemes[][2] = {
        {"", "position 1"},         {"int9", "position 1"},      {"int8/int9", "position 6"},
        {"int8:g8", "position 6"},  {"int8:sym:g64", "position 10"}, {"stored:sym", "position 7"},
        {"fp16:g32", "position 6"}, {"fp16/int8", "position 1"}, {"int8::asym", "position 6"},
        {"int8\n", "position 1"},   {"\x1b[31m", "position 1"},  {"int8:rtn:rtn", "position 10"},
        {"int8:g99999999999999999999", "position 6"}, {"fp16:gptq", "position 1"},
        {"int4:gptq(damp=2)", "position 16"}, {"int4:awq+smoothquant", "position 10"},
        {"w4a8:llmint8", "position 1"},
    };
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        REFUSE(2, WORDS(schemes[i][1], "expected"), "eval", "-s", schemes[i][0], model);
        REFUSE(2, WORDS(schemes[i][1], "expected"), "generate", "-s", schemes[i][0], model);
        if (i == 6)
            break;
    }
    for (size_t i = 7; i < sizeof schemes / sizeof *schemes; i++)
        REFUSE(2, WORDS(schemes[i][1]), "inspect", "-s", schemes[i][0], "--json", model);
}

/* A field of one layer's line; the caller lets go. */
static json_t *found_value(const struct run *r, const char *layer, const char *key)
{
    char start[64];
    snprintf(start, sizeof start, "{\"name\":\"%s\"", layer);
    const char *line = strstr(out_of(r), start);
    if (!line)
        fail_msg("no line of %s", layer);
    json_t *object = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL);
    json_t *value = json_incref(json_object_get(object, key));
    json_decref(object);
    return value;
}

/* Methods on the command line: what they calibrate on, and what they are refused. */
static void test_calibration(void **state)
{
    (void)state;
    struct run r = {.out = TO_PIPE};
    REFUSE(2, WORDS("--calibration", "quality is measured on this text"), "eval", "-s", "int4:gptq", "--text",
           text, "--calibration", text, model);
    REFUSE(1, WORDS("/nonexistent/c"), "eval", "--calibration", "/nonexistent/c", model);
    REFUSE(1, WORDS("calibration text", "at least 128"), "eval", "-s", "int4:gptq", "--calibration", text,
           model);
    char *alone = path_in(bare, "model.bin");
    REFUSE(1, WORDS("no tokenizer"), "eval", "-s", "int4:gptq", "--calibration", long_text, alone);
    free(alone);
    REFUSE(2, WORDS("--calibration"), "plan", "--calibration", text, model);
    REFUSE(2, WORDS("outliers", "K:FACTOR"), "eval", "--inject-outliers", "2", model);
    REFUSE(2, WORDS("--inject-outliers"), "bench", "--synthetic", "smollm2-135m", "--inject-outliers", "2:9");
    REFUSE(1, WORDS("wide"), "eval", "--inject-outliers", "10000:9", model);
    static const char *const schemes[] = {"int4:gptq", "int4:g16:asym:awq+clip+gptq", "int8/int8:smoothquant",
                                          "int8/int8:llmint8", "int8/int8.static.kl", "fp8e4m3/fp8e4m3.static"};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        ACCEPT(&r, "eval", "--json", "-s", schemes[i], "--text", text, "--calibration", long_text, model);
        json_t *object = json_loads(out_of(&r), 0, NULL);
        assert_string_equal(json_string_value(json_object_get(object, "scheme")), schemes[i]);
        assert_true(json_is_number(json_object_get(object, "kl_divergence")));
        json_decref(object);
        release(&r);
    }
    ACCEPT(&r, "inspect", "-s", "w8a8:llmint8(threshold=1)", "--inject-outliers", "2:50", model);
    assert_non_null(strstr(out_of(&r), "llmint8(threshold=1)"));
    release(&r);
    static const char *const found[][2] = {{"int4:gptq", "damp"}, {"int4:gptq", "rounded_rows"},
                                           {"int4:awq", "alpha"}, {"w8a8:llmint8", "outlier_columns"}};
    for (size_t i = 0; i < sizeof found / sizeof *found; i++) {
        char *recipe = path_in(folder, "found.recipe");
        char line[64];
        snprintf(line, sizeof line, "blk.0.attn_q %s\n", found[i][0]);
        write_file(recipe, line, strlen(line));
        ACCEPT(&r, "inspect", "--json", "-r", recipe, "--calibration", long_text, model);
        json_t *value = found_value(&r, "blk.0.attn_q", found[i][1]);
        assert_true(json_is_number(value));
        json_decref(value);
        value = found_value(&r, "blk.0.attn_k", found[i][1]);
        assert_true(json_is_null(value));
        json_decref(value);
        release(&r);
        free(recipe);
    }
    ACCEPT(&r, "generate", "-n", "3", "-s", "int4:gptq", model); /* on its own text */
    release(&r);
}

static void test_other_bad_words(void **state)
{
    (void)state;
    static const char *const roofs[] = {"", "abc", "2", "2TB", "-2GB/s", "nanGB/s",
                                        "1e99TB/s", "0GB/s", "2GB/sx", "infTB/s", "h101", "-5e9",
                                        "900e9x", "\x1b[31m"};
    REFUSE(2, WORDS("--protocol", "full or llamacpp"), "eval", "--protocol", "foo", model);
    REFUSE(2, WORDS("--protocol"), "eval", "--protocol", "", model);
    for (size_t c = 0; c < COMMANDS - 2; c++)
        REFUSE(2, WORDS("--kv", "int4", "expected fp32"), commands[c], "--kv", "int4", model);
    REFUSE(2, WORDS("--kv", "expected"), "eval", "--kv", "", model);
    for (size_t c = 0; c < COMMANDS - 2; c++)
        REFUSE(2, WORDS("instruction set", "expected one of"), commands[c], "--isa", "foo", model);
    for (size_t i = 0; i < sizeof roofs / sizeof *roofs; i++)
        REFUSE(2, WORDS("--roof", "expected", "2TB/s", "h100"), "plan", "--roof", roofs[i], model);
    char *before = getenv("QTOP_ISA") ? strdup(getenv("QTOP_ISA")) : NULL;
    setenv("QTOP_ISA", "foo", 1);
    REFUSE(2, WORDS("foo"), "generate", model);
    if (before)
        setenv("QTOP_ISA", before, 1);
    else
        unsetenv("QTOP_ISA");
    free(before);
}

static void test_bad_recipes(void **state)
{
    (void)state;
    char *recipe = path_in(folder, "recipe");
    static const struct {
        const char *text, *said[2];
    } lines[] = {
        {"* int8\n* int9\n", {"line 2", "position 1"}},
        {"*\n", {"line 1", "scheme"}},
        {"* int8 x\n", {"line 1", "x"}},
        {"blk.0.atn_q int8\n", {"line 1", "blk.0.attn_q"}},
        {"\nkv int4\n", {"line 2", "expected fp32, fp16, int8"}},
        {"kvv int8\n", {"line 1", "nearest name is kv"}},
        {"\x1b[31m \xff\xfe", {"line 1", "expected"}},
    };
    REFUSE(1, WORDS("/nonexistent/r", "No such file"), "eval", "-r", "/nonexistent/r", model);
    REFUSE(1, WORDS("directory"), "eval", "-r", folder, model);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        write_file(recipe, lines[i].text, strlen(lines[i].text));
        REFUSE(1, WORDS(lines[i].said[0], lines[i].said[1]), "inspect", "-r", recipe, model);
    }
    free(recipe);
}

/* ---- bad model files ------------------------------------------------------------------------- */

/* Every subcommand refuses the model at path with one line. */
static void refuse_everywhere(const char *path, const char *needle)
{
    for (size_t c = next_turn(); c < COMMANDS; c += test_stride()) {
        if (strcmp(commands[c], "logits") == 0)
            REFUSE(1, WORDS(needle), "logits", "-o", output, "-p", "a", path);
        else if (strcmp(commands[c], "tokenize") != 0)
            REFUSE(1, WORDS(needle), commands[c], path);
        else
            REFUSE(1, NULL, "tokenize", path); /* there is no tokenizer beside it */
    }
    struct stat st;
    assert_int_not_equal(stat(output, &st), 0); /* no trace of an output either */
}

static void test_bad_models_are_refused_everywhere(void **state)
{
    (void)state;
    char *path = path_in(bare, "bad"), *name = path_in(bare, "\x1b[31m\n\xff.bin");
    struct model_spec spec = spec_tiny(1, true);
    struct bytes b = model_bytes(&spec);
    remove(output);
    refuse_everywhere(path, "No such file");
    assert_int_equal(mkdir(path, 0700), 0);
    refuse_everywhere(path, "directory");
    remove(path);
    refuse_everywhere("/dev/null", "device");
    assert_int_equal(mkfifo(path, 0600), 0);
    refuse_everywhere(path, "FIFO");
    remove(path);
    assert_int_equal(symlink("bad", path), 0);
    refuse_everywhere(path, "ymbolic links");
    remove(path);
    write_file(path, "", 0);
    refuse_everywhere(path, "empty");
    write_file(path, b.data, 4);
    refuse_everywhere(path, "4 bytes");
    write_file(path, b.data, b.size - 1);
    refuse_everywhere(path, "payload");
    write_file(path, "GGUF and what follows", 21);
    refuse_everywhere(path, "GGUF");
    write_file(path, "\xff\xff\xff\xff and what follows", 21);
    refuse_everywhere(path, "unknown model format");
    put_int(&b, V1_FIELDS + 4 * FIELD_HEADS, 0);
    write_file(path, b.data, b.size);
    refuse_everywhere(path, "n_heads = 0");
    write_file(name, "junk", 4);
    refuse_everywhere(name, "unknown model format");
    remove(path);
    remove(name);
    bytes_free(&b);
    free(path);
    free(name);
}

static void test_bad_tokenizers_are_refused(void **state)
{
    (void)state;
    char *path = path_in(bare, "vocabulary");
    struct vocabulary_spec v = vocabulary_usual(401);
    REFUSE(1, WORDS("No such file"), "generate", "-z", path, model);
    REFUSE(1, WORDS("No such file"), "tokenize", "-z", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    REFUSE(1, WORDS("FIFO"), "tokenize", "-z", path);
    remove(path);
    write_file(path, "\x07\0\0\0\0\0\0\0\xff\xff\xff\xff", 12);
    REFUSE(1, WORDS("token 0", "-1"), "tokenize", "-z", path);
    REFUSE(1, WORDS("token 0", "-1"), "generate", "-z", path, model);
    remove(path);
    free(path);
    path = put_vocabulary(bare, "vocabulary", &v);
    REFUSE(1, WORDS("401", "400"), "generate", "-z", path, model);
    remove(path);
    vocabulary_free(&v);
    free(path);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

enum json_need { NEED_NUMBER, NEED_STRING, NEED_TRUTH, NEED_LIST, NEED_MAYBE /* number, or null with a reason */ };

struct json_field {
    const char *key;
    enum json_need need;
};

static const struct json_field bench_fields[] = {
    {"scheme", NEED_STRING},
    {"threads", NEED_NUMBER},
    {"isa", NEED_STRING},
    {"kv", NEED_STRING},
    {"decode_tokens_per_second", NEED_NUMBER},
    {"prefill_tokens_per_second", NEED_NUMBER},
    {"bytes_per_token", NEED_NUMBER},
    {"bandwidth_bytes_per_second", NEED_NUMBER},
    {"peak_read_bytes_per_second", NEED_MAYBE},
    {"peak_read_disturbed", NEED_TRUTH},
    {"bandwidth_fraction", NEED_MAYBE},
    {"depth", NEED_NUMBER},
    {"prompt_tokens", NEED_NUMBER},
    {"decode_tokens", NEED_NUMBER},
    {"samples", NEED_NUMBER},
    {NULL, NEED_MAYBE},
};
static const struct json_field eval_fields[] = {
    {"scheme", NEED_STRING},       {"tokens", NEED_NUMBER},
    {"kv", NEED_STRING},
    {"window", NEED_NUMBER},       {"protocol", NEED_STRING},
    {"perplexity", NEED_MAYBE},    {"perplexity_reference", NEED_MAYBE},
    {"kl_divergence", NEED_MAYBE}, {"kl_stderr", NEED_MAYBE},
    {"kl_median", NEED_MAYBE},     {"kl_p99", NEED_MAYBE},
    {"kl_max", NEED_MAYBE},        {"top1_agreement", NEED_MAYBE},
    {"text_name", NEED_STRING},    {"text_tokens", NEED_NUMBER},
    {"kv_overflowed", NEED_NUMBER},
    {NULL, NEED_MAYBE},
};
static const struct json_field inspect_fields[] = {
    {"name", NEED_STRING},         {"rows", NEED_NUMBER},
    {"cols", NEED_NUMBER},         {"scheme", NEED_STRING},
    {"bytes", NEED_NUMBER},        {"bits_per_weight", NEED_NUMBER},
    {"sqnr_db", NEED_MAYBE},       {"output_sqnr_db", NEED_MAYBE},
    {"max_abs_error", NEED_MAYBE}, {"max_abs_error_row", NEED_MAYBE},
    {"mse", NEED_MAYBE},           {"max_abs_error_col", NEED_MAYBE},
    {"cosine", NEED_MAYBE},        {"clipped", NEED_MAYBE},
    {"overflowed", NEED_NUMBER},
    {"scale_min", NEED_MAYBE},     {"scale_max", NEED_MAYBE},
    {"scale_mean", NEED_MAYBE},    {"alpha", NEED_MAYBE},
    {"damp", NEED_MAYBE},          {"rounded_rows", NEED_MAYBE},
    {"outlier_columns", NEED_MAYBE}, {"text_tokens", NEED_MAYBE},
    {NULL, NEED_MAYBE},
};
static const struct json_field plan_fields[] = {
    {"scheme", NEED_STRING},
    {"size_bytes", NEED_NUMBER},
    {"bits_per_weight", NEED_NUMBER},
    {"bytes_per_token", NEED_NUMBER},
    {"roof", NEED_STRING},
    {"roof_bytes_per_second", NEED_NUMBER},
    {"predicted_tokens_per_second", NEED_NUMBER},
    {"here_bytes_per_second", NEED_MAYBE},
    {"here_predicted_tokens_per_second", NEED_MAYBE},
    {"measured_tokens_per_second", NEED_MAYBE},
    {"measured_tokens_per_second_min", NEED_MAYBE},
    {"measured_tokens_per_second_max", NEED_MAYBE},
    {"measured_samples", NEED_NUMBER},
    {"same_as", NEED_LIST},
    {NULL, NEED_MAYBE},
};

static const struct json_field advise_fields[] = {
    {"scheme", NEED_STRING},
    {"size_bytes", NEED_NUMBER},
    {"memory_bytes", NEED_NUMBER},
    {"bits_per_weight_all", NEED_NUMBER},
    {"format", NEED_STRING},
    {"file_bytes", NEED_MAYBE},
    {"exports", NEED_STRING},
    {"predicted_tokens_per_second", NEED_MAYBE},
    {"decode_tokens_per_second", NEED_NUMBER},
    {"prefill_tokens_per_second", NEED_NUMBER},
    {"kl_divergence", NEED_NUMBER},
    {"kl_stderr", NEED_NUMBER},
    {"top1_agreement", NEED_NUMBER},
    {"top1_stderr", NEED_NUMBER},
    {"perplexity", NEED_NUMBER},
    {"tokens", NEED_NUMBER},
    {"text_name", NEED_STRING},
    {"seconds", NEED_NUMBER},
    {"verdict", NEED_STRING},
    {"goal", NEED_STRING},
    {NULL, NEED_MAYBE},
};

/* null beside KEY_reason, and a reason only beside null. */
static void check_reasons(json_t *object, const char *line)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        char other[128];
        size_t n = strlen(key), tail = strlen("_reason");
        snprintf(other, sizeof other, "%s_reason", key);
        const char *reason = json_string_value(json_object_get(object, other));
        if (json_is_null(value) && (!reason || !*reason))
            fail_msg("%s is null without a reason: %s", key, line);
        if (n <= tail || strcmp(key + n - tail, "_reason") != 0)
            continue;
        snprintf(other, sizeof other, "%.*s", (int)(n - tail), key);
        if (!json_is_null(json_object_get(object, other)))
            fail_msg("%s stands beside a value: %s", key, line);
    }
}

static void check_fields(json_t *object, const struct json_field *fields, const char *line)
{
    for (; fields->key; fields++) {
        json_t *value = json_object_get(object, fields->key);
        bool right = fields->need == NEED_STRING ? json_is_string(value)
                     : fields->need == NEED_NUMBER ? json_is_number(value)
                     : fields->need == NEED_TRUTH  ? json_is_boolean(value)
                     : fields->need == NEED_LIST   ? json_is_array(value)
                                                   : json_is_number(value) || json_is_null(value);
        if (!right)
            fail_msg("%s is missing or of the wrong type: %s", fields->key, line);
    }
}

/* Every line is one object with these fields; returns how many there are. */
static size_t check_json(const struct run *r, const struct json_field *fields)
{
    char *copy = strdup(out_of(r)), *save, *line;
    size_t n = 0;
    assert_non_null(copy);
    for (line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save), n++) {
        json_error_t error;
        json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, &error);
        if (!json_is_object(object))
            fail_msg("no object: %s: %s", error.text, line);
        check_reasons(object, line);
        check_fields(object, fields, line);
        json_decref(object);
    }
    free(copy);
    assert_int_equal(lines_in(&r->stdout_bytes), n);
    return n;
}

/* A field of the first line. */
static json_t *first_value(const struct run *r, const char *key)
{
    json_t *object = json_loads(out_of(r), JSON_DISABLE_EOF_CHECK, NULL);
    json_t *value = json_incref(json_object_get(object, key));
    json_decref(object);
    return value;
}

/* One number of the first line. */
static double first_number(const struct run *r, const char *key)
{
    json_t *value = first_value(r, key);
    double number = json_is_number(value) ? json_number_value(value) : NAN;
    json_decref(value);
    return number;
}

/* All lines, in an array that the caller releases. */
static json_t *json_lines(const struct run *r)
{
    json_t *lines = json_array();
    json_error_t end;
    for (const char *at = out_of(r); *at; at += end.position + (at[end.position] == '\n'))
        assert_int_equal(json_array_append_new(lines, json_loads(at, JSON_DISABLE_EOF_CHECK, &end)), 0);
    return lines;
}

static void test_json_of_bench(void **state)
{
    (void)state;
    static const char *const schemes[] = {"stored", "w4a8", "fp8"};
    for (size_t i = 0; i < 3; i++) {
        struct run r = {.out = TO_PIPE};
        ACCEPT(&r, "bench", "--json", "-s", schemes[i], "-n", "4", "--prompt-tokens", "8", model);
        assert_int_equal(check_json(&r, bench_fields), 1);
        release(&r);
    }
}

/* What lies in the cache before is read with every token. */
static void test_bench_at_a_depth(void **state)
{
    (void)state;
    enum { DEPTH = 16 };
    json_int_t bytes[2];
    for (int deep = 0; deep < 2; deep++) {
        struct run r = {.out = TO_PIPE};
        ACCEPT(&r, "bench", "--json", "-n", "2", "--prompt-tokens", "4", "--depth", deep ? "16" : "0", model);
        assert_int_equal(first_number(&r, "depth"), deep ? DEPTH : 0);
        bytes[deep] = (json_int_t)first_number(&r, "bytes_per_token");
        release(&r);
    }
    json_int_t more = bytes[1] - bytes[0];
    assert_true(more > 0 && more % DEPTH == 0);
    REFUSE(1, WORDS("too short to measure speed at depth 19; expected 21"), "bench", "-c", "20", "--depth", "19", model);
}

/* Every prompt and every number of generated tokens at every depth, each once. */
static void test_bench_grid(void **state)
{
    (void)state;
    static const int points[][3] = {{0, 4, 2}, {0, 8, 2}, {16, 4, 2}, {16, 8, 2}}; /* depth, prompt, generated */
    struct run r = {.out = TO_PIPE};
    ACCEPT(&r, "bench", "--json", "-n", "2", "-p", "4,8", "-d", "0,16", model);
    assert_int_equal(check_json(&r, bench_fields), 4);
    json_t *lines = json_lines(&r);
    for (size_t i = 0; i < 4; i++) {
        const json_t *line = json_array_get(lines, i);
        assert_int_equal(json_integer_value(json_object_get(line, "depth")), points[i][0]);
        assert_int_equal(json_integer_value(json_object_get(line, "prompt_tokens")), points[i][1]);
        assert_int_equal(json_integer_value(json_object_get(line, "decode_tokens")), points[i][2]);
    }
    json_decref(lines);
    release(&r);
    REFUSE(2, WORDS("--depth ''", "expected", "from"), "bench", "-d", "0,", model);
    REFUSE(2, WORDS("--tokens 'x'", "expected"), "bench", "-n", "1,x", model);
    REFUSE(2, WORDS("--prompt-tokens", "more than 16"), "bench", "-p", "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1", model);
    REFUSE(2, WORDS("--tokens '2,4'"), "generate", "-n", "2,4", model); /* of one command only */
}

static double moment(const json_t *object, const char *kind, const char *what)
{
    char name[32];
    snprintf(name, sizeof name, "%s_%s", kind, what);
    return json_number_value(json_object_get(object, name));
}

/* As llama-bench: tests of prompts and of generation apart, from the same depth, and figures that are those of the
 * samples beside them. */
static void test_bench_as_llama_bench(void **state)
{
    (void)state;
    static const int tests[][3] = {{4, 0, 0}, {0, 2, 0}, {8, 0, 0}, {4, 0, 16}, {0, 2, 16}, {8, 0, 16}};
    struct run r = {.out = TO_PIPE};
    ACCEPT(&r, "bench", "--format", "llama-bench", "-n", "2", "-p", "4,8", "-d", "0,16", model);
    json_t *lines = json_lines(&r);
    assert_int_equal(json_array_size(lines), 6);
    for (size_t i = 0; i < 6; i++) {
        const json_t *line = json_array_get(lines, i);
        assert_int_equal(json_integer_value(json_object_get(line, "n_prompt")), tests[i][0]);
        assert_int_equal(json_integer_value(json_object_get(line, "n_gen")), tests[i][1]);
        assert_int_equal(json_integer_value(json_object_get(line, "n_depth")), tests[i][2]);
        assert_true(json_is_integer(json_object_get(line, "avg_ns")));
        assert_string_equal(json_string_value(json_object_get(line, "type_k")), "f32");
        const json_t *rates = json_object_get(line, "samples_ts"), *times = json_object_get(line, "samples_ns");
        double sum = 0, n = (double)json_array_size(rates), tokens = tests[i][0] + tests[i][1];
        for (size_t k = 0; k < json_array_size(rates); k++) {
            double rate = json_number_value(json_array_get(rates, k)), ns = json_number_value(json_array_get(times, k));
            assert_true(fabs(tokens / rate * 1e9 - ns) <= 1);
            sum += rate;
        }
        assert_true(n >= 9 && !(fabs(moment(line, "avg", "ts") - sum / n) > 1e-6 * sum));
        assert_true(moment(line, "stddev", "ts") > 0);
    }
    json_decref(lines);
    release(&r);
    REFUSE(2, WORDS("--format x", "expected llama-bench"), "bench", "--format", "x", model);
    REFUSE(2, WORDS("expected one of them"), "bench", "--format", "llama-bench", "--json", model);
}

/* Of the first line: as many points as the embedding and two halves a layer; the last one is 0 or is not. */
static void check_depth(const struct run *r, bool differs)
{
    json_t *depth = first_value(r, "hidden_state_error"), *tokens = first_value(r, "hidden_state_tokens");
    size_t n = json_array_size(depth);
    assert_true(n >= 3 && n % 2 == 1);
    assert_true(json_integer_value(tokens) > 0);
    for (size_t i = 0; i < n; i++)
        assert_true(json_is_number(json_array_get(depth, i)));
    assert_true(json_number_value(json_array_get(depth, 0)) == 0);
    assert_true((json_number_value(json_array_get(depth, n - 1)) > 0) == differs);
    json_decref(depth);
    json_decref(tokens);
}

/* Of the n-th line. */
static json_t *line_object(const struct run *r, size_t n)
{
    const char *at = out_of(r);
    for (; n > 0; n--)
        at = strchr(at, '\n') + 1;
    return json_loads(at, JSON_DISABLE_EOF_CHECK, NULL);
}

static void expect_line(const struct run *r, size_t n, const char *scheme, const char *versus)
{
    json_t *j = line_object(r, n);
    double low = json_number_value(json_object_get(j, "decode_ratio_low"));
    double ratio = json_number_value(json_object_get(j, "decode_ratio"));
    double high = json_number_value(json_object_get(j, "decode_ratio_high"));
    assert_string_equal(json_string_value(json_object_get(j, "scheme")), scheme);
    if (!versus) {
        assert_null(json_object_get(j, "vs"));
    } else {
        assert_string_equal(json_string_value(json_object_get(j, "vs")), versus);
        assert_true(low > 0 && low <= ratio && ratio <= high);
        if (n == 0)
            assert_true(low == 1 && high == 1);
    }
    json_decref(j);
}

static void test_bench_compares(void **state)
{
    struct run r = {.out = TO_PIPE};
    char *recipe = path_in(folder, "compared.txt");
    (void)state;
    write_file(recipe, "*.ffn_up int4\n", 14);
    ACCEPT(&r, "bench", "--json", "-n", "2", "--prompt-tokens", "4", "-s", "int8", "-s", "w8a8", "-r", recipe,
           model);
    assert_int_equal(check_json(&r, bench_fields), 3);
    expect_line(&r, 0, "int8", "int8");
    expect_line(&r, 1, "int8/int8", "int8");
    expect_line(&r, 2, recipe, "int8");
    release(&r);
    ACCEPT(&r, "bench", "--json", "-n", "2", "--prompt-tokens", "4", "--vs", "fp16", "-s", "int8", model);
    assert_int_equal(check_json(&r, bench_fields), 2);
    expect_line(&r, 0, "fp16", "fp16");
    expect_line(&r, 1, "int8", "fp16");
    release(&r);
    ACCEPT(&r, "bench", "--json", "-n", "2", "-s", "int8", "-r", recipe, model); /* one set, as everywhere */
    assert_int_equal(check_json(&r, bench_fields), 1);
    release(&r);
    ACCEPT(&r, "bench", "-n", "2", "--prompt-tokens", "4", "-s", "int8", "-s", "int4", model);
    assert_non_null(strstr(out_of(&r), "DECODE RATIO"));
    release(&r);
    REFUSE(2, WORDS("int9"), "bench", "-s", "int9", "-s", "int8", model);
    REFUSE(2, WORDS("int9"), "bench", "--vs", "int9", "-s", "int8", model);
    REFUSE(2, WORDS("--vs", "is not valid"), "eval", "--vs", "int8", model);
    free(recipe);
}

/* Commas outside quotes. */
static size_t fields_in(const char *line)
{
    size_t n = 1;
    bool quoted = false;
    for (; *line && *line != '\n'; line++) {
        quoted ^= *line == '"';
        n += *line == ',' && !quoted;
    }
    return n;
}

static void test_csv(void **state)
{
    static const char *const words[] = {"inspect", "eval"};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct run r = {.out = TO_PIPE};
        if (i == 2)
            ACCEPT(&r, "plan", "--csv", "--no-run", model);
        else if (i == 3)
            ACCEPT(&r, "bench", "--csv", "-n", "2", "-s", "int8", "-s", "int4:g16:awq(alpha=0.5)", model);
        else
            ACCEPT(&r, words[i], "--csv", "-s", "int8", model);
        size_t n = fields_in(out_of(&r)), lines = 0;
        assert_true(n > 5);
        for (const char *at = out_of(&r); *at; at = strchr(at, '\n') + 1, lines++) {
            assert_int_equal(fields_in(at), n);
            assert_int_equal(strchr(at, '\n')[-1], '\r');
        }
        assert_true(lines > 1);
        assert_null(strstr(out_of(&r), "_reason"));
        release(&r);
    }
}

static void test_inspect_says_which_rule(void **state)
{
    struct run r = {.out = TO_PIPE};
    char *recipe = path_in(folder, "rules.txt");
    static const char rules[] = "# comment\nblk.* int8\nblk.1.* int4:g16\n";
    (void)state;
    write_file(recipe, rules, sizeof rules - 1);
    ACCEPT(&r, "inspect", "--json", "-r", recipe, model);
    json_t *embedding = line_object(&r, 0), *q = line_object(&r, 2);
    assert_true(json_is_null(json_object_get(embedding, "rule")));
    assert_string_equal(json_string_value(json_object_get(q, "rule")), "line 2: blk.* int8");
    assert_true(json_is_null(json_object_get(q, "kl_alone")));
    assert_non_null(strstr(out_of(&r), "line 3: blk.1.* int4:g16"));
    json_decref(embedding);
    json_decref(q);
    release(&r);
    ACCEPT(&r, "inspect", "-r", recipe, "--alone", model);
    assert_non_null(strstr(out_of(&r), "RULE"));
    assert_non_null(strstr(out_of(&r), "SENS"));
    release(&r);
    ACCEPT(&r, "inspect", "--json", "--alone", "-s", "int4", model);
    q = line_object(&r, 2);
    assert_true(json_number_value(json_object_get(q, "kl_alone")) > 0);
    assert_true(json_number_value(json_object_get(q, "kl_alone_stderr")) > 0);
    json_decref(q);
    release(&r);
    free(recipe);
}

/* Nothing is measured, and what is shown becomes a recipe. */
static void test_inspect_without_running(void **state)
{
    struct run r = {.out = TO_PIPE};
    char *recipe = path_in(folder, "mix.txt"), *again = path_in(folder, "again.txt");
    (void)state;
    ACCEPT(&r, "inspect", "--no-run", "--json", "-s", "@q8_0", "-o", recipe, model);
    json_t *q = line_object(&r, 2);
    assert_true(json_is_null(json_object_get(q, "sqnr_db")));
    assert_string_equal(json_string_value(json_object_get(q, "name")), "blk.0.attn_q");
    json_decref(q);
    release(&r);
    ACCEPT(&r, "inspect", "--no-run", "-r", recipe, "-o", again, model);
    assert_non_null(strstr(out_of(&r), "nothing was quantized"));
    assert_non_null(strstr(out_of(&r), "token_embd"));
    release(&r);
    struct bytes a = read_file(recipe), b = read_file(again);
    assert_true(a.size == b.size && a.size > 100 && memcmp(a.data, b.data, a.size) == 0);
    free(a.data);
    free(b.data);
    REFUSE(2, WORDS("--alone"), "inspect", "--no-run", "--alone", model);
    REFUSE(1, WORDS("/nonexistent"), "inspect", "--no-run", "-o", "/nonexistent/recipe", model);
    free(recipe);
    free(again);
}

/* Types that stand for others, whose blocks do not divide rows, are noted. */
static void test_fallbacks_are_noted(void **state)
{
    struct run r = {.out = TO_PIPE};
    (void)state;
    ACCEPT(&r, "inspect", "--no-run", "-s", "q4_k_m", "--synthetic", "smollm2-135m");
    assert_non_null(strstr(err_of(&r), "note: q5_0 instead of q4_k: its blocks of 256 do not divide the 576 columns"));
    release(&r);
}

static void test_json_of_eval(void **state)
{
    (void)state;
    struct run r = {.out = TO_PIPE};
    ACCEPT(&r, "eval", "--json", "-n", "100", model);
    assert_int_equal(check_json(&r, eval_fields), 1);
    json_t *kl = first_value(&r, "kl_divergence");
    assert_true(json_number_value(kl) == 0);
    json_decref(kl);
    check_depth(&r, false);
    release(&r);
    ACCEPT(&r, "eval", "--json", "--text", text, "-s", "int4:channel", "-w", "16", "--protocol",
           "llamacpp", model);
    assert_int_equal(check_json(&r, eval_fields), 1);
    kl = first_value(&r, "kl_divergence");
    assert_true(json_number_value(kl) > 0);
    json_decref(kl);
    check_depth(&r, true);
    json_t *window = first_value(&r, "window");
    assert_int_equal(json_integer_value(window), 16);
    json_decref(window);
    release(&r);
}

/* What is asked on the command line, and what a recipe then says, is what runs. */
static void test_kv_is_chosen(void **state)
{
    (void)state;
    static const struct {
        const char *option, *recipe, *kv;
    } cases[] = {{"fp32", "# nothing\n", "fp32"}, {"fp8", "output int8\n", "fp8e4m3"},
                 {"fp16", "kv int8\n", "int8"},    {"int8", "kv fp32\n", "fp32"}};
    char *recipe = path_in(folder, "kv.recipe");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct run r = {.out = TO_PIPE};
        write_file(recipe, cases[i].recipe, strlen(cases[i].recipe));
        ACCEPT(&r, "eval", "--json", "-n", "50", "--kv", cases[i].option, "-r", recipe, model);
        json_t *kv = first_value(&r, "kv"), *kl = first_value(&r, "kl_divergence");
        assert_string_equal(json_string_value(kv), cases[i].kv);
        assert_int_equal(json_number_value(kl) == 0, i == 0 || i == 3);
        json_decref(kv);
        json_decref(kl);
        release(&r);
    }
    unlink(recipe);
    free(recipe);
}

static void test_json_of_inspect(void **state)
{
    (void)state;
    static const char *const schemes[] = {"stored", "int8", "w4a8", "fp8/fp8", "fp16"};
    struct model_spec spec = spec_usual(1, true);
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        struct run r = {.out = TO_PIPE};
        ACCEPT(&r, "inspect", "--json", "-s", schemes[i], model);
        assert_int_equal(check_json(&r, inspect_fields), model_places(&spec, NULL, 0));
        release(&r);
    }
}

/* The field of every line. */
static void check_reference(const struct run *r, const char *expected)
{
    char *copy = strdup(out_of(r)), *save;
    assert_non_null(copy);
    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        json_t *object = json_loads(line, 0, NULL), *value = json_object_get(object, "reference");
        bool right = expected ? json_is_string(value) && strcmp(json_string_value(value), expected) == 0
                              : json_is_null(value);
        json_decref(object);
        if (!right)
            fail_msg("the reference is not %s: %s", expected ? expected : "null", line);
    }
    free(copy);
}

/* int8 groups against the fp32 that they were made of: stored weights have errors then. */
static void test_json_with_a_reference(void **state)
{
    (void)state;
    struct model_spec spec = spec_usual(2, true);
    char *groups = put_model(folder, "groups.bin", &spec);
    struct run r = {.out = TO_PIPE};
    for (int with = 0; with < 2; with++) {
        const char *option = with ? "--reference" : NULL;
        ACCEPT(&r, "eval", "--json", "-n", "100", groups, option, with ? model : NULL);
        assert_int_equal(check_json(&r, eval_fields), 1);
        check_reference(&r, with ? model : NULL);
        json_t *kl = first_value(&r, "kl_divergence");
        assert_int_equal(json_number_value(kl) > 0, with);
        json_decref(kl);
        release(&r);
        ACCEPT(&r, "inspect", "--json", groups, option, with ? model : NULL);
        assert_int_equal(check_json(&r, inspect_fields), model_places(&spec, NULL, 0));
        check_reference(&r, with ? model : NULL);
        json_t *db = first_value(&r, "sqnr_db"), *worst = first_value(&r, "max_abs_error");
        assert_int_equal(json_is_number(db), with);
        assert_int_equal(json_number_value(worst) > 0, with);
        assert_true(!with || (json_number_value(db) > 20 && json_number_value(db) < 80));
        json_decref(db);
        json_decref(worst);
        release(&r);
    }
    free(groups);
}

static void test_text_with_a_reference(void **state)
{
    (void)state;
    static const char *const words[] = {"eval", "inspect"};
    for (size_t i = 0; i < 2; i++) {
        struct run r = {.out = TO_PIPE};
        ACCEPT(&r, words[i], "--reference", model, model);
        assert_non_null(strstr(out_of(&r), model));
        assert_int_equal(r.stderr_bytes.size, 0);
        release(&r);
        ACCEPT(&r, words[i], model);
        assert_null(strstr(out_of(&r), model));
        release(&r);
    }
}

/* The name of the text that quality was measured on; null, with a reason, where the model wrote it. */
static void test_name_of_the_text(void **state)
{
    (void)state;
    static const char *const texts[] = {"mixed text", NULL};
    for (size_t i = 0; i < 2; i++) {
        struct run r = {.out = TO_PIPE};
        if (i == 0)
            ACCEPT(&r, "eval", "--json", "-n", "64", model);
        else
            ACCEPT(&r, "eval", "--json", "-n", "64", "--text", "self", model);
        json_t *name = first_value(&r, "text"), *reason = first_value(&r, "text_reason");
        assert_true(texts[i] ? strcmp(json_string_value(name), texts[i]) == 0 : json_is_null(name));
        assert_true(!texts[i] == json_is_string(reason));
        json_decref(name);
        json_decref(reason);
        release(&r);
    }
    struct run r = {.out = TO_PIPE};
    ACCEPT(&r, "inspect", "-s", "int8", "--text", text, model);
    assert_non_null(strstr(out_of(&r), "output errors on story.txt, "));
    release(&r);
}

static void test_references_that_are_refused(void **state)
{
    (void)state;
    static const char *const where[] = {"eval", "inspect", "-t1"};
    struct model_spec spec = spec_usual(1, true);
    spec.vocab++;
    char *larger = put_model(bare, "larger.bin", &spec);
    for (size_t i = 0; i < sizeof where / sizeof *where; i++) {
        REFUSE(1, WORDS(larger, "cannot be the reference of", model, "401 tokens", "expected 400"), where[i],
               "--reference", larger, model);
        REFUSE(1, WORDS("/nonexistent.gguf", "No such file"), where[i], "--reference",
               "/nonexistent.gguf", model);
        REFUSE(1, WORDS(folder, "is a directory without a model"), where[i], "--reference", folder, model);
        REFUSE(2, WORDS("--synthetic", "takes no --reference", model), where[i], "--reference", model,
               "--synthetic", "llama2-7b");
    }
    REFUSE(2, WORDS("--reference", "is not valid for"), "bench", "--reference", model, model);
    free(larger);
}

static void test_json_of_plan(void **state)
{
    (void)state;
    struct run r = {.out = TO_PIPE};
    ACCEPT(&r, "plan", "--json", "--roof", "2TB/s", model);
    assert_true(check_json(&r, plan_fields) > 8);
    json_t *bytes = first_value(&r, "bytes_per_token"), *speed;
    speed = first_value(&r, "predicted_tokens_per_second");
    assert_true(fabs(json_number_value(bytes) * json_number_value(speed) / 2e12 - 1) < 1e-6);
    json_decref(bytes);
    json_decref(speed);
    release(&r);
    /* too short to measure */
    ACCEPT(&r, "plan", "--json", "--roof", "68.5 GB/s", "-c", "1", model);
    assert_true(check_json(&r, plan_fields) > 8);
    json_t *measured = first_value(&r, "measured_tokens_per_second");
    assert_true(json_is_null(measured));
    json_decref(measured);
    release(&r);
}


static json_int_t whole_number(json_t *object, const char *key)
{
    return (json_int_t)json_number_value(json_object_get(object, key));
}

/* Figures that were measured are of several samples; what makes the same model is one row; block types and mixes are
 * computed only. */
static void test_rows_of_plan(void **state)
{
    (void)state;
    struct run r = {.out = TO_PIPE};
    ACCEPT(&r, "plan", "--json", model);
    char *copy = strdup(out_of(&r)), *save;
    assert_non_null(copy);
    size_t stored = 0, blocks = 0, mixes = 0;
    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        json_t *row = json_loads(line, 0, NULL), *same = json_object_get(row, "same_as");
        const char *scheme = json_string_value(json_object_get(row, "scheme"));
        double median = json_number_value(json_object_get(row, "measured_tokens_per_second"));
        const char *why = json_string_value(json_object_get(row, "measured_tokens_per_second_reason"));
        blocks += strcmp(scheme, "q8_0") == 0;
        mixes += strcmp(scheme, "@q4_1") == 0;
        if (why) {
            assert_non_null(strstr(why, "qtop bench"));
            assert_true(json_number_value(json_object_get(row, "size_bytes")) > 0);
            json_decref(row);
            continue;
        }
        assert_int_equal(blocks + mixes, 0);
        assert_true(json_number_value(json_object_get(row, "measured_tokens_per_second_min")) <= median);
        assert_true(json_number_value(json_object_get(row, "measured_tokens_per_second_max")) >= median);
        assert_true(whole_number(row, "measured_samples") >= 3);
        assert_string_not_equal(scheme, "fp32");
        stored += strcmp(scheme, "stored") == 0;
        assert_int_equal(json_array_size(same), strcmp(scheme, "stored") == 0);
        if (json_array_size(same) > 0)
            assert_string_equal(json_string_value(json_array_get(same, 0)), "fp32");
        json_decref(row);
    }
    assert_int_equal(stored, 1);
    assert_int_equal(blocks, 1);
    assert_int_equal(mixes, 1);
    free(copy);
    release(&r);
    ACCEPT(&r, "plan", model);
    assert_non_null(strstr(out_of(&r), "Block types and mixes"));
    assert_non_null(strstr(out_of(&r), "MEASURED/s (MIN-MAX)"));
    assert_non_null(strstr(out_of(&r), "same as fp32"));
    assert_null(strstr(out_of(&r), "\nfp32"));
    release(&r);
}

/* One row is recommended, unless none keeps within what is asked for; figures are those of `eval`. */
static void test_json_of_advise(void **state)
{
    (void)state;
    struct run r = {.out = TO_PIPE}, e = {.out = TO_PIPE};
    ACCEPT(&r, "advise", "--json", "-n", "60", "--calibration", long_text, model);
    assert_true(check_json(&r, advise_fields) > 8);
    char *copy = strdup(out_of(&r)), *save;
    assert_non_null(copy);
    size_t recommended = 0;
    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        json_t *row = json_loads(line, 0, NULL);
        const char *scheme = json_string_value(json_object_get(row, "scheme"));
        recommended += json_is_true(json_object_get(row, "recommended"));
        if (strcmp(scheme, "int8/int8") == 0) {
            ACCEPT(&e, "eval", "--json", "-n", "60", "-s", scheme, model);
            assert_true(first_number(&e, "kl_divergence") == json_number_value(json_object_get(row, "kl_divergence")));
            release(&e);
        }
        json_decref(row);
    }
    assert_int_equal(recommended, 1);
    free(copy);
    release(&r);
    RUN(&r, "advise", "-n", "60", "--calibration", long_text, "--max-size", "1", model);
    assert_int_equal(r.status, 1);
    assert_non_null(strstr(out_of(&r), "none of them keeps within"));
    assert_non_null(strstr(err_of(&r), "no scheme keeps within what was asked for"));
    assert_non_null(strstr(out_of(&r), "VERDICT"));
    release(&r);
    REFUSE(2, WORDS("--for 'gguf'", "size, speed, quality or balance"), "advise", "--for", "gguf", model);
    REFUSE(2, WORDS("--max-memory", "lots"), "advise", "--max-memory", "lots", model);
}

static void expect_text(const struct run *r, const char *name, size_t tokens)
{
    json_t *found = first_value(r, "text_name"), *count = first_value(r, "text_tokens");
    assert_string_equal(json_string_value(found), name);
    if (tokens > 0)
        assert_int_equal(json_integer_value(count) + (json_int_t)json_real_value(count), tokens);
    assert_true(json_number_value(count) > 0);
    json_decref(found);
    json_decref(count);
}

/* Figures of quality say what they were measured on. */
static void test_texts_of_figures(void **state)
{
    (void)state;
    struct run r = {.out = TO_PIPE};
    char *path = path_in(folder, "on.txt");
    static const char words[] = "the hen and the other hen were fed in the barn, and the singer read on and on";
    write_file(path, words, strlen(words));
    ACCEPT(&r, "eval", "--json", "-n", "40", model);
    expect_text(&r, "mixed text", 40);
    release(&r);
    ACCEPT(&r, "eval", "--json", "--text", path, model);
    expect_text(&r, "on.txt", 0);
    release(&r);
    ACCEPT(&r, "eval", "--text", path, model);
    assert_non_null(strstr(out_of(&r), "text        on.txt, "));
    release(&r);
    ACCEPT(&r, "inspect", "--json", "-s", "int8", model);
    expect_text(&r, "mixed text", 0);
    release(&r);
    ACCEPT(&r, "tune", "--json", "--max-bits", "8", "-n", "60", "--calibration", long_text, model);
    expect_text(&r, "mixed text", 60);
    release(&r);
    free(path);
}

/* The kinds of figures that a reference of another shape leaves, and why the others are not there. */
static void test_a_deeper_reference(void **state)
{
    (void)state;
    static const char why[] = "the reference has ";
    struct model_spec spec = spec_usual(1, true);
    spec.layers++;
    char *deeper = put_model(bare, "deeper.bin", &spec);
    struct run r = {.out = TO_PIPE};
    ACCEPT(&r, "eval", "--json", "-n", "60", "--reference", deeper, model);
    assert_int_equal(check_json(&r, eval_fields), 1);
    assert_true(first_number(&r, "kl_divergence") > 0 && first_number(&r, "perplexity_reference") > 1);
    assert_true(first_number(&r, "top1_agreement") < 1 && first_number(&r, "perplexity") > 1);
    json_t *depth = first_value(&r, "hidden_state_error"), *reason = first_value(&r, "hidden_state_error_reason");
    assert_true(json_is_null(depth));
    assert_non_null(strstr(json_string_value(reason), why));
    json_decref(depth);
    json_decref(reason);
    release(&r);
    ACCEPT(&r, "inspect", "--json", "-s", "int8", "--reference", deeper, model);
    assert_true(check_json(&r, inspect_fields) > 3);
    static const char *const of_layers[] = {"sqnr_db", "output_sqnr_db", "max_abs_error", "mse", "cosine"};
    for (size_t i = 0; i < sizeof of_layers / sizeof *of_layers; i++)
        assert_true(isnan(first_number(&r, of_layers[i])));
    reason = first_value(&r, "sqnr_db_reason");
    assert_non_null(strstr(json_string_value(reason), why));
    json_decref(reason);
    release(&r);
    ACCEPT(&r, "inspect", "--reference", deeper, model);
    assert_non_null(strstr(out_of(&r), "errors of layers n/a: the reference has "));
    assert_null(strstr(out_of(&r), "nan"));
    release(&r);
    ACCEPT(&r, "tune", "--json", "--max-bits", "8", "-n", "60", "--calibration", long_text, "--reference", deeper,
           model);
    assert_true(first_number(&r, "kl_divergence") > 0 && first_number(&r, "perplexity_reference") > 1);
    release(&r);
    free(deeper);
}

static void test_plan_for_a_machine_that_is_not_here(void **state)
{
    (void)state;
    static const struct {
        const char *roof, *name;
        double rate;
    } cases[] = {{"2TB/s", "given", 2e12}, {"900e9", "given", 9e11}, {"H100", "h100", 3.35e12}};
    for (size_t i = 0; i < 3; i++) {
        struct run r = {.out = TO_PIPE};
        ACCEPT(&r, "plan", "--json", "--no-run", "--synthetic", "llama2-7b", "--roof", cases[i].roof);
        assert_true(check_json(&r, plan_fields) > 8);
        json_t *name = first_value(&r, "roof");
        assert_string_equal(json_string_value(name), cases[i].name);
        json_decref(name);
        double bytes = first_number(&r, "bytes_per_token");
        double here = first_number(&r, "here_bytes_per_second");
        assert_true(fabs(first_number(&r, "predicted_tokens_per_second") / (cases[i].rate / bytes) - 1) < 1e-6);
        assert_true(fabs(first_number(&r, "here_predicted_tokens_per_second") / (here / bytes) - 1) < 1e-6);
        assert_true(isnan(first_number(&r, "measured_tokens_per_second")));
        /* 143 tokens/s were 14 GB; fp16 weights without the rows of the embedding are 13.2 GB */
        if (i == 0 && !(fabs(first_number(&r, "predicted_tokens_per_second") - 151) < 1))
            fail_msg("%s", out_of(&r));
        release(&r);
    }
    struct run r = {.out = TO_PIPE};
    ACCEPT(&r, "plan", "--no-run", "--roof", "h100", model);
    assert_non_null(strstr(out_of(&r), "roof 3350.00 GB/s (NVIDIA H100 SXM, 3.35 TB/s, not measured)"));
    assert_non_null(strstr(out_of(&r), "roof here "));
    assert_non_null(strstr(out_of(&r), "HERE/s"));
    release(&r);
    ACCEPT(&r, "plan", "--no-run", model);
    assert_null(strstr(out_of(&r), "HERE/s"));
    release(&r);
}

/* Its own roof is unknown then, the one that was given is not. */
static void test_plan_on_a_simulated_machine(void **state)
{
    (void)state;
    struct run r = {.out = TO_PIPE};
    caches_restore();
    setenv("HWLOC_SYNTHETIC", "pack:2 core:4 pu:2", 1);
    ACCEPT(&r, "plan", "--json", "--no-run", "--roof", "50GB/s", model);
    assert_true(first_number(&r, "predicted_tokens_per_second") > 0);
    assert_true(isnan(first_number(&r, "here_bytes_per_second")));
    check_json(&r, plan_fields);
    release(&r);
    ACCEPT(&r, "plan", "--json", "--no-run", model);
    unsetenv("HWLOC_SYNTHETIC");
    caches_shrink();
    assert_true(isnan(first_number(&r, "predicted_tokens_per_second")));
    assert_non_null(strstr(out_of(&r), "simulated"));
    release(&r);
}

/* ---- the machine ----------------------------------------------------------------------------- */

static const struct json_field machine_fields[] = {
    {"version", NEED_STRING},          {"packages", NEED_NUMBER},
    {"numa_nodes", NEED_NUMBER},       {"cores", NEED_NUMBER},
    {"hardware_threads", NEED_NUMBER}, {"hardware_threads_present", NEED_NUMBER},
    {"cpu_quota", NEED_MAYBE},         {"threads", NEED_NUMBER},
    {"binding", NEED_STRING},          {"isa", NEED_STRING},
    {NULL, NEED_MAYBE},
};

/* Reasons stand where they should, in what the object holds, too. */
static void check_reasons_within(json_t *value, const char *line)
{
    const char *key;
    json_t *inner;
    size_t i;
    if (json_is_object(value))
        check_reasons(value, line);
    json_object_foreach(value, key, inner)
        check_reasons_within(inner, line);
    json_array_foreach(value, i, inner)
        check_reasons_within(inner, line);
}

/* The object that `qtop machine --json` printed; the caller lets go. */
static json_t *machine_object(const struct run *r)
{
    assert_int_equal(check_json(r, machine_fields), 1);
    json_t *object = json_loads(out_of(r), 0, NULL);
    check_reasons_within(object, out_of(r));
    return object;
}

static json_int_t whole(json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    if (!json_is_integer(value))
        fail_msg("%s is no whole number", key);
    return json_integer_value(value);
}

static void test_machine_in_text(void **state)
{
    (void)state;
    static const char *const words[] = {"processor", "caches", "quota", "threads", "huge pages", "kernels",
                                        "in use", "READ GB/s", "1 thread ", "GMAC/s", "fp32", "counters"};
    struct run r = {.out = TO_PIPE};
    ACCEPT(&r, "machine", "-t", "1", "--fresh");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strstr(out_of(&r), words[i]))
            fail_msg("no '%s' in %s", words[i], out_of(&r));
    assert_int_equal(r.stderr_bytes.size, 0);
    assert_null(strstr(out_of(&r), "cached ("));
    release(&r);
    ACCEPT(&r, "machine", "-t", "1"); /* unless the machine was busy: then they are measured again */
    assert_true(strstr(out_of(&r), "cached (") || !strstr(out_of(&r), "cached"));
    release(&r);
    ACCEPT(&r, "machine", "-t", "1", "--fresh");
    assert_null(strstr(out_of(&r), "cached ("));
    release(&r);
    ACCEPT(&r, "machine", "--help");
    assert_non_null(strstr(out_of(&r), "--fresh"));
    assert_null(strstr(out_of(&r), "--tokenizer"));
    struct run same = {.out = TO_PIPE};
    ACCEPT(&same, "help", "machine");
    assert_string_equal(out_of(&r), out_of(&same));
    release(&same);
    release(&r);
    REFUSE(2, WORDS("takes no MODEL"), "machine", model);
    REFUSE(2, WORDS("instruction set", "expected one of"), "machine", "--isa", "foo");
    REFUSE(2, WORDS("--threads", "processor"), "machine", "-t", "1024");
    REFUSE(2, WORDS("is not valid for qtop machine"), "machine", "-s", "int8");
    REFUSE(2, WORDS("is not valid for qtop machine"), "machine", "-z", vocabulary);
}

static void test_machine_in_json(void **state)
{
    (void)state;
    struct run r = {.out = TO_PIPE};
    ACCEPT(&r, "machine", "--json", "-t", "1", "--isa", "c");
    json_t *m = machine_object(&r), *reads = json_object_get(m, "read_roofs"), *peak, *set;
    size_t i, used = 0, sets = 0;
    assert_true(json_is_false(json_object_get(m, "simulated")));
    assert_int_equal(whole(m, "threads"), 1);
    assert_string_equal(json_string_value(json_object_get(m, "isa")), "c");
    assert_int_equal(json_array_size(reads), 1);
    assert_int_equal(whole(json_array_get(reads, 0), "threads"), 1);
    assert_true(json_number_value(json_object_get(json_array_get(reads, 0), "bytes_per_second")) > 1e6);
    json_array_foreach(json_object_get(m, "instruction_sets"), i, set) {
        sets += json_is_true(json_object_get(set, "available"));
        used += json_is_true(json_object_get(set, "in_use"));
    }
    assert_int_equal(used, 1);
    assert_int_equal(json_array_size(json_object_get(m, "arithmetic_roofs")), 3 * sets);
    json_array_foreach(json_object_get(m, "arithmetic_roofs"), i, peak) {
        bool plain = strcmp(json_string_value(json_object_get(peak, "isa")), "c") == 0;
        assert_int_equal(json_is_true(json_object_get(peak, "in_use")), plain);
        assert_true(!plain || json_is_null(json_object_get(peak, "macs_per_second")));
    }
    assert_true(json_array_size(json_object_get(m, "counters")) >= 1);
    json_decref(m);
    release(&r);
}

/* Figures that were kept and are broken now, or cannot be kept: said, and no failure. */
static void test_machine_with_a_bad_cache(void **state)
{
    (void)state;
    glob_t found;
    struct run r = {.out = TO_PIPE};
    char *pattern = path_in(folder, "cache/qtop/roofs-*.json"), *before = strdup(getenv("XDG_CACHE_HOME"));
    ACCEPT(&r, "machine", "--json", "-t", "1");
    release(&r);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++)
        write_file(found.gl_pathv[i], "\x1b[31m{", 6);
    globfree(&found);
    free(pattern);
    ACCEPT(&r, "machine", "--json", "-t", "1");
    json_decref(machine_object(&r));
    assert_non_null(strstr(err_of(&r), "note: "));
    assert_non_null(strstr(err_of(&r), "is not used"));
    assert_false(has_controls(&r.stderr_bytes, "\n"));
    release(&r);
    setenv("XDG_CACHE_HOME", "/dev/null/no", 1);
    ACCEPT(&r, "machine");
    setenv("XDG_CACHE_HOME", before, 1);
    free(before);
    assert_non_null(strstr(out_of(&r), "READ GB/s"));
    assert_non_null(strstr(err_of(&r), "cannot be written"));
    release(&r);
}

/* Two fast cores in one, two frugal ones: 3 cores, the first with two hardware threads. */
static const char hybrid[] =
    "<topology version=\"2.0\"><object type=\"Machine\" os_index=\"0\" cpuset=\"0xf\" "
    "complete_cpuset=\"0xf\" allowed_cpuset=\"0xf\" nodeset=\"0x1\" complete_nodeset=\"0x1\" "
    "allowed_nodeset=\"0x1\" gp_index=\"1\">"
#define OBJECT(TYPE, INDEX, SET, ID, END)                                                          \
    "<object type=\"" TYPE "\" os_index=\"" INDEX "\" cpuset=\"" SET "\" complete_cpuset=\"" SET   \
    "\" nodeset=\"0x1\" complete_nodeset=\"0x1\" gp_index=\"" ID "\"" END ">"
    OBJECT("NUMANode", "0", "0xf", "2", " local_memory=\"1073741824\"/")
    OBJECT("Core", "0", "0x3", "3", "") OBJECT("PU", "0", "0x1", "4", "/")
    OBJECT("PU", "1", "0x2", "5", "/") "</object>"
    OBJECT("Core", "1", "0x4", "6", "") OBJECT("PU", "2", "0x4", "7", "/") "</object>"
    OBJECT("Core", "2", "0x8", "8", "") OBJECT("PU", "3", "0x8", "9", "/") "</object>"
    "</object><cpukind cpuset=\"0xc\" forced_efficiency=\"0\"><info name=\"CoreType\" "
    "value=\"frugal\"/></cpukind><cpukind cpuset=\"0x3\" forced_efficiency=\"1\"><info "
    "name=\"CoreType\" value=\"fast\"/></cpukind></topology>";

static void test_simulated_machines(void **state)
{
    (void)state;
    static const struct {
        const char *machine; /* null: the hybrid one */
        int packages, nodes, cores, threads, caches, kinds;
    } cases[] = {{"pack:2 core:4 pu:2", 2, 1, 8, 16, 0, 0},
                 {"numa:2 core:1 pu:1", 1, 2, 2, 2, 0, 0},
                 {"core:1 pu:1", 1, 1, 1, 1, 0, 0},
                 {"pack:2 numa:1 l3:2 l2:2 core:1 pu:1", 2, 2, 8, 8, 2, 0},
                 {NULL, 1, 1, 3, 4, 0, 2}};
    char *xml = path_in(folder, "hybrid.xml");
    write_file(xml, hybrid, sizeof hybrid - 1);
    caches_restore();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct run r = {.out = TO_PIPE};
        const char *name = cases[i].machine ? "HWLOC_SYNTHETIC" : "HWLOC_XMLFILE";
        setenv(name, cases[i].machine ? cases[i].machine : xml, 1);
        ACCEPT(&r, "machine", "--json");
        json_t *m = machine_object(&r);
        assert_int_equal(whole(m, "packages"), cases[i].packages);
        assert_int_equal(whole(m, "numa_nodes"), cases[i].nodes);
        assert_int_equal(whole(m, "cores"), cases[i].cores);
        assert_int_equal(whole(m, "hardware_threads"), cases[i].threads);
        assert_int_equal(json_array_size(json_object_get(m, "caches")), cases[i].caches);
        assert_int_equal(json_array_size(json_object_get(m, "core_kinds")), cases[i].kinds);
        assert_true(json_is_true(json_object_get(m, "simulated")));
        assert_true(json_is_null(json_object_get(m, "places")));
        assert_true(json_is_null(json_object_get(m, "read_roofs")));
        assert_true(json_is_null(json_object_get(m, "arithmetic_roofs")));
        assert_non_null(strstr(json_string_value(json_object_get(m, "binding")), name));
        json_decref(m);
        release(&r);
        ACCEPT(&r, "machine");
        unsetenv(name);
        assert_non_null(strstr(out_of(&r), "simulated"));
        assert_null(strstr(out_of(&r), "GB/s"));
        assert_null(strstr(out_of(&r), "<- thread"));
        release(&r);
    }
    caches_shrink();
    free(xml);
}

/* Names that are no UTF-8, or longer than a field: the line keeps its fields. */
static void test_json_with_hostile_names(void **state)
{
    (void)state;
    static const char *const names[] = {"\xff\xfe", "\x1b[31m\n", "caf\xc3\xa9"};
    char wide[252];
    for (size_t i = 0; i + 2 <= sizeof wide - 1; i += 2)
        memcpy(wide + i, "\xc3\xa9", 2);
    wide[sizeof wide - 2] = 0;
    for (size_t i = 0; i < 4; i++) {
        struct run r = {.out = TO_PIPE};
        char *path = path_in(folder, i < 3 ? names[i] : wide);
        write_file(path, "* int8 ", 7);
        ACCEPT(&r, "eval", "--json", "-n", "8", "-r", path, model);
        check_json(&r, eval_fields);
        release(&r);
        write_file(path, story, sizeof story - 1);
        ACCEPT(&r, "eval", "--json", "--text", path, model);
        check_json(&r, eval_fields);
        json_t *named = first_value(&r, "text");
        bool is_string = json_is_string(named);
        json_decref(named);
        release(&r);
        remove(path);
        free(path);
        assert_true(is_string);
    }
}

/* ---- standard output that takes nothing ------------------------------------------------------ */

static void check_unwritable(enum where out, const char *const *args)
{
    struct run r = {.out = out, .input = story, .input_size = sizeof story - 1};
    run_args(&r, args);
    if (r.status != 1)
        show(&r, "exit status with an output that cannot be written", args);
    if (!strstr(err_of(&r), "qtop: ") || has_controls(&r.stderr_bytes, "\n"))
        show(&r, "no line", args);
    release(&r);
}

static void test_output_that_cannot_be_written(void **state)
{
    (void)state;
    const char *const calls[][MOST_ARGS + 1] = {
        {program, "--help"},
        {program, "eval", "--version"},
        {program, "eval", "-n", "8", model},
        {program, "eval", "-n", "8", "--json", model},
        {program, "inspect", model},
        {program, "inspect", "--json", model},
        {program, "plan", "--roof", "1GB/s", model},
        {program, "plan", "--roof", "1GB/s", "--json", model},
        {program, "tokenize", "-z", vocabulary},
        {program, "generate", "-n", "8", model},
        {program, "bench", "-n", "2", "--prompt-tokens", "2", "--json", model},
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        check_unwritable(TO_FULL, calls[i]);
        check_unwritable(TO_NOTHING, calls[i]);
    }
}

/* ---- generate -------------------------------------------------------------------------------- */

static bool same_output(const struct run *a, const struct run *b)
{
    return a->stdout_bytes.size == b->stdout_bytes.size &&
           memcmp(a->stdout_bytes.data, b->stdout_bytes.data, a->stdout_bytes.size) == 0;
}

/* On one pipe for both: the line of the speed is a line of its own. */
static void test_speed_comes_after_the_text(void **state)
{
    (void)state;
    char command[1024], out[4096];
    snprintf(command, sizeof command, "'%s' generate -n 5 -p the '%s' 2>&1", program, model);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    out[fread(out, 1, sizeof out - 1, f)] = 0;
    assert_int_equal(pclose(f), 0);
    const char *speed = strstr(out, "qtop: ");
    assert_true(speed && speed > out && speed[-1] == '\n');
}

static void test_generate_depends_on_the_seed_alone(void **state)
{
    (void)state;
    struct run a = {.out = TO_PIPE}, b = {.out = TO_PIPE}, c = {.out = TO_PIPE};
    ACCEPT(&a, "generate", "--seed", "5", "-n", "50", "-p", "the", model);
    ACCEPT(&b, "generate", "--seed", "5", "-n", "50", "-p", "the", model);
    ACCEPT(&c, "generate", "--seed", "6", "-n", "50", "-p", "the", model);
    assert_true(a.stdout_bytes.size > 4);
    assert_memory_equal(a.stdout_bytes.data, "the", 3);
    assert_true(same_output(&a, &b));
    assert_false(same_output(&a, &c));
    release(&b);
    release(&c);
    ACCEPT(&b, "generate", "--seed", "5", "-n", "50", "-p", "the", "-s", "stored", model);
    assert_true(same_output(&a, &b));
    release(&a);
    release(&b);
}

static void test_generate_at_the_edges(void **state)
{
    (void)state;
    static const char *const edges[][2] = {
        {"-n", "1"},     {"-n", "100000"}, {"-c", "1"}, {"-c", "64"},           {"--top-p", "0"},
        {"--top-p", "1"}, {"--seed", "0"},  {"-p", ""},  {"--temperature", "0"},
        {"--temperature", "100"},
    };
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
        struct run r = {.out = TO_PIPE};
        ACCEPT(&r, "generate", edges[i][0], edges[i][1], model);
        assert_true(r.stdout_bytes.size > 0);
        release(&r);
    }
    struct run r = {.out = TO_PIPE};
    ACCEPT(&r, "generate", "-n", "5", "-z", vocabulary, model);
    release(&r);
}

/* Without a tokenizer ids are shown; a prompt is then one line of error. */
static void test_generate_without_a_tokenizer(void **state)
{
    (void)state;
    char *path = path_in(bare, "model.bin");
    struct run r = {.out = TO_PIPE};
    ACCEPT(&r, "generate", "-n", "10", path);
    assert_int_equal(strspn(out_of(&r), "0123456789 \n"), r.stdout_bytes.size);
    release(&r);
    REFUSE(1, WORDS("no tokenizer", "-z"), "generate", "-p", "a", path);
    REFUSE(1, WORDS("no tokenizer"), "eval", "--text", text, path);
    free(path);
}

/* A vocabulary in which nearly every token would change a terminal. */
static char *put_escapes(const char *where)
{
    static const char *const controls[] = {"\x1b[2J", "\x07", "\x9b" "31m",
                                           "\xc2\x9b" "31m", "\x7f", "\x1b]0;title\x07",
                                           "\b\b", "\x0e", "\r", "\xff", "\x1b"};
    struct vocabulary_spec v = {0};
    vocabulary_begin(&v, true);
    for (size_t i = v.count; i < VOCAB; i++)
        vocabulary_add(&v, controls[i % (sizeof controls / sizeof *controls)], -1, 0);
    char *path = put_vocabulary(where, "controls.bin", &v);
    vocabulary_free(&v);
    return path;
}

static void test_no_control_bytes_on_a_terminal(void **state)
{
    (void)state;
    char *path = put_escapes(folder);
    for (int seed = 1; seed <= 4; seed++) {
        char number[16];
        struct run r = {.out = TO_TERMINAL};
        snprintf(number, sizeof number, "%d", seed);
        ACCEPT(&r, "generate", "-n", "60", "--seed", number, "--top-p", "1", "-z", path, "-p",
               "\x1b[31m\xc2\x9b", model);
        assert_true(r.stdout_bytes.size > 20);
        assert_non_null(strstr(out_of(&r), "\\x1b[31m"));
        bool bad = has_controls(&r.stdout_bytes, "\r\n\t") || strstr(out_of(&r), "\xc2\x9b");
        release(&r);
        assert_false(bad);
    }
    free(path);
}

/* A token longer than any line buffer keeps its characters whole. */
static void test_long_tokens_on_a_terminal(void **state)
{
    (void)state;
    struct vocabulary_spec v = {0};
    char piece[96] = "a";
    for (size_t i = 1; i + 2 < sizeof piece; i += 2)
        memcpy(piece + i, "\xc3\xa9", 2);
    vocabulary_begin(&v, false);
    while (v.count < VOCAB)
        vocabulary_add(&v, piece, -1, 0);
    char *path = put_vocabulary(folder, "long.bin", &v);
    struct run r = {.out = TO_TERMINAL};
    ACCEPT(&r, "generate", "-n", "10", "-z", path, model);
    bool split = strstr(out_of(&r), "\\x") != NULL;
    assert_non_null(strstr(out_of(&r), "\xc3\xa9\xc3\xa9"));
    vocabulary_free(&v);
    release(&r);
    free(path);
    assert_false(split);
}

/* ---- logits and tokenize --------------------------------------------------------------------- */

static size_t count_tokens(const char *input, size_t size)
{
    struct run r = {.out = TO_PIPE, .input = input, .input_size = size};
    ACCEPT(&r, "tokenize", model);
    size_t n = lines_in(&r.stdout_bytes);
    assert_int_equal(r.stderr_bytes.size, 0);
    assert_int_equal(strspn(out_of(&r), "0123456789\n"), r.stdout_bytes.size);
    assert_memory_equal(out_of(&r), "1\n", 2); /* BOS */
    release(&r);
    return n;
}

static void check_logits_size(size_t tokens)
{
    struct bytes b = read_file(output);
    assert_int_equal(b.size, tokens * VOCAB * sizeof(float));
    bytes_free(&b);
    remove(output);
}

static void test_logits_have_a_row_a_token(void **state)
{
    (void)state;
    static const char *const prompts[] = {"", "a", "the theatre there", "\xff\xfe\xc3"};
    for (size_t i = 0; i < 4; i++) {
        struct run r = {.out = TO_PIPE};
        ACCEPT(&r, "logits", "-o", output, "-p", prompts[i], model);
        assert_int_equal(r.stdout_bytes.size + r.stderr_bytes.size, 0);
        release(&r);
        check_logits_size(count_tokens(prompts[i], strlen(prompts[i])));
        write_file(text, prompts[i], strlen(prompts[i]));
        ACCEPT(&r, "logits", "-o", output, "--text", text, model);
        release(&r);
        check_logits_size(count_tokens(prompts[i], strlen(prompts[i])));
    }
    write_file(text, story, sizeof story - 1);
}

static void test_logits_that_cannot_be(void **state)
{
    (void)state;
    char *model_path = path_in(bare, "model.bin");
    remove(output);
    REFUSE(2, WORDS("-o"), "logits", "-p", "a", model);
    REFUSE(2, WORDS("--text"), "logits", "-o", output, model);
    REFUSE(2, WORDS("--text"), "logits", "-o", output, "-p", "a", "--text", text, model);
    REFUSE(1, WORDS("/nonexistent/f"), "logits", "-o", "/nonexistent/f", "-p", "a", model);
    REFUSE(1, WORDS(folder, "is a folder"), "logits", "-o", folder, "-p", "a", model);
    REFUSE(1, WORDS("No space left"), "logits", "-o", "/dev/full", "-p", story, model);
    REFUSE(1, WORDS("/nonexistent/t"), "logits", "-o", output, "--text", "/nonexistent/t", model);
    REFUSE(1, WORDS("directory"), "logits", "-o", output, "--text", folder, model);
    REFUSE(1, WORDS("no tokenizer"), "logits", "-o", output, "-p", "a", model_path);
    REFUSE(1, WORDS("\\x1b"), "logits", "-o", "/nonexistent/\x1b[31m", "-p", "a", model);
    assert_int_not_equal(access(output, F_OK), 0);
    free(model_path);
}

/* Whatever is read is not written over, by any command. */
static void test_output_onto_what_is_read(void **state)
{
    struct model_spec spec = spec_usual(1, true);
    char *path = put_model(folder, "victim.bin", &spec), *words = path_in(folder, "words.txt");
    char *recipe = path_in(folder, "recipe.txt");
    (void)state;
    write_file(words, "the hen", 7);
    write_file(recipe, "* int8\n", 7);
    REFUSE(1, WORDS("victim.bin", "is a file that is being read"), "inspect", "--no-run", "-o", path, path);
    REFUSE(1, WORDS("victim.bin", "is a file that is being read"), "inspect", "--reference", path, "-o", path, model);
    REFUSE(1, WORDS("recipe.txt", "is a file that is being read"), "inspect", "-r", recipe, "-o", recipe, model);
    REFUSE(1, WORDS("victim.bin", "is a file that is being read"), "tune", "--max-bits", "5", "-o", path, path);
    REFUSE(1, WORDS("words.txt", "is a file that is being read"), "tune", "--max-bits", "5", "--text", words, "-o",
           words, path);
    REFUSE(1, WORDS("words.txt", "is a file that is being read"), "export", "--calibration", words, "-s", "int4:gptq",
           "-o", words, path);
    REFUSE(1, WORDS("is a folder; expected the name of a file"), "inspect", "--no-run", "-o", folder, path);
    struct bytes after = read_file(path), before = model_bytes(&spec);
    assert_true(after.size == before.size && memcmp(after.data, before.data, after.size) == 0);
    bytes_free(&before);
    bytes_free(&after);
    remove(path);
    free(path);
    free(words);
    free(recipe);
}

/* The output would destroy the weights that are being read. */
static void test_logits_onto_the_model_itself(void **state)
{
    (void)state;
    struct model_spec spec = spec_usual(1, true);
    struct bytes before = model_bytes(&spec);
    char *path = put_model(folder, "victim.bin", &spec);
    struct run r = {.out = TO_PIPE};
    RUN(&r, "logits", "-o", path, "-p", "the", path);
    struct bytes after = read_file(path);
    bool same = after.size == before.size && memcmp(after.data, before.data, after.size) == 0;
    int status = r.status;
    size_t lines = lines_in(&r.stderr_bytes);
    release(&r);
    bytes_free(&before);
    bytes_free(&after);
    remove(path);
    free(path);
    assert_int_equal(status, 1);
    assert_int_equal(lines, 1);
    assert_true(same);
}

static int processors(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

static void test_threads_do_not_change_logits(void **state)
{
    (void)state;
    static const char *const schemes[] = {"stored", "w8a8", "int4:g16:asym"};
    if (processors() < 2)
        return;
    for (size_t i = 0; i < 3; i++) {
        struct run r = {.out = TO_PIPE};
        ACCEPT(&r, "logits", "-t", "1", "-s", schemes[i], "-o", output, "--text", text, model);
        release(&r);
        struct bytes one = read_file(output);
        ACCEPT(&r, "logits", "-t", "2", "-s", schemes[i], "-o", output, "--text", text, model);
        release(&r);
        struct bytes two = read_file(output);
        assert_true(one.size > 20 * VOCAB * sizeof(float) && one.size == two.size);
        assert_memory_equal(one.data, two.data, one.size);
        bytes_free(&one);
        bytes_free(&two);
    }
    remove(output);
}

static void test_tokenize_needs_no_model(void **state)
{
    (void)state;
    struct run a = {.out = TO_PIPE, .input = story, .input_size = sizeof story - 1}, b = a;
    ACCEPT(&a, "tokenize", "-z", vocabulary);
    ACCEPT(&b, "tokenize", model);
    assert_true(same_output(&a, &b));
    release(&a);
    release(&b);
    assert_int_equal(count_tokens("", 0), 1);
    assert_int_equal(count_tokens("\xff", 1), 3); /* BOS, the space in front, one byte */
    assert_int_equal(count_tokens("q\0q", 3), 5);
    char *many = malloc(26000);
    assert_non_null(many);
    memset(many, 'q', 26000);
    assert_int_equal(count_tokens(many, 26000), 26002);
    free(many);
}

/* Of two tokenizers beside a model the one that fits it is the one that all subcommands use. */
static void test_tokenize_uses_the_model_s_own_tokenizer(void **state)
{
    (void)state;
    char *inner = sub_folder("two");
    struct model_spec spec = spec_usual(1, true);
    struct vocabulary_spec right = vocabulary_usual(VOCAB), wrong = {0};
    vocabulary_begin(&wrong, true);
    char *path = put_model(inner, "model.bin", &spec);
    char *first = put_vocabulary(inner, "tok_a.bin", &wrong);
    char *second = put_vocabulary(inner, "tok_b.bin", &right);
    struct run a = {.out = TO_PIPE, .input = story, .input_size = sizeof story - 1}, b = a;
    ACCEPT(&a, "tokenize", path);
    ACCEPT(&b, "tokenize", "-z", second);
    bool same = same_output(&a, &b);
    vocabulary_free(&right);
    vocabulary_free(&wrong);
    release(&a);
    release(&b);
    free(inner);
    free(path);
    free(first);
    free(second);
    assert_true(same);
}

/* Ids that the model has no rows for are given by no subcommand. */
static void test_tokenize_refuses_more_tokens_than_rows(void **state)
{
    (void)state;
    char *inner = sub_folder("more"), *tokenizer = path_in(inner, "tokenizer.json"), json[8000] = "";
    static const char *const names[] = {"config.json", "model.safetensors"}; /* with 64 rows */
    for (size_t i = 0; i < 2; i++) {
        char *from, *to = path_in(inner, names[i]);
        if (asprintf(&from, "%s/tests/data/arch/llama/%s", SRCDIR, names[i]) < 0 || symlink(from, to) != 0)
            fail_msg("%s", to);
        free(from);
        free(to);
    }
    for (int rows = 64; rows < 66; rows++) {
        strcpy(json, "{\"pre_tokenizer\":{\"type\":\"ByteLevel\"},"
                     "\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{\"a\":0");
        for (int i = 1; i < rows; i++)
            snprintf(json + strlen(json), sizeof json - strlen(json), ",\"x%d\":%d", i, i);
        strcat(json, "}}}");
        write_file(tokenizer, json, strlen(json));
        if (rows == 64) {
            struct run r = {.out = TO_PIPE, .input = "a", .input_size = 1};
            ACCEPT(&r, "tokenize", inner);
            release(&r);
        }
    }
    REFUSE(1, WORDS("65 tokens", "64"), "tokenize", inner);
    free(inner);
    free(tokenizer);
}

/* A model whose tokenizer puts no BOS before a text: no subcommand does. */
static void test_a_model_without_bos(void **state)
{
    (void)state;
    static const char json[] =
        "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"normalizer\":{\"type\":\"NFC\"},"
        "\"truncation\":{\"max_length\":9},"
        "\"added_tokens\":[{\"id\":4,\"content\":\"<|endoftext|>\",\"special\":true}],\"model\":{\"type\":\"BPE\","
        "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"\\u0120\":3},\"merges\":[\"a b\"]}}";
    char *inner = sub_folder("nobos"), *tokenizer = path_in(inner, "tokenizer.json"), *words = path_in(inner, "words.txt");
    struct model_spec spec = spec_usual(1, true);
    char *path = put_model(inner, "model.bin", &spec);
    struct run r = {.out = TO_PIPE, .input = "ab a", .input_size = 4};
    write_file(tokenizer, json, sizeof json - 1);
    write_file(words, "ab a b ab", 9);
    for (int folder_too = 0; folder_too < 2; folder_too++) {
        ACCEPT(&r, "tokenize", folder_too ? inner : path);
        assert_int_equal(r.stdout_bytes.size, 6);
        assert_memory_equal(r.stdout_bytes.data, "2\n3\n0\n", 6);
        assert_non_null(strstr(err_of(&r), "note: "));
        assert_non_null(strstr(err_of(&r), "truncation"));
        assert_null(strstr(err_of(&r), "NFC")); /* which is done */
        release(&r);
    }
    r.input = NULL;
    ACCEPT(&r, "logits", "-o", output, "-p", "ab a", path);
    release(&r);
    check_logits_size(3);
    ACCEPT(&r, "generate", "-n", "3", "-p", "ab a", path);
    assert_true(r.stdout_bytes.size >= 4 && memcmp(r.stdout_bytes.data, "ab a", 4) == 0);
    release(&r);
    ACCEPT(&r, "generate", "-n", "3", path);
    release(&r);
    ACCEPT(&r, "eval", "--json", "--text", words, path); /* 7 tokens: 6 predictions */
    assert_non_null(strstr((const char *)r.stdout_bytes.data, "\"tokens\":6,"));
    release(&r);
    ACCEPT(&r, "eval", "--json", "--text", words, "-n", "5", path); /* the first five of them */
    assert_non_null(strstr((const char *)r.stdout_bytes.data, "\"tokens\":4,"));
    release(&r);
    run_args(&r, (const char *const[]){program, "generate", "-p", "zz", path, NULL});
    assert_int_equal(r.status, 1);
    assert_non_null(strstr(err_of(&r), "no tokens"));
    release(&r);
    free(inner);
    free(tokenizer);
    free(words);
    free(path);
}

/* ---- texts and contexts ---------------------------------------------------------------------- */

static void test_texts_of_odd_sizes(void **state)
{
    (void)state;
    char *odd = path_in(folder, "odd.txt"), longer[4000];
    struct run r = {.out = TO_PIPE};
    write_file(odd, "", 0);
    REFUSE(1, WORDS("odd.txt", "empty"), "eval", "--text", odd, model);
    REFUSE(1, WORDS("odd.txt", "empty"), "eval", "--text", odd, "--protocol", "llamacpp", model);
    REFUSE(1, WORDS("/nonexistent"), "eval", "--text", "/nonexistent", model);
    REFUSE(1, WORDS("directory"), "eval", "--text", folder, model);
    memset(longer, 'q', sizeof longer);
    write_file(odd, longer, sizeof longer);
    ACCEPT(&r, "eval", "--json", "--text", odd, model);
    assert_int_equal(check_json(&r, eval_fields), 1);
    release(&r);
    REFUSE(1, WORDS("4002 tokens", "64"), "logits", "-o", output, "--text", odd, model);
    longer[sizeof longer - 1] = 0;
    REFUSE(1, WORDS("4001 tokens", "64"), "generate", "-p", longer, model);
    remove(odd);
    free(odd);
}

/* The first byte that begins no character is named, wherever it is; NUL and other controls are characters. */
static void test_texts_that_are_not_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        const char *where, *what;
    } cases[] = {
        {"\xff\xfeh\0e\0", 6, "byte 0 ", "0xff"},     /* UTF-16 */
        {"caf\xe9 au lait", 13, "byte 3 ", "0xe9"},    /* Latin-1 */
        {"caf\xc3\xa9 \x80", 7, "byte 6 ", "0x80"},   /* no first byte */
        {"the \xc0\xaf", 6, "byte 4 ", "0xc0"},       /* overlong */
        {"the \xed\xa0\x80", 7, "byte 4 ", "0xed"},   /* half a pair of surrogates */
        {"the \xf4\x90\x80\x80", 8, "byte 4 ", "0xf4"}, /* beyond the last code point */
        {"the \xe2\x82", 6, "byte 4 ", "0xe2"},       /* cut short */
    };
    char *path = path_in(folder, "bytes.txt");
    struct run r = {.out = TO_PIPE};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_file(path, cases[i].bytes, cases[i].n);
        REFUSE(1, WORDS("bytes.txt", cases[i].where, cases[i].what, "UTF-8"), "eval", "--text", path, model);
        REFUSE(1, WORDS("bytes.txt", cases[i].where, cases[i].what, "UTF-8"), "eval", "--calibration", path,
               model);
    }
    write_file(path, "a\0\x01\x7f \xf4\x8f\xbf\xbf", 9);
    ACCEPT(&r, "eval", "--json", "--text", path, model);
    assert_int_equal(check_json(&r, eval_fields), 1);
    release(&r);
    REFUSE(1, WORDS(model, "byte", "UTF-8"), "eval", "--text", model, model);
    remove(path);
    free(path);
}

/* Both numbers are told: what there is and what is needed. */
static void test_windows_that_do_not_fit(void **state)
{
    (void)state;
    char *path = path_in(folder, "short.txt");
    struct run r = {.out = TO_PIPE};
    write_file(path, "aaaa", 4);
    struct run probe = {.out = TO_PIPE, .input = "aaaa", .input_size = 4};
    ACCEPT(&probe, "tokenize", model);
    char tokens[32], fits[32];
    snprintf(tokens, sizeof tokens, "%zu tokens", lines_in(&probe.stdout_bytes));
    snprintf(fits, sizeof fits, "%zu", lines_in(&probe.stdout_bytes));
    release(&probe);
    REFUSE(1, WORDS(tokens, "window of 40"), "eval", "--text", path, "--protocol", "llamacpp", "-w", "40",
           model);
    ACCEPT(&r, "eval", "--json", "--text", path, "--protocol", "llamacpp", "-w", fits, model);
    release(&r);
    REFUSE(1, WORDS("window of 2", "3"), "eval", "--protocol", "llamacpp", "-w", "2", model);
    REFUSE(1, WORDS("--window 128", "64"), "eval", "-w", "128", "-c", "64", model);
    REFUSE(2, WORDS("--window", "2"), "eval", "-w", "0", model);
    remove(path);
    free(path);
}

static void test_contexts_and_windows_beyond(void **state)
{
    (void)state;
    struct run r = {.out = TO_PIPE}; /* rotary positions go on; a note says where training ended */
    ACCEPT(&r, "generate", "-n", "2", "-c", "65", model);
    assert_non_null(strstr(err_of(&r), "note: context of 65: the model was trained for 64"));
    release(&r);
    ACCEPT(&r, "eval", "-n", "100", "-w", "65", model);
    assert_non_null(strstr(err_of(&r), "note: context of 65: the model was trained for 64"));
    release(&r);
    REFUSE(1, WORDS("--window", "33", "32"), "eval", "-w", "33", "-c", "32", model);
    REFUSE(1, WORDS("context"), "bench", "-c", "1", model);
    REFUSE(1, WORDS("window"), "eval", "-c", "1", model);
}

/* The header promises a context that no machine has; asking for it is one line. */
static void test_cache_larger_than_memory(void **state)
{
    (void)state;
    struct model_spec spec = spec_usual(1, true);
    spec.layers = 64;
    spec.context = 1 << 28;
    char *path = put_model(folder, "wide.bin", &spec);
    struct run r = {.out = TO_PIPE};
    ACCEPT(&r, "generate", "-n", "2", path);
    release(&r);
    static const char wide[] = "268435456";
    REFUSE(1, WORDS("KV cache", wide, "available"), "eval", "-c", wide, "-w", wide, "-n", "4",
           path);
    REFUSE(1, WORDS("KV cache", "available"), "generate", "-c", wide, "-n", wide, path);
    remove(path);
    free(path);
}

/* ---- odd weights ----------------------------------------------------------------------------- */

/* One weight of the tensor called name. */
static char *put_odd_model(const char *name, float value)
{
    struct model_spec spec = spec_usual(1, true);
    struct bytes b = model_bytes(&spec);
    char *path = path_in(folder, "odd.bin");
    put_float(&b, model_place(&spec, name).offset + 4 * 35, value);
    write_file(path, b.data, b.size);
    bytes_free(&b);
    return path;
}

static void check_odd(const char *name, float value)
{
    char *path = put_odd_model(name, value);
    const char *const calls[][MOST_ARGS + 1] = {
        {program, "generate", "-n", "20", path},
        {program, "generate", "-n", "20", "--temperature", "0", "-s", "w8a8", path},
        {program, "logits", "-o", output, "-p", "the", "-s", "int4:g16:asym", path},
        {program, "eval", "-n", "20", "--json", "-s", "int8", path},
        {program, "inspect", "--json", path},
        {program, "inspect", "--json", "-s", "int8", path},
        {program, "inspect", "-s", "w4a8", path},
        {program, "plan", "--roof", "1GB/s", "--json", path},
        {program, "bench", "-n", "2", "--prompt-tokens", "2", "--json", path},
    };
    for (size_t i = next_turn(); i < sizeof calls / sizeof *calls; i += test_stride()) {
        struct run r = {.out = TO_PIPE};
        accept_run(&r, calls[i]);
        if (!strstr(err_of(&r), "warning: 1 weights are NaN or infinite"))
            show(&r, "no warning", calls[i]);
        static const struct json_field none[] = {{NULL, NEED_MAYBE}};
        if (strchr(out_of(&r), '{'))
            check_json(&r, strcmp(calls[i][1], "eval") == 0      ? eval_fields
                           : strcmp(calls[i][1], "inspect") == 0 ? inspect_fields
                                                                 : none);
        release(&r);
    }
    remove(output);
    remove(path);
    free(path);
}

static void test_a_weight_that_is_no_number(void **state)
{
    (void)state;
    check_odd("token_embd", NAN);
    check_odd("token_embd", INFINITY);
}

static void test_a_projection_weight_that_is_no_number(void **state)
{
    (void)state;
    check_odd("blk.0.attn_q", NAN);
    check_odd("blk.1.ffn_gate", INFINITY);
    check_odd("blk.1.attn_output", -INFINITY);
}

/* No figure is made up where logits are no numbers: null and a reason in JSON, n/a in text. */
static void test_evaluation_of_logits_that_are_no_numbers(void **state)
{
    (void)state;
    static const char *const keys[] = {"perplexity", "perplexity_reference", "kl_divergence", "kl_stderr",
                                       "kl_median",  "kl_p99",               "kl_max",        "top1_agreement"};
    char *path = put_odd_model("output_norm", NAN);
    struct run r = {.out = TO_PIPE};
    ACCEPT(&r, "eval", "-n", "20", "--json", path);
    assert_int_equal(check_json(&r, eval_fields), 1);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char reason[64];
        snprintf(reason, sizeof reason, "%s_reason", keys[i]);
        json_t *value = first_value(&r, keys[i]), *why = first_value(&r, reason);
        assert_true(json_is_null(value));
        assert_non_null(strstr(json_string_value(why), "logit"));
        json_decref(value);
        json_decref(why);
    }
    release(&r);
    ACCEPT(&r, "eval", "-n", "20", path);
    assert_non_null(strstr(out_of(&r), "n/a"));
    assert_null(strstr(out_of(&r), "nan"));
    release(&r);
    remove(path);
    free(path);
}

/* Why there is no SQNR is said truly: the tensor does multiply, but not numbers. */
static void test_inspect_says_why_there_is_no_sqnr(void **state)
{
    (void)state;
    char *path = put_odd_model("blk.0.attn_v", NAN);
    struct run r = {.out = TO_PIPE};
    ACCEPT(&r, "inspect", "--json", "-s", "int8", path);
    const char *line = strstr(out_of(&r), "\"blk.0.attn_v\"");
    assert_non_null(line);
    json_t *object = json_loads(line - strlen("{\"name\":"), JSON_DISABLE_EOF_CHECK, NULL);
    const char *reason = json_string_value(json_object_get(object, "output_sqnr_db_reason"));
    bool wrong = !reason || strstr(reason, "not a matrix product");
    json_decref(object);
    release(&r);
    remove(path);
    free(path);
    assert_false(wrong);
}

static void test_inspect_fits_in_a_terminal(void **state)
{
    (void)state;
    static const char *const schemes[] = {"stored", "int8", "w4a8", "w8a8"};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        struct run r = {.out = TO_PIPE};
        ACCEPT(&r, "inspect", "-s", schemes[i], model);
        for (const char *at = out_of(&r), *end; *at; at = end + 1) {
            end = strchr(at, '\n');
            assert_non_null(end);
            if (end - at > 80)
                fail_msg("%d columns: %.*s", (int)(end - at), (int)(end - at), at);
        }
        release(&r);
    }
}

/* Layers that run as stored have no error, however their products are summed. */
static void test_inspect_of_stored_layers_is_exact(void **state)
{
    (void)state;
    struct run r = {.out = TO_PIPE};
    ACCEPT(&r, "inspect", "--json", model);
    size_t exact = 0;
    for (const char *line = out_of(&r); *line; line += strcspn(line, "\n") + 1) {
        json_t *object = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL);
        const char *reason = json_string_value(json_object_get(object, "output_sqnr_db_reason"));
        assert_non_null(reason);
        exact += strcmp(reason, "exact") == 0;
        assert_true(strcmp(reason, "exact") == 0 || strstr(reason, "not a matrix product"));
        json_decref(object);
    }
    assert_true(exact > 7);
    release(&r);
}

/* ---- signals and files that change ----------------------------------------------------------- */

static void test_interrupt_ends_an_evaluation(void **state)
{
    (void)state;
    static const int signals[] = {SIGINT, SIGTERM};
    for (size_t i = 0; i < 2; i++) {
        struct run r = {.out = TO_PIPE, .signal = signals[i], .delay = 0.3};
        RUN(&r, "eval", "--text", "self", "-n", "100000000", model);
        assert_int_equal(r.status, 128 + signals[i]);
        assert_int_equal(r.stdout_bytes.size, 0);
        release(&r);
    }
}

static char *shrinking;

static void shrink(void)
{
    if (truncate(shrinking, 100) != 0)
        abort();
}

/* A mapped model that is cut short under way: a line says so, whatever the death. */
static void test_model_truncated_while_mapped(void **state)
{
    (void)state;
    struct model_spec spec = spec_usual(1, true);
    shrinking = put_model(folder, "shrinking.bin", &spec);
    struct run r = {.out = TO_PIPE, .interfere = shrink, .delay = 0.3};
    RUN(&r, "eval", "--text", "self", "-n", "100000000", shrinking);
    bool said = (SANITIZED || lines_in(&r.stderr_bytes) == 1) && strncmp(err_of(&r), "qtop: ", 6) == 0;
    int status = r.status;
    remove(shrinking);
    free(shrinking);
    release(&r);
    assert_true(SANITIZED ? status != 0 : status == 1 || status == 128 + SIGBUS);
    assert_true(said);
}

/* ---- against the reference ------------------------------------------------------------------- */

enum { NEED_REFERENCE = 2 }; /* tests */

static struct bytes reference_file(const char *name)
{
    char *path = path_in(shared_folder(), name);
    struct bytes b = read_file(path);
    if (!b.data)
        fail_msg("%s cannot be read", path);
    free(path);
    return b;
}

static void test_greedy_text_is_the_reference_s(void **state)
{
    (void)state;
    static const char *const models[] = {"models/stories260K.bin", "models/stories260K-v1.bin"};
    struct bytes expected = reference_file("reference/stories260K/greedy.txt");
    for (size_t i = 0; i < 2; i++) {
        char *path = path_in(shared_folder(), models[i]);
        struct run r = {.out = TO_PIPE};
        ACCEPT(&r, "generate", "--temperature", "0", "-n", "256", path);
        assert_string_equal(out_of(&r), (const char *)expected.data);
        release(&r);
        free(path);
    }
    bytes_free(&expected);
}

static void test_tokens_are_the_reference_s(void **state)
{
    (void)state;
    struct bytes expected = reference_file("reference/stories260K/tokens.txt");
    struct bytes prompt = reference_file("reference/stories260K/prompt.txt");
    char *path = path_in(shared_folder(), "models/stories260K.bin");
    struct run r = {.out = TO_PIPE, .input = (const char *)prompt.data, .input_size = prompt.size};
    ACCEPT(&r, "tokenize", path);
    assert_string_equal(out_of(&r), (const char *)expected.data);
    release(&r);
    bytes_free(&expected);
    bytes_free(&prompt);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_help_and_version),
        cmocka_unit_test(test_unknown_options),
        cmocka_unit_test(test_unknown_letter_is_named),
        cmocka_unit_test(test_missing_arguments),
        cmocka_unit_test(test_options_of_other_subcommands),
        cmocka_unit_test(test_numbers_out_of_range),
        cmocka_unit_test(test_bad_schemes),
        cmocka_unit_test(test_calibration),
        cmocka_unit_test(test_other_bad_words),
        cmocka_unit_test(test_bad_recipes),
        cmocka_unit_test(test_bad_models_are_refused_everywhere),
        cmocka_unit_test(test_bad_tokenizers_are_refused),
        cmocka_unit_test(test_json_of_bench),
        cmocka_unit_test(test_bench_at_a_depth),
        cmocka_unit_test(test_bench_grid),
        cmocka_unit_test(test_bench_as_llama_bench),
        cmocka_unit_test(test_bench_compares),
        cmocka_unit_test(test_csv),
        cmocka_unit_test(test_inspect_says_which_rule),
        cmocka_unit_test(test_inspect_without_running),
        cmocka_unit_test(test_fallbacks_are_noted),
        cmocka_unit_test(test_json_of_eval),
        cmocka_unit_test(test_kv_is_chosen),
        cmocka_unit_test(test_json_of_inspect),
        cmocka_unit_test(test_json_with_a_reference),
        cmocka_unit_test(test_text_with_a_reference),
        cmocka_unit_test(test_name_of_the_text),
        cmocka_unit_test(test_references_that_are_refused),
        cmocka_unit_test(test_json_of_plan),
        cmocka_unit_test(test_json_of_advise),
        cmocka_unit_test(test_rows_of_plan),
        cmocka_unit_test(test_texts_of_figures),
        cmocka_unit_test(test_a_deeper_reference),
        cmocka_unit_test(test_speed_comes_after_the_text),
        cmocka_unit_test(test_plan_for_a_machine_that_is_not_here),
        cmocka_unit_test(test_plan_on_a_simulated_machine),
        cmocka_unit_test(test_machine_in_text),
        cmocka_unit_test(test_machine_in_json),
        cmocka_unit_test(test_machine_with_a_bad_cache),
        cmocka_unit_test(test_simulated_machines),
        cmocka_unit_test(test_json_with_hostile_names),
        cmocka_unit_test(test_output_that_cannot_be_written),
        cmocka_unit_test(test_generate_depends_on_the_seed_alone),
        cmocka_unit_test(test_generate_at_the_edges),
        cmocka_unit_test(test_generate_without_a_tokenizer),
        cmocka_unit_test(test_no_control_bytes_on_a_terminal),
        cmocka_unit_test(test_long_tokens_on_a_terminal),
        cmocka_unit_test(test_logits_have_a_row_a_token),
        cmocka_unit_test(test_logits_that_cannot_be),
        cmocka_unit_test(test_output_onto_what_is_read), cmocka_unit_test(test_logits_onto_the_model_itself),
        cmocka_unit_test(test_threads_do_not_change_logits),
        cmocka_unit_test(test_tokenize_needs_no_model),
        cmocka_unit_test(test_tokenize_uses_the_model_s_own_tokenizer),
        cmocka_unit_test(test_tokenize_refuses_more_tokens_than_rows),
        cmocka_unit_test(test_a_model_without_bos),
        cmocka_unit_test(test_texts_of_odd_sizes),
        cmocka_unit_test(test_texts_that_are_not_utf8),
        cmocka_unit_test(test_windows_that_do_not_fit),
        cmocka_unit_test(test_contexts_and_windows_beyond),
        cmocka_unit_test(test_cache_larger_than_memory),
        cmocka_unit_test(test_a_weight_that_is_no_number),
        cmocka_unit_test(test_a_projection_weight_that_is_no_number),
        cmocka_unit_test(test_evaluation_of_logits_that_are_no_numbers),
        cmocka_unit_test(test_inspect_says_why_there_is_no_sqnr),
        cmocka_unit_test(test_inspect_fits_in_a_terminal),
        cmocka_unit_test(test_inspect_of_stored_layers_is_exact),
        cmocka_unit_test(test_interrupt_ends_an_evaluation),
        cmocka_unit_test(test_model_truncated_while_mapped),
        cmocka_unit_test(test_greedy_text_is_the_reference_s),
        cmocka_unit_test(test_tokens_are_the_reference_s),
    };
    /* The TAP that cmocka 1.1.5 writes for skip() reads as a failure: where there is no reference
     * the tests that need it, which come last, are left out instead. */
    size_t count = sizeof tests / sizeof *tests - (shared_folder() ? 0 : NEED_REFERENCE);
    if (!shared_folder())
        fprintf(stderr, "skipped: %d cases of cli_test: no reference folder (QTOP_SHARED names one)\n",
                NEED_REFERENCE);
    return _cmocka_run_group_tests("cli", tests, count, make_files, remove_files);
}

/* Importance matrices from outside: qtop calibrate, --imatrix, what exports say of them, and what is refused.
 *
 * QTOP_BIN names the program (./qtop without it). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "child.h"
#include "formats/gguf_internal.h"
#include "formats/imatrix_file.h"
#include "modelfile.h"
#include "support.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUILTIN    SRCDIR "/data/stories.bin"
#define TEXT       SRCDIR "/data/stories-calibration.txt"
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static char *folder, *matrix, *dat, *target, *out, *err;

static int begin(void **state)
{
    (void)state;
    folder = folder_make();
    matrix = path_in(folder, "imatrix.gguf");
    dat = path_in(folder, "imatrix.dat");
    target = path_in(folder, "out.gguf");
    out = path_in(folder, "out.txt");
    err = path_in(folder, "err.txt");
    return 0;
}

static int end(void **state)
{
    char *const paths[] = {matrix, dat, target, out, err};
    (void)state;
    folder_remove(folder);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        free(paths[i]);
    return 0;
}

/* Runs the program; what it wrote on standard output, which the caller frees. */
static struct bytes run(const char *const *words, int status, const char *says)
{
    int found = child_wait(child_start(words, out, err, NULL));
    struct bytes o = read_file(out), e = read_file(err);
    const char *text = (const char *)e.data;
    if (found != status || !strstr(text, says))
        fail_msg("status %d, '%s'; expected %d and '%s'", found, text, status, says);
    if (status != 0 && strchr(text, '\n') != text + strlen(text) - 1)
        fail_msg("not one line: '%s'", text);
    bytes_free(&e);
    return o;
}

static void check_run(const char *const *words, int status, const char *says)
{
    struct bytes o = run(words, status, says);
    bytes_free(&o);
}

static json_t *run_json(const char *const *words)
{
    struct bytes o = run(words, 0, "");
    json_t *j = json_loads((const char *)o.data, JSON_DISABLE_EOF_CHECK, NULL);
    bytes_free(&o);
    assert_non_null(j);
    return j;
}

static double number(const json_t *j, const char *key)
{
    const json_t *value = json_object_get(j, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static struct imatrix must_read(const char *path)
{
    struct imatrix m;
    struct error error = {""};
    if (!imatrix_read(&m, path, &error))
        fail_msg("%s", error.text);
    return m;
}

/* Four blocks of seven matrices; the windows of the protocol are BOS and 511 tokens. */
static void test_calibrate(void **state)
{
    (void)state;
    json_t *j = run_json(WORDS("calibrate", BUILTIN, "--json", "-n", "1022", "--calibration", TEXT, "-o", matrix));
    struct imatrix m = must_read(matrix);
    assert_true(number(j, "entries") == (double)m.count && number(j, "tokens") == 1024 && number(j, "chunks") == 2);
    assert_true(number(j, "window") == 512 && m.chunk_size == 512 && m.chunk_count == 2);
    assert_string_equal(m.dataset, TEXT);
    const struct imatrix_entry *e = imatrix_find(&m, "blk.0.attn_q.weight");
    assert_true(e && e->counts[0] == 1024);
    assert_null(imatrix_find(&m, "output.weight"));
    imatrix_free(&m);
    json_decref(j);
    check_run(WORDS("calibrate", BUILTIN, "-n", "1022", "--calibration", TEXT, "-o", dat), 0,
              " entries of 1024 tokens");
    m = must_read(dat);
    assert_true(m.legacy && m.chunk_count == 2);
    imatrix_free(&m);
}

/* As llama-imatrix cuts texts: the first token of a window is BOS, and what is left is dropped. The head as it asks. */
static void test_as_llama_cpp(void **state)
{
    (void)state;
    json_t *j = run_json(WORDS("calibrate", BUILTIN, "--json", "-n", "600", "--calibration", TEXT, "--protocol",
                               "llamacpp", "-w", "128", "--process-output", "-o", target));
    struct imatrix m = must_read(target);
    assert_true(number(j, "tokens") == 512 && number(j, "chunks") == 4 && number(j, "window") == 128);
    assert_true(imatrix_find(&m, "output.weight") || imatrix_find(&m, "token_embd.weight"));
    imatrix_free(&m);
    json_decref(j);
}

/* The same layers as by the text, and layers of a .dat as those of imatrix.gguf. */
static void test_used(void **state)
{
    const char *const scheme = "int4:g32:imatrix";
    (void)state;
    struct bytes by_text = run(WORDS("inspect", BUILTIN, "-s", scheme, "--calibration", TEXT), 0, "");
    check_run(WORDS("calibrate", BUILTIN, "-n", "16384", "--calibration", TEXT, "-o", target), 0, "");
    struct bytes by_matrix = run(WORDS("inspect", BUILTIN, "-s", scheme, "--imatrix", target), 0, "");
    assert_string_equal((const char *)by_text.data, (const char *)by_matrix.data);
    bytes_free(&by_text);
    bytes_free(&by_matrix);
    by_text = run(WORDS("inspect", BUILTIN, "-s", scheme, "--imatrix", matrix), 0, "");
    by_matrix = run(WORDS("inspect", BUILTIN, "-s", scheme, "--imatrix", dat), 0, "");
    assert_string_equal((const char *)by_text.data, (const char *)by_matrix.data);
    bytes_free(&by_text);
    bytes_free(&by_matrix);
}

/* What inspect says of a layer's importance, or of why there is none. */
static void check_importance(const char *const *words, const char *layer, const char *importance, const char *reason)
{
    struct bytes o = run(words, 0, "");
    char *save, *line = strtok_r((char *)o.data, "\n", &save);
    json_t *j = NULL;
    for (; line; line = strtok_r(NULL, "\n", &save)) {
        j = json_loads(line, 0, NULL);
        if (strcmp(json_string_value(json_object_get(j, "name")), layer) == 0)
            break;
        json_decref(j);
    }
    assert_non_null(line);
    const char *found = json_string_value(json_object_get(j, "importance"));
    const char *why = json_string_value(json_object_get(j, "importance_reason"));
    assert_string_equal(found ? found : why, importance ? importance : reason);
    json_decref(j);
    bytes_free(&o);
}

static void test_inspect(void **state)
{
    (void)state;
    check_importance(WORDS("inspect", BUILTIN, "--json", "-s", "q4_k:imatrix", "--imatrix", matrix), "blk.0.attn_q",
                     "imatrix", NULL);
    check_importance(WORDS("inspect", BUILTIN, "--json", "-s", "q4_k:imatrix", "--calibration", TEXT), "blk.0.attn_q",
                     "text", NULL);
    check_importance(WORDS("inspect", BUILTIN, "--json", "-s", "q4_k"), "blk.0.attn_q", NULL, "no method imatrix");
}

/* A matrix without the last block: what lacks data is listed twice, when the file is read and when it is used. */
static void test_gaps(void **state)
{
    struct bytes whole = read_file(matrix);
    (void)state;
    for (size_t i = 0; i + 6 < whole.size; i++)
        if (memcmp(whole.data + i, "blk.3.", 6) == 0)
            whole.data[i + 4] = '7';
    write_file(target, whole.data, whole.size);
    bytes_free(&whole);
    const char *const *words = WORDS("inspect", BUILTIN, "--json", "-s", "q4_k:imatrix", "--imatrix", target);
    check_run(words, 0,
              "no data of 7 of 28 layers inside blocks (the first is blk.3.attn_q: the imatrix has no entry of it)");
    check_run(words, 0, "7 of 28 entries name no tensor of this model (the first is blk.7.attn_k.weight)");
    check_run(words, 0, "blk.3.ffn_down: the imatrix has no entry of it: unweighted");
    check_importance(words, "blk.3.ffn_down", NULL, "no activations of it are known: unweighted");
}

static struct gguf *open_export(struct bytes *b)
{
    struct error error = {""};
    *b = read_file(target);
    struct gguf *g = gguf_parse(b->data, b->size, &error);
    if (!g)
        fail_msg("%s", error.text);
    return g;
}

/* An export names the matrix that weighed it, once, also one that is made of such an export; another one names none. */
static void test_export(void **state)
{
    struct bytes b;
    struct error error;
    char *again = path_in(folder, "again.gguf");
    (void)state;
    check_run(WORDS("export", BUILTIN, "-s", "q4_k:imatrix", "--imatrix", matrix, "-o", target), 0, "");
    struct gguf *g = open_export(&b);
    struct gguf_text file, dataset;
    size_t entries, chunks;
    assert_true(gguf_string(g, "quantize.imatrix.file", &file, &error) && file.size == strlen(matrix));
    assert_memory_equal(file.data, matrix, file.size);
    assert_true(gguf_string(g, "quantize.imatrix.dataset", &dataset, &error) && dataset.size == strlen(TEXT));
    assert_true(gguf_size(g, "quantize.imatrix.entries_count", 0, 1000, 0, &entries, &error) && entries == 28);
    assert_true(gguf_size(g, "quantize.imatrix.chunks_count", 0, 1000, 0, &chunks, &error) && chunks == 2);
    gguf_close(g);
    bytes_free(&b);
    check_run(WORDS("export", target, "-s", "q6_k:imatrix", "--imatrix", dat, "-o", again), 0, "");
    rename(again, target);
    g = open_export(&b); /* keys are unique */
    assert_true(gguf_string(g, "quantize.imatrix.file", &file, &error) && file.size == strlen(dat));
    gguf_close(g);
    bytes_free(&b);
    check_run(WORDS("export", BUILTIN, "-s", "q4_k", "-o", target), 0, "");
    g = open_export(&b);
    assert_false(gguf_has(g, "quantize.imatrix.file"));
    gguf_close(g);
    bytes_free(&b);
    free(again);
}

static void test_refused(void **state)
{
    (void)state;
    check_run(WORDS("calibrate", BUILTIN), 2, "qtop calibrate needs -o FILE");
    check_run(WORDS("calibrate", BUILTIN, "-o", folder), 1, "is a folder; expected the name of a file");
    check_run(WORDS("calibrate", BUILTIN, "-o", BUILTIN), 1, "is a file that is being read; expected another one");
    check_run(WORDS("calibrate", BUILTIN, "--calibration", TEXT, "-o", TEXT), 1, "is a file that is being read");
    check_run(WORDS("calibrate", BUILTIN, "-s", "int8", "-o", target), 2, "--scheme is not valid for qtop calibrate");
    check_run(WORDS("calibrate", BUILTIN, "-n", "50", "--calibration", TEXT, "-o", target), 1,
              "the calibration text has 50 tokens; expected at least 128");
    check_run(WORDS("calibrate", BUILTIN, "--calibration", "self", "-w", "64", "-o", target), 1,
              "the model writes the calibration text, in windows of its own");
    check_run(WORDS("eval", BUILTIN, "-s", "q4_k:imatrix", "--imatrix", "/nowhere"), 1, "/nowhere");
    check_run(WORDS("eval", BUILTIN, "-s", "q4_k:imatrix", "--imatrix", TEXT), 1, "importance matrix");
    check_run(WORDS("eval", BUILTIN, "-s", "int4:g32", "--imatrix", matrix), 1,
              "no layer of these schemes takes it; expected the method imatrix, such as -s q4_k:imatrix");
    check_run(WORDS("bench", BUILTIN, "-s", "int4:g32", "-s", "int8", "--imatrix", matrix), 1,
              "no layer of these schemes takes it");
    check_run(WORDS("eval", "--synthetic", "smollm2-135m", "-s", "q4_k:imatrix", "--imatrix", matrix), 1,
              "it is another model's imatrix");
    check_run(WORDS("calibrate", BUILTIN, "--calibration", TEXT, "-n", "200", "-o", "/dev/full"), 1,
              "cannot be written");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calibrate), cmocka_unit_test(test_as_llama_cpp), cmocka_unit_test(test_used),
        cmocka_unit_test(test_inspect),   cmocka_unit_test(test_gaps),         cmocka_unit_test(test_export),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, begin, end);
}

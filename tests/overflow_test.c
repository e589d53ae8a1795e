/* Numbers that a type has no room for: counted where they are packed, by every type, shown by inspect, and refused by
 * an export of every format unless it is allowed.
 *
 * QTOP_BIN names the program (./qtop without it). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "exporting.h"
#include "kernels/out_of_range.h"
#include "kernels/quantize.h"
#include "modelfile.h"
#include "quant/requant.h"
#include "support.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SPOILT "blk.1.ffn_gate"

static char *folder;

static int begin(void **state)
{
    (void)state;
    folder = folder_make();
    return 0;
}

static int end(void **state)
{
    (void)state;
    folder_remove(folder);
    return 0;
}

/* A model of whose layer SPOILT the first `count` weights are `value`. */
static char *model_with(float value, size_t count)
{
    struct model_spec spec = {1, true, 64, 96, 2, 4, 2, 300, 64, 32, 1}; /* all columns are whole groups */
    struct tensor_place place = model_place(&spec, SPOILT);
    struct bytes b = model_bytes(&spec);
    char *path = path_in(folder, "model.bin");
    for (size_t c = 0; c < count; c++)
        put_float(&b, place.offset + 4 * c, value);
    write_file(path, b.data, b.size);
    bytes_free(&b);
    return path;
}

/* ---- packing --------------------------------------------------------------------------------- */

/* Three weights of this value, in each type. 65520 and FLT_MAX are the first that round to infinity; group scales are
 * fp16 and end at 65504, so that a group ends at 127 or 7 times that, and an asymmetric one at 255 or 15 times. */
static const struct {
    const char *scheme;
    float value;
    size_t overflowed, clipped;
} packings[] = {
    {"fp16", 65519, 0, 0},        {"fp16", 65520, 3, 0},
    {"fp16", -1e5f, 3, 0},        {"bf16", 3.3895e38f, 0, 0},
    {"bf16", FLT_MAX, 3, 0},      {"bf16", -FLT_MAX, 3, 0},
    {"fp32", FLT_MAX, 0, 0},      {"fp16", INFINITY, 0, 0},
    {"fp16", NAN, 0, 0},          {"int8:g32", 8.3e6f, 0, 0},
    {"int8:g32", 8.5e6f, 3, 3},   {"int8:channel", 1e30f, 0, 0},
    {"int8:tensor", 1e30f, 0, 0}, {"int4:g32", 4.5e5f, 0, 0},
    {"int4:g32", -1e6f, 3, 3},    {"int4:g32:asym", 9.8e5f, 0, 0},
    {"int4:g32:asym", 1.2e6f, 3, 3}, {"int8:g32:asym", 1.8e7f, 3, 3},
    {"fp8e4m3", 1e30f, 0, 0},     {"fp8e5m2:tensor", -1e30f, 0, 0},
};

static void test_packing(void **state)
{
    (void)state;
    enum { COLS = 64, ROWS = 2 };
    struct pool *pool = pool_create(1, NULL);
    for (size_t i = 0; i < sizeof packings / sizeof *packings; i++) {
        float w[ROWS * COLS] = {[COLS + 1] = packings[i].value, [COLS + 2] = packings[i].value,
                                [COLS + 5] = packings[i].value, [COLS + 7] = 1};
        struct model m = matrix_model(w, ROWS, COLS);
        struct scheme scheme;
        struct error error = {""};
        assert_true(scheme_parse(packings[i].scheme, &scheme, &error));
        struct qtensor *q = requantize(&m, 0, &scheme, pool, &error);
        assert_non_null(q);
        if (q->error.overflowed != packings[i].overflowed || q->error.clipped != packings[i].clipped)
            fail_msg("%s of %g: %zu overflowed, %zu clipped", packings[i].scheme, (double)packings[i].value,
                     q->error.overflowed, q->error.clipped);
        qtensor_unref(q);
        free_matrix_model(&m);
    }
    pool_destroy(pool);
}

/* A grid that was chosen too small: what lies beyond saturates. */
static void test_saturated_fp8(void **state)
{
    (void)state;
    static const enum dtype types[] = {DTYPE_FP8E4M3, DTYPE_FP8E5M2};
    for (size_t i = 0; i < 2; i++) {
        float largest = dtypes[types[i]].largest;
        float w[32] = {largest, 1.03f * largest, -1.2f * largest, 4 * largest, INFINITY, NAN, -largest};
        struct qformat format = qformat_default(types[i]);
        struct qmatrix m;
        assert_true(qmatrix_init(&m, &format, 1, 32, NULL));
        quantize_set_params(&m, 0, 0, (struct quant_params){1, 0});
        quantize_row_with_params(&m, 0, w);
        struct out_of_range out = row_out_of_range(&m, 0, w);
        assert_int_equal(out.overflowed, 2);
        assert_int_equal(out.clipped, 2);
        qmatrix_free(&m);
    }
}

/* Outlier columns are fp16 whatever the other columns are. */
static void test_outlier_columns(void **state)
{
    (void)state;
    float w[32] = {1, 1e5f, -2, -1e6f, 3};
    struct qformat format = qformat_default(DTYPE_INT8);
    struct qmatrix m;
    assert_true(qmatrix_init(&m, &format, 1, 32, NULL));
    assert_true(qmatrix_set_outliers(&m, (uint32_t[]){0, 1, 3}, 3, NULL));
    assert_int_equal(quantize_input_transform(&m, 0, w), 2);
    assert_true(w[0] == 0 && w[1] == 0 && w[3] == 0 && w[4] == 3);
    qmatrix_free(&m);
}

/* Of the caches only fp16 has no scale of its own. */
static void test_kv_caches(void **state)
{
    (void)state;
    for (size_t i = 0; kv_dtypes[i] != DTYPE_COUNT; i++) {
        enum { SIZE = 16 };
        struct kv_shape shape = {kv_dtypes[i], 1, 2, SIZE, 4, NULL};
        struct kv_cache c;
        float keys[2 * SIZE] = {1, 1e5f, [SIZE] = INFINITY}, values[2 * SIZE] = {[SIZE] = -7e4f, 2, 65519};
        assert_true(kv_open(&c, &shape, NULL));
        kv_put(&c, 0, 0, keys, values);
        kv_put(&c, 0, 1, keys, values);
        assert_int_equal(c.overflowed, kv_dtypes[i] == DTYPE_FP16 ? 4 : 0);
        kv_close(&c);
    }
}

/* ---- exports --------------------------------------------------------------------------------- */

static bool export_as(const struct subject *s, const char *path, const char *format, bool allow, char note[200],
                      struct error *error)
{
    struct export_plan plan = {.model = s->session.model, .pool = s->session.pool, .weights = s->set, .path = path,
                               .format = format, .allow_overflow = allow};
    struct export *job = export_open(&plan, error);
    bool done = false, ok = job;
    while (ok && !done)
        ok = export_step(job, 1, &done, error);
    *note = 0;
    for (size_t i = 0; ok && export_note(job, i); i++)
        if (strstr(export_note(job, i), "overflow"))
            snprintf(note, 200, "%s", export_note(job, i));
    export_close(job);
    return ok;
}

static bool exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

/* Every type of every format. `says`: what overflows, of the two weights that were spoilt; null: nothing does. */
static const struct {
    const char *format, *scheme;
    float value;
    const char *says;
} exports[] = {
    {"gguf", "fp16", 1e5f, SPOILT ": 2 numbers overflow fp16 (2 in all layers)"},
    {"safetensors", "fp16", -1e5f, SPOILT ": 2 numbers overflow fp16 (2 in all layers)"},
    {"gguf", "bf16", FLT_MAX, SPOILT ": 2 numbers overflow bf16 (2 in all layers)"},
    {"safetensors", "bf16", FLT_MAX, SPOILT ": 2 numbers overflow bf16 (2 in all layers)"},
    {"gguf", "bf16", 1e5f, NULL},
    {"gguf", "int8:g32", 9e6f, SPOILT ": 2 numbers overflow int8 (2 in all layers)"},
    {"gguf", "int8:g32", 1e5f, NULL},
    {"gguf", "int4:g32", 1e6f, SPOILT ": 2 numbers overflow int4 (2 in all layers)"},
    {"gguf", "int4:g32:asym", 2e6f, SPOILT ": 2 numbers overflow int4 (2 in all layers)"},
    {"gguf", "int4:g32:asym", -9e5f, SPOILT ": 1 number overflows Q4_1 (1 in all layers)"}, /* its minimum */
    {"gguf", "int4:g32:asym", 9e5f, NULL},
    {"safetensors", "int4:g32", 1e6f, SPOILT ": 2 numbers overflow int4 (2 in all layers)"},
    {"gptq", "int4:g32", 1e6f, SPOILT ": 2 numbers overflow int4 (2 in all layers)"},
    {"gptq", "int8:g32", 1e7f, SPOILT ": 2 numbers overflow int8 (2 in all layers)"},
    {"safetensors", "int8", 1e30f, NULL},
    {"safetensors", "fp8e4m3", 1e30f, NULL},
};

static void test_exports(void **state)
{
    (void)state;
    char *target = path_in(folder, "out.any");
    for (size_t i = 0; i < sizeof exports / sizeof *exports; i++) {
        struct error error = {""};
        char note[200];
        char *path = model_with(exports[i].value, 2);
        struct subject s = subject_open(path, NULL, exports[i].scheme);
        bool ok = export_as(&s, target, exports[i].format, false, note, &error);
        if (ok != !exports[i].says || (!ok && strstr(error.text, exports[i].says) != error.text))
            fail_msg("%s as %s: '%s'", exports[i].scheme, exports[i].format, error.text);
        assert_true(exists(target) == ok);
        if (!ok) {
            assert_non_null(strstr(error.text, "--allow-overflow"));
            assert_true(export_as(&s, target, exports[i].format, true, note, &error) && exists(target));
            assert_true(strstr(note, exports[i].says) == note);
        }
        unlink(target);
        subject_close(&s);
        free(path);
    }
    free(target);
}

/* ---- the program ------------------------------------------------------------------------------- */

static int run(const char *words, char *said, size_t size)
{
    const char *program = getenv("QTOP_BIN") ? getenv("QTOP_BIN") : "./qtop";
    char line[1024];
    snprintf(line, sizeof line, "%s %s 2>&1", program, words);
    FILE *f = popen(line, "r");
    size_t n = f ? fread(said, 1, size - 1, f) : 0;
    said[n] = 0;
    int status = f ? pclose(f) : -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static void test_program(void **state)
{
    (void)state;
    static char said[1 << 16];
    char *path = model_with(1e5f, 2), *target = path_in(folder, "out.gguf"), words[600];
    snprintf(words, sizeof words, "export %s -s fp16 -t 1 -o %s", path, target);
    assert_int_equal(run(words, said, sizeof said), 1);
    assert_non_null(strstr(said, SPOILT ": 2 numbers overflow fp16 (2 in all layers)"));
    assert_true(strchr(said, '\n') == said + strlen(said) - 1 && !exists(target));
    snprintf(words, sizeof words, "export %s -s fp16 -t 1 --allow-overflow -o %s", path, target);
    assert_int_equal(run(words, said, sizeof said), 0);
    assert_true(strstr(said, "2 numbers overflow fp16") && exists(target));
    snprintf(words, sizeof words, "inspect %s -s fp16 -t 1 --json", path);
    assert_int_equal(run(words, said, sizeof said), 0);
    const char *layer = strstr(said, "\"" SPOILT "\"");
    assert_non_null(layer);
    assert_true(strncmp(strstr(layer, "\"overflowed\""), "\"overflowed\":2,", 15) == 0);
    snprintf(words, sizeof words, "inspect %s -s fp16 -t 1", path);
    assert_int_equal(run(words, said, sizeof said), 0);
    assert_non_null(strstr(said, "2 weights overflow their type, most in " SPOILT));
    unlink(target);
    free(target);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packing),         cmocka_unit_test(test_saturated_fp8),
        cmocka_unit_test(test_outlier_columns), cmocka_unit_test(test_kv_caches),
        cmocka_unit_test(test_exports),         cmocka_unit_test(test_program),
    };
    return cmocka_run_group_tests(tests, begin, end);
}

/* GGUF files and catalogs: what is written comes back, and what is wrong is refused by name. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "folderwork.h"
#include "gguffile.h"
#include "support.h"

#include "base/escape.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is asserted of every error --------------------------------------------------------- */

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void check_error(const struct error *error, const char *const *needles)
{
    size_t n = strlen(error->text), length;
    assert_true(n > 0);
    for (size_t i = 0; i < n; i += length) {
        uint32_t c;
        bool cut;
        length = utf8_read(error->text + i, n - i, &c, &cut);
        if (length == 0 || c < 0x20 || (c >= 0x7f && c < 0xa0))
            fail_msg("not one clean line: '%s'", error->text);
    }
    for (; *needles; needles++)
        if (!strstr(error->text, *needles))
            fail_msg("'%s' does not say '%s'", error->text, *needles);
}

/* Parses a copy of exactly these bytes, so that a sanitizer sees the first one beyond. *copy must live as
 * long as what is returned. */
static struct gguf *parse(const uint8_t *data, size_t size, uint8_t **copy, struct error *error)
{
    *copy = malloc(size ? size : 1);
    assert_non_null(*copy);
    if (size)
        memcpy(*copy, data, size);
    return gguf_parse(*copy, size, error);
}

static void refuse(const uint8_t *data, size_t size, const char *const *needles)
{
    struct error error = {"(no message)"};
    uint8_t *copy;
    struct gguf *g = parse(data, size, &copy, &error);
    free(copy);
    if (g) {
        gguf_close(g);
        fail_msg("parsed; expected a refusal that says '%s'", *needles ? *needles : "");
    }
    check_error(&error, needles);
}

static void refuse_file(struct gguffile *f, const char *const *needles)
{
    struct bytes b = gguffile_bytes(f);
    refuse(b.data, b.size, needles);
    bytes_free(&b);
    gguffile_free(f);
}

static struct gguf *accept(const struct bytes *b)
{
    struct error error = {"(no message)"};
    struct gguf *g = gguf_parse(b->data, b->size, &error);
    if (!g)
        fail_msg("a valid file was refused: %s", error.text);
    return g;
}

/* ---- what is written comes back -------------------------------------------------------------- */

static void check_integers(const struct gguf *g)
{
    struct error error = {"(no message)"};
    size_t v = 0;
    assert_true(gguf_size(g, "an.uint8", 200, 200, 1, &v, &error) && v == 200);
    assert_true(gguf_size(g, "an.uint16", 0, SIZE_MAX, 1, &v, &error) && v == 60000);
    assert_true(gguf_size(g, "an.uint32", 0, SIZE_MAX, 1, &v, &error) && v == 4000000000u);
    assert_true(gguf_size(g, "an.uint64", 0, SIZE_MAX, 1, &v, &error) && v == UINT64_MAX);
    assert_true(gguf_size(g, "absent", 5, 6, 17, &v, &error) && v == 17);
    assert_string_equal(error.text, "(no message)");
    static const struct {
        const char *key, *shown;
    } negative[] = {{"an.int8", "-7"}, {"an.int16", "-3000"}, {"an.int32", "-2000000"},
                    {"an.int64", "-9223372036854775808"}};
    for (size_t i = 0; i < 4; i++) {
        assert_false(gguf_size(g, negative[i].key, 0, SIZE_MAX, 1, &v, &error));
        check_error(&error, WORDS(negative[i].key, negative[i].shown, "0 to"));
    }
    assert_false(gguf_size(g, "an.uint8", 1, 199, 1, &v, &error));
    check_error(&error, WORDS("an.uint8", "200", "1 to 199"));
    assert_false(gguf_size(g, "an.uint8", 201, 300, 1, &v, &error));
    check_error(&error, WORDS("an.uint8", "200", "201 to 300"));
    assert_int_equal(v, 17);
}

static void check_others(const struct gguf *g)
{
    struct error error = {"(no message)"};
    float f = 0;
    bool b = false;
    struct gguf_text text = {"x", 1};
    assert_true(gguf_float(g, "a.float32", 1, &f, &error) && f == 0.1f);
    assert_true(gguf_float(g, "a.float64", 1, &f, &error) && f == 2.718281828459045f);
    assert_true(gguf_float(g, "absent", 3, &f, &error) && f == 3);
    assert_true(gguf_bool(g, "a.bool", false, &b, &error) && b);
    assert_true(gguf_bool(g, "absent", false, &b, &error) && !b);
    assert_true(gguf_string(g, "general.architecture", &text, &error));
    assert_int_equal(text.size, 5);
    assert_memory_equal(text.data, "llama", 5);
    assert_true(gguf_string(g, "absent", &text, &error) && !text.data && text.size == 0);
    assert_true(gguf_has(g, "a.bool") && !gguf_has(g, "absent") && !gguf_has(g, ""));
    assert_string_equal(error.text, "(no message)");
}

static void check_arrays(const struct gguf *g)
{
    struct error error = {"(no message)"};
    struct gguf_array a;
    assert_true(gguf_array(g, "tokenizer.ggml.tokens", GGUF_STRING, &a, &error));
    assert_int_equal(a.count, 4);
    assert_int_equal(a.texts[1].size, 0);
    assert_memory_equal(a.texts[2].data, "\xe2\x96\x81the", a.texts[2].size);
    assert_memory_equal(a.texts[3].data, "</s>", a.texts[3].size);
    assert_true(gguf_array(g, "tokenizer.ggml.scores", GGUF_FLOAT32, &a, &error));
    float scores[4];
    assert_int_equal(a.count, 4);
    memcpy(scores, a.data, sizeof scores);
    assert_true(scores[1] == -1.5f && scores[3] == 1e30f);
    assert_true(gguf_array(g, "absent", GGUF_INT32, &a, &error));
    assert_true(a.count == 0 && a.type == GGUF_INT32);
    assert_string_equal(error.text, "(no message)");
    assert_false(gguf_array(g, "tokenizer.ggml.scores", GGUF_INT32, &a, &error));
    check_error(&error, WORDS("tokenizer.ggml.scores", "float32", "int32"));
    assert_false(gguf_array(g, "a.bool", GGUF_STRING, &a, &error));
    check_error(&error, WORDS("a.bool", "type bool", "array of string"));
}

static void test_values(void **state)
{
    (void)state;
    for (uint32_t version = 2; version <= 3; version++) {
        struct gguffile f;
        gguffile_usual(&f, version);
        struct bytes b = gguffile_bytes(&f);
        struct gguf *g = accept(&b);
        check_integers(g);
        check_others(g);
        check_arrays(g);
        gguf_close(g);
        bytes_free(&b);
        gguffile_free(&f);
    }
}

static void test_wrong_types(void **state)
{
    (void)state;
    struct gguffile f;
    gguffile_usual(&f, 3);
    struct bytes b = gguffile_bytes(&f);
    struct gguf *g = accept(&b);
    struct error error;
    size_t n = 3;
    float x = 3;
    bool flag = true;
    struct gguf_text text = {"x", 1};
    assert_false(gguf_size(g, "a.float32", 0, 9, 1, &n, &error));
    check_error(&error, WORDS("a.float32", "type float32", "an integer"));
    assert_false(gguf_size(g, "a.bool", 0, 9, 1, &n, &error));
    check_error(&error, WORDS("a.bool", "type bool", "an integer"));
    assert_false(gguf_size(g, "tokenizer.ggml.tokens", 0, 9, 1, &n, &error));
    check_error(&error, WORDS("tokenizer.ggml.tokens", "array of string", "an integer"));
    assert_false(gguf_float(g, "an.uint8", 1, &x, &error));
    check_error(&error, WORDS("an.uint8", "type uint8", "float32"));
    assert_false(gguf_bool(g, "an.uint8", true, &flag, &error));
    check_error(&error, WORDS("an.uint8", "type uint8", "bool"));
    assert_false(gguf_string(g, "an.uint8", &text, &error));
    check_error(&error, WORDS("an.uint8", "type uint8", "string"));
    assert_true(n == 3 && x == 3 && flag && text.size == 1);
    assert_false(gguf_size(g, "a.bool", 0, 9, 1, &n, NULL));
    gguf_close(g);
    bytes_free(&b);
    gguffile_free(&f);
}

static void test_odd_numbers(void **state)
{
    (void)state;
    const double large = 1e39, infinite = HUGE_VAL;
    const uint8_t two = 2;
    struct gguffile f;
    gguffile_begin(&f, 3);
    gguffile_float32(&f, "nan", NAN);
    gguffile_float32(&f, "minus", -HUGE_VALF);
    gguffile_number(&f, "large", GGUF_FLOAT64, &large);
    gguffile_number(&f, "infinite", GGUF_FLOAT64, &infinite);
    gguffile_number(&f, "two", GGUF_BOOL, &two);
    struct bytes b = gguffile_bytes(&f);
    struct gguf *g = accept(&b);
    struct error error;
    static const char *const keys[] = {"nan", "minus", "large", "infinite"};
    for (size_t i = 0; i < 4; i++) {
        float out = 4;
        assert_false(gguf_float(g, keys[i], 1, &out, &error));
        check_error(&error, WORDS(keys[i], "finite"));
        assert_true(out == 4);
    }
    bool out = false;
    assert_false(gguf_bool(g, "two", false, &out, &error));
    check_error(&error, WORDS("two", "2", "0 or 1"));
    gguf_close(g);
    bytes_free(&b);
    gguffile_free(&f);
}

/* ---- tensors --------------------------------------------------------------------------------- */

static struct catalog catalog_of(const struct gguf *g)
{
    struct catalog c = {0};
    struct error error = {"(no message)"};
    if (!gguf_add(g, &c, &error) || !catalog_sort(&c, &error))
        fail_msg("%s", error.text);
    return c;
}

static void check_entry(const struct catalog *c, const struct gguffile *f, const struct bytes *b,
                        const char *name, enum dtype dtype, size_t dimensions, const size_t *shape)
{
    const struct entry *e = catalog_find(c, name);
    size_t bytes;
    assert_non_null(e);
    assert_string_equal(e->name, name);
    assert_int_equal(e->dtype, dtype);
    assert_int_equal(e->dimensions, dimensions);
    assert_memory_equal(e->shape, shape, dimensions * sizeof *shape);
    assert_true(entry_bytes(dtype, dimensions, shape, &bytes));
    assert_int_equal(e->bytes, bytes);
    assert_ptr_equal(e->data, b->data + gguffile_place(f, name, FIELD_DATA));
}

static void test_tensors(void **state)
{
    (void)state;
    struct gguffile f;
    gguffile_usual(&f, 3);
    struct bytes b = gguffile_bytes(&f);
    struct gguf *g = accept(&b);
    struct catalog c = catalog_of(g);
    assert_int_equal(c.count, 4);
    check_entry(&c, &f, &b, "token_embd.weight", DTYPE_Q8_0, 2, (const size_t[]){4, 32});
    check_entry(&c, &f, &b, "blk.0.attn_q.weight", DTYPE_FP16, 2, (const size_t[]){3, 5});
    check_entry(&c, &f, &b, "blk.0.ffn_up.weight", DTYPE_Q4_K, 2, (const size_t[]){2, 256});
    check_entry(&c, &f, &b, "output_norm.weight", DTYPE_FP32, 1, (const size_t[]){7});
    assert_null(catalog_find(&c, "output"));
    assert_null(catalog_find(&c, ""));
    catalog_close(&c);
    gguf_close(g);
    bytes_free(&b);
    gguffile_free(&f);
}

/* Every datatype that a file can hold, in four dimensions, with every alignment. */
static void test_every_dtype(void **state)
{
    (void)state;
    static const char *const names[] = {"fp32", "fp16", "bf16", "q8_0", "q4_0",  "q4_1",  "q5_0", "q5_1",
                                        "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs",
                                        "mxfp4", "tq2_0", "tq1_0", "iq3_s", "iq3_xxs", "iq2_s", "iq2_xs", "iq2_xxs",
                                        "iq1_s", "iq1_m", "nvfp4", "q1_0", "q2_0"};
    enum { NAMES = sizeof names / sizeof *names };
    for (uint32_t alignment = 1; alignment <= 4096; alignment *= 8) {
        struct gguffile f;
        gguffile_begin(&f, 3);
        f.alignment = alignment;
        gguffile_uint32(&f, "general.alignment", alignment);
        size_t count = 0;
        for (int t = 0; t < DTYPE_ALL; t++)
            if (gguffile_type_number((enum dtype)t) >= 0) {
                assert_string_equal(dtypes[t].name, names[count < 3 ? t : t - DTYPE_Q8_0 + 3]);
                gguffile_tensor(&f, dtypes[t].name, (enum dtype)t, 4,
                                (const size_t[]){2, 1, 3, 2 * dtypes[t].block}, NULL);
                count++;
            }
        assert_int_equal(count, NAMES);
        struct bytes b = gguffile_bytes(&f);
        struct gguf *g = accept(&b);
        struct catalog c = catalog_of(g);
        assert_int_equal(c.count, NAMES);
        for (int t = 0; t < DTYPE_ALL; t++)
            if (gguffile_type_number((enum dtype)t) >= 0)
                check_entry(&c, &f, &b, dtypes[t].name, (enum dtype)t, 4,
                            (const size_t[]){2, 1, 3, 2 * dtypes[t].block});
        catalog_close(&c);
        gguf_close(g);
        bytes_free(&b);
        gguffile_free(&f);
    }
}

/* Doubles become the nearest floats, in memory of the catalog's; NaN and infinity stay. */
static void test_doubles(void **state)
{
    (void)state;
    static const double values[] = {1, 0.1, -2.5, 1e-50, 0x1.fffffefp127, -INFINITY, NAN, 0x1.000001p0};
    static const float expected[] = {1, 0.1f, -2.5f, 0, 0x1.fffffep127f, -INFINITY, NAN, 1};
    enum { VALUES = sizeof values / sizeof *values };
    struct gguffile f;
    gguffile_begin(&f, 3);
    gguffile_tensor(&f, "a.tensor", ENTRY_DOUBLES, 2, (const size_t[]){2, VALUES / 2}, values);
    gguffile_tensor(&f, "b.tensor", DTYPE_FP32, 1, (const size_t[]){1}, NULL);
    struct bytes b = gguffile_bytes(&f);
    struct gguf *g = accept(&b);
    struct catalog c = catalog_of(g);
    const struct entry *e = catalog_find(&c, "a.tensor");
    assert_int_equal(c.rounded, 1);
    assert_int_equal(e->dtype, DTYPE_FP32);
    assert_int_equal(e->bytes, sizeof expected);
    for (size_t i = 0; i < VALUES; i++) {
        float value;
        memcpy(&value, e->data + i * sizeof value, sizeof value);
        if (!(isnan(expected[i]) ? isnan(value) : value >= expected[i] && value <= expected[i]))
            fail_msg("%g became %g; expected %g", values[i], (double)value, (double)expected[i]);
    }
    catalog_close(&c);
    gguf_close(g);
    bytes_free(&b);
    gguffile_free(&f);
}

static void test_doubles_beyond(void **state)
{
    (void)state;
    struct gguffile f;
    struct error error = {"(no message)"};
    struct catalog c = {0};
    gguffile_begin(&f, 3);
    gguffile_tensor(&f, "a.tensor", ENTRY_DOUBLES, 1, (const size_t[]){3}, (const double[]){1, -1e300, 1e200});
    struct bytes b = gguffile_bytes(&f);
    struct gguf *g = accept(&b);
    assert_false(gguf_add(g, &c, &error));
    check_error(&error, WORDS("tensor a.tensor", "number 1 is -1e+300 in F64", "expected at most 3.40282e+38"));
    catalog_close(&c);
    gguf_close(g);
    bytes_free(&b);
    gguffile_free(&f);
}

/* ---- one field wrong ------------------------------------------------------------------------- */

struct mutation {
    const char *name; /* of the key or tensor; "" for the header */
    enum gguf_field field;
    size_t offset, bytes;
    uint64_t value;
    const char *said[3];
};

#define EMBEDDING "token_embd.weight"
#define LAST "output_norm.weight"
#define TOKENS "tokenizer.ggml.tokens"
#define SCORES "tokenizer.ggml.scores"

static const struct mutation mutations[] = {
    {"", FIELD_MAGIC, 0, 4, 0x47475546, {"big-endian"}},
    {"", FIELD_MAGIC, 0, 4, 0x6c6d6767, {"magic", "GGUF"}},
    {"", FIELD_VERSION, 0, 4, 0, {"version = 0", "2 or 3"}},
    {"", FIELD_VERSION, 0, 4, 1, {"version = 1", "2 or 3"}},
    {"", FIELD_VERSION, 0, 4, 4, {"version = 4", "2 or 3"}},
    {"", FIELD_VERSION, 0, 4, 0x03000000, {"version", "big-endian", "3"}},
    {"", FIELD_VERSION, 0, 4, 0x02000000, {"version", "big-endian", "2"}},
    {"", FIELD_TENSOR_COUNT, 0, 8, UINT64_MAX, {"tensor_count = -1", "at most"}},
    {"", FIELD_TENSOR_COUNT, 0, 8, 1ull << 63, {"tensor_count = -9223372036854775808"}},
    {"", FIELD_TENSOR_COUNT, 0, 8, (1ull << 61) + 4, {"tensor_count", "at most"}},
    {"", FIELD_TENSOR_COUNT, 0, 8, 0x0863636363636363ull, {"tensor_count", "at most"}},
    {"", FIELD_TENSOR_COUNT, 0, 8, 20, {"tensor 4"}},
    {"", FIELD_TENSOR_COUNT, 0, 8, 5, {"tensor 4"}},
    {"", FIELD_PAIR_COUNT, 0, 8, UINT64_MAX, {"metadata_kv_count = -1", "at most"}},
    {"", FIELD_PAIR_COUNT, 0, 8, 1ull << 60, {"metadata_kv_count", "at most"}},
    {"", FIELD_PAIR_COUNT, 0, 8, 17, {"tensor 0"}},
    {"", FIELD_PAIR_COUNT, 0, 8, 15, {"'tokenizer.ggml.token_type'", "n_dims"}},
    {"a.bool", FIELD_NAME_LENGTH, 0, 8, UINT64_MAX, {"key 11", "18446744073709551615"}},
    {"a.bool", FIELD_NAME_LENGTH, 0, 8, 1ull << 40, {"key 11", "1099511627776"}},
    {"a.bool", FIELD_NAME_LENGTH, 0, 8, 0, {"key 11", "empty"}},
    {"a.bool", FIELD_NAME, 1, 1, 0, {"key 11", "NUL"}},
    {"a.float64", FIELD_NAME, 5, 4, 0x32336200, {"NUL"}},
    {"an.int16", FIELD_NAME, 0, 8, 0x3233746e692e6e61, {"'an.int32'", "twice"}},
    {"a.bool", FIELD_TYPE, 0, 4, 13, {"'a.bool'", "value type 13", "0 to 12"}},
    {"a.bool", FIELD_TYPE, 0, 4, UINT32_MAX, {"'a.bool'", "value type 4294967295"}},
    {"general.architecture", FIELD_VALUE, 0, 8, UINT64_MAX, {"'general.architecture'", "value"}},
    {"general.architecture", FIELD_VALUE, 0, 8, 100000, {"'general.architecture'", "100000"}},
    {TOKENS, FIELD_ELEMENT, 0, 4, GGUF_ARRAY, {"'" TOKENS "'", "array of arrays"}},
    {TOKENS, FIELD_ELEMENT, 0, 4, 13, {"'" TOKENS "'", "element type 13"}},
    {TOKENS, FIELD_ARRAY_COUNT, 0, 8, UINT64_MAX, {"'" TOKENS "'", "count"}},
    {TOKENS, FIELD_ARRAY_COUNT, 0, 8, 1ull << 61, {"'" TOKENS "'", "count"}},
    {TOKENS, FIELD_ARRAY, 0, 8, UINT64_MAX, {"'" TOKENS "'", "string 0", "18446744073709551615"}},
    {TOKENS, FIELD_ARRAY, 11, 8, 1ull << 32, {"'" TOKENS "'", "string 1", "4294967296"}},
    {SCORES, FIELD_ARRAY_COUNT, 0, 8, 1ull << 62, {"'" SCORES "'", "count = 4611686018427387904"}},
    {SCORES, FIELD_ARRAY_COUNT, 0, 8, UINT64_MAX, {"'" SCORES "'", "count"}},
    {"general.alignment", FIELD_VALUE, 0, 4, 0, {"general.alignment", "= 0"}},
    {"general.alignment", FIELD_VALUE, 0, 4, 24, {"general.alignment", "24", "power of two"}},
    {"general.alignment", FIELD_VALUE, 0, 4, 1u << 31, {"general.alignment", "2147483648"}},
    {"general.alignment", FIELD_VALUE, 0, 4, 64, {"'blk.0.attn_q.weight'", "offset", "alignment 64"}},
    {"general.alignment", FIELD_TYPE, 0, 4, GGUF_FLOAT32, {"general.alignment", "float32", "an integer"}},
    {"general.alignment", FIELD_TYPE, 0, 4, GGUF_INT32, {NULL}}, /* fine: see below */
    {EMBEDDING, FIELD_NAME_LENGTH, 0, 8, UINT64_MAX, {"tensor 0", "name", "18446744073709551615"}},
    {EMBEDDING, FIELD_NAME_LENGTH, 0, 8, 64, {"tensor 0", "name", "1 to 63"}},
    {EMBEDDING, FIELD_NAME_LENGTH, 0, 8, 0, {"tensor 0", "name", "1 to 63"}},
    {EMBEDDING, FIELD_NAME, 3, 1, 0, {"tensor 0", "NUL"}},
    {EMBEDDING, FIELD_DIMENSIONS, 0, 4, 0, {"'" EMBEDDING "'", "n_dims = 0", "1 to 4"}},
    {EMBEDDING, FIELD_DIMENSIONS, 0, 4, 5, {"'" EMBEDDING "'", "n_dims = 5", "1 to 4"}},
    {EMBEDDING, FIELD_DIMENSIONS, 0, 4, UINT32_MAX, {"'" EMBEDDING "'", "n_dims = 4294967295"}},
    {EMBEDDING, FIELD_NE0, 8, 8, UINT64_MAX, {"'" EMBEDDING "'", "ne[1] = -1"}},
    {EMBEDDING, FIELD_NE0, 0, 8, 1ull << 63, {"'" EMBEDDING "'", "ne[0] = -9223372036854775808"}},
    {EMBEDDING, FIELD_NE0, 0, 8, 33, {"'" EMBEDDING "'", "ne[0] = 33", "multiple of 32"}},
    {EMBEDDING, FIELD_NE0, 0, 8, 1ull << 62, {"'" EMBEDDING "'", "ne[]", "overflows"}},
    {EMBEDDING, FIELD_NE0, 8, 8, 1ull << 59, {"'" EMBEDDING "'", "overflows"}},
    {LAST, FIELD_NE0, 0, 8, (1ull << 62) + 1, {"'" LAST "'", "overflows"}}, /* x 4 is 4 */
    {LAST, FIELD_NE0, 0, 8, 1ull << 61, {"'" LAST "'", "offset", "tensor data"}},
    {LAST, FIELD_NE0, 0, 8, (1ull << 62) - 1, {"'" LAST "'", "18446744073709551612 bytes"}},
    {LAST, FIELD_NE0, 0, 8, 8, {"'" LAST "'", "32 bytes", "tensor data"}},
    {LAST, FIELD_TYPE, 0, 4, 4, {"'" LAST "'", "type 4 (Q4_2)", "removed"}},
    {LAST, FIELD_TYPE, 0, 4, 43, {"'" LAST "'", "type 43", "unknown"}},
    {LAST, FIELD_TYPE, 0, 4, 99, {"'" LAST "'", "type 99", "unknown"}},
    {LAST, FIELD_TYPE, 0, 4, UINT32_MAX, {"'" LAST "'", "type 4294967295", "unknown"}},
    {LAST, FIELD_TYPE, 0, 4, 2, {"'" LAST "'", "ne[0] = 7", "Q4_0"}},
    {LAST, FIELD_OFFSET, 0, 8, 1, {"'" LAST "'", "offset = 1", "alignment"}},
    {LAST, FIELD_OFFSET, 0, 8, 1u << 20, {"'" LAST "'", "offset = 1048576", "tensor data"}},
    {LAST, FIELD_OFFSET, 0, 8, UINT64_MAX - 31, {"'" LAST "'", "offset = 18446744073709551584"}},
    {LAST, FIELD_OFFSET, 0, 8, 0, {"offset = 0", "overlaps", "ends at"}},
    {LAST, FIELD_OFFSET, 0, 8, 128, {"overlaps", "offset = 128"}},
};

static void test_mutations(void **state)
{
    (void)state;
    struct gguffile f;
    gguffile_usual(&f, 3);
    struct bytes b = gguffile_bytes(&f);
    uint8_t *spoilt = malloc(b.size);
    assert_non_null(spoilt);
    for (size_t i = 0; i < sizeof mutations / sizeof *mutations; i++) {
        const struct mutation *m = &mutations[i];
        const char *needles[] = {m->said[0], m->said[1], m->said[1] ? m->said[2] : NULL, NULL};
        memcpy(spoilt, b.data, b.size);
        memcpy(spoilt + gguffile_place(&f, m->name, m->field) + m->offset, &m->value, m->bytes);
        if (needles[0])
            refuse(spoilt, b.size, needles);
        else
            gguf_close(accept(&(struct bytes){spoilt, b.size}));
    }
    free(spoilt);
    bytes_free(&b);
    gguffile_free(&f);
}

static void test_truncated_at_every_byte(void **state)
{
    (void)state;
    struct gguffile f;
    gguffile_usual(&f, 3);
    struct bytes b = gguffile_bytes(&f);
    for (size_t size = b.size; size-- > 0;)
        refuse(b.data, size, WORDS("GGUF"));
    refuse(b.data, b.size - 1, WORDS("'" LAST "'", "28 bytes"));
    bytes_free(&b);
    gguffile_free(&f);
}

static void test_tensor_types(void **state)
{
    (void)state;
    static const struct {
        uint32_t number;
        const char *name;
    } refused[] = {{4, "Q4_2"},      {5, "Q4_3"},      {9, "Q8_1"},       {15, "Q8_K"},
                   {24, "I8"},       {25, "I16"},      {26, "I32"},       {27, "I64"},
                   {31, "Q4_0_4_4"}, {32, "Q4_0_4_8"},  {33, "Q4_0_8_8"},
                   {36, "IQ4_NL_4_4"}, {37, "IQ4_NL_4_8"}, {38, "IQ4_NL_8_8"}};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct gguffile f;
        char said[40];
        gguffile_begin(&f, 3);
        gguffile_tensor(&f, "a.tensor", DTYPE_FP32, 1, (const size_t[]){256}, NULL);
        struct bytes b = gguffile_bytes(&f);
        memcpy(b.data + gguffile_place(&f, "a.tensor", FIELD_TYPE), &refused[i].number, 4);
        snprintf(said, sizeof said, "type %u (%s)", refused[i].number, refused[i].name);
        refuse(b.data, b.size, WORDS("'a.tensor'", said, "expected F64, F32"));
        bytes_free(&b);
        gguffile_free(&f);
    }
}

/* ---- whole files that are wrong -------------------------------------------------------------- */

static void test_duplicates(void **state)
{
    (void)state;
    struct gguffile f;
    gguffile_begin(&f, 3);
    gguffile_uint32(&f, "a", 1);
    gguffile_uint32(&f, "b", 1);
    gguffile_float32(&f, "a", 1);
    refuse_file(&f, WORDS("key 'a'", "twice"));
    gguffile_begin(&f, 3);
    gguffile_tensor(&f, "x", DTYPE_FP32, 1, (const size_t[]){1}, NULL);
    gguffile_tensor(&f, "y", DTYPE_FP32, 1, (const size_t[]){1}, NULL);
    gguffile_tensor(&f, "x", DTYPE_FP16, 1, (const size_t[]){2}, NULL);
    refuse_file(&f, WORDS("tensor 'x'", "twice"));
}

static void test_names(void **state)
{
    (void)state;
    char name[70];
    memset(name, 'n', sizeof name);
    struct gguffile f;
    name[63] = 0;
    gguffile_begin(&f, 3);
    gguffile_tensor(&f, name, DTYPE_FP32, 1, (const size_t[]){1}, NULL);
    struct bytes b = gguffile_bytes(&f);
    gguf_close(accept(&b));
    bytes_free(&b);
    gguffile_free(&f);
    name[63] = 'n';
    name[64] = 0;
    gguffile_begin(&f, 3);
    gguffile_tensor(&f, name, DTYPE_FP32, 1, (const size_t[]){1}, NULL);
    refuse_file(&f, WORDS("tensor 0", "nnn", "64 bytes", "1 to 63"));

    static const char *const hostile[] = {"\x1b[31mred", "two\nlines", "\xff\xfe", "\xc2\x9b" "1m", "%s%n"};
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        gguffile_begin(&f, 3);
        gguffile_uint32(&f, hostile[i], 1);
        gguffile_uint32(&f, hostile[i], 1);
        refuse_file(&f, WORDS("twice"));
        gguffile_begin(&f, 3);
        gguffile_tensor(&f, hostile[i], DTYPE_FP32, 1, (const size_t[]){1}, NULL);
        gguffile_tensor(&f, hostile[i], DTYPE_FP32, 1, (const size_t[]){1}, NULL);
        refuse_file(&f, WORDS("twice"));
    }
}

static void test_long_key(void **state)
{
    (void)state;
    char *key = malloc(65537);
    assert_non_null(key);
    memset(key, 'k', 65536);
    key[65536] = 0;
    struct gguffile f;
    gguffile_begin(&f, 3);
    gguffile_uint32(&f, key, 1);
    refuse_file(&f, WORDS("key 0", "65536 bytes", "65535"));
    key[65535] = 0;
    gguffile_begin(&f, 3);
    gguffile_uint32(&f, key, 1);
    struct bytes b = gguffile_bytes(&f);
    struct gguf *g = accept(&b);
    assert_true(gguf_has(g, key));
    gguf_close(g);
    bytes_free(&b);
    gguffile_free(&f);
    free(key);
}

/* Tensors of 2^60 bytes each: the sum of their sizes is 0. */
static void test_sum_of_sizes_wraps(void **state)
{
    (void)state;
    struct gguffile f;
    char name[16];
    gguffile_begin(&f, 3);
    for (int i = 0; i < 16; i++) {
        snprintf(name, sizeof name, "t%d", i);
        gguffile_tensor(&f, name, DTYPE_FP32, 2, (const size_t[]){1, 1}, NULL);
    }
    struct bytes b = gguffile_bytes(&f);
    for (uint64_t i = 0; i < 16; i++) {
        const uint64_t side = 1u << 29, offset = i << 60;
        snprintf(name, sizeof name, "t%d", (int)i);
        memcpy(b.data + gguffile_place(&f, name, FIELD_NE0), &side, 8);
        memcpy(b.data + gguffile_place(&f, name, FIELD_NE0) + 8, &side, 8);
        memcpy(b.data + gguffile_place(&f, name, FIELD_OFFSET), &offset, 8);
    }
    refuse(b.data, b.size, WORDS("'t0'", "1152921504606846976 bytes", "tensor data"));
    bytes_free(&b);
    gguffile_free(&f);
}

static void test_empty_files(void **state)
{
    (void)state;
    struct gguffile f;
    gguffile_begin(&f, 2);
    struct bytes b = gguffile_bytes(&f);
    struct gguf *g = accept(&b);
    assert_false(gguf_has(g, "general.architecture"));
    struct catalog c = catalog_of(g);
    assert_int_equal(c.count, 0);
    assert_null(catalog_find(&c, "x"));
    gguf_close(g);
    bytes_free(&b);
    gguffile_free(&f);
    gguf_close(NULL);
    refuse(NULL, 0, WORDS("magic"));
    refuse((const uint8_t *)"GGUF", 4, WORDS("version"));
}

/* Many keys that begin alike, many tensors, many empty strings: n log n at most. */
static void test_many(void **state)
{
    (void)state;
    enum { MANY = 30000, STRINGS = 150000 };
    const char **texts = calloc(STRINGS, sizeof *texts);
    assert_non_null(texts);
    for (size_t i = 0; i < STRINGS; i++)
        texts[i] = "token";
    struct gguffile f;
    gguffile_begin(&f, 3);
    gguffile_strings(&f, "tokens", STRINGS, texts);
    struct bytes b = gguffile_bytes(&f);
    must_end(true);
    gguf_close(accept(&b));
    bytes_free(&b);
    gguffile_free(&f);
    free(texts);

    gguffile_begin(&f, 3);
    for (unsigned i = 0; i < MANY; i++) {
        char name[40];
        snprintf(name, sizeof name, "the.same.beginning.%u", i * 7919u % MANY);
        gguffile_uint32(&f, name, i);
        gguffile_tensor(&f, name, DTYPE_FP32, 1, (const size_t[]){1}, NULL);
    }
    b = gguffile_bytes(&f);
    struct gguf *g = accept(&b);
    must_end(false);
    size_t value;
    assert_true(gguf_size(g, "the.same.beginning.7919", 0, MANY, MANY + 1, &value, NULL));
    assert_int_equal(value, 1);
    gguf_close(g);
    bytes_free(&b);
    gguffile_free(&f);
}

/* ---- split models ---------------------------------------------------------------------------- */

enum { PARTS = 3 };

static char *part_path(const char *stem, int number)
{
    char name[64];
    snprintf(name, sizeof name, "%s-%05d-of-%05d.gguf", stem, number + 1, PARTS);
    return path_in(folder, name);
}

/* What one part says of itself; the usual model has one tensor a part. */
struct part_spec {
    int number, count, total;
    const char *tensor;
};
static const struct part_spec usual_parts[PARTS] = {{0, 3, 3, "b"}, {1, 3, 3, "c"}, {2, 3, 3, "a"}};

static void write_part(const char *stem, int number, const struct part_spec *spec)
{
    struct gguffile f;
    gguffile_begin(&f, 3);
    gguffile_uint32(&f, "which", (uint32_t)number);
    gguffile_split(&f, (uint16_t)spec->number, (uint16_t)spec->count, spec->total);
    gguffile_tensor(&f, spec->tensor, DTYPE_FP32, 1, (const size_t[]){3}, NULL);
    struct bytes b = gguffile_bytes(&f);
    char *path = part_path(stem, number);
    write_file(path, b.data, b.size);
    free(path);
    bytes_free(&b);
    gguffile_free(&f);
}

static void write_parts(const char *stem)
{
    for (int i = 0; i < PARTS; i++)
        write_part(stem, i, &usual_parts[i]);
}

static void refuse_path(const char *path, const char *const *needles)
{
    struct error error = {"(no message)"};
    struct catalog c = {0};
    struct gguf *g = gguf_read(&c, path, &error);
    catalog_close(&c);
    if (g) {
        gguf_close(g);
        fail_msg("%s was read; expected a refusal", path);
    }
    check_error(&error, needles);
}

static void test_split(void **state)
{
    (void)state;
    write_parts("whole");
    for (int i = 0; i < PARTS; i++) {
        struct error error = {"(no message)"};
        struct catalog c = {0};
        size_t which = 9;
        char *path = part_path("whole", i);
        struct gguf *g = gguf_read(&c, path, &error);
        if (!g)
            fail_msg("%s", error.text);
        assert_int_equal(c.count, 3);
        assert_int_equal(c.file_count, 3);
        for (int k = 0; k < PARTS; k++)
            assert_non_null(catalog_find(&c, usual_parts[k].tensor));
        assert_string_equal(c.entries[0].name, "a");
        assert_true(gguf_size(g, "which", 0, 9, 9, &which, &error) && which == 0);
        free(path);
        gguf_close(g);
        catalog_close(&c);
    }
}

static void test_missing_part(void **state)
{
    (void)state;
    for (int missing = 0; missing < PARTS; missing++) {
        write_parts("holes");
        char *gone = part_path("holes", missing), *path = part_path("holes", (missing + 1) % PARTS);
        char which[24], said[40];
        snprintf(which, sizeof which, "part %d of 3", missing + 1);
        snprintf(said, sizeof said, "holes-0000%d-of-00003.gguf", missing + 1);
        remove(gone);
        refuse_path(path, WORDS(which, said, "No such file"));
        free(gone);
        free(path);
    }
}

static void test_parts_that_disagree(void **state)
{
    (void)state;
    static const struct {
        int number; /* of the part that is wrong; part 1 is opened */
        struct part_spec spec;
        const char *said[3];
    } cases[] = {
        {1, {1, 4, 3, "c"}, {"-00002-of-", "split.count = 4", "3"}},
        {1, {2, 3, 3, "c"}, {"-00002-of-", "split.no = 2", "1"}},
        {2, {2, 3, 4, "a"}, {"-00003-of-", "split.tensors.count"}},
        {2, {2, 3, 3, "b"}, {"'b'", "twice"}},
        {1, {3, 3, 3, "c"}, {"-00002-of-", "split.no' = 3", "less than split.count"}},
        {1, {1, 3, -1, "c"}, {"-00002-of-", "split.tensors.count", "-1"}},
        {0, {0, 2, 3, "b"}, {"part 1 of 2", "-00001-of-00002.gguf"}},
        {0, {1, 3, 3, "b"}, {"part 2 of 3", "-00002-of-00003.gguf"}},
        {0, {0, 0, 3, "b"}, {"split.count' = 0", "1 to"}},
        {0, {0, 1, 3, "b"}, {"split.tensors.count", "3", "1"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const *said = cases[i].said;
        char *path = part_path("odd", 0);
        write_parts("odd");
        write_part("odd", cases[i].number, &cases[i].spec);
        refuse_path(path, WORDS(said[0], said[1], said[1] ? said[2] : NULL));
        free(path);
    }
}

static void test_total_of_tensors(void **state)
{
    (void)state;
    for (int i = 0; i < PARTS; i++) {
        struct part_spec spec = usual_parts[i];
        spec.total = 5;
        write_part("total", i, &spec);
    }
    char *path = part_path("total", 1);
    refuse_path(path, WORDS("split.tensors.count", "5", "3 tensors"));
    free(path);
}

static void test_renamed_part(void **state)
{
    (void)state;
    write_parts("named");
    char *path = part_path("named", 1), *other = path_in(folder, "x.gguf");
    assert_int_equal(rename(path, other), 0);
    refuse_path(other, WORDS("x.gguf", "part 2 of 3", "-00002-of-00003.gguf"));
    free(path);
    free(other);
}

static void test_spoilt_part(void **state)
{
    (void)state;
    write_parts("spoilt");
    char *path = part_path("spoilt", 2), *named = part_path("spoilt", 0);
    write_file(path, "GGUF\x09\0\0\0", 8);
    refuse_path(named, WORDS("part 3 of 3", "spoilt-00003-of-00003.gguf", "version = 9"));
    refuse_path(path, WORDS("spoilt-00003-of-00003.gguf", "version = 9"));
    refuse_path(folder, WORDS("directory"));
    free(path);
    free(named);
}

/* ---- catalogs -------------------------------------------------------------------------------- */

static void test_entry_bytes(void **state)
{
    (void)state;
    size_t n = 0;
    assert_true(entry_bytes(DTYPE_FP32, 0, NULL, &n) && n == 4);
    assert_true(entry_bytes(DTYPE_BF16, 3, (const size_t[]){2, 3, 5}, &n) && n == 60);
    assert_true(entry_bytes(DTYPE_Q6_K, 2, (const size_t[]){3, 512}, &n) && n == 3 * 2 * 210);
    assert_false(entry_bytes(DTYPE_Q6_K, 2, (const size_t[]){256, 3}, &n));
    assert_false(entry_bytes(DTYPE_Q8_0, 0, NULL, &n));
    assert_true(entry_bytes(DTYPE_FP32, 2, (const size_t[]){4, 0}, &n) && n == 0);
    assert_true(entry_bytes(DTYPE_FP32, 2, (const size_t[]){0, 4}, &n) && n == 0);
    assert_false(entry_bytes(DTYPE_FP32, 2, (const size_t[]){1ull << 32, 1ull << 32}, &n));
    assert_false(entry_bytes(DTYPE_FP32, 1, (const size_t[]){1ull << 62}, &n));
    assert_true(entry_bytes(DTYPE_FP16, 1, (const size_t[]){1ull << 62}, &n) && n == 1ull << 63);
}

static void test_catalog(void **state)
{
    (void)state;
    struct catalog c = {0};
    struct error error = {"(no message)"};
    struct entry e = {.dtype = DTYPE_FP32, .bytes = 4};
    for (int i = 0; i < 200; i++) {
        char name[24];
        int n = snprintf(name, sizeof name, "t%d", i * 37 % 200);
        e.bytes = (size_t)(i * 37 % 200);
        assert_true(catalog_add(&c, &e, name, (size_t)n, &error));
    }
    assert_true(catalog_sort(&c, &error));
    assert_int_equal(catalog_find(&c, "t123")->bytes, 123);
    assert_null(catalog_find(&c, "t200"));
    assert_false(catalog_add(&c, &e, "a\0b", 3, &error));
    check_error(&error, WORDS("'a...'", "NUL"));
    assert_true(catalog_add(&c, &e, "t7\x1b[31m", 7, &error));
    assert_true(catalog_add(&c, &e, "t7\x1b[31m", 7, &error));
    assert_false(catalog_sort(&c, &error));
    check_error(&error, WORDS("t7", "twice"));
    catalog_close(&c);
    assert_null(catalog_map(&c, folder, &error));
    check_error(&error, WORDS("directory"));
    catalog_close(&c);
}

/* ---- files that other programs wrote --------------------------------------------------------- */

struct real {
    const char *path;
    size_t tensors;
    const char *tensor; /* null: a vocabulary */
    enum dtype dtype;
    size_t rows, cols;
    size_t tokens;
};

static const struct real reals[] = {
    {"models/stories260K.gguf", 48, "blk.4.ffn_down.weight", DTYPE_FP32, 64, 172, 512},
    {"models/stories260K-F16.gguf", 48, "token_embd.weight", DTYPE_FP16, 512, 64, 512},
    {"models/stories260K-BF16.gguf", 48, "blk.0.attn_k.weight", DTYPE_BF16, 32, 64, 512},
    {"reference/gguf/rand256-f16.gguf", 21, "blk.0.attn_q.weight", DTYPE_FP16, 256, 256, 0},
    {"reference/gguf/rand256-Q8_0.gguf", 21, "blk.0.attn_q.weight", DTYPE_Q8_0, 256, 256, 0},
    {"reference/gguf/rand256-Q4_0.gguf", 21, "blk.0.attn_q.weight", DTYPE_Q4_0, 256, 256, 0},
    {"reference/gguf/rand256-Q5_1.gguf", 21, "blk.0.attn_q.weight", DTYPE_Q5_1, 256, 256, 0},
    {"reference/gguf/rand256-Q4_K.gguf", 21, "blk.0.attn_q.weight", DTYPE_Q4_K, 256, 256, 0},
    {"reference/gguf/rand256-Q6_K.gguf", 21, "blk.0.attn_q.weight", DTYPE_Q6_K, 256, 256, 0},
    {"reference/gguf/rand256-IQ4_NL.gguf", 21, "blk.0.attn_q.weight", DTYPE_IQ4_NL, 256, 256, 0},
    {"vocab/ggml-vocab-gpt-2.gguf", 0, NULL, DTYPE_FP32, 0, 0, 50257},
    {"vocab/ggml-vocab-llama-spm.gguf", 0, NULL, DTYPE_FP32, 0, 0, 32000},
};

static void check_real(const struct real *real, const char *path)
{
    struct error error = {"(no message)"};
    struct catalog c = {0};
    struct gguf_array tokens;
    struct gguf_text arch;
    struct gguf *g = gguf_read(&c, path, &error);
    if (!g)
        fail_msg("%s", error.text);
    assert_int_equal(c.count, real->tensors);
    if (real->tensor) {
        const struct entry *e = catalog_find(&c, real->tensor);
        assert_non_null(e);
        assert_int_equal(e->dtype, real->dtype);
        assert_int_equal(e->dimensions, 2);
        assert_int_equal(e->shape[0], real->rows);
        assert_int_equal(e->shape[1], real->cols);
    }
    assert_true(gguf_string(g, "general.architecture", &arch, &error) && arch.size > 0);
    assert_true(gguf_array(g, "tokenizer.ggml.tokens", GGUF_STRING, &tokens, &error));
    if (real->tokens)
        assert_int_equal(tokens.count, real->tokens);
    gguf_close(g);
    catalog_close(&c);
}

static void test_real_files(void **state)
{
    (void)state;
    if (!shared_folder()) {
        fprintf(stderr, "skipped: GGUF files of other programs (QTOP_SHARED names their folder)\n");
        return;
    }
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        char *path = path_in(shared_folder(), reals[i].path);
        check_real(&reals[i], path);
        free(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_wrong_types),
        cmocka_unit_test(test_odd_numbers),
        cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_every_dtype),
        cmocka_unit_test(test_doubles),
        cmocka_unit_test(test_doubles_beyond),
        cmocka_unit_test(test_mutations),
        cmocka_unit_test(test_truncated_at_every_byte),
        cmocka_unit_test(test_tensor_types),
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_long_key),
        cmocka_unit_test(test_sum_of_sizes_wraps),
        cmocka_unit_test(test_empty_files),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_missing_part),
        cmocka_unit_test(test_parts_that_disagree),
        cmocka_unit_test(test_total_of_tensors),
        cmocka_unit_test(test_renamed_part),
        cmocka_unit_test(test_spoilt_part),
        cmocka_unit_test(test_entry_bytes),
        cmocka_unit_test(test_catalog),
        cmocka_unit_test(test_real_files),
    };
    return cmocka_run_group_tests_name("gguf", tests, make_folder, remove_folder);
}

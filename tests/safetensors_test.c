/* safetensors files, their indexes and folders: valid, wrong, cut short. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "folderwork.h"
#include "weightcheck.h"
#include "weightfile.h"

#include "formats/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- valid files ----------------------------------------------------------------------------- */

static void test_types(void **state)
{
    (void)state;
    char *path = weights_path("types.safetensors");
    struct catalog c = accept_read(safetensors_read, path);
    assert_int_equal(c.count, 8); /* the masks and positions of GPT-2 are not among them */
    check_entry(&c, "weight.fp32", DTYPE_FP32, "3 5");
    check_entry(&c, "weight.fp16", DTYPE_FP16, "3 5");
    check_entry(&c, "weight.bf16", DTYPE_BF16, "3 5");
    check_entry(&c, "weight.fp8e4m3", DTYPE_FP8E4M3, "3 5");
    check_entry(&c, "weight.fp8e5m2", DTYPE_FP8E5M2, "3 5");
    check_entry(&c, "scalar", DTYPE_FP32, "");
    check_entry(&c, "four", DTYPE_FP32, "2 1 3 2");
    check_entry(&c, "na\xc3\xafve/\xe5\x90\x8d", DTYPE_FP32, "2");
    catalog_close(&c);
    free(path);
}

static void test_parts(void **state)
{
    (void)state;
    static const char *const names[] = {"parts", "parts/", "parts/model.safetensors.index.json"};
    for (size_t i = 0; i < 3; i++) {
        char *path = weights_path(names[i]);
        struct catalog c = accept_read(safetensors_read, path);
        assert_int_equal(c.count, 3);
        assert_int_equal(c.file_count, 2);
        check_entry(&c, "a.weight", DTYPE_FP32, "2 3");
        check_entry(&c, "b.weight", DTYPE_FP32, "2 3");
        check_entry(&c, "c.weight", DTYPE_FP32, "2 3");
        catalog_close(&c);
        free(path);
    }
}

static void test_probe(void **state)
{
    (void)state;
    struct bytes b = safetensors_bytes("{}", 0);
    assert_true(safetensors_probe(b.data, b.size));
    assert_false(safetensors_probe(b.data, 8));
    b.data[8] = '[';
    assert_false(safetensors_probe(b.data, b.size));
    assert_false(safetensors_probe((const uint8_t *)"GGUF\3\0\0\0{\"a\":", 12));
    bytes_free(&b);
}

/* ---- headers --------------------------------------------------------------------------------- */

#define VALID                                                                                      \
    "{\"__metadata__\":{\"format\":\"pt\"},"                                                       \
    "\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"                           \
    "\"b\":{\"dtype\":\"F16\",\"shape\":[4],\"data_offsets\":[24,32]}}  "
enum { PAYLOAD = 32 };

static void test_valid_header(void **state)
{
    (void)state;
    struct bytes b = safetensors_bytes(VALID, PAYLOAD);
    struct catalog c = {0};
    struct error error;
    assert_true(safetensors_parse(&c, b.data, b.size, &error));
    assert_int_equal(c.count, 2);
    catalog_close(&c);
    refuse_prefixes(safetensors_parse, &b);
    mutate_span(safetensors_parse, &b, 20000, 1);
    bytes_free(&b);
}

static const struct {
    const char *from, *to, *says;
} header_cases[] = {
    {"{\"__meta", "[{\"__meta", "'{'"},
    {"32]}}", "32]}", "not JSON"},
    {"}}  ", "}} x", "not JSON"},
    {"}}  ", "}}{}", "not JSON"},
    {"\"b\":", "\"a\":", "duplicate"},
    {"\"b\":", "\"\":", "name has 0 bytes"},
    {"\"b\":", "\"\xff\":", "not JSON"},
    {"\"b\":", "\"\xc0\x80\":", "not JSON"},
    {"\"b\":", "\"b\\u0000\":", "not JSON"},
    {"\"b\":", "\"\\ud800\":", "not JSON"},
    {"\"pt\"", "1", "__metadata__: format is an integer"},
    {"{\"format\":\"pt\"}", "[]", "__metadata__ is a list"},
    {"{\"dtype\":\"F16\",\"shape\":[4],\"data_offsets\":[24,32]}", "7", "b: is an integer"},
    {"\"dtype\":\"F16\",", "", "b: dtype is nothing"},
    {"\"F16\"", "16", "b: dtype is an integer"},
    {"\"F16\"", "\"F15\"", "b: dtype is 'F15'"},
    {"\"F16\"", "\"I16\"", "b: dtype is I16"},
    {"\"F16\"", "\"\\u001b[2J\"", "b: dtype is '"},
    {"\"dtype\":\"F16\"", "\"dtype\":\"F16\",\"x\":1", "b: has a key 'x'"},
    {"\"shape\":[4],", "", "b: shape is nothing"},
    {"[4]", "{}", "b: shape is an object"},
    {"[4]", "[0]", "b: data_offsets span 8 bytes; shape and dtype F16 ask for 0"},
    {"[4]", "[-4]", "b: shape: dimension 0 is -4"},
    {"[4]", "[4.0]", "b: shape: dimension 0 is a fraction"},
    {"[4]", "[true]", "b: shape: dimension 0 is a truth value"},
    {"[4]", "[1e400]", "not JSON"},
    {"[4]", "[18446744073709551615]", "not JSON"},
    {"[4]", "[4294967296,4294967296]", "b: shape overflows"},
    {"[4]", "[9223372036854775807,2]", "b: shape overflows"},
    {"[4]", "[4611686018427387904,2]", "b: shape overflows"},
    {"[4]", "[1,1,1,1,1,4]", "b: shape has 6 dimensions"},
    {"[4]", "[5]", "b: data_offsets span 8 bytes; shape and dtype F16 ask for 10"},
    {"[4]", "[[4]]", "nested 4 deep"},
    {",\"data_offsets\":[24,32]", "", "b: data_offsets is not a list of two"},
    {"[24,32]", "[24]", "b: data_offsets is not a list of two"},
    {"[24,32]", "[24,32,40]", "b: data_offsets is not a list of two"},
    {"[24,32]", "[24,32.5]", "b: data_offsets[1] is a fraction"},
    {"[24,32]", "[24,1e400]", "not JSON"},
    {"[24,32]", "[-24,32]", "b: data_offsets[0] = -24"},
    {"[24,32]", "[24,33]", "b: data_offsets[1] = 33; expected 0 to 32"},
    {"[24,32]", "[32,24]", "b: data_offsets: begin 32 is after end 24"},
    {"[24,32]", "[\"24\",32]", "b: data_offsets[0] is a string"},
    {"[24,32]", "[23,31]", "b: data_offsets begin at 23, inside"},
    {"[2,3],\"data_offsets\":[0,24]", "[5],\"data_offsets\":[0,20]", "with a hole after"},
    {"[2,3],\"data_offsets\":[0,24]", "[5],\"data_offsets\":[4,24]", "a: data_offsets begin at 4"},
    {"[4],\"data_offsets\":[24,32]", "[3],\"data_offsets\":[24,30]", "2 bytes follow the last"},
};

static void test_header_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof header_cases / sizeof *header_cases; i++) {
        char *header = replaced(VALID, header_cases[i].from, header_cases[i].to);
        struct bytes b = safetensors_bytes(header, PAYLOAD);
        refuse_span(safetensors_parse, b.data, b.size, header_cases[i].says);
        bytes_free(&b);
        free(header);
    }
}

static void test_header_length(void **state)
{
    (void)state;
    static const struct {
        uint64_t length;
        const char *says;
    } cases[] = {{0, "header length = 0; expected 2 to"},
                 {1, "header length = 1; expected 2 to"},
                 {100000001, "header length = 100000001; expected 2 to"},
                 {UINT64_MAX, "header length = 18446744073709551615; expected 2 to"},
                 {UINT64_MAX - 7, "header length = 18446744073709551608; expected 2 to"},
                 {1u << 20, "bytes follow"}};
    struct bytes b = safetensors_bytes(VALID, PAYLOAD);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memcpy(b.data, &cases[i].length, 8);
        refuse_span(safetensors_parse, b.data, b.size, cases[i].says);
    }
    refuse_span(safetensors_parse, b.data, 7, "7 bytes; expected at least 8");
    bytes_free(&b);
}

/* A header of one text many times. */
static void refuse_bulk(const char *begin, const char *text, size_t times, const char *says)
{
    size_t n = strlen(text), size = strlen(begin) + times * n + 1;
    char *header = malloc(size), *at = header + sprintf(header, "%s", begin);
    for (size_t i = 0; i < times; i++, at += n)
        memcpy(at, text, n + 1);
    struct bytes b = safetensors_bytes(header, 0);
    refuse_span(safetensors_parse, b.data, b.size, says);
    bytes_free(&b);
    free(header);
}

static void test_bulk(void **state)
{
    (void)state;
    refuse_bulk("{\"a\":", "[", 100000, "nested 4 deep");
    refuse_bulk("", "{\"a\":", 100000, "nested 4 deep");
    refuse_bulk("{\"a\":[", "{}", 100000, "100002 lists and objects");
    refuse_bulk("{\"a\":[", "0,", 100000, "commas");
    refuse_bulk("{\"a\":\"", "[\\\"", 100000, "not JSON"); /* brackets in a string are text */
}

/* ---- what is left out ------------------------------------------------------------------------ */

static void test_buffers(void **state)
{
    (void)state;
    static const struct {
        const char *name, *type, *shape;
        size_t bytes;
        bool kept, refused;
    } cases[] = {
        {"h.0.attn.bias", "U8", "1,1,2,2", 4, false, false},
        {"h.0.attn.bias", "F32", "1,1,2,2", 16, false, false},
        {"h.0.attn.bias", "F32", "4", 16, true, false}, /* a bias indeed */
        {"h.0.attn.bias", "U8", "4", 4, true, false}, /* bytes: a part of a tensor, perhaps */
        {"h.0.attn.bias", "I8", "4", 4, false, true},
        {"h.0.attn.masked_bias", "F32", "", 4, false, false},
        {"gpt_neox.layers.0.attention.bias", "BOOL", "1,1,2,2", 4, false, false},
        {"model.layers.0.self_attn.rotary_emb.inv_freq", "F32", "4", 16, false, false},
        {"embeddings.position_ids", "I64", "1,2", 16, false, false},
        {"wte.weight", "I8", "4", 4, false, true},
        {"wte.weight", "F64", "2", 16, true, false}, /* rounded */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char header[256];
        snprintf(header, sizeof header,
                 "{\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[0,%zu]}}",
                 cases[i].name, cases[i].type, cases[i].shape, cases[i].bytes);
        struct bytes b = safetensors_bytes(header, cases[i].bytes);
        struct catalog c = {0};
        struct error error;
        assert_int_equal(safetensors_parse(&c, b.data, b.size, &error), !cases[i].refused);
        assert_int_equal(c.count, cases[i].kept);
        if (cases[i].refused)
            check_line(&error, cases[i].name);
        catalog_close(&c);
        bytes_free(&b);
    }
}

/* ---- indexes --------------------------------------------------------------------------------- */

static void write_in(const char *name, const void *data, size_t size)
{
    char *path = path_in(folder, name);
    write_file(path, data, size);
    free(path);
}

static void write_part(const char *name, const char *header, size_t payload)
{
    struct bytes b = safetensors_bytes(header, payload);
    write_in(name, b.data, b.size);
    bytes_free(&b);
}

#define ONE(name) "{\"" name "\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,4]}}"
#define MASK "{\"h.attn.bias\":{\"dtype\":\"U8\",\"shape\":[1,1,2,2],\"data_offsets\":[0,4]}}"

static const struct {
    const char *index, *says; /* says null: accepted */
} index_cases[] = {
    {"{\"weight_map\":{\"a\":\"1\",\"b\":\"2\"}}", NULL},
    {"{\"metadata\":{\"x\":[1]},\"weight_map\":{\"b\":\"2\"}}", NULL},
    {"{\"weight_map\":{\"a\":\"1\",\"h.attn.bias\":\"3\"}}", NULL},
    {"{\"weight_map\":{\"a\":\"2\"}}", "weight_map: a is not in 2"},
    {"{\"weight_map\":{\"a\":\"2\",\"b\":\"1\"}}", "weight_map: "},
    {"{\"weight_map\":{\"a\":\"1\",\"c\":\"1\"}}", "weight_map: c is not in 1"},
    {"{\"weight_map\":{\"a\":\"1\",\"a\":\"1\"}}", "duplicate"},
    {"{\"weight_map\":{\"a\":\"1\",\"b\":\"4\"}}", "twice"}, /* 4 has an a as well */
    {"{\"weight_map\":{\"h.attn.bias\":\"3\"}}", "holds no weights"},
    {"{\"weight_map\":{\"a\":\"absent\"}}", "/absent: "},
    {"{\"weight_map\":{\"a\":\"../1\"}}", "weight_map: a is in '../1'"},
    {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "weight_map: a is in '/etc/passwd'"},
    {"{\"weight_map\":{\"a\":\"./1\"}}", "weight_map: a is in './1'"},
    {"{\"weight_map\":{\"a\":\"..\"}}", "weight_map: a is in '..'"},
    {"{\"weight_map\":{\"a\":\".\"}}", "weight_map: a is in '.'"},
    {"{\"weight_map\":{\"a\":\"\"}}", "weight_map: a is in ''"},
    {"{\"weight_map\":{\"a\":\"1\\u0000\"}}", "not JSON"},
    {"{\"weight_map\":{\"a\":1}}", "weight_map: a is an integer"},
    {"{\"weight_map\":{}}", "weight_map: is empty"},
    {"{\"weight_map\":[]}", "weight_map: is a list"},
    {"{}", "weight_map: is nothing"},
    {"[]", "index: is a list"},
    {"{", "not JSON"},
    {"[[[[[[[[[", "nested 9 deep"},
    {"{\"weight_map\":{\"a\":\"i.json\"}}", "i.json: safetensors"},
};

static void test_index_cases(void **state)
{
    (void)state;
    write_part("1", ONE("a"), 4);
    write_part("2", ONE("b"), 4);
    write_part("3", MASK, 4);
    write_part("4", "{\"a\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,2]},"
                    "\"b\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[2,4]}}", 4);
    char *path = path_in(folder, "i.json");
    for (size_t i = 0; i < sizeof index_cases / sizeof *index_cases; i++) {
        write_file(path, index_cases[i].index, strlen(index_cases[i].index));
        if (index_cases[i].says) {
            refuse_read(safetensors_read, path, index_cases[i].says);
        } else {
            struct catalog c = accept_read(safetensors_read, path);
            catalog_close(&c);
        }
    }
    free(path);
}

static void test_large_index(void **state)
{
    (void)state;
    char *path = path_in(folder, "large.json");
    write_file(path, "{", 1);
    assert_int_equal(truncate(path, 100000001), 0); /* the rest is a hole */
    refuse_read(safetensors_read, path, "index: 100000001 bytes; expected at most 100000000");
    free(path);
}

static void test_long_name(void **state)
{
    (void)state;
    char header[400], name[258] = "";
    for (size_t n = 256; n <= 257; n++) {
        memset(name, 'n', n);
        snprintf(header, sizeof header,
                 "{\"%s\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,2]}}", name);
        struct bytes b = safetensors_bytes(header, 4);
        refuse_span(safetensors_parse, b.data, b.size,
                    n == 256 ? ": data_offsets span 2 bytes" : "name has 257 bytes");
        bytes_free(&b);
    }
}

static void test_paths(void **state)
{
    (void)state;
    char *inner = path_in(folder, "inner"), *fifo = path_in(inner, "model.safetensors");
    refuse_read(safetensors_read, inner, "No such file");
    assert_int_equal(mkdir(inner, 0700), 0);
    refuse_read(safetensors_read, inner,
                "holds neither model.safetensors nor model.safetensors.index");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    refuse_read(safetensors_read, inner, "is a FIFO");
    assert_int_equal(remove(fifo), 0);
    write_file(fifo, "", 0);
    refuse_read(safetensors_read, inner, "is empty");
    struct bytes b = safetensors_bytes("{}", 0);
    write_file(fifo, b.data, b.size);
    refuse_read(safetensors_read, inner, "holds no weights");
    bytes_free(&b);
    char *integers = weights_path("integers.safetensors");
    refuse_read(safetensors_read, integers,
                "integers.safetensors: safetensors header: ids: dtype is I64");
    free(integers);
    free(fifo);
    free(inner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_probe),        cmocka_unit_test(test_valid_header),
        cmocka_unit_test(test_header_cases), cmocka_unit_test(test_header_length),
        cmocka_unit_test(test_bulk),         cmocka_unit_test(test_buffers),
        cmocka_unit_test(test_index_cases),  cmocka_unit_test(test_paths),
        cmocka_unit_test(test_large_index),  cmocka_unit_test(test_long_name),
    };
    return cmocka_run_group_tests_name("safetensors", tests, make_folder, remove_folder);
}

/* PyTorch's state dictionaries: files that torch wrote, pickles that are wrong. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "weightcheck.h"
#include "weightfile.h"

#include "formats/pickle.h"
#include "formats/unpickle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- files that torch wrote ------------------------------------------------------------------ */

static struct catalog accept_file(const char *name)
{
    char *path = weights_path(name);
    struct catalog c = accept_read(pickle_read, path);
    free(path);
    return c;
}

static void test_state(void **state)
{
    (void)state;
    struct catalog c = accept_file("state.pt");
    assert_int_equal(c.count, 6);
    check_entry(&c, "wte.weight", DTYPE_FP32, "4 3");
    check_entry(&c, "norm.weight", DTYPE_FP16, "3");
    check_entry(&c, "norm.bias", DTYPE_FP16, "3");
    check_entry(&c, "up.weight", DTYPE_BF16, "2 3");
    check_entry(&c, "up.bias", DTYPE_BF16, "2");
    assert_ptr_equal(catalog_find(&c, "lm_head.weight")->data,
                     catalog_find(&c, "wte.weight")->data);
    catalog_close(&c);
}

static void test_plain(void **state)
{
    (void)state;
    struct catalog c = accept_file("plain.pt");
    assert_int_equal(c.count, 4); /* the masks and positions of GPT-2 are not among them */
    check_entry(&c, "parameter", DTYPE_FP32, "2 2");
    check_entry(&c, "view", DTYPE_FP32, "2 3");
    check_entry(&c, "one.row", DTYPE_FP32, "1 3");
    check_entry(&c, "scalar", DTYPE_FP32, "");
    catalog_close(&c);
}

static void test_doubles(void **state)
{
    (void)state;
    struct catalog c = accept_file("double.pt");
    assert_int_equal(c.rounded, 1);
    check_entry(&c, "wide", DTYPE_FP32, "2");
    catalog_close(&c);
}

static void test_parts(void **state)
{
    (void)state;
    static const char *const names[] = {"torch_parts", "torch_parts/pytorch_model.bin.index.json"};
    for (size_t i = 0; i < 2; i++) {
        struct catalog c = accept_file(names[i]);
        assert_int_equal(c.count, 3);
        check_entry(&c, "a.weight", DTYPE_FP32, "2 3");
        check_entry(&c, "b.weight", DTYPE_FP32, "2 3");
        check_entry(&c, "c.weight", DTYPE_FP32, "2 3");
        catalog_close(&c);
    }
}

static void test_refused_files(void **state)
{
    (void)state;
    static const struct {
        const char *name, *says;
    } cases[] = {
        {"legacy.pt", "legacy.pt: is of torch before 1.6, without an archive; load it and save it"},
        {"transposed.pt", "turned: its strides are not row-major"},
        {"nested.pt", "model is a dictionary; expected a tensor"},
        {"fraction.pt", "opcode 0x47 (BINFLOAT)"},
        {"fp8.pt", "global torch._utils._rebuild_tensor_v3"},
        {"module.pt", "global torch.nn.modules.linear.Linear"},
        {"list.pt", "the file's value is a list"},
        {"types.safetensors", "does not begin with a ZIP entry"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = weights_path(cases[i].name);
        refuse_read(pickle_read, path, cases[i].says);
        free(path);
    }
}

static void test_changed_files(void **state)
{
    (void)state;
    static const char *const names[] = {"state.pt", "plain.pt"};
    for (size_t i = 0; i < 2; i++) {
        char *path = weights_path(names[i]);
        struct bytes b = read_file(path);
        assert_true(pickle_probe(b.data, b.size));
        refuse_prefixes(pickle_parse, &b);
        mutate_span(pickle_parse, &b, 20000, i);
        bytes_free(&b);
        free(path);
    }
}

static void test_probe(void **state)
{
    (void)state;
    char *path = weights_path("legacy.pt");
    struct bytes b = read_file(path);
    assert_true(pickle_probe(b.data, b.size));
    assert_false(pickle_probe(b.data, 13));
    assert_false(pickle_probe((const uint8_t *)"PK\3", 3));
    assert_false(pickle_probe((const uint8_t *)"PK\5\6", 4));
    bytes_free(&b);
    free(path);
}

/* ---- pickles --------------------------------------------------------------------------------- */

static void test_valid_words(void **state)
{
    (void)state;
    for (int wide = 0; wide < 2; wide++) {
        struct archive_bytes a = torch_bytes(pickle_words, 6, wide);
        struct catalog c = {0};
        struct error error = {""};
        if (!pickle_parse(&c, a.file.data, a.file.size, &error))
            fail_msg("%s", error.text);
        assert_int_equal(c.count, 1);
        assert_int_equal(c.entries[0].bytes, 24);
        assert_string_equal(c.entries[0].name, "w");
        catalog_close(&c);
        refuse_prefixes(pickle_parse, &a.file);
        mutate_span(pickle_parse, &a.file, 20000, 7);
        bytes_free(&a.file);
    }
}

#define TENSOR "@torch._utils:_rebuild_tensor_v2 ( "
static const struct {
    const char *from, *to, *says; /* says null: accepted */
} pickle_cases[] = {
    /* What other writers of the same do. */
    {"u .", "s .", "takes 3 values where the stack has 2"},
    {"( :w", ":w", "closes a list that no mark began"},
    {"} >0", "@collections:OrderedDict ) R >0", NULL},
    {"u .", "u } :_metadata } s b .", NULL},
    {"u .", "u ] N a ( #1 #2 e 0 .", "(POP)"},
    {"#0 #2", "K x00 #2", NULL},
    {"#0 #2", "M x00 x00 #2", NULL},
    {"#0 #2", "x8a x00 #2", NULL},
    {"#0 #2", "x8a x02 x00 x00 #2", NULL},
    {"x89", "x88", NULL},
    {"#3 #1 x86", "( #3 #1 t", NULL},
    {">0", "r x00 x00 x00 x00", NULL},
    {"@collections:OrderedDict ) R t", "@collections:OrderedDict ) R N t", NULL},

    /* Opcodes and globals that are not run. */
    {":0 :cpu", "U x01 0 :cpu", "opcode 0x55 (SHORT_BINSTRING)"},
    {"x89", "xff", "opcode 0xff (unknown)"},
    {"x80 x02", "x80 x04", "protocol = 4; expected 2"},
    {"x80 x02", "x80 x05", "protocol = 5; expected 2"},
    {"x80 x02", "", "begins without PROTO"},
    {"@torch._utils:_rebuild_tensor_v2", "@os:system", "global os.system"},
    {"@torch._utils:_rebuild_tensor_v2", "@builtins:eval", "global builtins.eval"},
    {"@torch._utils:_rebuild_tensor_v2", "@torch:load", "global torch.load"},
    {"@torch._utils:_rebuild_tensor_v2", "@torch._utils_rebuild_tensor_v2",
     "global torch._utils_rebuild"},
    {"u .", "u c o s", "a global's name has no end"},
    {"u .", "u c o x0a s", "a global's name has no end"},
    {"@torch:FloatStorage", "@torch:ComplexFloatStorage", "global torch.ComplexFloatStorage"},

    /* Calls that are not those of torch. */
    {"@torch._utils:_rebuild_tensor_v2", "@torch:FloatStorage", "calls FloatStorage"},
    {"@torch._utils:_rebuild_tensor_v2", "N", "calls None"},
    {"@torch._utils:_rebuild_tensor_v2", "@torch._utils:_rebuild_parameter",
     "_rebuild_parameter: part 0 is a storage; expected a tensor"},
    {"@torch:FloatStorage", "@collections:OrderedDict", "a storage's class is OrderedDict"},
    {"@torch:FloatStorage", ":FloatStorage", "part 1 is a string; expected a global"},
    {"OrderedDict ) R", "OrderedDict #1 x85 R", "OrderedDict is called with 1 arguments"},
    {"OrderedDict ) R", "OrderedDict ] R", "calls OrderedDict with a list; expected a tuple"},
    {"@collections:OrderedDict ) R t", "t", "_rebuild_tensor_v2 has 5 parts; expected 6"},
    {"@collections:OrderedDict ) R t", "N t", "part 5 is None; expected a dictionary"},
    {"x89", "N", "part 4 is None; expected a truth value"},
    {"#2 #3 x86", "#2", "part 2 is an integer; expected a tuple"},
    {"#3 #1 x86", "] ", "part 3 is a list; expected a tuple"},
    {"#0 #2", ":0 #2", "part 1 is a string; expected an integer"},
    {"t Q", "t", "part 0 is a tuple; expected a storage"},
    {"t Q", "t Q Q", "a persistent id is a storage"},
    {":storage", ":module", "a persistent id is of a 'module'"},
    {":cpu #6", ":cpu", "a persistent id has 4 parts; expected 5"},
    {":0 :cpu", "#0 :cpu", "part 2 is an integer; expected a string"},

    /* Tensors that are not in their storage. */
    {":0 :cpu", ":1 :cpu", "w: its storage 'data/1' is not in the archive"},
    {":0 :cpu", ": :cpu", "w: its storage 'data/' is not in the archive"},
    {"#6", "#5", "w: its storage 'data/0' has 24 bytes; 5 elements of FloatStorage"},
    {"#6", "#7", "w: its storage 'data/0' has 24 bytes; 7 elements"},
    {"#6", "#-6", "w: the storage's size is negative"},
    {"#6", "x8a x08 x06 x00 x00 x00 x00 x00 x00 x40", "w: its storage 'data/0' has 24 bytes"},
    {"#6", "x8a x09 x06 x00 x00 x00 x00 x00 x00 x00 x01", "an integer of 9 bytes"},
    {"#6", "x8a x01 xff", "w: the storage's size is negative"},
    {"FloatStorage", "HalfStorage", "6 elements of HalfStorage"},
    {"FloatStorage", "IntStorage", "w: is in a IntStorage"},
    {"#0 #2", "#1 #2", "w: 6 elements from 1 on; its storage has 6"},
    {"#0 #2", "#-1 #2", "w: the storage offset is negative"},
    {"#0 #2", "#7 #2", "w: 6 elements from 7 on"},
    {"#2 #3 x86", "#2 #4 x86", "w: 8 elements from 0 on"},
    {"#2 #3 x86", "#0 #3 x86", NULL},
    {"#2 #3 x86", "#-2 #3 x86", "w: shape is negative"},
    {"#2 #3 x86", ":2 #3 x86", "w: shape is a string"},
    {"#2 #3 x86", "x8a x08 x00 x00 x00 x00 x00 x00 x00 x40 #4 x86",
     "w: shape overflows"},
    {"#2 #3 x86", "#2 #3 #1 x87", "w: 3 dimensions and 2 strides"},
    {"#2 #3 x86 #3 #1 x86", "( #1 #1 #1 #1 #2 #3 t ( #6 #6 #6 #6 #3 #1 t", "w: shape has 6 dimensions"},
    {"#3 #1 x86", "#1 #2 x86", "w: its strides are not row-major"},
    {"#3 #1 x86", "#-3 #1 x86", "w: stride is negative"},
    {"#2 #3 x86 #3 #1 x86", "#1 #3 x86 #999 #1 x86", NULL}, /* the stride of one row is anything */

    /* Dictionaries that are not of tensors. */
    {":w", "#1", "a key is an integer; expected a tensor's name"},
    {":w", ":", "a tensor's name is empty or"},
    {":w", "X x02 x00 x00 x00 w x00", "a tensor's name is empty or contains a NUL"},
    {"R >1 u", "R >1 0 u", "opcode 0x30 (POP)"},
    {"R >1 u", "R >1 :v u", "gets 3 keys and values"},
    {"R >1 u", "R >1 :v N u", "v is None; expected a tensor"},
    {"R >1 u", "R >1 :v ) u", "v is a tuple; expected a tensor"},
    {"R >1 u", "R >1 :v } u", "v is a dictionary; expected a tensor"},
    {"R >1 u", "R >1 :v =1 u", NULL},
    {"} >0", "] >0", "an item for a list; expected a dictionary"},
    {"} >0", "} } >0", "2 values on the stack"},
    {"u .", "u", "needs 1 bytes where 0 follow"},
    {"u .", "u . .", "1 bytes follow STOP"},
    {"u .", "u ( .", "ends with 1 values"},
    {"u .", "u N b .", "sets attributes of a dictionary from None"},
    {"u .", "u ) } b .", "sets attributes of a tuple from a dictionary"},
    {"u .", "u x85 .", "the file's value is a tuple"},
    {"u .", "u a .", "takes 2 values where the stack has 1"},
    {"u .", "u #1 a .", "an item for a dictionary; expected a list"},

    /* The memo. */
    {"} >0", "} >0 =1", "memo number 1 was never put"},
    {"} >0", "} >1 =0", "memo number 0 was never put"},
    {"} >0", "} >2", "memo number 2; expected at most 1"},
    {"} >0", "} r xff xff xff xff", "memo number 4294967295"},
    {"x02 } >0", "x02 >0 } >0", "takes 1 values where the stack has 0"},
    {"} >0", "} >0 j x00 x00 x00", "memo number"},
};

static void test_pickle_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof pickle_cases / sizeof *pickle_cases; i++) {
        char *words = replaced(pickle_words, pickle_cases[i].from, pickle_cases[i].to);
        struct archive_bytes a = torch_bytes(words, 6, false);
        struct catalog c = {0};
        struct error error = {""};
        if (pickle_cases[i].says)
            refuse_span(pickle_parse, a.file.data, a.file.size, pickle_cases[i].says);
        else if (!pickle_parse(&c, a.file.data, a.file.size, &error))
            fail_msg("'%s' was refused: %s", words, error.text);
        catalog_close(&c);
        bytes_free(&a.file);
        free(words);
    }
}

static bool see_any(void *arg, const struct pickle_tensor *tensor, struct error *error)
{
    (void)error;
    *(size_t *)arg += tensor->dimensions;
    return true;
}

static void test_pickle_prefixes(void **state)
{
    (void)state;
    struct bytes b = pickle_bytes(pickle_words);
    size_t dimensions = 0;
    for (size_t n = 0; n <= b.size; n++) {
        struct error error = {"(no message)"};
        uint8_t *copy = malloc(n + 1);
        memcpy(copy + 1, b.data, n); /* so that the bytes end where the memory does */
        if (unpickle(copy + 1, n, see_any, &dimensions, &error) != (n == b.size))
            fail_msg("%zu of %zu bytes: %s", n, b.size, error.text);
        if (n < b.size)
            check_line(&error, "pickle at byte");
        free(copy);
    }
    bytes_free(&b);
}

/* ---- pickles that would fill the memory ------------------------------------------------------ */

static const struct {
    const char *before, *word;
    size_t times;
    const char *after, *says;
} bulk_cases[] = {
    {"x80 x02 ", "N R ", 1, ".", "takes 2 values where the stack has 1"},
    {"x80 x02 ", "N b ", 1, ".", "takes 2 values where the stack has 1"},
    {"x80 x02 ", "x86 ", 1, ".", "takes 2 values where the stack has 0"},
    {"x80 x02 ( ", "N t t ", 1, ".", "closes a list that no mark began"},
    {"x80 x02 ", ") ", 1, ".", "the file's value is a tuple"},
    {"x80 x02 } ", "( ", 100000, ".", "lists nested 64 deep"},
    {"x80 x02 } ", "N ", 100000, ".", "values on the stack; expected fewer"},
    {"x80 x02 } ", ") x85 x85 x85 ", 66000, ".", "values on the stack; expected fewer"},
    {"x80 x02 } N N N ", "x87 =0 =0 ", 20000, ".", "memo number 0 was never put"},
    {"x80 x02 ", "} ", 60000, ".", "60000 values"},
    {"x80 x02 } >0 ( :w " TENSOR, "( ", 100, ".", "nested 64 deep"},
};

static struct bytes bulk_bytes(size_t i)
{
    size_t n = strlen(bulk_cases[i].word);
    char *words = malloc(strlen(bulk_cases[i].before) + bulk_cases[i].times * n +
                         strlen(bulk_cases[i].after) + 1);
    char *at = words + sprintf(words, "%s", bulk_cases[i].before);
    for (size_t k = 0; k < bulk_cases[i].times; k++, at += n)
        memcpy(at, bulk_cases[i].word, n);
    strcpy(at, bulk_cases[i].after);
    struct bytes b = pickle_bytes(words);
    free(words);
    return b;
}

static void test_bulk(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bulk_cases / sizeof *bulk_cases; i++) {
        struct bytes b = bulk_bytes(i);
        size_t dimensions = 0;
        struct error error = {"(no message)"};
        assert_false(unpickle(b.data, b.size, see_any, &dimensions, &error));
        check_line(&error, bulk_cases[i].says);
        bytes_free(&b);
    }
}

/* One name and one tensor, put again and again. */
static void refuse_repeated(size_t name_size, size_t times, const char *says)
{
    static const char item[] = "=2 =1 ";
    size_t size = name_size + times * (sizeof item - 1) + 64;
    char *to = malloc(size), *at = to + sprintf(to, "R >1 :");
    memset(at, 'n', name_size);
    at += name_size;
    at += sprintf(at, " >2 =1 ");
    for (size_t i = 0; i < times; i++)
        at += sprintf(at, "%s", item);
    strcpy(at, "u");
    char *words = replaced(pickle_words, "R >1 u", to);
    struct archive_bytes a = torch_bytes(words, 6, false);
    refuse_span(pickle_parse, a.file.data, a.file.size, says);
    bytes_free(&a.file);
    free(words);
    free(to);
}

static void test_repeated_names(void **state)
{
    (void)state;
    refuse_repeated(1000, 64, "names have more bytes than the pickle");
    refuse_repeated(1, 400, "keeps more values");
}

/* Names of records that no archive of torch has. */
static void test_long_names(void **state)
{
    (void)state;
    char name[2001], to[2100];
    memset(name, '0', 2000);
    name[2000] = '\0';
    snprintf(to, sizeof to, ":%s :cpu", name);
    char *words = replaced(pickle_words, ":0 :cpu", to);
    struct archive_bytes a = torch_bytes(words, 6, false);
    refuse_span(pickle_parse, a.file.data, a.file.size, "is not in the archive");
    bytes_free(&a.file);
    free(words);

    struct bytes pickle = pickle_bytes(pickle_words);
    snprintf(to, sizeof to, "%s/data.pkl", name);
    a = zip_bytes((struct zip_item[]){{to, pickle}}, 1, false);
    refuse_span(pickle_parse, a.file.data, a.file.size, "w: its storage 'data/0' is not in the");
    bytes_free(&a.file);
    bytes_free(&pickle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_state),          cmocka_unit_test(test_plain),
        cmocka_unit_test(test_doubles),
        cmocka_unit_test(test_parts),          cmocka_unit_test(test_refused_files),
        cmocka_unit_test(test_changed_files),  cmocka_unit_test(test_probe),
        cmocka_unit_test(test_valid_words),    cmocka_unit_test(test_pickle_cases),
        cmocka_unit_test(test_pickle_prefixes), cmocka_unit_test(test_bulk),
        cmocka_unit_test(test_repeated_names), cmocka_unit_test(test_long_names),
    };
    return cmocka_run_group_tests_name("pickle", tests, NULL, NULL);
}

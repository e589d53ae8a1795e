/* GPT-2 checkpoints of llm.c: valid, wrong, cut short. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "weightcheck.h"

#include "formats/llmc.h"

#include <stdlib.h>
#include <string.h>

static struct llmc hyper;

static bool parse(struct catalog *catalog, const uint8_t *data, size_t size, struct error *error)
{
    return llmc_parse(catalog, data, size, &hyper, error);
}

static bool read_path(struct catalog *catalog, const char *path, struct error *error)
{
    return llmc_read(catalog, path, &hyper, error);
}

static struct bytes valid_bytes(void)
{
    char *path = weights_path("gpt2_bf16.bin");
    struct bytes b = read_file(path);
    assert_non_null(b.data);
    free(path);
    return b;
}

/* ---- valid files ----------------------------------------------------------------------------- */

/* Every tensor of the fixture is one run of values over all that the file stores of it in a
 * layer. */
static void test_entries(void **state)
{
    (void)state;
    char *path = weights_path("gpt2_bf16.bin");
    struct catalog c = accept_read(read_path, path);
    assert_int_equal(hyper.context, 3);
    assert_int_equal(hyper.vocab, 5);
    assert_int_equal(hyper.layers, 2);
    assert_int_equal(hyper.heads, 2);
    assert_int_equal(hyper.channels, 4);
    assert_int_equal(c.count, 4 + 2 * 12);
    check_entry(&c, "wte.weight", DTYPE_BF16, "5 4");
    check_entry(&c, "wpe.weight", DTYPE_BF16, "3 4");
    check_entry(&c, "h.0.ln_1.weight", DTYPE_BF16, "4");
    check_entry(&c, "h.1.ln_1.bias", DTYPE_BF16, "4");
    check_entry(&c, "h.0.attn.c_attn.weight", DTYPE_BF16, "12 4");
    check_entry(&c, "h.1.attn.c_attn.weight", DTYPE_BF16, "12 4");
    check_entry(&c, "h.1.attn.c_attn.bias", DTYPE_BF16, "12");
    check_entry(&c, "h.0.attn.c_proj.weight", DTYPE_BF16, "4 4");
    check_entry(&c, "h.0.attn.c_proj.bias", DTYPE_BF16, "4");
    check_entry(&c, "h.1.ln_2.weight", DTYPE_BF16, "4");
    check_entry(&c, "h.1.ln_2.bias", DTYPE_BF16, "4");
    check_entry(&c, "h.0.mlp.c_fc.weight", DTYPE_BF16, "16 4");
    check_entry(&c, "h.1.mlp.c_fc.bias", DTYPE_BF16, "16");
    check_entry(&c, "h.1.mlp.c_proj.weight", DTYPE_BF16, "4 16");
    check_entry(&c, "h.1.mlp.c_proj.bias", DTYPE_BF16, "4");
    check_entry(&c, "ln_f.weight", DTYPE_BF16, "4");
    check_entry(&c, "ln_f.bias", DTYPE_BF16, "4");
    catalog_close(&c);
    free(path);
}

/* The same header over twice the bytes a weight. */
static void test_fp32(void **state)
{
    (void)state;
    struct bytes b = valid_bytes();
    size_t size = 1024 + (b.size - 1024) * 2;
    uint8_t *wide = calloc(1, size);
    memcpy(wide, b.data, 1024);
    wide[4] = 3;
    struct catalog c = {0};
    struct error error = {""};
    assert_true(parse(&c, wide, size, &error));
    assert_true(catalog_sort(&c, &error));
    const struct entry *last = catalog_find(&c, "ln_f.bias");
    assert_int_equal(last->dtype, DTYPE_FP32);
    assert_ptr_equal(last->data + last->bytes, wide + size);
    catalog_close(&c);
    free(wide);
    bytes_free(&b);
}

static void test_probe(void **state)
{
    (void)state;
    struct bytes b = valid_bytes();
    assert_true(llmc_probe(b.data, 4));
    assert_false(llmc_probe(b.data, 3));
    b.data[0]++;
    assert_false(llmc_probe(b.data, b.size));
    refuse_span(parse, b.data, b.size, "magic number = 20240327");
    bytes_free(&b);
}

/* ---- wrong ones ------------------------------------------------------------------------------ */

enum { H_MAGIC, H_VERSION, H_CONTEXT, H_VOCAB, H_LAYERS, H_HEADS, H_CHANNELS, H_PADDED };

static const struct {
    size_t field;
    int32_t value;
    const char *says;
} cases[] = {
    {H_VERSION, 0, "version = 0"},
    {H_VERSION, 1, "version = 1"},
    {H_VERSION, 4, "version = 4"},
    {H_VERSION, 3, "payload: the file has 2104 bytes"},
    {H_CONTEXT, 0, "max_seq_len = 0"},
    {H_CONTEXT, -1, "max_seq_len = -1"},
    {H_CONTEXT, INT32_MIN, "max_seq_len = -2147483648"},
    {H_CONTEXT, INT32_MAX, "max_seq_len = 2147483647"},
    {H_CONTEXT, 4, "payload: the file has 2104 bytes; its header asks for 2112"},
    {H_VOCAB, 0, "vocab_size = 0"},
    {H_VOCAB, 9, "padded_vocab_size = 8; expected at least vocab_size = 9"},
    {H_LAYERS, 0, "num_layers = 0"},
    {H_LAYERS, 65537, "num_layers = 65537"},
    {H_LAYERS, 65536, "payload"},
    {H_HEADS, 0, "num_heads = 0"},
    {H_HEADS, 3, "num_heads = 3 does not divide channels = 4"},
    {H_HEADS, 8, "num_heads = 8 does not divide"},
    {H_CHANNELS, 0, "channels = 0"},
    {H_CHANNELS, INT32_MAX, "channels = 2147483647"},
    {H_CHANNELS, 1 << 28, "overflow"},
    {H_PADDED, 0, "padded_vocab_size = 0"},
    {H_PADDED, 1 << 28, "payload"},
};

static void test_fields(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bytes b = valid_bytes();
        put_int(&b, cases[i].field * 4, cases[i].value);
        if (cases[i].field == H_CHANNELS && cases[i].value == 1 << 28)
            put_int(&b, H_LAYERS * 4, 65536);
        refuse_span(parse, b.data, b.size, cases[i].says);
        bytes_free(&b);
    }
}

static void test_size(void **state)
{
    (void)state;
    struct bytes b = valid_bytes();
    refuse_prefixes(parse, &b);
    refuse_span(parse, b.data, 1023, "header: 1023 bytes; expected 1024");
    uint8_t *longer = calloc(1, b.size + 1);
    memcpy(longer, b.data, b.size);
    refuse_span(parse, longer, b.size + 1, "the file has 2105 bytes; its header asks for 2104");
    mutate_span(parse, &b, 20000, 3);
    free(longer);
    bytes_free(&b);
}

static void test_path(void **state)
{
    (void)state;
    refuse_read(read_path, "/no/such\nfile", "/no/such\\nfile");
    char *path = weights_path("types.safetensors");
    refuse_read(read_path, path, "types.safetensors: llm.c header: magic");
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entries), cmocka_unit_test(test_fp32),
        cmocka_unit_test(test_probe),   cmocka_unit_test(test_fields),
        cmocka_unit_test(test_size),    cmocka_unit_test(test_path),
    };
    return cmocka_run_group_tests_name("llmc", tests, NULL, NULL);
}

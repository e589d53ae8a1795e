/* Tensors that lie in two parts, codes and scales: gpt-oss as Hugging Face's folders have it, in MXFP4. The folder is
 * made here of the blocks of a GGUF file of the same model, and computes the same bit for bit. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "archfolder.h"
#include "exporting.h"
#include "formats/safetensors.h"
#include "kernels/stored.h"
#include "model/arrange.h"
#include "model/packing.h"
#include "support.h"
#include "weightcheck.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define FAMILY "../families/gpt_oss-mxfp4"
#define EXPERTS "model.layers.0.mlp.experts."
#define GATE_UP EXPERTS "gate_up_proj"
#define DOWN EXPERTS "down_proj"

/* ---- rows ------------------------------------------------------------------------------------ */

enum { GROUPS = 3, COLS = GROUPS * SMALL_BLOCK, ROWS = 256 };

/* What the codes of a row stand for, by the description of the format: E2M1 codes, two a byte and the first in the low
 * nibble, times 2 to the power of the scale's byte minus 127. Zero has no sign here. */
static void row_by_definition(const uint8_t *codes, const uint8_t *scales, float out[COLS])
{
    static const float values[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
    for (size_t c = 0; c < COLS; c++) {
        unsigned code = (unsigned)codes[c / 2] >> (c % 2 ? 4 : 0) & 15;
        float value = ldexpf(values[code & 7], scales[c / SMALL_BLOCK] - 127);
        out[c] = code & 8 && value > 0 ? -value : value;
    }
}

static void check_joined(const struct packing_parts *parts, unsigned how, size_t rows)
{
    struct qmatrix w = {.rows = rows, .cols = COLS, .row_bytes = GROUPS * sizeof(struct block_mxfp4)};
    assert_true(packing_join(&w, packing_by_method("mxfp4"), parts, how, NULL));
    for (size_t r = 0; r < rows; r++) {
        float expected[COLS], found[COLS];
        size_t from = arranged_row(how, NULL, rows, r);
        row_by_definition(parts->codes.data + from * COLS / 2, parts->scales.data + from * GROUPS, expected);
        for (size_t g = 0; g < GROUPS; g++)
            dtypes[DTYPE_MXFP4].decode_block(w.codes + r * w.row_bytes + g * sizeof(struct block_mxfp4),
                                             found + g * SMALL_BLOCK);
        if (memcmp(expected, found, sizeof found) != 0)
            fail_msg("row %zu of the file is not row %zu of the matrix", from, r);
    }
    free(w.owned);
}

/* Every code at every place, and every scale. */
static void test_rows(void **state)
{
    (void)state;
    static const unsigned hows[] = {0, ARRANGED_EVEN, ARRANGED_ODD, ARRANGED_SECOND_HALF};
    uint64_t seed = 3;
    uint8_t *codes = make(ROWS * COLS / 2), *scales = make(ROWS * GROUPS);
    for (size_t i = 0; i < ROWS * COLS / 2; i++)
        codes[i] = (uint8_t)random_bits(&seed);
    for (size_t i = 0; i < ROWS * GROUPS; i++)
        scales[i] = (uint8_t)(i / GROUPS + i % GROUPS);
    struct packing_parts parts = {.codes = {.data = codes}, .scales = {.data = scales}};
    for (size_t i = 0; i < sizeof hows / sizeof *hows; i++)
        check_joined(&parts, hows[i], hows[i] ? ROWS / 2 : ROWS);
    free(codes);
    free(scales);
}

static void test_columns(void **state)
{
    (void)state;
    struct error error = {""};
    struct packing_parts parts = {
        .codes = {.name = (char[]){"a_blocks"}, .dtype = ENTRY_BYTES, .dimensions = 3, .shape = {2, 1, 16}},
        .scales = {.name = (char[]){"a_scales"}, .dtype = ENTRY_BYTES, .dimensions = 2, .shape = {2, 1}}};
    const struct packing *mxfp4 = packing_by_method("mxfp4");
    assert_null(packing_by_method("mxfp8"));
    assert_true(packing_check(mxfp4, &parts, 2, 32, &error));
    assert_false(packing_check(mxfp4, &parts, 2, 48, &error));
    check_line(&error, "tensor a_blocks: rows of 48 weights; expected a multiple of 32");
}

/* ---- a folder -------------------------------------------------------------------------------- */

/* What is different in a folder; all null: nothing. */
struct change {
    const char *config;          /* the value of quantization_config; "": there is none */
    const char *name, *renamed;  /* a tensor, and what it is called; renamed null: left out */
    const char *type;            /* its type as the format spells it, of as many bytes a number */
    size_t dimensions, shape[4]; /* its shape, of no more bytes; dimensions 0: as it is */
    const char *added;           /* a tensor of one byte that is there, too */
    const char *says;            /* how it is refused; null: it opens */
};

#define USUAL_CONFIG                                                                                                  \
    "{\"modules_to_not_convert\": [\"model.layers.*.self_attn\", \"model.layers.*.mlp.router\", "                      \
    "\"model.embed_tokens\", \"lm_head\"], \"quant_method\": \"mxfp4\"}"

static void put(struct writing *w, const char *name, const char *type, const struct entry *shape, const void *data,
                size_t bytes, const struct change *change)
{
    struct entry e = *shape;
    bool it = change->name && strcmp(change->name, name) == 0;
    if (it && !change->renamed)
        return;
    if (it && change->dimensions) {
        e.dimensions = change->dimensions;
        memcpy(e.shape, change->shape, sizeof change->shape);
        assert_true(entry_bytes(strcmp(type, "U8") == 0 ? ENTRY_BYTES : DTYPE_FP16, e.dimensions, e.shape, &bytes));
    }
    writing_put(w, it ? change->renamed : name, it && change->type ? change->type : type, &e, data, bytes);
}

/* Codes and scales of a model's tensors, whose rows lie in turns where there are two. */
static void put_packed(struct writing *w, const struct model *gguf, const char *name, enum role first, size_t count,
                       const struct change *change)
{
    size_t experts = gguf->hyper.mixture.experts, at = 0;
    int one = model_find(gguf, first, 0), other = model_find(gguf, ROLE_UP_EXPERTS, 0);
    const struct qmatrix *shape = &gguf->tensors[one].stored;
    size_t groups = shape->cols / SMALL_BLOCK, rows = shape->rows * count, blocks = experts * rows * groups;
    uint8_t *codes = make(blocks * 16), *scales = make(blocks);
    char text[128];
    for (size_t r = 0; r < experts * rows; r++) {
        size_t expert = r / rows, row = r % rows;
        const struct qmatrix *from = &gguf->tensors[(row % count ? other : one) + (int)expert].stored;
        assert_int_equal(from->format.weight, DTYPE_MXFP4);
        const struct block_mxfp4 *b = (const void *)(from->codes + row / count * from->row_bytes);
        for (size_t g = 0; g < groups; g++, at++) {
            scales[at] = b[g].scale;
            for (size_t c = 0; c < 32; c += 2)
                codes[at * 16 + c / 2] = (uint8_t)((b[g].codes[c % 16] >> (c < 16 ? 0 : 4) & 15) |
                                                   (b[g].codes[(c + 1) % 16] >> (c < 16 ? 0 : 4) & 15) << 4);
        }
    }
    struct entry e = {.dimensions = 4, .shape = {experts, rows, groups, 16}};
    snprintf(text, sizeof text, "%s_blocks", name);
    put(w, text, "U8", &e, codes, blocks * 16, change);
    e.dimensions = 3;
    snprintf(text, sizeof text, "%s_scales", name);
    put(w, text, "U8", &e, scales, blocks, change);
    free(codes);
    free(scales);
}

static struct model *open_gguf(void)
{
    struct error error = {""};
    char *path = arch_path(FAMILY, "gpt_oss-mxfp4.gguf");
    struct model *m = model_open(path, &error);
    if (!m)
        fail_msg("%s", error.text);
    free(path);
    return m;
}

static void write_config(const char *folder, const char *value)
{
    struct bytes config = arch_config(FAMILY);
    char *text;
    if (asprintf(&text, "{%s%s%s%s", *value ? "\"quantization_config\": " : "", value, *value ? "," : "",
                 strchr((const char *)config.data, '{') + 1) < 0)
        abort();
    folder_write(folder, "config.json", text, strlen(text));
    free(text);
    bytes_free(&config);
}

/* The family's folder with its experts in two parts, but for the change; the caller removes it. */
static char *write_folder(const struct change *change)
{
    struct error error = {""};
    struct catalog files = {0};
    struct model *gguf = open_gguf();
    char *folder = folder_make(), *path = arch_path(FAMILY, "model.safetensors");
    struct writing *w = calloc(1, sizeof *w);
    assert_true(w && safetensors_read(&files, path, &error));
    put_packed(w, gguf, GATE_UP, ROLE_GATE_EXPERTS, 2, change);
    put_packed(w, gguf, DOWN, ROLE_DOWN_EXPERTS, 1, change);
    for (size_t i = 0; i < files.count; i++) {
        const struct entry *e = &files.entries[i];
        if (strcmp(e->name, GATE_UP) != 0 && strcmp(e->name, DOWN) != 0)
            put(w, e->name, "F16", e, e->data, e->bytes, change);
    }
    if (change->added)
        writing_put(w, change->added, "U8", &(struct entry){.dimensions = 1, .shape = {1}}, "", 1);
    writing_write(folder, w);
    write_config(folder, change->config ? change->config : USUAL_CONFIG);
    catalog_close(&files);
    model_close(gguf);
    free(path);
    free(w);
    return folder;
}

/* ---- what becomes of it ---------------------------------------------------------------------- */

/* Two models with the same experts and the same logits, bit for bit. */
static void check_same(const char *path, const char *other)
{
    struct subject a = subject_open(path, NULL, NULL), b = subject_open(other, NULL, NULL);
    const struct model *m = a.session.model, *n = b.session.model;
    assert_int_equal(m->tensor_count, n->tensor_count);
    size_t packed = 0;
    for (size_t t = 0; t < m->tensor_count; t++) {
        const struct qmatrix *x = &m->tensors[t].stored, *y = &n->tensors[t].stored;
        if (!roles[m->tensors[t].role].of_expert || !roles[m->tensors[t].role].linear)
            continue;
        packed++;
        assert_int_equal(x->format.weight, DTYPE_MXFP4);
        assert_int_equal(x->bytes, y->bytes);
        if (memcmp(x->codes, y->codes, x->bytes) != 0)
            fail_msg("%s: %s has other blocks", path, m->tensors[t].name);
    }
    assert_int_equal(packed, 12);
    check_logits(&a, &b, 0, path);
    subject_close(&a);
    subject_close(&b);
}

static void test_model(void **state)
{
    (void)state;
    char *folder = write_folder(&(struct change){0}), *gguf = arch_path(FAMILY, "gpt_oss-mxfp4.gguf");
    check_same(folder, gguf);
    folder_remove(folder);
    free(gguf);
}

/* To GGUF byte by byte; the order of gates and ups in folders is not written. */
static void test_exports(void **state)
{
    (void)state;
    struct error error = {""};
    char *folder = write_folder(&(struct change){0}), *other = folder_make();
    char *gguf = path_in(other, "model.gguf"), *safetensors = path_in(other, "model.safetensors");
    struct subject s = subject_open(folder, NULL, NULL);
    if (!subject_export(&s, gguf, "gguf", &error))
        fail_msg("%s", error.text);
    assert_false(subject_export(&s, safetensors, "safetensors", &error));
    check_line(&error, "blk.0.ffn_gate_exps.0: files of gpt-oss hold it in another order");
    subject_close(&s);
    check_same(gguf, folder);
    folder_remove(folder);
    folder_remove(other);
    free(gguf);
    free(safetensors);
}

#define SAME(NAME) .name = (NAME), .renamed = (NAME)
#define ASKED "config.json: quantization_config.quant_method = mxfp4, but tensor "

static const struct change changes[] = {
    {.says = NULL},
    {.config = "{\"quant_method\": \"mxfp4\"}", .says = NULL},
    {.config = "{\"quant_method\": \"mxfp4\", \"modules_to_not_convert\": null}", .says = NULL},
    {.config = "", .says = "tensor " DOWN "_blocks: dtype is U8; expected F64, F32, F16, BF16, F8_E4M3 or F8_E5M2, "
                           "since config.json has no quantization_config"},
    {.config = "{}", .says = "tensor " DOWN "_blocks: dtype is U8"},
    {.config = "null", .says = "tensor " DOWN "_blocks: dtype is U8"},
    {.name = GATE_UP "_blocks", .says = ASKED GATE_UP "_blocks is missing"},
    {.name = GATE_UP "_scales", .says = ASKED GATE_UP "_scales is missing"},
    {.name = DOWN "_blocks", .says = ASKED DOWN "_blocks is missing"},
    {.name = DOWN "_scales", .says = ASKED DOWN "_scales is missing"},
    {.name = GATE_UP "_bias", .says = "tensor " GATE_UP "_bias is missing"},
    {.name = DOWN "_blocks", .renamed = DOWN, .says = "tensor " DOWN ": dtype is U8"},
    {SAME(GATE_UP "_blocks"), .dimensions = 4, .shape = {4, 64, 2, 8},
     .says = "tensor " GATE_UP "_blocks: shape 64 x 2 x 8; expected 64 x 1 x 16"},
    {SAME(GATE_UP "_blocks"), .dimensions = 4, .shape = {4, 32, 1, 16},
     .says = "tensor " GATE_UP "_blocks: shape 32 x 1 x 16; expected 64 x 1 x 16"},
    {SAME(GATE_UP "_blocks"), .dimensions = 3, .shape = {4, 64, 16},
     .says = "tensor " GATE_UP "_blocks: shape 64 x 16; expected 64 x 1 x 16"},
    {SAME(GATE_UP "_blocks"), .dimensions = 4, .shape = {2, 64, 1, 16},
     .says = "tensor " GATE_UP "_blocks: 2 experts in 4 dimensions; expected 4 experts first"},
    {SAME(DOWN "_blocks"), .dimensions = 4, .shape = {4, 32, 1, 15},
     .says = "tensor " DOWN "_blocks: shape 32 x 1 x 15; expected 32 x 1 x 16"},
    {SAME(DOWN "_blocks"), .dimensions = 4, .shape = {4, 32, 0, 16}, .says = "tensor " DOWN "_blocks is empty"},
    {SAME(DOWN "_scales"), .dimensions = 3, .shape = {4, 16, 2},
     .says = "tensor " DOWN "_scales: shape 16 x 2; expected 32 x 1"},
    {SAME(DOWN "_scales"), .dimensions = 2, .shape = {4, 32},
     .says = "tensor " DOWN "_scales: shape 32; expected 32 x 1"},
    {SAME(DOWN "_scales"), .dimensions = 3, .shape = {4, 31, 1},
     .says = "tensor " DOWN "_scales: shape 31 x 1; expected 32 x 1"},
    {SAME(DOWN "_scales"), .dimensions = 3, .shape = {3, 32, 1},
     .says = "tensor " DOWN "_scales: 3 experts in 3 dimensions"},
    {SAME(DOWN "_scales"), .dimensions = 1, .shape = {4}, .says = "tensor " DOWN "_scales: 4 experts in 1 dimensions"},
    {SAME(DOWN "_blocks"), .type = "F8_E4M3", .says = "tensor " DOWN "_blocks: fp8e4m3; expected U8"},
    {SAME(DOWN "_scales"), .type = "F8_E5M2", .says = "tensor " DOWN "_scales: fp8e5m2; expected U8"},
    {SAME(DOWN "_scales"), .type = "I8", .says = DOWN "_scales: dtype is I8"},
    {.added = DOWN, .says = "tensor " DOWN ": dtype is U8"},
    {.added = "model.layers.0.self_attn.q_proj.weight_scales",
     .says = "tensor model.layers.0.self_attn.q_proj.weight_scales is not part of the architecture gpt-oss"},
    {.added = "model.layers.1.mlp.experts.down_proj_blocks",
     .says = "tensor model.layers.1.mlp.experts.down_proj_blocks"},
};

static void check_folder(const char *folder, const char *says)
{
    struct error error = {"(no message)"};
    struct model *m = model_open(folder, &error);
    if (m && says)
        fail_msg("a folder was opened; expected a refusal that says '%s'", says);
    if (!m && !says)
        fail_msg("%s", error.text);
    if (says)
        check_line(&error, says);
    model_close(m);
}

static void test_changes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char *folder = write_folder(&changes[i]);
        check_folder(folder, changes[i].says);
        folder_remove(folder);
    }
}

/* Weights as they were before they were packed, beside a configuration that says they are. */
static void test_weights_in_one_part(void **state)
{
    (void)state;
    char *folder = folder_make();
    folder_link_weights(folder, FAMILY, "model.safetensors");
    write_config(folder, USUAL_CONFIG);
    check_folder(folder, ASKED GATE_UP "_blocks is missing");
    write_config(folder, "");
    check_folder(folder, NULL);
    folder_remove(folder);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* So that the machine does not suffer where the test fails; a sanitizer has memory of its own. */
static void limit_memory(bool begin)
{
    static struct rlimit before;
    if (SANITIZED)
        return;
    if (begin)
        getrlimit(RLIMIT_DATA, &before);
    struct rlimit limit = {begin ? (rlim_t)1 << 30 : before.rlim_cur, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_DATA, &limit), 0);
}

enum { WIDTH = 32768, MANY = 1024 };

/* A block of many wide experts; all other layers are as small as they can be. */
static const struct hollow {
    const char *name, *type;
    size_t bytes, dimensions, shape[4]; /* bytes: of a number */
} hollow[] = {
    {"lm_head.weight", "F16", 2, 2, {24, WIDTH}},
    {"model.embed_tokens.weight", "F16", 2, 2, {24, WIDTH}},
    {"model.norm.weight", "F16", 2, 1, {WIDTH}},
    {"model.layers.0.input_layernorm.weight", "F16", 2, 1, {WIDTH}},
    {"model.layers.0.post_attention_layernorm.weight", "F16", 2, 1, {WIDTH}},
    {"model.layers.0.self_attn.q_proj.weight", "F16", 2, 2, {16, WIDTH}},
    {"model.layers.0.self_attn.k_proj.weight", "F16", 2, 2, {8, WIDTH}},
    {"model.layers.0.self_attn.v_proj.weight", "F16", 2, 2, {8, WIDTH}},
    {"model.layers.0.self_attn.o_proj.weight", "F16", 2, 2, {WIDTH, 16}},
    {"model.layers.0.self_attn.q_proj.bias", "F16", 2, 1, {16}},
    {"model.layers.0.self_attn.k_proj.bias", "F16", 2, 1, {8}},
    {"model.layers.0.self_attn.v_proj.bias", "F16", 2, 1, {8}},
    {"model.layers.0.self_attn.o_proj.bias", "F16", 2, 1, {WIDTH}},
    {"model.layers.0.self_attn.sinks", "F16", 2, 1, {4}},
    {"model.layers.0.mlp.router.weight", "F16", 2, 2, {MANY, WIDTH}},
    {"model.layers.0.mlp.router.bias", "F16", 2, 1, {MANY}},
    {GATE_UP "_bias", "F16", 2, 2, {MANY, 2 * WIDTH}},
    {DOWN "_bias", "F16", 2, 2, {MANY, WIDTH}},
    {GATE_UP "_blocks", "U8", 1, 4, {MANY, 2 * WIDTH, WIDTH / 32, 16}},
    {GATE_UP "_scales", "U8", 1, 3, {MANY, 2 * WIDTH, WIDTH / 32}},
    {DOWN "_blocks", "U8", 1, 4, {MANY, WIDTH, WIDTH / 32, 16}},
    {DOWN "_scales", "U8", 1, 3, {MANY, WIDTH, WIDTH / 32}},
};

/* A file whose weights are one hole. False where the file system does not have files so long. */
static bool write_hollow(const char *path)
{
    char header[8192] = "{";
    size_t used = 1, at = 0;
    for (size_t i = 0; i < sizeof hollow / sizeof *hollow; i++) {
        size_t bytes = hollow[i].bytes;
        used += (size_t)snprintf(header + used, sizeof header - used, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[",
                                 i ? "," : "", hollow[i].name, hollow[i].type);
        for (size_t d = 0; d < hollow[i].dimensions; d++) {
            bytes *= hollow[i].shape[d];
            used += (size_t)snprintf(header + used, sizeof header - used, "%s%zu", d ? "," : "", hollow[i].shape[d]);
        }
        used += (size_t)snprintf(header + used, sizeof header - used, "],\"data_offsets\":[%zu,%zu]}", at, at + bytes);
        at += bytes;
    }
    header[used++] = '}';
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && write(fd, &(uint64_t){used}, 8) == 8 && write(fd, header, used) == (ssize_t)used &&
              ftruncate(fd, (off_t)(8 + used + at)) == 0;
    close(fd);
    return ok;
}

static void write_hollow_config(const char *folder)
{
    static const char *const changed[][2] = {
        {"hidden_size", "32768"}, {"intermediate_size", "32768"}, {"num_local_experts", "1024"}};
    struct bytes config = arch_config(FAMILY);
    char *text = strdup((const char *)config.data), *whole;
    for (size_t i = 0; i < 3; i++) {
        char *next = config_with(text, changed[i][0], changed[i][1]);
        free(text);
        text = next;
    }
    if (asprintf(&whole, "{\"quantization_config\": " USUAL_CONFIG ",%s", strchr(text, '{') + 1) < 0)
        abort();
    folder_write(folder, "config.json", whole, strlen(whole));
    free(text);
    free(whole);
    bytes_free(&config);
}

/* Terabytes are refused before one is read. */
static void test_memory(void **state)
{
    (void)state;
    struct error error = {"cannot be mapped"};
    char *folder = folder_make(), *path = path_in(folder, "model.safetensors");
    write_hollow_config(folder);
    if (write_hollow(path)) {
        limit_memory(true);
        assert_null(model_open(folder, &error));
        limit_memory(false);
    }
    folder_remove(folder);
    free(path);
    if (strstr(error.text, "cannot be mapped"))
        skip();
    check_line(&error, "to put the weights into another order needs 1671");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),    cmocka_unit_test(test_columns), cmocka_unit_test(test_model),
        cmocka_unit_test(test_exports), cmocka_unit_test(test_changes), cmocka_unit_test(test_weights_in_one_part),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

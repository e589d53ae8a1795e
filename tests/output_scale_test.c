/* Scales that GGUF files hold beside matrices of NVFP4: products, weights, logits, exports and what is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "folderwork.h"
#include "gguffile.h"
#include "isas.h"
#include "support.h"
#include "weightcheck.h"

#include "engine/context.h"
#include "engine/forward.h"
#include "export/export.h"
#include "kernels/activations.h"
#include "quant/requant.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- products -------------------------------------------------------------------------------- */

enum { ROWS = 37, COLS = 128, TOKENS = 24 };
static const float scale_of_products = 0.0371f;

/* The product with the scale is the one without it times the scale, bit for bit; and so are the weights. */
static void check_products(const struct isa *isa, const uint8_t *blocks, enum dtype act, size_t n)
{
    struct qmatrix plain = stored_matrix(DTYPE_NVFP4, ROWS, COLS, blocks), scaled;
    struct activations prepared;
    uint64_t seed = n;
    float x[TOKENS * COLS], expected[TOKENS * ROWS], found[TOKENS * ROWS], row[COLS], codes[COLS], one;
    void *scratch = aligned_alloc(64, padded_bytes(activations_scratch(COLS, TOKENS)));
    plain.format.act = act;
    scaled = plain;
    scaled.output_scale = scale_of_products;
    for (size_t i = 0; i < n * COLS; i++)
        x[i] = (float)random_normal(&seed);
    activations_prepare(isa, &plain, x, n, scratch, &prepared);
    isa->matmul(&plain, &prepared, 0, 3, expected);
    isa->matmul(&scaled, &prepared, 0, 2, found);
    isa->matmul(&scaled, &prepared, 2, 3, found);
    for (size_t i = 0; i < n * ROWS; i++)
        if (!(found[i] == expected[i] * scale_of_products))
            fail_msg("%s, %zu tokens: product %zu is %g; expected %g", isa->name, n, i, (double)found[i],
                     (double)(expected[i] * scale_of_products));
    for (size_t r = 0; r < ROWS; r++) {
        qmatrix_decode_codes(&plain, r, 0, COLS, codes);
        isa->decode_row(&scaled, r, row);
        for (size_t c = 0; c < COLS; c++) {
            qmatrix_decode(&scaled, r, c, 1, &one);
            assert_true(row[c] == codes[c] * scale_of_products && one == row[c]);
        }
    }
    free(scratch);
}

static void test_products(void **state)
{
    (void)state;
    uint8_t blocks[ROWS * COLS / 64 * 36];
    uint64_t seed = 7;
    random_blocks(DTYPE_NVFP4, ROWS * COLS / 64, &seed, blocks);
    for (size_t i = 0; tested_isa(i); i++)
        for (size_t n = 1; n <= TOKENS && tested_isa(i)->available(); n = 3 * n + 1) {
            check_products(tested_isa(i), blocks, DTYPE_FP32, n);
            check_products(tested_isa(i), blocks, DTYPE_INT8, n);
        }
}

/* ---- a model's file -------------------------------------------------------------------------- */

enum { DIM = 64, HIDDEN = 128, HEADS = 4, VOCAB = 64, BLOCKS = 2, EXPERTS = 4 };

/* Matrices of NVFP4 with scales, or of fp32 with the same weights; one scale in another form. */
struct spec {
    bool mixture, plain, bias; /* bias: beside blk.0.ffn_up */
    bool other;                /* `changed` stands beside weights of fp32 */
    const char *changed;       /* the name of a scale; null: none is changed */
    enum dtype type;           /* ENTRY_DOUBLES too */
    size_t count;              /* numbers; 0: as it should be */
    float value;
    const char *says;          /* of its refusal; null: it opens */
};

static float scale_of(const char *name, size_t expert)
{
    return 0.01f + 0.002f * (float)(strlen(name) % 7) + 0.003f * (float)expert;
}

/* The scale beside a matrix, and that of its input. */
static void put_scale(struct gguffile *f, const struct spec *s, const char *stem, const char *ending, size_t count)
{
    char name[80];
    snprintf(name, sizeof name, "%s.%s", stem, ending);
    bool it = s->changed && strcmp(s->changed, name) == 0;
    size_t n = it && s->count ? s->count : count;
    enum dtype type = it ? s->type : DTYPE_FP32;
    uint8_t bytes[8 * sizeof(double)] = {0};
    for (size_t e = 0; e < n; e++) {
        float value = it ? s->value : strcmp(ending, "scale") == 0 ? scale_of(stem, e) : 3;
        double wide = (double)value;
        if (type == ENTRY_DOUBLES)
            memcpy(bytes + e * sizeof wide, &wide, sizeof wide);
        else
            memcpy(bytes + e * sizeof value, &value, sizeof value);
    }
    gguffile_tensor(f, name, type, 1, &n, bytes);
}

/* A matrix, or one an expert. */
static void put_matrix(struct gguffile *f, const struct spec *s, const char *stem, size_t count, size_t rows,
                       size_t cols)
{
    char name[80], scale[80];
    size_t blocks = count * rows * cols / 64, n = count > 1 ? 3 : 2;
    uint64_t seed = fnv1a(FNV_START, stem, strlen(stem));
    uint8_t *codes = make(blocks * 36);
    float *values = make(blocks * 64 * sizeof *values);
    random_blocks(DTYPE_NVFP4, blocks, &seed, codes);
    for (size_t i = 0; i < blocks; i++)
        dtypes[DTYPE_NVFP4].decode_block(codes + i * 36, values + i * 64);
    for (size_t i = 0; i < blocks * 64; i++)
        values[i] *= scale_of(stem, i / (rows * cols));
    snprintf(name, sizeof name, "%s.weight", stem);
    snprintf(scale, sizeof scale, "%s.scale", stem);
    bool wide = s->plain || (s->other && s->changed && strcmp(s->changed, scale) == 0);
    const size_t shape[] = {count, rows, cols};
    gguffile_tensor(f, name, wide ? DTYPE_FP32 : DTYPE_NVFP4, n, shape + 3 - n, wide ? (void *)values : codes);
    if (!s->plain) {
        put_scale(f, s, stem, "scale", count);
        put_scale(f, s, stem, "input_scale", count);
    }
    free(codes);
    free(values);
}

static void put_vector(struct gguffile *f, const char *name, size_t count, float value)
{
    float values[HIDDEN];
    for (size_t i = 0; i < count; i++)
        values[i] = value;
    gguffile_tensor(f, name, DTYPE_FP32, 1, &count, values);
}

static void put_floats(struct gguffile *f, const char *name, size_t rows)
{
    uint64_t seed = rows;
    float *values = make(rows * DIM * sizeof *values);
    for (size_t i = 0; i < rows * DIM; i++)
        values[i] = (float)random_normal(&seed);
    gguffile_tensor(f, name, DTYPE_FP32, 2, (const size_t[]){rows, DIM}, values);
    free(values);
}

static void put_block(struct gguffile *f, const struct spec *s, int block)
{
    static const char *const attention[] = {"attn_q", "attn_k", "attn_v", "attn_output"};
    static const char *const dense[] = {"ffn_gate", "ffn_up", "ffn_down"};
    char name[80];
    for (size_t i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "blk.%d.%s", block, attention[i]);
        put_matrix(f, s, name, 1, DIM, DIM);
    }
    for (size_t i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "blk.%d.%s%s", block, dense[i], s->mixture ? "_exps" : "");
        put_matrix(f, s, name, s->mixture ? EXPERTS : 1, i < 2 ? HIDDEN : DIM, i < 2 ? DIM : HIDDEN);
    }
    snprintf(name, sizeof name, "blk.%d.ffn_gate_inp.weight", block);
    if (s->mixture)
        put_floats(f, name, EXPERTS);
    snprintf(name, sizeof name, "blk.%d.attn_norm.weight", block);
    put_vector(f, name, DIM, 1);
    snprintf(name, sizeof name, "blk.%d.ffn_norm.weight", block);
    put_vector(f, name, DIM, 1);
    for (size_t i = 0; i < 3 && s->bias; i++) {
        snprintf(name, sizeof name, "blk.%d.%s.bias", block, dense[i]);
        put_vector(f, name, i < 2 ? HIDDEN : DIM, 0);
    }
}

/* The caller frees the path. */
static char *write_model(const struct spec *s, const char *name)
{
    struct gguffile f;
    gguffile_begin(&f, 3);
    gguffile_string(&f, "general.architecture", "llama");
    gguffile_uint32(&f, "llama.block_count", BLOCKS);
    gguffile_uint32(&f, "llama.context_length", 64);
    gguffile_uint32(&f, "llama.embedding_length", DIM);
    gguffile_uint32(&f, "llama.feed_forward_length", HIDDEN);
    gguffile_uint32(&f, "llama.attention.head_count", HEADS);
    gguffile_float32(&f, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    if (s->mixture) {
        gguffile_uint32(&f, "llama.expert_count", EXPERTS);
        gguffile_uint32(&f, "llama.expert_used_count", 2);
    }
    put_floats(&f, "token_embd.weight", VOCAB);
    for (int b = 0; b < BLOCKS; b++)
        put_block(&f, s, b);
    put_vector(&f, "output_norm.weight", DIM, 1);
    put_matrix(&f, s, "output", 1, VOCAB, DIM);
    struct bytes b = gguffile_bytes(&f);
    char *path = path_in(folder, name);
    write_file(path, b.data, b.size);
    bytes_free(&b);
    gguffile_free(&f);
    return path;
}

static struct model *open_model(const char *path)
{
    struct error error = {"(no message)"};
    struct model *m = model_open(path, &error);
    if (!m)
        fail_msg("%s", error.text);
    return m;
}

/* ---- logits ---------------------------------------------------------------------------------- */

enum { IDS = 12 };

/* Of all tokens: IDS x VOCAB. */
static float *logits_of(const struct model *m)
{
    static const int32_t ids[IDS] = {1, 5, 3, 60, 7, 2, 9, 33, 20, 11, 4, 8};
    struct error error = {"(no message)"};
    struct pool *pool = pool_create(1, &error);
    struct weights *stored = weights_stored(m);
    struct context *c = context_open(m, pool, IDS, &error);
    float *logits = make(IDS * VOCAB * sizeof *logits);
    assert_true(pool && stored && c);
    context_run(c, stored, ids, IDS, LOGITS_ALL, logits);
    context_close(c);
    weights_unref(stored);
    pool_destroy(pool);
    return logits;
}

static void check_alike(const float *a, const float *b, float bound)
{
    float largest = 0;
    for (size_t i = 0; i < IDS * VOCAB; i++) {
        largest = fmaxf(largest, fabsf(b[i]));
        if (!(fabsf(a[i] - b[i]) <= bound))
            fail_msg("logit %zu is %g; expected %g", i, (double)a[i], (double)b[i]);
    }
    assert_true(largest > 0.1f && isfinite(largest)); /* so that the bound says something */
}

static void test_logits(void **state)
{
    (void)state;
    for (int mixture = 0; mixture < 2; mixture++) {
        char *scaled = write_model(&(struct spec){.mixture = mixture}, "scaled.gguf");
        char *plain = write_model(&(struct spec){.mixture = mixture, .plain = true}, "plain.gguf");
        struct model *a = open_model(scaled), *b = open_model(plain);
        float *found = logits_of(a), *expected = logits_of(b);
        assert_non_null(strstr(a->note, "15 input scales, for engines that quantize activations by them"));
        assert_null(strstr(b->note, "scales"));
        int down = model_find(a, mixture ? ROLE_DOWN_EXPERTS : ROLE_FFN_DOWN, 1) + (mixture ? 2 : 0);
        const struct qmatrix *m = &a->tensors[down].stored;
        assert_true(m->output_scale == scale_of(mixture ? "blk.1.ffn_down_exps" : "blk.1.ffn_down", mixture ? 2 : 0));
        assert_int_equal(m->bytes, DIM * HIDDEN / 64 * 36 + sizeof(float));
        check_alike(found, expected, 1e-4f);
        free(found);
        free(expected);
        model_close(a);
        model_close(b);
        free(scaled);
        free(plain);
    }
}

/* ---- exports --------------------------------------------------------------------------------- */

static struct weights *replace(const struct model *m, struct weights *set, int tensor, const char *scheme,
                               struct pool *pool)
{
    struct error error = {"(no message)"};
    struct scheme s;
    bool ok = scheme_parse(scheme, &s, &error);
    struct qtensor *q = ok ? requantize(m, tensor, &s, pool, &error) : NULL;
    if (!q)
        fail_msg("%s", error.text);
    struct weights *next = weights_replace(set, q);
    qtensor_unref(q);
    weights_unref(set);
    return next;
}

static void export_to(const struct model *m, struct weights *set, struct pool *pool, const char *path)
{
    struct error error = {"(no message)"};
    struct export_plan plan = {.model = m, .weights = set, .pool = pool, .path = path};
    struct export *job = export_open(&plan, &error);
    bool done = false, ok = job;
    while (ok && !done)
        ok = export_step(job, 1, &done, &error);
    export_close(job);
    if (!ok)
        fail_msg("%s", error.text);
}

/* Unchanged matrices keep their scales; one that is rounded anew has them in its weights. */
static void test_exports(void **state)
{
    (void)state;
    for (int mixture = 0; mixture < 2; mixture++) {
        struct error error;
        char *from = write_model(&(struct spec){.mixture = mixture}, "from.gguf"), *to = path_in(folder, "to.gguf");
        struct model *m = open_model(from);
        struct pool *pool = pool_create(1, &error);
        int q = model_find(m, ROLE_ATTN_Q, 0);
        struct weights *set = replace(m, weights_stored(m), q, "fp32", pool);
        export_to(m, set, pool, to);
        weights_unref(set);
        struct model *back = open_model(to);
        float *expected = logits_of(m), *found = logits_of(back);
        assert_null(catalog_find(&back->files, "blk.0.attn_q.scale"));
        assert_null(catalog_find(&back->files, "blk.0.attn_k.input_scale"));
        for (int t = 0; t < (int)m->tensor_count; t++) {
            float before = m->tensors[t].stored.output_scale, after = back->tensors[t].stored.output_scale;
            assert_true(after == (t == q ? 0 : before));
        }
        check_alike(found, expected, 1e-4f);
        free(found);
        free(expected);
        model_close(back);
        model_close(m);
        pool_destroy(pool);
        free(from);
        free(to);
    }
}

/* ---- what is refused ------------------------------------------------------------------------- */

#define SCALE(NAME, ...) {.changed = (NAME), __VA_ARGS__}

static const struct spec cases[] = {
    SCALE("blk.0.ffn_up.scale", .value = 2),
    SCALE("blk.0.ffn_up.scale", .value = 2, .type = ENTRY_DOUBLES),
    SCALE("blk.0.ffn_up.scale", .value = 2, .other = true),
    SCALE("blk.0.ffn_up.scale", .value = NAN,
          .says = "tensor blk.0.ffn_up.scale: blk.0.ffn_up is nan; expected a positive finite number"),
    SCALE("blk.0.ffn_up.scale", .value = 0, .says = "tensor blk.0.ffn_up.scale: blk.0.ffn_up is 0; expected a"),
    SCALE("blk.1.attn_q.scale", .value = -1, .says = "tensor blk.1.attn_q.scale: blk.1.attn_q is -1; expected"),
    SCALE("output.scale", .value = INFINITY, .says = "tensor output.scale: output is inf; expected a positive finite"),
    SCALE("output.scale", .value = 1, .other = true,
          .says = "tensor output.scale: stands beside weights of fp32; expected nvfp4"),
    SCALE("blk.1.attn_v.scale", .value = 1, .count = 2, .says = "tensor blk.1.attn_v.scale: shape 2; expected 1"),
    SCALE("blk.1.attn_v.scale", .value = 1, .type = DTYPE_FP16,
          .says = "tensor blk.1.attn_v.scale: fp16; expected fp32"),
    SCALE("blk.1.attn_v.input_scale", .value = 1, .count = 4,
          .says = "tensor blk.1.attn_v.input_scale: shape 4; expected 1"),
    SCALE("blk.1.attn_v.input_scale", .value = NAN),
    SCALE("blk.1.ffn_up_exps.scale", .mixture = true, .value = 1, .count = 1,
          .says = "tensor blk.1.ffn_up_exps.scale: shape 1; expected 4"),
    SCALE("blk.1.ffn_up_exps.scale", .mixture = true, .value = -2,
          .says = "tensor blk.1.ffn_up_exps.scale: blk.1.ffn_up_exps.0 is -2; expected a positive"),
    {.bias = true, .says = "tensor blk.0.ffn_gate.scale: stands beside blk.0.ffn_gate.bias; expected a scale or a"},
};

static void check_refusal(const char *path, const char *says)
{
    struct error error = {"(no message)"};
    struct model *m = model_open(path, &error);
    if (m && says)
        fail_msg("opened; expected a refusal that says '%s'", says);
    if (!m && !says)
        fail_msg("%s", error.text);
    if (says)
        check_line(&error, says);
    model_close(m);
}

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = write_model(&cases[i], "case.gguf");
        check_refusal(path, cases[i].says);
        free(path);
    }
}

/* Scales of what the model does not have, or of tensors that have none. */
static void test_alone(void **state)
{
    (void)state;
    static const char *const names[] = {"blk.0.attn_qkv", "blk.0.ffn_gate_inp", "blk.0.attn_norm", "token_embd",
                                        "blk.2.attn_q"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct gguffile f;
        char says[120], *path = path_in(folder, "alone.gguf");
        gguffile_begin(&f, 3);
        gguffile_string(&f, "general.architecture", "llama");
        gguffile_uint32(&f, "llama.block_count", 1);
        gguffile_uint32(&f, "llama.context_length", 64);
        gguffile_uint32(&f, "llama.embedding_length", DIM);
        gguffile_uint32(&f, "llama.feed_forward_length", HIDDEN);
        gguffile_uint32(&f, "llama.attention.head_count", HEADS);
        gguffile_float32(&f, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
        put_floats(&f, "token_embd.weight", VOCAB);
        put_block(&f, &(struct spec){0}, 0);
        put_vector(&f, "output_norm.weight", DIM, 1);
        put_scale(&f, &(struct spec){0}, names[i], "scale", 1);
        struct bytes b = gguffile_bytes(&f);
        write_file(path, b.data, b.size);
        snprintf(says, sizeof says, "tensor %s.scale is not part of the architecture llama", names[i]);
        check_refusal(path, says);
        bytes_free(&b);
        gguffile_free(&f);
        free(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products), cmocka_unit_test(test_logits), cmocka_unit_test(test_exports),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_alone),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

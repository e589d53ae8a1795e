/* Importance matrices: both formats are read and written, what is wrong with a file is named, names of files find a
 * model's tensors, and what qtop collects weighs columns as the text itself does. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "export/imatrix_export.h"
#include "folderwork.h"
#include "gguffile.h"
#include "quant/imatrix_collect.h"
#include "quant/recipe.h"
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLS = 4, EXPERTS = 3 };

static const float sums[EXPERTS * COLS] = {1, 2, 3, 4, 0, 0, 0, 0, 10, 20, 30, 40};
static const float counts[EXPERTS] = {2, 0, 10};

/* ---- files --------------------------------------------------------------------------------------- */

static void add_entry(struct gguffile *f, const char *name, size_t rows, const float *values, const float *tokens)
{
    char tensor[64];
    snprintf(tensor, sizeof tensor, "%s.in_sum2", name);
    gguffile_tensor(f, tensor, DTYPE_FP32, 2, (const size_t[]){rows, COLS}, values);
    snprintf(tensor, sizeof tensor, "%s.counts", name);
    gguffile_tensor(f, tensor, DTYPE_FP32, 2, (const size_t[]){rows, 1}, tokens);
}

/* A file with a matrix and an entry of experts. */
static void begin_file(struct gguffile *f)
{
    gguffile_begin(f, 3);
    gguffile_string(f, "general.type", "imatrix");
    gguffile_strings(f, "imatrix.datasets", 1, (const char *const[]){"some.txt"});
    gguffile_uint32(f, "imatrix.chunk_count", 5);
    gguffile_uint32(f, "imatrix.chunk_size", 512);
    add_entry(f, "blk.0.attn_q.weight", 1, sums, counts);
}

static struct imatrix must_parse(struct bytes b)
{
    struct imatrix m;
    struct error error = {""};
    if (!imatrix_parse(&m, b.data, b.size, "file", &error))
        fail_msg("%s", error.text);
    bytes_free(&b);
    return m;
}

static void must_refuse(struct bytes b, const char *expected)
{
    struct imatrix m;
    struct error error = {""};
    if (imatrix_parse(&m, b.data, b.size, "file", &error))
        fail_msg("accepted; expected: %s", expected);
    if (!strstr(error.text, expected) || strncmp(error.text, "file: ", 6) != 0)
        fail_msg("'%s'; expected: %s", error.text, expected);
    imatrix_free(&m);
    bytes_free(&b);
}

static struct bytes finished(struct gguffile *f)
{
    struct bytes b = gguffile_bytes(f);
    gguffile_free(f);
    return b;
}

static void test_gguf(void **state)
{
    struct gguffile f;
    (void)state;
    begin_file(&f);
    add_entry(&f, "blk.0.ffn_up_exps.weight", EXPERTS, sums, counts);
    struct imatrix m = must_parse(finished(&f));
    assert_int_equal(m.count, 2);
    assert_string_equal(m.dataset, "some.txt");
    assert_true(m.chunk_count == 5 && m.chunk_size == 512 && !m.legacy);
    const struct imatrix_entry *e = imatrix_find(&m, "blk.0.ffn_up_exps.weight");
    assert_true(e && e->values == EXPERTS * COLS && e->rows == EXPERTS);
    assert_memory_equal(e->sums, sums, sizeof sums);
    assert_memory_equal(e->counts, counts, sizeof counts);
    assert_null(imatrix_find(&m, "blk.0.ffn_up_exps"));
    imatrix_free(&m);
}

static void test_gguf_refused(void **state)
{
    static const float negative[COLS] = {1, -1, 0, 0}, infinite[COLS] = {1, INFINITY, 0, 0}, nan[COLS] = {1, NAN, 0, 0};
    static const float huge[1] = {1e30f}, below[1] = {-1};
    static const struct {
        const float *values, *tokens;
        const char *expected;
    } cases[] = {{negative, counts, "blk.1.attn_q.weight: the sum of squares at 1 is -1"},
                 {infinite, counts, "the sum of squares at 1 is inf"},
                 {nan, counts, "the sum of squares at 1 is nan"},
                 {sums, huge, "blk.1.attn_q.weight: count 0 is 1e+30"},
                 {sums, below, "count 0 is -1"}};
    struct gguffile f;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin_file(&f);
        add_entry(&f, "blk.1.attn_q.weight", 1, cases[i].values, cases[i].tokens);
        must_refuse(finished(&f), cases[i].expected);
    }
    begin_file(&f);
    gguffile_tensor(&f, "x.counts", DTYPE_FP32, 1, (const size_t[]){1}, counts);
    must_refuse(finished(&f), "x.counts is there, and its .in_sum2 is not");
    begin_file(&f);
    gguffile_tensor(&f, "x.counts", DTYPE_FP32, 1, (const size_t[]){3}, counts);
    gguffile_tensor(&f, "x.in_sum2", DTYPE_FP32, 1, (const size_t[]){4}, sums);
    must_refuse(finished(&f), "x.in_sum2 has 4 values for 3 counts");
    begin_file(&f);
    gguffile_tensor(&f, "x.counts", DTYPE_FP32, 1, (const size_t[]){1}, counts);
    gguffile_tensor(&f, "x.in_sum2", DTYPE_FP16, 1, (const size_t[]){4}, NULL);
    must_refuse(finished(&f), "x.in_sum2 is fp16; expected F32");
    gguffile_begin(&f, 3);
    gguffile_string(&f, "general.type", "model");
    must_refuse(finished(&f), "GGUF of the type 'model'; expected an importance matrix");
    gguffile_begin(&f, 3);
    gguffile_string(&f, "general.type", "imatrix");
    must_refuse(finished(&f), "without entries");
}

/* Cut off at every byte. */
static void test_gguf_cut(void **state)
{
    struct gguffile f;
    (void)state;
    begin_file(&f);
    struct bytes whole = finished(&f);
    for (size_t n = 0; n < whole.size; n++) {
        struct bytes part = {make(n + 1), n};
        memcpy(part.data, whole.data, n);
        must_refuse(part, "");
    }
    bytes_free(&whole);
}

static void put(struct bytes *b, const void *data, size_t n)
{
    b->data = realloc(b->data, b->size + n);
    assert_non_null(b->data);
    memcpy(b->data + b->size, data, n);
    b->size += n;
}

static void put_i32(struct bytes *b, int32_t value)
{
    put(b, &value, sizeof value);
}

/* What llama.cpp wrote before GGUF: `entries` of one name. */
static struct bytes dat_file(int32_t entries, const char *name, int32_t chunks, int32_t values)
{
    struct bytes b = {0};
    put_i32(&b, entries);
    for (int32_t i = 0; i < entries; i++) {
        put_i32(&b, (int32_t)strlen(name));
        put(&b, name, strlen(name));
        put_i32(&b, chunks);
        put_i32(&b, values);
        put(&b, sums, COLS * sizeof *sums);
    }
    return b;
}

static void test_dat(void **state)
{
    (void)state;
    struct bytes b = dat_file(1, "blk.0.attn_q.weight", 2, COLS);
    put_i32(&b, 7);
    put_i32(&b, 4);
    put(&b, "text", 4);
    struct imatrix m = must_parse(b);
    assert_true(m.legacy && m.count == 1 && m.chunk_count == 7);
    assert_string_equal(m.dataset, "text");
    const struct imatrix_entry *e = imatrix_find(&m, "blk.0.attn_q.weight");
    assert_true(e && e->values == COLS && e->rows == 1 && e->counts[0] == 2);
    assert_memory_equal(e->sums, sums, COLS * sizeof *sums);
    imatrix_free(&m);
    m = must_parse(dat_file(1, "x", 2, COLS)); /* the end may be missing */
    assert_true(m.chunk_count == 0 && strcmp(m.dataset, "") == 0);
    imatrix_free(&m);
}

static void test_dat_refused(void **state)
{
    struct bytes b = {0};
    (void)state;
    must_refuse((struct bytes){make(1), 0}, "is no importance matrix");
    put(&b, "Once upon a time there was a matrix.", 36);
    must_refuse(b, "is no importance matrix");
    must_refuse(dat_file(0, "", 0, 0), "is no importance matrix");
    must_refuse(dat_file(2, "same", 1, COLS), "same is there twice");
    must_refuse(dat_file(1, "x", 1, COLS + 1), "ends beyond the file's");
    must_refuse(dat_file(1, "x", 1, INT32_MAX), "ends beyond the file's");
    must_refuse(dat_file(1, "x", 1, -1), "ends beyond the file's");
    must_refuse(dat_file(1, "x", -1, COLS), "ends beyond the file's");
    must_refuse(dat_file(1, "x", 1, 0), "x has no values");
    must_refuse(dat_file(1, "", 1, COLS), "the name of entry 1 of 1 has 0 bytes");
    b = dat_file(1, "x", 1, COLS);
    put(&b, "rest", 4);
    put(&b, "rest", 4);
    must_refuse(b, "bytes follow the entries");
}

/* ---- written and read again ---------------------------------------------------------------------- */

static struct imatrix made(void)
{
    struct imatrix m = {.dataset = strdup("a text"), .chunk_count = 3, .chunk_size = 4};
    const char *twice;
    struct imatrix_entry *e = imatrix_add(&m, "blk.0.ffn_up_exps.weight", 24, EXPERTS, COLS);
    assert_non_null(e);
    memcpy(e->sums, sums, sizeof sums);
    memcpy(e->counts, counts, sizeof counts);
    e = imatrix_add(&m, "blk.0.attn_q.weight", 19, 1, COLS);
    assert_non_null(e);
    memcpy(e->sums, sums, COLS * sizeof *sums);
    e->counts[0] = 12;
    assert_true(imatrix_sort(&m, &twice));
    return m;
}

static struct imatrix written(const char *name)
{
    struct imatrix m = made(), back;
    struct error error = {""};
    char *path = path_in(folder, name);
    size_t bytes = 0, whole;
    if (!imatrix_write(&m, path, &bytes, &error) || !imatrix_read(&back, path, &error))
        fail_msg("%s", error.text);
    free(read_whole(path, &whole));
    assert_int_equal(bytes, whole);
    assert_string_equal(back.dataset, "a text");
    assert_int_equal(back.chunk_count, 3);
    imatrix_free(&m);
    free(path);
    return back;
}

static void test_written_gguf(void **state)
{
    (void)state;
    struct imatrix m = written("a.gguf");
    const struct imatrix_entry *e = imatrix_find(&m, "blk.0.ffn_up_exps.weight");
    assert_true(m.count == 2 && m.chunk_size == 4 && e && e->rows == EXPERTS);
    assert_memory_equal(e->sums, sums, sizeof sums);
    assert_memory_equal(e->counts, counts, sizeof counts);
    imatrix_free(&m);
}

/* Means times chunks: 10 tokens in chunks of 4 are 3; without data a mean of 1. */
static void test_written_dat(void **state)
{
    (void)state;
    struct imatrix m = written("a.dat");
    const struct imatrix_entry *e = imatrix_find(&m, "blk.0.ffn_up_exps.weight");
    assert_true(m.count == 2 && m.legacy && e && e->rows == 1 && e->values == EXPERTS * COLS && e->counts[0] == 3);
    for (size_t i = 0; i < EXPERTS * COLS; i++) {
        float count = counts[i / COLS], mean = count > 0 ? sums[i] / count : 1;
        assert_true(fabsf(e->sums[i] / e->counts[0] - mean) <= 1e-6f * mean);
    }
    imatrix_free(&m);
}

/* ---- a model's tensors ---------------------------------------------------------------------------- */

static struct model *mixture_model(void)
{
    struct error error = {""};
    struct model *m = model_open(SRCDIR "/tests/data/families/qwen3_moe", &error);
    if (!m)
        fail_msg("%s", error.text);
    return m;
}

/* An entry of a tensor whose means are (row + 1) x (column + 1), of 2 tokens a row. */
static void add_for(struct imatrix *m, const char *name, size_t rows, size_t cols)
{
    struct imatrix_entry *e = imatrix_add(m, name, strlen(name), rows, cols);
    assert_non_null(e);
    for (size_t r = 0; r < rows; r++)
        e->counts[r] = 2;
    for (size_t i = 0; i < e->values; i++)
        e->sums[i] = 2 * (float)((i / cols + 1) * (i % cols + 1));
}

static struct importance *opened(struct imatrix *m, const struct model *model, struct error *error)
{
    const char *twice;
    assert_true(imatrix_sort(m, &twice));
    m->dataset = strdup("");
    return importance_open(m, model, "file", error);
}

static void check_mean(const struct importance *i, const struct model *model, const char *name, float row)
{
    int t = model_find_name(model, name);
    assert_true(t >= 0);
    const float *mean = importance_of(i, t);
    if (!mean)
        fail_msg("%s: %s", name, importance_lack(i, t));
    for (size_t c = 0; c < model->tensors[t].stored.cols; c++)
        assert_true(fabsf(mean[c] - row * (float)(c + 1)) <= 1e-6f * mean[c]);
}

static void check_lack(const struct importance *i, const struct model *model, const char *name, const char *lack)
{
    int t = model_find_name(model, name);
    assert_true(t >= 0);
    assert_null(importance_of(i, t));
    assert_string_equal(importance_lack(i, t), lack);
}

static void test_names(void **state)
{
    struct model *model = mixture_model();
    size_t dim = model->hyper.dim, experts = model->layers[0].mixture.experts;
    struct imatrix m = {0};
    struct error error = {""};
    (void)state;
    add_for(&m, "blk.0.attn_qkv.weight", 1, dim); /* another file of the model has it in one */
    add_for(&m, "blk.0.ffn_up_exps.weight", experts, dim);
    add_for(&m, "blk.1.attn_q.weight", 1, dim);
    add_for(&m, "blk.9.attn_q.weight", 1, dim);
    m.entries[1].counts[1] = 0;
    memset(m.entries[1].sums + 2 * dim, 0, dim * sizeof(float));
    struct importance *i = opened(&m, model, &error);
    if (!i)
        fail_msg("%s", error.text);
    check_mean(i, model, "blk.0.attn_q", 1);
    check_mean(i, model, "blk.0.attn_v", 1);
    check_mean(i, model, "blk.1.attn_q", 1);
    check_mean(i, model, "blk.0.ffn_up_exps.0", 1);
    check_mean(i, model, "blk.0.ffn_gate_exps.3", 4); /* the same input */
    check_lack(i, model, "blk.0.ffn_up_exps.1", "no token of the imatrix reached it");
    check_lack(i, model, "blk.0.ffn_up_exps.2", "all its sums are 0");
    check_lack(i, model, "blk.0.ffn_down_exps.0", "the imatrix has no entry of it");
    check_lack(i, model, "blk.0.attn_norm", "the imatrix has no entry of it");
    assert_true(i->unused == 1 && strcmp(i->first_unused, "blk.9.attn_q.weight") == 0 && i->entries == 4);
    importance_close(i);
    imatrix_free(&m);
    model_close(model);
}

static void test_another_model(void **state)
{
    struct model *model = mixture_model();
    size_t dim = model->hyper.dim, experts = model->layers[0].mixture.experts;
    const struct {
        const char *name;
        size_t rows, cols;
        const char *expected;
    } cases[] = {
        {"blk.0.attn_q.weight", 1, dim + 1, "one a column"},
        {"blk.0.ffn_up_exps.weight", experts + 1, dim, "blk.0.ffn_up_exps.weight has"},
        {"blk.0.ffn_up_exps.weight", 2 * experts, dim / 2, "counts; this model has"},
        {"blk.0.other.weight", 1, dim,
         "none of its 1 entries names a tensor of this model (the first is blk.0.other.weight)"},
    };
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct imatrix m = {0};
        struct error error = {""};
        add_for(&m, cases[k].name, cases[k].rows, cases[k].cols);
        assert_null(opened(&m, model, &error));
        if (!strstr(error.text, cases[k].expected) || !strstr(error.text, "another model's imatrix"))
            fail_msg("'%s'; expected: %s", error.text, cases[k].expected);
        imatrix_free(&m);
    }
    model_close(model);
}

/* A .dat has the experts' values without saying how many rows they are. */
static void test_legacy_experts(void **state)
{
    struct model *model = mixture_model();
    size_t dim = model->hyper.dim, experts = model->layers[0].mixture.experts;
    struct imatrix m = {.legacy = true};
    struct error error = {""};
    (void)state;
    add_for(&m, "blk.0.ffn_up_exps.weight", experts, dim);
    m.entries[0].rows = 1;
    struct importance *i = opened(&m, model, &error);
    if (!i)
        fail_msg("%s", error.text);
    check_mean(i, model, "blk.0.ffn_up_exps.2", 3);
    importance_close(i);
    imatrix_free(&m);
    model_close(model);
}

/* Files of tests/imatrix_files.py: a matrix, and experts of which the first was reached by no token. */
static void test_files(void **state)
{
    static const char *const paths[] = {SRCDIR "/tests/data/imatrix/qwen3_moe.gguf",
                                        SRCDIR "/tests/data/imatrix/qwen3_moe.dat"};
    struct model *model = mixture_model();
    (void)state;
    for (size_t k = 0; k < sizeof paths / sizeof *paths; k++) {
        struct imatrix m;
        struct error error = {""};
        struct importance *i = imatrix_read(&m, paths[k], &error) ? importance_open(&m, model, paths[k], &error) : NULL;
        if (!i)
            fail_msg("%s", error.text);
        assert_string_equal(i->dataset, "a text");
        assert_true(i->chunks == 3 && i->entries == 2 && i->unused == 0 && m.legacy == (k == 1));
        check_mean(i, model, "blk.0.attn_q", 1.0f / 64);
        check_mean(i, model, "blk.0.ffn_down_exps.1", 2.0f / 64);
        check_mean(i, model, "blk.0.ffn_down_exps.3", 4.0f / 64);
        if (k == 0) /* a .dat does not tell */
            check_lack(i, model, "blk.0.ffn_down_exps.0", "no token of the imatrix reached it");
        importance_close(i);
        imatrix_free(&m);
    }
    model_close(model);
}

/* ---- collecting ----------------------------------------------------------------------------------- */

enum { TOKENS = 300, WINDOW = 32 };

struct fixture {
    struct model *model;
    struct pool *pool;
    struct weights *stored;
    struct calibration_text text;
    struct imatrix matrix;
    struct importance *importance;
};

static void collect(struct fixture *f)
{
    struct error error = {""};
    struct imatrix_collect_plan plan = {f->model, f->pool, f->stored, &f->text, "a text", false};
    struct imatrix_collect *job = imatrix_collect_open(&plan, &error);
    bool done = false;
    double fraction = -1;
    while (job && !done) {
        if (!imatrix_collect_class.step(job, 0, &done, &error))
            fail_msg("%s", error.text);
        assert_true(imatrix_collect_class.fraction(job) >= fraction - 1e-9 && imatrix_collect_class.fraction(job) <= 1);
        fraction = imatrix_collect_class.fraction(job);
    }
    if (!job)
        fail_msg("%s", error.text);
    assert_true(fraction >= 1);
    imatrix_collect_take(job, &f->matrix);
    imatrix_collect_class.close(job);
    f->importance = importance_open(&f->matrix, f->model, "file", &error);
    if (!f->importance)
        fail_msg("%s", error.text);
}

static struct fixture open_fixture_of(size_t count)
{
    struct error error = {""};
    struct fixture f = {.model = mixture_model(), .pool = pool_create(2, &error)};
    int32_t *tokens = make(count * sizeof *tokens);
    for (size_t i = 0; i < count; i++)
        tokens[i] = 3 + (int32_t)(i * 7 % 20);
    f.stored = weights_stored(f.model);
    assert_true(f.pool && f.stored && calibration_text_make_in(&f.text, tokens, count, count, 1, WINDOW, &error));
    free(tokens);
    collect(&f);
    return f;
}

static struct fixture open_fixture(void)
{
    return open_fixture_of(TOKENS);
}

static void close_fixture(struct fixture *f)
{
    importance_close(f->importance);
    imatrix_free(&f->matrix);
    free(f->text.tokens);
    weights_unref(f->stored);
    pool_destroy(f->pool);
    model_close(f->model);
}

/* Every matrix inside blocks has an entry; all tokens came by, and each used as many experts as the model says. */
static void test_collected(void **state)
{
    struct fixture f = open_fixture();
    (void)state;
    for (size_t i = 0; i < f.matrix.count; i++) {
        const struct imatrix_entry *e = &f.matrix.entries[i];
        float count = 0, share = e->rows > 1 ? (float)f.model->layers[0].mixture.used : 1;
        for (size_t r = 0; r < e->rows; r++)
            count += e->counts[r];
        assert_true(strncmp(e->name, "blk.", 4) == 0 && count == share * (float)f.text.count);
    }
    assert_non_null(imatrix_find(&f.matrix, "blk.0.ffn_gate_inp.weight"));
    assert_null(imatrix_find(&f.matrix, "output.weight"));
    assert_true(f.matrix.chunk_size == WINDOW && f.matrix.chunk_count == f.text.count / WINDOW);
    assert_int_equal(f.importance->unused, 0);
    close_fixture(&f);
}

static void decode_row(const struct model *m, const char *name, size_t row, float *out)
{
    qmatrix_decode_row(&m->tensors[model_find_name(m, name)].stored, row, out);
}

/* The input of the first block's queries is an RMS norm of embeddings, which takes a few lines. */
static void test_definition(void **state)
{
    struct fixture f = open_fixture();
    size_t dim = f.model->hyper.dim;
    const struct imatrix_entry *e = imatrix_find(&f.matrix, "blk.0.attn_q.weight");
    float *row = make(dim * sizeof *row), *norm = make(dim * sizeof *norm);
    double *sum = make(dim * sizeof *sum);
    (void)state;
    memset(sum, 0, dim * sizeof *sum);
    decode_row(f.model, "blk.0.attn_norm", 0, norm);
    for (size_t t = 0; t < f.text.count; t++) {
        double square = 0;
        decode_row(f.model, "token_embd", (size_t)f.text.tokens[t], row);
        for (size_t c = 0; c < dim; c++)
            square += (double)row[c] * (double)row[c];
        double variance = square / (double)dim + (double)f.model->hyper.norm_eps;
        for (size_t c = 0; c < dim; c++)
            sum[c] += pow((double)row[c] * (double)norm[c], 2) / variance;
    }
    assert_true(e && e->values == dim && e->counts[0] == (float)f.text.count);
    for (size_t c = 0; c < dim; c++)
        assert_true(fabs((double)e->sums[c] - sum[c]) <= 1e-4 * sum[c]);
    free(row);
    free(norm);
    free(sum);
    close_fixture(&f);
}

/* A text that takes more than one pass. */
static void test_long_text(void **state)
{
    struct fixture f = open_fixture_of(CALIBRATION_MAX + 100);
    const struct imatrix_entry *e = imatrix_find(&f.matrix, "blk.1.ffn_down.weight");
    (void)state;
    assert_true(e && e->counts[0] == (float)f.text.count);
    close_fixture(&f);
}

static struct weights *quantized(const struct fixture *f, const struct importance *importance, const char *scheme,
                                 struct quantization **job)
{
    size_t n = schemes_count(f->model);
    struct scheme *schemes = make(n * sizeof *schemes), parsed;
    struct error error = {""};
    bool done = false;
    assert_true(scheme_parse(scheme, &parsed, &error));
    for (size_t t = 0; t < f->model->tensor_count; t++)
        schemes[t] = scheme_stored(&f->model->tensors[t].stored);
    schemes_set_linear(f->model, parsed, schemes);
    struct quantization_plan plan = {.model = f->model,
                                     .pool = f->pool,
                                     .from = f->stored,
                                     .stored = f->stored,
                                     .schemes = schemes,
                                     .text = importance ? NULL : &f->text,
                                     .importance = importance};
    *job = quantization_open(&plan, &error);
    while (*job && !done)
        if (!quantization_step(*job, 1, &done, &error))
            fail_msg("%s", error.text);
    if (!*job)
        fail_msg("%s", error.text);
    free(schemes);
    return quantization_take(*job);
}

/* Without a text, weights are those that the text itself gives, but for the rounding of sums to floats. */
static void test_weighs_as_the_text(void **state)
{
    struct fixture f = open_fixture();
    struct quantization *by_text, *by_matrix;
    struct weights *a = quantized(&f, NULL, "int4:g16:imatrix", &by_text);
    struct weights *b = quantized(&f, f.importance, "int4:g16:imatrix", &by_matrix);
    (void)state;
    for (size_t t = 0; t < a->count; t++) {
        const struct weight_error *x = &a->layer[t]->error, *y = &b->layer[t]->error;
        if (qtensor_scheme(a->layer[t]).format.stored)
            continue;
        if (!(fabs(x->sum_e2 - y->sum_e2) <= 1e-3 * x->sum_e2))
            fail_msg("%s: %g by the text, %g by the matrix", f.model->tensors[t].name, x->sum_e2, y->sum_e2);
        assert_int_equal(b->layer[t]->calibration.weighed_by, WEIGHED_BY_IMATRIX);
        assert_int_equal(a->layer[t]->calibration.weighed_by, WEIGHED_BY_TEXT);
    }
    assert_null(quantization_note(by_matrix, 0));
    weights_unref(a);
    weights_unref(b);
    quantization_close(by_text);
    quantization_close(by_matrix);
    close_fixture(&f);
}

/* What lacks data is made as without weights, and listed. */
static void test_unweighted(void **state)
{
    struct fixture f = open_fixture();
    struct imatrix_entry *e = (struct imatrix_entry *)(uintptr_t)imatrix_find(&f.matrix, "blk.0.attn_v.weight");
    struct quantization *job;
    struct error error = {""};
    (void)state;
    memset(e->counts, 0, e->rows * sizeof *e->counts);
    importance_close(f.importance);
    f.importance = importance_open(&f.matrix, f.model, "file", &error);
    assert_non_null(f.importance);
    struct weights *set = quantized(&f, f.importance, "int4:g16:imatrix", &job);
    assert_string_equal(quantization_note(job, 0), "blk.0.attn_v: no token of the imatrix reached it: unweighted");
    assert_null(quantization_note(job, 1));
    int v = model_find_name(f.model, "blk.0.attn_v");
    assert_int_equal(set->layer[v]->calibration.weighed_by, WEIGHED_BY_NOTHING);
    quantization_close(job);
    struct weights *plain = quantized(&f, NULL, "int4:g16:clip", &job);
    assert_true(plain->layer[v]->error.sum_e2 == set->layer[v]->error.sum_e2);
    quantization_close(job);
    weights_unref(plain);
    weights_unref(set);
    close_fixture(&f);
}

/* An importance matrix stands for no activations: other methods ask for the text. */
static void test_text_is_needed(void **state)
{
    struct fixture f = open_fixture();
    struct scheme *schemes = make(schemes_count(f.model) * sizeof *schemes), parsed;
    static const char *const texts[] = {"int4:g16:imatrix+gptq", "int4:g16:awq", "int8/int8.static:imatrix"};
    struct error error = {""};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_true(scheme_parse(texts[i], &parsed, &error));
        for (size_t t = 0; t < f.model->tensor_count; t++)
            schemes[t] = scheme_stored(&f.model->tensors[t].stored);
        schemes_set_linear(f.model, parsed, schemes);
        struct quantization_plan plan = {.model = f.model,
                                         .pool = f.pool,
                                         .from = f.stored,
                                         .stored = f.stored,
                                         .schemes = schemes,
                                         .importance = f.importance};
        assert_true(quantization_calibrates(&plan));
        assert_null(quantization_open(&plan, &error));
        assert_non_null(strstr(error.text, "no calibration text"));
    }
    free(schemes);
    close_fixture(&f);
}

/* ---- texts ------------------------------------------------------------------------------------------ */

/* As llama.cpp cuts them: the first token of each window is BOS instead of the text's. */
static void test_windows(void **state)
{
    struct calibration_text text;
    struct error error = {""};
    const int32_t tokens[] = {10, 11, 12, 13, 14, 15, 16, 17};
    const int32_t with[] = {1, 10, 11, 1, 13, 14, 1, 16, 17}, without[] = {10, 11, 12, 13, 14, 15};
    (void)state;
    assert_true(calibration_text_make_replacing(&text, tokens, 8, 1, 3, &error));
    assert_true(text.count == 9 && text.window == 3);
    assert_memory_equal(text.tokens, with, sizeof with);
    free(text.tokens);
    assert_true(calibration_text_make_replacing(&text, tokens, 8, -1, 3, &error));
    assert_int_equal(text.count, 6);
    assert_memory_equal(text.tokens, without, sizeof without);
    free(text.tokens);
    assert_false(calibration_text_make_replacing(&text, tokens, 8, 1, 10, &error));
    assert_non_null(strstr(error.text, "has 9 tokens; expected at least a window of 10"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gguf),
        cmocka_unit_test(test_gguf_refused),
        cmocka_unit_test(test_gguf_cut),
        cmocka_unit_test(test_dat),
        cmocka_unit_test(test_dat_refused),
        cmocka_unit_test(test_written_gguf),
        cmocka_unit_test(test_written_dat),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_another_model),
        cmocka_unit_test(test_legacy_experts),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_collected),
        cmocka_unit_test(test_definition),
        cmocka_unit_test(test_long_text),
        cmocka_unit_test(test_weighs_as_the_text),
        cmocka_unit_test(test_unweighted),
        cmocka_unit_test(test_text_is_needed),
        cmocka_unit_test(test_windows),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

/* A row is all that a table needs: each case adds one that does nothing new and runs it. The table that a case
 * extends is defined here, so that the linker leaves the program's own in its archive. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "folderwork.h"
#include "engine/context.h"
#include "export/internal.h"
#include "model/arch_rows.h"
#include "model/format.h"
#include "tokenizer/vocabulary.h"
#include "gguffile.h"
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- an architecture ------------------------------------------------------------------------- */

static const struct arch arch_nothing = {
    .name = "nothing",
    .gguf = "nothing",
    .steps = arch_llama_steps,
    .required = LLAMA,
    .activation = ACTIVATION_SILU,
    .gguf_rope = ROPE_HALVES,
};

const struct arch *const archs[] = {&arch_llama, &arch_nothing, NULL};

static void put_metadata(struct gguffile *f, const struct hyper *h)
{
    gguffile_string(f, "general.architecture", "nothing");
    gguffile_uint32(f, "nothing.block_count", (uint32_t)h->layers);
    gguffile_uint32(f, "nothing.context_length", (uint32_t)h->trained_context);
    gguffile_uint32(f, "nothing.embedding_length", (uint32_t)h->dim);
    gguffile_uint32(f, "nothing.feed_forward_length", (uint32_t)h->hidden);
    gguffile_uint32(f, "nothing.attention.head_count", (uint32_t)h->heads);
    gguffile_float32(f, "nothing.attention.layer_norm_rms_epsilon", 1e-5f);
}

/* Weights of bytes 0x3c are small numbers. */
static void put_tensor(struct gguffile *f, const struct hyper *h, enum role role, size_t block)
{
    char name[64];
    struct model m = {.hyper = *h};
    const struct layer l = model_layer(h, block);
    struct tensor_shape s = model_role_shape(&m, &l, role);
    float *values = make(s.rows * s.cols * sizeof *values);
    memset(values, 0x3c, s.rows * s.cols * sizeof *values);
    if (roles[role].in_block)
        snprintf(name, sizeof name, "blk.%zu.%s.weight", block, roles[role].name);
    else
        snprintf(name, sizeof name, "%s.weight", roles[role].name);
    bool vector = roles[role].vector;
    gguffile_tensor(f, name, DTYPE_FP32, vector ? 1 : 2, vector ? &s.cols : (size_t[]){s.rows, s.cols}, values);
    free(values);
}

static char *write_model(const struct hyper *h)
{
    struct gguffile f;
    gguffile_begin(&f, 3);
    put_metadata(&f, h);
    for (size_t block = 0; block < h->layers; block++)
        for (enum role role = 0; role < ROLE_COUNT; role++)
            if (arch_nothing.required & ROLE_BIT(role) && (roles[role].in_block || block == 0))
                put_tensor(&f, h, role, block);
    struct bytes b = gguffile_bytes(&f);
    char *path = path_in(folder, "nothing.gguf");
    write_file(path, b.data, b.size);
    bytes_free(&b);
    gguffile_free(&f);
    return path;
}

static const struct hyper hyper = {.dim = 16, .hidden = 24, .layers = 2, .heads = 2, .kv_heads = 2,
                                   .head_size = 8, .vocab = 12, .trained_context = 8};

static struct model *open_model(void)
{
    struct error error = {""};
    char *path = write_model(&hyper);
    struct model *m = model_open(path, &error);
    if (!m)
        fail_msg("%s", error.text);
    free(path);
    return m;
}

static void test_an_architecture(void **state)
{
    static const int32_t ids[] = {1, 5, 3};
    (void)state;
    struct error error = {""};
    struct model *m = open_model();
    assert_string_equal(m->arch, "nothing");
    assert_ptr_equal(arch_of(m), &arch_nothing);
    struct pool *pool = pool_create(1, &error);
    struct weights *w = weights_stored(m);
    struct context *c = context_open(m, pool, 8, &error);
    assert_non_null(c);
    float logits[12];
    context_run(c, w, ids, 3, LOGITS_LAST, logits);
    for (size_t i = 0; i < hyper.vocab; i++)
        assert_true(isfinite(logits[i]));
    context_close(c);
    weights_unref(w);
    pool_destroy(pool);
    model_close(m);
}

/* ---- a format of model files ----------------------------------------------------------------- */

static bool probe_nothing(const char *path, const uint8_t *data, size_t size)
{
    (void)path;
    return data && size == 7 && memcmp(data, "NOTHING", 7) == 0;
}

static bool open_nothing(struct model *m, const char *path, struct error *error)
{
    (void)path;
    m->arch = "llama";
    m->hyper = hyper;
    m->has = llama_roles;
    return model_make_tensors(m, error);
}

static const struct format nothing_format = {"nothing", "a file of nothing", .probe = probe_nothing,
                                             .open = open_nothing};

const struct format *const model_formats[] = {&gguf_format, &nothing_format, NULL};

static void test_a_format_of_models(void **state)
{
    (void)state;
    struct error error = {""};
    char *path = path_in(folder, "model.nothing");
    write_file(path, "NOTHING", 7);
    struct model *m = model_open(path, &error);
    if (!m)
        fail_msg("%s", error.text);
    assert_string_equal(m->format, "nothing");
    assert_null(model_config_path(m));
    model_close(m);
    write_file(path, "nothing", 7);
    assert_null(model_open(path, &error));
    assert_non_null(strstr(error.text, "expected a GGUF file, a file of nothing"));
    free(path);
}

/* ---- a format of tokenizers ------------------------------------------------------------------ */

static bool probe_word(const uint8_t *data, size_t size)
{
    return size >= 4 && memcmp(data, "WORD", 4) == 0;
}

/* The whole file is the only token. */
static bool visit_word(const uint8_t *data, size_t size, const char *path, vocabulary_fn *see, void *arg,
                       struct error *error)
{
    struct vocabulary_piece piece = {(const char *)data, (uint32_t)size, 0, TOKEN_USER_DEFINED};
    struct vocabulary v = {.model = VOCABULARY_BPE, .pieces = &piece, .count = 1, .bos = -1, .eos = -1, .unknown = -1};
    (void)path;
    return see(arg, &v, "", error);
}

static const struct tokenizer_format word_tokenizer_format = {"a file of a word", probe_word, NULL, visit_word};

const struct tokenizer_format *const tokenizer_formats[] = {&gguf_tokenizer_format, &word_tokenizer_format, NULL};

static void test_a_format_of_tokenizers(void **state)
{
    (void)state;
    struct error error = {""};
    struct tokens tokens = {0};
    char *path = path_in(folder, "word");
    write_file(path, "WORDS", 5);
    struct tokenizer *t = tokenizer_open(path, &error);
    if (!t)
        fail_msg("%s", error.text);
    assert_true(tokenizer_encode(t, "WORDSWORDS", 10, &tokens, &error));
    assert_int_equal(tokens.count, 2);
    free(tokens.ids);
    tokenizer_close(t);
    write_file(path, "words", 5);
    assert_null(tokenizer_open(path, &error));
    assert_non_null(strstr(error.text, "expected a GGUF file or a file of a word"));
    free(path);
}

/* ---- a format of exports --------------------------------------------------------------------- */

static bool begin_nothing(struct export *job, struct error *error)
{
    (void)job, (void)error;
    return true;
}

static bool add_nothing(struct export *job, int tensor, struct error *error)
{
    (void)job, (void)tensor, (void)error;
    return true;
}

static bool end_nothing(struct export *job, struct error *error)
{
    (void)job, (void)error;
    return true;
}

static bool put_nothing(struct export *job, FILE *out, struct error *error)
{
    (void)job, (void)error;
    return fputs("NOTHING", out) >= 0;
}

static const struct export_format nothing_export = {
    "nothing", ".nothing", 1, false, begin_nothing, add_nothing, end_nothing, put_nothing, NULL};

const struct export_format *const export_formats[] = {&gguf_export, &nothing_export, NULL};

static void test_a_format_of_exports(void **state)
{
    (void)state;
    struct error error = {""};
    char names[EXPORT_NAMES], *path = path_in(folder, "export.nothing");
    assert_string_equal(export_format_names(names), "gguf or nothing");
    struct model *m = open_model();
    struct weights *w = weights_stored(m);
    struct export *job = export_open(&(struct export_plan){.model = m, .weights = w, .path = path}, &error);
    if (!job)
        fail_msg("%s", error.text);
    bool done = false;
    assert_true(export_step(job, 1, &done, &error) && done);
    export_close(job);
    struct bytes b = read_file(path);
    assert_int_equal(b.size, 7);
    assert_memory_equal(b.data, "NOTHING", 7);
    bytes_free(&b);
    weights_unref(w);
    model_close(m);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_architecture),
        cmocka_unit_test(test_a_format_of_models),
        cmocka_unit_test(test_a_format_of_tokenizers),
        cmocka_unit_test(test_a_format_of_exports),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

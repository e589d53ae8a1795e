/* A row is all that a table needs: each case adds one that does nothing new and runs it. The table that a case
 * extends is defined here, so that the linker leaves the program's own in its archive. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/context.h"
#include "model/arch_rows.h"
#include "gguffile.h"
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *folder;

static int make_folder(void **state)
{
    (void)state;
    folder = folder_make();
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    folder_remove(folder);
    return 0;
}

/* ---- an architecture ------------------------------------------------------------------------- */

static const struct arch arch_nothing = {
    .name = "nothing",
    .gguf = "nothing",
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
}

/* Weights of bytes 0x3c are small numbers. */
static void put_tensor(struct gguffile *f, const struct hyper *h, enum role role, size_t block)
{
    char name[64];
    struct tensor_shape s = model_role_shape(h, role);
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

static void test_an_architecture(void **state)
{
    static const struct hyper hyper = {.dim = 16, .hidden = 24, .layers = 2, .heads = 2, .kv_heads = 2,
                                       .head_size = 8, .vocab = 12, .trained_context = 8};
    static const int32_t ids[] = {1, 5, 3};
    (void)state;
    struct error error = {""};
    char *path = write_model(&hyper);
    struct model *m = model_open(path, &error);
    if (!m)
        fail_msg("%s", error.text);
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
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_architecture),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

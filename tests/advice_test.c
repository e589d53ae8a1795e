/* Advice on what to quantize: by kind, by the bytes of the whole kind, whatever the depth, and by what was measured;
 * and none that is meant for another layer. */
#include "labwork.h"

enum { ROLES = 7, MOST_BLOCKS = 200 };
static const enum role in_block[ROLES] = {ROLE_ATTN_NORM, ROLE_ATTN_Q, ROLE_ATTN_K,  ROLE_ATTN_V,
                                          ROLE_ATTN_OUT,  ROLE_FFN_UP, ROLE_FFN_DOWN};

/* A model of some blocks: queries of 1 MB, keys and values of kv bytes, feed-forward layers of 4 MB. */
static struct model deep_model(size_t blocks, size_t kv)
{
    struct model m = {.tensor_count = ROLES * blocks};
    m.tensors = make(m.tensor_count * sizeof *m.tensors);
    for (size_t i = 0; i < m.tensor_count; i++) {
        enum role role = in_block[i % ROLES];
        bool narrow = role == ROLE_ATTN_K || role == ROLE_ATTN_V, ffn = role == ROLE_FFN_UP || role == ROLE_FFN_DOWN;
        size_t bytes = role == ROLE_ATTN_NORM ? 4096 : narrow ? kv : ffn ? 4000000 : 1000000;
        m.tensors[i] = (struct tensor){.role = role, .block = (int)(i / ROLES)};
        m.tensors[i].stored.bytes = bytes;
    }
    return m;
}

static enum guidance guidance_of(const struct model *m, size_t block, enum role role, const double *kl)
{
    size_t i = 0;
    while (in_block[i] != role)
        i++;
    return tensor_advice(m, (int)(block * ROLES + i), kl).guidance;
}

/* A layer of a deep model is a small share of it, and as important as in a shallow one. */
static void test_depth_changes_nothing(void **state)
{
    (void)state;
    for (size_t blocks = 1; blocks <= MOST_BLOCKS; blocks *= 5) {
        struct model m = deep_model(blocks, 250000);
        for (size_t b = 0; b < blocks; b += blocks / 2 + 1) {
            assert_int_equal(guidance_of(&m, b, ROLE_ATTN_K, NULL), GUIDE_CAREFUL);
            assert_int_equal(guidance_of(&m, b, ROLE_ATTN_V, NULL), GUIDE_CAREFUL);
            assert_int_equal(guidance_of(&m, b, ROLE_ATTN_Q, NULL), GUIDE_USUALLY);
            assert_int_equal(guidance_of(&m, b, ROLE_ATTN_NORM, NULL), GUIDE_CAREFUL);
        }
        free(m.tensors);
    }
}

/* 0.1 % of the bytes, all layers of the kind together. */
static void test_small_kinds(void **state)
{
    (void)state;
    struct model m = deep_model(40, 10000), below = deep_model(40, 9900);
    assert_int_equal(guidance_of(&m, 3, ROLE_ATTN_K, NULL), GUIDE_DONT); /* of 10.03 MB a block */
    assert_int_equal(guidance_of(&below, 3, ROLE_ATTN_V, NULL), GUIDE_DONT);
    assert_non_null(strstr(tensor_advice(&m, 2, NULL).text, "all attn_k together hold 0.1 % of the bytes"));
    free(m.tensors);
    m = deep_model(40, 10100);
    assert_int_equal(guidance_of(&m, 3, ROLE_ATTN_K, NULL), GUIDE_CAREFUL);
    free(m.tensors);
    free(below.tensors);
}

/* Feed-forward layers have most of the KL here, as they have of the bytes; one of the queries costs far more than its
 * share. */
static void test_measured(void **state)
{
    (void)state;
    struct model m = deep_model(4, 250000);
    double *kl = make(m.tensor_count * sizeof *kl);
    for (size_t i = 0; i < m.tensor_count; i++)
        kl[i] = m.tensors[i].role == ROLE_ATTN_NORM ? NAN : 1e-9 * (double)m.tensors[i].stored.bytes * 1.0;
    size_t q = ROLES + 1, k = ROLES + 2;
    kl[q] = 20e-3; /* 20 times its share */
    kl[k] = 1e-6;
    assert_int_equal(guidance_of(&m, 1, ROLE_ATTN_Q, kl), GUIDE_CAREFUL);
    assert_int_equal(guidance_of(&m, 1, ROLE_ATTN_K, kl), GUIDE_USUALLY);
    assert_non_null(strstr(tensor_advice(&m, (int)q, kl).text, "% of the measured KL with 2.4 % of the bytes"));
    kl[q] = NAN; /* not measured: by its kind */
    assert_int_equal(guidance_of(&m, 1, ROLE_ATTN_Q, kl), GUIDE_USUALLY);
    for (size_t i = 0; i < m.tensor_count; i++)
        kl[i] = NAN;
    assert_int_equal(guidance_of(&m, 1, ROLE_ATTN_K, kl), GUIDE_CAREFUL);
    free(kl);
    free(m.tensors);
}

static void test_several_layers(void **state)
{
    (void)state;
    struct model m = deep_model(4, 250000);
    struct advice a;
    assert_true(tensors_advice(&m, (int[]){2, 9, 16}, 3, NULL, &a) && a.guidance == GUIDE_CAREFUL); /* attn_k */
    assert_false(tensors_advice(&m, (int[]){2, 9, 15}, 3, NULL, &a));
    assert_false(tensors_advice(&m, (int[]){1, 2, 3, 4, 5, 6}, 6, NULL, &a)); /* a block */
    free(m.tensors);
}

/* A change of a whole block says nothing that is meant for one of its layers. */
static void test_status_of_a_block(void **state)
{
    (void)state;
    struct lab *lab = start();
    int block[] = {tensor("blk.0.attn_q"), tensor("blk.0.attn_k"), tensor("blk.0.attn_v"), tensor("blk.0.ffn_down")};
    struct frame *f = ask(lab, set_command(block, 4, "int8"));
    assert_string_equal(f->status.text, "4 layers: int8");
    frame_unref(f);
    int keys[] = {tensor("blk.0.attn_k"), tensor("blk.1.attn_k")};
    f = ask(lab, set_command(keys, 2, "int4"));
    assert_non_null(strstr(f->status.text, "2 layers: int4 - be careful"));
    frame_unref(f);
    lab_stop(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_depth_changes_nothing), cmocka_unit_test(test_small_kinds),
        cmocka_unit_test(test_measured),              cmocka_unit_test(test_several_layers),
        cmocka_unit_test(test_status_of_a_block),
    };
    return cmocka_run_group_tests(tests, open_session, close_session);
}

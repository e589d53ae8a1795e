/* The built-in model: its shape, that it tells stories, and what quantization does to it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "measure/output_error.h"
#include "measure/quality.h"
#include "quant/requant.h"
#include "session/selftext.h"
#include "session/session.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef SRCDIR
#define SRCDIR "."
#endif

static struct session session;

static int open_builtin(void **state)
{
    struct error error;
    struct session_options o = {.model_path = SRCDIR "/data/stories.bin"};
    (void)state;
    if (session_open(&session, &o, &error))
        return 0;
    fprintf(stderr, "%s\n", error.text);
    return 1;
}

static int close_builtin(void **state)
{
    (void)state;
    session_close(&session);
    return 0;
}

static bool is_linear(const struct tensor *t)
{
    return roles[t->role].linear && roles[t->role].in_block;
}

static void test_shape(void **state)
{
    const struct model *m = session.model;
    (void)state;
    assert_true(m->parameters >= 1000000 && m->parameters <= 3000000);
    assert_true(catalog_bytes(&m->files) <= 8000000);
    assert_non_null(session.tokenizer);
    assert_int_equal(m->non_finite, 0);
    for (size_t i = 0; i < m->tensor_count; i++)
        assert_int_equal(m->tensors[i].stored.cols % 128, 0);
}

/* Real text of its own kind, never trained on: far from what an untrained model reaches. */
static void test_held_out_text(void **state)
{
    char text[20000];
    struct error error;
    struct tokens tokens = {0};
    struct quality_result r;
    (void)state;
    FILE *f = fopen(SRCDIR "/data/stories-heldout.txt", "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    assert_true(n > 10000 && n < sizeof text);
    assert_true(tokenizer_encode(session.tokenizer, text, n, &tokens, &error));
    if (SANITIZED) /* one window: minutes otherwise */
        tokens.count = 512;
    struct quality_plan plan = {tokens.ids, tokens.count, session_bos(&session), PROTOCOL_FULL, 512, 0, NULL};
    struct quality *q = quality_open(session.model, session.pool, &plan, session.stored,
                                     session.stored, &error);
    assert_non_null(q);
    while (!quality_step(q, 1))
        continue;
    r = quality_result(q);
    quality_close(q);
    free(tokens.ids);
    fprintf(stderr, "held-out stories: perplexity %.4f over %zu predictions\n", r.perplexity, r.scored);
    assert_true(r.perplexity < 2);
}

/* What a smaller cache is known to cost: nothing to speak of in fp16, little in int8, more in fp8. */
static void test_kv_cache(void **state)
{
    static const struct {
        enum dtype kv;
        double least, most; /* nats */
    } cases[] = {{DTYPE_FP32, 0, 0}, {DTYPE_FP16, 0, 1e-7}, {DTYPE_INT8, 1e-7, 1e-4},
                 {DTYPE_FP8E4M3, 1e-6, 1e-3}, {DTYPE_FP8E5M2, 1e-5, 5e-3}};
    struct error error;
    double before = -1;
    enum { TOKENS = SANITIZED ? 128 : 512 };
    (void)state;
    struct writer *w = writer_open(&session, TOKENS, SELF_TEXT_EVALUATION_SEED, &error);
    assert_non_null(w);
    while (!writer_step(w, 1))
        continue;
    const struct tokens *tokens = writer_tokens(w);
    struct quality_plan plan = {tokens->ids, TOKENS, session_bos(&session), PROTOCOL_FULL, TOKENS, 0, NULL};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct weights *set = weights_with_kv(session.stored, cases[i].kv);
        struct quality *q = quality_open(session.model, session.pool, &plan, session.stored, set,
                                         &error);
        assert_non_null(q);
        while (!quality_step(q, 1))
            continue;
        double kl = quality_result(q).kl;
        fprintf(stderr, "KV cache %s: KL %.3g\n", dtypes[cases[i].kv].name, kl);
        assert_true(kl >= cases[i].least && kl <= cases[i].most && kl > before);
        before = kl;
        quality_close(q);
        weights_unref(set);
    }
    writer_close(w);
}

static double sqnr(int tensor, const char *text)
{
    struct scheme scheme;
    struct error error;
    assert_true(scheme_parse(text, &scheme, &error));
    struct qtensor *p = requantize(session.model, tensor, &scheme, session.pool, &error);
    assert_non_null(p);
    double db = weight_error_sqnr_db(&p->error);
    qtensor_unref(p);
    return db;
}

/* Finer granularity never has a lower SQNR on the same layer. */
static void test_finer_is_never_worse(void **state)
{
    static const char *const order[] = {"tensor", "channel", "g64", "g32", "g16"};
    static const char *const types[] = {"int8:%s", "int8:%s:asym", "int4:%s", "int4:%s:asym"};
    (void)state;
    for (int t = 0; t < (int)session.model->tensor_count; t++) {
        if (!is_linear(&session.model->tensors[t]))
            continue;
        for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
            double before = 0;
            for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
                char text[32];
                snprintf(text, sizeof text, types[k], order[i]);
                double db = sqnr(t, text);
                if (!(db >= before))
                    fail_msg("%s %s: %.3f dB after %.3f dB", session.model->tensors[t].name, text,
                             db, before);
                before = db;
            }
        }
    }
}

/* A set with every linear matrix of the blocks in one scheme, made by a pool. */
static struct weights *in_scheme(const char *text, struct pool *pool)
{
    struct scheme scheme;
    struct weights *set = weights_ref(session.stored);
    assert_true(scheme_parse(text, &scheme, NULL));
    for (int t = 0; t < (int)session.model->tensor_count; t++) {
        if (!is_linear(&session.model->tensors[t]))
            continue;
        struct qtensor *p = requantize(session.model, t, &scheme, pool, NULL);
        struct weights *next = weights_replace(set, p);
        qtensor_unref(p);
        weights_unref(set);
        set = next;
    }
    return set;
}

/* Sums of floats do not depend on how rows, heads and predictions were shared out: every figure has the same
 * bits. */
static void test_any_number_of_threads(void **state)
{
    static const char *const schemes[] = {"stored",  "fp16",        "bf16",      "bf16/bf16", "int8",
                                          "int8/int8", "int8/bf16", "int8/int8.asym:g32:asym", "int4",
                                          "int4/int8", "int4:g64:asym", "fp8/fp8", "fp8e5m2"};
    enum { N = SANITIZED ? 50 : 200, WINDOW = SANITIZED ? 32 : 128, THREADS = 3 };
    int32_t text[N];
    (void)state;
    for (size_t i = 0; i < N; i++)
        text[i] = (int32_t)(3 + i * 7919 % (session.model->hyper.vocab - 3));
    struct quality_plan plan = {text, N, session_bos(&session), PROTOCOL_FULL, WINDOW, 0, NULL};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i += test_stride()) {
        struct quality_result first, r;
        for (int threads = 1; threads <= THREADS; threads++) {
            struct pool *pool = pool_create(threads, NULL);
            struct weights *set = strcmp(schemes[i], "stored") == 0 ? weights_ref(session.stored)
                                                                    : in_scheme(schemes[i], pool);
            struct quality *q = quality_open(session.model, pool, &plan, session.stored, set, NULL);
            assert_non_null(q);
            while (!quality_step(q, 1))
                continue;
            r = quality_result(q);
            if (threads == 1)
                first = r;
            if (memcmp(&r, &first, sizeof r) != 0)
                fail_msg("%s, %d threads: KL %.17g, perplexity %.17g; one thread: %.17g, %.17g", schemes[i],
                         threads, r.kl, r.perplexity, first.kl, first.perplexity);
            quality_close(q);
            weights_unref(set);
            pool_destroy(pool);
        }
        assert_true(i == 0 ? first.kl == 0 : first.kl > 0);
    }
}

static void test_output_errors_with_any_number_of_threads(void **state)
{
    enum { N = 70, THREADS = 3 }; /* more than are compared together */
    size_t count = session.model->tensor_count;
    int32_t text[N];
    struct output_error *errors[THREADS];
    struct pool *kept = session.pool;
    (void)state;
    for (size_t i = 0; i < N; i++)
        text[i] = (int32_t)(3 + i * 7919 % (session.model->hyper.vocab - 3));
    for (int threads = 1; threads <= THREADS; threads++) {
        struct error error = {""};
        struct output_error *e = errors[threads - 1] = calloc(count, sizeof *e);
        session.pool = pool_create(threads, NULL);
        struct weights *set = in_scheme("int4/int8", session.pool);
        if (!e || !output_errors(session.model, session.pool, set, text, N, e, &error))
            fail_msg("%s", error.text);
        assert_memory_equal(e, errors[0], count * sizeof *e);
        weights_unref(set);
        pool_destroy(session.pool);
    }
    session.pool = kept;
    for (size_t t = 0; t < count; t++)
        if (is_linear(&session.model->tensors[t])) {
            double db = output_error_sqnr_db(&errors[0][t]);
            assert_int_equal(errors[0][t].tokens, N);
            assert_int_equal(errors[0][t].errors.total, N * session.model->tensors[t].stored.rows);
            assert_true(db > 5 && db < 40);
        }
    for (int i = 0; i < THREADS; i++)
        free(errors[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shape),
        cmocka_unit_test(test_held_out_text),
        cmocka_unit_test(test_kv_cache),
        cmocka_unit_test(test_finer_is_never_worse),
        cmocka_unit_test(test_any_number_of_threads),
        cmocka_unit_test(test_output_errors_with_any_number_of_threads),
    };
    return cmocka_run_group_tests_name("builtin", tests, open_builtin, close_builtin);
}

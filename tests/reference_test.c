/* A real model against what other programs said about it: logits, tokens, greedy text, perplexity.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/context.h"
#include "engine/sampler.h"
#include "measure/quality.h"
#include "quant/requant.h"
#include "tokenizer/tokenizer.h"
#include "support.h"

#include <math.h>
#include <stdlib.h>

/* One thread: that more give the same bits is another test's business. */
enum { THREADS = 1, CONTEXT = 512, TEXT_TOKENS = 1500 };

static const char *const model_names[] = {"models/stories260K.bin", "models/stories260K-v1.bin",
                                          "models/stories260K.gguf"};
enum { MODELS = sizeof model_names / sizeof *model_names };

/* An open model with its tokenizer and stored weights. */
struct study {
    struct model *model;
    struct tokenizer *tokenizer;
    struct weights *stored;
    struct pool *pool;
};

/* The path of a file in the reference folder; where there is none, the test is skipped. */
static char *needed(const char *name)
{
    char *path = shared_path(name);
    if (!path) {
        fprintf(stderr, "no %s in the reference folder (QTOP_SHARED names it)\n", name);
        skip();
    }
    return path;
}

static struct study open_study(const char *name)
{
    struct study s = {0};
    struct error error = {""};
    char *path = needed(name), *words = needed("models/tok512.bin");
    s.model = model_open(path, &error);
    s.tokenizer = s.model ? tokenizer_open(words, &error) : NULL;
    if (!s.tokenizer)
        fail_msg("%s", error.text);
    s.stored = weights_stored(s.model);
    s.pool = pool_create(THREADS, &error);
    assert_true(s.stored && s.pool);
    free(path);
    free(words);
    return s;
}

static void close_study(struct study *s)
{
    weights_unref(s->stored);
    pool_destroy(s->pool);
    tokenizer_close(s->tokenizer);
    model_close(s->model);
}

static char *read_reference(const char *name, size_t *n)
{
    char *path = needed(name), *text = read_whole(path, n);
    assert_non_null(text);
    free(path);
    return text;
}

/* One id a line, BOS first. */
static struct tokens read_tokens(void)
{
    size_t n;
    char *text = read_reference("reference/stories260K/tokens.txt", &n), *at = text, *end;
    struct tokens tokens = {0};
    for (long id = strtol(at, &end, 10); end != at; id = strtol(at = end, &end, 10))
        assert_true(tokens_add(&tokens, (int32_t)id));
    free(text);
    assert_int_equal(tokens.count, 252);
    return tokens;
}

static void test_tokens(void **state)
{
    (void)state;
    struct study s = open_study(model_names[0]);
    struct tokens expected = read_tokens(), made = {0};
    size_t n;
    char *prompt = read_reference("reference/stories260K/prompt.txt", &n);
    assert_true(tokens_add(&made, tokenizer_bos(s.tokenizer)));
    bool ok = tokenizer_encode(s.tokenizer, prompt, n, &made, NULL);
    assert_true(ok);
    /* A text file ends in a line break, which may not be part of the prompt that was tokenized. */
    if (made.count > expected.count && n > 0 && prompt[n - 1] == '\n') {
        made.count = 1;
        assert_true(tokenizer_encode(s.tokenizer, prompt, n - 1, &made, NULL));
    }
    assert_int_equal(made.count, expected.count);
    assert_memory_equal(made.ids, expected.ids, made.count * sizeof *made.ids);
    free(prompt);
    free(made.ids);
    free(expected.ids);
    close_study(&s);
}

static void test_logits(void **state)
{
    (void)state;
    for (int i = 0; i < MODELS; i++) {
        struct study s = open_study(model_names[i]);
        struct tokens tokens = read_tokens();
        size_t bytes, vocab = s.model->hyper.vocab;
        char *file = read_reference("reference/stories260K/logits.f32", &bytes);
        const float *expected = (const float *)(const void *)file;
        assert_int_equal(bytes, tokens.count * vocab * sizeof(float));
        float *logits = make(bytes);
        struct context *c = context_open(s.model, s.pool, tokens.count, NULL);
        for (size_t at = 0; at < tokens.count; at += c->length - at) {
            size_t left = tokens.count - at, n = left < CONTEXT_SLICE ? left : CONTEXT_SLICE;
            context_run(c, s.stored, tokens.ids + at, n, LOGITS_ALL, logits + at * vocab);
        }
        double worst = 0;
        for (size_t k = 0; k < tokens.count * vocab; k++) {
            double error = fabs((double)logits[k] - expected[k]);
            if (!(error <= 1e-4))
                fail_msg("%s: a logit is off by %g", model_names[i], error);
            worst = fmax(worst, error);
        }
        fprintf(stderr, "%s: largest difference in a logit %.2g\n", model_names[i], worst);
        context_close(c);
        free(logits);
        free(file);
        free(tokens.ids);
        close_study(&s);
    }
}

/* 256 tokens from BOS at temperature 0, in pieces of text. */
static size_t greedy_text(const struct study *s, char *out, size_t room)
{
    size_t vocab = s->model->hyper.vocab, length = 0;
    float *logits = make(vocab * sizeof *logits);
    struct context *c = context_open(s->model, s->pool, CONTEXT, NULL);
    struct sampler sampler = {0};
    int32_t last = tokenizer_bos(s->tokenizer), order[512];
    assert_true(vocab <= 512);
    for (int n = 0; n < 256; n++) {
        char byte;
        size_t bytes;
        context_run(c, s->stored, &last, 1, LOGITS_LAST, logits);
        int32_t next = (int32_t)sampler_choose(&sampler, logits, vocab, order);
        if (next == tokenizer_bos(s->tokenizer))
            break;
        const char *piece = tokenizer_piece(s->tokenizer, last, next, &bytes, &byte);
        assert_true(length + bytes < room);
        memcpy(out + length, piece, bytes);
        length += bytes;
        last = next;
    }
    context_close(c);
    free(logits);
    return length;
}

static void test_greedy(void **state)
{
    (void)state;
    for (int i = 0; i < MODELS; i++) {
        struct study s = open_study(model_names[i]);
        size_t n, length;
        char *expected = read_reference("reference/stories260K/greedy.txt", &n), made[4096];
        length = greedy_text(&s, made, sizeof made - 1);
        made[length++] = '\n'; /* the program that wrote the file ends the line */
        assert_int_equal(length, n);
        assert_memory_equal(made, expected, n);
        free(expected);
        close_study(&s);
    }
}

/* ---- perplexity ------------------------------------------------------------------------------ */

static struct quality_result measure(const struct study *s, const struct quality_plan *plan,
                                     struct weights *scheme)
{
    struct error error = {""};
    struct quality *q = quality_open(s->model, s->pool, plan, s->stored, scheme, &error);
    if (!q)
        fail_msg("%s", error.text);
    while (!quality_step(q, 1))
        continue;
    struct quality_result r = quality_result(q);
    quality_close(q);
    return r;
}

/* The stored weights with every linear matrix of the blocks in one scheme. */
static struct weights *in_scheme(const struct study *s, const char *text)
{
    struct scheme scheme;
    struct weights *set = weights_ref(s->stored);
    assert_true(scheme_parse(text, &scheme, NULL));
    for (int t = 0; t < (int)s->model->tensor_count; t++) {
        const struct role_info *role = &roles[s->model->tensors[t].role];
        if (!role->linear || !role->in_block)
            continue;
        struct qtensor *p = requantize(s->model, t, &scheme, s->pool, NULL);
        assert_non_null(p);
        struct weights *next = weights_replace(set, p);
        qtensor_unref(p);
        weights_unref(set);
        set = next;
    }
    return set;
}

static void assert_within(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%.6f; expected %.6f +- %g", value, expected, tolerance);
}

static void test_full_perplexity(void **state)
{
    (void)state;
    for (int i = 0; i < MODELS; i++) {
        struct study s = open_study(model_names[i]);
        struct tokens tokens = read_tokens();
        struct quality_plan plan = {tokens.ids + 1, tokens.count - 1, tokens.ids[0], PROTOCOL_FULL,
                                    CONTEXT, 0, NULL};
        struct quality_result r = measure(&s, &plan, s.stored);
        assert_int_equal(r.scored, 251);
        assert_within(r.perplexity, 2.44685, 0.0005);
        assert_true(r.kl == 0 && r.kl_stderr == 0 && r.kl_median == 0 && r.kl_p99 == 0 && r.kl_max == 0);
        assert_true(r.top1 == 1 && r.perplexity == r.perplexity_reference);
        free(tokens.ids);
        close_study(&s);
    }
}

static struct tokens story_tokens(const struct study *s)
{
    struct tokens tokens = {0};
    size_t n;
    char *text = read_reference("reference/stories260K/stories.txt", &n);
    assert_true(tokenizer_encode(s->tokenizer, text, n, &tokens, NULL));
    free(text);
    return tokens;
}

static void test_llamacpp_perplexity(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        double perplexity;
    } cases[] = {{"models/stories260K.bin", 2.7553},
                 {"models/stories260K.gguf", 2.7553},
                 {"models/stories260K-F16.gguf", 2.7554},
                 {"models/stories260K-BF16.gguf", 2.7570}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct study s = open_study(cases[i].model);
        struct tokens tokens = story_tokens(&s);
        struct quality_plan plan = {tokens.ids, tokens.count, tokenizer_bos(s.tokenizer),
                                    PROTOCOL_LLAMACPP, 256, 0, NULL};
        struct quality_result r = measure(&s, &plan, s.stored);
        fprintf(stderr, "%s: llamacpp, %zu predictions, perplexity %.5f; llama.cpp says %.4f\n",
                cases[i].model, r.scored, r.perplexity, cases[i].perplexity);
        assert_int_equal(r.scored, (tokens.count + 1) / 256 * 127); /* positions 128..254 */
        assert_within(r.perplexity, cases[i].perplexity, 0.002);
        free(tokens.ids);
        close_study(&s);
    }
}

/* What quantization is known to cost: next to nothing in 16 bits, little in 8, something in 4. */
static void test_quantized_perplexity(void **state)
{
    (void)state;
    static const struct {
        const char *scheme;
        double tolerance; /* share of the fp32 perplexity */
        double top1;      /* at least */
        double kl;        /* nats, at most: about twice what rounding to nearest gives here */
    } cases[] = {
        {"fp32", 0, 1, 0}, /* the same numbers, packed */
        {"fp16", 0.0001, 0.995, 1e-6},
        {"int8", 0.005, 0.98, 0.0009},
        {"int8:g32:asym", 0.005, 0.98, 0.0005},
    };
    struct study s = open_study(model_names[0]);
    struct tokens tokens = story_tokens(&s);
    assert_true(tokens.count > TEXT_TOKENS);
    struct quality_plan plan = {tokens.ids, TEXT_TOKENS, tokenizer_bos(s.tokenizer), PROTOCOL_FULL,
                                CONTEXT, 0, NULL};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct weights *set = in_scheme(&s, cases[i].scheme);
        struct quality_result r = measure(&s, &plan, set);
        fprintf(stderr, "%s: perplexity %.5f, fp32 %.5f, KL %.3g, top-1 %.4f\n", cases[i].scheme,
                      r.perplexity, r.perplexity_reference, r.kl, r.top1);
        assert_within(r.perplexity, r.perplexity_reference,
                      cases[i].tolerance * r.perplexity_reference);
        assert_true(r.top1 >= cases[i].top1);
        assert_true(r.kl >= 0 && r.kl <= cases[i].kl);
        assert_true(r.kl_median <= r.kl && r.kl <= r.kl_p99 && r.kl_p99 <= r.kl_max);
        assert_int_equal(r.kl_max == 0, cases[i].kl == 0);
        weights_unref(set);
    }
    free(tokens.ids);
    close_study(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_logits),
        cmocka_unit_test(test_greedy),
        cmocka_unit_test(test_full_perplexity),
        cmocka_unit_test(test_llamacpp_perplexity),
        cmocka_unit_test(test_quantized_perplexity),
    };
    /* One line says it, not every case. */
    char *model = shared_path(model_names[0]);
    if (!model) {
        puts("1..0 # SKIP no reference folder (QTOP_SHARED names one)");
        return 0;
    }
    free(model);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Trained models in files that people use, where they are there: QTOP_REAL_MODELS names a folder of them. Against what
 * llama.cpp (0.3.36 of its Python binding; tests/data/real) made of the same text: the tokens, which token is most
 * likely behind each, and perplexity. Its activations have 8 bits, so that predictions agree and are not equal. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/context.h"
#include "kernels/dispatch.h"
#include "modelfile.h"
#include "support.h"
#include "tokenizer/tokenizer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_BYTES = 1400, TOKENS_MAX = 1024, CHUNK = 64 };
static const double TOP1_MIN = 0.95, PERPLEXITY_TOLERANCE = 0.02;

struct expected {
    double perplexity;
    int32_t ids[TOKENS_MAX], best[TOKENS_MAX];
    size_t count;
};

static size_t read_ids(char **at, int32_t ids[TOKENS_MAX])
{
    size_t n = 0;
    char *end, *line = *at + strcspn(*at, "\n");
    for (; *at < line && n < TOKENS_MAX; *at = end)
        ids[n++] = (int32_t)strtol(*at, &end, 10);
    *at = line + (*line != 0);
    return n;
}

static void read_expected(const char *name, struct expected *out)
{
    char path[300];
    size_t size;
    snprintf(path, sizeof path, SRCDIR "/tests/data/real/%s.txt", name);
    char *text = read_whole(path, &size), *at;
    assert_non_null(text);
    out->perplexity = strtod(text, &at);
    at++;
    out->count = read_ids(&at, out->ids);
    assert_int_equal(read_ids(&at, out->best), out->count);
    free(text);
}

static void check_tokens(const char *path, const struct expected *e)
{
    struct error error = {""};
    struct tokens tokens = {0};
    size_t size;
    struct tokenizer *t = tokenizer_open(path, &error);
    if (!t)
        fail_msg("%s", error.text);
    char *text = read_whole(SRCDIR "/data/mixed-quality.txt", &size);
    assert_true(tokenizer_encode(t, text, TEXT_BYTES, &tokens, &error));
    size_t begin = e->count - tokens.count; /* 1 where llama.cpp puts a token before the text */
    assert_true(begin <= 1);
    assert_memory_equal(tokens.ids, e->ids + begin, tokens.count * sizeof *tokens.ids);
    free(tokens.ids);
    free(text);
    tokenizer_close(t);
}

static double log_probability(const float *logits, size_t n, int32_t token)
{
    double sum = 0, largest = (double)logits[0];
    for (size_t i = 1; i < n; i++)
        largest = fmax(largest, (double)logits[i]);
    for (size_t i = 0; i < n; i++)
        sum += exp((double)logits[i] - largest);
    return (double)logits[token] - largest - log(sum);
}

static size_t largest_of(const float *x, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        best = x[i] > x[best] ? i : best;
    return best;
}

static void check_predictions(const char *path, const struct expected *e)
{
    struct error error = {""};
    struct model *m = model_open(path, &error);
    if (!m)
        fail_msg("%s", error.text);
    struct pool *pool = pool_create(2, &error);
    struct weights *stored = weights_stored(m);
    struct context *c = context_open(m, pool, e->count, &error);
    if (!c)
        fail_msg("%s", error.text);
    float *logits = make(CHUNK * m->hyper.vocab * sizeof *logits);
    size_t same = 0;
    double sum = 0;
    for (size_t at = 0, n; at < e->count; at += n) {
        n = e->count - at < CHUNK ? e->count - at : CHUNK;
        context_run(c, stored, e->ids + at, n, LOGITS_ALL, logits);
        for (size_t i = 0; i < n; i++) {
            const float *row = logits + i * m->hyper.vocab;
            same += largest_of(row, m->hyper.vocab) == (size_t)e->best[at + i];
            sum += at + i + 1 < e->count ? log_probability(row, m->hyper.vocab, e->ids[at + i + 1]) : 0;
        }
    }
    double top1 = (double)same / (double)e->count, perplexity = exp(-sum / (double)(e->count - 1));
    print_message("%s: top-1 %.1f %%, perplexity %.4f; llama.cpp's %.4f\n", path, 100 * top1, perplexity, e->perplexity);
    assert_true(top1 >= TOP1_MIN);
    assert_true(fabs(perplexity / e->perplexity - 1) <= PERPLEXITY_TOLERANCE);
    free(logits);
    context_close(c);
    weights_unref(stored);
    pool_destroy(pool);
    model_close(m);
}

static void check_model(const char *name)
{
    static struct expected e;
    char file[200];
    const char *folder = getenv("QTOP_REAL_MODELS");
    snprintf(file, sizeof file, "%s.gguf", name);
    char *path = path_in(folder ? folder : ".", file);
    if (!folder || access(path, R_OK) != 0) {
        free(path);
        skip();
    }
    read_expected(name, &e);
    check_tokens(path, &e);
    check_predictions(path, &e);
    free(path);
}

static void test_smollm2(void **state)
{
    (void)state;
    check_model("SmolLM2-135M-Instruct.Q4_1");
}

static void test_gemma3(void **state)
{
    (void)state;
    check_model("gemma-3-270m-q4_k_m");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_smollm2), cmocka_unit_test(test_gemma3)};
    return cmocka_run_group_tests_name("real_models", tests, NULL, NULL);
}

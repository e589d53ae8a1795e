/* The forward pass of every architecture against logits of another program: tiny models with random weights
 * in tests/data/arch (arch_models.py makes them), in each format that they are there in. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/context.h"
#include "model/hf_config.h"
#include "modelfile.h"
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TOKENS = 64 };
static const double BOUND = 2e-3; /* of the largest logit */

static const char *const names[] = {"llama", "llama3", "llama-linear", "mistral", "qwen2", "qwen3",
                                    "phi3",  "phi3-long", "gemma",     "gemma2",  "gpt2"};
enum { NAMES = sizeof names / sizeof *names };

/* The file called NAME's in the folder of a model; the caller frees. */
static char *data_path(const char *model, const char *file)
{
    char *path;
    if (asprintf(&path, "%s/tests/data/arch/%s%s%s", SRCDIR, model, *file ? "/" : "", file) < 0)
        abort();
    return path;
}

static struct bytes read_data(const char *model, const char *file)
{
    char *path = data_path(model, file);
    struct bytes b = read_file(path);
    if (!b.data)
        fail_msg("%s cannot be read", path);
    free(path);
    return b;
}

static void read_tokens(const char *model, int32_t ids[TOKENS])
{
    struct bytes text = read_data(model, "tokens.txt");
    char *at = (char *)text.data;
    for (size_t i = 0; i < TOKENS; i++)
        ids[i] = (int32_t)strtol(at, &at, 10);
    bytes_free(&text);
}

/* The model's logits of all tokens, in passes of `pass` tokens. */
static float *run_model(const struct model *m, struct pool *pool, const int32_t *ids, size_t pass)
{
    struct error error = {""};
    struct weights *w = weights_stored(m);
    struct context *c = context_open(m, pool, TOKENS, &error);
    if (!c)
        fail_msg("%s", error.text);
    float *logits = calloc(TOKENS * m->hyper.vocab, sizeof *logits);
    for (size_t i = 0; i < TOKENS; i += pass) {
        size_t n = TOKENS - i < pass ? TOKENS - i : pass;
        context_run(c, w, ids + i, n, LOGITS_ALL, logits + i * m->hyper.vocab);
    }
    context_close(c);
    weights_unref(w);
    return logits;
}

/* The largest difference as a share of the largest logit. */
static double compare(const float *found, const float *expected, size_t n)
{
    double largest = 0, off = 0;
    for (size_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs((double)expected[i]));
        double d = fabs((double)found[i] - (double)expected[i]);
        off = d <= off ? off : d; /* NaN stays */
    }
    return off / largest;
}

static void check_file(const char *name, const char *file, const struct bytes *expected,
                       struct pool *pool)
{
    struct error error = {""};
    char *path = data_path(name, file);
    int32_t ids[TOKENS];
    if (access(path, R_OK) != 0) {
        free(path);
        return;
    }
    struct model *m = model_open(path, &error);
    if (!m)
        fail_msg("%s", error.text);
    assert_int_equal(expected->size, TOKENS * m->hyper.vocab * sizeof(float));
    read_tokens(name, ids);
    const float *truth = (const float *)(const void *)expected->data;
    static const size_t passes[] = {TOKENS, 1, 7};
    for (size_t i = 0; i < sizeof passes / sizeof *passes; i++) {
        float *logits = run_model(m, pool, ids, passes[i]);
        double off = compare(logits, truth, TOKENS * m->hyper.vocab);
        free(logits);
        if (i == 0)
            print_message("%-13s %-18s largest difference %.1e of the largest logit\n", name,
                          *file ? file : "(folder)", off);
        if (!(off <= BOUND))
            fail_msg("%s, passes of %zu: %.3e of the largest logit; expected at most %g", path,
                     passes[i], off, BOUND);
    }
    model_close(m);
    free(path);
}

static void test_logits(void **state)
{
    (void)state;
    struct error error;
    struct pool *pool = pool_create(2, &error);
    for (size_t i = 0; i < NAMES; i++) {
        struct bytes expected = read_data(names[i], "logits.f32");
        char *own = data_path(names[i], "logits-gguf.f32"), gguf[64];
        struct bytes converted = access(own, R_OK) == 0 ? read_data(names[i], "logits-gguf.f32")
                                                         : read_data(names[i], "logits.f32");
        snprintf(gguf, sizeof gguf, "%s.gguf", names[i]);
        check_file(names[i], "", &expected, pool);
        check_file(names[i], "model.safetensors", &expected, pool);
        check_file(names[i], "pytorch_model.bin", &expected, pool);
        check_file(names[i], gguf, &converted, pool);
        bytes_free(&expected);
        bytes_free(&converted);
        free(own);
    }
    pool_destroy(pool);
}

/* A config.json in which `from` became `to`. */
static void forget(struct model *m)
{
    free(m->layers);
    free(m->kv_layers);
    free(m->rope_factors);
    *m = (struct model){0};
}

static const struct arch *parse_changed(struct model *m, const char *name, const char *from,
                                        const char *to, struct error *error)
{
    struct bytes b = read_data(name, "config.json");
    char *at = strstr((char *)b.data, from), *text;
    assert_non_null(at);
    assert_true(asprintf(&text, "%.*s%s%s", (int)(at - (char *)b.data), (char *)b.data, to,
                         at + strlen(from)) > 0);
    forget(m);
    struct hf_asked asked;
    const struct arch *a = hf_config_parse(m, (uint8_t *)text, strlen(text), &asked, error);
    free(text);
    bytes_free(&b);
    return a;
}

static void test_windows(void **state)
{
    (void)state;
    static const char use[] = "\"use_sliding_window\": false,";
    struct model m = {0};
    struct error error;
    assert_non_null(parse_changed(&m, "mistral", "16", "16", &error));
    assert_int_equal(m.hyper.window, 16);
    assert_non_null(parse_changed(&m, "qwen2", use, use, &error));
    assert_int_equal(m.hyper.window, 0);
    assert_non_null(parse_changed(&m, "qwen2", use, "", &error));
    assert_int_equal(m.hyper.window, 0);
    assert_non_null(parse_changed(&m, "qwen2", use, "\"use_sliding_window\": true,", &error));
    assert_int_equal(m.layers[0].window, 0); /* max_window_layers = 1 */
    assert_int_equal(m.layers[1].window, 16);
    assert_non_null(parse_changed(&m, "gemma2", "16", "16", &error));
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(hyper_window(&m.hyper, i), i % 2 ? 0 : 16);
    forget(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits),
        cmocka_unit_test(test_windows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

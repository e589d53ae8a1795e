/* Tiny models of many architectures (family_models.py) against the logits of transformers, from the folder and, where it
 * holds one, from a GGUF file of the same weights. One case a folder of tests/data/families. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/layerwise.h"
#include "export/export.h"
#include "modelfile.h"
#include "support.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TOKENS_MAX = 64, FAMILIES_MAX = 600 };
static const double TOLERANCE = 1e-4; /* of the deviation of the logits */

static const char root[] = SRCDIR "/tests/data/families";

static size_t read_tokens(const char *folder, int32_t ids[TOKENS_MAX])
{
    char *path = path_in(folder, "tokens.txt");
    size_t size, n = 0;
    char *text = read_whole(path, &size), *end;
    assert_non_null(text);
    for (char *at = text; n < TOKENS_MAX; at = end) {
        ids[n] = (int32_t)strtol(at, &end, 10);
        if (end == at)
            break;
        n++;
    }
    free(text);
    free(path);
    return n;
}

/* The largest difference, in deviations of the expected ones. */
static double difference(const float *found, const float *expected, size_t n)
{
    double sum = 0, squares = 0, largest = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)found[i] - (double)expected[i]);
        sum += (double)expected[i];
        squares += (double)expected[i] * (double)expected[i];
        largest = d <= largest ? largest : d; /* NaN is the largest */
    }
    return largest / sqrt(squares / (double)n - sum / (double)n * (sum / (double)n));
}

/* All at once, and token by token. */
static void check_logits(const char *path, const int32_t *ids, size_t n, const float *expected, size_t chunk)
{
    struct error error = {""};
    struct model *m = model_open(path, &error);
    if (!m)
        fail_msg("%s", error.text);
    struct pool *pool = pool_create(2, &error);
    struct weights *stored = weights_stored(m);
    struct context *c = context_open(m, pool, n, &error);
    if (!c)
        fail_msg("%s", error.text);
    float *logits = make(n * m->hyper.vocab * sizeof *logits);
    for (size_t at = 0; at < n; at += chunk)
        context_run(c, stored, ids + at, n - at < chunk ? n - at : chunk, LOGITS_ALL, logits + at * m->hyper.vocab);
    double d = difference(logits, expected, n * m->hyper.vocab);
    if (!(d <= TOLERANCE))
        fail_msg("%s, %zu at a time: a logit differs by %.3g deviations", path, chunk, d);
    free(logits);
    context_close(c);
    weights_unref(stored);
    pool_destroy(pool);
    model_close(m);
}

static void check_file(const char *path, const char *folder, const char *logits_name)
{
    int32_t ids[TOKENS_MAX];
    size_t size, n = read_tokens(folder, ids);
    char *logits = path_in(folder, logits_name);
    float *expected = (float *)(void *)read_whole(logits, &size);
    assert_non_null(expected);
    check_logits(path, ids, n, expected, n);
    check_logits(path, ids, n, expected, 1);
    free(expected);
    free(logits);
}

/* The GGUF file that a folder may hold. */
static char *gguf_in(const char *folder, const char *name)
{
    char file[80];
    snprintf(file, sizeof file, "%s.gguf", name);
    return path_in(folder, file);
}

static void test_family(void **state)
{
    char *folder = path_in(root, *state), *gguf = gguf_in(folder, *state);
    check_file(folder, folder, "logits.f32");
    if (access(gguf, R_OK) == 0)
        check_file(gguf, folder, "logits.f32");
    free(gguf);
    free(folder);
}

/* What is exported as it is stored computes the same; or it is refused, which is shown. What was written as GGUF is
 * exported once more, so that config.json is made from its metadata. */
static void check_export(const char *source, const char *folder, const char *format)
{
    struct error error = {""};
    struct model *m = model_open(source, &error);
    assert_non_null(m);
    struct pool *pool = pool_create(1, &error);
    struct weights *stored = weights_stored(m);
    char *temporary = folder_make(), file[80];
    snprintf(file, sizeof file, "model.%s", format);
    char *path = path_in(temporary, file);
    struct export_plan plan = {.model = m, .weights = stored, .pool = pool, .path = path, .format = format};
    struct export *job = export_open(&plan, &error);
    bool done = false, ok = job;
    while (ok && !done)
        ok = export_step(job, 1, &done, &error);
    export_close(job);
    if (ok)
        check_file(path, folder, "logits.f32");
    else
        print_message("refused: %s\n", error.text);
    if (ok && source == folder && strcmp(format, "gguf") == 0)
        check_export(path, folder, "safetensors");
    assert_true(ok || strlen(error.text) > 10);
    weights_unref(stored);
    pool_destroy(pool);
    model_close(m);
    free(path);
    folder_remove(temporary);
}

static void test_export(void **state)
{
    char *folder = path_in(root, *state), *gguf = gguf_in(folder, *state);
    check_export(folder, folder, "gguf");
    check_export(folder, folder, "safetensors");
    if (access(gguf, R_OK) == 0)
        check_export(gguf, folder, "gguf");
    free(gguf);
    free(folder);
}

/* ---- layer by layer -------------------------------------------------------------------------- */

/* The inputs of every tensor that multiplies, of all tokens. */
struct seen {
    const struct model *model;
    float **inputs;
    size_t *tokens;
};

static void see(void *arg, const struct qtensor *w, const float *x, const float *y, size_t tokens)
{
    struct seen *s = arg;
    size_t t = (size_t)w->tensor, cols = w->matrix.cols, floats = s->tokens[t] * cols;
    (void)y;
    s->tokens[t] += tokens;
    s->inputs[t] = realloc(s->inputs[t], s->tokens[t] * cols * sizeof *x);
    memcpy(s->inputs[t] + floats, x, tokens * cols * sizeof *x);
}

/* What the layer-wise pass has before a group is what the tensors of the group multiplied. Experts see gathered
 * rows. */
static void check_group(const struct layerwise_pass *w, const struct seen *s, size_t group)
{
    int tensors[INPUT_GROUP_TENSORS];
    const struct layerwise_input in = layerwise_input(w);
    for (size_t n = input_group_tensors(s->model, group, tensors); n > 0; n--) {
        size_t t = (size_t)tensors[n - 1], cols = s->model->tensors[t].stored.cols;
        for (size_t k = 0; s->model->tensors[t].expert < 0 && k < s->tokens[t]; k++)
            if (memcmp(in.rows + k * in.stride, s->inputs[t] + k * cols, cols * sizeof(float)) != 0)
                fail_msg("%s: token %zu has another input layer by layer", s->model->tensors[t].name, k);
    }
}

/* Windows of a few tokens, so that caches hold those of the last window only. */
static void check_layers(const struct model *m, struct pool *pool, const int32_t *ids, size_t n)
{
    enum { WINDOW = 3 };
    struct error error = {""};
    struct weights *stored = weights_stored(m);
    struct seen s = {m, calloc(m->tensor_count, sizeof *s.inputs), calloc(m->tensor_count, sizeof *s.tokens)};
    struct context *c = context_open(m, pool, WINDOW, &error);
    c->hook = (struct hook){HOOK_ALL, see, &s};
    for (size_t at = 0; at < n; at += WINDOW) {
        c->length = 0;
        context_prefill(c, stored, ids + at, n - at < WINDOW ? n - at : WINDOW, NULL);
    }
    struct layerwise_pass *w = layerwise_open(m, pool, ids, n, WINDOW, &error);
    assert_non_null(w);
    for (size_t group = 0; group + 1 < m->input_group_count; group++) {
        for (bool arrived = false; !arrived;)
            assert_true(layerwise_step(w, stored, 0, &arrived, &error));
        check_group(w, &s, group);
    }
    layerwise_close(w);
    context_close(c);
    for (size_t t = 0; t < m->tensor_count; t++)
        free(s.inputs[t]);
    free(s.inputs);
    free(s.tokens);
    weights_unref(stored);
}

static void test_layers(void **state)
{
    int32_t ids[TOKENS_MAX];
    struct error error = {""};
    char *folder = path_in(root, *state);
    size_t n = read_tokens(folder, ids);
    struct model *m = model_open(folder, &error);
    assert_non_null(m);
    struct pool *pool = pool_create(1, &error);
    check_layers(m, pool, ids, n);
    pool_destroy(pool);
    model_close(m);
    free(folder);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct CMUnitTest *)a)->name, ((const struct CMUnitTest *)b)->name);
}

int main(void)
{
    static struct CMUnitTest tests[FAMILIES_MAX];
    size_t count = 0;
    DIR *d = opendir(root);
    if (!d)
        return 1;
    for (struct dirent *e; count + 2 < FAMILIES_MAX && (e = readdir(d));)
        if (e->d_name[0] != '.') {
            char *name = strdup(e->d_name), *exported = malloc(100), *layers = malloc(100);
            snprintf(exported, 100, "%s exported", name);
            snprintf(layers, 100, "%s layer by layer", name);
            tests[count++] = (struct CMUnitTest){.name = layers, .test_func = test_layers, .initial_state = name};
            tests[count++] = (struct CMUnitTest){.name = name, .test_func = test_family, .initial_state = name};
            tests[count++] = (struct CMUnitTest){.name = exported, .test_func = test_export, .initial_state = name};
        }
    closedir(d);
    qsort(tests, count, sizeof *tests, by_name);
    return _cmocka_run_group_tests("families", tests, count, NULL, NULL);
}

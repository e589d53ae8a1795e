/* Tiny models of many architectures (family_models.py) against the logits of transformers, from the folder and, where it
 * holds one, from a GGUF file of the same weights. One case a folder of tests/data/families. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/context.h"
#include "export/export.h"
#include "modelfile.h"
#include "support.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TOKENS_MAX = 64, FAMILIES_MAX = 200 };
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

static void test_family(void **state)
{
    const char *name = *state;
    char gguf_name[80];
    char *folder = path_in(root, name), *gguf;
    snprintf(gguf_name, sizeof gguf_name, "%s.gguf", name);
    gguf = path_in(folder, gguf_name);
    check_file(folder, folder, "logits.f32");
    if (access(gguf, R_OK) == 0)
        check_file(gguf, folder, "logits.f32");
    free(gguf);
    free(folder);
}

/* What is exported as it is stored computes the same; or it is refused, which is shown. */
static void check_export(const char *folder, const char *format)
{
    struct error error = {""};
    struct model *m = model_open(folder, &error);
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
    assert_true(ok || strlen(error.text) > 10);
    weights_unref(stored);
    pool_destroy(pool);
    model_close(m);
    free(path);
    folder_remove(temporary);
}

static void test_export(void **state)
{
    char *folder = path_in(root, *state);
    check_export(folder, "gguf");
    check_export(folder, "safetensors");
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
    for (struct dirent *e; count + 1 < FAMILIES_MAX && (e = readdir(d));)
        if (e->d_name[0] != '.') {
            char *name = strdup(e->d_name), *exported = malloc(100);
            snprintf(exported, 100, "%s exported", name);
            tests[count++] = (struct CMUnitTest){.name = name, .test_func = test_family, .initial_state = name};
            tests[count++] = (struct CMUnitTest){.name = exported, .test_func = test_export, .initial_state = name};
        }
    closedir(d);
    qsort(tests, count, sizeof *tests, by_name);
    return _cmocka_run_group_tests("families", tests, count, NULL, NULL);
}
